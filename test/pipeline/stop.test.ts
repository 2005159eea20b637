/** Stopping a receiver in the middle of a stream that never pauses, on the simulated disk and network. */
import { expect, test } from "bun:test";
import type { ReceiverEvent } from "../../src/events.ts";
import { ReceiverHub } from "../../src/pipeline/receiver.ts";
import type { SenderResult } from "../../src/pipeline/sending.ts";
import { DirectoryStore } from "../../src/sinks/directory/directory-store.ts";
import { Layout, layoutDefault } from "../../src/sinks/store/layout.ts";
import { StoreSink } from "../../src/sinks/store/store-sink.ts";
import { SimClock } from "../simulation/sim-clock.ts";
import { SimCatalogue, SimDisk } from "../simulation/sim-disk.ts";
import { SimNetwork } from "../simulation/sim-network.ts";
import { SimSource } from "../simulation/sim-source.ts";
import { Random } from "../support/random.ts";
import { simSending } from "./sim-sending.ts";

test("a receiver that is told to stop reads nothing more, acknowledges what it has, and ends", () => {
  const time = new SimClock();
  const { clock } = time.process();
  const random = new Random(1);
  const network = new SimNetwork(time, random, { delayMsMax: 2, capacityBytes: 1_000_000, damage: 0 });
  const disk = new SimDisk({ random, after: (delayMs, run) => clock.after(delayMs, run) });
  const options = { sync: "batch", frameBytesMax: 1e6, clock } as const;
  const store = new DirectoryStore({
    ...options,
    directory: "/archive",
    layout: new Layout(layoutDefault),
    minFreeBytes: 0,
    disk,
    takeLock: () => ({ inPlace: () => true, release: () => undefined }),
    openCatalogue: () => new SimCatalogue(disk),
  });
  const sink = new StoreSink(store, options);
  const events: ReceiverEvent[] = [];
  const onEvent = (event: ReceiverEvent): void => void events.push(event);
  const newSession = (): string => "1".repeat(32);
  const common = { clock, agent: "", frameBytesMax: 1e6, connectionsMax: 1, newSession, onEvent };
  const hub = new ReceiverHub({ ...common, sink });
  network.accept = () => hub.accept();
  const files = Array.from({ length: 5000 }, (_, at) => ({
    name: `${at}.jpg`,
    bytes: new Uint8Array(5000),
    capturedNs: 0n,
    broken: false,
  }));
  const folder = { source: "visible", files, deleted: new Set<string>() };
  const told: string[] = [];
  const source = new SimSource({
    folder,
    random,
    deleteSent: false,
    live: false,
    onSettled: (_, name) => void told.push(name),
  });
  const results: SenderResult[] = [];
  const sending = simSending(network, clock, random, source, { onDone: (result) => void results.push(result) });
  sending.start();
  while (told.length < 500) time.step();
  const stopped: number[] = [];
  hub.stop(() => stopped.push(clock.nowMs()));
  const deadlineMs = clock.nowMs() + 3000;
  while (stopped.length === 0 && clock.nowMs() < deadlineMs) time.step();
  expect(stopped.length).toBe(1);
  expect(results).toEqual([]);
  expect(told.length).toBeLessThan(2500);
  // The rows are what was acknowledged and what was committed while the acks were on their way.
  const stored = new Set(disk.durableRows().map((row) => row.frame.name));
  for (const name of told) expect(stored.has(name)).toBe(true);
  expect(sink.stagedFrames).toBe(0);
});
