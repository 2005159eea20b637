/** How often the same kind of thing is said: little enough to be read, and nothing is kept from the reader. */
import { describe, expect, test } from "bun:test";
import { array, assert, boolean, integer, oneof, property, record } from "fast-check";
import { kindOf, MessageBudget } from "../../src/cli/message-budget.ts";
import type { Report } from "../../src/cli/report.ts";
import { SimClock } from "../simulation/sim-clock.ts";

const minuteMs = 60_000;
const hourMs = 3_600_000;
const linesMax = 20;

interface Said {
  readonly ms: number;
  readonly text: string;
  readonly lines: number;
}

/** A budget, and what comes of reports at given times. */
function open() {
  const clock = new SimClock();
  const said: Said[] = [];
  let timers = 0;
  const after = (delayMs: number, run: () => void): (() => void) => {
    timers++;
    const cancel = clock.after(delayMs, () => {
      timers--;
      run();
    });
    return () => {
      timers--;
      cancel();
    };
  };
  const say = ({ text, hints = [] }: Report): void => {
    said.push({ ms: clock.nowMs(), text, lines: 1 + hints.length });
  };
  const budget = new MessageBudget({ clock: { nowMs: () => clock.nowMs(), after }, say });
  const at = (ms: number, run: () => void): void => void clock.after(ms - clock.nowMs(), run);
  return {
    budget,
    said,
    at,
    timers: () => timers,
    /** Until nothing is left to happen. */
    play: () => {
      while (clock.step());
    },
  };
}

function gap(text: string, rest: Record<string, unknown> = {}): Report {
  return { level: "frame", event: { event: "gap", device: "rig", source: "visible", ...rest }, text };
}

function mostLinesInAnHour(said: readonly Said[]): number {
  const within = (from: number) => said.filter(({ ms }) => ms >= from && ms < from + hourMs);
  return Math.max(0, ...said.map(({ ms }) => within(ms).reduce((sum, { lines }) => sum + lines, 0)));
}

describe("the budget of a kind", () => {
  test("what comes now and then is said at once, for ever", () => {
    const { budget, said, at, play } = open();
    for (let index = 0; index < 500; index++) at(index * 10 * minuteMs, () => budget.report(gap(`frame ${index}`)));
    play();
    expect(said.map(({ ms }) => ms)).toEqual(Array.from({ length: 500 }, (_, index) => index * 10 * minuteMs));
  });

  test("a burst: some at once, then a sum with the last of them", () => {
    const { budget, said, at, play } = open();
    for (let index = 0; index < 300; index++) at(index, () => budget.report(gap(`frame ${index}`)));
    play();
    expect(said.slice(0, 12).map(({ text }) => text)).toEqual(
      Array.from({ length: 12 }, (_, index) => `frame ${index}`),
    );
    expect(said.slice(12)).toEqual([{ ms: 2011, text: "288 more in 2.0 s, the last: frame 299", lines: 2 }]);
  });

  test("one that was only late is said as it is", () => {
    const { budget, said, at, play } = open();
    for (let index = 0; index < 13; index++) at(0, () => budget.report(gap(`frame ${index}`)));
    play();
    expect(said.at(-1)).toEqual({ ms: 2000, text: "frame 12", lines: 1 });
  });

  test("after a pause the next one is said at once again", () => {
    const { budget, said, at, play } = open();
    for (let index = 0; index < 300; index++) at(0, () => budget.report(gap(`frame ${index}`)));
    at(60_000, () => budget.report(gap("a minute later")));
    play();
    expect(said.at(-1)).toEqual({ ms: 60_000, text: "a minute later", lines: 1 });
  });

  test("nothing overtakes what is counted", () => {
    const { budget, said, at, play } = open();
    for (let index = 0; index < 11; index++) budget.report(gap("long ago"));
    at(hourMs - 1000, () => budget.report(gap("the twelfth")));
    at(hourMs - 500, () => budget.report(gap("counted")));
    at(hourMs + 500, () => budget.report(gap("behind it")));
    play();
    expect(said.at(-1)?.text).toBe("2 more in 1.5 s, the last: behind it");
  });

  test("what never ends is said less and less often, in its order", () => {
    const { budget, said, at, play } = open();
    const hours = 30;
    for (let index = 0; index < hours * 3600; index++) at(index * 1000, () => budget.report(gap(`frame ${index}`)));
    play();
    expect(mostLinesInAnHour(said)).toBe(19);
    const later = said.filter(({ ms }) => ms >= hourMs);
    expect(mostLinesInAnHour(later)).toBe(2);
    expect(Math.max(...said.map(({ ms }, index) => ms - (said[index - 1]?.ms ?? 0)))).toBeLessThanOrEqual(hourMs / 2);
    const frames = said.map(({ text }) => Number(/frame (\d+)$/.exec(text)?.[1]));
    expect(frames).toEqual(frames.toSorted((one, other) => one - other));
  });

  test("frames are counted, not messages, and who they are of", () => {
    const { budget, said, at, play } = open();
    at(0, () => {
      for (let index = 0; index < 12; index++) budget.report(gap("first"));
      for (const [index, count] of [5, 1, 2, 9, 3, 4].entries()) {
        budget.report(gap("last", { source: `s${index}`, count }));
      }
    });
    play();
    const parts = "9 of rig/s3, 5 of rig/s0, 4 of rig/s5, 3 of rig/s4, 3 of others";
    expect(said.at(-1)?.text).toBe(`24 more in 2.0 s (${parts}), the last: last`);
  });

  test("any number of origins costs a bounded memory and a short line", () => {
    const { budget, said, at, play } = open();
    at(0, () => {
      for (let index = 0; index < 100_012; index++) budget.report(gap("frame", { device: `d${index}` }));
    });
    play();
    expect(said.at(-1)?.text).toMatch(/^100,000 more in 2.0 s \(1 of \S+, .+, 99,996 of others\), the last: frame$/);
  });

  test("kinds do not share a budget, and what is said once in a run has none", () => {
    const { budget, said } = open();
    const error = (text: string): Report => ({ level: "error", event: { event: "error" }, text });
    for (let index = 0; index < 100; index++) budget.report(gap("many"));
    budget.report({ level: "info", event: { event: "conflict" }, text: "one" });
    for (let index = 0; index < 100; index++) budget.report(error("fatal"));
    expect(said.filter(({ text }) => text === "one").length).toBe(1);
    expect(said.filter(({ text }) => text === "fatal").length).toBe(100);
  });

  test("what undoes each other is one kind, so that the last word holds", () => {
    const { budget, said, at, play } = open();
    for (let index = 0; index < 200; index++) {
      const held = index % 2 === 0;
      const event = { event: held ? "held" : "resumed" };
      at(index * 1000, () => budget.report({ level: "info", event, text: held ? "held" : "stores again" }));
    }
    play();
    expect(said.at(-1)?.text).toEndWith("the last: stores again");
    expect(kindOf({ event: "connected" })).toBe(kindOf({ event: "disconnected" }) as string);
    expect(kindOf({ event: "problem", reason: "kept" })).not.toBe(kindOf({ event: "problem", reason: "held" }));
  });

  test("the end says what was only counted", () => {
    const { budget, said, timers } = open();
    for (let index = 0; index < 20; index++) budget.report(gap(`frame ${index}`));
    budget.sumUp();
    expect(said.at(-1)?.text).toBe("8 more in 0 ms, the last: frame 19");
    expect(timers()).toBe(0);
  });

  test("an idle program is not woken: no timer runs while nothing is counted", () => {
    const { budget, at, play, timers } = open();
    for (let index = 0; index < 12; index++) budget.report(gap("frame"));
    expect(timers()).toBe(0);
    at(0, () => budget.report(gap("one more")));
    play();
    expect(timers()).toBe(0);
  });

  test("for months, however they come: 20 lines an hour, each told within it, none miscounted", () => {
    const bursts = array(
      record({
        afterMs: oneof(integer({ min: 0, max: 20_000 }), integer({ min: 0, max: 3 * hourMs })),
        messages: integer({ min: 1, max: 30 }),
        hints: boolean(),
      }),
      { minLength: 1, maxLength: 300 },
    );
    assert(
      property(bursts, (all) => {
        const { budget, said, at, play } = open();
        const due: { readonly ms: number; readonly before: number }[] = [];
        let ms = 0;
        let sent = 0;
        for (const { afterMs, messages, hints } of all) {
          ms += afterMs;
          for (let index = 0; index < messages; index++) {
            const text = `frame ${sent++}`;
            at(ms, () => budget.report({ ...gap(text), hints: hints ? ["do this"] : [] }));
          }
          due.push({ ms, before: sent });
        }
        play();
        expect(mostLinesInAnHour(said)).toBeLessThanOrEqual(linesMax);
        // How many had been told when each was said, singly or in a sum: all of a burst within the hour.
        let told = 0;
        const history = said.map(({ ms: saidMs, text }) => {
          told += Number(/^([\d,]+) more in/.exec(text)?.[1]?.replaceAll(",", "") ?? 1);
          return { saidMs, told };
        });
        expect(told).toBe(sent);
        for (const { ms: dueMs, before } of due) {
          expect(history.find((entry) => entry.told >= before)?.saidMs).toBeLessThanOrEqual(dueMs + hourMs);
        }
      }),
      { numRuns: 200 },
    );
  });
});
