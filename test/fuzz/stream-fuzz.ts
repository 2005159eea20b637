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

/** Pictures in files of their own. Of a y4m file each frame is a picture with its header. */
export const pictures: readonly Picture[] = readdirSync(folder)
  .filter((name) => /^picture-.*\.(?:jpg|png|y4m|pgm|ppm|bmp)$/.test(name))
  .toSorted()
  .map((name) => ({ format: name.slice(name.lastIndexOf(".") + 1), bytes: readFileSync(join(folder, name)) }));

interface Piece {
  readonly bytes: Buffer;
  /** The picture that it is, whole; undefined: damaged, or no picture. */
  readonly whole: Picture | undefined;
  /** The picture that it is a part of, from its beginning on. */
  readonly cutFrom?: Picture;
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
  switch (random.int(8)) {
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

/** A picture of `picture` in a stream: y4m frames after the first have no header of their own. */
function makeStream(random: Random): Piece[] {
  const mixed = random.chance(0.3);
  const one = random.pick(pictures);
  const pieces: Piece[] = [];
  for (let count = 2 + random.int(7); count > 0; count--) {
    const picture = own(random, mixed ? random.pick(pictures) : one);
    const wrong = random.chance(0.3);
    pieces.push(wrong ? damage(random, picture) : { bytes: picture.bytes, whole: picture });
    if (random.chance(0.3)) pieces.push({ bytes: between(random), whole: undefined });
  }
  return pieces;
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
  const wholes = pieces.flatMap(({ whole }) => (whole === undefined ? [] : [whole.bytes]));
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
    if (frames.some((frame) => frame.notes === 0 && frame.bytes.equals(bytes))) fail(seed, "a part passed as whole");
  }
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
