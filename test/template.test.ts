import { expect, test } from "bun:test";
import { Template } from "../src/template.ts";

const parse = (template: string) => new Template(template, ["a", "b"]);

test("fields are filled, in their order, wherever they stand", () => {
  const filled = (template: string): string => parse(template).fill((field) => field.toUpperCase());
  const cases = ["", "text", "{a}", "{a}{b}", "x{b}y{a}z", "{a}{a}", "a{b}"];
  expect(cases.map(filled)).toEqual(["", "text", "A", "AB", "xByAz", "AA", "aB"]);
});

test("what is used is known, and the first that is no field", () => {
  const template = parse("{b}-{c}-{}");
  expect([template.uses("a"), template.uses("b"), template.unknownField]).toEqual([false, true, "{c}"]);
  expect(["{}", "{A}", "{a}"].map((text) => parse(text).unknownField)).toEqual(["{}", "{A}", undefined]);
});

test("a brace that stands alone is found", () => {
  const stray = ["{a", "a}", "{{a}}", "{a}{b}", "{a}}"].map((text) => parse(text).strayBrace);
  expect(stray).toEqual(["{", "}", "{", undefined, "}"]);
});
