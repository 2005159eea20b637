/** Images made by hand, with all that makes their ends hard to find, and what may lie between them. */
import { crc32 } from "../../src/bytes/checksum.ts";
import { makeSplitter, type Split, type SplitStretch, type StreamFormat } from "../../src/splitters/splitter.ts";
import type { Random } from "../support/random.ts";

export const text = (words: string): Uint8Array => new TextEncoder().encode(words);
export const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

export const soi: Uint8Array = bytes(0xff, 0xd8);
export const eoi: Uint8Array = bytes(0xff, 0xd9);

/** A JPEG marker with its segment. */
export function segment(code: number, payload: Uint8Array): Uint8Array {
  const length = payload.length + 2;
  return concat(bytes(0xff, code, length >> 8, length & 0xff), payload);
}

/** SOS for one component. */
export const sos: Uint8Array = segment(0xda, bytes(1, 1, 0, 0, 63, 0));
/** What an ordinary image has before its scan. */
export const tables: Uint8Array = concat(
  segment(0xdb, new Uint8Array(65)),
  segment(0xc0, bytes(8, 0, 16, 0, 16, 1, 1, 0x11, 0)),
  segment(
    0xc4,
    Uint8Array.from({ length: 29 }, (_, at) => (at === 1 ? 12 : at < 17 ? 0 : at)),
  ),
);

/** Entropy-coded data: any bytes, FF stuffed. */
export function entropy(random: Random, length: number): Uint8Array {
  return Uint8Array.from([...random.bytes(length)].flatMap((byte) => (byte === 0xff ? [0xff, 0] : [byte])));
}

export function smallJpeg(random: Random, scanBytes = 200): Uint8Array {
  return concat(soi, tables, sos, entropy(random, scanBytes), eoi);
}

/** Every construct that T.81 allows between SOI and EOI, by chance. */
export function randomJpeg(random: Random, scanBytesMax = 3000): Uint8Array {
  const parts = [soi];
  const fill = (): Uint8Array => new Uint8Array(random.chance(0.2) ? random.int(4) : 0).fill(0xff);
  if (random.chance(0.5)) parts.push(segment(0xe0, concat(text("JFIF\0"), bytes(1, 1, 0, 0, 1, 0, 1, 0, 0))));
  if (random.chance(0.3)) parts.push(fill(), segment(0xe1, concat(text("Exif\0\0"), smallJpeg(random), bytes(0, 0))));
  if (random.chance(0.3)) parts.push(fill(), segment(0xe2, concat(eoi, random.bytes(random.int(50)), eoi)));
  if (random.chance(0.2)) parts.push(segment(0xfe, new Uint8Array(0)));
  parts.push(fill(), tables);
  if (random.chance(0.3)) parts.push(fill(), segment(0xdd, bytes(0, 4)));
  for (let scan = random.chance(0.3) ? 3 : 1; scan > 0; scan--) {
    parts.push(fill(), sos, entropy(random, random.int(scanBytesMax)));
    for (let restart = random.int(4); restart > 0; restart--) {
      parts.push(fill(), bytes(0xff, 0xd0 + random.int(8)), entropy(random, random.int(200)));
    }
    if (random.chance(0.2)) parts.push(segment(0xdc, bytes(0, 16)));
    if (scan > 1)
      parts.push(
        fill(),
        segment(
          0xc4,
          Uint8Array.from({ length: 20 }, (_, at) => (at === 3 ? 3 : 0)),
        ),
      );
  }
  return concat(...parts, fill(), eoi);
}

export function u32(value: number): Uint8Array {
  return bytes(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

/** A PNG chunk with its CRC. */
export function chunk(type: string, data: Uint8Array): Uint8Array {
  const checked = concat(text(type), data);
  return concat(u32(data.length), checked, u32(crc32(checked)));
}

export const pngSignature: Uint8Array = bytes(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

export function randomPng(random: Random, dataBytesMax = 2000): Uint8Array {
  const parts = [pngSignature, chunk("IHDR", concat(u32(16), u32(16), bytes(8, 2, 0, 0, 0)))];
  if (random.chance(0.3)) parts.push(chunk("acTL", new Uint8Array(8)));
  if (random.chance(0.3)) parts.push(chunk("tEXt", text("IEND is only a word here")));
  for (let count = random.int(4); count >= 0; count--) {
    parts.push(chunk("IDAT", random.bytes(random.int(dataBytesMax))));
    if (random.chance(0.2)) parts.push(chunk("fdAT", random.bytes(random.int(100))));
  }
  return concat(...parts, chunk("IEND", new Uint8Array(0)));
}

/** What may lie between images without being missed. */
export function randomPadding(random: Random): Uint8Array {
  const boundary = "\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 1234\r\n\r\n";
  return concat(
    new Uint8Array(random.chance(0.3) ? random.int(600) : 0),
    random.chance(0.2) ? eoi : bytes(),
    random.chance(0.3) ? text(boundary) : bytes(),
    random.chance(0.2) ? text("\r\n") : bytes(),
  );
}

/** Bytes in which no image begins. They cannot be taken for padding. */
export function randomGarbage(random: Random): Uint8Array {
  const garbage = random.bytes(1 + random.int(random.chance(0.2) ? 3000 : 30));
  return concat(
    bytes(7),
    garbage.map((byte) => (byte === 0xff || byte === 0x89 ? 7 : byte)),
  );
}

/** Cuts a stream as a pipe might: single bytes, some bytes, or many. */
export function randomPieces(random: Random, stream: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const lengthMax = random.pick([1, 8, 700, 5000, 65_536]);
  for (let at = 0; at < stream.length;) {
    const length = 1 + random.int(lengthMax);
    // A copy has its own memory, as a piece from a pipe has.
    pieces.push(stream.slice(at, at + length));
    at += length;
  }
  return pieces;
}

export interface Outcome {
  readonly splits: readonly Split[];
  readonly frames: readonly Uint8Array[];
  readonly stretches: readonly SplitStretch[];
  readonly losses: readonly SplitStretch[];
  /** Of the frames, in order. */
  readonly notes: readonly number[];
  /** The most that was held after everything that could be taken was taken. */
  readonly heldBytesMax: number;
}

/** Feeds the pieces, taking what there is after each, as a driver does. All come at once. */
export function split(format: StreamFormat, pieces: Iterable<Uint8Array>, frameBytesMax = 1_000_000): Outcome {
  const splitter = makeSplitter(format, frameBytesMax);
  const splits: Split[] = [];
  let heldBytesMax = 0;
  const takeAll = (): void => {
    for (let each = splitter.next(0); each !== undefined; each = splitter.next(0)) splits.push(each);
    heldBytesMax = Math.max(heldBytesMax, splitter.heldBytes);
  };
  for (const piece of pieces) {
    splitter.push(piece, 0);
    takeAll();
  }
  splitter.end();
  takeAll();
  if (splitter.heldBytes !== 0) throw new Error(`${splitter.heldBytes} bytes were never handed out`);
  const framed = splits.filter((each) => each.kind === "frame");
  const stretches = splits.filter((each) => each.kind === "stretch");
  return {
    splits,
    frames: framed.map(({ pieces: views }) => concat(...views)),
    stretches,
    losses: stretches.filter(({ loss }) => loss),
    notes: framed.map(({ notes }) => notes),
    heldBytesMax,
  };
}

/** Frames and stretches together. */
export function totalBytes({ splits }: Outcome): number {
  return splits.reduce((sum, each) => sum + each.bytes, 0);
}

/** An outcome that can be compared with another of the same bytes. */
export function summary({ splits }: Outcome): string[] {
  return splits.map((each) =>
    each.kind === "frame"
      ? `${each.extension} ${each.bytes} ${each.notes} ${crc32(concat(...each.pieces))}`
      : `${each.of} ${each.loss} ${each.bytes} ${each.describe()}`,
  );
}
