import { describe, expect, test } from "bun:test";
import { array, assert as check, constant, constantFrom, integer, oneof, property, record } from "fast-check";
import { enterRange, type OutcomeRange, OutcomeRanges } from "../src/outcome-ranges.ts";
import { type AccountOutcome, isOwn } from "../src/outcomes.ts";

const outcomes = ["stored", "duplicate", "conflict", "refused", "gap", "expired"] as const;

const rangeOf = (text: string): OutcomeRange => {
  const [numbers = "", outcome = ""] = text.split(" ");
  const [first = "", last = first] = numbers.split("-");
  return { first: Number(first), last: Number(last), outcome: outcome as AccountOutcome };
};
const textOf = ({ first, last, outcome }: OutcomeRange): string =>
  `${first === last ? first : `${first}-${last}`} ${outcome}`;

describe("a range is entered", () => {
  test.each<[string, string[], string, string[]]>([
    ["into nothing", [], "5 stored", ["5 stored"]],
    ["behind its like, which grows", ["0-4 stored"], "5 stored", ["0-5 stored"]],
    ["before its like, which grows downwards", ["6-9 stored"], "5 stored", ["5-9 stored"]],
    ["between two of its like, which become one", ["0-4 stored", "6-9 stored"], "5 stored", ["0-9 stored"]],
    ["beside others", ["0-4 gap", "6-9 refused"], "5 stored", ["0-4 gap", "5 stored", "6-9 refused"]],
    ["away from its like", ["0-3 stored", "7 stored"], "5 stored", ["0-3 stored", "5 stored", "7 stored"]],
    ["inside another, which is split", ["0-9 gap"], "4-5 stored", ["0-3 gap", "4-5 stored", "6-9 gap"]],
    [
      "over the end of one and the start of another",
      ["0-4 gap", "5-9 stored"],
      "3-6 expired",
      ["0-2 gap", "3-6 expired", "7-9 stored"],
    ],
    ["over many", ["1 gap", "2 stored", "4 gap", "6-7 stored"], "0-6 expired", ["0-6 expired", "7 stored"]],
    [
      "as lost over what is there, which stays",
      ["2 stored", "4 expired"],
      "0-5 gap",
      ["0-1 gap", "2 stored", "3 gap", "4 expired", "5 gap"],
    ],
    ["as refused inside what is there", ["0-9 conflict"], "4-5 refused", ["0-9 conflict"]],
    [
      "as lost inside what was believed to be there",
      ["0-9 duplicate"],
      "4-5 gap",
      ["0-3 duplicate", "4-5 gap", "6-9 duplicate"],
    ],
    [
      "as refused over what was lost",
      ["0-4 gap", "5 conflict"],
      "3-6 refused",
      ["0-2 gap", "3-4 refused", "5 conflict", "6 refused"],
    ],
    ["inside its like, which stays", ["0-9 stored"], "4-5 stored", ["0-9 stored"]],
    ["over part of its like and another", ["0-4 stored", "5-9 gap"], "3-6 stored", ["0-6 stored", "7-9 gap"]],
  ])("%s", (_where, known, range, then) => {
    expect(enterRange(known.map(rangeOf), rangeOf(range)).map(textOf)).toEqual(then);
  });

  test("those that stay are the same objects", () => {
    const known = ["0-2 gap", "4 stored", "9 gap"].map(rangeOf);
    const next = enterRange(known, rangeOf("5 stored"));
    expect([next[0] === known[0], next[2] === known[2]]).toEqual([true, true]);
  });
});

/** Numbers mostly follow each other, upwards or downwards, as frames do; some come again. */
const entries = array(
  record({
    step: oneof(constant(1), constant(-1), integer({ min: -40, max: 40 })),
    length: oneof(constant(1), integer({ min: 1, max: 12 })),
    outcome: constantFrom(...outcomes),
  }),
  { maxLength: 80 },
);

test("ranges say of every number what a plain map says, and are the only way to say it", () => {
  check(
    property(entries, (steps) => {
      const account = new OutcomeRanges();
      const plain = new Map<number, AccountOutcome>();
      let at = 20;
      for (const { step, length, outcome } of steps) {
        at = Math.max(0, at + step);
        account.enter(at, at + length - 1, outcome);
        for (let number = at; number < at + length; number += 1) {
          const known = plain.get(number);
          if (known === undefined || !isOwn(known) || isOwn(outcome)) plain.set(number, outcome);
        }
      }
      const said = new Map<number, AccountOutcome>();
      let before: OutcomeRange | undefined;
      for (const range of account.ranges) {
        expect(range.first).toBeLessThanOrEqual(range.last);
        if (before !== undefined) {
          expect(range.first).toBeGreaterThan(before.last);
          if (range.first === before.last + 1) expect(range.outcome).not.toBe(before.outcome);
        }
        for (let number = range.first; number <= range.last; number += 1) said.set(number, range.outcome);
        before = range;
      }
      expect([...said].toSorted(([one], [other]) => one - other)).toEqual(
        [...plain].toSorted(([one], [other]) => one - other),
      );
    }),
    { numRuns: 2000 },
  );
});

test("a million numbers in any order of travel are one range, and soon", () => {
  const startMs = performance.now();
  for (const descending of [false, true]) {
    const account = new OutcomeRanges();
    for (let index = 0; index < 1_000_000; index += 1) {
      const number = descending ? 999_999 - index : index;
      account.enter(number, number, "stored");
    }
    expect(account.ranges).toEqual([{ first: 0, last: 999_999, outcome: "stored" }]);
  }
  expect(performance.now() - startMs).toBeLessThan(5_000);
});
