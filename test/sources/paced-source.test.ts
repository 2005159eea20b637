import { expect, test } from "bun:test";
import type { FrameEntry, Outcome } from "../../src/frame.ts";
import type { Listed, OpenedFrame, Source } from "../../src/ports.ts";
import { PacedSource } from "../../src/sources/paced-source.ts";
import { SimClock } from "../simulation/sim-clock.ts";

class Folder implements Source {
  readonly name = "vis";
  onReady?: () => void;
  next = 0;
  readonly calls: string[] = [];

  list(max: number): Listed[] | undefined {
    if (this.next === 100) return undefined;
    return Array.from({ length: Math.min(max, 100 - this.next) }, () => ({
      name: `${this.next++}`,
      bytes: 1,
      capturedNs: 0n,
    }));
  }

  open(entry: FrameEntry): OpenedFrame {
    this.calls.push(`open ${entry.name}`);
    return { bytes: 1, read: () => 0, close: () => undefined };
  }

  settled(entry: FrameEntry, outcome: Outcome | undefined): void {
    this.calls.push(`settled ${entry.name} ${outcome}`);
  }

  dispose(): void {
    this.calls.push("dispose");
  }
}

/** Takes what there is whenever the source says so; returns how many frames had come by each second. */
function play(fps: number, pauseFromMs = Number.POSITIVE_INFINITY, pauseToMs = 0): number[] {
  const clock = new SimClock();
  const folder = new Folder();
  const source = new PacedSource(folder, fps, clock);
  let count = 0;
  const take = (): void => {
    const nowMs = clock.nowMs();
    if (nowMs >= pauseFromMs && nowMs < pauseToMs) return void clock.after(pauseToMs - nowMs, take);
    for (let listed = source.list(10); listed !== undefined && listed.length > 0; listed = source.list(10))
      count += listed.length;
  };
  source.onReady = take;
  take();
  const bySecond: number[] = [];
  for (let second = 1; second <= 6; second++) clock.after(second * 1000 - 0.5, () => bySecond.push(count));
  while (bySecond.length < 6 && clock.step());
  return bySecond;
}

test("gives so many frames a second, then no more", () => {
  expect(play(25)).toEqual([25, 50, 75, 100, 100, 100]);
  expect(play(0.5)).toEqual([1, 1, 2, 2, 3, 3]);
});

test("a long pause is not made up for", () => {
  const [first, , third, fourth] = play(20, 1_000, 3_000);
  expect([first, third]).toEqual([20, 20]);
  expect(fourth).toBeGreaterThanOrEqual(40);
  expect(fourth).toBeLessThanOrEqual(43);
});

test("everything else is the source's own", () => {
  const folder = new Folder();
  const source = new PacedSource(folder, 1, new SimClock());
  const entry = { name: "0", bytes: 1, capturedNs: 0n };
  source.open(entry);
  source.settled(entry, "stored", 1);
  source.dispose();
  expect(folder.calls).toEqual(["open 0", "settled 0 stored", "dispose"]);
});
