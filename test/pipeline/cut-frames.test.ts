/** What is kept of frames that were cut, and for how long. */
import { expect, test } from "bun:test";
import type { Frame } from "../../src/frame.ts";
import { cutBytesMax, cutBytesMin, cutFramesMax, cutKeptMs, cutShare } from "../../src/limits.ts";
import { CutFrames } from "../../src/pipeline/cut-frames.ts";
import type { FrameWriter } from "../../src/ports.ts";
import { SimClock } from "../simulation/sim-clock.ts";

const large = 300_000_000;

function open() {
  const time = new SimClock();
  const aborted: string[] = [];
  const cutFrames = new CutFrames(time);
  const frameOf = (sequence: number, device = "rig", session = "1"): Frame => {
    const origin = { device, source: "visible", session };
    return { origin, sequence, name: `${sequence}.raw`, bytes: large, capturedNs: 5n };
  };
  const keep = (frame: Frame, bytes = cutBytesMin): void => {
    const { device, session } = frame.origin;
    const writer: FrameWriter = {
      write: () => undefined,
      goOn: () => undefined,
      finish: () => undefined,
      abort: () => void aborted.push(`${device} ${session} ${frame.sequence}`),
    };
    cutFrames.keep({ frame, writer, bytes, crc32: 7 });
  };
  return { time, cutFrames, aborted, frameOf, keep };
}

test("a frame goes on where it was cut, once, and only as the same frame", () => {
  const { cutFrames, aborted, frameOf, keep } = open();
  const frame = frameOf(1);
  keep(frame);
  for (const other of [{ name: "x" }, { bytes: 1 }, { capturedNs: 6n }]) {
    expect(cutFrames.find(frame.origin, 1, { ...frame, ...other })).toBeUndefined();
  }
  expect(cutFrames.find(frame.origin, 2, frame)).toBeUndefined();
  expect(cutFrames.find({ ...frame.origin }, 1, frame)).toMatchObject({ bytes: cutBytesMin, crc32: 7 });
  expect(cutFrames.take(frame, cutBytesMin)).toBeDefined();
  expect(cutFrames.take(frame, cutBytesMin)).toBeUndefined();
  expect(aborted).toEqual([]);
  // It begins anew.
  keep(frame);
  expect(cutFrames.take(frame, 0)).toBeUndefined();
  expect(aborted).toEqual(["rig 1 1"]);
});

test("what is small, replaced, of a session that is over, or too old is given up", () => {
  const { time, cutFrames, aborted, frameOf, keep } = open();
  keep(frameOf(1), cutBytesMin - 1);
  keep(frameOf(2));
  keep(frameOf(2));
  keep(frameOf(3, "rig", "2"));
  cutFrames.clear({ device: "rig", session: "2" });
  expect(aborted).toEqual(["rig 1 1", "rig 1 2", "rig 2 3"]);
  time.pass(cutKeptMs - 1000);
  keep(frameOf(4));
  time.pass(1000);
  expect(aborted.slice(3)).toEqual(["rig 1 2"]);
  time.pass(cutKeptMs);
  expect(aborted.slice(4)).toEqual(["rig 1 4"]);
  keep(frameOf(5));
  cutFrames.clear();
  expect(aborted.slice(5)).toEqual(["rig 1 5"]);
});

test("a device has a part of what may be kept, and all together no more than that", () => {
  const { cutFrames, aborted, frameOf, keep } = open();
  const perDevice = cutFramesMax / cutShare;
  keep(frameOf(0, "other"));
  for (let sequence = 0; sequence < perDevice + 2; sequence += 1) keep(frameOf(sequence));
  expect(aborted).toEqual(["rig 1 0", "rig 1 1"]);
  keep(frameOf(100), cutBytesMax / cutShare);
  expect(aborted).toHaveLength(2 + perDevice);
  keep(frameOf(101), cutBytesMax / cutShare + 1);
  expect(aborted.slice(2 + perDevice)).toEqual(["rig 1 100", "rig 1 101"]);
  const kept = frameOf(0, "other");
  expect(cutFrames.find(kept.origin, 0, kept)).toBeDefined();
  for (let device = 0; device < cutFramesMax; device += 1) keep(frameOf(0, `device ${device}`));
  expect(cutFrames.find(kept.origin, 0, kept)).toBeUndefined();
});
