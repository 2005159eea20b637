/** Whether the age of frames is believed: the table of KEEPING.md, row by row, on clocks that are set. */
import { describe, expect, test } from "bun:test";
import { array, assert as check, integer, property, tuple } from "fast-check";
import { type Arrival, ClockBelief, countBefore } from "../../../src/sinks/directory/clock-belief.ts";

const dayMs = 86_400_000;
const now = Date.UTC(2026, 10, 26);

describe("the clock is believed", () => {
  test("if it agrees to a day with the newest frame, or there was none", () => {
    expect(new ClockBelief(now, 0, now - dayMs).believes(now, 0)).toBe(true);
    expect(new ClockBelief(now, 0, now + dayMs).believes(now, 0)).toBe(true);
    expect(new ClockBelief(now, 0, undefined).believes(now, 0)).toBe(true);
    expect(new ClockBelief(now, 0, now - dayMs - 1).believes(now, 0)).toBe(false);
    expect(new ClockBelief(now, 0, now + dayMs + 1).believes(now, 0)).toBe(false);
  });

  test("until it is set by more than a day, whatever is stored then", () => {
    const belief = new ClockBelief(now, 0, now);
    expect(belief.believes(now + 3 * dayMs, 3 * dayMs)).toBe(true);
    const jumped = now + 3650 * dayMs;
    expect(belief.believes(jumped, 1000)).toBe(false);
    belief.stored("rig", undefined, jumped, 2000);
    expect(belief.believes(jumped, 3000)).toBe(false);
    // Set back.
    expect(belief.believes(now + 4000, 4000)).toBe(true);
  });

  test("if two devices of that time have sent in this run, and not of one", () => {
    const belief = new ClockBelief(now, 0, now - 30 * dayMs);
    belief.stored("rig-1", 5000, now, 0);
    belief.stored("rig-1", 0, now, 10);
    belief.stored("rig-2", -400 * dayMs, now, 20);
    belief.stored("rig-3", undefined, now, 20);
    expect(belief.believes(now + 30, 30)).toBe(false);
    belief.stored("rig-2", 0, now + 40, 40);
    expect(belief.believes(now + 50, 50)).toBe(true);
    // Their clocks go on; ours was set.
    expect(belief.believes(now + 5 * dayMs, 60)).toBe(false);
  });

  test("after a day on which it was not set and frames came", () => {
    const belief = new ClockBelief(now, 0, now - 30 * dayMs);
    expect(belief.believes(now + dayMs, dayMs)).toBe(false);
    belief.stored("rig", undefined, now + dayMs, dayMs);
    expect(belief.believes(now + dayMs + 1, dayMs + 1)).toBe(true);
    const set = new ClockBelief(now, 0, now - 30 * dayMs);
    set.stored("rig", undefined, now + 10, 10);
    expect(set.believes(now + 100 * dayMs, dayMs / 2)).toBe(false);
    expect(set.believes(now + 100.5 * dayMs, dayMs + 1)).toBe(false);
  });

  test("never before 2020", () => {
    expect(new ClockBelief(1000, 0, undefined).believes(1000, 0)).toBe(false);
    expect(new ClockBelief(1000, 0, 1000).believes(1000, 0)).toBe(false);
  });
});

describe("what arrived before a moment", () => {
  const arrivals = (...times: number[]): Arrival[] => times.map((receivedMs, id) => ({ id, receivedMs }));

  test("goes up to the last frame that says so of itself and can be believed", () => {
    expect(countBefore(arrivals(now - 30, now - 20, now - 10), now - 15, now)).toBe(2);
    expect(countBefore(arrivals(now - 30, now - 20), now - 40, now)).toBe(0);
    // Of a clock in the future, and one in 1970: they are as old as what came behind them.
    expect(countBefore(arrivals(now + 1000, 5, now - 20, now - 10), now - 15, now)).toBe(3);
    expect(countBefore(arrivals(5, 6), now, now)).toBe(0);
    expect(countBefore(arrivals(5, now - 10), now - 15, now)).toBe(0);
  });

  test("is never one that came after all that are old", () => {
    const time = integer({ min: 0, max: 3 * dayMs }).map((ms) => now - 2 * dayMs + ms);
    check(
      property(tuple(array(time), time), ([times, limitMs]) => {
        const all = arrivals(...times);
        const count = countBefore(all, limitMs, now);
        for (const { receivedMs } of all.slice(count)) {
          expect(receivedMs >= limitMs || receivedMs > now).toBe(true);
        }
        if (count > 0) expect(all[count - 1]?.receivedMs).toBeLessThan(limitMs);
      }),
    );
  });
});
