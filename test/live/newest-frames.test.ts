/** Frames that are looked at on their way: copied only where somebody waits for them, and while there is room. */
import { expect, test } from "bun:test";
import type { Frame, Origin } from "../../src/frame.ts";
import { NewestFrames } from "../../src/live/host/newest-frames.ts";
import type { FrameWriter, Settle } from "../../src/ports.ts";

const origin: Origin = { device: "rig", source: "vis/left", session: "0".repeat(32) };
const key = "rig/vis%2Fleft";

function frame(sequence: number, facts: Partial<Frame> = {}): Frame {
  return { origin, sequence, name: `${sequence}.jpg`, bytes: 3, capturedNs: BigInt(sequence) * 1_000_000n, ...facts };
}

class FakeWriter implements FrameWriter {
  done: Settle = () => undefined;
  aborted = false;
  write(): void {}
  goOn(): void {}
  finish(_crc32: number, done: Settle): void {
    this.done = done;
  }
  abort(): void {
    this.aborted = true;
  }
}

function open() {
  let nowMs = 0;
  let wanted = 0;
  const newest = new NewestFrames({ nowMs: () => nowMs, wallNs: () => 1n, onWanted: () => (wanted += 1) });
  /** All of a frame, and how it ends. */
  const pass = (one: Frame, outcome: Parameters<Settle>[0] = "stored", byte = one.sequence): void => {
    const inner = new FakeWriter();
    const writer = newest.watchFrame(one, inner);
    writer.write(new Uint8Array(one.bytes).fill(byte));
    let heard: unknown;
    writer.finish(0, (result) => (heard = result));
    inner.done(outcome);
    expect(heard).toBe(outcome);
  };
  const taken = (): [number | undefined, number[]] | undefined => {
    const source = newest.find(key);
    const found = source === undefined ? undefined : newest.take(source);
    return found && [found.facts.sequence, [...(found.bytes ?? [])]];
  };
  return { newest, pass, taken, wanted: () => wanted, wait: (ms: number) => void (nowMs += ms) };
}

test("nobody looking, nothing is copied, and the facts are there all the same", () => {
  const { newest, pass, taken, wanted } = open();
  pass(frame(1));
  const source = newest.find(key);
  expect(source?.newest).toMatchObject({ bytes: undefined, facts: { key, sequence: 1, name: "1.jpg" } });
  expect([taken(), wanted()]).toEqual([undefined, 0]);
  if (source === undefined) throw new Error("it is known");
  expect(newest.begin(source, 3)).toBeUndefined();
});

test("who waits gets the next that is stored, once, also of a source that was not there yet", () => {
  const { newest, pass, taken, wanted } = open();
  newest.want(key, 1);
  pass(frame(1), "refused" as never);
  expect(taken()).toBeUndefined();
  pass(frame(2));
  expect(wanted()).toBe(1);
  expect(taken()).toEqual([2, [2, 2, 2]]);
  pass(frame(3));
  expect([taken(), newest.find(key)?.newest?.bytes]).toEqual([undefined, undefined]);
  newest.want(key, 1);
  pass(frame(4));
  pass(frame(5));
  expect(taken()).toEqual([5, [5, 5, 5]]);
  // Or the next two.
  newest.want(key, 2);
  pass(frame(6));
  expect(taken()).toEqual([6, [6, 6, 6]]);
  pass(frame(7));
  expect(taken()).toEqual([7, [7, 7, 7]]);
  pass(frame(8));
  expect(taken()).toBeUndefined();
});

test("the newest is what was taken last, until nothing newer has come for a while", () => {
  const { newest, pass, wait } = open();
  const shown = (): number | undefined => newest.find(key)?.newest?.facts.sequence;
  pass(frame(9));
  pass(frame(2));
  expect(shown()).toBe(9);
  wait(10_000);
  pass(frame(3));
  expect(shown()).toBe(3);
});

test("frames that are too large, too many at once, or given up take no memory", () => {
  const { newest, pass } = open();
  newest.want(key, 1);
  const large = frame(1, { bytes: 33 * 2 ** 20 });
  const source = newest.of(origin);
  if (source === undefined) throw new Error("there is room for one");
  expect(newest.begin(source, large.bytes)).toBeUndefined();
  // Frames in progress that are given up, more than all that may be copied.
  for (let index = 0; index < 10; index += 1) {
    const inner = new FakeWriter();
    newest.watchFrame(frame(index, { bytes: 30 * 2 ** 20 }), inner).abort();
    expect(inner.aborted).toBe(true);
  }
  const begun = [1, 2, 3].map(() => newest.begin(source, 30 * 2 ** 20)?.length);
  expect(begun).toEqual([30 * 2 ** 20, 30 * 2 ** 20, undefined]);
  pass(frame(11));
  expect(source.newest?.facts.sequence).toBe(11);
});

test("rates and legs are those of the last ten seconds", () => {
  const { newest, pass, wait } = open();
  for (let index = 0; index < 100; index += 1) {
    pass(frame(index, { clockOffsetNs: 0n, capturedNs: 0n }));
    wait(100);
  }
  const source = newest.find(key);
  expect(source?.rates(10_000).framesPerSecond).toBeCloseTo(10, 0);
  expect(source?.legs(10_000)).toEqual({ sent: 1e-6, stored: 0 });
  expect([source?.rates(21_000).framesPerSecond, source?.legs(21_000)]).toEqual([0, {}]);
});
