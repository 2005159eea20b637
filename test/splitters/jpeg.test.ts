/** Each rule of the JPEG walk on an image made for it. */
import { describe, expect, test } from "bun:test";
import { Note } from "../../src/frame.ts";
import { Random } from "../support/random.ts";
import {
  bytes,
  concat,
  entropy,
  eoi,
  type Outcome,
  segment,
  smallJpeg,
  soi,
  sos,
  split,
  tables,
  text,
} from "./images.ts";

const random = new Random(3);
const scan = entropy(random, 500);
const image = concat(soi, tables, sos, scan, eoi);
const thumbnail = smallJpeg(random);
const exif = segment(0xe1, concat(text("Exif\0\0"), thumbnail, bytes(0, 0)));

/** The stream in two ways, which must give the same. */
function splitJpeg(...parts: Uint8Array[]): Outcome {
  const stream = concat(...parts);
  const whole = split({ kind: "jpeg" }, [stream]);
  const byteByByte = Array.from(stream, (byte) => Uint8Array.of(byte));
  expect(split({ kind: "jpeg" }, byteByByte).frames).toEqual([...whole.frames]);
  return whole;
}

const hex = (images: readonly Uint8Array[]): string[] => images.map((each) => each.toHex());

const wholeImages: Record<string, Uint8Array> = {
  "a thumbnail in APP1": concat(soi, exif, tables, sos, scan, eoi),
  "FF D9 in application data": concat(soi, segment(0xe2, concat(eoi, eoi)), tables, sos, scan, eoi),
  "restart markers": concat(soi, tables, sos, scan, bytes(0xff, 0xd0), scan, bytes(0xff, 0xd7), scan, eoi),
  "stuffed FF": concat(soi, tables, sos, bytes(0xff, 0, 0xd9, 0xff, 0), eoi),
  "fill bytes before markers": concat(soi, bytes(0xff, 0xff), tables, sos, scan, bytes(0xff, 0xff, 0xff), eoi),
  "several scans": concat(soi, tables, sos, scan, tables, sos, scan, bytes(0xff), sos, scan, eoi),
  "DNL behind the scan": concat(soi, tables, sos, scan, segment(0xdc, bytes(0, 16)), eoi),
  "TEM, which has no length": concat(soi, bytes(0xff, 0x01), tables, sos, scan, eoi),
  "an empty scan": concat(soi, tables, sos, eoi),
  "the largest segment": concat(soi, segment(0xe5, random.bytes(65_533)), tables, sos, scan, eoi),
  "a damaged bit of picture that looks like a segment": concat(soi, tables, sos, scan, bytes(0xff, 0xe3), scan, eoi),
  "a damaged bit of picture that looks like SOI": concat(soi, tables, sos, bytes(0xff, 0xd8, 0), scan, eoi),
  "a damaged bit of picture that looks like SOS": concat(soi, tables, sos, bytes(0xff, 0xda, 0, 9, 1), scan, eoi),
  "a reserved code in the picture": concat(soi, tables, sos, bytes(0xff, 0x42), scan, eoi),
};

describe("a whole JPEG:", () => {
  for (const [name, each] of Object.entries(wholeImages)) {
    test(name, () => {
      expect(hex(splitJpeg(image, each, each, image).frames)).toEqual(hex([image, each, each, image]));
      expect(hex(splitJpeg(each).frames)).toEqual(hex([each]));
    });
  }
});

describe("a JPEG stream", () => {
  test("a picture without EOI is a frame as it is, if another begins", () => {
    const open = image.subarray(0, -2);
    const { frames, stretches } = splitJpeg(open, open, image);
    expect(hex(frames)).toEqual(hex([open, open, image]));
    expect(stretches).toEqual([]);
  });

  test("so it is at the end of the stream", () => {
    const { frames, notes, stretches } = splitJpeg(image, image.subarray(0, -2));
    expect(hex(frames)).toEqual(hex([image, image.subarray(0, -2)]));
    expect(notes).toEqual([0, Note.noEndMarker]);
    expect(stretches).toEqual([]);
  });

  test("an image that ends before its picture begins is truncated", () => {
    const { frames, stretches } = splitJpeg(soi, tables, image);
    expect(hex(frames)).toEqual(hex([image]));
    expect(stretches.map(({ bytes: count, of }) => [count, of])).toEqual([[2 + tables.length, "cut"]]);
  });

  test("wherever the stream ends, a part of an image is lost or noted, and its thumbnail is no frame", () => {
    const large = wholeImages["a thumbnail in APP1"] ?? image;
    const scanAt = large.length - scan.length - eoi.length;
    // Cut just behind its thumbnail, a picture cannot be told from a length that was wrong.
    const thumbnailEnd = soi.length + exif.length - 2;
    for (let length = 3; length < large.length; length++) {
      if (length >= thumbnailEnd && length <= thumbnailEnd + 4) continue;
      const part = large.subarray(0, length);
      const { frames, notes, stretches } = split({ kind: "jpeg" }, [concat(image, part)]);
      const open = length > scanAt;
      expect([length, hex(frames)]).toEqual([length, hex(open ? [image, part] : [image])]);
      expect(notes).toEqual(open ? [0, Note.noEndMarker] : [0]);
      // Before the word Exif is there it may be anything.
      const told = `${length} ${length < 11 ? "other" : "cut"}`;
      expect(stretches.map(({ bytes: count, of }) => `${count} ${of}`)).toEqual(open ? [] : [told]);
    }
  });

  test("a length that spans the following images does not swallow them", () => {
    const images = Array.from({ length: 200 }, () => image);
    // Of a table: it is passed over, and the rest is the picture. Of APP data that its thumbnail is not in: it is lost.
    const table = concat(soi, bytes(0xff, 0xdb, 0xff, 0xf0), tables, sos, scan, eoi);
    const found = splitJpeg(table, ...images);
    expect([found.frames.length, found.notes[0]]).toEqual([201, Note.damagedHeader]);
    const data = concat(soi, bytes(0xff, 0xe1, 0xff, 0xf0), text("Exif\0\0"), new Uint8Array(40));
    const { frames, losses } = splitJpeg(image, data, ...images);
    expect([frames.length, losses.length]).toEqual([201, 1]);
    // Nor if the stream ends within it.
    expect(splitJpeg(image, data, image, image).frames.length).toBe(3);
  });

  test("a scan header of a wrong length is not followed", () => {
    const broken = concat(soi, tables, bytes(0xff, 0xda, 0xff, 0, 1), scan, eoi);
    const { frames, losses } = splitJpeg(broken, image);
    expect(hex(frames)).toEqual(hex([image]));
    expect(losses.map(({ bytes: count }) => count)).toEqual([broken.length]);
  });

  test("what belongs between images is padding, however long", () => {
    for (const gap of [new Uint8Array(100_000), eoi, bytes(0xff, 0xff), text("\n")]) {
      const { frames, stretches } = splitJpeg(gap, image, gap, image, gap);
      expect(hex(frames)).toEqual(hex([image, image]));
      expect(stretches.map(({ bytes: count, of }) => [count, of])).toEqual(
        [1, 2, 3].map(() => [gap.length, "padding"]),
      );
    }
  });

  test("other bytes, and text that is no part's head, are neither padding nor a loss", () => {
    for (const gap of [bytes(0, 0, 1), text("error: no signal\n")]) {
      const { stretches, losses } = splitJpeg(image, gap, image);
      expect(stretches.map(({ bytes: count, of }) => [count, of])).toEqual([[gap.length, "other"]]);
      expect(losses).toEqual([]);
    }
  });

  test("a frame of exactly the largest size is taken, one byte more is not", () => {
    expect(split({ kind: "jpeg" }, [image], image.length).frames.length).toBe(1);
    const { frames, stretches } = split({ kind: "jpeg" }, [image, thumbnail], image.length - 1);
    expect(hex(frames)).toEqual(hex([thumbnail]));
    const detail = `the JPEG at byte 0: more than ${image.length - 1} bytes`;
    expect(stretches).toMatchObject([{ at: 0, bytes: image.length, of: "too-large", loss: true }]);
    expect(stretches[0]?.describe()).toBe(detail);
  });
});
