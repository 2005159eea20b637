/**
 * Streams of real pictures, cut, doubled, dropped, with bytes inserted and lengths changed, in any pieces. For each:
 * every byte comes out once; never two of the pictures are in one frame; a picture that was not touched and that
 * another follows comes out as it is; and what is stored without a note is no part of a picture, where markers or
 * lengths show it. The same stream in other pieces gives the same.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { makeSplitter, type Split } from "../../src/splitters/splitter.ts";
import { Random } from "../support/random.ts";

const folder = join(import.meta.dir, "..", "corpus", "streams");

/** One picture as it may stand in a stream. */
export interface Picture {
  readonly format: string;
  readonly bytes: Buffer;
}

/** Pictures in files of their own, of a y4m file a frame with its header; and one with a thumbnail in its EXIF data. */
export const pictures: readonly Picture[] = readdirSync(folder)
  .filter((name) => /^picture-.*\.(?:jpg|png|y4m|pgm|ppm|bmp)$/.test(name))
  .toSorted()
  .map((name) => ({ format: name.slice(name.lastIndexOf(".") + 1), bytes: readFileSync(join(folder, name)) }));
const thumbnail = readFileSync(join(folder, "picture-small.jpg"));
const withThumbnail: Picture = { format: "jpg", bytes: withExif(readFileSync(join(folder, "picture-plain.jpg"))) };

function withExif(jpeg: Buffer): Buffer {
  const head = Buffer.from("\xff\xe1..Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", "latin1");
  head.writeUInt16BE(head.length - 2 + thumbnail.length, 2);
  return Buffer.concat([jpeg.subarray(0, 2), head, thumbnail, jpeg.subarray(2)]);
}

/** Where the first length of a picture is, and how many bytes it has. */
const lengths: Readonly<Record<string, readonly [at: number, bytes: number]>> = {
  jpg: [4, 2],
  png: [33, 4],
  bmp: [3, 2],
};

interface Piece {
  readonly bytes: Buffer;
  /** The picture that it is, whole; undefined: damaged, or no picture. */
  readonly whole: Picture | undefined;
  /** The picture that it is a part of, from its beginning on. */
  readonly cutFrom?: Picture;
  /** What may be in it are thumbnails in a picture that begins as it should. */
  readonly lengthOnly?: boolean;
}

/** So that no two pictures of a stream are the same, each has some bytes of its own where no decoder looks. */
function own(random: Random, { format, bytes }: Picture): Picture {
  const copy = Buffer.from(bytes);
  // The last bytes of the data of each format but PNG, which has a checksum.
  const tail = { jpg: 2, y4m: 0, pgm: 0, ppm: 0, bmp: 0 }[format];
  if (tail === undefined) return { format, bytes };
  for (let at = 0; at < 6; at++) copy[copy.length - 1 - tail - at] = 1 + random.int(250);
  return { format, bytes: copy };
}

/** Not before `header`. */
export function damage(random: Random, picture: Picture, header = 1): Piece {
  const { bytes } = picture;
  const at = header + random.int(bytes.length - header);
  const early = header + random.int(Math.min(700, bytes.length - header));
  const place = random.chance(0.5) ? at : early;
  switch (random.int(9)) {
    case 8: {
      const [lengthAt, lengthBytes] = lengths[picture.format] ?? [place, 1];
      if (lengthAt < header) return damage(random, picture, header);
      const copy = Buffer.from(bytes);
      const last = Math.min(lengthAt + lengthBytes, copy.length) - 1;
      copy[last] = (copy[last] as number) + random.int(13) - 6;
      if (random.chance(0.5)) copy[last - 1] = random.int(256);
      return { bytes: copy, whole: undefined, lengthOnly: true };
    }
    case 0:
      return { bytes: bytes.subarray(0, place), whole: undefined, cutFrom: picture };
    case 1:
      return { bytes: bytes.subarray(place), whole: undefined };
    case 2: {
      const length = 1 + random.int(random.chance(0.5) ? 4 : 3000);
      return { bytes: Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + length)]), whole: undefined };
    }
    case 3: {
      const inserted = random.bytes(1 + random.int(random.chance(0.5) ? 4 : 600));
      return { bytes: Buffer.concat([bytes.subarray(0, place), inserted, bytes.subarray(place)]), whole: undefined };
    }
    case 4: {
      // A length, wherever there is one: two bytes that become others.
      const copy = Buffer.from(bytes);
      copy.writeUInt16BE(random.int(random.chance(0.5) ? 65_536 : 300), Math.min(place, copy.length - 2));
      return { bytes: copy, whole: undefined };
    }
    case 5: {
      const copy = Buffer.from(bytes);
      copy[place] = (copy[place] as number) ^ (1 << random.int(8));
      return { bytes: copy, whole: undefined };
    }
    case 6: {
      const copy = Buffer.from(bytes);
      copy.set(random.bytes(Math.min(1 + random.int(40), copy.length - place)), place);
      return { bytes: copy, whole: undefined };
    }
    default: {
      // Doubled: the beginning, and then all of it; or some bytes of it.
      const again = random.chance(0.5) ? 0 : Math.max(0, place - 1 - random.int(60));
      return { bytes: Buffer.concat([bytes.subarray(0, place), bytes.subarray(again)]), whole: undefined };
    }
  }
}

function between(random: Random): Buffer {
  switch (random.int(8)) {
    case 0:
      return Buffer.alloc(random.int(600));
    case 1:
      return Buffer.from("\r\n--b\r\nContent-Type: image/x\r\n\r\n");
    case 2:
      return Buffer.from(random.bytes(random.int(300)));
    default:
      return Buffer.alloc(0);
  }
}

/** Of y4m frames that follow each other some have no header of their own. */
function makeStream(random: Random): Piece[] {
  const mixed = random.chance(0.3);
  const all = [...pictures, withThumbnail];
  const one = random.pick(all);
  const pieces: Piece[] = [];
  for (let count = 2 + random.int(7); count > 0; count--) {
    const picture = own(random, mixed ? random.pick(all) : one);
    const wrong = random.chance(0.3);
    const header = random.chance(0.5) ? headerKnown(pieces.at(-1), picture) : 0;
    const { bytes } = picture;
    if (wrong) pieces.push(damage(random, header === 0 ? picture : { ...picture, bytes: bytes.subarray(header) }));
    else pieces.push({ bytes: bytes.subarray(header), whole: picture });
    if (random.chance(0.3)) pieces.push({ bytes: between(random), whole: undefined });
  }
  return pieces;
}

/** How long the header of a y4m picture is, if the one before it has the same. */
function headerKnown(before: Piece | undefined, { format, bytes }: Picture): number {
  if (format !== "y4m" || before?.whole?.format !== "y4m") return 0;
  const length = bytes.indexOf("FRAME");
  return before.whole.bytes.subarray(0, length).equals(bytes.subarray(0, length)) ? length : 0;
}

/** For whoever looks into a failure. */
export function describeStream(seed: number): string {
  const pieces = makeStream(new Random(seed));
  return pieces
    .map(({ bytes, whole, cutFrom }) => {
      const what = whole === undefined ? (cutFrom === undefined ? "damaged or between" : "cut") : "whole";
      const format = whole?.format ?? cutFrom?.format ?? "";
      return `${what} ${format} ${bytes.length} ${bytes.subarray(0, 12).toString("hex")}`;
    })
    .join("\n");
}

/** With pauses between the pieces, starts within claims are followed before the claim is over. */
function splitAll(random: Random, stream: Buffer, pauseMs: number): Split[] {
  let nowMs = 0;
  const splitter = makeSplitter({ kind: "auto" }, 10_000_000);
  const splits: Split[] = [];
  const most = random.pick([50, 700, 5000, 65_536, 1_000_000]);
  for (let at = 0; at < stream.length;) {
    const length = 1 + random.int(most);
    splitter.push(new Uint8Array(stream.subarray(at, at + length)), (nowMs += pauseMs));
    at += length;
    for (let each = splitter.next(nowMs); each !== undefined; each = splitter.next(nowMs)) splits.push(each);
  }
  splitter.end();
  for (let each = splitter.next(nowMs); each !== undefined; each = splitter.next(nowMs)) splits.push(each);
  return splits;
}

function fail(seed: number, what: string): never {
  throw new Error(`seed ${seed}: ${what}`);
}

/** Throws if what must hold for any stream does not hold for the stream of this seed. */
export function fuzzStream(seed: number): void {
  const random = new Random(seed);
  const pieces = makeStream(random);
  const stream = Buffer.concat(pieces.map(({ bytes }) => bytes));
  const splits = splitAll(random, stream, 0);
  check(seed, pieces, stream, splits);
  if (told(splitAll(random, stream, 0)) !== told(splits)) fail(seed, "other pieces give something else");
  if (random.chance(0.3)) check(seed, pieces, stream, splitAll(random, stream, 20));
}

function check(seed: number, pieces: readonly Piece[], stream: Buffer, splits: readonly Split[]): void {
  checkBytes(seed, stream, splits);
  const frames = splits.flatMap((each) =>
    each.kind === "frame" ? [{ notes: each.notes, bytes: Buffer.concat(each.pieces) }] : [],
  );
  const wholes = pieces.flatMap(({ whole, bytes }) => (whole === undefined ? [] : [bytes]));
  for (const { bytes } of frames) {
    const held = wholes.filter((whole) => whole.length <= bytes.length && bytes.includes(whole));
    if (new Set(held.map((whole) => whole.toString("latin1"))).size > 1) fail(seed, "two pictures in one frame");
  }
  for (const [index, { whole }] of pieces.entries()) {
    if (whole === undefined || !isFollowed(pieces, index)) continue;
    if (frames.some(({ bytes }) => bytes.equals(whole.bytes))) continue;
    fail(seed, `picture ${index} (${whole.format}) is missing`);
  }
  for (const { cutFrom, bytes } of pieces) {
    if (cutFrom === undefined) continue;
    if (frames.some((frame) => frame.notes === 0 && isFrameOf(frame.bytes, bytes)))
      fail(seed, "a part passed as whole");
  }
  const inOrder = pieces.every(({ whole, lengthOnly, bytes }) => {
    return whole !== undefined || lengthOnly === true || !bytes.includes(thumbnail);
  });
  const isThumbnail = (bytes: Buffer): boolean => bytes.equals(thumbnail);
  if (inOrder && frames.some(({ bytes }) => isThumbnail(bytes)) && !wholes.some(isThumbnail)) {
    fail(seed, "a thumbnail is a frame");
  }
}

/** With or without the header of its y4m stream. */
function isFrameOf(frame: Buffer, bytes: Buffer): boolean {
  return frame.equals(bytes) || (bytes.indexOf("FRAME") === 0 && frame.subarray(frame.indexOf("FRAME")).equals(bytes));
}

/** The frames, and whether anything was lost: where pieces end may make one loss of two that lie side by side. */
function told(splits: readonly Split[]): string {
  const frames = splits.flatMap((each) =>
    each.kind === "frame" ? [`${each.extension} ${each.bytes} ${each.notes}`] : [],
  );
  return [...frames, splits.some((each) => each.kind === "stretch" && each.loss)].join("\n");
}

/** A whole picture follows, or nothing. */
function isFollowed(pieces: readonly Piece[], index: number): boolean {
  const next = pieces[index + 1];
  return next === undefined || next.whole !== undefined;
}

function checkBytes(seed: number, stream: Buffer, splits: readonly Split[]): void {
  let at = 0;
  for (const each of splits) {
    if (each.kind === "stretch") {
      if (each.at !== at) fail(seed, `a stretch at ${each.at} where ${at} is due`);
      at += each.bytes;
      continue;
    }
    // The header of a y4m stream may go before a frame of it.
    const bytes = Buffer.concat(each.pieces);
    const rest = bytes.subarray(Math.max(0, bytes.length - (stream.length - at)));
    const here = stream.subarray(at, at + bytes.length);
    if (here.equals(bytes)) at += bytes.length;
    else {
      const from = bytes.indexOf("FRAME", 1);
      if (each.extension !== "y4m" || !stream.subarray(at, at + bytes.length - from).equals(bytes.subarray(from))) {
        fail(seed, `bytes of a frame at ${at} are others (${rest.length})`);
      }
      at += bytes.length - from;
    }
  }
  if (at !== stream.length) fail(seed, `${at} bytes of ${stream.length} came out`);
}
