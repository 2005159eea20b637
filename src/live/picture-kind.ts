/** What a frame's bytes are, as far as their first ones say: whether a browser shows it, and what it is if not. */
import { imageFormatOf, startsWith, y4mStart } from "../image-format.ts";
import { sizeText } from "../size-text.ts";
import type { Picture, PictureFormat } from "./page-api.ts";

/** `text`: why it is not shown, or what it was taken for. */
export type PictureKind = Pick<Picture, "format" | "shown" | "mediaType" | "width" | "height" | "text">;

/** More points than any camera has; what claims more is decoded by nobody. */
export const pointsMax = 64_000_000;

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const gif = ascii("GIF8");
const bmp = ascii("BM");
const tiffs = [Uint8Array.of(0x49, 0x49, 0x2a, 0), Uint8Array.of(0x4d, 0x4d, 0, 0x2a)];
const heif = ascii("ftyp");
const binary = "application/octet-stream";

export function pictureKindOf(bytes: Uint8Array): PictureKind {
  const kind = byStart(bytes);
  const { width = 0, height = 0 } = kind;
  if (kind.shown === "none" || width * height <= pointsMax) return kind;
  return { ...kind, shown: "none", text: `a picture of ${width} x ${height} points, which is too large to be shown` };
}

function byStart(bytes: Uint8Array): PictureKind {
  switch (imageFormatOf(bytes)) {
    case "jpeg":
      return { format: "jpeg", shown: "image", mediaType: "image/jpeg", ...jpegSize(bytes) };
    case "png":
      return pngKind(bytes);
    case "webp":
      return { format: "webp", shown: "image", mediaType: "image/webp" };
    case "avif":
      return { format: "avif", shown: "image", mediaType: "image/avif" };
    case undefined:
      break;
  }
  if (startsWith(bytes, gif)) return { format: "gif", shown: "image", mediaType: "image/gif" };
  if (startsWith(bytes, bmp)) return { format: "bmp", shown: "image", mediaType: "image/bmp" };
  if (startsWith(bytes, y4mStart)) return { format: "y4m", shown: "samples", mediaType: binary };
  const pnm = pnmHeader(bytes);
  if (pnm !== undefined) {
    return { format: "pnm", shown: "samples", mediaType: binary, width: pnm.width, height: pnm.height };
  }
  if (tiffs.some((start) => startsWith(bytes, start))) return none("tiff", "TIFF or a camera's raw format", bytes);
  if (startsWith(bytes, heif, 4)) return none("heif", "HEIF", bytes);
  const shape = rawShapes.find(({ width, height }) => bytes.length === width * height * 2);
  if (shape === undefined) return none("unknown", "no known format", bytes);
  const text = `taken for ${shape.width} x ${shape.height} points of 16 bits, because it has ${bytes.length} bytes`;
  return { format: "raw", shown: "samples", mediaType: binary, ...shape, text };
}

function none(format: PictureFormat, what: string, { length }: Uint8Array): PictureKind {
  return { format, shown: "none", mediaType: binary, text: `${what}, ${sizeText(length)}: not shown` };
}

/** Of sensors for infrared, which have no header and 16 bits for each point. */
export const rawShapes: readonly { readonly width: number; readonly height: number }[] = [
  [80, 60],
  [160, 120],
  [206, 156],
  [256, 192],
  [320, 240],
  [320, 256],
  [336, 256],
  [384, 288],
  [640, 480],
  [640, 512],
  [1024, 768],
  [1280, 1024],
].map(([width = 0, height = 0]) => ({ width, height }));

/** Width, height, bits and colour of a PNG: its first chunk has a fixed place. */
export function pngHeader(
  bytes: Uint8Array,
): { width: number; height: number; bits: number; colour: number; interlaced: boolean } | undefined {
  if (bytes.length < 33) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const [bits = 0, colour = 0, , , interlaced = 0] = bytes.subarray(24, 29);
  return { width: view.getUint32(16), height: view.getUint32(20), bits, colour, interlaced: interlaced !== 0 };
}

/** Grey with 16 bits, which browsers show with the upper 8: black, for most of infrared. */
function pngKind(bytes: Uint8Array): PictureKind {
  const header = pngHeader(bytes);
  const mediaType = "image/png";
  if (header === undefined) return { format: "png", shown: "image", mediaType };
  const { width, height, bits, colour, interlaced } = header;
  const isDeep = bits === 16 && (colour === 0 || colour === 4) && !interlaced;
  return { format: "png", shown: isDeep ? "samples" : "image", mediaType, width, height };
}

/** From the header of the frame, which stands behind segments of other kinds. */
function jpegSize(bytes: Uint8Array): { width: number; height: number } | undefined {
  let at = 2;
  while (at + 9 < bytes.length) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1] ?? 0;
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    const read = (from: number): number => ((bytes[from] ?? 0) << 8) | (bytes[from + 1] ?? 0);
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      return { height: read(at + 5), width: read(at + 7) };
    }
    at += 2 + read(at + 2);
  }
  return undefined;
}

const pnmBytes = 1024;
const pnmForm =
  /^P([56])(?:\s|#[^\n\r]*[\n\r])+(\d{1,9})(?:\s|#[^\n\r]*[\n\r])+(\d{1,9})(?:\s|#[^\n\r]*[\n\r])+(\d{1,5})\s/;

export interface PnmHeader {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly max: number;
  /** Where the samples begin. */
  readonly start: number;
}

export function pnmHeader(bytes: Uint8Array): PnmHeader | undefined {
  if (bytes[0] !== 0x50) return undefined;
  const text = String.fromCharCode(...bytes.subarray(0, pnmBytes));
  const [all, kind, width, height, max] = pnmForm.exec(text) ?? [];
  if (all === undefined) return undefined;
  const channels = kind === "6" ? 3 : 1;
  return { width: Number(width), height: Number(height), channels, max: Number(max), start: all.length };
}
