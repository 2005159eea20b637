/**
 * Which bytes are a JPEG marker with a good segment (ITU-T T.81 annex B). Tables and frame headers can be checked in
 * themselves; of application data and comments only the length is there, and what stands behind it has to prove it.
 */
import type { PieceQueue } from "./piece-queue.ts";

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
  com: 0xfe,
} as const;

/** FF RST0 … FF RST7. */
export function isRestart(code: number): boolean {
  return (code & 0xf8) === marker.rst0;
}

/** SOF0 … SOF15, and that of JPEG-LS. */
export function isFrameHeader(code: number): boolean {
  const others = code === marker.dht || code === marker.jpg || code === marker.dac;
  return (code >= 0xc0 && code <= 0xcf && !others) || code === 0xf7;
}

/** Its content can be checked. */
function isTable(code: number): boolean {
  return code <= marker.dri && code !== marker.jpg;
}

export interface GoodSegment {
  readonly kind: "good";
  readonly end: number;
  /** It is good in itself; otherwise what follows its end has to be looked at. */
  readonly known: boolean;
}
export type Segment = GoodSegment | { readonly kind: "more" } | { readonly kind: "bad" };

const more: Segment = { kind: "more" };
const bad: Segment = { kind: "bad" };

/** The segment of the marker at `at`, whose code is there. */
export function segmentAt(bytes: PieceQueue, at: number, to: number): Segment {
  const code = bytes.byteAt(at + 1);
  if (code < marker.first || isRestart(code) || code === marker.soi || code === marker.eoi) return bad;
  if (code === marker.jpg || code === marker.fill) return bad;
  if (at + 4 > to) return more;
  const length = bytes.u16At(at + 2);
  const end = at + 2 + length;
  if (!isTable(code) && code !== 0xf7) {
    if (length < 2) return bad;
    const known = isKnownApplication(bytes, at, to);
    return known === undefined ? more : { kind: "good", end, known };
  }
  if (length < 3 || length > tableBytesMax(code)) return bad;
  if (end > to) return more;
  const content = bytes.viewOf(at + 4, end);
  // The next picture may begin in its last bytes.
  const last = content.at(-1);
  const cut = last === 0xff ? 2 : last === marker.soi && content.at(-2) === 0xff ? 1 : 0;
  if (cut > to - end) return more;
  return isGoodTable(content, code) && !holdsStart(cut === 0 ? content : bytes.viewOf(at + 4, end + cut))
    ? { kind: "good", end, known: true }
    : bad;
}

function tableBytesMax(code: number): number {
  if (code === marker.dqt) return 2 + 16 * 129;
  if (code === marker.dht) return 2 + 8 * (17 + 256);
  if (code === marker.dac) return 2 + 2 * 32;
  if (code === marker.dnl || code === marker.dri) return 4;
  return code === marker.sos ? 6 + 2 * 4 : 8 + 3 * 255;
}

/** The content is what such a segment holds, to the byte. */
function isGoodTable(content: Uint8Array, code: number): boolean {
  const { length } = content;
  switch (code) {
    case marker.dqt:
      return isTablesToTheByte(content, quantizationBytes);
    case marker.dht:
      return isTablesToTheByte(content, huffmanBytes);
    case marker.dac:
      return length % 2 === 0;
    case marker.dnl:
    case marker.dri:
      return length === 2;
    case marker.sos: {
      const components = content[0] ?? 0;
      return components >= 1 && components <= 4 && length === 4 + 2 * components;
    }
    default:
      return isFrameHeader(code) && isGoodFrameHeader(content);
  }
}

function isGoodFrameHeader(content: Uint8Array): boolean {
  if (content.length < 9) return false;
  // No lines: their number follows the first scan.
  const [precision = 0, , , wide = 0, width = 0, components = 0] = content;
  const sizes = precision >= 2 && precision <= 16 && (wide > 0 || width > 0);
  return sizes && components >= 1 && content.length === 6 + 3 * components;
}

function isTablesToTheByte(content: Uint8Array, bytesOf: (content: Uint8Array, at: number) => number): boolean {
  let at = 0;
  while (at < content.length) {
    const length = bytesOf(content, at);
    if (length === 0) return false;
    at += length;
  }
  return at === content.length;
}

/** 0: there is no table at `at`. */
function quantizationBytes(content: Uint8Array, at: number): number {
  const first = content[at] as number;
  return first >> 4 > 1 || (first & 15) > 3 ? 0 : 65 + 64 * (first >> 4);
}

function huffmanBytes(content: Uint8Array, at: number): number {
  const first = content[at] as number;
  if (first >> 4 > 1 || (first & 15) > 3 || at + 17 > content.length) return 0;
  let values = 0;
  for (let index = 1; index <= 16; index++) values += content[at + index] as number;
  return values > 256 ? 0 : 17 + values;
}

/** A picture may begin in it: a table that has this in it has lost its own end. */
function holdsStart(content: Uint8Array): boolean {
  for (let at = content.indexOf(0xff); at !== -1; at = content.indexOf(0xff, at + 1)) {
    if (content[at + 1] === marker.soi && content[at + 2] === 0xff) return true;
  }
  return false;
}

/** Where pictures may begin in a segment, at most `max` of them. */
export function startsWithin(bytes: PieceQueue, from: number, to: number, max: number): number[] {
  const found: number[] = [];
  for (
    let at = bytes.indexOf(0xff, from, to);
    at + 3 <= to && found.length < max;
    at = bytes.indexOf(0xff, at + 1, to)
  ) {
    if (bytes.byteAt(at + 1) === marker.soi && bytes.byteAt(at + 2) === 0xff) found.push(at);
  }
  return found;
}

/** What writers put first into application data. Anything may stand in data without such a word. */
const applications = ["JFIF\0", "JFXX\0", "AVI1", "Exif\0", "http://", "ICC_PROFILE\0", "MPF\0", "FLIR\0", "Adobe"].map(
  (word) => new TextEncoder().encode(word),
);
const commentShown = 8;
const longest = Math.max(...applications.map((word) => word.length));

/** Undefined: too little of it is here. */
function isKnownApplication(bytes: PieceQueue, at: number, to: number): boolean | undefined {
  const code = bytes.byteAt(at + 1);
  if (code === marker.com) return isComment(bytes, at, to);
  if (code < marker.app0 || code > marker.appLast) return false;
  const room = Math.min(longest, bytes.u16At(at + 2) - 2, to - at - 4);
  if (applications.some((word) => word.length <= room && bytes.has(word, at + 4))) return true;
  const cut = room < Math.min(longest, bytes.u16At(at + 2) - 2);
  return cut && applications.some((word) => word.length > room && bytes.has(word.subarray(0, room), at + 4))
    ? undefined
    : false;
}

/** A comment is text. */
function isComment(bytes: PieceQueue, at: number, to: number): boolean | undefined {
  const end = at + 4 + Math.min(bytes.u16At(at + 2) - 2, commentShown);
  if (end - at - 4 < commentShown) return false;
  const text = bytes.textAt(at + 4, Math.min(end, to));
  if (!/^[\t\n\r\x20-\x7e]*$/.test(text)) return false;
  return end > to ? undefined : true;
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
