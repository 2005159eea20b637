/** One connection of a receiver on a link that the test holds in its hand. */
import { describe, expect, test } from "bun:test";
import { crc32 } from "../../src/bytes/checksum.ts";
import type { ReceiverEvent } from "../../src/events.ts";
import { idleMs } from "../../src/limits.ts";
import type { LinkHandlers } from "../../src/ports.ts";
import { Kind } from "../../src/protocols/wire/constants.ts";
import { concat, encoded, hello, putPayload } from "../protocols/wire/cases.ts";
import type { SimClock } from "../simulation/sim-clock.ts";
import { MemorySink } from "../sinks/memory-sink.ts";
import { HeldLink } from "./held-link.ts";
import { openHub } from "./open-hub.ts";

function connect(): {
  link: HeldLink;
  handlers: LinkHandlers;
  time: SimClock;
  events: ReceiverEvent[];
  sink: MemorySink;
  ends: boolean[];
} {
  const ends: boolean[] = [];
  const sink = new MemorySink({ frameBytesMax: 1e6 });
  const { hub, time, events } = openHub(sink, (complete) => void ends.push(complete));
  const handlers = hub.accept();
  const link = new HeldLink();
  handlers.opened(link);
  return { link, handlers, time, events, sink, ends };
}

const payload = new TextEncoder().encode("hello");
const greeting = encoded((w) => {
  w.hello(hello);
  w.source({ sourceIndex: 0, name: "visible" });
});
const frame = encoded((w, o) => {
  const head = { sourceIndex: 0, sequence: 0, capturedNs: 1n, bytes: 5, name: "1.jpg" };
  putPayload(w, o, w.frame(head, 5), payload, crc32(payload));
});
const totals = { frames: 1, stored: 1, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
const farewell = (skipped: number): Uint8Array =>
  encoded((w) => {
    w.end({ sourceIndex: 0, totals: { ...totals, frames: 1 + skipped, skipped } });
    w.bye(false);
  });

function pass(time: SimClock, ms: number): void {
  const until = time.nowMs() + ms;
  while (time.nowMs() < until && time.step());
}

describe("a connection", () => {
  test("what has arrived is told with the ack, in one write, unless that has to be waited for", async () => {
    for (const waits of [false, true]) {
      const { link, handlers, time, sink } = connect();
      handlers.data(greeting);
      pass(time, 50);
      const commit = sink.commit.bind(sink);
      const { promise: flushed, resolve: flush } = Promise.withResolvers<void>();
      sink.commit = async (done) => {
        if (waits) await flushed;
        await Promise.resolve();
        commit(done);
      };
      const before = link.writes;
      handlers.data(frame);
      expect(link.writes).toBe(before);
      await Bun.sleep(0);
      time.step();
      expect(link.kinds().at(-1)).toBe(waits ? Kind.progress : Kind.ack);
      flush();
      await Bun.sleep(0);
      expect(link.kinds().slice(-2)).toEqual([Kind.progress, Kind.ack]);
      expect(link.writes).toBe(before + (waits ? 2 : 1));
    }
  });

  test("FAREWELL is not cut off by a link that was full when it was said", () => {
    const { link, handlers, time } = connect();
    handlers.data(concat(greeting, frame));
    pass(time, 50);
    link.room = 0;
    handlers.data(farewell(0));
    pass(time, 100);
    expect(link.shut).toBe(false);
    link.room = 10;
    handlers.drain();
    expect(link.shut).toBe(false);
    link.room = 1e9;
    handlers.drain();
    expect(link.shut).toBe(true);
    expect(link.kinds().at(-1)).toBe(Kind.farewell);
    pass(time, 1000);
    expect(link.closed).toBe(true);
  });

  test("a complete frame in front of garbage is stored", () => {
    const { link, handlers, time, sink } = connect();
    handlers.data(concat(greeting, frame, Uint8Array.of(1, 2, 3, 4)));
    pass(time, 50);
    expect(sink.stagedFrames).toBe(0);
    expect(link.kinds()).toContain(Kind.refuse);
  });

  test("a peer that reads nothing is given up, also while we do not read from it", () => {
    const { link, handlers, time, events } = connect();
    handlers.data(greeting);
    link.room = 0;
    const pings = encoded((w) => {
      for (let at = 0; at < 1000; at++) w.ping(BigInt(at));
    });
    for (let at = 0; at < 1000 && !link.paused; at++) handlers.data(pings.slice());
    expect(link.paused).toBe(true);
    pass(time, idleMs + 5000);
    expect(events.some((event) => event.event === "connection-lost")).toBe(true);
    pass(time, idleMs + 5000);
    expect(link.closed).toBe(true);
  });

  test("a session whose frames were skipped on an earlier connection is not complete", () => {
    const { link, handlers, time, ends } = connect();
    handlers.data(concat(greeting, frame, farewell(1)));
    pass(time, 100);
    expect(link.shut).toBe(true);
    handlers.closed("");
    expect(ends).toEqual([false]);
  });
});
