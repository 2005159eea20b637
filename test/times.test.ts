/** Moments as text: what is understood, what is not, and that what is written is read again. */
import { describe, expect, test } from "bun:test";
import { assert, bigInt, property } from "fast-check";
import { formatTime, parseTime } from "../src/times.ts";

const now = new Date(2026, 10, 25, 15, 0, 0);
const local = (...parts: [number, number, number, number?, number?, number?]): bigint =>
  BigInt(new Date(...parts).getTime()) * 1_000_000n;

describe("a moment", () => {
  test("in a zone, on this machine's clock, a day, or a time of today", () => {
    const moments: [string, bigint][] = [
      ["2026-11-25T10:32:07.120Z", 1_795_602_727_120_000_000n],
      ["2026-11-25T11:32:07.120+01:00", 1_795_602_727_120_000_000n],
      ["2026-11-25T04:02:07.12-06:30", 1_795_602_727_120_000_000n],
      ["2026-11-25 10:32:07.120000001Z", 1_795_602_727_120_000_001n],
      ["2026-11-25T10:32Z", 1_795_602_720_000_000_000n],
      ["2024-02-29T00:00Z", 1_709_164_800_000_000_000n],
      ["2026-07-01T10:32:07.5", local(2026, 6, 1, 10, 32, 7) + 500_000_000n],
      ["2026-07-01 10:32", local(2026, 6, 1, 10, 32)],
      ["2026-07-01", local(2026, 6, 1)],
      ["10:32", local(2026, 10, 25, 10, 32)],
      [" 10:32:07.000000009 ", local(2026, 10, 25, 10, 32, 7) + 9n],
    ];
    expect(moments.map(([text]) => [text, parseTime(text, now)])).toEqual(moments);
  });

  test("is not what is no time, or a day or time that there is not", () => {
    const texts = [
      ["", "now", "10", "T10:32", "2026-11-25T", "2026-11-2510:32", "10:32Z", "2026-11-25Z", "2026-11-25T10:32:07.Z"],
      ["2026-02-29", "2026-13-01", "2026-00-10", "2026-11-31", "24:00", "10:60", "10:32:60", "0026-11-25"],
      ["2026-11-25T10:32:07.1234567890Z", "2026-11-25T10:32+1:00", "10:32 pm"],
    ];
    expect(texts.flat().filter((text) => parseTime(text, now) !== undefined)).toEqual([]);
  });

  test("is written with three decimals, six or nine", () => {
    expect(formatTime(1_795_602_727_120_000_000n)).toBe("2026-11-25T10:32:07.120Z");
    expect(formatTime(1_795_602_727_120_003_000n)).toBe("2026-11-25T10:32:07.120003Z");
    expect(formatTime(1_795_602_727_120_003_004n)).toBe("2026-11-25T10:32:07.120003004Z");
    expect(formatTime(-1n)).toBe("1969-12-31T23:59:59.999999999Z");
  });

  test("that 64 bits can hold is read as it was written", () => {
    assert(
      property(bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (ns) => {
        expect(parseTime(formatTime(ns), now)).toBe(ns);
      }),
    );
  });
});
