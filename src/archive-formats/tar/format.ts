/**
 * The few parts of the tar format (POSIX.1-2001 "pax") that an archive of frames needs: one member is
 *
 *     head of an extended header (512) | its records, padded | head of the member (512) | its bytes, padded
 *
 * The extended header carries what a plain head cannot: the time in nanoseconds, long and non-ASCII paths, sizes from
 * 8 GiB on, and in the keyword `comment`, which every reader passes over in silence, our own facts.
 *
 * Written here and not taken from the package tar-stream, because that one moves all bytes through Node.js streams,
 * reads an archive only by reading all of it, and keeps its headers to itself.
 */
import { assert } from "../../errors.ts";

export const blockBytes = 512;
/** Two blocks of zeros are the end of an archive. */
export const endBytes: number = 2 * blockBytes;
/** The member name of our extended headers: so the first block of an archive tells that it is ours. */
export const extensionPath = ".framepipe/pax";

const plainSizeMax = 8 ** 11 - 1;
const plainPathBytesMax = 100;
const mode = 0o644;

export interface Member {
  /** With `/` between its segments. */
  readonly path: string;
  readonly bytes: number;
  readonly modifiedNs: bigint;
  readonly comment: string;
}

/** What stands before the member's bytes, in memory that `reserve` gives: there may be anything in that. */
export function encodeHead(member: Member, reserve: (bytes: number) => Buffer = Buffer.alloc): Buffer {
  const { path, bytes, modifiedNs, comment } = member;
  const pathBytes = Buffer.byteLength(path);
  // More bytes than characters: not ASCII.
  const plainPath = pathBytes <= plainPathBytesMax && pathBytes === path.length;
  const records =
    record("mtime", decimalSeconds(modifiedNs)) +
    (plainPath ? "" : record("path", path)) +
    (bytes <= plainSizeMax ? "" : record("size", String(bytes))) +
    record("comment", comment);
  const recordsBytes = Buffer.byteLength(records);
  const head = reserve(2 * blockBytes + padded(recordsBytes));
  const seconds = modifiedNs < 0n ? 0 : Math.min(Number(modifiedNs / 1_000_000_000n), plainSizeMax);
  encodeBlock(head, 0, extensionBlock, { path: extensionPath, bytes: recordsBytes, seconds });
  head.write(records, blockBytes);
  const memberAt = head.length - blockBytes;
  head.fill(0, blockBytes + recordsBytes, memberAt);
  // For readers that know no extended headers.
  const shortPath = plainPath ? path : Buffer.from(path).toString("latin1", 0, plainPathBytesMax);
  encodeBlock(head, memberAt, memberBlock, { path: shortPath, bytes: bytes <= plainSizeMax ? bytes : 0, seconds });
  return head;
}

/** `bytes` with what fills its last block. */
export function padded(bytes: number): number {
  return bytes + paddingBytes(bytes);
}

export function paddingBytes(bytes: number): number {
  // Not with bits: sizes do not fit 32 of them.
  const rest = bytes % blockBytes;
  return rest === 0 ? 0 : blockBytes - rest;
}

/** `LENGTH KEYWORD=VALUE\n`, where the length counts itself. */
function record(keyword: string, value: string): string {
  const rest = ` ${keyword}=${value}\n`;
  const restBytes = Buffer.byteLength(rest);
  let bytes = restBytes + String(restBytes).length;
  if (restBytes + String(bytes).length !== bytes) bytes += 1;
  return bytes + rest;
}

/** Nanoseconds as seconds with nine decimals. */
function decimalSeconds(ns: bigint): string {
  const digits = String(ns < 0n ? -ns : ns).padStart(10, "0");
  return `${ns < 0n ? "-" : ""}${digits.slice(0, -9)}.${digits.slice(-9)}`;
}

/** The inverse of `decimalSeconds`, with any number of decimals; undefined for what is no number. */
export function parseSeconds(text: string): bigint | undefined {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  if (match === null) return undefined;
  const [, sign, seconds = "", decimals = ""] = match;
  const ns = BigInt(seconds + decimals.slice(0, 9).padEnd(9, "0"));
  return sign === "-" ? -ns : ns;
}

interface Block {
  /** Latin-1. */
  readonly path: string;
  readonly bytes: number;
  /** Modification time, whole seconds since the epoch. */
  readonly seconds: number;
  /** `0` a file, `x` an extended header for the next member, and others. */
  readonly type: string;
}

const pathAt = 0;
const sizeAt = 124;
const timeAt = 136;
const checksumAt = 148;
/** Digits of a size or time; of a checksum. */
const fieldDigits = 11;
const checksumDigits = 6;

const extensionBlock = emptyBlock("x");
const memberBlock = emptyBlock("0");

/** A block without a path, whose numbers are 0, and its checksum. */
function emptyBlock(type: string): { readonly block: Buffer; readonly checksum: number } {
  const block = Buffer.alloc(blockBytes);
  block.write(octal(mode, 7), 100, "latin1");
  block.write(octal(0, 7), 108, "latin1");
  block.write(octal(0, 7), 116, "latin1");
  block.write(octal(0, fieldDigits), sizeAt, "latin1");
  block.write(octal(0, fieldDigits), timeAt, "latin1");
  block.write(" ".repeat(8), checksumAt, "latin1");
  block.write(type, 156, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  return { block, checksum: checksumOf(block) };
}

/** Copies an empty block and fills it in. What is added to the checksum is what differs from a 0 or from nothing. */
function encodeBlock(
  head: Buffer,
  at: number,
  { block, checksum }: ReturnType<typeof emptyBlock>,
  { path, bytes, seconds }: Omit<Block, "type">,
): void {
  head.set(block, at);
  const pathBytes = head.write(path, at + pathAt, plainPathBytesMax, "latin1");
  let sum = checksum;
  for (let index = 0; index < pathBytes; index += 1) sum += head[at + pathAt + index] as number;
  sum += writeOctal(head, at + sizeAt, bytes, fieldDigits);
  sum += writeOctal(head, at + timeAt, seconds, fieldDigits);
  writeOctal(head, at + checksumAt, sum, checksumDigits);
  head[at + checksumAt + checksumDigits] = 0;
}

/** Writes digits without allocating, and returns their sum. */
function writeOctal(head: Buffer, at: number, value: number, digits: number): number {
  let [left, sum] = [value, 0];
  for (let index = at + digits - 1; index >= at; index -= 1) {
    // Not with bits: sizes do not fit 32 of them.
    const digit = left % 8;
    left = (left - digit) / 8;
    head[index] = 0x30 + digit;
    sum += digit;
  }
  assert(left === 0, "a number fits its field");
  return sum;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}

/** The sum of all bytes, the checksum's own field taken for spaces. */
function checksumOf(block: Uint8Array): number {
  let sum = 8 * 0x20;
  for (let index = 0; index < 148; index += 1) sum += block[index] ?? 0;
  for (let index = 156; index < blockBytes; index += 1) sum += block[index] ?? 0;
  return sum;
}

/** Reads one block. `zeros`: the end of the archive; undefined: not the head of anything. */
export function decodeBlock(block: Uint8Array): Block | "zeros" | undefined {
  assert(block.byteLength === blockBytes, "a block has its size");
  if (block.every((byte) => byte === 0)) return "zeros";
  const text = Buffer.from(block.buffer, block.byteOffset, blockBytes).toString("latin1");
  if (parseOctal(text, 148, 8) !== checksumOf(block)) return undefined;
  const bytes = (block[124] ?? 0) & 0x80 ? parseBinary(block, 124, 12) : parseOctal(text, 124, 12);
  if (bytes === undefined) return undefined;
  const name = upToZero(text.slice(0, plainPathBytesMax));
  // GNU's own format uses the prefix's place for other things.
  const prefix = text.startsWith("ustar\0", 257) ? upToZero(text.slice(345, 500)) : "";
  const path = prefix === "" ? name : `${prefix}/${name}`;
  return { path, bytes, seconds: parseOctal(text, 136, 12) ?? 0, type: text[156] ?? "" };
}

function upToZero(text: string): string {
  const end = text.indexOf("\0");
  return end === -1 ? text : text.slice(0, end);
}

function parseOctal(text: string, start: number, length: number): number | undefined {
  const digits = /^ *([0-7]+)[ \0]*$/.exec(text.slice(start, start + length))?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 8);
}

/** Sizes from 8 GiB on, as GNU tar writes them in its own format. */
function parseBinary(block: Uint8Array, start: number, length: number): number | undefined {
  let value = (block[start] ?? 0) & 0x7f;
  for (let index = start + 1; index < start + length; index += 1) value = value * 256 + (block[index] ?? 0);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** The records of an extended header; undefined if they are not well-formed. */
export function decodeRecords(bytes: Uint8Array): Map<string, string> | undefined {
  const records = new Map<string, string>();
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let start = 0; start < buffer.length;) {
    const space = buffer.indexOf(" ", start);
    const length = Number(buffer.toString("latin1", start, space === -1 ? start : space));
    const end = start + length;
    if (!Number.isSafeInteger(length) || end <= space + 1 || end > buffer.length) return undefined;
    const equals = buffer.indexOf("=", space);
    if (equals === -1 || equals >= end || buffer[end - 1] !== 0x0a) return undefined;
    records.set(buffer.toString("utf8", space + 1, equals), buffer.toString("utf8", equals + 1, end - 1));
    start = end;
  }
  return records;
}
