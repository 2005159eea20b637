/** A sender of many frames does not list them all before it sends the first, over real sockets. */
import { expect, test } from "bun:test";
import type { FrameEntry } from "../../src/frame.ts";
import { runReceiver } from "../../src/pipeline/receive.ts";
import { runSender } from "../../src/pipeline/send.ts";
import type { Listed, OpenedFrame, Source } from "../../src/ports.ts";
import { NullStore } from "../../src/sinks/null/null-store.ts";
import { sinkOf } from "../sinks/suite.ts";

const framesMax = 10_000;

class CountingSource implements Source {
  readonly name = "frames";
  listed = 0;
  /** How many were listed when the first was opened. */
  listedAtFirst: number | undefined;

  list(max: number): Listed[] | undefined {
    if (this.listed === framesMax) return undefined;
    const count = Math.min(max, framesMax - this.listed);
    const entries = Array.from({ length: count }, (_, at) => {
      return { name: `${String(this.listed + at).padStart(6, "0")}.jpg`, bytes: 1, capturedNs: 0n };
    });
    this.listed += count;
    return entries;
  }

  open(_entry: FrameEntry): OpenedFrame {
    this.listedAtFirst ??= this.listed;
    return { bytes: 1, read: (into) => into.length, close: () => undefined };
  }

  settled(): void {}
  dispose(): void {}
}

test("the first frame is sent when a few have been listed", async () => {
  const receiver = runReceiver({
    hostname: "127.0.0.1",
    port: 0,
    sink: sinkOf(new NullStore()),
    out: [],
    agent: "",
    frameBytesMax: 1000,
    connectionsMax: 1,
    once: true,
    onEvent: () => undefined,
  });
  const source = new CountingSource();
  const sender = runSender({
    host: "127.0.0.1",
    port: Number(receiver.address.split(":").at(-1)),
    device: "device",
    agent: "",
    sources: [source],
    order: "oldest",
    rateMax: undefined,
    lockstep: false,
    retryForMs: 1000,
    onEvent: () => undefined,
  });
  expect(await sender.done).toMatchObject({
    status: 0,
    totals: [{ totals: { frames: framesMax, stored: framesMax } }],
  });
  expect(await receiver.done).toMatchObject({ status: 0 });
  // Some turns of the two, and what is listed in each. All at once it would be 8,192.
  expect(source.listedAtFirst).toBeLessThan(3000);
});
