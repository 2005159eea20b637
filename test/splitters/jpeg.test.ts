/** Each rule of the JPEG walk on an image made for it. */
import { describe, expect, test } from "bun:test";
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
  "no picture": concat(soi, tables, eoi),
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
    const { frames, skipped } = splitJpeg(open, open, image);
    expect(hex(frames)).toEqual(hex([open, open, image]));
    expect(skipped).toEqual([]);
  });

  test("at the end of the stream it is truncated", () => {
    const { frames, skipped } = splitJpeg(image, image.subarray(0, -2));
    expect(hex(frames)).toEqual(hex([image]));
    expect(skipped).toEqual([
      {
        kind: "skipped",
        bytes: image.length - 2,
        reason: "truncated",
        detail: `the JPEG at byte ${image.length}: the stream ends before its end`,
      },
    ]);
  });

  test("an image that ends before its picture begins is truncated", () => {
    const { frames, skipped } = splitJpeg(soi, tables, image);
    expect(hex(frames)).toEqual(hex([image]));
    expect(skipped.map(({ bytes: count, reason }) => [count, reason])).toEqual([[2 + tables.length, "truncated"]]);
  });

  test("wherever the stream ends, the part of an image is truncated, and its thumbnail is no frame", () => {
    const large = wholeImages["a thumbnail in APP1"] ?? image;
    for (let length = 3; length < large.length; length++) {
      const { frames, skipped } = split({ kind: "jpeg" }, [concat(image, large.subarray(0, length))]);
      expect(hex(frames)).toEqual(hex([image]));
      expect(skipped.map(({ bytes: count, reason }) => [count, reason])).toEqual([[length, "truncated"]]);
    }
  });

  test("a length that spans the following images does not swallow them", () => {
    const broken = concat(soi, bytes(0xff, 0xdb, 0xff, 0xf0), tables, sos, scan, eoi);
    const images = Array.from({ length: 200 }, () => image);
    expect(splitJpeg(broken, ...images).frames.length).toBe(200);
    // Nor if the stream ends within it.
    const { frames, skipped } = splitJpeg(image, broken, image, image);
    expect(hex(frames)).toEqual(hex([image, image, image]));
    expect(skipped.map(({ bytes: count, reason }) => [count, reason])).toEqual([[broken.length, "truncated"]]);
  });

  test("damage is said with its place", () => {
    const { skipped } = splitJpeg(image, soi, segment(0xe0, bytes(1, 2, 3)), text("oops"), image);
    expect(skipped.map(({ reason, detail }) => [reason, detail])).toEqual([
      ["damaged", `the JPEG at byte ${image.length}: no marker at byte ${image.length + 9}`],
    ]);
  });

  test("a scan header of a wrong length is not followed", () => {
    const broken = concat(soi, tables, bytes(0xff, 0xda, 0xff, 0, 1), scan, eoi);
    const { frames, skipped } = splitJpeg(broken, image);
    expect(hex(frames)).toEqual(hex([image]));
    expect(skipped[0]?.detail).toEndWith(`a scan header of a wrong length at byte ${2 + tables.length}`);
  });

  test("what belongs between images is padding, however long", () => {
    const part = text("\r\n--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: 2368\r\n\r\n");
    for (const gap of [new Uint8Array(300_000), eoi, bytes(0xff, 0xff), text("\n"), part]) {
      const { frames, skipped } = splitJpeg(gap, image, gap, image, gap);
      expect(hex(frames)).toEqual(hex([image, image]));
      expect(skipped.map(({ bytes: count, reason }) => [count, reason])).toEqual(
        [1, 2, 3].map(() => [gap.length, "padding"]),
      );
    }
  });

  test("what does not is garbage: other bytes, text that is no part's head, a head that never ends", () => {
    for (const gap of [bytes(0, 0, 1), text("error: no signal\n"), text(`--a\r\n${"X: y\r\n".repeat(400)}`)]) {
      const { skipped } = splitJpeg(image, gap, image);
      expect(skipped.map(({ bytes: count, reason }) => [count, reason])).toEqual([[gap.length, "garbage"]]);
    }
  });

  test("a frame of exactly the largest size is taken, one byte more is not", () => {
    expect(split({ kind: "jpeg" }, [image], image.length).frames.length).toBe(1);
    const { frames, skipped } = split({ kind: "jpeg" }, [image, thumbnail], image.length - 1);
    expect(hex(frames)).toEqual(hex([thumbnail]));
    expect(skipped).toEqual([
      {
        kind: "skipped",
        bytes: image.length,
        reason: "too-large",
        detail: `the JPEG at byte 0: more than ${image.length - 1} bytes`,
      },
    ]);
  });
});
