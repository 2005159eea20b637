/** A receiver with keys: who is admitted, as whom, and what one device cannot do to another. */
import { describe, expect, test } from "bun:test";
import { crc32 } from "../../src/bytes/checksum.ts";
import { SinkError } from "../../src/errors.ts";
import type { ReceiverEvent } from "../../src/events.ts";
import {
  handshakeMs,
  holdProbeMs,
  joinsPerAddressMax,
  keyConnectionsMax,
  keyOpenBytesMax,
  keySourcesMax,
} from "../../src/limits.ts";
import type { LinkHandlers } from "../../src/ports.ts";
import { Kind } from "../../src/protocols/wire/constants.ts";
import { MessageReader } from "../e2e/wire-peer.ts";
import { concat, encoded, hello as anyHello, putPayload } from "../protocols/wire/cases.ts";
import { SimClock } from "../simulation/sim-clock.ts";
import { MemorySink } from "../sinks/memory-sink.ts";
import { FakeTrust, keyOf } from "./fake-trust.ts";
import { HeldLink } from "./held-link.ts";
import { openHub } from "./open-hub.ts";

const rig = keyOf(1);
const other = keyOf(2);
const stranger = keyOf(3);

interface Peer {
  readonly link: HeldLink;
  readonly handlers: LinkHandlers;
  say(write: Parameters<typeof encoded>[0]): void;
  /** Why it was refused, with the code; undefined: it was not. */
  readonly refusal: { readonly code: number; readonly text: string } | undefined;
}

function open(frameBytesMax = 1e6) {
  const trust = new FakeTrust();
  trust.grant([rig, "device=rig-7"], [other, "device=rig-8 sources=visible,infrared"]);
  const sink = new MemorySink({ frameBytesMax });
  const { hub, time, events } = openHub(sink, undefined, new SimClock(), trust);
  const pass = (ms: number): void => {
    const until = time.nowMs() + ms;
    time.after(ms, () => undefined);
    while (time.nowMs() < until && time.step());
  };
  const connect = (key: string | undefined, peer?: string): Peer => {
    const handlers = hub.accept();
    const link = new HeldLink(key, peer);
    handlers.opened(link);
    return {
      link,
      handlers,
      say: (write) => handlers.data(encoded(write)),
      get refusal() {
        const message = new MessageReader().push(link.written).findLast(({ kind }) => kind === Kind.refuse);
        if (message === undefined) return undefined;
        const code = message.u16();
        message.skip(2);
        return { code, text: message.text() };
      },
    };
  };
  /** With a HELLO said. */
  const greet = (key: string, given: Partial<typeof anyHello> = {}, peer?: string): Peer => {
    const connected = connect(key, peer);
    connected.say((w) => w.hello({ ...anyHello, device: "", ...given }));
    return connected;
  };
  const said = (event: ReceiverEvent["event"]): ReceiverEvent[] => events.filter((each) => each.event === event);
  return { trust, sink, hub, time, events, pass, connect, greet, said };
}

const session = (number: number): string => number.toString(16).padStart(32, "0");
const unauthorized = 6;
const busy = 7;
const stopping = 10;

/** One whole frame of the first source. */
function frame(sequence: number, name: string, bytes = 5): Parameters<typeof encoded>[0] {
  const payload = new Uint8Array(bytes).fill(sequence);
  return (w, o) => {
    const head = { sourceIndex: 0, sequence, capturedNs: 1n, bytes, name };
    putPayload(w, o, w.frame(head, bytes), payload, crc32(payload));
  };
}

const visible: Parameters<typeof encoded>[0] = (w) => w.source({ sourceIndex: 0, name: "visible" });

describe("who is admitted", () => {
  test("a key that has a grant, as the device of the grant, and it is told so", () => {
    const { greet, said, sink, pass, trust } = open();
    const peer = greet(rig);
    expect(peer.link.admitted).toBe(true);
    const [welcome] = new MessageReader().push(peer.link.written);
    expect(welcome?.kind).toBe(Kind.welcome);
    const text = Buffer.from(peer.link.written).toString("latin1");
    for (const pin of trust.pins) expect(text).toContain(pin);
    expect(said("session-started")).toMatchObject([{ device: "rig-7", key: rig }]);
    peer.say(visible);
    peer.say(frame(0, "1.jpg"));
    pass(50);
    expect([...sink.frames.keys()]).toEqual(["rig-7/visible/1.jpg"]);
    // Its own name it may say.
    expect(greet(rig, { device: "rig-7", session: session(9) }).refusal).toBeUndefined();
  });

  test("a key without one is not, and no folder knows of it", () => {
    const { greet, said, pass } = open();
    const peer = greet(stranger, { device: "rig-7" });
    peer.say(visible);
    expect(peer.refusal).toMatchObject({ code: unauthorized });
    expect(peer.refusal?.text).toContain(stranger);
    expect(peer.link.admitted).toBe(false);
    expect(said("session-started")).toEqual([]);
    expect(said("connection-refused")).toHaveLength(1);
    pass(600);
    expect(peer.link.closed).toBe(true);
  });

  test("a key that says it is another device is not, and both names are said", () => {
    const { greet } = open();
    const { refusal } = greet(rig, { device: "rig-8" });
    expect(refusal?.code).toBe(unauthorized);
    expect(refusal?.text).toContain("rig-7");
    expect(refusal?.text).toContain("rig-8");
  });

  test("frames that came through another receiver are not taken", () => {
    expect(open().greet(rig, { via: [other] }).refusal?.code).toBe(unauthorized);
  });

  test("the article's protocol is not spoken", () => {
    const { connect, pass } = open();
    const peer = connect(rig);
    peer.handlers.data(Buffer.from("visible/1.jpg|5"));
    pass(200);
    expect(peer.link.closed).toBe(true);
    expect(peer.link.written).toHaveLength(0);
  });

  test("before HELLO there is nothing to say, and not much time", () => {
    const { connect, pass } = open();
    const eager = connect(rig);
    eager.say(visible);
    expect(eager.refusal?.code).toBe(3);
    const silent = connect(rig);
    pass(handshakeMs + 10);
    expect(silent.link.closed).toBe(true);
    expect(silent.link.written).toHaveLength(0);
  });

  test("who reads nothing is not waited for", () => {
    const { connect, pass } = open();
    const peer = connect(stranger);
    peer.link.room = 0;
    peer.say((w) => w.hello({ ...anyHello, device: "" }));
    pass(600);
    expect(peer.link.closed).toBe(true);
  });

  test("strangers take none of the places of those who send", () => {
    const { connect, greet } = open();
    for (let at = 0; at < 50; at++) connect(stranger);
    expect(greet(rig).refusal).toBeUndefined();
  });

  test("as many send as may, and a stranger is not told that", () => {
    const { trust, greet } = open();
    trust.grant(...Array.from({ length: 12 }, (_, at) => [keyOf(at + 10), `device=rig-${at}`] as const));
    for (let at = 0; at < 10; at++) {
      expect(greet(keyOf(at + 10), { session: session(at) }).refusal).toBeUndefined();
    }
    expect(greet(keyOf(20), { session: session(20) }).refusal?.code).toBe(busy);
    expect(greet(stranger).refusal?.code).toBe(unauthorized);
  });
});

describe("a session", () => {
  test("belongs to a key: an id that was read in a log replaces nobody's connection", () => {
    const { trust, greet } = open();
    trust.grant([rig, "device=rig-7"], [other, "device=rig-8"], [stranger, "device=rig-7"]);
    const first = greet(rig);
    greet(other);
    greet(stranger);
    expect(first.refusal).toBeUndefined();
    greet(rig);
    expect(first.refusal?.code).toBe(8);
  });

  test("of a key has its bounds, and a connection that is replaced is none", () => {
    const { greet } = open();
    for (let at = 0; at < keyConnectionsMax; at++) expect(greet(rig, { session: session(at) }).refusal).toBeUndefined();
    expect(greet(rig, { session: session(99) }).refusal?.code).toBe(busy);
    expect(greet(rig, { session: session(0) }).refusal).toBeUndefined();
    expect(greet(other, { session: session(5) }).refusal).toBeUndefined();
  });

  test("hears of its own device's frames alone", () => {
    const { greet, pass } = open();
    const owner = greet(rig);
    owner.say(visible);
    owner.say(frame(0, "1.jpg"));
    pass(50);
    /** What each offer of that very frame was answered with. */
    const verdictFor = (key: string): (number | undefined)[] => {
      const peer = greet(key, { session: session(5) });
      peer.say(visible);
      peer.say((w) => w.offer(0, 0, [{ name: "1.jpg", bytes: 5, capturedNs: 1n }]));
      const wants = new MessageReader().push(peer.link.written).filter(({ kind }) => kind === Kind.want);
      return wants.map((message) => message.skip(2 + 2 + 8).u8());
    };
    expect(verdictFor(rig)).toEqual([1]);
    expect(verdictFor(other)).toEqual([0]);
  });

  test("from two machines with one key at once is said", () => {
    const { greet, said } = open();
    greet(rig, { session: session(1) }, "10.0.0.1:4000");
    greet(rig, { session: session(2) }, "10.0.0.1:4001");
    expect(said("key-shared")).toEqual([]);
    greet(rig, { session: session(3) }, "10.0.0.2:4000");
    expect(said("key-shared")).toMatchObject([
      { device: "rig-7", key: rig, peers: ["10.0.0.1:4000", "10.0.0.2:4000"] },
    ]);
  });
});

describe("what a grant says", () => {
  test("sources that it does not list are refused, and both are named", () => {
    const { greet } = open();
    const peer = greet(other);
    peer.say(visible);
    expect(peer.refusal).toBeUndefined();
    peer.say((w) => w.source({ sourceIndex: 1, name: "thermal" }));
    expect(peer.refusal?.code).toBe(unauthorized);
    for (const word of ["rig-8", "visible", "infrared", "thermal"]) expect(peer.refusal?.text).toContain(word);
  });

  test("a device has so many sources and no more, on however many connections", () => {
    const { greet } = open();
    const name = (at: number) => encoded((w) => w.source({ sourceIndex: at, name: `s${at}` }));
    const first = greet(rig, { session: session(1) });
    for (let at = 0; at < keySourcesMax; at++) first.handlers.data(name(at));
    expect(first.refusal).toBeUndefined();
    const second = greet(rig, { session: session(2) });
    second.handlers.data(name(0));
    expect(second.refusal).toBeUndefined();
    second.handlers.data(name(keySourcesMax));
    expect(second.refusal?.code).toBe(unauthorized);
  });

  test("its end ends its connections at once, and nobody else's", () => {
    const { trust, greet, sink, pass } = open();
    const peer = greet(rig);
    const beside = greet(other);
    peer.say(visible);
    peer.say(frame(0, "1.jpg"));
    trust.grant([other, "device=rig-8 sources=visible,infrared"]);
    expect(peer.refusal).toMatchObject({ code: unauthorized });
    expect(peer.refusal?.text).toContain(rig);
    peer.say(frame(1, "2.jpg"));
    pass(600);
    // What was complete before is stored.
    expect([...sink.frames.keys()]).toEqual(["rig-7/visible/1.jpg"]);
    expect(peer.link.closed).toBe(true);
    expect(beside.refusal).toBeUndefined();
    expect(greet(rig).refusal?.code).toBe(unauthorized);
    trust.grant([rig, "device=rig-7"]);
    expect(greet(rig).refusal).toBeUndefined();
  });

  test("its change is a reason to come back, not to stay away", () => {
    const { trust, greet } = open();
    const peer = greet(rig);
    trust.grant([rig, "device=rig-7 sources=visible"]);
    expect(peer.refusal?.code).toBe(stopping);
  });

  test("max-rate is kept, rows counted", () => {
    const { trust, greet, pass, sink } = open();
    // 80 bytes a millisecond: a frame of 4,000 bytes and its row take 100 ms.
    trust.grant([rig, "device=rig-7 max-rate=640kbit"]);
    const peer = greet(rig);
    peer.say(visible);
    for (let at = 0; at < 40; at++) peer.say(frame(at, `${at}.jpg`, 4_000));
    pass(1_000);
    expect(sink.frames.size).toBeGreaterThan(5);
    expect(sink.frames.size).toBeLessThan(14);
    expect(peer.link.paused).toBe(true);
    pass(4_000);
    expect(sink.frames.size).toBe(40);
    expect(peer.link.paused).toBe(false);
  });
});

describe("one device cannot fill or hold the others", () => {
  test("rows that cost nothing to send come at a pace", () => {
    const { greet, pass, sink } = open();
    const peer = greet(rig);
    peer.say(visible);
    peer.say((w) => {
      for (let at = 0; at < 5_000; at++) {
        w.gap({ sourceIndex: 0, reason: "other", firstSequence: at, count: 1, name: "", detail: "" });
      }
    });
    pass(1_000);
    expect(sink.store.gaps.length).toBeGreaterThan(900);
    expect(sink.store.gaps.length).toBeLessThan(1_200);
  });

  test("frames that are begun and not ended are bounded, all connections of a key together", () => {
    const { greet } = open(2 * keyOpenBytesMax);
    const begin = (sourceIndex: number, bytes: number) =>
      encoded((w, o) => {
        w.source({ sourceIndex, name: `s${sourceIndex}` });
        putPayload(w, o, w.frame({ sourceIndex, sequence: 0, capturedNs: 1n, bytes, name: "1" }, 1), new Uint8Array(1));
      });
    const first = greet(rig, { session: session(1) });
    const second = greet(rig, { session: session(2) });
    first.handlers.data(begin(0, keyOpenBytesMax - 10));
    expect(first.link.kinds()).not.toContain(Kind.reject);
    second.handlers.data(begin(0, 2 ** 21));
    expect(second.link.kinds()).toContain(Kind.reject);
    // What fits one message goes on, and so does everybody else, however large.
    second.handlers.data(begin(1, 1_000));
    const beside = greet(other, { session: session(3) });
    beside.handlers.data(encoded((w) => w.source({ sourceIndex: 0, name: "visible" })));
    beside.handlers.data(
      begin(1, keyOpenBytesMax + 10).subarray(encoded((w) => w.source({ sourceIndex: 1, name: "s1" })).length),
    );
    expect(second.link.kinds().filter((kind) => kind === Kind.reject)).toHaveLength(1);
  });

  test("room that is lacking for one frame holds its connection alone, and that goes on when there is some", () => {
    const { greet, sink, pass, said } = open();
    const ready = sink.ready.bind(sink);
    let room = 100;
    sink.ready = (bytes) =>
      bytes > room ? new SinkError(`no room for ${bytes} bytes`, { retryable: true }) : ready(bytes);
    const large = greet(rig);
    const small = greet(other);
    large.say(visible);
    small.say(visible);
    large.say(frame(0, "large.jpg", 200));
    small.say(frame(0, "small.jpg", 50));
    pass(3 * holdProbeMs);
    expect([...sink.frames.keys()]).toEqual(["rig-8/visible/small.jpg"]);
    expect(large.link.kinds()).toContain(Kind.hold);
    expect(small.link.kinds()).not.toContain(Kind.hold);
    expect(said("held")).toMatchObject([{ device: "rig-7" }]);
    room = 1_000;
    pass(2 * holdProbeMs);
    expect([...sink.frames.keys()]).toContain("rig-7/visible/large.jpg");
    expect(large.link.kinds()).toContain(Kind.resume);
    expect(said("resumed")).toMatchObject([{ device: "rig-7" }]);
  });
});

describe("a quota", () => {
  const rowBytes = 4096;

  test("holds its device alone, at once and to the byte, until it is larger", () => {
    const { greet, sink, pass, said, trust } = open();
    const grant = (quota: number): void =>
      trust.grant([rig, `device=rig-7 quota=${quota}`], [other, "device=rig-8 sources=visible,infrared"]);
    grant(2 * (rowBytes + 100));
    const full = greet(rig);
    const free = greet(other);
    full.say(visible);
    free.say(visible);
    // In one go: what is not stored yet counts as well.
    full.say((w, o) => [0, 1, 2].forEach((at) => frame(at, `${at}.jpg`, 100)(w, o)));
    free.say((w, o) => [0, 1, 2].forEach((at) => frame(at, `${at}.jpg`, 100)(w, o)));
    pass(3 * holdProbeMs);
    expect([...sink.frames.keys()].filter((path) => path.startsWith("rig-7"))).toEqual([
      "rig-7/visible/0.jpg",
      "rig-7/visible/1.jpg",
    ]);
    expect([...sink.frames.keys()].filter((path) => path.startsWith("rig-8"))).toHaveLength(3);
    expect(full.link.kinds()).toContain(Kind.hold);
    expect(free.link.kinds()).not.toContain(Kind.hold);
    expect(said("held")).toMatchObject([{ device: "rig-7", reason: expect.stringContaining("rig-7 has a quota of") }]);
    expect(said("held")[0]).toHaveProperty("hints");
    grant(3 * (rowBytes + 100));
    const again = greet(rig);
    again.say(visible);
    again.say(frame(2, "2.jpg", 100));
    pass(2 * holdProbeMs);
    expect([...sink.frames.keys()]).toContain("rig-7/visible/2.jpg");
  });

  test("counts gaps, which have rows", () => {
    const { greet, sink, pass, trust } = open();
    trust.grant([rig, `device=rig-7 quota=${3 * rowBytes}`]);
    const peer = greet(rig);
    peer.say(visible);
    const gap = (firstSequence: number): Parameters<typeof encoded>[0] => {
      return (w) => w.gap({ sourceIndex: 0, reason: "dropped", firstSequence, count: 1, name: "", detail: "" });
    };
    peer.say((w, o) => [0, 1, 2, 3, 4].forEach((at) => gap(at)(w, o)));
    pass(3 * holdProbeMs);
    expect(sink.store.gaps.length).toBe(3);
    expect(peer.link.kinds()).toContain(Kind.hold);
  });

  test("that nobody can count holds its device: a limit that does not hold is worse than none", () => {
    const { greet, sink, pass, said, trust } = open();
    Object.defineProperty(sink.store, "holdingOf", { value: undefined });
    trust.grant([rig, "device=rig-7 quota=1G"]);
    const peer = greet(rig);
    peer.say(visible);
    peer.say(frame(0, "0.jpg"));
    pass(2 * holdProbeMs);
    expect(sink.frames.size).toBe(0);
    expect(said("held")).toMatchObject([{ reason: expect.stringContaining("does not say what a device has") }]);
  });

  test("of a device whose oldest frames go holds nobody", () => {
    const { greet, sink, pass, trust } = open();
    Object.defineProperty(sink.store, "expiry", { value: { due: false, step: () => Promise.resolve(0) } });
    trust.grant([rig, "device=rig-7 quota=1"]);
    const peer = greet(rig);
    peer.say(visible);
    peer.say(frame(0, "0.jpg"));
    pass(2 * holdProbeMs);
    expect(sink.frames.size).toBe(1);
  });
});

describe("joining", () => {
  const proof = new Uint8Array(97).fill(1);

  test("is waited for: nothing behind HELLO is looked at before, and then it goes on", () => {
    const { greet, trust, pass, sink, said } = open();
    const peer = greet(stranger, { proof });
    expect(peer.link.paused).toBe(true);
    peer.say(visible);
    peer.say(frame(0, "1.jpg"));
    pass(1_000);
    expect(peer.link.written).toHaveLength(0);
    trust.grant([stranger, "device=rig-9"]);
    trust.joins[0]?.end(trust.admit(stranger, ""));
    pass(100);
    expect(peer.link.paused).toBe(false);
    expect([...sink.frames.keys()]).toEqual(["rig-9/visible/1.jpg"]);
    expect(said("session-started")).toMatchObject([{ device: "rig-9", key: stranger }]);
  });

  test("by a key that is another device already says so to its user", () => {
    const { greet, trust, pass } = open();
    const peer = greet(stranger, { proof });
    trust.grant([stranger, "device=rig-9"]);
    const admission = trust.admit(stranger, "");
    trust.joins[0]?.end(admission.refused === undefined ? { ...admission, remark: "it is rig-9" } : admission);
    pass(100);
    const said = new MessageReader().push(peer.link.written).map(({ kind }) => kind);
    expect(said).toContain(Kind.notice);
  });

  test("that is refused, or that nobody waits for any more, lets nobody in", () => {
    const { greet, trust, pass, said } = open();
    const refused = greet(stranger, { proof });
    trust.joins[0]?.end({ refused: "the invitation was used" });
    pass(10);
    expect(refused.refusal).toEqual({ code: unauthorized, text: "the invitation was used" });
    const gone = greet(stranger, { proof });
    gone.handlers.closed("reset");
    trust.grant([stranger, "device=rig-9"]);
    trust.joins[1]?.end(trust.admit(stranger, ""));
    pass(1_000);
    expect(said("session-started")).toEqual([]);
  });

  test("asks for a name, and says none", () => {
    const { greet, trust } = open();
    expect(greet(stranger, { proof, device: "rig-7" }).refusal?.code).toBe(unauthorized);
    expect(trust.joins).toEqual([]);
  });

  test("again and again is busy, for this address only, and for a minute", () => {
    const { greet, trust, pass } = open();
    for (let at = 0; at < joinsPerAddressMax; at++) {
      greet(stranger, { proof }, "10.0.0.1:4000");
      trust.joins.at(-1)?.end({ refused: "no" });
      pass(1);
    }
    expect(greet(stranger, { proof }, "10.0.0.1:4000").refusal?.code).toBe(busy);
    expect(trust.joins).toHaveLength(joinsPerAddressMax);
    expect(greet(stranger, { proof }, "10.0.0.2:4000").refusal).toBeUndefined();
    pass(61_000);
    expect(greet(stranger, { proof }, "10.0.0.1:4000").refusal).toBeUndefined();
  });
});

test("a crowd is three lines and a sum each minute", () => {
  const { greet, said, pass } = open();
  for (let at = 0; at < 100; at++) greet(stranger);
  expect(said("connection-refused")).toHaveLength(3);
  expect(said("connections-refused")).toEqual([]);
  pass(61_000);
  expect(said("connections-refused")).toEqual([{ event: "connections-refused", count: 97 }]);
  greet(stranger);
  pass(61_000);
  expect(said("connection-refused")).toHaveLength(4);
  expect(said("connections-refused")).toHaveLength(1);
});

test("plain links are none of a receiver with keys", () => {
  const { connect } = open();
  const peer = connect(undefined);
  expect(() => peer.handlers.data(concat(encoded((w) => w.hello(anyHello))))).toThrow(
    "all links of a receiver are plain, or none",
  );
});
