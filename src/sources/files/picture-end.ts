/**
 * Whether a file ends where its own format says: the evidence that a picture in it is complete, or that it is not.
 *
 * It is a walk by the lengths in the file's headers, as those of the splitters are, and never a search for an end near
 * the end: a thumbnail has one, too. Unlike a stream a file can be read anywhere, so a segment or chunk is stepped over
 * without reading it. Of a JPEG with one scan, as cameras make them, only the headers and the last two bytes are read:
 * in entropy-coded data FF D9 is the end and nothing else. Other scans are walked through.
 *
 * - `complete`: it ends where it should, under an extension of that format. Some bytes of the camera may follow.
 * - `incomplete`: it ends before an end that its headers promise.
 * - `unknown`: another format, or a walk that met what does not belong there.
 */
import { jpegStart, pngStart } from "../../image-format.ts";
import { type FileBytes, scratch, windowBytes } from "./file-bytes.ts";

export type PictureEnd = "complete" | "incomplete" | "unknown";

/** Pictures behind each other in one file: previews, the other eye. */
const picturesMax = 64;

/** Too little to tell what it is to become. */
const shortestBytes = 8;

type Walk = (file: FileBytes) => PictureEnd;

/** Throws what `node:fs` throws. */
export function pictureEnd(file: FileBytes, name: string): PictureEnd {
  const extension = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
  const own = walkByExtension.get(extension);
  if (file.bytes < shortestBytes) return "unknown";
  // Their beginnings are like nothing else, so what is cut short is known under any name.
  const sure = file.beginsWith(jpegStart) ? walkJpeg : file.beginsWith(pngStart) ? walkPng : undefined;
  const walk = sure ?? (own === walkJpeg || own === walkPng ? undefined : own);
  const end = walk?.(file) ?? "unknown";
  return end === "complete" && walk !== own ? "unknown" : end;
}

const marker = { soi: 0xd8, eoi: 0xd9, sos: 0xda, fill: 0xff, tem: 0x01, first: 0xc0 } as const;

function isRestart(code: number): boolean {
  return (code & 0xf8) === 0xd0;
}

/** SOF0 … SOF15, without the tables among them. */
function isFrameHeader(code: number): boolean {
  return code >= 0xc0 && code <= 0xcf && code !== 0xc4 && code !== 0xc8 && code !== 0xcc;
}

/** As splitters/jpeg.ts has it: segments by their lengths, then entropy-coded data up to EOI. */
function walkJpeg(file: FileBytes): PictureEnd {
  let start = 0;
  for (let pictures = 0; pictures < picturesMax; pictures += 1) {
    const end = walkOneJpeg(file, start);
    if (typeof end === "string") return end;
    if (file.endsAt(end)) return "complete";
    if (file.u16(end) !== 0xffd8) return "unknown";
    start = end;
  }
  return "unknown";
}

function walkOneJpeg(file: FileBytes, start: number): number | PictureEnd {
  const { bytes } = file;
  let at = start + 2;
  let components = 0;
  for (;;) {
    if (at + 4 > bytes) return "incomplete";
    const head = file.four(at);
    const code = scratch[head + 1] as number;
    if (scratch[head] !== marker.fill || code === marker.soi || code === marker.eoi) return "unknown";
    if (code === marker.fill) at += 1;
    else if (code === marker.tem || isRestart(code)) at += 2;
    else {
      const length = (scratch[head + 2] as number) * 0x100 + (scratch[head + 3] as number);
      if (code < marker.first || length < 2) return "unknown";
      // Sequential Huffman coding. Of others nobody knows how many scans follow.
      if (isFrameHeader(code)) components = code <= 0xc1 && at + 10 <= bytes ? file.at(at + 9) : Infinity;
      if (code === marker.sos) {
        if (at + 2 + length > bytes) return "incomplete";
        const oneScan = file.at(at + 4) === components;
        at += 2 + length;
        if (oneScan && at + 2 <= bytes && file.u16(bytes - 2) === 0xffd9) return bytes;
        return walkScans(file, at);
      }
      at += 2 + length;
    }
  }
}

/** Behind the first scan header. */
function walkScans(file: FileBytes, from: number): number | PictureEnd {
  const { bytes } = file;
  for (let at = file.find(marker.fill, from); ; at = file.find(marker.fill, at)) {
    if (at + 2 > bytes) return "incomplete";
    const code = file.at(at + 1, windowBytes);
    if (code === marker.eoi) return at + 2;
    if (code === marker.soi) return "unknown";
    if (code === marker.fill) at += 1;
    else if (code < marker.first || isRestart(code)) at += 2;
    else {
      if (at + 4 > bytes) return "incomplete";
      at += 2 + file.u16(at + 2);
    }
  }
}

/** Chunks up to IEND. Their checksums are the receiver's reader's business: what is damaged is not unfinished. */
function walkPng(file: FileBytes): PictureEnd {
  for (let at = pngStart.length; ;) {
    if (at + 12 > file.bytes) return "incomplete";
    const length = file.u32(at);
    const type = file.text(at + 4, 4);
    if (length > 0x7fff_ffff || !/^[A-Za-z]{4}$/.test(type)) return "unknown";
    at += 12 + length;
    if (at > file.bytes) return "incomplete";
    if (type === "IEND") return file.endsAt(at) ? "complete" : "unknown";
  }
}

/** Uncompressed ones: their size follows from that of the picture, which says more than the size in the header. */
function walkBmp(file: FileBytes): PictureEnd {
  if (file.text(0, 2) !== "BM") return "unknown";
  if (file.bytes < 34) return "incomplete";
  const compression = file.u32LowFirst(30);
  if (file.u32LowFirst(14) < 40 || (compression !== 0 && compression !== 3)) return "unknown";
  const bitsAcross = file.u32LowFirst(18) * (file.u32LowFirst(26) >>> 16);
  const down = Math.abs(file.u32LowFirst(22) | 0);
  return compare(file, file.u32LowFirst(10) + Math.ceil(bitsAcross / 32) * 4 * down);
}

function walkWebp(file: FileBytes): PictureEnd {
  if (file.text(0, 4) !== "RIFF" || file.text(8, 4) !== "WEBP") return "unknown";
  const length = file.u32LowFirst(4);
  return compare(file, 8 + length + (length % 2));
}

/** Boxes of ISO media files. One of length 0 goes on to the end, wherever that will be. */
function walkBoxes(file: FileBytes): PictureEnd {
  if (file.text(4, 4) !== "ftyp") return "unknown";
  const seen = new Set<string>();
  let at = 0;
  while (at < file.bytes) {
    if (at + 16 > file.bytes) return "incomplete";
    const type = file.text(at + 4, 4);
    const short = file.u32(at);
    const length = short === 1 ? file.u32(at + 8) * 2 ** 32 + file.u32(at + 12) : short;
    if (length < 8) return "unknown";
    seen.add(type);
    at += length;
  }
  if (at > file.bytes) return "incomplete";
  return seen.has("meta") && seen.has("mdat") ? "complete" : "unknown";
}

/** P4, P5 and P6: width, height and, but for P4, the largest value, with comments among them. */
function walkPnm(file: FileBytes): PictureEnd {
  const head = file.text(0, Math.min(file.bytes, 512)).replaceAll(/#[^\n]*/g, (comment) => " ".repeat(comment.length));
  const found = /^P(?:(4)\s+(\d{1,9})\s+(\d{1,9})|([56])\s+(\d{1,9})\s+(\d{1,9})\s+(\d{1,5}))\s/.exec(head);
  if (found === null) return "unknown";
  const [{ length }, bitmap, bitsAcross, bitsDown, kind, across, down, largest] = found;
  if (bitmap !== undefined) return compare(file, length + Math.ceil(Number(bitsAcross) / 8) * Number(bitsDown));
  const sampleBytes = Number(largest) > 255 ? 2 : 1;
  const samples = Number(across) * Number(down) * (kind === "6" ? 3 : 1);
  return compare(file, length + samples * sampleBytes);
}

function compare(file: FileBytes, promised: number): PictureEnd {
  if (file.bytes < promised) return "incomplete";
  return file.endsAt(promised) ? "complete" : "unknown";
}

const extensions: readonly (readonly [Walk, string])[] = [
  [walkJpeg, "jpg jpeg jpe jfif mpo"],
  [walkPng, "png apng"],
  [walkBmp, "bmp dib"],
  [walkWebp, "webp"],
  [walkBoxes, "avif heic heif hif"],
  [walkPnm, "pnm ppm pgm pbm"],
];
const walkByExtension: ReadonlyMap<string, Walk> = new Map(
  extensions.flatMap(([walk, names]) => names.split(" ").map((name) => [name, walk] as const)),
);
