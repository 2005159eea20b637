/**
 * Which bytes are a JPEG marker with a good segment (ITU-T T.81 annex B). Tables and frame headers can be checked in
 * themselves; of application data and comments only the length is there, and what stands behind it has to prove it.
 */
import { isText } from "./byte-kinds.ts";
import { type Block, indexOfByte, type PieceQueue } from "./piece-queue.ts";
import type { Glance } from "./walk.ts";

export const marker = {
  fill: 0xff,
  tem: 0x01,
  first: 0xc0,
  dht: 0xc4,
  jpg: 0xc8,
  dac: 0xcc,
  rst0: 0xd0,
  soi: 0xd8,
  eoi: 0xd9,
  sos: 0xda,
  dqt: 0xdb,
  dnl: 0xdc,
  dri: 0xdd,
  app0: 0xe0,
  appLast: 0xef,
  sofLs: 0xf7,
  com: 0xfe,
} as const;

/** FF RST0 … FF RST7. */
export function isRestart(code: number): boolean {
  return (code & 0xf8) === marker.rst0;
}

/** SOF0 … SOF15, and that of JPEG-LS. */
export function isFrameHeader(code: number): boolean {
  const others = code === marker.dht || code === marker.jpg || code === marker.dac;
  return (code >= 0xc0 && code <= 0xcf && !others) || code === marker.sofLs;
}

/** Its content cannot be checked: application data, comments, and what is reserved. */
export function isOpaque(code: number): boolean {
  return code >= marker.app0 && code !== marker.sofLs;
}

/** Instead of an end: there is none, or too little is here to tell. */
export const bad = -1;
export const more = -2;

/** The longest table there can be is eight of Huffman's, and behind it two bytes are looked at. */
const toldBytesMax = 2 + 2 + 8 * (17 + 256) + 2;

/** All that tells of the segment of a marker, in one: `at`, which is before `to`. */
export function blockOfSegment(bytes: PieceQueue, at: number, to: number): Block {
  const block = bytes.blockAt(at);
  return holdsSegment(block, at, to) ? block : bytes.blockOf(at, Math.min(to, at + toldBytesMax));
}

/** Whether a block has all that tells of the segment of a marker in it. */
export function holdsSegment({ at: first, bytes }: Block, at: number, to: number): boolean {
  const end = first + bytes.length;
  if (to <= end) return true;
  const index = at - first;
  if (at + 4 > end) return false;
  const length = ((bytes[index + 2] as number) << 8) | (bytes[index + 3] as number);
  return at + Math.min(2 + length + 2, toldBytesMax) <= end;
}

/**
 * Where the segment of the marker at `at` ends, whose code is there; `bad` if none begins there, and `more`. A table or
 * a frame header that ends is good in itself; of the others only the length was read.
 */
export function segmentEnd(bytes: Uint8Array, at: number, to: number): number {
  const code = bytes[at + 1] as number;
  if (code < marker.first || isRestart(code) || code === marker.soi || code === marker.eoi) return bad;
  if (code === marker.jpg || code === marker.fill) return bad;
  if (at + 4 > to) return more;
  const length = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
  const end = at + 2 + length;
  // A length that wrapped may be less than its own bytes.
  if (isOpaque(code)) return length < 2 && isKnown(bytes, at, to) === "no" ? bad : end;
  if (length < 3 || length > tableBytesMax(code)) return bad;
  if (end > to) return more;
  if (!isGoodTable(bytes, at + 4, end, code)) return bad;
  const next = startWithin(bytes, at + 4, end, to);
  return next === "no" ? end : next === "yes" ? bad : more;
}

/** `segmentEnd`, of segments that only a picture has: the others are `bad`. */
export function knownSegmentEnd(bytes: PieceQueue, at: number, to: number): number {
  const block = blockOfSegment(bytes, at, to);
  const [index, limit] = [at - block.at, to - block.at];
  const end = segmentEnd(block.bytes, index, limit);
  if (end < 0) return end;
  const known = isKnown(block.bytes, index, limit);
  return known === "yes" ? block.at + end : known === "more" ? more : bad;
}

function tableBytesMax(code: number): number {
  if (code === marker.dqt) return 2 + 16 * 129;
  if (code === marker.dht) return 2 + 8 * (17 + 256);
  if (code === marker.dac) return 2 + 2 * 32;
  if (code === marker.dnl || code === marker.dri) return 4;
  return code === marker.sos ? 6 + 2 * 4 : 8 + 3 * 255;
}

/** What lies from `from` to `to` is what such a segment holds, to the byte. */
function isGoodTable(bytes: Uint8Array, from: number, to: number, code: number): boolean {
  const length = to - from;
  switch (code) {
    case marker.dqt: {
      let at = from;
      for (let size = 1; at < to && size > 0; at += size) size = quantizationBytes(bytes[at] as number);
      return at === to;
    }
    case marker.dht: {
      let at = from;
      for (let size = 1; at + 17 <= to && size > 0; at += size) size = huffmanBytes(bytes, at);
      return at === to;
    }
    case marker.dac:
      return length % 2 === 0;
    case marker.dnl:
    case marker.dri:
      return length === 2;
    case marker.sos: {
      const components = bytes[from] as number;
      return components >= 1 && components <= 4 && length === 4 + 2 * components;
    }
    default:
      return isFrameHeader(code) && isGoodFrameHeader(bytes, from, length);
  }
}

function isGoodFrameHeader(bytes: Uint8Array, from: number, length: number): boolean {
  if (length < 9) return false;
  const precision = bytes[from] as number;
  // No lines: their number follows the first scan.
  const width = (bytes[from + 3] as number) | (bytes[from + 4] as number);
  const components = bytes[from + 5] as number;
  return precision >= 2 && precision <= 16 && width > 0 && components >= 1 && length === 6 + 3 * components;
}

/** 0: there is no table. */
function quantizationBytes(first: number): number {
  return first >> 4 > 1 || (first & 15) > 3 ? 0 : 65 + 64 * (first >> 4);
}

function huffmanBytes(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first >> 4 > 1 || (first & 15) > 3) return 0;
  let values = 0;
  for (let index = at + 1; index <= at + 16; index++) values += bytes[index] as number;
  return values > 256 ? 0 : 17 + values;
}

/**
 * Whether a picture may begin in a table: then it has lost its own end. `more`: in its last bytes, and the next are not
 * here.
 */
function startWithin(bytes: Uint8Array, from: number, end: number, to: number): Glance {
  for (
    let at = indexOfByte(bytes, marker.fill, from, end);
    at < end;
    at = indexOfByte(bytes, marker.fill, at + 1, end)
  ) {
    if (at + 1 === to) return "more";
    if (bytes[at + 1] !== marker.soi) continue;
    if (at + 2 === to) return "more";
    if (bytes[at + 2] === marker.fill) return "yes";
  }
  return "no";
}

/** What writers put first into application data. Anything may stand in data without such a word. */
const applications = ["JFIF\0", "JFXX\0", "AVI1", "Exif\0", "http://", "ICC_PROFILE\0", "MPF\0", "FLIR\0", "Adobe"].map(
  (word) => new TextEncoder().encode(word),
);
const commentShown = 8;

/** Whether the good segment of the marker at `at` is one that only a picture has. `more`: too little of it is here. */
export function isKnown(bytes: Uint8Array, at: number, to: number): Glance {
  const code = bytes[at + 1] as number;
  if (!isOpaque(code)) return "yes";
  const from = at + 4;
  if (code === marker.com) {
    const length = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
    return isComment(bytes, from, at + 2 + (length < 2 ? length + 0x1_0000 : length), to);
  }
  if (code > marker.appLast) return "no";
  // Also behind the end of the segment: a length that wrapped may be less than the word.
  for (const word of applications) {
    const limit = Math.min(word.length, to - from);
    let same = 0;
    while (same < limit && bytes[from + same] === word[same]) same++;
    if (same === word.length) return "yes";
    if (from + same === to) return "more";
  }
  return "no";
}

/** A comment is text. */
function isComment(bytes: Uint8Array, from: number, end: number, to: number): Glance {
  const shown = from + commentShown;
  if (end < shown) return "no";
  for (let at = from; at < shown; at++) {
    if (at === to) return "more";
    if (isText[bytes[at] as number] === 0) return "no";
  }
  return "yes";
}

const none: readonly number[] = [];

/** Where pictures may begin in a segment, at most `max` of them. */
export function startsWithin(bytes: PieceQueue, from: number, to: number, max: number): readonly number[] {
  let found: number[] | undefined;
  for (
    let at = bytes.indexOf(marker.fill, from, to);
    at + 3 <= to && (found?.length ?? 0) < max;
    at = bytes.indexOf(marker.fill, at + 1, to)
  ) {
    if (bytes.byteAt(at + 1) === marker.soi && bytes.byteAt(at + 2) === marker.fill) (found ??= []).push(at);
  }
  return found ?? none;
}

/** Whether the headers from a start lead to the frame header at `frameHeaderAt`, as its first. */
export function leadsTo(bytes: PieceQueue, from: number, frameHeaderAt: number): boolean {
  let at = from + 2;
  while (at < frameHeaderAt) {
    if (bytes.byteAt(at) !== 0xff) return false;
    const code = bytes.byteAt(at + 1);
    if (code === marker.fill) at += 1;
    else if (code < marker.first || isFrameHeader(code) || endsHeaders(code)) return false;
    else at += 2 + bytes.u16At(at + 2);
  }
  return at === frameHeaderAt;
}

function endsHeaders(code: number): boolean {
  return code === marker.soi || code === marker.eoi || code === marker.sos;
}
