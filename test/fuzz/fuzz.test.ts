import { expect, test } from "bun:test";
import { compareWithDecoders, hasDecoders } from "./decoder-fuzz.ts";
import { fuzzStream } from "./stream-fuzz.ts";
import { fuzzWire } from "./wire-fuzz.ts";

test("5,000 mutants of the wire protocol", () => {
  expect(() => {
    for (let seed = 0; seed < 5000; seed++) fuzzWire(seed);
  }).not.toThrow();
});

test("1,000 damaged streams of pictures", () => {
  expect(() => {
    for (let seed = 0; seed < 1000; seed++) fuzzStream(seed);
  }).not.toThrow();
});

test("a stream whose pieces made a difference: a part that is cut behind a thumbnail", () => {
  expect(() => fuzzStream(2_031_596)).not.toThrow();
});

test.skipIf(!hasDecoders)("whatever decoders show of 40 damaged pictures of each format is a frame", () => {
  expect(compareWithDecoders(0, 40)).toEqual([]);
});
