import { describe, expect, test } from "bun:test";
import { nameBytesMax } from "../src/limits.ts";
import { compareNatural, inNaturalOrder, nameProblem } from "../src/names.ts";
import { badNames, goodNames } from "./vectors/names.ts";

/** A small generator of our own, so that a failing case is found again by its seed. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe("nameProblem", () => {
  test.each(goodNames.map((name) => [name]))("takes %j", (name) => {
    expect(nameProblem(name)).toBeUndefined();
  });

  test.each(badNames.map(({ name, why }) => [name.slice(0, 40), why, name]))("refuses %j: %s", (_shown, why, name) => {
    expect(nameProblem(name)).toBe(why);
  });

  test("a good name stays good below good folders, and a bad segment is found wherever it stands", () => {
    for (const name of goodNames) {
      if (Buffer.byteLength(name) < nameBytesMax - 10) expect(nameProblem(`device/${name}`)).toBeUndefined();
    }
    for (const { name } of badNames) {
      expect(nameProblem(`a/${name}`)).toBeDefined();
      expect(nameProblem(`${name}/a`)).toBeDefined();
    }
  });

  test("byte lengths agree with the encoder at the limits", () => {
    const random = randomNumbers(7);
    const letters = ["a", "é", "写", "😀"];
    for (let round = 0; round < 2000; round += 1) {
      let segment = "";
      const target = 240 + random(30);
      while (Buffer.byteLength(segment) < target) segment += letters[random(letters.length)];
      const bytes = Buffer.byteLength(segment);
      expect(nameProblem(segment)).toBe(bytes > 255 ? `segment of ${bytes} bytes, limit 255` : undefined);
    }
  });
});

describe("compareNatural", () => {
  const ordered = [
    "0",
    "00",
    "1",
    "1/a",
    "1/b",
    "01",
    "01/a",
    "1-2",
    "1-02",
    "01-2",
    "1-3",
    "1.jpg",
    "001.jpg",
    "2.jpg",
    "10.jpg",
    "10.png",
    "99999999999999999999998",
    "99999999999999999999999",
    "100000000000000000000000",
    "a",
    "a/z",
    "a.jpg",
    "a2b10",
    "a2b010",
    "a02b10",
    "a10",
    "b",
    "é",
    "\ue000",
    "\uffff",
    "😀",
  ];

  test("every pair of a written-out order", () => {
    for (const [i, a] of ordered.entries()) {
      for (const [j, b] of ordered.entries()) {
        expect([a, b, Math.sign(compareNatural(a, b))]).toEqual([a, b, Math.sign(i - j)]);
      }
    }
  });

  test("is a total order: antisymmetric, transitive, 0 only for equal names", () => {
    const random = randomNumbers(1);
    const alphabet = ["0", "0", "1", "2", "9", "a", "/", "-", "é", "😀", "\uffff"];
    const name = (): string => {
      let text = "";
      for (let left = random(7); left >= 0; left -= 1) text += alphabet[random(alphabet.length)];
      return text;
    };
    for (let round = 0; round < 100_000; round += 1) {
      const [a, b, c] = [name(), name(), name()];
      const ab = compareNatural(a, b);
      const ba = compareNatural(b, a);
      const bc = compareNatural(b, c);
      if (Math.sign(ab) !== -Math.sign(ba)) throw new Error(`antisymmetry: ${JSON.stringify([a, b])}`);
      if ((ab === 0) !== (a === b)) throw new Error(`equality: ${JSON.stringify([a, b])}`);
      if (ab <= 0 && bc <= 0 && compareNatural(a, c) > 0) throw new Error(`order: ${JSON.stringify([a, b, c])}`);
    }
  });

  test("names in natural order are in this order, also where the plain order is another", () => {
    const random = randomNumbers(5);
    for (let round = 0; round < 200; round += 1) {
      const names = Array.from({ length: random(50) }, () => `${"0".repeat(random(3))}${random(200)}~${random(3)}.jpg`);
      expect(inNaturalOrder(names)).toEqual(names.toSorted(compareNatural));
    }
    expect(inNaturalOrder(["10.jpg", "9.jpg", "1.jpg"])).toEqual(["1.jpg", "9.jpg", "10.jpg"]);
  });

  test("agrees with the order of numbers", () => {
    const random = randomNumbers(3);
    for (let round = 0; round < 10_000; round += 1) {
      const [a, b] = [random(1 << random(30)), random(1 << random(30))];
      expect(Math.sign(compareNatural(`f/${a}.jpg`, `f/${b}.jpg`))).toBe(Math.sign(a - b));
    }
  });

  test("sorting paths is walking folders whose names are sorted", () => {
    const random = randomNumbers(11);
    const segments = ["1", "01", "10", "2", "a", "a.b", "a1", "a01"];
    const paths = new Set<string>();
    for (let count = 0; count < 400; count += 1) {
      const depth = 1 + random(3);
      paths.add(Array.from({ length: depth }, () => segments[random(segments.length)]).join("/"));
    }
    const walk = (prefix: string): string[] => {
      const below = [...paths].filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
      const names = [...new Set(below.map((path) => path.split("/")[0] ?? ""))].toSorted(compareNatural);
      return names.flatMap((name) => [
        ...(below.includes(name) ? [prefix + name] : []),
        ...(below.some((path) => path.startsWith(`${name}/`)) ? walk(`${prefix}${name}/`) : []),
      ]);
    };
    expect([...paths].toSorted(compareNatural)).toEqual(walk(""));
  });
});
