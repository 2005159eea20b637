import { expect, test } from "bun:test";
import { TimePattern } from "../../src/sources/captured.ts";

const ns = (time: string, more = 0n): bigint => BigInt(Date.parse(time)) * 1_000_000n + more;

test.each([
  ["IMG_%Y%m%d_%H%M%S", "vis/IMG_20261125_103207.jpg", ns("2026-11-25T10:32:07")],
  ["%Y-%m-%dT%H-%M-%S.%f%z", "cam-2026-11-25T10-32-07.125Z.png", ns("2026-11-25T10:32:07Z", 125_000_000n)],
  ["%Y%m%d%H%M%S%f%z", "20261125103207123456789-0330.raw", ns("2026-11-25T10:32:07-03:30", 123_456_789n)],
  ["%Y/%m/%d/%H%M", "2026/11/25/1032.jpg", ns("2026-11-25T10:32:00")],
  ["%d.%m.%Y", "a/b/25.11.2026 (7).jpg", ns("2026-11-25T00:00:00")],
  ["%s.%f", "1763812345.678901.jpg", 1_763_812_345_678_901_000n],
  ["%s%f", "frame-1763812345678.jpg", 1_763_812_345_678_000_000n],
  ["100%%_%s", "100%_1763812345.jpg", 1_763_812_345_000_000_000n],
  // A dot is a dot.
  ["%Y.%m.%d", "2026x11x25.jpg", undefined],
  ["%Y%m%d", "20261325.jpg", undefined],
  ["%Y%m%d", "20260230.jpg", undefined],
  ["%Y%m%d", "20261125/1.jpg", undefined],
  ["IMG_%Y%m%d", "latest.jpg", undefined],
])("%s in %s", (pattern, name, expected) => {
  expect(new TimePattern(pattern).timeIn(name)).toBe(expected as bigint);
});

test.each([
  ["%Y%m", "the pattern makes no day"],
  ["", "the pattern makes no day"],
  ["%Y%m%d%q", "there is no field %q"],
  ["%Y%m%d%", "there is no field %"],
  ["%Y%m%d %d", "%d occurs twice"],
])("%j is refused", (pattern, reason) => {
  expect(() => new TimePattern(pattern)).toThrow(reason);
});
