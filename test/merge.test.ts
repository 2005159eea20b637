/** Streams in order become one in order, and none of them is read further than it has to be. */
import { expect, test } from "bun:test";
import { array, assert, integer, property } from "fast-check";
import { merged } from "../src/merge.ts";

const isBefore = (a: number, b: number): boolean => a < b;
const sorted = array(integer({ min: 0, max: 50 })).map((list) => list.toSorted((a, b) => a - b));

test("everything, in order", () => {
  assert(
    property(array(sorted, { maxLength: 8 }), (streams) => {
      expect([...merged(streams, isBefore)]).toEqual(streams.flat().toSorted((a, b) => a - b));
    }),
  );
});

test("one item of each stream is in hand, and streams that are left are closed", () => {
  const pulled = [0, 0];
  let closed = 0;
  function* counting(side: 0 | 1): Generator<number, void> {
    try {
      for (;;) {
        pulled[side] = (pulled[side] as number) + 1;
        yield 2 * (pulled[side] as number) + side;
      }
    } finally {
      closed += 1;
    }
  }
  const taken: number[] = [];
  for (const item of merged([counting(0), counting(1)], isBefore)) {
    taken.push(item);
    if (taken.length === 6) break;
  }
  expect(taken).toEqual([2, 3, 4, 5, 6, 7]);
  expect(pulled).toEqual([4, 3]);
  expect(closed).toBe(2);
});
