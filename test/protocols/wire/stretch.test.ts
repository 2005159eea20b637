/** STRETCH: bytes in no frame are said before what follows them, and again until they are proven to be recorded. */
import { describe, expect, test } from "bun:test";
import type { ListedStretch } from "../../../src/ports.ts";
import { StretchLog } from "../../../src/protocols/stretch-log.ts";
import { SessionPair } from "./pair.ts";

const padding: ListedStretch = { stretch: "information", count: 1, bytes: 5, text: "padding" };
const tiff: ListedStretch = { stretch: "loss", count: 1, bytes: 900, text: "a TIFF" };
const small = { "1.jpg": new Uint8Array(10), "2.jpg": new Uint8Array(0), "3.jpg": new Uint8Array(5000) };

/** What the receiver was told, in order: stretches with their number, and the frames and ends between them. */
function heard(pair: SessionPair): string[] {
  return pair.events.flatMap((event) => {
    if (event.type === "stretch") {
      const { sequence, class: found, count, bytes, text } = event.stretch;
      return [`${found} before ${sequence}: ${count} of ${bytes}, ${text}`];
    }
    if (event.type === "frame") return [`frame ${event.incoming.frame.sequence}`];
    return event.type === "end" ? ["end"] : [];
  });
}

describe("a stretch", () => {
  test("comes before the frame that follows it, summed up, and before the end", () => {
    const pair = new SessionPair({
      frames: { visible: small },
      stretches: { "2.jpg": [padding, tiff, padding], "": [padding] },
    });
    pair.run();
    expect(pair.done).toBe(true);
    const order = heard(pair);
    const all = "loss before 1: 3 of 910, a TIFF";
    expect(order.indexOf(all)).toBeLessThan(order.indexOf("frame 1"));
    expect(order).toContain("information before 3: 1 of 5, padding");
    expect(order.at(-1)).toBe("end");
    expect(order.length).toBe(6);
    expect(pair.events.find(({ type }) => type === "stretch")).toMatchObject({
      stretch: { origin: { device: "device", source: "visible" } },
    });
  });

  test("is said again after a lost connection, until what follows it is acknowledged", () => {
    let acknowledges = false;
    const pair = new SessionPair({
      frames: { visible: small },
      live: true,
      stretches: { "1.jpg": [padding], "3.jpg": [tiff] },
      onFrameEnd: ({ frame }, { receiver }) => {
        // The ack of frame 1 proves the stretch before frame 0, and says nothing of the one before frame 2.
        if (acknowledges || frame.sequence === 1) receiver.settle(0, frame.sequence, "stored");
      },
    });
    pair.run();
    const [first, second] = ["information before 0: 1 of 5, padding", "loss before 2: 1 of 900, a TIFF"];
    expect(heard(pair).filter((line) => line.includes("before"))).toEqual([first, second]);
    pair.cut();
    pair.events.length = 0;
    acknowledges = true;
    pair.connect();
    pair.run();
    expect(pair.done).toBe(true);
    const order = heard(pair);
    expect(order[0]).toBe(second);
    expect(order.filter((line) => line.includes("before"))).toEqual([second]);
  });

  test("that grows while nothing follows it is said again as a whole", () => {
    const pair = new SessionPair({ frames: { visible: small }, live: true, onFrameEnd: () => undefined });
    pair.run();
    pair.sender.stretch(0, "information", 1, 5, "padding");
    pair.run();
    pair.sender.stretch(0, "information", 2, 6, "more padding");
    pair.run();
    expect(heard(pair).filter((line) => line.includes("before"))).toEqual([
      "information before 3: 1 of 5, padding",
      "information before 3: 3 of 11, more padding",
    ]);
  });

  test("is said although the sender is being stopped", () => {
    const stopped = new SessionPair({ frames: { visible: small }, live: true, onFrameEnd: () => undefined });
    stopped.run();
    stopped.sender.stretch(0, "loss", 1, 5, "a TIFF");
    stopped.sender.stop();
    for (let sequence = 0; sequence < 3; sequence++) stopped.receiver.settle(0, sequence, "stored");
    stopped.run();
    expect(stopped.done).toBe(true);
    expect(heard(stopped)).toContain("loss before 3: 1 of 5, a TIFF");
  });
});

test("a session that could not say one ends as interrupted", () => {
  const held = new SessionPair({ frames: { visible: small }, onFrameEnd: () => undefined });
  held.run();
  held.receiver.hold("over its share", 0);
  held.run();
  held.sender.stretch(0, "loss", 1, 5, "a TIFF");
  held.sender.stop();
  for (let sequence = 0; sequence < 3; sequence++) held.receiver.settle(0, sequence, "stored");
  held.run();
  expect(held.done).toBe(true);
  expect(held.sender.complete).toBe(false);
  expect(held.events.at(-1)).toEqual({ type: "bye", interrupted: true });
});

describe("the log of stretches", () => {
  test("keeps what is not proven, and only what was sent is", () => {
    const log = new StretchLog();
    log.add(0, "information", 1, 1, "a");
    log.add(5, "information", 1, 1, "b");
    log.proven(9);
    expect(log.next?.text).toBe("a");
    if (log.next !== undefined) log.next.sent = true;
    log.proven(0);
    expect(log.next?.text).toBe("b");
    if (log.next !== undefined) log.next.sent = true;
    log.proven(4);
    expect(log.next).toBeUndefined();
    log.rewind();
    expect(log.next?.text).toBe("b");
  });
});
