/** A receiver that keeps nothing, and a sender whose files would be gone: nothing is sent, no answer is believed. */
import { expect, test } from "bun:test";
import { ExitStatus } from "../../src/errors.ts";
import type { SenderEvent } from "../../src/events.ts";
import { Sending, type SenderResult } from "../../src/pipeline/sending.ts";
import { NullStore } from "../../src/sinks/null/null-store.ts";
import { StoreSink } from "../../src/sinks/store/store-sink.ts";
import { SimNetwork } from "../simulation/sim-network.ts";
import { SimSource } from "../simulation/sim-source.ts";
import { MemorySink } from "../sinks/memory-sink.ts";
import { Random } from "../support/random.ts";
import { openHub } from "./open-hub.ts";

function run(ifNothingIsKept: "send" | "wait" | "end") {
  const clock = { nowMs: () => 0, wallNs: () => 1n };
  const discarding = new StoreSink(new NullStore(), { sync: "batch", frameBytesMax: 1e6, clock });
  const { hub, time } = openHub(discarding);
  const random = new Random(1);
  const network = new SimNetwork(time, random, { delayMsMax: 2, capacityBytes: 1e6, damage: 0 });
  network.accept = () => hub.accept();
  const files = ["1.jpg", "2.jpg"].map((name) => ({ name, bytes: Buffer.from(name), capturedNs: 0n, broken: false }));
  const folder = { source: "visible", files, deleted: new Set<string>() };
  const source = new SimSource({ folder, random, deleteSent: true, live: false, onSettled: () => undefined });
  const events: SenderEvent[] = [];
  const results: SenderResult[] = [];
  const sending = new Sending({
    peer: "sim:1",
    dial: network.dial,
    clock: time.process().clock,
    random: () => random.next(),
    session: "2".repeat(32),
    device: "device",
    agent: "",
    sources: [source],
    order: "oldest",
    rateMax: undefined,
    ifNothingIsKept,
    retryForMs: undefined,
    onEvent: (event) => void events.push(event),
    onDone: (result) => void results.push(result),
  });
  sending.start();
  const pass = (ms: number): void => {
    const untilMs = time.nowMs() + ms;
    while (results.length === 0 && time.nowMs() < untilMs && time.step());
  };
  const said = (): string[] => events.map(({ event }) => event).filter((event) => /held|resumed/.test(event));
  /** The receiver is started again, with another destination. */
  const replaceBy = (sink: MemorySink): void => {
    network.kill("receiver");
    const next = openHub(sink, undefined, time);
    network.accept = () => next.hub.accept();
  };
  return { sending, results, folder, pass, said, replaceBy };
}

test("one that would go on waits, and sends to one that keeps", () => {
  const { results, folder, pass, said, replaceBy } = run("wait");
  pass(60_000);
  expect(results).toEqual([]);
  expect(said()).toEqual(["held"]);
  expect(folder.deleted.size).toBe(0);
  const sink = new MemorySink({ frameBytesMax: 1e6 });
  replaceBy(sink);
  pass(60_000);
  expect(said()).toEqual(["held", "resumed"]);
  expect([sink.frames.size, folder.deleted.size]).toEqual([2, 2]);
  expect(results).toMatchObject([{ status: ExitStatus.ok }]);
});

test("one that waits can be stopped", () => {
  const { sending, results, folder, pass } = run("wait");
  pass(5000);
  sending.stop();
  pass(1000);
  expect(results).toMatchObject([{ status: ExitStatus.incomplete, error: undefined }]);
  expect(folder.deleted.size).toBe(0);
});

test("one that has an end is refused", () => {
  const { results, folder, pass } = run("end");
  pass(5000);
  expect(results).toMatchObject([{ status: ExitStatus.refused }]);
  expect(results[0]?.error?.message).toContain("keeps nothing");
  expect(folder.deleted.size).toBe(0);
});

test("whoever removes nothing is served", () => {
  const { results, pass } = run("send");
  pass(5000);
  expect(results).toMatchObject([{ status: ExitStatus.ok }]);
});
