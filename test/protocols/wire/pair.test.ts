import { describe, expect, test } from "bun:test";
import { ProtocolCode, ProtocolError } from "../../../src/errors.ts";
import {
  chunkBytes,
  frameAttemptsMax,
  handshakeMs,
  idleMs,
  openFramesMax,
  pingMs,
  windowBytesMax,
} from "../../../src/limits.ts";
import { Kind, type KindName } from "../../../src/protocols/wire/constants.ts";
import { WireReceiver } from "../../../src/protocols/wire/receiver.ts";
import { SenderSession } from "../../../src/protocols/wire/sender.ts";
import { receiverStates, senderStates } from "../../../src/protocols/wire/states.ts";
import { Random } from "../../support/random.ts";
import { encoded, hello, rawMessage, roundTrips } from "./cases.ts";
import { plain, SessionPair } from "./pair.ts";

const random = new Random(1);
const small = { "1.jpg": random.bytes(10), "2.jpg": random.bytes(0), "3.jpg": random.bytes(5000) };

function code(run: () => void): number | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return undefined;
}

describe("a conversation", () => {
  test("every frame of every source arrives, is acknowledged, and the session ends", () => {
    const pair = new SessionPair({
      frames: { visible: small, infrared: { "1.png": random.bytes(3 * chunkBytes + 5) }, none: {} },
    });
    pair.run();
    expect(pair.done).toBe(true);
    for (const [name, bytes] of Object.entries(small))
      expect(pair.stored.get(`visible/${name}`)).toEqual(Buffer.from(bytes));
    expect(pair.stored.get("infrared/1.png")?.length).toBe(3 * chunkBytes + 5);
    expect(pair.sender.ledgers.map((ledger) => ledger.totals())).toEqual([
      { frames: 3, stored: 3, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 },
      { frames: 1, stored: 1, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 },
      { frames: 0, stored: 0, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 },
    ]);
  });

  test("sources take turns: a small frame is not stuck behind a large one", () => {
    const pair = new SessionPair({
      frames: { visible: { "1.raw": new Uint8Array(20 * chunkBytes) }, infrared: { "1.png": new Uint8Array(100) } },
    });
    pair.run();
    expect(pair.order.indexOf("infrared/0")).toBeLessThan(4);
    expect(pair.done).toBe(true);
  });

  test("what the receiver has is not sent", () => {
    const pair = new SessionPair({
      frames: { visible: small },
      verdict: (_, name) => (name === "3.jpg" ? { kind: "want" } : { kind: "have", outcome: "duplicate", crc32: 7 }),
    });
    pair.run();
    expect([...pair.stored.keys()]).toEqual(["visible/3.jpg"]);
    expect(pair.sender.ledgers[0]?.totals()).toEqual({
      frames: 3,
      stored: 1,
      duplicates: 2,
      conflicts: 0,
      refused: 0,
      skipped: 0,
    });
  });

  test("what the receiver refuses is told, recorded as a gap, and the rest goes on", () => {
    const pair = new SessionPair({
      frames: { visible: small },
      verdict: (_, name) => (name === "1.jpg" ? { kind: "refuse", reason: "name" } : { kind: "want" }),
      onFrame: (incoming, { receiver }) => {
        if (incoming.frame.name === "3.jpg") receiver.reject(incoming, "too-large", "5000 bytes, limit 10", false);
      },
    });
    pair.run();
    expect(pair.done).toBe(true);
    expect(pair.told).toContain("1.jpg refused name");
    expect(pair.told).toContain("3.jpg refused too-large");
    expect(pair.told.filter((line) => line.endsWith(" gap"))).toEqual(["1.jpg gap", "3.jpg gap"]);
    expect(pair.sender.ledgers[0]?.totals()).toEqual({
      frames: 3,
      stored: 1,
      duplicates: 0,
      conflicts: 0,
      refused: 2,
      skipped: 0,
    });
    const gaps = pair.events.flatMap((event) => (event.type === "gap" ? [event.gap] : []));
    expect(gaps.map((gap) => [gap.firstSequence, gap.reason, gap.detail])).toEqual([
      [0, "refused", "name"],
      [2, "refused", "5000 bytes, limit 10"],
    ]);
  });

  test("a frame that the receiver could not write is sent again", () => {
    let failures = 0;
    const pair = new SessionPair({
      frames: { visible: { "1.raw": random.bytes(3 * chunkBytes), "2.raw": random.bytes(9) } },
      onFrame: (incoming, { receiver }) => {
        if (incoming.frame.sequence === 0 && failures++ < 5) receiver.reject(incoming, "storage", "disk full", true);
      },
    });
    pair.run();
    expect(failures).toBe(6);
    expect(pair.stored.size).toBe(2);
    expect(pair.done).toBe(true);
  });

  test(`a frame that arrives damaged is sent again, and reported after ${frameAttemptsMax} times`, () => {
    const bytes = new Uint8Array(600).fill(0xab);
    let seen = 0;
    const pair = new SessionPair({
      frames: { visible: { "1.raw": bytes } },
      toReceiver: (chunk) => {
        // The run of payload bytes, damaged in its middle.
        const at = chunk.findIndex((byte, index) => byte === 0xab && chunk[index + 599] === 0xab);
        if (at >= 0) chunk[at + 300] = 0;
        if (at >= 0) seen++;
        return chunk;
      },
    });
    pair.run();
    expect(seen).toBe(frameAttemptsMax);
    expect(pair.stored.size).toBe(0);
    expect(pair.told).toContain("1.raw refused checksum");
    expect(pair.done).toBe(true);
  });

  test("after a cut the window is offered again, in the same session, and nothing is lost or told twice", () => {
    const frames = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`${at}.jpg`, random.bytes(100)]));
    const stored = new Set<string>();
    let cutAfter = 20;
    const pair = new SessionPair({
      frames: { visible: frames },
      verdict: (_, name) => (stored.has(name) ? { kind: "have", outcome: "stored", crc32: 0 } : { kind: "want" }),
      onFrameEnd: (incoming, { receiver }) => {
        stored.add(incoming.frame.name);
        // Stored, and the connection goes before the ack.
        if (--cutAfter > 0) receiver.settle(0, incoming.frame.sequence, "stored");
      },
    });
    pair.run();
    expect(pair.done).toBe(false);
    pair.cut();
    cutAfter = 1000;
    pair.connect();
    pair.run();
    expect(pair.done).toBe(true);
    expect(pair.told.filter((line) => line.endsWith(" stored")).length).toBe(50);
    expect(pair.sender.ledgers[0]?.totals().stored).toBe(50);
  });

  test("not more than the window is sent without an ack", () => {
    const frames = Object.fromEntries(
      Array.from({ length: 100 }, (_, at) => [`${at}.raw`, new Uint8Array(windowBytesMax / 64)]),
    );
    const pair = new SessionPair({ frames: { visible: frames }, onFrameEnd: () => undefined });
    pair.run();
    expect(pair.stored.size).toBe(64);
    for (let sequence = 0; sequence < 10; sequence++) pair.receiver.settle(0, sequence, "stored");
    pair.run();
    expect(pair.stored.size).toBe(74);
  });

  test("stop: the frame in hand is finished, its ack awaited, and BYE says that something is left", () => {
    const frames = Object.fromEntries(
      Array.from({ length: 100 }, (_, at) => [`${at}.raw`, new Uint8Array(windowBytesMax / 4)]),
    );
    const pair = new SessionPair({ frames: { visible: frames }, onFrameEnd: () => undefined });
    pair.run();
    pair.sender.stop();
    pair.run();
    expect(pair.done).toBe(false);
    for (let sequence = 0; sequence < 4; sequence++) pair.receiver.settle(0, sequence, "stored");
    pair.run();
    expect(pair.done).toBe(true);
    expect(pair.stored.size).toBe(4);
    expect(pair.events.at(-1)).toEqual({ type: "bye", interrupted: true });
    expect(pair.sender.unsettledFrames).toBe(96);
  });

  test("a cut while more frames are listed than may be ahead: all of them are offered again", () => {
    const frames = Object.fromEntries(Array.from({ length: 12_000 }, (_, at) => [`${at}.jpg`, new Uint8Array(1)]));
    let acked = 0;
    const pair = new SessionPair({
      frames: { visible: frames },
      onFrameEnd: (incoming, { receiver }) => {
        if (acked++ < 100 || acked > 5000) receiver.settle(0, incoming.frame.sequence, "stored");
      },
    });
    pair.run();
    expect(pair.sender.ledgers[0]?.spanFrames).toBeGreaterThan(8192);
    pair.cut();
    acked = 5000;
    pair.connect();
    pair.run();
    expect(pair.done).toBe(true);
    expect(pair.sender.ledgers[0]?.totals().stored).toBe(12_000);
  });

  test("a frame larger than the window does not wait for other sources to be done", () => {
    const many = Object.fromEntries(
      Array.from({ length: 400 }, (_, at) => [`${at}.png`, new Uint8Array(windowBytesMax / 100)]),
    );
    const unsettled: number[] = [];
    const pair = new SessionPair({
      frames: { infrared: many, visible: { "1.raw": new Uint8Array(windowBytesMax + 1) } },
      onFrameEnd: (incoming, { receiver }) => {
        // Acks come late: the window is never empty.
        if (incoming.sourceIndex === 0) unsettled.push(incoming.frame.sequence);
        else receiver.settle(1, 0, "stored");
        if (unsettled.length > 20) receiver.settle(0, unsettled.shift() as number, "stored");
      },
    });
    pair.run();
    const begun = pair.order.indexOf("visible/0");
    expect(begun).toBeGreaterThanOrEqual(0);
    expect(begun).toBeLessThan(200);
    expect(pair.stored.has("visible/1.raw")).toBe(true);
  });

  test("a REJECT that crosses our word that the frame cannot be sent is no fault", () => {
    const pair = new SessionPair({ frames: { visible: small }, onFrameEnd: () => undefined });
    pair.run();
    const { sender } = pair;
    const reject = (sequence: number): Uint8Array =>
      encoded((w) => w.reject({ sourceIndex: 0, reason: "storage", again: false, sequence, text: "" }));
    sender.receive(reject(0), 0);
    sender.next(0);
    sender.receive(reject(0), 0);
    expect(code(() => sender.next(0))).toBeUndefined();
  });

  test("live frames are sent without an offer, and offered after a cut", () => {
    const stored = new Set<string>();
    const pair = new SessionPair({
      live: true,
      frames: { visible: small },
      verdict: (_, name) => (stored.has(name) ? { kind: "have", outcome: "stored", crc32: 0 } : { kind: "want" }),
      onFrameEnd: (incoming) => stored.add(incoming.frame.name),
    });
    pair.run();
    expect([...stored]).toEqual(Object.keys(small));
    expect(pair.events.some((event) => event.type === "offer")).toBe(false);
    pair.cut();
    pair.connect();
    pair.run();
    expect(pair.events.filter((event) => event.type === "offer").length).toBe(1);
    expect(pair.done).toBe(true);
  });

  test("a cap on the rate holds for offers too", () => {
    const names = Object.fromEntries(
      Array.from({ length: 5_000 }, (_, at) => [`a-name-of-some-length-${at}.jpg`, small1]),
    );
    let bytes = 0;
    const pair = new SessionPair({
      frames: { visible: names },
      sending: { rateMax: 20 },
      verdict: () => ({ kind: "have", outcome: "duplicate", crc32: 0 }),
      toReceiver: (piece) => {
        bytes += piece.length;
        return piece;
      },
    });
    for (; !pair.done && pair.nowMs < 60_000; pair.nowMs += 10) {
      pair.run();
      // An offer of 512 names may overshoot; then nothing is sent until it is paid for.
      expect(bytes).toBeLessThan(20 * (pair.nowMs + 50) + 40_000);
    }
    expect(pair.done).toBe(true);
    expect(pair.nowMs).toBeGreaterThan(5_000);
  });

  test("hold and resume are told", () => {
    const pair = new SessionPair({ frames: { visible: small } });
    pair.run();
    const waiting = new SessionPair({ frames: { visible: small }, onFrameEnd: () => undefined });
    waiting.run();
    waiting.receiver.hold("disk full");
    waiting.run();
    expect(waiting.sender.held).toBe(true);
    waiting.receiver.resume();
    waiting.run();
    expect(waiting.told.filter((line) => line === "held" || line === "resumed")).toEqual(["held", "resumed"]);
  });
});

const small1 = new Uint8Array(1);

describe("time", () => {
  test("a receiver without a greeting gives up at the handshake limit, however many bytes dribble", () => {
    const receiver = new WireReceiver({ agent: "r", frameBytesMax: 1, wallNs: () => 0n, nowMs: 0 });
    const bytes = encoded((w) => w.hello(hello));
    for (let at = 0; at * 1000 < handshakeMs; at++) {
      receiver.push(bytes.slice(at, at + 1), at * 1000);
      receiver.next(at * 1000);
      receiver.tick(at * 1000);
    }
    expect(code(() => receiver.tick(handshakeMs))).toBe(ProtocolCode.timeout);
  });

  test("both sides ping when they have nothing to say, and live", () => {
    const pair = new SessionPair({ frames: { visible: small }, onFrameEnd: () => undefined });
    pair.run();
    for (; pair.nowMs < 10 * idleMs; pair.nowMs += 500) {
      pair.sender.tick(pair.nowMs);
      pair.receiver.tick(pair.nowMs);
      pair.run();
    }
    expect(pair.sender.state).toBe("running");
    expect(pair.receiver.state).toBe("running");
  });

  test("silence for the idle limit ends it, on both sides, unless we were not reading", () => {
    const pair = new SessionPair({ frames: { visible: small }, onFrameEnd: () => undefined });
    pair.run();
    expect(code(() => pair.sender.tick(idleMs - 1))).toBeUndefined();
    expect(code(() => pair.sender.tick(idleMs))).toBe(ProtocolCode.timeout);
    pair.receiver.reading = false;
    for (let nowMs = 0; nowMs <= 3 * idleMs; nowMs += pingMs)
      expect(code(() => pair.receiver.tick(nowMs))).toBeUndefined();
    pair.receiver.reading = true;
    expect(code(() => pair.receiver.tick(5 * idleMs))).toBe(ProtocolCode.timeout);
  });

  test("a head that dribbles is given up, a payload that trickles is not", () => {
    const pair = new SessionPair({ frames: { visible: small }, onFrameEnd: () => undefined });
    pair.run();
    const { receiver } = pair;
    const gap = encoded((w) =>
      w.gap({ sourceIndex: 0, reason: "dropped", firstSequence: 9, count: 1, name: "n".repeat(300), detail: "" }),
    );
    let failed: number | undefined;
    for (let at = 0; at < 60 && failed === undefined; at++) {
      const nowMs = at * 1000;
      receiver.push(gap.slice(at, at + 1), nowMs);
      receiver.next(nowMs);
      failed = code(() => receiver.tick(nowMs));
    }
    expect(failed).toBe(ProtocolCode.timeout);

    const other = new SessionPair({ frames: { visible: small }, onFrameEnd: () => undefined });
    other.run();
    const head = { sourceIndex: 0, sequence: 50, capturedNs: 0n, bytes: 100, name: "x.raw" };
    const frame = encoded((w, o) => {
      const at = w.frame(head, 100);
      o.bytes.fill(0, at, at + 100);
      w.finishPayload(100, 0);
    });
    other.receiver.push(frame.slice(0, frame.length - 60), 0);
    for (let at = 60; at > 1; at--) {
      const nowMs = (60 - at) * 1000;
      while (other.receiver.next(nowMs) !== undefined);
      expect(code(() => other.receiver.tick(nowMs))).toBeUndefined();
      other.receiver.push(frame.slice(frame.length - at, frame.length - at + 1), nowMs);
    }
  });
});

describe("limits", () => {
  test("frames in progress on one connection", () => {
    const receiver = new WireReceiver<string>({ agent: "r", frameBytesMax: 1e9, wallNs: () => 0n, nowMs: 0 });
    const begin = (index: number): number | undefined => {
      receiver.push(
        encoded((w, o) => {
          w.source({ sourceIndex: index, name: `s${index}` });
          const head = { sourceIndex: index, sequence: 0, capturedNs: 0n, bytes: 9, name: "1.jpg" };
          o.bytes[w.frame(head, 1)] = 0;
          w.finishPayload(1, undefined);
        }),
        0,
      );
      return code(() => {
        while (receiver.next(0) !== undefined);
      });
    };
    receiver.push(
      encoded((w) => w.hello(hello)),
      0,
    );
    receiver.next(0);
    receiver.welcome(0n);
    for (let index = 0; index < openFramesMax; index++) expect(begin(index)).toBeUndefined();
    expect(begin(openFramesMax)).toBe(ProtocolCode.limit);
  });

  test("a receiver that only pings is no welcome", () => {
    const sender = new SenderSession({
      session: hello.session,
      device: "d",
      agent: "a",
      sources: [],
      ...plain,
      wallNs: () => 0n,
    });
    sender.connected(0);
    for (let nowMs = 0; nowMs < idleMs; nowMs += 1000) {
      sender.receive(
        encoded((w) => w.ping(0n)),
        nowMs,
      );
      sender.next(nowMs);
      expect(code(() => sender.tick(nowMs))).toBeUndefined();
    }
    expect(code(() => sender.tick(idleMs))).toBe(ProtocolCode.timeout);
  });
});

describe("what a state does not allow is refused", () => {
  const kinds = Object.keys(Kind) as KindName[];
  const message = (kind: KindName): Uint8Array =>
    roundTrips.find((each) => each.name === kind.toUpperCase())?.bytes ?? encoded((w) => w.farewell());

  for (const kind of kinds.filter((each) => !receiverStates.fresh.includes(each))) {
    test(`receiver, fresh: ${kind}`, () => {
      const receiver = new WireReceiver({ agent: "r", frameBytesMax: 1, wallNs: () => 0n, nowMs: 0 });
      receiver.push(message(kind), 0);
      expect(code(() => receiver.next(0))).toBe(ProtocolCode.unexpected);
    });
  }

  for (const kind of kinds.filter((each) => !receiverStates.running.includes(each))) {
    test(`receiver, running: ${kind}`, () => {
      const { receiver } = new SessionPair({ frames: {} });
      receiver.push(
        encoded((w) => w.hello(hello)),
        0,
      );
      receiver.next(0);
      receiver.welcome(0n);
      receiver.push(message(kind), 0);
      expect(code(() => receiver.next(0))).toBe(ProtocolCode.unexpected);
    });
  }

  for (const kind of kinds.filter((each) => !senderStates.greeting.includes(each))) {
    test(`sender, greeting: ${kind}`, () => {
      const sender = new SenderSession({
        session: hello.session,
        device: "d",
        agent: "a",
        sources: [{ name: "s" }],
        ...plain,
        wallNs: () => 0n,
      });
      sender.connected(0);
      sender.receive(message(kind), 0);
      expect(code(() => sender.next(0))).toBe(ProtocolCode.unexpected);
    });
  }

  for (const kind of kinds.filter((each) => !senderStates.running.includes(each))) {
    test(`sender, running: ${kind}`, () => {
      const pair = new SessionPair({ frames: { visible: small }, onFrameEnd: () => undefined });
      pair.run();
      pair.sender.receive(message(kind), 0);
      expect(code(() => pair.sender.next(0))).toBe(ProtocolCode.unexpected);
    });
  }

  test("an ack for what was never sent, and one that comes twice", () => {
    const pair = new SessionPair({ frames: { visible: small }, onFrameEnd: () => undefined });
    pair.run();
    const ack = (first: number, count: number): Uint8Array =>
      encoded((w) =>
        w.ack({ sourceIndex: 0, receivedBytes: 0, ranges: [{ firstSequence: first, count, outcome: "stored" }] }),
      );
    pair.sender.receive(ack(0, 1), 0);
    expect(pair.sender.next(0).type).toBe("settled");
    pair.sender.receive(ack(0, 1), 0);
    expect(code(() => pair.sender.next(0))).toBe(ProtocolCode.unexpected);
    const other = new SessionPair({ frames: { visible: small }, onFrameEnd: () => undefined });
    other.run();
    other.sender.receive(ack(2, 4_000_000_000), 0);
    expect(code(() => other.sender.next(0))).toBe(ProtocolCode.unexpected);
  });

  test("a refuse ends the sender with the receiver's code and words", () => {
    const sender = new SenderSession({
      session: hello.session,
      device: "d",
      agent: "a",
      sources: [{ name: "s" }],
      ...plain,
      wallNs: () => 0n,
    });
    sender.connected(0);
    sender.receive(rawMessage({ version: 7, kind: Kind.refuse, head: Uint8Array.of(2, 0, 5, 7, 2, 0, 110, 111) }), 0);
    expect(() => sender.next(0)).toThrow("version: no (it speaks 5 to 7)");
    expect(sender.next(0).type).toBe("wait");
  });

  test("a receiver that speaks our version and refuses it saw a damaged header: no reason to give up", () => {
    const sender = new SenderSession({
      session: hello.session,
      device: "d",
      agent: "a",
      sources: [{ name: "s" }],
      ...plain,
      wallNs: () => 0n,
    });
    sender.connected(0);
    sender.receive(
      encoded((w) => w.refuse(ProtocolCode.version, "version 65")),
      0,
    );
    expect(code(() => sender.next(0))).toBe(ProtocolCode.damaged);
  });
});
