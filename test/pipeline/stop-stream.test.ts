/** Stopping a sender of a stream whose frames only its memory has: sent while there is time, and told if not. */
import { expect, test } from "bun:test";
import { ExitStatus, SinkError } from "../../src/errors.ts";
import { stopMs } from "../../src/limits.ts";
import type { SenderResult } from "../../src/pipeline/sending.ts";
import { FrameNames } from "../../src/sources/stream/frame-names.ts";
import { MemoryStore } from "../../src/sources/stream/memory-store.ts";
import { StreamSource } from "../../src/sources/stream/stream-source.ts";
import { makeSplitter } from "../../src/splitters/splitter.ts";
import { SimNetwork } from "../simulation/sim-network.ts";
import { MemorySink } from "../sinks/memory-sink.ts";
import { Random } from "../support/random.ts";
import { simSending } from "./sim-sending.ts";
import { openHub } from "./open-hub.ts";

const frames = 300;
const frameBytes = 1000;

/** Stops it when all frames have been read and few are sent. */
async function stopEarly({ rateMax, held = false }: { readonly rateMax: number; readonly held?: boolean }) {
  const sink = new MemorySink({ frameBytesMax: 1e6 });
  const { hub, time, events } = openHub(sink);
  const random = new Random(1);
  const network = new SimNetwork(time, random, { delayMsMax: 2, capacityBytes: 1e6, damage: 0 });
  network.accept = () => hub.accept();
  const { clock } = time.process();
  const pieces = [random.bytes(frames * frameBytes)];
  const unending = new Promise<{ value?: Uint8Array }>(() => undefined);
  const source = new StreamSource({
    name: "live",
    path: "-",
    reader: {
      read: () => {
        const value = pieces.pop();
        return value === undefined ? unending : Promise.resolve({ value });
      },
      cancel: () => Promise.resolve(),
    },
    splitter: makeSplitter({ kind: "raw", bytes: frameBytes }, frameBytes),
    names: new FrameNames("{sequence}-{run}.{extension}", "1", "live"),
    store: new MemoryStore(),
    keptBytesMax: 1e6,
    fleeting: true,
    whenFull: "block",
    order: "oldest",
    captured: { kind: "arrival" },
    clock,
    onProblem: () => undefined,
  });
  const results: SenderResult[] = [];
  const sending = simSending(network, clock, random, source, {
    rateMax,
    onDone: (result) => void results.push(result),
  });
  for (let turn = 0; turn < 10 * frames; turn++) await Promise.resolve();
  expect(source.heldFrames).toBe(frames);
  if (held) sink.failure = new SinkError("full", { retryable: true });
  sending.start();
  while (time.nowMs() < 100) time.step();
  const stoppedAtMs = time.nowMs();
  sending.stop();
  while (results.length === 0) time.step();
  const afterMs = time.nowMs() - stoppedAtMs;
  // What is on its way arrives.
  for (const untilMs = time.nowMs() + 100; time.nowMs() < untilMs && time.step(););
  const gaps = events.flatMap((event) => (event.event === "gap" ? [event] : []));
  return { result: results[0], stored: sink.frames.size, gaps, afterMs };
}

test("what was read is sent, though it takes a while", async () => {
  const { result, stored, gaps, afterMs } = await stopEarly({ rateMax: 200 });
  expect([stored, gaps]).toEqual([frames, []]);
  expect(afterMs).toBeWithin(1000, stopMs - 1000);
  expect(result).toMatchObject({ lost: [{ source: "live", frames: 0 }], status: ExitStatus.incomplete });
});

test("what cannot be sent in time is told as lost at both ends, by one number", async () => {
  const { result, stored, gaps, afterMs } = await stopEarly({ rateMax: 10 });
  expect(stored).toBeWithin(10, 60);
  expect(gaps).toMatchObject([
    { count: frames - stored, reason: "dropped", detail: "dropped: the sender was stopped" },
  ]);
  expect(result?.lost).toEqual([{ source: "live", frames: frames - stored }]);
  expect(result?.totals).toMatchObject([{ totals: { frames, stored, skipped: frames - stored } }]);
  expect(result?.status).toBe(ExitStatus.incomplete);
  expect(afterMs).toBeLessThan(stopMs);
});

test("a receiver that cannot store is waited for until the limit, and all of it is lost", async () => {
  const { result, stored, afterMs } = await stopEarly({ rateMax: 200, held: true });
  expect(stored).toBe(0);
  expect(afterMs).toBe(stopMs);
  expect(result).toMatchObject({ lost: [{ source: "live", frames }], status: ExitStatus.incomplete });
});
