/** What a receiver says of a destination that fails whenever it is used, and looks well when it is not. */
import { expect, test } from "bun:test";
import { SinkError } from "../../src/errors.ts";
import { idleLookMs, stoodStillMs, stopMs } from "../../src/limits.ts";
import { MemorySink } from "../sinks/memory-sink.ts";
import { frameOf, stage } from "../sinks/suite.ts";
import { openHub } from "./open-hub.ts";
import { WireClient } from "./wire-client.ts";

function open(sink: MemorySink) {
  const { hub, time, clock, events } = openHub(sink);
  const pass = (ms: number): void => {
    const until = clock.nowMs() + ms;
    clock.after(ms, () => {});
    while (clock.nowMs() < until && time.step());
  };
  return { hub, pass, clock, said: () => events.map(({ event }) => event) };
}

test("that it is held is said once, and that it stores again when it has", () => {
  const sink = new MemorySink({ frameBytesMax: 1000 });
  const { hub, pass, said } = open(sink);
  const client = new WireClient(hub, ["visible"]);
  const commit = sink.commit.bind(sink);
  let failing = true;
  sink.commit = (done) => {
    if (failing) sink.failure = new SinkError("no", { retryable: true });
    commit((failure) => {
      sink.failure = undefined;
      done(failure);
    });
  };
  const ofHolds = (): string[] => said().filter((event) => /held|resumed/.test(event));
  for (let round = 0; round < 4; round += 1) {
    client.frame(0, 0);
    pass(50);
    expect(ofHolds()).toEqual(["held"]);
    expect(hub.open).toBe(false);
    pass(5000);
    client.say((w) => w.ping(1n));
    expect(hub.open).toBe(true);
  }
  expect(client.told().filter((line) => line === "resume all")).toHaveLength(4);
  failing = false;
  client.say((w) => w.gap({ sourceIndex: 0, firstSequence: 1, count: 1, reason: "vanished", name: "", detail: "" }));
  pass(50);
  // Nothing of a frame was stored.
  expect(ofHolds()).toEqual(["held"]);
  client.frame(0, 0);
  pass(50);
  expect(ofHolds()).toEqual(["held", "resumed"]);
});

test("a commit that does not end is not waited for for ever, and what it leaves is counted", () => {
  const sink = new MemorySink({ frameBytesMax: 1000 });
  const { hub, pass, clock } = open(sink);
  let finish: (() => void) | undefined;
  const commit = sink.commit.bind(sink);
  sink.commit = (done) => void (finish = () => commit(done));
  stage(sink, frameOf("1.jpg", "one"), "one");
  stage(sink, frameOf("2.jpg", "two"), "two");
  hub.commit();
  const stopped: [number, number][] = [];
  const startMs = clock.nowMs();
  hub.stop((unstoredFrames) => void stopped.push([unstoredFrames, clock.nowMs() - startMs]));
  pass(stopMs - 1);
  expect(stopped).toEqual([]);
  pass(10);
  expect(stopped).toEqual([[2, stopMs]]);
  // It ends after all: nobody is told twice, and nothing more is begun.
  stage(sink, frameOf("3.jpg", "three"), "three");
  finish?.();
  pass(1000);
  expect(stopped).toHaveLength(1);
});

test("a destination that fails while nobody sends is found all the same, and held", () => {
  const sink = new MemorySink({ frameBytesMax: 1000 });
  const { hub, pass, said } = open(sink);
  hub.watch();
  pass(10_000);
  expect(said()).toEqual([]);
  sink.failure = new SinkError("gone", { retryable: true });
  pass(idleLookMs);
  expect(said()).toEqual(["held"]);
  sink.failure = undefined;
  pass(10_000);
  expect(hub.open).toBe(true);
  hub.stop(() => undefined);
});

test("that nothing was done for a while is said when it is over", () => {
  const { hub, time, events } = openHub(new MemorySink({ frameBytesMax: 1000 }));
  hub.watch();
  time.pass(10_000);
  let frozenMs = stoodStillMs - 1;
  const nowMs = time.nowMs.bind(time);
  time.nowMs = () => nowMs() + frozenMs;
  time.pass(idleLookMs);
  expect(events).toEqual([]);
  frozenMs += 25_000;
  time.pass(3 * idleLookMs);
  expect(events).toEqual([{ event: "stood-still", seconds: 25 }]);
  hub.stop(() => undefined);
});
