/** Each rule of the PNG walk on an image made for it. */
import { describe, expect, test } from "bun:test";
import { Note } from "../../src/frame.ts";
import { makeSplitter, type SplitStretch } from "../../src/splitters/splitter.ts";
import { Random } from "../support/random.ts";
import { bytes, chunk, concat, pngSignature, randomPng, split, u32 } from "./images.ts";

const random = new Random(4);
const image = randomPng(random);
const ihdr = chunk("IHDR", bytes(0, 0, 0, 16, 0, 0, 0, 16, 8, 2, 0, 0, 0));
const iend = chunk("IEND", new Uint8Array(0));
const hex = (images: readonly Uint8Array[]): string[] => images.map((each) => each.toHex());
const told = (stretches: readonly SplitStretch[]): unknown[] =>
  stretches.map((each) => [each.bytes, each.of, each.describe()]);

describe("a PNG stream", () => {
  test("any wrong byte of an image is found, and the next image comes out", () => {
    const small = concat(pngSignature, ihdr, chunk("IDAT", random.bytes(20)), chunk("IDAT", random.bytes(9)), iend);
    let noted = 0;
    for (let at = 0; at < small.length; at++) {
      const wrong = small.map((byte, index) => (index === at ? byte ^ 0x10 : byte));
      const { frames, notes, stretches } = split({ kind: "png" }, [concat(image, wrong, image, image)]);
      const kept = frames.length === 4;
      expect(hex(frames)).toEqual(hex(kept ? [image, wrong, image, image] : [image, image, image]));
      expect(notes).toEqual(kept ? [0, Note.wrongChecksum, 0, 0] : [0, 0, 0]);
      expect(stretches.map((each) => each.bytes)).toEqual(kept ? [] : [wrong.length]);
      if (kept) noted += 1;
    }
    // In the data of IDAT and in each checksum; nothing else may be wrong in what is shown.
    expect(noted).toBeGreaterThanOrEqual(29 + 4 * 4);
  });

  test("says which chunk is damaged", () => {
    const wrong = chunk("IDAT", bytes(1, 2, 3)).map((byte, index) => (index === 9 ? byte + 1 : byte));
    const cut = concat(pngSignature, ihdr, wrong, iend.subarray(3));
    const { stretches } = split({ kind: "png" }, [concat(cut, image)]);
    expect(told(stretches)).toEqual([
      [cut.length, "damaged", "the PNG at byte 0: the checksum of the chunk at byte 33 does not hold"],
    ]);
  });

  test("a wrong checksum is data if a chunk of a known type follows, and never over a signature", () => {
    const wrong = concat(chunk("IDAT", random.bytes(40)).subarray(0, -4), bytes(0, 0, 0, 0));
    const text = concat(chunk("tEXt", random.bytes(40)).subarray(0, -4), bytes(0, 0, 0, 0));
    const whole = concat(pngSignature, ihdr, text, wrong, iend);
    const { frames, notes } = split({ kind: "auto" }, [concat(whole, image)]);
    expect([hex(frames), notes]).toEqual([hex([whole, image]), [Note.wrongChecksum, 0]]);
    // Cut so that the chunk ends by chance where one of the next image begins.
    const cut = concat(pngSignature, ihdr, u32(pngSignature.length + ihdr.length - 4), bytes(0x49, 0x44, 0x41, 0x54));
    expect(hex(split({ kind: "auto" }, [concat(cut, image)]).frames)).toEqual(hex([image]));
  });

  test("without IEND it is a frame with a note where a start follows, or nothing; with half a chunk it is cut", () => {
    const open = concat(pngSignature, ihdr, chunk("IDAT", random.bytes(40)));
    const { frames, notes, losses } = split({ kind: "auto" }, [concat(open, image, open.subarray(0, -3), image, open)]);
    expect(hex(frames)).toEqual(hex([open, image, image, open]));
    expect(notes).toEqual([Note.noEndMarker, 0, 0, Note.noEndMarker]);
    expect(losses.map(({ bytes: count, of }) => [count, of])).toEqual([[open.length - 3, "damaged"]]);
  });

  test("the one after a cut does not wait for the claim, once data has paused in it", () => {
    const cut = concat(pngSignature, ihdr, u32(900_000), chunk("IDAT", random.bytes(50)).subarray(4));
    const splitter = makeSplitter({ kind: "auto" }, 1_000_000);
    const got: string[] = [];
    const at = (nowMs: number, piece: Uint8Array): void => {
      splitter.push(piece, nowMs);
      for (let each = splitter.next(nowMs); each !== undefined; each = splitter.next(nowMs)) {
        got.push(each.kind === "frame" ? `frame of ${each.arrivedMs} at ${nowMs}` : `${each.of} at ${nowMs}`);
      }
    };
    at(0, cut);
    for (const nowMs of [50, 100, 150]) at(nowMs, image.slice());
    expect(got).toEqual(["cut at 100", "frame of 50 at 100", "frame of 100 at 100", "frame of 150 at 150"]);
  });

  test("a length that spans the following images does not swallow them", () => {
    const wrong = concat(pngSignature, ihdr, u32(5000), chunk("IDAT", random.bytes(50)).subarray(4), iend);
    const images = Array.from({ length: 30 }, () => randomPng(random));
    const { frames, stretches } = split({ kind: "png" }, [concat(wrong, ...images)]);
    expect(hex(frames)).toEqual(hex(images));
    expect(stretches.map((each) => [each.bytes, each.of])).toEqual([[wrong.length, "damaged"]]);
    // Nor if the stream ends within it, nor if it would be too large.
    expect(hex(split({ kind: "png" }, [concat(wrong, iend, image)]).frames)).toEqual(hex([image]));
    expect(hex(split({ kind: "png" }, [concat(wrong, image)], 4999).frames)).toEqual(hex([image]));
  });

  test("an image without its end is truncated by the next, and by the end of the stream", () => {
    const open = concat(pngSignature, ihdr);
    const { frames, stretches } = split({ kind: "png" }, [concat(open, image, open)]);
    expect(hex(frames)).toEqual(hex([image]));
    expect(told(stretches)).toEqual([
      [33, "cut", "the PNG at byte 0: no chunk at byte 33"],
      [33, "cut", `the PNG at byte ${33 + image.length}: no chunk at byte ${66 + image.length}`],
    ]);
  });

  test("a signature without a header is none, so that a long chunk need not be awaited", () => {
    const { stretches } = split({ kind: "png" }, [concat(pngSignature, chunk("IDAT", bytes(1)), image)]);
    expect(stretches.map((each) => [each.bytes, each.of, each.loss])).toEqual([[21, "other", false]]);
  });

  test("a length that no chunk may have is not awaited, however large frames may be", () => {
    const splitter = makeSplitter({ kind: "png" }, 2 ** 40);
    splitter.push(concat(pngSignature, ihdr, u32(0xf000_0000), image), 0);
    const first = splitter.next(0);
    expect(first?.kind === "stretch" && first.of).toBe("cut");
    expect(splitter.next(0)?.kind).toBe("frame");
  });

  test("a chunk that will be too large is not awaited", () => {
    const start = concat(pngSignature, ihdr, u32(1_000_000), chunk("IDAT", bytes()).subarray(4, 8));
    const pieces = [start, ...Array.from({ length: 20 }, () => random.bytes(50_000)), u32(0), iend, image];
    const { frames, stretches, heldBytesMax } = split({ kind: "png" }, pieces, 999_999);
    expect(hex(frames)).toEqual(hex([image]));
    expect(told(stretches)).toEqual([
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
