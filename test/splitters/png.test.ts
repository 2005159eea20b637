/** Each rule of the PNG walk on an image made for it. */
import { describe, expect, test } from "bun:test";
import { makeSplitter } from "../../src/splitters/splitter.ts";
import { Random } from "../support/random.ts";
import { bytes, chunk, concat, pngSignature, randomPng, type Skipped, split, u32 } from "./images.ts";

const random = new Random(4);
const image = randomPng(random);
const ihdr = chunk("IHDR", new Uint8Array(13));
const iend = chunk("IEND", new Uint8Array(0));
const hex = (images: readonly Uint8Array[]): string[] => images.map((each) => each.toHex());
const told = (skipped: readonly Skipped[]): unknown[] => skipped.map((each) => [each.bytes, each.reason, each.detail]);

describe("a PNG stream", () => {
  test("any wrong byte of an image is found, and the next image comes out", () => {
    const small = concat(pngSignature, ihdr, chunk("IDAT", random.bytes(20)), iend);
    for (let at = 0; at < small.length; at++) {
      const wrong = small.map((byte, index) => (index === at ? byte ^ 0x10 : byte));
      const { frames, skipped } = split({ kind: "png" }, [concat(image, wrong, image, image)]);
      expect(hex(frames)).toEqual(hex([image, image, image]));
      expect(skipped.map((each) => each.bytes)).toEqual([wrong.length]);
    }
  });

  test("says which chunk is damaged", () => {
    const data = chunk("IDAT", bytes(1, 2, 3));
    const wrong = concat(
      pngSignature,
      ihdr,
      data.map((byte, index) => (index === 9 ? byte + 1 : byte)),
      iend,
    );
    const { skipped } = split({ kind: "png" }, [concat(wrong, image)]);
    expect(told(skipped)).toEqual([
      [wrong.length, "damaged", "the PNG at byte 0: the CRC of the chunk at byte 33 does not hold"],
    ]);
  });

  test("a length that spans the following images does not swallow them", () => {
    const wrong = concat(pngSignature, ihdr, u32(5000), chunk("IDAT", random.bytes(50)).subarray(4), iend);
    const images = Array.from({ length: 30 }, () => randomPng(random));
    const { frames, skipped } = split({ kind: "png" }, [concat(wrong, ...images)]);
    expect(hex(frames)).toEqual(hex(images));
    expect(skipped.map((each) => [each.bytes, each.reason])).toEqual([[wrong.length, "damaged"]]);
    // Nor if the stream ends within it, nor if it would be too large.
    expect(hex(split({ kind: "png" }, [concat(wrong, iend, image)]).frames)).toEqual(hex([image]));
    expect(hex(split({ kind: "png" }, [concat(wrong, image)], 4999).frames)).toEqual(hex([image]));
  });

  test("an image without its end is truncated by the next, and by the end of the stream", () => {
    const open = concat(pngSignature, ihdr);
    const { frames, skipped } = split({ kind: "png" }, [concat(open, image, open)]);
    expect(hex(frames)).toEqual(hex([image]));
    expect(told(skipped)).toEqual([
      [33, "truncated", "the PNG at byte 0: the next PNG begins before its end"],
      [33, "truncated", `the PNG at byte ${33 + image.length}: the stream ends before its end`],
    ]);
  });

  test("a signature without a header is none, so that a long chunk need not be awaited", () => {
    const { skipped } = split({ kind: "png" }, [concat(pngSignature, chunk("IDAT", bytes(1)), image)]);
    expect(told(skipped)).toEqual([[21, "damaged", "the PNG at byte 0: it does not begin with IHDR"]]);
  });

  test("a length that no chunk may have is not awaited, however large frames may be", () => {
    const splitter = makeSplitter({ kind: "png" }, 2 ** 40);
    splitter.push(concat(pngSignature, ihdr, u32(0xf000_0000), image));
    const first = splitter.next();
    expect(first?.kind === "skipped" && first.reason).toBe("damaged");
    expect(splitter.next()?.kind).toBe("frame");
  });

  test("a chunk that will be too large is not awaited", () => {
    const start = concat(pngSignature, ihdr, u32(1_000_000), chunk("IDAT", bytes()).subarray(4, 8));
    const pieces = [start, ...Array.from({ length: 20 }, () => random.bytes(50_000)), u32(0), iend, image];
    const { frames, skipped, heldBytesMax } = split({ kind: "png" }, pieces, 999_999);
    expect(hex(frames)).toEqual(hex([image]));
    expect(told(skipped)).toEqual([
      [start.length + 1_000_016, "too-large", "the PNG at byte 0: more than 999999 bytes"],
    ]);
    expect(heldBytesMax).toBeLessThan(100);
  });
});

test("starts that each claim megabytes are not walked once for every start", () => {
  const start = concat(pngSignature, ihdr);
  const fake = concat(start, u32(4_000_000), new TextEncoder().encode("IDAT"));
  const last = concat(start, iend);
  const copies = Math.floor(8_000_000 / fake.length);
  const pieces = [...Array.from({ length: copies }, () => fake.slice()), new Uint8Array(5_000_000), last];
  // Nine times the stream is walked. Once for every start would take a quarter of an hour.
  const { splits } = split({ kind: "png" }, pieces, 64 * 1024 * 1024);
  expect(splits.filter(({ kind }) => kind === "frame").length).toBe(1);
}, 60_000);
