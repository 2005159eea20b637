import { expect, test } from "bun:test";
import { fuzzWire } from "./wire-fuzz.ts";

test("5,000 mutants of the wire protocol", () => {
  expect(() => {
    for (let seed = 0; seed < 5000; seed++) fuzzWire(seed);
  }).not.toThrow();
});
