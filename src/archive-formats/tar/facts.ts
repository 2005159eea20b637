/**
 * What the archive knows of a member besides its path, size and time: one line of JSON in the `comment` of its extended
 * header. TAR.md describes it; a change that could mislead a reader is a new version.
 */
import type { Frame, HeldFrame } from "../../frame.ts";

export const factsVersion = 1;

export interface MemberFacts {
  /** Where the group begins that the member was committed with: everything before that was durable by then. */
  readonly group: number;
  /** Which archive it was written for; empty: one that was begun before they had this. */
  readonly archive: string;
  /** Of the member's bytes. */
  readonly crc32: number;
  /** Undefined: the member records gaps or ends. */
  readonly held: Omit<HeldFrame, "path"> | undefined;
}

/** Where a member is written: told in its facts. */
export type GroupFacts = Pick<MemberFacts, "group" | "archive">;

/** A name for a new archive, unlike that of any other. */
export function newArchiveId(): string {
  return crypto.randomUUID().replaceAll("-", "").slice(0, 16);
}

/** A frame that a member is written for. */
export type WrittenFrame = Omit<HeldFrame, "path" | "number"> & { readonly receivedNs: bigint };

export function frameFacts(
  { frame, crc32, receivedNs }: WrittenFrame,
  number: number,
  { group, archive }: GroupFacts,
): string {
  const { origin, name, sequence } = frame;
  const { device, source, session } = origin;
  const facts = JSON.stringify({
    framepipe: factsVersion,
    group,
    archive,
    crc32,
    device,
    source,
    session,
    sequence,
    name,
    number,
  });
  // Nanoseconds do not fit a number, and JSON takes digits without end.
  return `${facts.slice(0, -1)},"received":${receivedNs}}`;
}

export function recordFacts(crc32: number, { group, archive }: GroupFacts): string {
  return JSON.stringify({ framepipe: factsVersion, group, archive, crc32 });
}

/** Undefined for a comment that is not ours. Size and capture time are those of the member. */
export function parseFacts(
  comment: string | undefined,
  member: { readonly bytes: number; readonly modifiedNs: bigint },
): MemberFacts | undefined {
  if (comment?.startsWith('{"framepipe":') !== true) return undefined;
  let facts: Readonly<Record<string, unknown>>;
  try {
    facts = JSON.parse(comment) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
  const { framepipe, group, archive = "", crc32, device, source, session, sequence, name, number } = facts;
  if (framepipe !== factsVersion || !isCount(group) || !isText(archive) || !isCount(crc32)) return undefined;
  if (!isText(device) || !isText(source) || !isText(session) || !isText(name)) {
    return { group, archive, crc32, held: undefined };
  }
  if (!isCount(sequence) || !isCount(number)) return undefined;
  const origin = { device, source, session };
  const frame: Frame = { origin, name, sequence, bytes: member.bytes, capturedNs: member.modifiedNs };
  return { group, archive, crc32, held: { frame, number, crc32 } };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}
