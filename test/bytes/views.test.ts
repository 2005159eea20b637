import { expect, test } from "bun:test";
import { viewsBehind } from "../../src/bytes/views.ts";

test("what is behind any number of bytes is left, and no empty view before it", () => {
  const views = [[1, 2], [], [3], [4, 5, 6]].map((bytes) => Uint8Array.from(bytes));
  for (let count = 0; count <= 6; count += 1) {
    const left = viewsBehind(views, count);
    expect(left[0]?.byteLength).not.toBe(0);
    expect(left.flatMap((view) => [...view])).toEqual([1, 2, 3, 4, 5, 6].slice(count));
  }
});
