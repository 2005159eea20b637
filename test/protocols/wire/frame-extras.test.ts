/** What travels with a frame beside its bytes: notes, metadata, a digest; and outcomes of a later version. */
import { describe, expect, test } from "bun:test";
import { Note } from "../../../src/frame.ts";
import { chunkBytes } from "../../../src/limits.ts";
import { Kind } from "../../../src/protocols/wire/constants.ts";
import { Random } from "../../support/random.ts";
import { encoded, rawMessage } from "./cases.ts";
import { SessionPair } from "./pair.ts";

const random = new Random(3);
const frames = { "1.jpg": random.bytes(10), "2.jpg": random.bytes(0), "3.raw": random.bytes(3 * chunkBytes + 1) };

/** The frames as they were when they were complete. */
function complete(pair: SessionPair): Record<string, unknown>[] {
  return pair.events.flatMap((event) => {
    if (event.type !== "frame-end") return [];
    const { name, notes, metadata } = event.incoming.frame;
    return [{ name, notes, metadata, digest: event.digest }];
  });
}

describe("notes and metadata", () => {
  test("of the listing and of the opened frame arrive with it, in one message and in several", () => {
    const lux = new Map([["lux", "40"]]);
    const lens = new Map([["x-lens", "35 mm"]]);
    const pair = new SessionPair({
      frames: { visible: frames },
      entry: (name) => (name === "2.jpg" ? {} : { notes: Note.damagedHeader, metadata: lux }),
      opened: (name) => (name === "3.raw" ? { notes: Note.noEndMarker | 0x8000, metadata: lens } : {}),
    });
    pair.run();
    expect(pair.done).toBe(true);
    expect(complete(pair)).toEqual([
      { name: "1.jpg", notes: 2, metadata: lux, digest: undefined },
      { name: "2.jpg", notes: undefined, metadata: undefined, digest: undefined },
      { name: "3.raw", notes: 0x8006, metadata: lens, digest: undefined },
    ]);
  });

  test("a frame without them has no field for them", () => {
    const pair = new SessionPair({ frames: { visible: frames } });
    pair.run();
    for (const event of pair.events) {
      if (event.type !== "frame-end") continue;
      expect(Object.keys(event.incoming.frame)).toEqual([
        "origin",
        "sequence",
        "name",
        "bytes",
        "capturedNs",
        "clockOffsetNs",
      ]);
    }
  });
});

describe("a digest", () => {
  const digest = random.bytes(32);

  test("travels with the last message if both ends use it", () => {
    const pair = new SessionPair({
      frames: { visible: frames },
      sending: { digest: true },
      receiving: { digest: true },
      opened: () => ({ digest }),
    });
    pair.run();
    expect(pair.done).toBe(true);
    expect(complete(pair).map((frame) => frame["digest"])).toEqual([digest, digest, digest]);
  });

  test("does not if one end does not", () => {
    for (const ends of [{ sending: { digest: true } }, { receiving: { digest: true } }]) {
      const pair = new SessionPair({ frames: { visible: frames }, ...ends, opened: () => ({ digest }) });
      pair.run();
      expect(pair.done).toBe(true);
      expect(complete(pair).map((frame) => frame["digest"])).toEqual([undefined, undefined, undefined]);
    }
  });
});

describe("what a later receiver may say", () => {
  test("expired is an outcome of its own, as a verdict and as an ack", () => {
    const pair = new SessionPair({
      frames: { visible: frames },
      verdict: (_, name) => (name === "1.jpg" ? { kind: "expired", crc32: 7 } : { kind: "want" }),
      onFrameEnd: ({ frame }, { receiver }) => receiver.settle(0, frame.sequence, "expired"),
    });
    pair.run();
    expect(pair.done).toBe(true);
    expect(pair.told.filter((line) => line.endsWith(" expired")).length).toBe(3);
    const totals = { frames: 3, stored: 0, duplicates: 0, conflicts: 0, refused: 0, skipped: 0, expired: 3 };
    expect(pair.sender.ledgers[0]?.totals()).toEqual(totals);
    expect(pair.events.find(({ type }) => type === "end")).toMatchObject({ end: { totals } });
  });

  test("an outcome and a verdict that we do not know settle a frame, and are told as that", () => {
    const pair = new SessionPair({ frames: { visible: frames }, onFrameEnd: () => undefined });
    pair.run();
    const ack = encoded((w) =>
      w.ack({ sourceIndex: 0, receivedBytes: 0, ranges: [{ firstSequence: 0, count: 3, outcome: "stored" }] }),
    );
    const head = ack.slice(12, -4);
    head[24] = 9;
    pair.sender.receive(rawMessage({ kind: Kind.ack, head }), 0);
    pair.run();
    expect(pair.done).toBe(true);
    expect(pair.told.filter((line) => line.endsWith(" unknown")).length).toBe(3);
    expect(pair.sender.ledgers[0]?.totals()).toMatchObject({ frames: 3, stored: 0, duplicates: 3 });
  });

  test("that it keeps nothing, and what it calls us", () => {
    const pair = new SessionPair({ frames: { visible: {} }, receiving: { keepsNothing: true } });
    const { sender, receiver } = pair;
    receiver.push(sender.outbox.view().slice(), 0);
    sender.outbox.clear();
    receiver.next(0);
    receiver.welcome(0n);
    sender.receive(receiver.outbox.view().slice(), 0);
    expect(sender.next(0)).toEqual({ type: "welcomed", agent: "receiver", device: "", pins: [], keepsNothing: true });
  });
});
