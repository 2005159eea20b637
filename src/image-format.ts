/** What the bytes of a picture begin with, and which format that makes it. */

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** SOI, and the FF of the marker that must follow. */
export const jpegStart: Uint8Array = Uint8Array.of(0xff, 0xd8, 0xff);
export const pngStart: Uint8Array = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** Of a YUV4MPEG2 stream, and so of each frame that a stream was split into. */
export const y4mStart: Uint8Array = ascii("YUV4MPEG2 ");
/** RIFF and ISO media files have their length first. */
const riff = ascii("RIFF");
const webp = ascii("WEBP");
const avif = ascii("ftypavif");
const avifSequence = ascii("ftypavis");

/** So many first bytes tell the format. */
export const imageStartBytes = 12;

/** Formats of files that compress one picture. */
export type ImageFormat = "jpeg" | "png" | "webp" | "avif";

/** Undefined: another format, or too few bytes to tell. */
export function imageFormatOf(bytes: Uint8Array): ImageFormat | undefined {
  if (startsWith(bytes, jpegStart)) return "jpeg";
  if (startsWith(bytes, pngStart)) return "png";
  if (startsWith(bytes, riff) && startsWith(bytes, webp, 8)) return "webp";
  return startsWith(bytes, avif, 4) || startsWith(bytes, avifSequence, 4) ? "avif" : undefined;
}

/** Whether `start` stands at `at`, which is the beginning unless it is given. */
export function startsWith(bytes: Uint8Array, start: Uint8Array, at = 0): boolean {
  if (bytes.length < at + start.length) return false;
  for (let index = 0; index < start.length; index += 1) if (bytes[at + index] !== start[index]) return false;
  return true;
}
