/** HOLD and RESUME, of all sources and of one. */
import { describe, expect, test } from "bun:test";
import { ProtocolError } from "../../../src/errors.ts";
import { chunkBytes } from "../../../src/limits.ts";
import { encoded } from "./cases.ts";
import { SessionPair } from "./pair.ts";

const many = Object.fromEntries(Array.from({ length: 30 }, (_, at) => [`${at}.png`, new Uint8Array(1000)]));

function storedOf(pair: SessionPair, source: string): number {
  return [...pair.stored.keys()].filter((key) => key.startsWith(`${source}/`)).length;
}

describe("a hold of one source", () => {
  test("stops it in the middle of a frame, and the others go on", () => {
    const pieces = 40;
    const pair = new SessionPair({
      frames: { visible: { "1.raw": new Uint8Array(pieces * chunkBytes), "2.raw": new Uint8Array(1) }, infrared: many },
      onFrame: (incoming, { receiver }) => {
        if (incoming.sourceIndex === 0 && incoming.frame.sequence === 0) receiver.hold("over its share", 0);
      },
    });
    pair.run();
    expect(storedOf(pair, "infrared")).toBe(30);
    expect(storedOf(pair, "visible")).toBe(0);
    // What was encoded before the word arrived is all that came of it.
    const before = pair.order.filter((piece) => piece === "visible/0").length;
    expect(before).toBeLessThan(6);
    expect(pair.sender.held).toBe(false);
    expect(pair.told).toContain("held");
    pair.run();
    expect(pair.order.filter((piece) => piece === "visible/0").length).toBe(before);
    expect(pair.done).toBe(false);
    pair.receiver.resume(0);
    pair.run();
    expect(pair.done).toBe(true);
    expect(storedOf(pair, "visible")).toBe(2);
    expect(pair.order.filter((piece) => piece === "visible/0").length).toBe(pieces);
  });

  test("frames that are rejected while it is held wait for its end", () => {
    let held = true;
    const pair = new SessionPair({
      frames: { visible: { "1.raw": new Uint8Array(9), "2.raw": new Uint8Array(9) } },
      onFrame: (incoming, { receiver }) => {
        if (!held) return;
        receiver.reject(incoming, "storage", "over its share", true);
        receiver.hold("over its share", 0);
      },
    });
    pair.run();
    expect(pair.stored.size).toBe(0);
    const rejected = pair.events.filter(({ type }) => type === "frame").length;
    pair.run();
    expect(pair.events.filter(({ type }) => type === "frame").length).toBe(rejected);
    held = false;
    pair.receiver.resume(0);
    pair.run();
    expect(pair.done).toBe(true);
    expect(pair.stored.size).toBe(2);
  });

  test("keeps gaps and stretches as well", () => {
    const pair = new SessionPair({ frames: { visible: many }, onFrameEnd: () => undefined });
    pair.run();
    pair.receiver.hold("over its share", 0);
    pair.run();
    pair.sender.stretch(0, "loss", 1, 5, "a TIFF");
    pair.sender.listedGap(0, "", "damaged", "a TIFF", 1);
    pair.events.length = 0;
    pair.run();
    expect(pair.events).toEqual([]);
    pair.receiver.resume(0);
    pair.run();
    expect(pair.events.map(({ type }) => type)).toEqual(["stretch", "gap"]);
  });
});

describe("holds", () => {
  test("of all and of one do not touch each other", () => {
    const pair = new SessionPair({ frames: { visible: many, infrared: many }, onFrameEnd: () => undefined });
    pair.run();
    const { sender, receiver } = pair;
    receiver.hold("full");
    receiver.hold("over its share", 1);
    receiver.resume();
    pair.run();
    expect([sender.held, ...sender.ledgers.map(({ held }) => held)]).toEqual([false, false, true]);
    receiver.hold("full");
    receiver.resume(1);
    pair.run();
    expect([sender.held, ...sender.ledgers.map(({ held }) => held)]).toEqual([true, false, false]);
  });

  test("a resume of what is not held is passed over, and a lost connection ends every hold", () => {
    const pair = new SessionPair({ frames: { visible: many, infrared: many }, onFrameEnd: () => undefined });
    pair.run();
    pair.receiver.resume(1);
    pair.receiver.resume();
    pair.run();
    expect(pair.told.filter((line) => line === "resumed")).toEqual([]);
    pair.receiver.hold("over its share", 1);
    pair.receiver.hold("full");
    pair.run();
    pair.cut();
    expect(pair.told.filter((line) => line === "resumed")).toEqual(["resumed", "resumed"]);
    expect(pair.sender.ledgers.some(({ held }) => held) || pair.sender.held).toBe(false);
  });

  test("of all: nothing is sent until it ends", () => {
    const pair = new SessionPair({
      frames: { visible: { "1.raw": new Uint8Array(20 * chunkBytes) } },
      onFrame: (_, { receiver }) => receiver.hold("full"),
    });
    pair.run();
    expect(pair.stored.size).toBe(0);
    pair.receiver.resume();
    pair.run();
    expect(pair.done).toBe(true);
  });

  test("of a source that was never named is a fault", () => {
    const pair = new SessionPair({ frames: { visible: many }, onFrameEnd: () => undefined });
    pair.run();
    const hold = encoded((w) => w.hold({ sourceIndex: 1, text: "" }));
    pair.sender.receive(hold, 0);
    expect(() => pair.sender.next(0)).toThrow(ProtocolError);
  });
});
