/**
 * What must hold for any stream, cut in any way: whole images come out as they are, every byte is accounted for, memory
 * is bounded, and after damage the next image comes out. Each format's own rules are in the other files of this folder.
 */
import { describe, expect, test } from "bun:test";
import { makeSplitter, type StreamFormat } from "../../src/splitters/splitter.ts";
import { Random } from "../support/random.ts";
import {
  concat,
  type Outcome,
  randomGarbage,
  randomJpeg,
  randomPadding,
  randomPieces,
  randomPng,
  smallJpeg,
  soi,
  split,
  summary,
  tables,
  text,
  totalBytes,
} from "./images.ts";

interface Kind {
  readonly format: StreamFormat;
  readonly make: (random: Random) => Uint8Array;
}
const kinds: readonly Kind[] = [
  { format: { kind: "jpeg" }, make: randomJpeg },
  { format: { kind: "png" }, make: randomPng },
];
const formats = ({ format }: Kind): StreamFormat[] => [format, { kind: "auto" }];

function randomImages(random: Random, { make }: Kind): Uint8Array[] {
  return Array.from({ length: 1 + random.int(8) }, () => make(random));
}

/** Damages an image in one of the ways of cables, drivers and full buffers. */
function damage(random: Random, image: Uint8Array): Uint8Array {
  const at = random.int(image.length);
  const length = 1 + random.int(random.chance(0.5) ? 4 : 500);
  switch (random.int(4)) {
    case 0: // some bytes are others
      return image.map((byte, index) => (index >= at && index < at + length ? random.int(256) : byte));
    case 1: // some bytes are lost
      return concat(image.subarray(0, at), image.subarray(at + length));
    case 2: // some bytes come in between
      return concat(image.subarray(0, at), randomGarbage(random), image.subarray(at));
    default: // it is cut off
      return image.subarray(0, at);
  }
}

/** How many of `images` are among the frames, in order. */
function countFound(frames: readonly Uint8Array[], images: readonly Uint8Array[]): number {
  let from = 0;
  return images.filter((image) => {
    const at = frames.findIndex((frame, index) => index >= from && Buffer.compare(frame, image) === 0);
    if (at !== -1) from = at + 1;
    return at !== -1;
  }).length;
}

for (const kind of kinds) {
  describe(kind.format.kind, () => {
    test("whole images come out as they are, whatever the cuts, and padding is not called a loss", () => {
      for (let seed = 0; seed < 300; seed++) {
        const random = new Random(seed);
        const images = randomImages(random, kind);
        const stream = concat(...images.flatMap((image) => [randomPadding(random), image]), randomPadding(random));
        for (const format of formats(kind)) {
          const outcome = split(format, randomPieces(random, stream));
          expect(outcome.frames.map((frame) => frame.toHex())).toEqual(images.map((image) => image.toHex()));
          expect(outcome.stretches.filter(({ of }) => of !== "padding" && of !== "multipart")).toEqual([]);
          expect(totalBytes(outcome)).toBe(stream.length);
        }
      }
    });

    test("garbage between images is one stretch each, and costs no image", () => {
      for (let seed = 0; seed < 300; seed++) {
        const random = new Random(seed);
        const images = randomImages(random, kind);
        const gaps = images.map(() => randomGarbage(random));
        const stream = concat(...images.flatMap((image, index) => [gaps[index] ?? concat(), image]));
        for (const format of formats(kind)) {
          const outcome = split(format, randomPieces(random, stream));
          expect(outcome.frames.map((frame) => frame.toHex())).toEqual(images.map((image) => image.toHex()));
          expect(outcome.stretches.map(({ bytes, of }) => [bytes, of])).toEqual(
            gaps.map((gap) => [gap.length, "other"]),
          );
        }
      }
    });

    test("after damage the next image comes out, and no byte is unaccounted for", () => {
      let others = 0;
      let found = 0;
      for (let seed = 0; seed < 400; seed++) {
        const random = new Random(seed);
        const before = randomImages(random, kind);
        const damaged = damage(random, kind.make(random));
        // What a damaged length can span is over before the stream is.
        const after = [...randomImages(random, kind), ...randomImages(random, kind)];
        const stream = concat(...before, damaged, ...after);
        const whole = split(kind.format, [stream]);
        expect(totalBytes(whole)).toBe(stream.length);
        expect(countFound(whole.frames, before)).toBe(before.length);
        others += after.length;
        found += countFound(whole.frames, after);
        expect(summary(split(kind.format, randomPieces(random, stream)))).toEqual(summary(whole));
      }
      // A JPEG's damaged length may by chance end at a marker of the next image, which nothing can tell from an honest
      // one. A PNG has its CRC.
      expect(found).toBeGreaterThanOrEqual(kind.format.kind === "png" ? others : others * 0.999);
    });

    test("what is too large is stretches, never held, and the stream goes on behind it", () => {
      for (let seed = 0; seed < 200; seed++) {
        const random = new Random(seed);
        const images = randomImages(random, kind);
        const lengths = images.map((image) => image.length).toSorted((a, b) => a - b);
        // Larger than every header, so that no thumbnail lies beyond it.
        const frameBytesMax = Math.max(1000, lengths[lengths.length >> 1] ?? 0);
        const pieces = randomPieces(random, concat(...images));
        const outcome = split(kind.format, pieces, frameBytesMax);
        const fitting = images.filter((image) => image.length <= frameBytesMax);
        const large = images.filter((image) => image.length > frameBytesMax);
        expect(outcome.frames.map((frame) => frame.toHex())).toEqual(fitting.map((image) => image.toHex()));
        expect(outcome.stretches.map(({ bytes, of }) => [bytes, of])).toEqual(
          large.map((image) => [image.length, "too-large"]),
        );
        expect(outcome.heldBytesMax).toBeLessThanOrEqual(frameBytesMax + 16);
      }
    });

    test("bytes of no meaning never make it throw", () => {
      for (let seed = 0; seed < 300; seed++) {
        const random = new Random(seed);
        // Parts of images and many FF, so that it comes to the rare branches.
        const parts = Array.from({ length: random.int(30) }, () => {
          const image = kind.make(random);
          const at = random.int(image.length);
          return random.chance(0.5)
            ? image.subarray(at, at + random.int(60))
            : random.bytes(random.int(20)).map((byte) => (byte < 90 ? 0xff : byte));
        });
        const stream = concat(...parts);
        for (const format of [...formats(kind), { kind: "y4m" } as const]) {
          const whole = split(format, [stream], 500);
          expect(totalBytes(whole)).toBe(stream.length);
          expect(totalBytes(split(format, randomPieces(random, stream), 500))).toBe(stream.length);
        }
      }
    });
  });
}

describe("any splitter", () => {
  const random = new Random(1);

  test("hands out views of what it was given", () => {
    const stream = concat(smallJpeg(random, 50_000), smallJpeg(random, 50_000));
    const pieces = [stream.slice(0, 20_000), stream.slice(20_000, 70_000), stream.slice(70_000)];
    const given = new Set(pieces.map((piece) => piece.buffer));
    const { splits } = split({ kind: "jpeg" }, pieces);
    const taken = splits.flatMap((each) => (each.kind === "frame" ? each.pieces : []));
    expect(taken.length).toBe(4);
    for (const piece of taken) expect(given.has(piece.buffer as ArrayBuffer)).toBe(true);
  });

  test("does not keep an object per byte", () => {
    const image = smallJpeg(random, 100_000);
    const { splits } = split(
      { kind: "jpeg" },
      Array.from(image, (byte) => Uint8Array.of(byte)),
    );
    expect(splits.flatMap((each) => (each.kind === "frame" ? each.pieces : [])).length).toBeLessThan(30);
  });

  test("a frame keeps its bytes while more of the stream comes", () => {
    const images = Array.from({ length: 50 }, () => smallJpeg(random, 100));
    const splitter = makeSplitter({ kind: "jpeg" }, 1_000_000);
    const frames: (readonly Uint8Array[])[] = [];
    for (const byte of concat(...images)) {
      splitter.push(Uint8Array.of(byte), 0);
      for (let each = splitter.next(0); each !== undefined; each = splitter.next(0)) {
        if (each.kind === "frame") frames.push(each.pieces);
      }
    }
    expect(frames.map((pieces) => concat(...pieces).toHex())).toEqual(images.map((image) => image.toHex()));
  });

  test("an image comes out with its last byte, not with the first of the next", () => {
    for (const image of [smallJpeg(random), kinds[1]?.make(random) ?? concat()]) {
      const splitter = makeSplitter({ kind: "auto" }, 1_000_000);
      splitter.push(image.subarray(0, -1), 0);
      expect(splitter.next(0)).toBeUndefined();
      splitter.push(image.subarray(-1), 0);
      expect(splitter.next(0)?.kind).toBe("frame");
    }
  });

  test("an empty stream and empty pieces give nothing", () => {
    for (const kind of ["auto", "jpeg", "png", "y4m"] as const) {
      expect(split({ kind }, [concat(), concat()]).splits).toEqual([]);
    }
  });

  test("an endless stretch is reported in parts, each twice as long, while the stream runs", () => {
    const zeros = new Uint8Array(65_536);
    const pieces = Array.from({ length: 16 * 16 }, () => zeros.slice());
    pieces[0]?.set(text("h264?"));
    const { stretches, heldBytesMax } = split({ kind: "auto" }, pieces);
    expect(stretches.map(({ bytes }) => Math.round(bytes / 2 ** 20))).toEqual([1, 2, 4, 8, 1]);
    expect(stretches[0]?.of).toBe("other");
    expect(stretches[0]?.describe()).toStartWith("no picture begins in what is at byte 0: 68 32 36 34 3f 00 00");
    expect(heldBytesMax).toBeLessThan(16);
  });

  test("a stretch that is too large is reported once; after a frame the parts begin small again", () => {
    const zeros = new Uint8Array(2 ** 20 + 1);
    const image = smallJpeg(random);
    const large = [image.subarray(0, -2), zeros, zeros, zeros, image.subarray(-2)];
    const pieces = [
      image,
      zeros,
      zeros,
      image,
      ...large,
      image,
      zeros,
      zeros,
      image,
      text("?"),
      image,
      text("\n"),
      image,
    ];
    const { stretches } = split({ kind: "jpeg" }, pieces, 100_000);
    const near = (bytes: number): number => Math.round(bytes / zeros.length);
    expect(stretches.map(({ bytes, of }) => [bytes > 9 ? near(bytes) : bytes, of])).toEqual([
      [2, "padding"],
      [3, "padding"],
      [3, "too-large"],
      [2, "padding"],
      [3, "padding"],
      [1, "other"],
      [1, "padding"],
    ]);
  });

  test("bytes made to be walked again and again take no longer than others", () => {
    const repeat = (count: number, ...values: number[]): Uint8Array =>
      new Uint8Array(count * values.length).map((_, index) => values[index % values.length] ?? 0);
    const start = smallJpeg(random).subarray(0, -2);
    // A segment as long as can be at every fourth byte of a scan, and a start at every third of a stream.
    const segments = concat(start, repeat(500_000, 0xff, 0xe3, 0xff, 0xf0));
    const starts = repeat(1_000_000, 0xff, 0xd8, 0xff);
    const shortest = repeat(500_000, 0xff, 0xe3, 0, 2);
    for (const stream of [segments, starts, concat(start, shortest, start, shortest)]) {
      const pieces = Array.from({ length: Math.ceil(stream.length / 65_536) }, (_, index) =>
        stream.slice(index * 65_536, (index + 1) * 65_536),
      );
      const outcome: Outcome = split({ kind: "jpeg" }, pieces, 100_000_000);
      expect(totalBytes(outcome)).toBe(stream.length);
    }
  });
});

describe("auto", () => {
  const random = new Random(2);
  const jpeg = smallJpeg(random);
  const png = kinds[1]?.make(random) ?? concat();
  const y4m = concat(text("YUV4MPEG2 W2 H2 Cmono\nFRAME\n"), random.bytes(4));

  test("finds each format by its first bytes", () => {
    const extensions = [jpeg, png, y4m].map((stream) => split({ kind: "auto" }, randomPieces(random, stream)).splits);
    expect(extensions.map(([first]) => first?.kind === "frame" && first.extension)).toEqual(["jpg", "png", "y4m"]);
  });

  test("formats change from picture to picture; what began and broke off is lost", () => {
    const { splits } = split({ kind: "auto" }, [concat(soi, tables, randomGarbage(random), png, jpeg)]);
    expect(splits.map((each) => (each.kind === "frame" ? each.extension : each.of))).toEqual(["cut", "png", "jpg"]);
  });

  test("shows what else came, as text if it is", () => {
    const { stretches } = split({ kind: "auto" }, [text("camera 0: no such device\n")]);
    expect(stretches.map((each) => [each.of, each.describe()])).toEqual([
      ["other", 'no picture begins in what is at byte 0: "camera 0: no such device"'],
    ]);
  });
});
