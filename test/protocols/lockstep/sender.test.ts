/**
 * The client's end of a conversation, driven by the pipeline that is shipped: over a link that takes as much as it is
 * told to, with replies said by hand, in virtual time.
 */
import { describe, expect, test } from "bun:test";
import { ProtocolCode, ProtocolError } from "../../../src/errors.ts";
import type { SenderEvent } from "../../../src/events.ts";
import { lockstepPauseMs, lockstepReplyMs } from "../../../src/limits.ts";
import { LockstepSending } from "../../../src/pipeline/sending-lockstep.ts";
import type { LinkHandlers } from "../../../src/ports.ts";
import { LockstepPace } from "../../../src/protocols/lockstep/pace.ts";
import { LockstepSender } from "../../../src/protocols/lockstep/sender.ts";
import { SimClock } from "../../simulation/sim-clock.ts";
import { SimSource } from "../../simulation/sim-source.ts";
import { Random } from "../../support/random.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

interface Given {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A sender on its way, and the far end of its present connection. */
class Desk {
  readonly clock = new SimClock();
  /** What the link has taken on the present connection, a call each. */
  writes: { text: string; atMs: number }[] = [];
  readonly events: SenderEvent[] = [];
  /** Names of frames that are settled as stored. */
  readonly done: string[] = [];
  connections = 0;
  /** The sender has said all it has to say on the present connection. */
  over = false;
  finished = false;
  /** Bytes that the link still takes; `drain` after giving it more. */
  room = Number.POSITIVE_INFINITY;
  #handlers: LinkHandlers | undefined;

  constructor(frames: readonly Given[]) {
    const files = frames.map((frame) => ({ ...frame, capturedNs: 0n, broken: false }));
    const sending = new LockstepSending({
      peer: "desk:1",
      dial: (handlers) => void this.clock.after(0, () => this.#open(handlers)),
      clock: this.clock.process().clock,
      random: () => 0.5,
      sources: [
        new SimSource({
          folder: { source: "visible/folder", files, deleted: new Set() },
          random: new Random(1),
          deleteSent: false,
          live: false,
          onSettled: (_source, name, outcome) => {
            if (outcome === "stored") this.done.push(name);
          },
        }),
      ],
      retryForMs: undefined,
      onEvent: (event) => void this.events.push(event),
      onDone: () => (this.finished = true),
    });
    sending.start();
    this.pass(0);
  }

  #open(handlers: LinkHandlers): void {
    this.connections += 1;
    this.writes = [];
    this.over = false;
    this.#handlers = handlers;
    handlers.opened({
      peer: "desk:1",
      write: (view) => {
        const count = Math.min(view.length, this.room);
        this.room -= count;
        const text = Buffer.from(view.subarray(0, count)).toString("latin1");
        if (count > 0) this.writes.push({ text, atMs: this.clock.nowMs() });
        return count;
      },
      pause: () => undefined,
      resume: () => undefined,
      shutdown: () => (this.over = true),
      close: () => (this.#handlers = undefined),
    });
  }

  hear(text: string): void {
    this.#handlers?.data(utf8(text));
  }

  drain(room: number): void {
    this.room = room;
    this.#handlers?.drain();
  }

  pass(ms: number): void {
    this.clock.pass(ms);
  }

  /** Lets the pause behind `continue` pass, if there is one. Returns how long it was. */
  passPause(): number {
    let ms = 0;
    for (; this.last === "continue"; ms += 1) this.pass(1);
    return ms;
  }

  get last(): string {
    return this.writes.at(-1)?.text ?? "";
  }

  get texts(): string[] {
    return this.writes.map(({ text }) => text);
  }

  /** Why connections were given up. */
  get failures(): string[] {
    return this.events.flatMap((event) => (event.event === "disconnected" ? [event.reason] : []));
  }

  get skipped(): string[] {
    return this.events.flatMap((event) => (event.event === "skipped" ? [`${event.name}: ${event.detail}`] : []));
  }

  /** Lets the pause between two connections pass. */
  passBackoff(): void {
    const before = this.connections;
    for (let ms = 0; this.connections === before && ms < 10_000; ms += 1) this.pass(1);
    expect(this.connections).toBe(before + 1);
  }
}

const three: readonly Given[] = [
  { name: "1.jpg", bytes: utf8("aaa") },
  { name: "left/2.jpg", bytes: utf8("b") },
  { name: "3.jpg", bytes: utf8("cc") },
];

describe("a conversation", () => {
  for (const replies of [["ok"], ["o", "k"]]) {
    test(`replies of ${replies.length} pieces`, () => {
      const desk = new Desk(three);
      for (let turns = 0; turns < 7; turns++) {
        for (const reply of replies) {
          desk.pass(3);
          desk.hear(reply);
        }
        desk.passPause();
      }
      expect(desk.texts).toEqual([
        "visible|folder",
        "3|1.jpg",
        "aaa",
        "continue",
        "1|left/2.jpg",
        "b",
        "continue",
        "2|3.jpg",
        "cc",
        "over",
      ]);
      expect(desk.done).toEqual(["1.jpg", "left/2.jpg", "3.jpg"]);
      expect([desk.over, desk.finished, desk.connections]).toEqual([true, true, 1]);
      const pauses = desk.writes.flatMap(({ text, atMs }, index) =>
        text === "continue" ? [(desk.writes[index + 1]?.atMs ?? 0) - atMs] : [],
      );
      expect(pauses).toHaveLength(2);
      for (const pause of pauses) expect(pause).toBeGreaterThanOrEqual(lockstepPauseMs);
    });
  }

  test("without frames", () => {
    const desk = new Desk([]);
    desk.hear("ok");
    expect(desk.texts).toEqual(["visible|folder", "over"]);
    expect([desk.over, desk.finished]).toEqual([true, true]);
  });

  test("continue is not said before there is a next frame", () => {
    const sender = new LockstepSender({ source: "visible", pace: new LockstepPace(), nowMs: 0 });
    const say = (): string => {
      const text = Buffer.from(sender.outbox.view()).toString();
      sender.outbox.release(text.length);
      return text;
    };
    expect(say()).toBe("visible|visible");
    sender.receive(utf8("ok"), 1);
    expect(sender.next(1)).toEqual({ type: "need-frame" });
    sender.frame("1.jpg", 0, 1);
    expect(say()).toBe("0|1.jpg");
    sender.receive(utf8("okok"), 2);
    expect(sender.next(2)).toEqual({ type: "frame-done" });
    expect(sender.next(2)).toEqual({ type: "need-frame" });
    expect(sender.next(100_000)).toEqual({ type: "need-frame" });
    expect(say()).toBe("");
    expect(sender.tickAtMs).toBe(Number.POSITIVE_INFINITY);
    // The pause holds for a driver, too, that empties the outbox before it asks again. 1 ms was the slowest reply.
    sender.frame("2.jpg", 0, 100_000);
    expect(say()).toBe("continue");
    expect(sender.tickAtMs).toBe(100_001 + lockstepPauseMs);
    expect(sender.next(100_000 + lockstepPauseMs)).toEqual({ type: "wait" });
    expect(say()).toBe("");
    expect(sender.next(100_001 + lockstepPauseMs)).toEqual({ type: "wait" });
    expect(say()).toBe("0|2.jpg");
    sender.receive(utf8("okok"), 200_000);
    expect(sender.next(200_000)).toEqual({ type: "frame-done" });
    sender.finish(200_000);
    expect(say()).toBe("over");
    expect(sender.next(200_000)).toEqual({ type: "over" });
    sender.receive(utf8("bye"), 200_001);
  });

  test("the replies of an empty frame may come together or one by one", () => {
    for (const replies of [["okok"], ["ok", "ok"], ["oko", "k"]]) {
      const desk = new Desk([{ name: "0.jpg", bytes: utf8("") }]);
      desk.hear("ok");
      for (const reply of replies) desk.hear(reply);
      expect(desk.texts).toEqual(["visible|folder", "0|0.jpg", "over"]);
      expect(desk.done).toEqual(["0.jpg"]);
    }
  });

  test("the header waits until the socket has taken `continue`, and its pause begins then", () => {
    const desk = new Desk(three);
    desk.hear("ok");
    desk.hear("ok");
    desk.room = 0;
    desk.hear("ok");
    expect(desk.last).toBe("aaa");
    desk.pass(1000);
    expect(desk.last).toBe("aaa");
    desk.drain(100);
    expect(desk.last).toBe("continue");
    desk.pass(lockstepPauseMs);
    expect(desk.last).toBe("continue");
    desk.pass(1);
    expect(desk.last).toBe("1|left/2.jpg");
  });
});

describe("replies that are none", () => {
  const cases: readonly { title: string; replies: readonly string[]; failure: string }[] = [
    { title: "another word", replies: ["no"], failure: 'greeting: the receiver said "no", expected ok' },
    { title: "a line end", replies: ["ok\n"], failure: 'greeting: the receiver said "ok\\n", expected ok' },
    { title: "capitals", replies: ["OK"], failure: 'greeting: the receiver said "OK", expected ok' },
    { title: "a wrong second half", replies: ["o", "o"], failure: 'greeting: the receiver said "o", expected ok' },
    { title: "one too many", replies: ["okok"], failure: 'greeting: the receiver said "okok", expected ok' },
    {
      title: "one in the pause",
      replies: ["ok", "ok", "ok", "ok"],
      failure: 'frame "left/2.jpg", pausing: the receiver said "ok", expected nothing',
    },
  ];
  for (const { title, replies, failure } of cases) {
    test(`${title}: the connection is given up, and the next one begins anew`, () => {
      const desk = new Desk(three);
      for (const reply of replies.slice(0, -1)) desk.hear(reply);
      expect(desk.failures).toEqual([]);
      desk.hear(replies.at(-1) ?? "");
      expect(desk.failures).toEqual([`lockstep ${failure}`]);
      desk.passBackoff();
      for (let turns = 0; turns < 7; turns++) {
        desk.hear("ok");
        desk.passPause();
      }
      expect(desk.done).toEqual(["1.jpg", "left/2.jpg", "3.jpg"]);
      expect(desk.failures).toHaveLength(1);
    });
  }

  test("the first failure is given again ever after", () => {
    const sender = new LockstepSender({ source: "visible", pace: new LockstepPace(), nowMs: 0 });
    sender.outbox.release(sender.outbox.byteLength);
    let thrown: unknown;
    try {
      sender.receive(utf8("no"), 1);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ProtocolError);
    expect((thrown as ProtocolError).code).toBe(ProtocolCode.malformed);
    expect(() => sender.next(2)).toThrow(thrown as ProtocolError);
    expect(() => sender.receive(utf8("ok"), 2)).toThrow(thrown as ProtocolError);
    expect(() => sender.tick(2)).toThrow(thrown as ProtocolError);
    expect(sender.tickAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  test("an ok before the payload has left", () => {
    const desk = new Desk([{ name: "1.jpg", bytes: new Uint8Array(100) }]);
    desk.hear("ok");
    desk.room = 40;
    desk.hear("ok");
    expect([desk.last.length, desk.failures]).toEqual([40, []]);
    desk.hear("ok");
    expect(desk.failures).toEqual(['lockstep frame "1.jpg", confirming: the receiver said "ok", expected nothing']);
    expect(desk.done).toEqual([]);
  });
});

describe("a server that does not answer", () => {
  /** Lets the server stall after `oks` replies, until it is given up and asked again. */
  const stall = (oks: number, frames = three): Desk => {
    const desk = new Desk(frames);
    for (let reply = 0; reply < oks; reply++) {
      desk.hear("ok");
      desk.passPause();
    }
    desk.pass(lockstepReplyMs - 1);
    expect(desk.failures).toEqual([]);
    desk.pass(1);
    expect(desk.failures).toEqual([expect.stringContaining(`: no reply within ${lockstepReplyMs} ms`)]);
    desk.passBackoff();
    return desk;
  };

  test("is given up; only the header behind `continue` doubles the pause", () => {
    const nextPauseMs = (desk: Desk): number => {
      for (let reply = 0; reply < 3; reply++) desk.hear("ok");
      expect(desk.last).toBe("continue");
      return desk.passPause();
    };
    // One millisecond is for the bytes before it, which the server may be writing.
    for (const oks of [0, 1, 2]) expect(nextPauseMs(stall(oks))).toBe(lockstepPauseMs + 1);
    expect(nextPauseMs(stall(3))).toBe(2 * (lockstepPauseMs + 1));
    expect(nextPauseMs(stall(4))).toBe(lockstepPauseMs + 1);
  });

  test("an empty frame without a final ok is not tried again", () => {
    const desk = stall(2, [{ name: "0.jpg", bytes: utf8("") }, ...three]);
    desk.hear("ok");
    expect(desk.skipped).toEqual(["0.jpg: the receiver does not answer to an empty frame"]);
    expect(desk.last).toBe("3|1.jpg");

    const other = stall(2);
    other.hear("ok");
    expect([other.skipped, other.last]).toEqual([[], "3|1.jpg"]);
  });

  test("a payload that leaves slowly is no stall, one that does not leave is", () => {
    const desk = new Desk([{ name: "1.jpg", bytes: new Uint8Array(700_000).fill(120) }]);
    desk.hear("ok");
    desk.room = 0;
    desk.hear("ok");
    // First while there is more to read, then while the last of it leaves.
    for (let times = 0; times < 500; times++) {
      desk.pass(lockstepReplyMs - 1);
      desk.drain(1000);
    }
    expect(desk.texts.slice(2).join("")).toBe("x".repeat(500_000));
    desk.pass(lockstepReplyMs - 1);
    expect(desk.failures).toEqual([]);
    // What the link took last is noticed when the time since what it took before is up; that of a stall begins there.
    desk.pass(lockstepReplyMs);
    expect(desk.failures).toEqual([expect.stringContaining('frame "1.jpg", confirming: no reply')]);
  });
});

test("a slow server is given a longer pause", () => {
  const desk = new Desk(three);
  desk.pass(400);
  for (let reply = 0; reply < 3; reply++) desk.hear("ok");
  expect(desk.last).toBe("continue");
  // One millisecond for the three bytes, which the server may be writing.
  expect(desk.passPause()).toBe(400 + lockstepPauseMs + 1);
  expect(desk.last).toBe("1|left/2.jpg");
});
