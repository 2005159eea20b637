/** What was told is counted once, whoever reads it. */
import { describe, expect, test } from "bun:test";
import { array, assert as check, constantFrom, integer, property, record } from "fast-check";
import type { Origin } from "../../src/frame.ts";
import { aheadFramesMax } from "../../src/limits.ts";
import { type AccountOutcome, isOwn, noOutcomes } from "../../src/outcomes.ts";
import { Tally } from "../../src/pipeline/tally.ts";

const session = "1".repeat(32);
const origin: Origin = { device: "cam", source: "vis", session };

function open() {
  const tally = new Tally();
  const source = tally.of(session, origin);
  return { tally, source, frames: source.progress.frames };
}

describe("the tally", () => {
  test("a frame whose ack was lost with the connection comes again, and is counted once, with its bytes", () => {
    const { tally, source, frames } = open();
    expect(source.enter(0, 1, "stored", 100)).toBe(1);
    expect(tally.of(session, { ...origin }).enter(0, 1, "stored", 100)).toBe(0);
    expect(frames).toEqual({ ...noOutcomes(), stored: 1 });
    expect(source.progress.storedBytes).toBe(100);
    expect(tally.sumOf(session)).toEqual({ frames: { ...noOutcomes(), stored: 1 }, storedBytes: 100 });
  });

  test("the last word stands: what was already there and is stored beside it after all is a conflict", () => {
    const { source, frames } = open();
    source.enter(0, 1, "duplicate", 100);
    expect(source.enter(0, 1, "conflict", 100)).toBe(1);
    expect(frames).toEqual({ ...noOutcomes(), conflict: 1 });
    expect(source.progress.storedBytes).toBe(100);
  });

  test("a gap over what is there counts the others only, and one that is said again counts nothing", () => {
    const { source, frames } = open();
    source.enter(2, 1, "stored", 7);
    expect(source.enter(0, 5, "gap")).toBe(4);
    expect(source.enter(0, 5, "gap")).toBe(0);
    expect(frames).toEqual({ ...noOutcomes(), stored: 1, gap: 4 });
    expect(source.enter(1, 1, "stored", 7)).toBe(1);
    expect(frames).toEqual({ ...noOutcomes(), stored: 2, gap: 3 });
  });

  test("a frame that was believed to be there and cannot be read is a gap", () => {
    const { source, frames } = open();
    source.enter(0, 1, "duplicate", 7);
    expect(source.enter(0, 1, "gap")).toBe(1);
    expect(frames).toEqual({ ...noOutcomes(), gap: 1 });
    expect(source.progress.storedBytes).toBe(0);
  });

  test("sessions of one origin add up, and each has its own sum", () => {
    const { tally, source, frames } = open();
    const other = "2".repeat(32);
    source.enter(0, 1, "stored", 10);
    tally.of(other, { ...origin, session: other }).enter(0, 1, "conflict", 20);
    tally.of(other, { ...origin, source: "ir", session: other }).enter(0, 3, "gap");
    expect(frames).toEqual({ ...noOutcomes(), stored: 1, conflict: 1 });
    expect(tally.sumOf(other)).toEqual({ frames: { ...noOutcomes(), conflict: 1, gap: 3 }, storedBytes: 20 });
    // It ends, and its end is said again because the word on it was lost.
    tally.end(other);
    expect(tally.sumOf(other).storedBytes).toBe(20);
    for (let index = 0; index < 300; index++) tally.end(`${index}`);
    expect(tally.sumOf(other).storedBytes).toBe(0);
    expect(frames).toEqual({ ...noOutcomes(), stored: 1, conflict: 1 });
  });

  test("origins beyond the limit are counted together", () => {
    const tally = new Tally();
    for (let index = 0; index < 1100; index++) {
      const { progress } = tally.of(session, { ...origin, source: `${index}` });
      progress.receivedBytes++;
    }
    expect(tally.origins.size).toBe(1024);
    const last = [...tally.origins.values()].at(-1);
    expect(last).toMatchObject({ device: "others", source: "", receivedBytes: 1100 - 1023 });
  });

  test("numbers that follow none cost a bounded memory, and those that may come again are known", () => {
    const { source, frames } = open();
    for (let number = 0; number < 3 * aheadFramesMax; number++) source.enter(2 * number, 1, "stored", 1);
    for (let back = 1; back < aheadFramesMax; back++) {
      expect(source.enter(2 * (3 * aheadFramesMax - back), 1, "stored", 1)).toBe(0);
    }
    expect(frames.stored).toBe(3 * aheadFramesMax);
    expect(source.enter(0, 1, "stored", 1)).toBe(1);
  });

  test("is what a list of numbers would say, in whatever order answers come", () => {
    const answer = record({
      first: integer({ min: 0, max: 30 }),
      count: integer({ min: 1, max: 6 }),
      outcome: constantFrom<AccountOutcome>("stored", "duplicate", "conflict", "refused", "gap", "expired"),
    });
    check(
      property(array(answer, { maxLength: 60 }), (answers) => {
        const { source, frames } = open();
        const numbers = new Map<number, AccountOutcome>();
        for (const { first, count, outcome } of answers) {
          let news = 0;
          for (let number = first; number < first + count; number++) {
            const known = numbers.get(number);
            if (known === outcome || (known !== undefined && isOwn(known) && !isOwn(outcome))) continue;
            numbers.set(number, outcome);
            news++;
          }
          expect(source.enter(first, count, outcome)).toBe(news);
        }
        const expected = noOutcomes();
        for (const outcome of numbers.values()) expected[outcome]++;
        expect(frames).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });
});
