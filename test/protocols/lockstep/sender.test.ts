import { describe, expect, test } from "bun:test";
import { ProtocolCode, ProtocolError } from "../../../src/errors.ts";
import { lockstepPauseMs, lockstepReplyMs } from "../../../src/limits.ts";
import { LockstepPace } from "../../../src/protocols/lockstep/pace.ts";
import { LockstepReceiver } from "../../../src/protocols/lockstep/receiver.ts";
import { LockstepSender } from "../../../src/protocols/lockstep/sender.ts";
import { Random } from "../../support/random.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

interface Given {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A driver over frames in memory, a socket that takes as much as it is told to, and a clock of its own. */
class Desk {
  nowMs = 1000;
  readonly pace: LockstepPace;
  readonly sender: LockstepSender;
  readonly writes: { text: string; atMs: number }[] = [];
  readonly done: string[] = [];
  over = false;
  /** Bytes the socket takes at once. */
  socketBytes = Number.POSITIVE_INFINITY;
  #frames: Given[];
  #current: Given | undefined;
  #readBytes = 0;

  constructor(frames: readonly Given[], pace = new LockstepPace()) {
    this.pace = pace;
    this.sender = new LockstepSender({ source: "visible/folder", pace, nowMs: this.nowMs });
    this.#frames = [...frames];
  }

  /** One look at the engine as the real driver takes it; what the socket takes in one call is one write. */
  pump(): void {
    for (;;) {
      const step = this.sender.next(this.nowMs);
      if (step.type === "need-frame") {
        this.#current = this.#frames.shift();
        this.#readBytes = 0;
        if (this.#current === undefined) this.sender.finish(this.nowMs);
        else this.sender.frame(this.#current.name, this.#current.bytes.length, this.nowMs);
      } else if (step.type === "payload") {
        const { outbox } = this.sender;
        const at = outbox.reserve(step.bytes);
        outbox.bytes.set(this.#current?.bytes.subarray(this.#readBytes, this.#readBytes + step.bytes) ?? [], at);
        outbox.commit(step.bytes);
        this.#readBytes += step.bytes;
        this.sender.read(step.bytes, this.nowMs);
      } else if (step.type === "frame-done") {
        this.done.push(this.#current?.name ?? "?");
      } else {
        const taken = this.flush();
        this.over = step.type === "over";
        if (taken === 0 || (this.over && this.sender.outbox.byteLength === 0)) return;
      }
    }
  }

  flush(): number {
    const view = this.sender.outbox.view();
    const count = Math.min(view.length, this.socketBytes);
    if (count > 0)
      this.writes.push({ text: Buffer.from(view.subarray(0, count)).toString("latin1"), atMs: this.nowMs });
    this.sender.outbox.release(count);
    return count;
  }

  hear(text: string): void {
    this.sender.receive(utf8(text), this.nowMs);
    this.pump();
  }

  pass(ms: number): void {
    const end = this.nowMs + ms;
    while (this.sender.tickAtMs <= end) {
      this.nowMs = Math.max(this.nowMs, this.sender.tickAtMs);
      this.sender.tick(this.nowMs);
      this.pump();
    }
    this.nowMs = end;
  }

  passPause(): void {
    while (this.sender.state === "pausing") this.pass(1);
  }

  get last(): string {
    return this.writes.at(-1)?.text ?? "";
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
      desk.pump();
      for (let turns = 0; turns < 7; turns++) {
        for (const reply of replies) {
          desk.pass(3);
          desk.hear(reply);
        }
        desk.passPause();
      }
      expect(desk.writes.map(({ text }) => text)).toEqual([
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
      expect(desk.over).toBe(true);
      for (const [index, { text, atMs }] of desk.writes.entries()) {
        if (text === "continue")
          expect((desk.writes[index + 1]?.atMs ?? 0) - atMs).toBeGreaterThanOrEqual(lockstepPauseMs);
      }
    });
  }

  test("without frames", () => {
    const desk = new Desk([]);
    desk.pump();
    desk.hear("ok");
    expect(desk.writes.map(({ text }) => text)).toEqual(["visible|folder", "over"]);
    expect(desk.over).toBe(true);
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
      desk.pump();
      desk.hear("ok");
      for (const reply of replies) desk.hear(reply);
      expect(desk.writes.map(({ text }) => text)).toEqual(["visible|folder", "0|0.jpg", "over"]);
      expect(desk.done).toEqual(["0.jpg"]);
    }
  });

  test("the header waits until the socket has taken `continue`, and its pause begins then", () => {
    const desk = new Desk(three);
    desk.pump();
    desk.hear("ok");
    desk.hear("ok");
    desk.socketBytes = 0;
    desk.hear("ok");
    expect(desk.last).toBe("aaa");
    desk.pass(1000);
    expect(desk.last).toBe("aaa");
    desk.socketBytes = 100;
    desk.pump();
    expect(desk.last).toBe("continue");
    desk.pass(lockstepPauseMs);
    expect(desk.last).toBe("continue");
    desk.pass(1);
    expect(desk.last).toBe("1|left/2.jpg");
  });
});

describe("replies that are none", () => {
  const cases: readonly { title: string; replies: readonly string[]; code: number }[] = [
    { title: "another word", replies: ["no"], code: ProtocolCode.malformed },
    { title: "a line end", replies: ["ok\n"], code: ProtocolCode.malformed },
    { title: "capitals", replies: ["OK"], code: ProtocolCode.malformed },
    { title: "a wrong second half", replies: ["o", "o"], code: ProtocolCode.malformed },
    { title: "one too many", replies: ["okok"], code: ProtocolCode.malformed },
    { title: "one in the pause", replies: ["ok", "ok", "ok", "ok"], code: ProtocolCode.unexpected },
  ];
  for (const { title, replies, code } of cases) {
    test(title, () => {
      const desk = new Desk(three);
      desk.pump();
      for (const reply of replies.slice(0, -1)) desk.hear(reply);
      let thrown: unknown;
      try {
        desk.hear(replies.at(-1) ?? "");
      } catch (error) {
        thrown = error;
      }
      expect(thrown instanceof ProtocolError && thrown.code).toBe(code);
      // The first failure is given again ever after.
      expect(() => desk.pump()).toThrow(thrown as ProtocolError);
      expect(() => desk.hear("ok")).toThrow(thrown as ProtocolError);
      expect(() => desk.sender.tick(desk.nowMs)).toThrow(thrown as ProtocolError);
    });
  }

  test("an ok before the payload has left", () => {
    const desk = new Desk([{ name: "1.jpg", bytes: new Uint8Array(100) }]);
    desk.pump();
    desk.hear("ok");
    desk.socketBytes = 40;
    expect(() => desk.hear("ok")).not.toThrow();
    desk.socketBytes = 0;
    desk.sender.outbox.reserve(1);
    desk.sender.outbox.commit(1);
    expect(() => desk.hear("ok")).toThrow("expected nothing");
  });
});

describe("a server that does not answer", () => {
  /** Lets the server stall after `oks` replies; gives the pace. */
  const stall = (oks: number, frames = three): { pace: LockstepPace; desk: Desk } => {
    const desk = new Desk(frames);
    desk.pump();
    for (let reply = 0; reply < oks; reply++) {
      desk.hear("ok");
      desk.passPause();
    }
    desk.pass(lockstepReplyMs - 1);
    expect(() => desk.pass(1)).toThrow(`no reply within ${lockstepReplyMs} ms`);
    expect(desk.sender.tickAtMs).toBe(Number.POSITIVE_INFINITY);
    return { pace: desk.pace, desk };
  };

  test("is given up; only the header behind `continue` doubles the pause", () => {
    for (const oks of [0, 1, 2]) expect(stall(oks).pace.pauseMs(0)).toBe(lockstepPauseMs);
    const { pace, desk } = stall(3);
    expect(desk.last).toBe("1|left/2.jpg");
    expect(pace.pauseMs(0)).toBe(2 * lockstepPauseMs);
    expect(stall(4).pace.pauseMs(0)).toBe(lockstepPauseMs);
  });

  test("an empty frame without a final ok is not tried again", () => {
    const { pace } = stall(2, [{ name: "0.jpg", bytes: utf8("") }]);
    expect(pace.emptyRefused).toBe(true);
    const again = new LockstepSender({ source: "visible", pace, nowMs: 0 });
    expect(again.problem("0.jpg", 0)).toBe("the receiver does not answer to an empty frame");
    expect(again.problem("0.jpg", 1)).toBeUndefined();
    expect(stall(2).pace.emptyRefused).toBe(false);
  });

  test("a payload that leaves slowly is no stall, one that does not leave is", () => {
    const desk = new Desk([{ name: "1.jpg", bytes: new Uint8Array(700_000).fill(120) }]);
    desk.pump();
    desk.hear("ok");
    desk.socketBytes = 0;
    desk.hear("ok");
    expect(desk.sender.outbox.room).toBe(0);
    // First while there is more to read, then while the last of it leaves.
    for (let times = 0; times < 500; times++) {
      desk.pass(lockstepReplyMs - 1);
      desk.socketBytes = 1000;
      desk.flush();
      desk.socketBytes = 0;
      desk.pump();
    }
    desk.pass(lockstepReplyMs - 1);
    expect(() => desk.pass(1)).toThrow('frame "1.jpg", confirming: no reply');
  });
});

test("a slow server is given a longer pause", () => {
  const desk = new Desk(three);
  desk.pump();
  desk.pass(400);
  for (let reply = 0; reply < 3; reply++) desk.hear("ok");
  expect(desk.last).toBe("continue");
  // One millisecond for the three bytes, which the server may be writing.
  desk.pass(400 + lockstepPauseMs);
  expect(desk.last).toBe("continue");
  desk.pass(1);
  expect(desk.last).toBe("1|left/2.jpg");
});

test("both machines together, with delays and splits from a seed", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new Random(seed);
    const frames = Array.from({ length: 1 + random.int(8) }, (_, index) => ({
      name: random.pick([`${index}.jpg`, `dir/${index}.tif`, `${index}`]),
      bytes: random.bytes(random.pick([0, 1, 50, 3000])),
    }));
    const desk = new Desk(frames);
    desk.socketBytes = 1 + random.int(2000);
    const receiver = new LockstepReceiver<Uint8Array[]>({
      session: "0".repeat(32),
      nowMs: desk.nowMs,
      wallNs: () => 0n,
    });
    const stored: Given[] = [];
    const byes: string[] = [];
    const take = (): void => {
      for (let event = receiver.next(desk.nowMs); event !== undefined; event = receiver.next(desk.nowMs)) {
        if (event.type === "hello") receiver.welcome();
        if (event.type === "frame") event.incoming.writer = [];
        if (event.type === "payload") event.incoming.writer?.push(event.view);
        if (event.type === "bye") byes.push(event.type);
        if (event.type !== "frame-end") continue;
        stored.push({
          name: event.incoming.frame.name,
          bytes: new Uint8Array(Buffer.concat(event.incoming.writer ?? [])),
        });
        receiver.settle(0, event.incoming.frame.sequence);
      }
    };
    let sent = 0;
    desk.pump();
    for (let steps = 0; byes.length === 0 && steps < 20_000; steps++) {
      desk.pass(1 + random.int(20));
      if (random.chance(0.3)) {
        // Everything written so far arrives together, in pieces.
        const text = desk.writes
          .splice(0)
          .map((write) => write.text)
          .join("");
        for (let at = 0; at < text.length;) {
          const count = 1 + random.int(text.length - at);
          receiver.push(new Uint8Array(Buffer.from(text.slice(at, at + count), "latin1")), desk.nowMs);
          if (random.chance(0.5)) take();
          at += count;
        }
      }
      take();
      if (receiver.tickAtMs <= desk.nowMs) receiver.tick(desk.nowMs);
      take();
      const reply = receiver.outbox.view().slice(0, 1 + random.int(4));
      receiver.outbox.release(reply.length);
      sent += reply.length;
      if (reply.length > 0) desk.hear(Buffer.from(reply).toString());
    }
    expect({ seed, byes, names: stored.map(({ name }) => name) }).toEqual({
      seed,
      byes: ["bye"],
      names: frames.map(({ name }) => name),
    });
    expect(stored).toEqual(frames);
    expect(desk.done.length).toBe(frames.length);
    expect(sent).toBe(2 + 4 * frames.length);
  }
});
