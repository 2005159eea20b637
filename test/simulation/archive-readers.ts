/**
 * What is in an archive, as a plain reader finds it: from its start, as far as its records are whole. Not the code that
 * the next receiver reads it with, and quick enough to be used after each commit.
 */
import { channelIds, readFact } from "../../src/archive-formats/mcap/format.ts";
import { chunkHeadBytes, growingOpcode } from "../../src/archive-formats/mcap/records.ts";
import { blockBytes, decodeBlock, decodeRecords, padded, parseSeconds } from "../../src/archive-formats/tar/format.ts";
import type { Frame, Gap, HeldFrame, SourceEnd } from "../../src/frame.ts";

export interface Contents {
  /** Frames by path: their bytes, and what is recorded of them. */
  readonly files: Map<string, Uint8Array>;
  readonly rows: Map<string, HeldFrame>;
  readonly gaps: Gap[];
  readonly ends: SourceEnd[];
}

function noContents(): Contents {
  return { files: new Map(), rows: new Map(), gaps: [], ends: [] };
}

function addFrame(contents: Contents, held: HeldFrame, bytes: Uint8Array): void {
  if (contents.files.has(held.path)) throw new Error(`${held.path} is in the archive twice`);
  contents.files.set(held.path, bytes);
  contents.rows.set(held.path, held);
}

type Fields = Record<string, unknown>;

function addGap(contents: Contents, fields: Fields, firstSequence: unknown): void {
  contents.gaps.push({ ...fields, origin: fields, firstSequence } as unknown as Gap);
}

function addEnd(contents: Contents, fields: Fields): void {
  const { device, source, session, frames, stored, duplicates, conflicts, refused, skipped } = fields;
  const totals = { frames, stored, duplicates, conflicts, refused, skipped };
  contents.ends.push({ origin: { device, source, session }, totals } as unknown as SourceEnd);
}

export function readTar(archive: Buffer): Contents {
  const contents = noContents();
  let records = new Map<string, string>();
  for (let at = 0; at + blockBytes <= archive.byteLength;) {
    const head = decodeBlock(archive.subarray(at, at + blockBytes));
    if (head === undefined || head === "zeros") break;
    const start = at + blockBytes;
    at = start + padded(head.bytes);
    if (at > archive.byteLength) break;
    const data = archive.subarray(start, start + head.bytes);
    if (head.type === "x") {
      records = decodeRecords(data) ?? new Map<string, string>();
      continue;
    }
    const path = records.get("path") ?? head.path;
    const capturedNs = parseSeconds(records.get("mtime") ?? String(head.seconds)) ?? 0n;
    addMember(contents, { path, data, capturedNs, facts: JSON.parse(records.get("comment") ?? "{}") as Fields });
    records = new Map();
  }
  return contents;
}

interface Member {
  readonly path: string;
  readonly data: Buffer;
  readonly capturedNs: bigint;
  readonly facts: Fields;
}

function addMember(contents: Contents, { path, data, capturedNs, facts }: Member): void {
  const [, kind] = /^\.framepipe\/(gaps|ends)\//.exec(path) ?? [];
  if (kind === undefined) {
    const { name, sequence, number, crc32, device, source, session } = facts;
    const frame = { origin: { device, source, session }, name, sequence, bytes: data.byteLength, capturedNs } as Frame;
    return addFrame(contents, { frame, path, number: number as number, crc32: crc32 as number }, data);
  }
  for (const line of data.toString().trimEnd().split("\n")) {
    // The nanoseconds at the end of a line are more than a number holds, and not looked at.
    const fields = JSON.parse(line) as Fields;
    if (kind === "gaps") addGap(contents, fields, fields["firstSequence"]);
    else addEnd(contents, fields);
  }
}

const recordHeadBytes = 9;
const messageHeadBytes = 22;
const magicBytes = 8;
const opcodes = { message: 0x05, chunk: 0x06, dataEnd: 0x0f } as const;

export function readMcap(archive: Buffer): Contents {
  const contents = noContents();
  let last: Buffer | undefined;
  for (let at = magicBytes; at + recordHeadBytes <= archive.byteLength;) {
    const opcode = archive[at];
    if (opcode === opcodes.dataEnd) break;
    if (opcode === opcodes.chunk || opcode === growingOpcode) {
      at += chunkHeadBytes;
      continue;
    }
    const start = at + recordHeadBytes;
    at = start + Number(archive.readBigUInt64LE(at + 1));
    if (opcode === 0 || at > archive.byteLength) break;
    if (opcode !== opcodes.message) continue;
    const channelId = archive.readUInt16LE(start);
    const data = archive.subarray(start + messageHeadBytes, at);
    if (channelId === channelIds.gaps) {
      const fields = JSON.parse(data.toString()) as Fields;
      addGap(contents, fields, fields["first_sequence"]);
    } else if (channelId === channelIds.ends) addEnd(contents, JSON.parse(data.toString()) as Fields);
    else if (channelId === channelIds.frames) {
      const held = readFact(channelId, data.toString())?.held;
      if (held === undefined || last === undefined) throw new Error("a fact without its frame");
      // What makes a picture of it stands before its bytes.
      addFrame(contents, held, last.subarray(last.byteLength - held.frame.bytes));
      last = undefined;
    } else last = data;
  }
  return contents;
}
