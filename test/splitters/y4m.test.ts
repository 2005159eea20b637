/** y4m and raw: frames whose size is known before they come. */
import { describe, expect, test } from "bun:test";
import { AssertionError } from "../../src/errors.ts";
import { makeSplitter } from "../../src/splitters/splitter.ts";
import { readY4mHeader } from "../../src/splitters/y4m-header.ts";
import { Random } from "../support/random.ts";
import type { SplitStretch } from "../../src/splitters/splitter.ts";
import { concat, randomPieces, split, summary, text, totalBytes } from "./images.ts";

const random = new Random(5);
const header = text("YUV4MPEG2 W15 H9 F25:1 Ip A1:1 C420jpeg XYSCSS=420JPEG\n");
const line = text("FRAME\n");
const dataBytes = 15 * 9 + 2 * 8 * 5;
/** A frame of the stream, and of another with parameters. */
const frame = (): Uint8Array => concat(line, random.bytes(dataBytes));
const frameWithWords = (): Uint8Array => concat(text("FRAME Ip X=a\n"), random.bytes(dataBytes));
const hex = (images: readonly Uint8Array[]): string[] => images.map((each) => each.toHex());
const told = (stretches: readonly SplitStretch[]): unknown[] =>
  stretches.map((each) => [each.bytes, each.of, each.describe()]);

describe("the bytes of a y4m frame", () => {
  // Sizes as `ffmpeg -f rawvideo` writes them; y4m from ffmpeg itself is in ffmpeg.test.ts.
  const sizes: Record<string, number> = {
    "W640 H480 C420jpeg": 460_800,
    "W640 H480 C420mpeg2": 460_800,
    "W640 H480 C420paldv": 460_800,
    "W640 H480 C420": 460_800,
    "W640 H480": 460_800,
    "C422 H480 F30:1 W640": 614_400,
    "W640 H480 C444": 921_600,
    "W640 H480 C444alpha": 1_228_800,
    "W640 H480 C411": 460_800,
    "W640 H480 Cmono": 307_200,
    "W640 H480 Cmono9": 614_400,
    "W640 H480 Cmono16": 614_400,
    "W640 H480 C420p10 XYSCSS=420P10": 921_600,
    "W640 H480 C422p12": 1_228_800,
    "W640 H480 C444p16": 1_843_200,
    "W640 H480 C422jpeg": 614_400,
    "W640 H480 C440": 614_400,
    "W640 H480 C410": 345_600,
    "W640 H480 XYSCSS=422": 614_400,
    "W640 H480 XYSCSS=420JPEG": 460_800,
    "W640 H480 XYSCSS=444P12": 1_843_200,
    "W640 H480 C444 XYSCSS=420": 921_600,
    "W5 H3 C420": 15 + 2 * 3 * 2,
    "W5 H3 C422": 15 + 2 * 3 * 3,
    "W5 H3 C411": 15 + 2 * 2 * 3,
  };
  for (const [words, size] of Object.entries(sizes)) {
    test(words, () => expect(readY4mHeader(`YUV4MPEG2 ${words}\n`)).toMatchObject({ frameBytes: size }));
  }

  test("a header that does not tell says why", () => {
    expect(readY4mHeader("YUV4MPEG2 W640 C420\n")).toBe("a stream header without width or height");
    expect(readY4mHeader("YUV4MPEG2 W640 H0\n")).toBe("a stream header without width or height");
    expect(readY4mHeader(`YUV4MPEG2 W${"9".repeat(400)} H2\n`)).toBe("a stream header without width or height");
    expect(readY4mHeader("YUV4MPEG2 W640 Habc\n")).toBe("a stream header without width or height");
    for (const colour of ["420p17", "420p8", "mono8", "monop9", "42010", "413"]) {
      expect(readY4mHeader(`YUV4MPEG2 W2 H2 C${colour}\n`)).toBe(`a stream of an unknown colour space, "${colour}"`);
    }
  });
});

describe("a y4m stream", () => {
  test("each frame comes out as a y4m file of its own, whatever the cuts", () => {
    for (let round = 0; round < 100; round++) {
      const frames = [frame(), frameWithWords(), frame(), frame()];
      const outcome = split(
        { kind: round % 2 === 0 ? "y4m" : "auto" },
        randomPieces(random, concat(header, ...frames)),
      );
      expect(hex(outcome.frames)).toEqual(hex(frames.map((each) => concat(header, each))));
      expect(outcome.stretches).toEqual([]);
      // The header is held with the first frame, and the next line until it proves the one before.
      expect(outcome.heldBytesMax).toBeLessThan(header.length + dataBytes + 40);
    }
  });

  test("another stream may follow, with frames of another size", () => {
    const other = text("YUV4MPEG2 W4 H4 Cmono\n");
    const small = concat(line, random.bytes(16));
    const first = frame();
    const { frames, stretches } = split({ kind: "y4m" }, [concat(header, first, other, small, header, first)]);
    expect(hex(frames)).toEqual(hex([concat(header, first), concat(other, small), concat(header, first)]));
    expect(stretches).toEqual([]);
  });

  test("after lost or added bytes the frame after the next comes out", () => {
    for (let seed = 0; seed < 300; seed++) {
      const each = new Random(seed);
      const frames = Array.from({ length: 5 }, frame);
      const at = 2 * line.length + dataBytes + each.int(dataBytes);
      const length = 1 + each.int(100);
      const good = concat(...frames);
      const stream = each.chance(0.5)
        ? concat(header, good.subarray(0, at), good.subarray(at + length))
        : concat(header, good.subarray(0, at), each.bytes(length), good.subarray(at));
      const outcome = split({ kind: "y4m" }, [stream]);
      const found = hex(outcome.frames);
      for (const survivor of [0, 3, 4]) expect(found).toContain(concat(header, frames[survivor] ?? line).toHex());
      const headersBytes = (outcome.frames.length - 1) * header.length;
      expect(totalBytes(outcome) - headersBytes).toBe(stream.length);
      expect(summary(split({ kind: "y4m" }, randomPieces(each, stream)))).toEqual(summary(outcome));
    }
  });

  test("a frame that no start follows is not believed: it may be another's data", () => {
    const black = concat(line, new Uint8Array(dataBytes));
    for (const rest of [new Uint8Array(40), text("FRAMES\n")]) {
      const { frames, losses } = split({ kind: "y4m" }, [concat(header, black, rest, black)]);
      expect(hex(frames)).toEqual(hex([concat(header, black)]));
      expect(losses.map(({ bytes, of }) => [bytes, of])).toEqual([[header.length + black.length + rest.length, "cut"]]);
    }
  });

  test("the stream's header counts for the size of a frame", () => {
    const stream = concat(header, frame());
    expect(split({ kind: "y4m" }, [stream], stream.length).frames.length).toBe(1);
    expect(split({ kind: "y4m" }, [stream], stream.length - 1).stretches.map(({ of }) => of)).toEqual(["too-large"]);
  });

  test("a header that claims too much costs its own frames, which are told at once", () => {
    for (const words of ["W999999999 H999999999", "W15 H99999"]) {
      const splitter = makeSplitter({ kind: "y4m" }, 100_000);
      splitter.push(concat(text(`YUV4MPEG2 ${words}\n`), frame(), frame(), header, frame()), 0);
      const splits = [splitter.next(0), splitter.next(250), splitter.next(250)];
      expect(splits.map((each) => (each?.kind === "stretch" ? each.of : each?.kind))).toEqual([
        "too-large",
        "too-large",
        "frame",
      ]);
    }
  });

  test("a last frame that is not whole is truncated", () => {
    const { frames, stretches } = split({ kind: "y4m" }, [concat(header, frame(), frame().subarray(0, -1))]);
    expect(frames.length).toBe(1);
    const at = header.length + line.length + dataBytes;
    expect(told(stretches)).toEqual([
      [line.length + dataBytes - 1, "cut", `the y4m at byte ${at}: the stream ends before its end`],
    ]);
  });

  test("a stream of an unknown colour space is passed over up to the next, saying why", () => {
    const unknown = text("YUV4MPEG2 W4 H4 C999\n");
    const last = frame();
    const { frames, stretches } = split({ kind: "y4m" }, [concat(header, unknown, frame(), frame(), header, last)]);
    expect(hex(frames)).toEqual(hex([concat(header, last)]));
    expect(stretches.map((each) => [each.of, each.loss, each.describe()])).toEqual([
      ["other", false, 'no picture begins in what is at byte 0: "YUV4MPEG2 W15 H9 F25:1 I"'],
      ["foreign", true, `the y4m at byte ${header.length}: a stream of an unknown colour space, "999"`],
    ]);
  });

  test("a line that never ends is given up", () => {
    const { stretches, heldBytesMax } = split({ kind: "y4m" }, [text("YUV4MPEG2 "), ...endless(100), header]);
    expect(stretches.map(({ bytes, of }) => [bytes, of])).toEqual([[10 + 100_000 + header.length, "other"]]);
    expect(heldBytesMax).toBeLessThanOrEqual(4096);
    const cut = split({ kind: "y4m" }, [header, text("FRAME "), ...endless(100), frame()]);
    expect([cut.frames.length, cut.stretches.map(({ of }) => of)]).toEqual([1, ["damaged"]]);
  });

  test("frames that are too large are lost one by one, and not held", () => {
    const large = Array.from({ length: 3 }, frame);
    const small = text("YUV4MPEG2 W4 H4 Cmono\n");
    const last = concat(line, random.bytes(16));
    const pieces = randomPieces(random, concat(header, ...large, small, last));
    const { frames, stretches, heldBytesMax } = split({ kind: "y4m" }, pieces, 100);
    expect(hex(frames)).toEqual(hex([concat(small, last)]));
    expect(stretches.map(({ bytes, of }) => [bytes, of])).toEqual(
      large.map((each, index) => [each.length + (index === 0 ? header.length : 0), "too-large"]),
    );
    expect(heldBytesMax).toBeLessThanOrEqual(100);
  });
});

function endless(pieces: number): Uint8Array[] {
  return Array.from({ length: pieces }, () => text("x".repeat(1000)));
}

describe("a raw stream", () => {
  test("is cut into frames of that size, and the rest is truncated", () => {
    for (let seed = 0; seed < 100; seed++) {
      const each = new Random(seed);
      const size = 1 + each.int(2000);
      const stream = each.bytes(each.int(10_000));
      const outcome = split({ kind: "raw", bytes: size }, randomPieces(each, stream), size);
      const count = Math.floor(stream.length / size);
      expect(outcome.frames.length).toBe(count);
      expect(concat(...outcome.frames).toHex()).toBe(stream.subarray(0, count * size).toHex());
      const rest = stream.length - count * size;
      const detail = `the raw frame at byte ${count * size}: the stream ends before its end`;
      expect(told(outcome.stretches)).toEqual(rest === 0 ? [] : [[rest, "cut", detail]]);
      expect(outcome.heldBytesMax).toBeLessThan(size);
    }
  });

  test("of frames without bytes, or above the limit, is a bug of who asks for it", () => {
    expect(() => makeSplitter({ kind: "raw", bytes: 0 }, 100)).toThrow(AssertionError);
    expect(() => makeSplitter({ kind: "raw", bytes: 101 }, 100)).toThrow(AssertionError);
  });
});
