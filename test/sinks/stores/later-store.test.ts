/** Every sink may answer later: the suite over stores that do, in real time. */
import { expect, test } from "bun:test";
import { SinkError } from "../../../src/errors.ts";
import type { Verdict } from "../../../src/frame.ts";
import type { Draft, Store } from "../../../src/sinks/store/store.ts";
import { MemoryStore } from "../../../src/sinks/testing/memory-store.ts";
import { SimClock } from "../../simulation/sim-clock.ts";
import { Random } from "../../support/random.ts";
import { DirectoryPlace } from "../directory/directory-place.ts";
import { frameOf, session, sinkOf, type SinkPlace, sinkSuite } from "../suite.ts";
import { LaterStore } from "./later-store.ts";

let seed = 0;

function later<D extends Draft>(store: Store<D>): LaterStore<D> {
  const after = (delayMs: number, run: () => void): (() => void) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  };
  return new LaterStore(store, { after, random: new Random((seed += 1)), delayMsMax: 2 });
}

sinkSuite("memory that answers later", true, () => {
  const store = new MemoryStore();
  return {
    open: () => sinkOf(later(store)),
    stored: () => new Map([...store.frames].map(([path, { bytes }]) => [path, Buffer.from(bytes).toString()])),
    breakCommits: (broken) => {
      store.failure = broken ? new SinkError("memory: broken for a test", { retryable: true }) : undefined;
    },
    recordedGaps: () => store.gaps.length,
    recordedStretches: () => store.stretches.length,
    recordedEnds: () => store.ends.length,
    remove: () => {},
  };
});

sinkSuite("a directory that answers later", true, (): SinkPlace => {
  const place = new DirectoryPlace();
  return {
    open: () => {
      const options = place.options();
      return sinkOf(later(place.openStore(options)), options);
    },
    stored: () => place.stored(),
    breakCommits: (broken) => place.breakCommits(broken),
    recordedGaps: () => place.recordedGaps(),
    recordedStretches: () => place.recordedStretches(),
    recordedEnds: () => place.recordedEnds(),
    remove: () => place.remove(),
  };
});

test("answers come in another order than the questions, some never, and the same with the same seed", () => {
  const run = (): number[] => {
    const time = new SimClock();
    const { clock } = time.process();
    const options = { after: clock.after, random: new Random(1), delayMsMax: 100, silence: 0.2 };
    const store = new LaterStore(new MemoryStore(), options);
    const answered: number[] = [];
    const origin = { device: "rig", source: "visible", session };
    for (let question = 0; question < 20; question += 1) {
      const answer: Promise<Verdict[]> = store.lookup(origin, [frameOf("1.jpg", "one")]);
      void answer.then(() => answered.push(question));
    }
    while (time.step());
    return answered;
  };
  const answered = run();
  expect(answered.length).toBeGreaterThan(10);
  expect(answered.length).toBeLessThan(20);
  expect(answered).not.toEqual(answered.toSorted((one, other) => one - other));
  expect(run()).toEqual(answered);
});
