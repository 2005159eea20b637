/**
 * Reads an archive again when it is opened: what it holds, and where its last whole commit ends.
 *
 * Heads are read and bytes are skipped, but for the last group: a crash may have left it half-written, on some file
 * systems even with its heads in place and not its bytes, so its checksums are computed. What follows the last whole
 * member was never acknowledged, and is cut off. Unless a member of a later group is found behind it: then the archive
 * is damaged in the middle, and is left as it is. A frame may itself be an archive of ours, so only members count that
 * were written for this one.
 */
import { crc32 } from "../../bytes/checksum.ts";
import { ExitStatus, UserError } from "../../errors.ts";
import type { HeldFrame } from "../../frame.ts";
import { KiB } from "../../limits.ts";
import type { ArchiveFile } from "../archive-file.ts";
import { type MemberFacts, newArchiveId, parseFacts } from "./facts.ts";
import { blockBytes, decodeBlock, decodeRecords, endBytes, extensionPath, padded, parseSeconds } from "./format.ts";

/** Read at once: the heads of a member. More would make the system read the bytes that are to be skipped. */
const windowBytes: number = 2 * KiB;
/** Names and facts are a few kilobytes; an archive of another program may have more, which are then not ours. */
const recordsBytesMax: number = 64 * KiB;
/** Facts are ours whatever their member is. */
const nothing = { bytes: 0, modifiedNs: 0n };
const checkBytes: number = 256 * KiB;
/** An empty archive of any program: two blocks of zeros and what fills a record of twenty. */
const emptyBytesMax: number = 20 * blockBytes;

interface ScannedMember {
  /** Of its first head. */
  readonly start: number;
  readonly dataStart: number;
  readonly bytes: number;
  /** Where the next member begins. */
  readonly end: number;
  readonly path: string;
  /** Undefined: not written by framepipe. */
  readonly facts: MemberFacts | undefined;
}

export interface ScannedArchive {
  /** Where the next member has to begin. */
  readonly end: number;
  /** For the facts of its members. */
  readonly archive: string;
  /** It is no torn tail that begins at `end`: members of a later group follow behind it. */
  readonly isDamaged: boolean;
}

type ReadFile = Pick<ArchiveFile, "bytes" | "read">;
/** `at`: where its bytes begin. A frame of no device is another program's member. */
export type TarEntry =
  | { readonly kind: "frame"; readonly held: HeldFrame; readonly at: number }
  /** Gaps, stretches or ends. */
  | { readonly kind: "lines"; readonly path: string; readonly at: number; readonly bytes: number };

/** Empty, or begun by framepipe. What other programs have made is left alone: what follows its end may be data. */
export function isOurTar(file: ReadFile): boolean {
  return isOurs(new BlockReader(file), file);
}

/** Calls `found` for each frame in the archive, in order. Throws UserError for what is no archive of ours. */
export function scanTar(place: string, file: ReadFile, found: (held: HeldFrame) => void): ScannedArchive {
  const entries = readTar(place, file);
  for (;;) {
    const next = entries.next();
    if (next.done === true) return next.value;
    if (next.value.kind === "frame") found(next.value.held);
  }
}

/**
 * What is in the archive, in order. `wrong`: a frame of the last group that is not as it was written, which a power
 * loss can leave, ends the archive, or counts as one if the end of the archive is there as well. Throws UserError for
 * what is no archive of ours.
 */
export function* readTar(
  place: string,
  file: ReadFile,
  wrong: "ends" | "counts" = "ends",
): Generator<TarEntry, ScannedArchive> {
  const reader = new BlockReader(file);
  if (!isOurs(reader, file)) throw notOurs(place);
  let end = 0;
  // Members of the last group seen, which may not be whole.
  let group: ScannedMember[] = [];
  for (;;) {
    const member = readMember(reader, end, file.bytes);
    if (member === undefined) break;
    const last = group.at(-1);
    if (last !== undefined && last.facts?.group !== member.facts?.group) {
      for (const whole of group) yield entryOf(whole);
      group = [];
    }
    group.push(member);
    end = member.end;
  }
  const counts = wrong === "counts" && end + endBytes === file.bytes && isZeros(file, end, endBytes);
  for (const member of group) {
    const expected = member.facts?.crc32;
    if (!counts && expected !== undefined && checksum(file, member) !== expected) {
      end = member.start;
      break;
    }
    yield entryOf(member);
  }
  // The first member may not be whole, but its head tells.
  const archive = readMember(reader, 0, Number.POSITIVE_INFINITY)?.facts?.archive;
  const isDamaged = laterGroupBehind(reader, { archive, end, fileBytes: file.bytes });
  return { end, archive: (end === 0 ? undefined : archive) ?? newArchiveId(), isDamaged };
}

function entryOf({ path, bytes, dataStart: at, facts }: ScannedMember): TarEntry {
  if (facts?.held !== undefined) return { kind: "frame", held: { ...facts.held, path }, at };
  // Added by another program: no frame of anybody, but its path is taken.
  if (facts === undefined) return { kind: "frame", held: stranger(path, bytes), at };
  return { kind: "lines", path, at, bytes };
}

function stranger(path: string, bytes: number): HeldFrame {
  const origin = { device: "", source: "", session: "" };
  return { frame: { origin, name: path, sequence: 0, bytes, capturedNs: 0n }, path, number: 1, crc32: 0 };
}

function isOurs(reader: BlockReader, file: ReadFile): boolean {
  if (file.bytes === 0) return true;
  const block = reader.view(0, blockBytes);
  const head = block === undefined ? undefined : decodeBlock(block);
  if (head !== "zeros") return head?.path === extensionPath && head.type === "x";
  return file.bytes <= emptyBytesMax && isZeros(file, 0, file.bytes);
}

function isZeros(file: ReadFile, at: number, bytes: number): boolean {
  const found = new Uint8Array(bytes);
  file.read(found, at);
  return found.every((byte) => byte === 0);
}

/** The member that begins at `start`, or undefined if none does or not all of it is there. */
function readMember(reader: BlockReader, start: number, fileBytes: number): ScannedMember | undefined {
  let position = start;
  let records = new Map<string, string>();
  for (;;) {
    const block = reader.view(position, blockBytes);
    const head = block === undefined ? undefined : decodeBlock(block);
    if (head === undefined || head === "zeros") return undefined;
    const dataStart = position + blockBytes;
    const extended = head.type === "x" || head.type === "L" || head.type === "K" || head.type === "g";
    const bytes = extended ? head.bytes : Number(records.get("size") ?? head.bytes);
    const end = dataStart + padded(bytes);
    if (!Number.isSafeInteger(end) || end > fileBytes) return undefined;
    if (!extended) {
      const modifiedNs = parseSeconds(records.get("mtime") ?? String(head.seconds)) ?? 0n;
      const facts = parseFacts(records.get("comment"), { bytes, modifiedNs });
      return { start, dataStart, bytes, end, path: records.get("path") ?? head.path, facts };
    }
    if (head.type === "x") {
      const view = bytes <= recordsBytesMax ? reader.view(dataStart, bytes) : undefined;
      const found = view === undefined ? undefined : decodeRecords(view);
      // One of ours that a power loss has torn is no stranger's: nothing behind it counts.
      if (head.path === extensionPath && parseFacts(found?.get("comment"), nothing) === undefined) return undefined;
      records = found ?? new Map<string, string>();
    } else if (head.type === "L") {
      const view = bytes <= recordsBytesMax ? reader.view(dataStart, bytes) : undefined;
      records.set(
        "path",
        Buffer.from(view ?? [])
          .toString()
          .replace(/\0.*$/s, ""),
      );
    }
    position = end;
  }
}

/** Whether a group of this archive, or if it is not known of any, began behind `end`: then that is no torn tail. */
function laterGroupBehind(
  reader: BlockReader,
  {
    archive,
    end,
    fileBytes,
  }: { readonly archive: string | undefined; readonly end: number; readonly fileBytes: number },
): boolean {
  for (let position = end; position + blockBytes <= fileBytes; position += blockBytes) {
    if (!reader.startsWith(position, extensionPath)) continue;
    const facts = readMember(reader, position, fileBytes)?.facts;
    if (facts === undefined || (archive !== undefined && facts.archive !== archive)) continue;
    // An older copy of this very archive may be a frame of it: its groups are earlier ones.
    if (facts.group > end && facts.group <= position) return true;
  }
  return false;
}

function checksum(file: ReadFile, member: ScannedMember): number {
  const buffer = new Uint8Array(Math.min(checkBytes, member.bytes));
  let value = 0;
  for (let done = 0; done < member.bytes;) {
    const piece = buffer.subarray(0, Math.min(buffer.byteLength, member.bytes - done));
    if (file.read(piece, member.dataStart + done) < piece.byteLength) return Number.NaN;
    value = crc32(piece, value);
    done += piece.byteLength;
  }
  return value;
}

/** Gives parts of the file, read a window at a time. */
class BlockReader {
  readonly #file: ReadFile;
  #window = new Uint8Array(windowBytes);
  #start = 0;
  #bytes = 0;

  constructor(file: ReadFile) {
    this.#file = file;
  }

  /** Valid until the next call; undefined if the file ends before that. */
  view(position: number, bytes: number): Uint8Array | undefined {
    if (position < this.#start || position + bytes > this.#start + this.#bytes) {
      if (bytes > this.#window.byteLength) this.#window = new Uint8Array(bytes);
      this.#start = position;
      this.#bytes = this.#file.read(this.#window, position);
    }
    const offset = position - this.#start;
    return offset + bytes <= this.#bytes ? this.#window.subarray(offset, offset + bytes) : undefined;
  }

  startsWith(position: number, text: string): boolean {
    const view = this.view(position, blockBytes);
    return view !== undefined && Buffer.from(view.buffer, view.byteOffset, text.length).toString("latin1") === text;
  }
}

function notOurs(place: string): UserError {
  return new UserError(
    `cannot store in ${place}: it is not an archive that framepipe has begun`,
    ["it stays as it is; choose another name with --out"],
    ExitStatus.failure,
  );
}

export function damagedTar(place: string, position: number): UserError {
  return new UserError(
    `cannot store in ${place}: it is damaged at byte ${position}, and frames follow behind that`,
    ["it stays as it is; choose another name with --out", `what can be read: tar --ignore-zeros -tvf '${place}'`],
    ExitStatus.failure,
  );
}
