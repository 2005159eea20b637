/**
 * Which names are safe, and in which order they come. A name, a source and a device are all the same kind of thing: a
 * path of segments joined by `/` that cannot leave the folder it is put in. What only some systems cannot hold, such as
 * `aux`, is safe; a destination on such a system refuses it, and no other does.
 *
 * A receiver checks every name of every offer, so the check is one pass over the character codes that allocates
 * nothing for a good name; only the sentence about a bad one costs anything.
 */
import { nameBytesMax, pathBytesMax, segmentBytesMax } from "./limits.ts";

const SLASH = 0x2f;
const BACKSLASH = 0x5c;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

/**
 * Why `name` is no safe name for a frame, a source or a device, in a few lower-case words; `undefined` if it is safe.
 * The words never repeat the name, so they can be shown without escaping.
 */
export function nameProblem(name: string): string | undefined {
  return problemOf(name, nameBytesMax);
}

/**
 * The same of a name that somebody has typed, or written into a file. Bytes that are no text are U+FFFD before we see
 * them: two names would have become one.
 */
export function givenNameProblem(name: string): string | undefined {
  return name.includes("\ufffd") ? "not valid UTF-8" : nameProblem(name);
}

/** The same of the path of a frame, which is made of three names and may be longer. */
export function pathProblem(path: string): string | undefined {
  return problemOf(path, pathBytesMax);
}

function problemOf(name: string, bytesMax: number): string | undefined {
  const length = name.length;
  if (length === 0) return "empty name";
  // Every UTF-16 unit is at least one byte, so a name this long is refused before it is looked at.
  if (length > bytesMax) return tooLong(name, bytesMax);
  if (name.charCodeAt(0) === SLASH) return "absolute";

  let bytes = 0;
  let segmentStart = 0;
  let segmentStartBytes = 0;
  for (let index = 0; index <= length; index += 1) {
    const code = index < length ? name.charCodeAt(index) : SLASH;
    if (code === SLASH) {
      const problem = segmentProblem(name, segmentStart, index, bytes - segmentStartBytes);
      if (problem !== undefined) return problem;
      if (index < length) bytes += 1;
      segmentStart = index + 1;
      segmentStartBytes = bytes;
    } else if (code < 0x80) {
      if (code < 0x20 || code === 0x7f) return "control character";
      if (code === BACKSLASH) return "backslash";
      bytes += 1;
    } else if (code < 0x800) {
      // The second set of control characters: a terminal may act on them as it does on escape sequences.
      if (code < 0xa0) return "control character";
      bytes += 2;
    } else if (code < 0xd800 || code > 0xdfff) {
      bytes += 3;
    } else {
      const low = name.charCodeAt(index + 1); // NaN at the end of the name, which no comparison accepts.
      if (code > 0xdbff || !(low >= 0xdc00 && low <= 0xdfff)) return "not valid unicode";
      index += 1;
      bytes += 4;
    }
  }
  return bytes > bytesMax ? tooLong(name, bytesMax) : undefined;
}

function tooLong(name: string, bytesMax: number): string {
  return `name of ${Buffer.byteLength(name)} bytes, limit ${bytesMax}`;
}

function segmentProblem(name: string, start: number, end: number, bytes: number): string | undefined {
  if (end === start) return "empty segment";
  if (bytes > segmentBytesMax) return `segment of ${bytes} bytes, limit ${segmentBytesMax}`;
  if (name.charCodeAt(start) === DOT) {
    if (end - start === 1) return "`.` segment";
    if (end - start === 2 && name.charCodeAt(start + 1) === DOT) return "`..` segment";
    return "hidden segment";
  }
  return undefined;
}

function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE;
}

/**
 * Natural order: `2.jpg` before `10.jpg`. Segment by segment, runs of ASCII digits compare by value whatever their
 * length, everything else by code point, and what is a prefix comes first. Of two segments that differ only in leading
 * zeros the one with fewer comes first (`7` before `007`), so only equal names compare as 0. A folder walked depth
 * first with its names in this order gives its paths in this order.
 */
export function compareNatural(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  let start = 0;
  while (start < shorter && a.charCodeAt(start) === b.charCodeAt(start)) start += 1;
  if (start === a.length && start === b.length) return 0;
  // The names part here; a run of digits is compared from its own start. Nothing before that can decide.
  while (start > 0 && isDigit(a.charCodeAt(start - 1))) start -= 1;

  let atA = start;
  let atB = start;
  let zeros = 0;
  while (atA < a.length && atB < b.length) {
    const codeA = a.charCodeAt(atA);
    const codeB = b.charCodeAt(atB);
    if (isDigit(codeA) && isDigit(codeB)) {
      const firstA = skipZeros(a, atA);
      const firstB = skipZeros(b, atB);
      const endA = skipDigits(a, firstA);
      const endB = skipDigits(b, firstB);
      if (endA - firstA !== endB - firstB) return endA - firstA - (endB - firstB);
      for (let offset = 0; firstA + offset < endA; offset += 1) {
        const difference = a.charCodeAt(firstA + offset) - b.charCodeAt(firstB + offset);
        if (difference !== 0) return difference;
      }
      if (zeros === 0) zeros = firstA - atA - (firstB - atB);
      atA = endA;
      atB = endB;
      continue;
    }
    if (codeA !== codeB) {
      // The end of a segment comes before anything that would continue it.
      if (codeA === SLASH) return -1;
      if (codeB === SLASH) return 1;
      return codePointRank(codeA) - codePointRank(codeB);
    }
    if (codeA === SLASH && zeros !== 0) return zeros;
    atA += 1;
    atB += 1;
  }
  // One of the two is used up. If the other goes on within its segment it is longer; if a new segment begins there,
  // the leading zeros of this one decide first.
  const restA = a.length - atA;
  const restB = b.length - atB;
  if (restA === restB) return zeros;
  const next = restA > 0 ? a.charCodeAt(atA) : b.charCodeAt(atB);
  return next === SLASH && zeros !== 0 ? zeros : restA - restB;
}

/**
 * `names` in natural order. Most are numbered with leading zeros: then the plain order, which the runtime makes ten
 * times as fast, is the same, and sorting what is sorted takes one pass.
 */
export function inNaturalOrder(names: readonly string[]): string[] {
  return names.toSorted().toSorted(compareNatural);
}

/** UTF-16 puts surrogates (code points above U+FFFF) before U+E000 … U+FFFF; this puts them behind. */
function codePointRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

function skipZeros(text: string, from: number): number {
  let at = from;
  while (at < text.length && text.charCodeAt(at) === ZERO) at += 1;
  return at;
}

function skipDigits(text: string, from: number): number {
  let at = from;
  while (at < text.length && isDigit(text.charCodeAt(at))) at += 1;
  return at;
}
