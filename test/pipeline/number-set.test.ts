import { expect, test } from "bun:test";
import { NumberSet } from "../../src/pipeline/number-set.ts";
import { Random } from "../support/random.ts";

test("a number is new once, in whatever order they come", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = new Random(seed);
    const [set, plain] = [new NumberSet(), new Set<number>()];
    let at = 0;
    for (let step = 0; step < 200; step += 1) {
      at = random.chance(0.7) ? at + random.pick([1, -1]) : random.int(100);
      expect(set.add(at)).toBe(!plain.has(at));
      plain.add(at);
    }
  }
});

test("a million numbers in order take no time, and what is left out no memory without end", () => {
  const startMs = performance.now();
  const [dense, sparse] = [new NumberSet(), new NumberSet()];
  for (let number = 0; number < 1_000_000; number += 1) expect(dense.add(number)).toBe(true);
  for (let number = 0; number < 20_000; number += 2) sparse.add(number);
  expect(dense.add(500_000)).toBe(false);
  expect(sparse.add(19_998)).toBe(false);
  expect(sparse.add(0)).toBe(true);
  expect(performance.now() - startMs).toBeLessThan(10_000);
});
