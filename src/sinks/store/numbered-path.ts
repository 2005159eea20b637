/** Names for frames whose own name is taken. */
import { pathBytesMax, segmentBytesMax } from "../../limits.ts";

/**
 * The path of the `number`th frame of one name: `17.jpg`, `17~2.jpg`, `17~3.jpg`. A last segment or path that would
 * become too long loses characters before the number.
 */
export function numberedPath(path: string, number: number): string {
  if (number === 1) return path;
  const segmentStart = path.lastIndexOf("/") + 1;
  const segment = path.slice(segmentStart);
  const dot = segment.lastIndexOf(".");
  // A long "extension" is no extension: cutting before it would leave nothing of the name.
  const stemEnd = dot > 0 && segment.length - dot <= 16 ? dot : segment.length;
  const tail = `~${number}${segment.slice(stemEnd)}`;
  const folder = path.slice(0, segmentStart);
  const stemBytesMax = Math.min(segmentBytesMax, pathBytesMax - Buffer.byteLength(folder)) - Buffer.byteLength(tail);
  return folder + firstBytes(segment.slice(0, stemEnd), stemBytesMax) + tail;
}

/** The path, or name, of which this may be a numbered one. Undefined: it has no number. */
export function unnumberedPath(path: string): { readonly path: string; readonly number: number } | undefined {
  const { stem = "", digits = "1", extension = "" } = numbered.exec(path)?.groups ?? {};
  return digits === "1" ? undefined : { path: stem + extension, number: Number(digits) };
}

const numbered = /^(?<stem>.*[^/])~(?<digits>[1-9]\d{0,8})(?<extension>\.[^./]{1,15})?$/s;

/** As many whole characters of `text` as fit in `bytesMax`. */
function firstBytes(text: string, bytesMax: number): string {
  if (Buffer.byteLength(text) <= bytesMax) return text;
  let kept = "";
  let bytes = 0;
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > bytesMax) break;
    kept += character;
  }
  return kept;
}

/**
 * A number that is not taken. Those of one name follow each other, so it is looked for in steps that double and then
 * halve, which for the 10,001st picture of one name are some thirty looks.
 */
export function freeNumber(isTaken: (number: number) => boolean): number {
  let free = 1;
  while (isTaken(free)) free *= 2;
  let taken = Math.floor(free / 2);
  while (free - taken > 1) {
    const middle = Math.floor((taken + free) / 2);
    if (isTaken(middle)) taken = middle;
    else free = middle;
  }
  return free;
}
