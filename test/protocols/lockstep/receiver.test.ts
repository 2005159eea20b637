import { describe, expect, test } from "bun:test";
import { crc32 } from "../../../src/bytes/checksum.ts";
import { ProtocolCode, ProtocolError } from "../../../src/errors.ts";
import { handshakeMs, lockstepIdleMs, lockstepSettleMs } from "../../../src/limits.ts";
import { nameProblem } from "../../../src/names.ts";
import { LockstepReceiver } from "../../../src/protocols/lockstep/receiver.ts";
import type { IncomingFrame } from "../../../src/protocols/receiver-session.ts";
import { Random } from "../../support/random.ts";
import { conversations, type Conversation } from "../../vectors/lockstep.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const session = "0123456789abcdef0123456789abcdef";

interface Page {
  readonly pieces: Uint8Array[];
}

/** A driver with a store in memory and a clock of its own, as strict about the contract as the real one may be. */
class Desk {
  nowMs = 1000;
  readonly receiver: LockstepReceiver<Page> = new LockstepReceiver<Page>({
    session,
    nowMs: this.nowMs,
    wallNs: () => BigInt(this.nowMs) * 1_000_000n,
  });
  readonly stored: { name: string; bytes: Uint8Array; sequence: number; capturedNs: bigint }[] = [];
  readonly refused: string[] = [];
  readonly events: string[] = [];
  /** When each ok was written. */
  readonly oksAtMs: number[] = [];
  /** Complete and not committed. */
  staged: IncomingFrame<Page>[] = [];
  storeMs = 0;
  autoStore = true;
  /** That of the last frame. */
  source = "";

  say(bytes: string | Uint8Array): void {
    this.receiver.push(typeof bytes === "string" ? utf8(bytes) : bytes.slice(), this.nowMs);
    this.pump();
  }

  pump(): void {
    for (;;) {
      const event = this.receiver.next(this.nowMs);
      if (event === undefined) break;
      this.events.push(event.type);
      switch (event.type) {
        case "hello":
          expect(event).toMatchObject({ device: "lockstep", session });
          this.receiver.welcome();
          break;
        case "frame":
          this.source = event.incoming.frame.origin.source;
          if (nameProblem(event.incoming.frame.name) === undefined) event.incoming.writer = { pieces: [] };
          else this.refuse(event.incoming);
          break;
        case "payload":
          event.incoming.writer?.pieces.push(event.view);
          break;
        case "frame-end":
          expect(event.crc32).toBe(crc32(Buffer.concat(event.incoming.writer?.pieces ?? [])));
          this.staged.push(event.incoming);
          if (this.autoStore) this.store();
          break;
        case "bye":
          expect(event.interrupted).toBe(false);
          this.receiver.farewell();
          break;
        default:
          throw new Error(`lockstep never gives ${event.type}`);
      }
    }
    this.takeOks();
  }

  refuse(incoming: IncomingFrame<Page>): void {
    this.refused.push(incoming.frame.name);
    this.receiver.reject(incoming, "name", "unsafe", false);
  }

  store(): void {
    const incoming = this.staged.shift();
    if (incoming === undefined) throw new Error("nothing is staged");
    const { name, sequence, capturedNs } = incoming.frame;
    this.stored.push({ name, sequence, capturedNs, bytes: Buffer.concat(incoming.writer?.pieces ?? []) });
    this.receiver.settle(incoming.sourceIndex, sequence);
    this.receiver.flushAcks();
    this.takeOks();
  }

  takeOks(): void {
    const said = Buffer.from(this.receiver.outbox.view()).toString();
    this.receiver.outbox.release(said.length);
    expect(said.replaceAll("ok", "")).toBe("");
    for (let at = 0; at < said.length; at += 2) this.oksAtMs.push(this.nowMs);
  }

  /** Lets time pass, with every tick at the moment it asks for. */
  pass(ms: number): void {
    const end = this.nowMs + ms;
    while (this.receiver.tickAtMs <= end) {
      this.nowMs = Math.max(this.nowMs, this.receiver.tickAtMs);
      this.receiver.tick(this.nowMs);
      this.pump();
    }
    this.nowMs = end;
  }
}

/** How a turn is cut: pieces with the time before each. */
type Cut = (say: Uint8Array) => { piece: Uint8Array; afterMs: number }[];

function converse(desk: Desk, { turns }: Conversation, cut: Cut): void {
  for (const { say, oks } of turns) {
    const before = desk.oksAtMs.length;
    for (const { piece, afterMs } of cut(say)) {
      desk.pass(afterMs);
      desk.say(piece);
    }
    // The client reads; what comes then must be what it waits for, each in a read of its own.
    desk.pass(3 * lockstepSettleMs);
    expect(desk.oksAtMs.length - before).toBe(oks);
    const [first, second] = desk.oksAtMs.slice(before);
    if (second !== undefined) expect(second - (first ?? 0)).toBeGreaterThanOrEqual(lockstepSettleMs);
  }
}

function check(conversation: Conversation, cut: Cut): void {
  const desk = new Desk();
  let thrown: unknown;
  try {
    converse(desk, conversation, cut);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    thrown = error;
  }
  expect(thrown instanceof ProtocolError ? thrown.code : undefined).toBe(conversation.fails);
  const good = conversation.frames.filter((frame) => frame.refused !== true);
  expect(desk.stored.map(({ name, bytes }) => ({ name, bytes: Buffer.from(bytes) }))).toEqual(
    good.map(({ name, bytes }) => ({ name, bytes: Buffer.from(bytes) })),
  );
  expect(desk.refused).toEqual(conversation.frames.filter((frame) => frame.refused === true).map(({ name }) => name));
  if (conversation.fails === undefined) {
    expect(desk.source).toBe(conversation.frames.length === 0 ? "" : "visible/folder");
    expect(desk.events.at(-1)).toBe("bye");
    expect(desk.receiver.openFrames()).toEqual([]);
    expect(desk.receiver.tickAtMs).toBe(Number.POSITIVE_INFINITY);
  } else {
    // The first failure is given again ever after, and nothing more is taken.
    expect(() => desk.say("over")).toThrow(thrown as ProtocolError);
    expect(() => desk.receiver.tick(desk.nowMs)).toThrow(thrown as ProtocolError);
  }
}

for (const conversation of conversations) {
  describe(conversation.title, () => {
    test("whole", () => check(conversation, (say) => [{ piece: say, afterMs: 5 }]));

    test("byte by byte", () => {
      check(conversation, (say) => [...say].map((byte) => ({ piece: Uint8Array.of(byte), afterMs: 7 })));
    });

    test("every two-way split", () => {
      for (const gapMs of [0, lockstepSettleMs - 1]) {
        for (let at = 1; at < Math.max(...conversation.turns.map(({ say }) => say.length)); at++) {
          check(conversation, (say) => {
            const whole = { piece: say, afterMs: 5 };
            if (at >= say.length) return [whole];
            return [
              { piece: say.subarray(0, at), afterMs: 5 },
              { piece: say.subarray(at), afterMs: gapMs },
            ];
          });
        }
      }
    });

    test("random pieces", () => {
      for (let seed = 1; seed <= 30; seed++) {
        const random = new Random(seed);
        check(conversation, (say) => {
          const pieces: { piece: Uint8Array; afterMs: number }[] = [];
          for (let at = 0; at < say.length;) {
            const count = 1 + random.int(say.length - at);
            pieces.push({ piece: say.subarray(at, at + count), afterMs: random.int(lockstepSettleMs) });
            at += count;
          }
          return pieces;
        });
      }
    });
  });
}

/** A desk whose client has said its session header and been welcomed. */
function welcomed(): Desk {
  const desk = new Desk();
  desk.say("visible|folder");
  desk.pass(lockstepSettleMs);
  expect(desk.oksAtMs.length).toBe(1);
  return desk;
}

describe("time", () => {
  test("a header without a known extension is complete after the settle time, not before", () => {
    const desk = welcomed();
    desk.say("3|noext");
    desk.pass(lockstepSettleMs - 1);
    expect(desk.oksAtMs.length).toBe(1);
    desk.pass(1);
    expect(desk.oksAtMs.length).toBe(2);
  });

  test("a known extension is complete at once, `.tif` is not", () => {
    const desk = welcomed();
    desk.say("3|17.tif");
    expect(desk.oksAtMs.length).toBe(1);
    desk.say("f");
    expect(desk.oksAtMs.length).toBe(2);
  });

  test("a thread that was busy does not take a first half for the whole", () => {
    const desk = welcomed();
    desk.say("3|no");
    // The loop comes back late: first its timers, then what waits in the kernel.
    desk.nowMs += 10 * lockstepSettleMs;
    desk.receiver.tick(desk.nowMs);
    desk.pump();
    desk.say("ext");
    desk.pass(lockstepSettleMs);
    desk.say("abc");
    expect(desk.stored[0]?.name).toBe("noext");
  });

  test("the capture time is when the header arrived", () => {
    const desk = welcomed();
    desk.nowMs = 5000;
    desk.say("3|17.jpg");
    desk.pass(500);
    desk.say("abc");
    expect(desk.stored[0]?.capturedNs).toBe(5_000_000_000n);
  });

  test("silence is closed after the handshake limit", () => {
    const desk = new Desk();
    desk.pass(handshakeMs - 1);
    expect(() => desk.pass(1)).toThrow("session header: nothing complete arrived in time");
  });

  test("a session header that is dribbled is closed after the handshake limit", () => {
    const desk = new Desk();
    const dribble = (): void => {
      for (;;) {
        desk.say("v");
        desk.pass(50);
      }
    };
    expect(dribble).toThrow(ProtocolError);
    expect(desk.nowMs).toBeLessThanOrEqual(1000 + handshakeMs);
  });

  test("half a message is closed after its limit", () => {
    const desk = welcomed();
    desk.say("1012");
    expect(() => desk.pass(handshakeMs)).toThrow("message behind 0 frames");
    // The header glued behind a late `continue` has its own time.
    const late = welcomed();
    late.say("0|a.jpg");
    late.pass(lockstepSettleMs);
    late.say("cont");
    late.pass(handshakeMs - 1);
    late.say("inue1012");
    late.pass(handshakeMs - 1);
    expect(() => late.pass(1)).toThrow("message behind 1 frames");
  });

  test("silence between two messages and inside a payload is closed after the idle limit", () => {
    const idle = welcomed();
    idle.pass(lockstepIdleMs - 1);
    expect(() => idle.pass(1)).toThrow(ProtocolError);
    const cut = welcomed();
    cut.say("3|17.jpg");
    cut.say("ab");
    cut.pass(lockstepIdleMs - 1);
    expect(cut.receiver.openFrames().map(({ receivedBytes }) => receivedBytes)).toEqual([2]);
    expect(() => cut.pass(1)).toThrow('frame 0 ("17.jpg")');
    expect(cut.receiver.openFrames().length).toBe(1);
  });

  test("the client waits as long as we do: no limit while we owe it the ok", () => {
    const desk = welcomed();
    desk.autoStore = false;
    desk.say("3|17.jpg");
    desk.say("abc");
    expect(desk.oksAtMs.length).toBe(2);
    desk.pass(10 * lockstepIdleMs);
    desk.store();
    expect(desk.oksAtMs.length).toBe(3);
    desk.pass(lockstepIdleMs - 1);
    expect(() => desk.pass(1)).toThrow(ProtocolError);
  });

  test("no limit runs while the sink is held or the link is not read", () => {
    for (const [stop, go] of [
      [(desk: Desk): void => desk.receiver.hold(), (desk: Desk): void => desk.receiver.resume()],
      [
        (desk: Desk): void => void (desk.receiver.reading = false),
        (desk: Desk): void => void (desk.receiver.reading = true),
      ],
    ] as const) {
      const desk = welcomed();
      desk.say("3|17.jpg");
      stop(desk);
      desk.pass(10 * lockstepIdleMs);
      desk.nowMs += 10 * lockstepIdleMs;
      go(desk);
      desk.pump();
      desk.pass(lockstepIdleMs - 1);
      expect(() => desk.pass(1)).toThrow(ProtocolError);
    }
  });
});

describe("what is not acknowledged", () => {
  test("bytes beyond the payload: the header was split, nothing is stored", () => {
    const desk = welcomed();
    desk.say("5|a.jpg");
    desk.say(".png");
    expect(() => desk.say("hello")).toThrow("more bytes than announced");
    expect(desk.stored).toEqual([]);
    expect(desk.staged).toEqual([]);
    expect(desk.receiver.openFrames().length).toBe(1);
    expect(desk.oksAtMs.length).toBe(2);
  });

  test("bytes that come while it is stored, even if nobody has looked at them yet", () => {
    for (const looked of [true, false]) {
      const desk = welcomed();
      desk.autoStore = false;
      desk.say("3|a.jpg");
      desk.say("abc");
      if (looked) expect(() => desk.say("d")).toThrow("more bytes than announced");
      else desk.receiver.push(utf8("d"), desk.nowMs);
      desk.store();
      expect(desk.oksAtMs.length).toBe(2);
      expect(desk.receiver.tickAtMs).toBeLessThanOrEqual(desk.nowMs);
      expect(() => desk.receiver.tick(desk.nowMs)).toThrow("more bytes than announced");
    }
  });

  test("a frame that is to be sent again ends the connection without its ok, at any moment", () => {
    for (const said of ["", "ab", "abc"]) {
      const desk = welcomed();
      desk.autoStore = false;
      desk.receiver.push(utf8("3|a.jpg"), desk.nowMs);
      const event = desk.receiver.next(desk.nowMs);
      if (event?.type !== "frame") throw new Error("a frame begins");
      event.incoming.writer = { pieces: [] };
      if (said !== "") desk.say(said);
      desk.receiver.reject(event.incoming, "storage", "disk failed", true);
      desk.takeOks();
      expect(desk.oksAtMs.length).toBe(said === "" ? 1 : 2);
      expect(desk.receiver.tickAtMs).toBeLessThanOrEqual(desk.nowMs);
      expect(() => desk.receiver.next(desk.nowMs)).toThrow("disk failed; only a new connection can bring it again");
    }
  });

  test("a frame refused in its middle or at its commit is answered, and the rest goes on", () => {
    const desk = welcomed();
    desk.autoStore = false;
    desk.say("3|a.jpg");
    desk.say("a");
    for (const open of desk.receiver.openFrames()) desk.refuse(open);
    desk.say("bc");
    expect(desk.oksAtMs.length).toBe(3);
    desk.say("continue3|b.jpg");
    desk.say("def");
    expect(desk.oksAtMs.length).toBe(4);
    for (const staged of desk.staged) desk.refuse(staged);
    desk.takeOks();
    expect(desk.oksAtMs.length).toBe(5);
    desk.say("over");
    expect(desk.events.filter((type) => type === "frame-end").length).toBe(1);
    expect(desk.events.at(-1)).toBe("bye");
  });

  test("a refused session says nothing", () => {
    const desk = new Desk();
    desk.receiver.push(utf8("visible|folder"), desk.nowMs);
    desk.receiver.tick(1050);
    desk.receiver.tick(1100);
    expect(desk.receiver.next(1100)?.type).toBe("hello");
    desk.receiver.refuse();
    desk.say("1|a.jpg");
    expect(desk.oksAtMs).toEqual([]);
    expect(desk.receiver.tickAtMs).toBe(Number.POSITIVE_INFINITY);
  });
});

test("a payload is handed on as it came, uncopied, and the ring fills while nobody takes it", () => {
  const desk = welcomed();
  desk.say("8000000|a.jpg");
  const piece = new Uint8Array(4_000_000).fill(7);
  desk.receiver.push(piece, desk.nowMs);
  expect(desk.receiver.full).toBe(false);
  desk.receiver.push(piece.slice(), desk.nowMs);
  expect(desk.receiver.full).toBe(true);
  const event = desk.receiver.next(desk.nowMs);
  expect(event?.type === "payload" && event.view.buffer === piece.buffer).toBe(true);
});

test("fuzz: whatever is said, only a ProtocolError is thrown and no more is acknowledged than was complete", () => {
  const words = [
    "visible|folder",
    "3|a.jpg",
    "0|b.png",
    "continue",
    "over",
    "abc",
    "12|",
    "|",
    "\r\n",
    "99999999999999999",
  ];
  for (let seed = 1; seed <= 500; seed++) {
    const random = new Random(seed);
    const desk = new Desk();
    try {
      for (let step = 0; step < 40; step++) {
        desk.say(random.chance(0.9) ? random.pick(words) : random.bytes(random.int(20)));
        desk.pass(random.int(300));
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw new Error(`seed ${seed}`, { cause: error });
    }
    const answered = desk.stored.length + desk.refused.length;
    expect(desk.oksAtMs.length).toBeLessThanOrEqual(1 + 2 * answered + 1);
  }
});

test("the code of a frame that cannot be sent again tells a person to come again", () => {
  const desk = welcomed();
  desk.receiver.push(utf8("0|a.jpg"), desk.nowMs);
  const event = desk.receiver.next(desk.nowMs);
  if (event?.type !== "frame") throw new Error("a frame begins");
  desk.receiver.reject(event.incoming, "storage", "disk failed", true);
  try {
    desk.receiver.next(desk.nowMs);
    throw new Error("must fail");
  } catch (error) {
    expect(error instanceof ProtocolError && error.code).toBe(ProtocolCode.stopping);
  }
});
