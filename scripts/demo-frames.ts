/**
 * Makes directories of frames: real, valid, distinct JPEG and PNG files, the same on every machine and every run. For
 * the demonstration, the end-to-end tests and the benchmarks.
 *
 * Pixels are painted into an uncompressed bitmap, which `Bun.Image` encodes. Encoding takes milliseconds, so a large
 * set encodes a few pictures and tells the repetitions apart by a comment inside the file (a COM segment or a tEXt
 * chunk, which every reader skips). The same comment pads a file to an exact size.
 */
import { closeSync, futimesSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";

export interface FrameSetOptions {
  readonly kind: "jpeg" | "png";
  readonly count: number;
  /** Pixels. Default 1280 x 720 for jpeg, 160 x 120 for png; with `bytes`, the largest of its halves that fits. */
  readonly width?: number;
  readonly height?: number;
  /** Exact size of every file. Throws if no picture is that small (about 700 bytes for jpeg, 150 for png). */
  readonly bytes?: number;
  /** How many different pictures are encoded. Default: `count`, or 8 with `bytes`. */
  readonly pictures?: number;
  /** Frames a second: modification times, which are the capture times, are this far apart. Default 30. */
  readonly rate?: number;
  /** Capture time of the first, milliseconds since the epoch. Default: noon on a fixed day. */
  readonly firstMs?: number;
}

export interface FrameSet {
  /** In order: `0.jpg`, `1.jpg`, … */
  readonly names: readonly string[];
  /** Of all of them. */
  readonly bytes: number;
}

const noonMs = Date.UTC(2026, 0, 1, 12);
/** Smallest comment: its head and foot take up to 14 bytes, the rest holds the frame number. */
const commentBytesMin = 40;

/** Writes the set into `dir`, which is made if need be. What else is there stays. */
export async function makeFrameSet(dir: string, options: FrameSetOptions): Promise<FrameSet> {
  const { kind, count, bytes, rate = 30, firstMs = noonMs } = options;
  const pictures = await encodePictures(options);
  mkdirSync(dir, { recursive: true });
  const names: string[] = [];
  let total = 0;
  for (let index = 0; index < count; index++) {
    const picture = pictures[index % pictures.length];
    if (picture === undefined) throw new Error("a frame set needs at least one picture");
    const name = `${index}.${kind === "jpeg" ? "jpg" : "png"}`;
    const file = withComment(kind, picture, `frame ${index} `, bytes ?? picture.length + commentBytesMin);
    const fd = openSync(join(dir, name), "w");
    try {
      if (writeSync(fd, file) !== file.length) throw new Error(`${name}: the disk took only a part of it`);
      const seconds = (firstMs + (index * 1000) / rate) / 1000;
      futimesSync(fd, seconds, seconds);
    } finally {
      closeSync(fd);
    }
    names.push(name);
    total += file.length;
  }
  return { names, bytes: total };
}

async function encodePictures(options: FrameSetOptions): Promise<Uint8Array[]> {
  const { kind, count, bytes } = options;
  const wanted = Math.min(count, options.pictures ?? (bytes === undefined ? count : 8));
  let width = options.width ?? (kind === "jpeg" ? 1280 : 160);
  let height = options.height ?? (kind === "jpeg" ? 720 : 120);
  for (;;) {
    const pictures: Uint8Array[] = [];
    for (let index = 0; index < wanted; index++) pictures.push(await encode(kind, width, height, index));
    const largest = Math.max(0, ...pictures.map((picture) => picture.length));
    if (bytes === undefined || largest + commentBytesMin <= bytes) return pictures;
    if (width === 1 && height === 1) throw new Error(`no ${kind} of ${bytes} bytes: the smallest has ${largest}`);
    width = Math.max(1, width >> 1);
    height = Math.max(1, height >> 1);
  }
}

async function encode(kind: "jpeg" | "png", width: number, height: number, index: number): Promise<Uint8Array> {
  const image = new Bun.Image(
    kind === "jpeg" ? paintVisible(width, height, index) : paintInfrared(width, height, index),
  );
  return kind === "jpeg" ? image.jpeg({ quality: 85 }).bytes() : image.png().bytes();
}

/** An empty 24-bit bitmap, top row first: 54 bytes of header, then rows of blue, green, red, padded to 4 bytes. */
function bitmap(width: number, height: number): { file: Uint8Array; rowBytes: number } {
  const rowBytes = (width * 3 + 3) & ~3;
  const file = new Uint8Array(bitmapHeaderBytes + rowBytes * height);
  const view = new DataView(file.buffer);
  file.set([0x42, 0x4d]);
  view.setUint32(2, file.length, true);
  view.setUint32(10, bitmapHeaderBytes, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, width, true);
  view.setInt32(22, -height, true);
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  view.setUint32(34, rowBytes * height, true);
  return { file, rowBytes };
}
const bitmapHeaderBytes = 54;

/** -8 … 7, from the position alone, so that every machine paints the same grain. */
function grain(x: number, y: number, index: number): number {
  const mixed = Math.imul(x ^ Math.imul(y, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b), 0xc2b2ae35);
  return (mixed >>> 28) - 8;
}

/** A sky, a sun that moves a little with every frame, and a field under it. */
function paintVisible(width: number, height: number, index: number): Uint8Array {
  const { file, rowBytes } = bitmap(width, height);
  const horizon = height * 0.62;
  const sunX = (width * ((index * 7) % 200)) / 200;
  const sunY = height * 0.25;
  const sunRadius2 = (height / 9) ** 2;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = bitmapHeaderBytes + y * rowBytes + x * 3;
      const noise = grain(x, y, index);
      if (y > horizon) {
        const furrow = ((x + index * 4 + y * 3) >> 4) & 1 ? 18 : 0;
        file[at] = 40 + noise;
        file[at + 1] = 105 + furrow + noise;
        file[at + 2] = 70 + furrow + noise;
        continue;
      }
      const isSun = (x - sunX) ** 2 + (y - sunY) ** 2 < sunRadius2;
      const depth = (y / horizon) * 80;
      file[at] = (isSun ? 120 : 225) + noise;
      file[at + 1] = (isSun ? 225 : 140 + depth) + noise;
      file[at + 2] = (isSun ? 245 : 80 + depth) + noise;
    }
  }
  return file;
}

/** A warm spot that wanders over a cool ground, in false colour. */
function paintInfrared(width: number, height: number, index: number): Uint8Array {
  const { file, rowBytes } = bitmap(width, height);
  const spotX = (width * ((index * 23) % 200)) / 200;
  const spotY = height * 0.5;
  const reach2 = (height / 3) ** 2;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = bitmapHeaderBytes + y * rowBytes + x * 3;
      const distance2 = (x - spotX) ** 2 + (y - spotY) ** 2;
      const heat = 60 + 150 * Math.max(0, 1 - distance2 / reach2) + grain(x, y, index) / 2;
      file[at] = Math.max(0, 130 - heat / 2);
      file[at + 1] = Math.max(0, heat - 60);
      file[at + 2] = Math.min(255, heat * 1.2);
    }
  }
  return file;
}

/** The picture with a comment that begins with `text` and fills the file to `bytes`. */
function withComment(kind: "jpeg" | "png", picture: Uint8Array, text: string, bytes: number): Uint8Array {
  const file = new Uint8Array(bytes).fill(0x2e);
  // JPEG: comments follow the two bytes that start the image. PNG: signature 8, IHDR chunk 25, then the comment.
  const before = kind === "jpeg" ? 2 : 33;
  const commentBytes = bytes - picture.length;
  file.set(picture.subarray(0, before));
  file.set(picture.subarray(before), before + commentBytes);
  const comment = file.subarray(before, before + commentBytes);
  if (kind === "jpeg") fillJpegComment(comment, text);
  else fillPngComment(comment, text);
  return file;
}

/** One COM segment holds at most 65,533 bytes of text, so a long comment is several. */
function fillJpegComment(comment: Uint8Array, text: string): void {
  const view = new DataView(comment.buffer, comment.byteOffset, comment.length);
  let at = 0;
  while (at < comment.length) {
    const left = comment.length - at;
    // The last but one segment leaves room for the 4 bytes that the last one's head needs.
    const segment = left <= jpegSegmentBytes ? left : Math.min(jpegSegmentBytes, left - 4);
    view.setUint16(at, 0xfffe);
    view.setUint16(at + 2, segment - 2);
    if (at === 0) new TextEncoder().encodeInto(text, comment.subarray(4));
    at += segment;
  }
}
/** Marker, length, text. */
const jpegSegmentBytes = 2 + 65_535;

/** One tEXt chunk: length, type, keyword, zero, text, CRC-32 of type and data. */
function fillPngComment(comment: Uint8Array, text: string): void {
  const view = new DataView(comment.buffer, comment.byteOffset, comment.length);
  view.setUint32(0, comment.length - 12);
  new TextEncoder().encodeInto(`tEXtC\0${text}`, comment.subarray(4));
  view.setUint32(comment.length - 4, Bun.hash.crc32(comment.subarray(4, comment.length - 4)));
}
