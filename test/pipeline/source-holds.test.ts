/** What senders are told where one source cannot be stored and the others can. */
import { drainMicrotasks } from "bun:jsc";
import { beforeEach, describe, expect, test } from "bun:test";
import type { ReceiverEvent } from "../../src/events.ts";
import type { Frame } from "../../src/frame.ts";
import { heldSourcesMax, holdProbeMs, holdProbeMsMax } from "../../src/limits.ts";
import type { ReceiverHub } from "../../src/pipeline/receiver.ts";
import type { SimClock } from "../simulation/sim-clock.ts";
import { MemorySink } from "../sinks/memory-sink.ts";
import { HeldLink } from "./held-link.ts";
import { openHub } from "./open-hub.ts";
import { WireClient } from "./wire-client.ts";

const denied = Object.assign(new Error("no"), { code: "EACCES" });
const why = (name: string): string => `memory/pi-7/infrared/${name}: cannot store frames: permission denied (EACCES)`;

let sink: MemorySink;
let hub: ReceiverHub;
let time: SimClock;
let events: ReceiverEvent[];
/** When paths were tried. */
let tries: number[];

beforeEach(() => {
  sink = new MemorySink({ frameBytesMax: 1000 });
  ({ hub, time, events } = openHub(sink));
  tries = [];
  const retry = sink.retry.bind(sink);
  sink.retry = (frame) => {
    tries.push(time.nowMs());
    return retry(frame);
  };
});

function deny(isDenied: (frame: Frame) => boolean): void {
  sink.store.pathFault = (frame) => (isDenied(frame) ? denied : undefined);
}

const isInfrared = ({ origin }: Frame): boolean => origin.source === "infrared";
const said = (): string[] => events.flatMap(({ event }) => (/held|resumed|rejected|stored/.test(event) ? [event] : []));

/** Virtual, and with a word of the client now and then, as of a peer that lives. */
function pass(ms: number, client?: WireClient): void {
  for (let left = ms; left > 0; left -= 2000) {
    drainMicrotasks();
    time.pass(Math.min(left, 2000));
    drainMicrotasks();
    client?.say((w) => w.ping(1n));
  }
}

describe("a source whose path does not work", () => {
  test("is held with path and reason, the other goes on, and both are told when it is stored again", () => {
    deny(isInfrared);
    const client = new WireClient(hub, ["visible", "infrared"]);
    client.frame(1, 0);
    client.frame(0, 0);
    pass(20);
    expect(client.told()).toEqual([
      `reject 0 storage again: ${why("0.jpg")}`,
      `hold 1: ${why("0.jpg")}`,
      "ack 0 stored",
    ]);
    // It was on its way.
    client.frame(1, 1);
    client.frame(0, 1);
    pass(20);
    expect(client.told()).toEqual([`reject 1 storage again: ${why("0.jpg")}`, "ack 1 stored"]);
    expect(events.find(({ event }) => event === "held")).toEqual({
      event: "held",
      device: "pi-7",
      source: "infrared",
      reason: why("0.jpg"),
      hints: ["make it writable for the user that the receiver runs as"],
    });
    deny(() => false);
    pass(2 * holdProbeMs, client);
    expect(client.told()).toEqual(["resume 1"]);
    expect(said()).toEqual(["held"]);
    client.frame(1, 0);
    pass(20);
    expect(client.told()).toEqual(["ack 0 stored"]);
    expect(said()).toEqual(["held", "resumed"]);
    expect(events.at(-1)).toEqual({ event: "resumed", device: "pi-7", source: "infrared" });
  });

  test("is tried again after pauses that grow, for which nothing is sent", () => {
    deny(isInfrared);
    const client = new WireClient(hub, ["visible", "infrared"]);
    client.frame(1, 0);
    pass(200_000, client);
    const pauses = tries.map((at, index) => Math.round((at - (tries[index - 1] ?? 0)) / 1000));
    expect(pauses.slice(0, 8)).toEqual([1, 2, 4, 8, 16, 30, 30, 30]);
    expect(holdProbeMsMax).toBe(30_000);
    expect(client.told().slice(2)).toEqual([]);
  });

  test("that looks well and fails again is not told again, and the pauses go on growing", () => {
    sink.store.pathFault = (frame) => (isInfrared(frame) ? denied : undefined);
    // Trying the path finds nothing.
    sink.retry = () => {
      tries.push(time.nowMs());
      sink.store.pathFault = undefined;
      MemorySink.prototype.retry.call(sink, frame);
      sink.store.pathFault = () => denied;
      return undefined;
    };
    let frame!: Frame;
    const open = sink.open.bind(sink);
    sink.open = (next) => open((frame = next));
    const client = new WireClient(hub, ["visible", "infrared"]);
    for (let round = 0; round < 4; round += 1) {
      client.frame(1, 0);
      pass(20_000, client);
      expect(client.told()).toEqual([`reject 0 storage again: ${why("0.jpg")}`, `hold 1: ${why("0.jpg")}`, "resume 1"]);
    }
    expect(tries.map((at, round) => Math.round((at - 20_000 * round) / 1000))).toEqual([1, 2, 4, 8]);
    expect(said()).toEqual(["held"]);
  });

  test("is told to each connection that names it, and to no other", () => {
    deny(isInfrared);
    const first = new WireClient(hub, ["infrared"]);
    first.frame(0, 0);
    pass(20);
    first.told();
    const other = new WireClient(hub, ["visible", "infrared"], "f".repeat(32));
    other.offer(0, 0);
    pass(20);
    expect(other.told()).toEqual([]);
    other.offer(1, 0);
    expect(other.told()).toEqual([`hold 1: ${why("0.jpg")}`]);
    deny(() => false);
    pass(holdProbeMs);
    expect([first.told(), other.told()]).toEqual([["resume 0"], ["resume 1"]]);
    expect(said()).toEqual(["held"]);
  });

  test("beyond those that are remembered its frames are sent again one by one", () => {
    deny((frame) => frame.origin.source !== "visible");
    const names = Array.from({ length: heldSourcesMax + 1 }, (_, at) => `s${at}`);
    const client = new WireClient(hub, names);
    for (const at of names.keys()) client.frame(at, 0);
    pass(20);
    const told = client.told();
    expect(told.filter((line) => line.startsWith("reject"))).toHaveLength(names.length);
    expect(told.filter((line) => line.startsWith("hold"))).toHaveLength(heldSourcesMax);
  });
});

test("a frame that cannot be stored is refused, at once where it cannot be begun", () => {
  const client = new WireClient(hub, ["visible"]);
  const fault = Object.assign(new Error("no"), { code: "EIO" });
  sink.store.frameFault = ({ name }) => (name === "1.jpg" ? fault : undefined);
  for (const sequence of [0, 1, 2]) client.frame(0, sequence);
  pass(20);
  const text = "memory/pi-7/visible/1.jpg: cannot store it: the disk reports an input/output error (EIO)";
  expect(client.told()).toEqual(["ack 0 stored", `reject 1 storage: ${text}`, "ack 2 stored"]);
  expect(events.filter(({ event }) => event === "rejected")).toEqual([
    expect.objectContaining({ name: "1.jpg", reason: "storage", detail: text }),
  ]);
  expect(hub.tally.origins.get("pi-7\nvisible")?.frames).toMatchObject({ stored: 2, refused: 1 });
});

test("a lockstep client, which understands no hold, is left unread", () => {
  deny(() => true);
  const wire = new WireClient(hub, ["visible"]);
  sink.store.pathFault = ({ origin }) => (origin.device === "lockstep" ? denied : undefined);
  const handlers = hub.accept();
  const link = new HeldLink();
  handlers.opened(link);
  const replies = (): string => Buffer.from(link.written).toString();
  const say = (text: string): void => {
    handlers.data(Buffer.from(text));
    pass(200);
  };
  const { begin } = sink.store;
  sink.store.begin = () => {
    if (sink.store.pathFault !== undefined) throw denied;
    return begin.call(sink.store);
  };
  say("visible|folder");
  say("5|17.jpg");
  expect(replies()).toBe("ok");
  pass(100_000, wire);
  expect(said()).toEqual(["held"]);
  sink.store.pathFault = undefined;
  pass(40_000, wire);
  expect(replies()).toBe("okok");
  say("hello");
  expect(replies()).toBe("okokok");
  expect([...sink.frames.keys()]).toEqual(["lockstep/visible/folder/17.jpg"]);
});
