/**
 * Pictures that browsers do not show as they are, as samples: grey PNG with 16 bits, PNM, y4m, and raw frames of a
 * known shape. For thumbnails at the server and, with all their bits, for the page, which gives them a palette and a
 * range (palette.ts). Nothing here trusts a header: what does not fit gives `undefined`.
 */
import { readY4mHeader } from "../splitters/y4m-header.ts";
import { type PictureKind, pngHeader, pnmHeader } from "./picture-kind.ts";

export interface Samples {
  readonly width: number;
  readonly height: number;
  /** Grey, or red, green and blue for each point. */
  readonly channels: 1 | 3;
  /** What a sample can be at most. */
  readonly max: number;
  readonly values: Uint8Array | Uint16Array;
}

/** More than any sensor for infrared has: each takes four bytes here, whatever a small file claims. */
export const samplePointsMax = 16_000_000;

/** Of a PNG, zlib; at most so many bytes. */
export type Inflate = (bytes: Uint8Array, bytesMax: number) => Uint8Array | Promise<Uint8Array>;

/** `shape` of a raw frame: 16 bits, little-endian. Rejects with what `inflate` throws. */
export async function samplesOf(
  bytes: Uint8Array,
  { format, width = 0, height = 0 }: Pick<PictureKind, "format" | "width" | "height">,
  inflate: Inflate,
): Promise<Samples | undefined> {
  if (width * height > samplePointsMax) return undefined;
  switch (format) {
    case "png":
      return pngSamples(bytes, inflate);
    case "pnm":
      return pnmSamples(bytes);
    case "y4m":
      return y4mSamples(bytes);
    case "raw":
      if (bytes.length < width * height * 2) return undefined;
      return { width, height, channels: 1, max: 65_535, values: words(bytes, 0, width * height, true) };
    default:
      return undefined;
  }
}

/** Samples of two bytes each. */
function words(bytes: Uint8Array, start: number, count: number, littleEndian: boolean): Uint16Array {
  const values = new Uint16Array(count);
  const [low, high] = littleEndian ? [0, 1] : [1, 0];
  for (let index = 0, at = start; index < count; index += 1, at += 2) {
    values[index] = (bytes[at + low] ?? 0) | ((bytes[at + high] ?? 0) << 8);
  }
  return values;
}

function pnmSamples(bytes: Uint8Array): Samples | undefined {
  const header = pnmHeader(bytes);
  if (header === undefined) return undefined;
  const { width, height, channels, max, start } = header;
  const count = width * height * channels;
  const isDeep = max > 255;
  if (max === 0 || bytes.length < start + count * (isDeep ? 2 : 1)) return undefined;
  const values = isDeep ? words(bytes, start, count, false) : bytes.subarray(start, start + count);
  return { width, height, channels, max, values };
}

/** Grey with 16 bits, with or without alpha. */
async function pngSamples(bytes: Uint8Array, inflate: Inflate): Promise<Samples | undefined> {
  const header = pngHeader(bytes);
  if (header === undefined || header.bits !== 16 || header.interlaced) return undefined;
  const { width, height, colour } = header;
  if (colour !== 0 && colour !== 4) return undefined;
  const pointBytes = colour === 4 ? 4 : 2;
  const rowBytes = width * pointBytes;
  const packed = pngData(bytes);
  const rows = await inflate(packed, (rowBytes + 1) * height);
  if (rows.length < (rowBytes + 1) * height) return undefined;
  const values = new Uint16Array(width * height);
  for (let row = 0; row < height; row += 1) {
    const start = row * (rowBytes + 1) + 1;
    if (!unfilter(rows, start, rowBytes, row === 0 ? undefined : start - rowBytes - 1, pointBytes)) return undefined;
    values.set(
      pointBytes === 2 ? words(rows, start, width, false) : everyOther(words(rows, start, 2 * width, false)),
      row * width,
    );
  }
  return { width, height, channels: 1, max: 65_535, values };
}

function everyOther(values: Uint16Array): Uint16Array {
  return values.filter((_value, index) => index % 2 === 0);
}

/** What the IDAT chunks hold together. */
function pngData(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: Uint8Array[] = [];
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    const isData = view.getUint32(at + 4) === 0x49444154;
    if (isData) parts.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let filled = 0;
  for (const part of parts) {
    all.set(part, filled);
    filled += part.length;
  }
  return all;
}

/** One row, in place, from its filter; `above` is where the row before it stands. */
function unfilter(rows: Uint8Array, start: number, bytes: number, above: number | undefined, point: number): boolean {
  const filter = rows[start - 1] ?? 0;
  if (filter === 0 || filter > 4) return filter === 0;
  for (let index = 0; index < bytes; index += 1) {
    const left = index < point ? 0 : (rows[start + index - point] ?? 0);
    const up = above === undefined ? 0 : (rows[above + index] ?? 0);
    const corner = above === undefined || index < point ? 0 : (rows[above + index - point] ?? 0);
    const predicted =
      filter === 1 ? left : filter === 2 ? up : filter === 3 ? (left + up) >> 1 : paeth(left, up, corner);
    rows[start + index] = ((rows[start + index] ?? 0) + predicted) & 0xff;
  }
  return true;
}

function paeth(left: number, up: number, corner: number): number {
  const [toLeft, toUp, toCorner] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

const y4mHeaderBytesMax = 1024;
const newline = 0x0a;

function y4mSamples(bytes: Uint8Array): Samples | undefined {
  const start = bytes.subarray(0, y4mHeaderBytesMax);
  const headerEnd = start.indexOf(newline);
  const frameEnd = start.indexOf(newline, headerEnd + 1);
  if (headerEnd === -1 || frameEnd === -1) return undefined;
  const header = String.fromCharCode(...bytes.subarray(0, headerEnd));
  const read = readY4mHeader(header);
  const [width, height] = [/ W(\d+)/, / H(\d+)/].map((word) => Number(word.exec(header)?.[1] ?? 0));
  if (typeof read === "string" || width === undefined || height === undefined) return undefined;
  const points = width * height;
  if (points === 0 || points > samplePointsMax || bytes.length < frameEnd + 1 + read.frameBytes) return undefined;
  const colour = / C(\S+)/.exec(header)?.[1] ?? "420";
  const bits = Number(/(?:p|mono)(9|1[0-6])$/.exec(colour)?.[1] ?? 8);
  const count = read.frameBytes / (bits > 8 ? 2 : 1);
  const at = frameEnd + 1;
  const planes = bits > 8 ? words(bytes, at, count, true) : bytes.subarray(at, at + count);
  const [across, down] = chromaOf(colour);
  if (across === 0) return { width, height, channels: 1, max: 2 ** bits - 1, values: planes.subarray(0, points) };
  return { width, height, channels: 3, max: 255, values: rgbOf(planes, { width, height, across, down, bits }) };
}

/** How many points share a sample of colour, across and down; 0: there is no colour. */
function chromaOf(colour: string): readonly [number, number] {
  const known: Readonly<Record<string, readonly [number, number]>> = {
    "420": [2, 2],
    "422": [2, 1],
    "440": [1, 2],
    "411": [4, 1],
    "410": [4, 4],
    "444": [1, 1],
  };
  return known[colour.slice(0, 3)] ?? [0, 0];
}

interface YuvShape {
  readonly width: number;
  readonly height: number;
  readonly across: number;
  readonly down: number;
  readonly bits: number;
}

/** By BT.601 with the range of video, as players take y4m that says nothing else. */
function rgbOf(planes: Uint8Array | Uint16Array, { width, height, across, down, bits }: YuvShape): Uint8Array {
  const scale = 2 ** (bits - 8);
  const chromaWidth = Math.ceil(width / across);
  const blueAt = width * height;
  const redAt = blueAt + chromaWidth * Math.ceil(height / down);
  const rgb = new Uint8ClampedArray(width * height * 3);
  for (let row = 0, to = 0; row < height; row += 1) {
    const chromaRow = Math.floor(row / down) * chromaWidth;
    for (let column = 0; column < width; column += 1, to += 3) {
      const chroma = chromaRow + Math.floor(column / across);
      const luma = 1.164 * ((planes[row * width + column] ?? 0) / scale - 16);
      const blue = (planes[blueAt + chroma] ?? 0) / scale - 128;
      const red = (planes[redAt + chroma] ?? 0) / scale - 128;
      rgb[to] = luma + 1.596 * red;
      rgb[to + 1] = luma - 0.813 * red - 0.391 * blue;
      rgb[to + 2] = luma + 2.018 * blue;
    }
  }
  return new Uint8Array(rgb.buffer);
}
