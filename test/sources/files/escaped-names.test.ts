import { expect, test } from "bun:test";
import { array, assert, constantFrom, integer, oneof, property } from "fast-check";
import { nameProblem } from "../../../src/names.ts";
import { escapedName, fileName, readableName } from "../../../src/sources/files/escaped-names.ts";

function bytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

test.each([
  ["1.jpg", "1.jpg"],
  ["süd/日の出.png", "süd/日の出.png"],
  ["\ufeff\ufffd", "\ufeff\ufffd"],
  ["100%.jpg", "100%.jpg"],
  ["%2", "%2"],
  ["%zz%4z", "%zz%4z"],
  ["a%20b%e9", "a%2520b%25e9"],
  ["a\\b", "a%5Cb"],
  ["%%41", "%%2541"],
])("text: %j is sent as %j", (name, escaped) => {
  expect(escapedName(name)).toBe(escaped);
  expect(escapedName(Buffer.from(name))).toBe(escaped);
  expect(fileName(escaped)).toBe(name);
});

test.each([
  ["caf\xe9.jpg", "caf%E9.jpg"],
  // Cut off, too long, half of a pair, above the last character, a continuation on its own.
  ["\xe2\x82", "%E2%82"],
  ["\xc0\xaf", "%C0%AF"],
  ["\xed\xa0\x80", "%ED%A0%80"],
  ["\xf4\x90\x80\x80", "%F4%90%80%80"],
  ["\x80a", "%80a"],
  ["\xff\xfe41", "%FF%FE41"],
  ["\xe9%41\\", "%E9%2541%5C"],
  ["%\xe9", "%%E9"],
  ["\xc3\xa9\xe9", "é%E9"],
])("bytes: %j is sent as %j", (name, escaped) => {
  expect(escapedName(bytes(name))).toBe(escaped);
  expect(fileName(escaped)).toEqual(bytes(name));
});

test("any bytes come back, and make a safe name unless one of their own characters does not", () => {
  const often = constantFrom(...[..."%\\4eE2/\u0000\u001f"].map((character) => character.charCodeAt(0)), 0xc3, 0xa9);
  assert(
    property(array(oneof(integer({ min: 1, max: 255 }), often), { maxLength: 12 }), (codes) => {
      const name = Buffer.from(codes);
      const escaped = escapedName(name);
      expect(Buffer.from(fileName(escaped))).toEqual(name);
      expect(escapedName(fileName(escaped))).toBe(escaped);
      expect(["backslash", "not valid unicode"]).not.toContain(nameProblem(escaped) ?? "");
    }),
    { numRuns: 5_000 },
  );
});

test("a person sees what the name says", () => {
  expect(readableName("a%2541.jpg")).toBe("a%41.jpg");
  expect(readableName("caf%E9.jpg")).toBe("caf\ufffd.jpg");
});
