import { describe, expect, test } from "bun:test";
import * as format from "../../src/cli/format.ts";
import { parseCount, parseDuration, parseSize, parseSwitch } from "../../src/quantities.ts";

describe("values", () => {
  test.each<[string, number | undefined]>([
    ["0", 0],
    ["12", 12],
    ["1K", 1000],
    ["1k", 1000],
    ["1Ki", 1024],
    ["1KiB", 1024],
    ["1kB", 1000],
    ["256Mi", 268_435_456],
    ["2M", 2_000_000],
    ["1.5G", 1_500_000_000],
    ["1 GiB", 1_073_741_824],
    ["7B", 7],
    [" 5 ", 5],
    ["", undefined],
    ["-1", undefined],
    ["K", undefined],
    ["1i", undefined],
    ["12x", undefined],
    ["1e9", undefined],
    ["0x10", undefined],
    ["1.5.5M", undefined],
    ["1T", undefined],
    ["99999999999G", undefined],
    ["Infinity", undefined],
  ])("size %p", (text, bytes) => expect(parseSize(text)).toBe(bytes));

  test.each<[string, number | undefined]>([
    ["0", 0],
    ["90", 90_000],
    ["250ms", 250],
    ["90s", 90_000],
    ["1.5h", 5_400_000],
    ["10m", 600_000],
    ["2d", 172_800_000],
    ["soon", undefined],
    ["1h30m", undefined],
    ["-5s", undefined],
    ["5M", undefined],
    ["", undefined],
  ])("duration %p", (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each<[string, number | undefined]>([
    ["0", 0],
    ["1024", 1024],
    ["1.5", undefined],
    ["-1", undefined],
    ["", undefined],
    ["99999999999999999999", undefined],
  ])("count %p", (text, count) => expect(parseCount(text)).toBe(count));

  test.each<[string, boolean | undefined]>([
    ["1", true],
    ["YES", true],
    ["on", true],
    ["true", true],
    ["0", false],
    ["off", false],
    ["No", false],
    ["2", undefined],
    ["maybe", undefined],
  ])("switch %p", (text, value) => expect(parseSwitch(text)).toBe(value));
});

describe("format", () => {
  test.each<[number, string]>([
    [0, "0"],
    [999, "999"],
    [1000, "1,000"],
    [1234567, "1,234,567"],
  ])("count %p", (count, text) => expect(format.formatCount(count)).toBe(text));

  test("frames", () => {
    expect(format.formatFrames(0)).toBe("0 frames");
    expect(format.formatFrames(1)).toBe("1 frame");
    expect(format.formatFrames(2000)).toBe("2,000 frames");
  });

  test.each<[number, string]>([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [9994, "9.99 kB"],
    [9995, "10.0 kB"],
    [99_949, "99.9 kB"],
    [99_950, "100 kB"],
    [999_499, "999 kB"],
    [999_500, "1.00 MB"],
    [230_000_000, "230 MB"],
    [1.5e12, "1.50 TB"],
    [5e18, "5000 PB"],
  ])("bytes %p", (bytes, text) => expect(format.formatBytes(bytes)).toBe(text));

  test.each<[number, string]>([
    [0, "0 frames/s"],
    [0.44, "0.4 frames/s"],
    [9.94, "9.9 frames/s"],
    [9.96, "10 frames/s"],
    [12_345.4, "12,345 frames/s"],
  ])("frame rate %p", (rate, text) => expect(format.formatFrameRate(rate)).toBe(text));

  test.each<[number, string]>([
    [0, "0 ms"],
    [999.4, "999 ms"],
    [999.6, "1.0 s"],
    [9_940, "9.9 s"],
    [9_960, "10 s"],
    [59_400, "59 s"],
    [59_600, "1 min"],
    [200_000, "3 min 20 s"],
    [3_599_600, "1 h"],
    [7_500_000, "2 h 05 min"],
    [86_399_999, "1 d"],
    [356_400_000, "4 d 3 h"],
  ])("duration %p", (ms, text) => expect(format.formatDuration(ms)).toBe(text));

  test("nothing that a terminal acts on", () => {
    expect(format.printable("a\x1b[2Jb\r\n\u009b5n\u202ec é 漢 😀")).toBe(
      "a\\x1b[2Jb\\x0d\\x0a\\x9b5n\\u{202e}c é 漢 😀",
    );
  });
});
