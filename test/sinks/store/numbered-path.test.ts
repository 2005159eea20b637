import { expect, test } from "bun:test";
import { pathProblem } from "../../../src/names.ts";
import { freeNumber, numberedPath } from "../../../src/sinks/store/numbered-path.ts";

test("numbered names keep the extension and the limits", () => {
  const long = "n".repeat(255);
  const accents = "é".repeat(127);
  const deep = `${"d".repeat(202)}/`.repeat(10);
  const cases = [
    ["a/17.jpg", 1, "a/17.jpg"],
    ["a/17.jpg", 2, "a/17~2.jpg"],
    ["17", 3, "17~3"],
    ["a.b/17", 3, "a.b/17~3"],
    ["17.tar.gz", 12, "17.tar~12.gz"],
    [long, 2, `${"n".repeat(253)}~2`],
    [`${"n".repeat(251)}.jpg`, 10, `${"n".repeat(248)}~10.jpg`],
    [accents, 2, `${"é".repeat(126)}~2`],
    [`${deep}${"n".repeat(18)}`, 2, `${deep}${"n".repeat(16)}~2`],
    [`x.${"e".repeat(253)}`, 2, `x.${"e".repeat(251)}~2`],
  ] as const;
  for (const [path, number, expected] of cases) {
    expect(numberedPath(path, number)).toBe(expected);
    expect(pathProblem(expected)).toBeUndefined();
  }
});

test("a free number is found in few looks, also where some were freed", () => {
  for (const last of [0, 1, 2, 3, 10, 10_000, 1_234_567]) {
    let looks = 0;
    const isTaken = (number: number): boolean => {
      looks += 1;
      return number <= last;
    };
    expect(freeNumber(isTaken)).toBe(last + 1);
    expect(looks).toBeLessThan(45);
  }
  const freed = freeNumber((number) => number <= 100 && number !== 60);
  expect([60, 101]).toContain(freed);
});
