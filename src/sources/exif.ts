/**
 * When a picture was taken, by its EXIF data: DateTimeOriginal, with SubSecTimeOriginal and OffsetTimeOriginal. Of
 * JPEG, of TIFF, and of raw pictures that begin as TIFF does (CR2, NEF, ARW, DNG, ORF, RW2).
 *
 *     header -> IFD0 -> its entry 0x8769 -> Exif IFD -> its entries 0x9003, 0x9291, 0x9011
 *
 * Only this way is gone, each IFD once, so nothing in a file can lead round and round. What is looked at is some
 * hundred bytes, in mostly one place near the beginning, and nothing else is kept.
 */

import type { Metadata } from "../frame.ts";
import { isDay } from "../times.ts";

/** A picture's bytes, which are looked at from place to place. Behind the end there is 0, or nothing. */
export interface PictureBytes {
  readonly bytes: number;
  at(position: number): number;
  /** One character for each byte. */
  text(position: number, length: number): string;
}

export interface ExifTime {
  /** `2026-11-25T10:32:07.12`, as the camera's clock showed it. */
  readonly local: string;
  /** From UTC, `+01:00`. Undefined: the camera does not say. */
  readonly offset: string | undefined;
}

const app1 = 0xe1;
/** As many markers before the data of a JPEG are looked at. */
const markersMax = 64;
/** More entries than any camera's IFD has. */
const entriesMax = 1_024;
const entryBytes = 12;
/** Of the texts that are read. */
const textBytesMax = 64;

/** A header, and two IFDs of one entry each. */
const shortestBytes = 44;

const tag = { exif: 0x8769, dateTime: 0x9003, offset: 0x9011, subSec: 0x9291 } as const;
const type = { ascii: 2, long: 4 } as const;

/** TIFF and BigTIFF are told by their third byte; the others are raw formats with a number of their own. */
const tiffStarts: ReadonlySet<string> = new Set(["II*\0", "MM\0*", "IIRO", "IIRS", "MMOR", "IIU\0"]);

/** A clock that was never set says `0000:00:00 00:00:00`, or has spaces. */
const dateTimeText = /^(\d{4}):(0[1-9]|1[0-2]):(0[1-9]|[12]\d|3[01]) ((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)\0?$/;
const subSecText = /^ *(\d{1,9}) *\0?/;
const offsetAtEnd = /[+-]\d\d:\d\d$/;
const offsetText = /^[+-](?:[01]\d|2[0-3]):[0-5]\d/;

export function exifTimeOf(file: PictureBytes): ExifTime | undefined {
  if (file.bytes < shortestBytes) return undefined;
  const header = file.at(0) === 0xff ? headerInJpeg(file) : 0;
  if (header === undefined || !tiffStarts.has(file.text(header, 4))) return undefined;
  const block = new TiffBlock(file, header);
  let exifAt: number | undefined;
  block.entries(block.u32(4), (entry, found) => {
    if (found === tag.exif && block.u16(entry + 2) === type.long) exifAt = block.u32(entry + 8);
  });
  if (exifAt === undefined) return undefined;
  let [dateTime, subSec, offset] = ["", "", ""];
  block.entries(exifAt, (entry, found) => {
    if (found === tag.dateTime) dateTime = block.text(entry);
    else if (found === tag.subSec) subSec = block.text(entry);
    else if (found === tag.offset) offset = block.text(entry);
  });
  const [, year, month, day, time] = dateTimeText.exec(dateTime) ?? [];
  if (year === undefined || month === undefined || day === undefined || !isDay(year, month, day)) return undefined;
  const fraction = subSecText.exec(subSec)?.[1];
  const local = `${year}-${month}-${day}T${time}${fraction === undefined ? "" : `.${fraction}`}`;
  return { local, offset: offsetText.exec(offset)?.[0] };
}

/** Nanoseconds since the epoch. A camera that says no offset has the clock of where this runs. */
export function exifTimeNs({ local, offset }: ExifTime): bigint {
  const [seconds, fraction = ""] = local.split(".");
  const ms = Date.parse(`${seconds}${offset ?? ""}`);
  return BigInt(ms) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}

/** The name of its tag: under this it travels with the frame. */
export const exifTimeKey = "exif_datetimeoriginal";

export function exifMetadata({ local, offset = "" }: ExifTime): Metadata {
  return new Map([[exifTimeKey, local + offset]]);
}

/** Of a text that `exifMetadata` has made. */
export function exifTimeFrom(text: string): ExifTime {
  const offset = offsetAtEnd.exec(text)?.[0];
  return { local: text.slice(0, text.length - (offset?.length ?? 0)), offset };
}

/** Where the TIFF header of the first segment with EXIF data is. */
function headerInJpeg(file: PictureBytes): number | undefined {
  let at = 2;
  for (let markers = 0; markers < markersMax && at + 10 < file.bytes; markers += 1) {
    const code = file.at(at + 1);
    // Segments of applications and comments come first; fill bytes and anything else end the search.
    if (file.at(at) !== 0xff || (code & 0xf0) !== 0xe0) return undefined;
    if (code === app1 && file.text(at + 4, 6) === "Exif\0\0") return at + 10;
    at += 2 + file.at(at + 2) * 0x100 + file.at(at + 3);
  }
  return undefined;
}

/** Positions count from the header. */
class TiffBlock {
  readonly #file: PictureBytes;
  readonly #header: number;
  readonly #lowFirst: boolean;

  constructor(file: PictureBytes, header: number) {
    this.#file = file;
    this.#header = header;
    this.#lowFirst = file.at(header) === "I".charCodeAt(0);
  }

  u16(position: number): number {
    const [one, two] = [this.#at(position), this.#at(position + 1)];
    return this.#lowFirst ? one + two * 0x100 : one * 0x100 + two;
  }

  u32(position: number): number {
    const [one, two] = [this.u16(position), this.u16(position + 2)];
    return this.#lowFirst ? one + two * 0x1_0000 : one * 0x1_0000 + two;
  }

  /** Calls `each` for the entries of the IFD at `ifd`. */
  entries(ifd: number, each: (entry: number, tag: number) => void): void {
    const count = Math.min(this.u16(ifd), entriesMax);
    for (let index = 0; index < count; index += 1) {
      const entry = ifd + 2 + index * entryBytes;
      if (this.#header + entry + entryBytes > this.#file.bytes) return;
      each(entry, this.u16(entry));
    }
  }

  /** Of an entry, with its NUL; empty if it has none. */
  text(entry: number): string {
    if (this.u16(entry + 2) !== type.ascii) return "";
    const length = this.u32(entry + 4);
    const from = length <= 4 ? entry + 8 : this.u32(entry + 8);
    return this.#file.text(this.#header + from, Math.min(length, textBytesMax));
  }

  #at(position: number): number {
    return this.#file.at(this.#header + position);
  }
}
