import { expect, test } from "bun:test";
import { TextFilter } from "../../../src/sinks/store/text-filter.ts";

test("what was added is never said to be new, and few others are said to be known", () => {
  const filter = new TextFilter(4096);
  const texts = Array.from({ length: 4096 * 2 }, (_, index) => `rig\0visible\0${index}.jpg`);
  const added = texts.slice(0, 4000);
  for (const text of added) filter.add(text);
  expect(added.every((text) => filter.mayHave(text))).toBe(true);
  // Of 32,768 bits 39 % are set, so 2 of 100 new texts meet four of them.
  const mistaken = texts.slice(4000).filter((text) => filter.mayHave(text));
  expect(mistaken.length).toBeLessThan(250);
});

test("a full filter knows nothing for sure", () => {
  const filter = new TextFilter(4);
  for (let index = 0; index < 1000; index += 1) filter.add(`${index}`);
  expect(filter.mayHave("new")).toBe(true);
});
