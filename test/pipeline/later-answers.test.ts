/** One connection of a receiver whose destination says later what it holds, in virtual time. */
import { drainMicrotasks } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import type { ReceiverEvent } from "../../src/events.ts";
import type { FrameEntry, Origin, Verdict } from "../../src/frame.ts";
import { holdProbeMs, idleMs, lookupMs } from "../../src/limits.ts";
import { AnswerQueue, type Offer } from "../../src/pipeline/answer-queue.ts";
import type { LinkHandlers, Sink } from "../../src/ports.ts";
import { Kind } from "../../src/protocols/wire/constants.ts";
import { MessageReader } from "../../src/protocols/wire/message-reader.ts";
import { MessageParser } from "../../src/protocols/wire/parser.ts";
import { NullStore } from "../../src/sinks/null/null-store.ts";
import { FanOutSink } from "../../src/sinks/store/fan-out-sink.ts";
import type { Draft, Store } from "../../src/sinks/store/store.ts";
import { MemoryStore } from "../../src/sinks/testing/memory-store.ts";
import { concat, encoded, hello } from "../protocols/wire/cases.ts";
import { SimClock } from "../simulation/sim-clock.ts";
import { DirectoryPlace } from "../sinks/directory/directory-place.ts";
import { McapPlace } from "../sinks/mcap/mcap-place.ts";
import { LaterStore } from "../sinks/stores/later-store.ts";
import { frameOf, sinkOf } from "../sinks/suite.ts";
import { TarPlace } from "../sinks/tar/tar-place.ts";
import { Random } from "../support/random.ts";
import { HeldLink } from "./held-link.ts";
import { openHub } from "./open-hub.ts";

interface Question {
  readonly entries: readonly FrameEntry[];
  readonly answer: (verdicts: Verdict[]) => void;
  readonly fail: (error: unknown) => void;
}

/** Each look-up is answered by the test. */
class AskedStore extends LaterStore<Draft> {
  readonly questions: Question[] = [];

  constructor() {
    super(new MemoryStore(), { after: () => () => undefined, random: new Random(1), delayMsMax: 0 });
  }

  override lookup(_origin: Origin, entries: readonly FrameEntry[]): Promise<Verdict[]> {
    const { promise, resolve: answer, reject: fail } = Promise.withResolvers<Verdict[]>();
    this.questions.push({ entries, answer, fail });
    return promise;
  }

  /** The names that were asked for, in order. */
  get asked(): string[] {
    return this.questions.map(({ entries }) => entries[0]?.name ?? "");
  }

  /** Answers the question with this number. */
  answer(number: number, verdict: Verdict = { kind: "want" }): void {
    this.questions[number]?.answer([verdict]);
  }
}

const have: Verdict = { kind: "have", outcome: "duplicate", crc32: 7 };
const reset = Object.assign(new Error("connection reset"), { code: "ECONNRESET" });

/** Of one frame. */
const offer = (sourceIndex: number, sequence: number): Uint8Array =>
  encoded((w) => void w.offer(sourceIndex, sequence, [frameOf(`${sequence}.jpg`, "picture")]));

interface Connected {
  readonly link: HeldLink;
  readonly handlers: LinkHandlers;
  readonly time: SimClock;
  readonly events: ReceiverEvent[];
  /** Lets time pass, while the peer is heard. */
  readonly pass: (ms: number) => void;
  /** WANT, as they were written: source, sequence number, verdict. */
  readonly wants: () => [number, number, string][];
}

function connect(storeOn: (time: SimClock) => Store<Draft>): Connected {
  const time = new SimClock();
  const sink = sinkOf(storeOn(time), { clock: time });
  const { hub, events } = openHub(sink, undefined, time);
  const handlers = hub.accept();
  const link = new HeldLink();
  handlers.opened(link);
  const names = ["visible", "infrared", "depth"];
  handlers.data(
    encoded((w) => {
      w.hello(hello);
      for (const [sourceIndex, name] of names.entries()) w.source({ sourceIndex, name });
    }),
  );
  const pass = (ms: number): void => {
    const until = time.nowMs() + ms;
    // What the test has answered arrives now.
    drainMicrotasks();
    while (time.nowMs() < until) {
      const stepMs = Math.min(until - time.nowMs(), idleMs / 2);
      const stepUntil = time.nowMs() + stepMs;
      time.after(stepMs, () => undefined);
      while (time.nowMs() < stepUntil) time.step();
      if (stepMs === idleMs / 2) handlers.data(encoded((w) => w.ping(1n)));
    }
  };
  return { link, handlers, time, events, pass, wants: () => wantsIn(link.written) };
}

function wantsIn(bytes: Uint8Array): [number, number, string][] {
  const parser = new MessageParser();
  const reader = new MessageReader();
  const found: ReturnType<MessageReader["want"]>[] = [];
  parser.push(bytes);
  for (let next = parser.next(); next !== "more"; next = parser.next()) {
    if (next === "message" && parser.kind === Kind.want) found.push(reader.want(parser.head));
  }
  return found.map(({ sourceIndex, firstSequence, verdicts }) => [
    sourceIndex,
    firstSequence,
    verdicts.map(({ kind }) => kind).join(),
  ]);
}

function runToTheEnd(time: SimClock): void {
  drainMicrotasks();
  while (time.step());
}

const said = (events: readonly ReceiverEvent[], event: string): ReceiverEvent[] =>
  events.filter((each) => each.event === event);

describe("answers that come later", () => {
  test("are given in the order of the offers of each source, in whatever order they come", () => {
    let mixed = 0;
    for (let seed = 1; seed <= 20; seed += 1) {
      const random = new Random(seed);
      const { handlers, pass, wants } = connect(
        (time) => new LaterStore(new MemoryStore(), { after: time.process().clock.after, random, delayMsMax: 100 }),
      );
      const offers: [number, number][] = [];
      for (let sequence = 0; sequence < 10; sequence += 1) {
        for (const sourceIndex of [0, 1, 2]) offers.push([sourceIndex, sequence]);
      }
      handlers.data(concat(...offers.map((each) => offer(...each))));
      pass(1000);
      const given = wants().map(([sourceIndex, sequence]): [number, number] => [sourceIndex, sequence]);
      for (const sourceIndex of [0, 1, 2]) {
        const sequences = given.filter(([source]) => source === sourceIndex).map(([, sequence]) => sequence);
        expect(sequences).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      }
      if (!Bun.deepEquals(given, offers)) mixed += 1;
    }
    // Between sources the order is that of the answers.
    expect(mixed).toBe(20);
  });

  test("of one source do not wait for those of another, nor does a second question for the first", () => {
    const store = new AskedStore();
    const { handlers, pass, wants } = connect(() => store);
    handlers.data(concat(offer(0, 0), offer(0, 1), offer(1, 0), offer(0, 2)));
    expect(store.asked).toEqual(["0.jpg", "1.jpg", "0.jpg", "2.jpg"]);
    store.answer(1, have);
    pass(10);
    expect(wants()).toEqual([]);
    store.answer(2);
    pass(10);
    expect(wants()).toEqual([[1, 0, "want"]]);
    store.answer(0);
    pass(10);
    expect(wants().slice(1)).toEqual([
      [0, 0, "want"],
      [0, 1, "have"],
    ]);
    store.answer(3);
    pass(10);
    expect(wants().at(-1)).toEqual([0, 2, "want"]);
  });

  test("one that is a failure holds the receiver, and is asked for again when it has resumed", () => {
    const store = new AskedStore();
    const { link, handlers, pass, wants, events } = connect(() => store);
    handlers.data(concat(offer(0, 0), offer(0, 1), offer(0, 2)));
    store.answer(1);
    store.questions[0]?.fail(reset);
    pass(10);
    expect(said(events, "held")).toEqual([
      { event: "held", reason: "memory: cannot look up frames: connection reset" },
    ]);
    expect([link.paused, link.kinds().at(-1)]).toEqual([true, Kind.hold]);
    // What comes meanwhile waits.
    store.answer(2, have);
    handlers.data(offer(0, 3));
    pass(holdProbeMs - 20);
    expect([store.asked, wants()]).toEqual([["0.jpg", "1.jpg", "2.jpg"], []]);
    pass(20);
    expect(store.asked.slice(3)).toEqual(["0.jpg", "3.jpg"]);
    expect([link.paused, link.kinds().at(-1)]).toEqual([false, Kind.resume]);
    store.answer(4);
    store.answer(3, have);
    pass(10);
    expect(wants()).toEqual([
      [0, 0, "have"],
      [0, 1, "want"],
      [0, 2, "have"],
      [0, 3, "want"],
    ]);
  });

  test("one that does not come is given up after a minute, said, and asked for again; late, it counts no more", () => {
    const store = new AskedStore();
    const { handlers, pass, wants, events } = connect(() => store);
    handlers.data(concat(offer(0, 0), offer(0, 1)));
    store.answer(1);
    pass(lookupMs - 1);
    expect([said(events, "held"), store.asked, wants()]).toEqual([[], ["0.jpg", "1.jpg"], []]);
    pass(2);
    expect(said(events, "held")).toEqual([{ event: "held", reason: "memory: no answer in 60 s" }]);
    store.answer(0, have);
    pass(holdProbeMs);
    expect([store.asked, wants()]).toEqual([["0.jpg", "1.jpg", "0.jpg"], []]);
    store.answer(2);
    pass(10);
    expect(wants()).toEqual([
      [0, 0, "want"],
      [0, 1, "want"],
    ]);
    pass(2 * lookupMs);
    expect([said(events, "held").length, said(events, "connection-lost")]).toEqual([1, []]);
  });

  test("so many are waited for: then the link is paused, and goes on when some have come", () => {
    const store = new AskedStore();
    const { link, handlers, pass, wants, events } = connect(() => store);
    const count = 100;
    const offers = Array.from({ length: count }, (_, sequence) => offer(sequence % 3, sequence));
    handlers.data(concat(...offers.slice(0, 63)));
    expect([store.questions.length, link.paused]).toEqual([63, false]);
    handlers.data(concat(...offers.slice(63)));
    expect([store.questions.length, link.paused]).toEqual([64, true]);
    // For longer than a silent peer would be waited for.
    pass(2 * idleMs);
    expect([store.questions.length, link.paused]).toEqual([64, true]);
    store.answer(0);
    pass(10);
    expect([store.questions.length, link.paused]).toEqual([65, true]);
    for (let number = 1; number < count; number += 1) {
      store.answer(number);
      if (number % 10 === 0) pass(10);
    }
    pass(10);
    expect([store.questions.length, link.paused]).toEqual([count, false]);
    expect(wants()).toHaveLength(count);
    expect(said(events, "held")).toEqual([]);
  });
});

describe("a connection that closes while answers are outstanding", () => {
  test("is given none of them, and leaves nothing that waits", () => {
    const store = new AskedStore();
    const { link, handlers, time, events } = connect(() => store);
    handlers.data(concat(offer(0, 0), offer(0, 1), offer(1, 0)));
    handlers.closed("connection reset");
    const [bytes, eventCount] = [link.written.length, events.length];
    store.answer(0);
    store.questions[1]?.fail(reset);
    runToTheEnd(time);
    expect(time.nowMs()).toBeLessThan(lookupMs);
    expect([link.written.length, events.length]).toEqual([bytes, eventCount]);
  });

  test("by a broken rule has the refusal for its last word", () => {
    const store = new AskedStore();
    const { link, handlers, time } = connect(() => store);
    handlers.data(concat(offer(0, 0), Uint8Array.of(1, 2, 3, 4)));
    store.answer(0);
    runToTheEnd(time);
    expect([link.kinds().at(-1), link.shut, link.closed]).toEqual([Kind.refuse, true, true]);
    expect(link.kinds()).not.toContain(Kind.want);
  });
});

describe("a destination that knows at once", () => {
  test("makes no promise", () => {
    const [directory, tar, mcap] = [new DirectoryPlace(), new TarPlace(), new McapPlace()];
    const memory = sinkOf(new MemoryStore());
    const sinks: Sink[] = [directory.open(), tar.open(), mcap.open(), sinkOf(new NullStore()), memory];
    const both = new FanOutSink(sinks);
    try {
      const entries = [frameOf("1.jpg", "picture"), frameOf("../x", "picture")];
      for (const sink of [...sinks, both]) {
        const verdicts = sink.lookup(frameOf("1.jpg", "").origin, entries);
        expect([sink.place, verdicts instanceof Promise]).toEqual([sink.place, false]);
      }
    } finally {
      both.dispose();
      for (const place of [directory, tar, mcap]) place.remove();
    }
  });

  test("is answered from within the call: nothing is queued and no clock is set", () => {
    const given: number[] = [];
    const never = (): never => {
      throw new Error("not for an answer that is there");
    };
    const queue = new AnswerQueue({
      sink: sinkOf(new MemoryStore()),
      clock: { after: never },
      answer: ({ firstSequence }) => void given.push(firstSequence),
      answered: never,
      failed: never,
    });
    const { origin } = frameOf("1.jpg", "");
    for (let sequence = 0; sequence < 200; sequence += 1) {
      const one: Offer = { sourceIndex: 0, origin, firstSequence: sequence, entries: [frameOf("1.jpg", "picture")] };
      queue.take(one);
      expect([given.length, queue.full]).toEqual([sequence + 1, false]);
    }
  });
});
