/** Removing what is kept no longer is nothing that an ack promises: a sender does not wait for it. */
import { expect, test } from "bun:test";
import { ReceiverHub } from "../../src/pipeline/receiver.ts";
import { FanOutSink } from "../../src/sinks/store/fan-out-sink.ts";
import { MemorySink } from "../sinks/memory-sink.ts";
import { SimClock } from "../simulation/sim-clock.ts";
import { SimNetwork } from "../simulation/sim-network.ts";
import { SimSource } from "../simulation/sim-source.ts";
import { Random } from "../support/random.ts";
import { simSending } from "./sim-sending.ts";

test("frames are acknowledged before what they have pushed out is removed", () => {
  const time = new SimClock();
  const { clock } = time.process();
  const random = new Random(1);
  const network = new SimNetwork(time, random, { delayMsMax: 2, capacityBytes: 1_000_000, damage: 0 });
  const [plain, removing] = [new MemorySink({ frameBytesMax: 1e6 }), new MemorySink({ frameBytesMax: 1e6 })];
  let steps = 0;
  const step = (): Promise<number> => {
    steps += 1;
    // A disk that takes for ever.
    return new Promise(() => undefined);
  };
  Object.defineProperty(removing.store, "expiry", {
    value: {
      get due() {
        return removing.frames.size > 0;
      },
      step,
    },
  });
  const common = { clock, agent: "", frameBytesMax: 1e6, connectionsMax: 1, onEvent: () => undefined };
  const sink = new FanOutSink([plain, removing]);
  const hub = new ReceiverHub({ ...common, newSession: () => "1".repeat(32), sink });
  network.accept = () => hub.accept();
  const files = [{ name: "1.jpg", bytes: new Uint8Array(5000), capturedNs: 0n, broken: false }];
  const folder = { source: "visible", files, deleted: new Set<string>() };
  const told: string[] = [];
  const onSettled = (_: unknown, name: string): void => void told.push(name);
  const source = new SimSource({ folder, random, deleteSent: false, live: false, onSettled });
  const sending = simSending(network, clock, random, source);
  sending.start();
  const deadlineMs = clock.nowMs() + 300;
  while (told.length === 0 && clock.nowMs() < deadlineMs) time.step();
  expect([told, steps]).toEqual([["1.jpg"], 1]);
});
