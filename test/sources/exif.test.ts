import { expect, test } from "bun:test";
import { array, assert as check, constantFrom, integer, property, record } from "fast-check";
import { type ExifTime, exifTimeNs, exifTimeOf, type PictureBytes } from "../../src/sources/exif.ts";
import { exifJpegOf, otherSegments, tiffOf } from "./exif-pictures.ts";

/** Counts how often it is looked at. */
class Counted implements PictureBytes {
  looks = 0;
  readonly #content: Uint8Array;

  constructor(content: Uint8Array) {
    this.#content = content;
  }

  get bytes(): number {
    return this.#content.length;
  }

  at(position: number): number {
    this.looks += 1;
    return this.#content[position] ?? 0;
  }

  text(position: number, length: number): string {
    this.looks += length;
    return Buffer.from(this.#content.subarray(position, position + length)).toString("latin1");
  }
}

function timeOf(content: Uint8Array): ExifTime | undefined {
  return exifTimeOf(new Counted(content));
}

const texts = { dateTime: "2026:11:25 10:32:07", subSec: "12", offset: "+01:00" };
const time = { local: "2026-11-25T10:32:07.12", offset: "+01:00" };

test.each([
  ["a JPEG", exifJpegOf(tiffOf(texts))],
  ["a JPEG, with the high byte first", exifJpegOf(tiffOf(texts, { bigEndian: true }))],
  ["a JPEG with other segments before it", exifJpegOf(tiffOf(texts), "", otherSegments)],
  ["a TIFF", tiffOf(texts)],
  ["a TIFF whose IFDs are at its end", tiffOf(texts, { before: 1_000_000, bigEndian: true })],
  ["a raw picture with a number of its own", Buffer.concat([Buffer.from("IIU\0"), tiffOf(texts).subarray(4)])],
  ["one IFD of a thousand entries", tiffOf(texts, { others: 500 })],
])("%s", (_, content) => {
  expect(timeOf(content)).toEqual(time);
  expect(exifTimeNs(time)).toBe(BigInt(Date.parse("2026-11-25T09:32:07Z")) * 1_000_000n + 120_000_000n);
});

test.each([
  ["without fraction and offset", { dateTime: texts.dateTime }, { local: "2026-11-25T10:32:07", offset: undefined }],
  ["a fraction of six digits, with spaces", { ...texts, subSec: "123456  " }, { ...time, local: `${time.local}3456` }],
  ["a fraction that is none", { ...texts, subSec: "  " }, { ...time, local: "2026-11-25T10:32:07" }],
  ["an offset that is none", { ...texts, offset: "   :  " }, { ...time, offset: undefined }],
  ["a clock that was never set", { ...texts, dateTime: "0000:00:00 00:00:00" }, undefined],
  ["a day that no calendar has", { ...texts, dateTime: "2026:02:30 10:32:07" }, undefined],
  ["one that is blank", { ...texts, dateTime: "    :  :     :  :  " }, undefined],
  ["another form", { ...texts, dateTime: "2026-11-25T10:32:07" }, undefined],
  ["no time at all", { subSec: "12", offset: "+01:00" }, undefined],
])("%s", (_, given, expected) => {
  expect(timeOf(exifJpegOf(tiffOf(given)))).toEqual(expected);
});

test("a time without an offset is one of this machine's clock", () => {
  const local = { local: "2026-11-25T10:32:07", offset: undefined };
  expect(exifTimeNs(local)).toBe(BigInt(new Date(2026, 10, 25, 10, 32, 7).getTime()) * 1_000_000n);
});

test.each([
  ["no EXIF data", exifJpegOf(undefined, "", otherSegments)],
  ["none before the picture", Buffer.concat([exifJpegOf(undefined), exifJpegOf(tiffOf(texts))])],
  ["another picture", Buffer.from("\x89PNG\r\n\x1a\n".padEnd(100, "x"), "latin1")],
  ["BigTIFF, which has other IFDs", Buffer.from("II+\0\x08\0\0\0".padEnd(100, "\0"), "latin1")],
  ["next to nothing", Buffer.from("II*\0")],
  ["nothing", Buffer.alloc(0)],
])("%s has no time", (_, content) => {
  expect(timeOf(content)).toBeUndefined();
});

test("a text that is none by its type is not read", () => {
  const block = tiffOf({ dateTime: texts.dateTime }, { others: 0 });
  const dateTime = Buffer.of(0x03, 0x90, 2, 0);
  expect(timeOf(block)).toBeDefined();
  block[block.indexOf(dateTime) + 2] = 7;
  expect(timeOf(block)).toBeUndefined();
});

test("whatever stands in a file, it is looked at for a bounded number of times, and nothing else happens", () => {
  const whole = [exifJpegOf(tiffOf(texts)), exifJpegOf(tiffOf(texts, { bigEndian: true })), tiffOf(texts)];
  const change = record({ at: integer({ min: 0, max: 400 }), byte: integer({ min: 0, max: 255 }) });
  check(
    property(
      constantFrom(...whole),
      array(change, { maxLength: 12 }),
      integer({ min: 0, max: 900 }),
      (of, all, cut) => {
        const content = Buffer.from(of);
        for (const { at, byte } of all) content[at % content.length] = byte;
        for (const bytes of [content, content.subarray(0, cut)]) {
          const counted = new Counted(bytes);
          const found = exifTimeOf(counted);
          if (found !== undefined) expect(typeof exifTimeNs(found)).toBe("bigint");
          expect(counted.looks).toBeLessThan(40_000);
        }
      },
    ),
    { numRuns: 20_000 },
  );
});

test("an IFD that leads to itself, and one of as many entries as there can be, end", () => {
  const loop = tiffOf(texts, { others: 0 });
  // The entry that leads to the Exif IFD, back to its own.
  loop.writeUInt32LE(8, 8 + 2 + 8);
  expect(timeOf(loop)).toBeUndefined();
  const endless = Buffer.alloc(1_000_000, "II*\0\x08\0\0\0\xff\xff", "latin1");
  const counted = new Counted(endless);
  expect(exifTimeOf(counted)).toBeUndefined();
  expect(counted.looks).toBeLessThan(40_000);
});
