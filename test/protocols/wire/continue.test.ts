/** Verdict `continue`: a frame that was cut may go on at an offset, if what the receiver has is how it begins. */
import { describe, expect, test } from "bun:test";
import { crc32 } from "../../../src/bytes/checksum.ts";
import { ProtocolCode, ProtocolError } from "../../../src/errors.ts";
import type { Verdict } from "../../../src/frame.ts";
import type { ReceivingEvent } from "../../../src/protocols/receiver-session.ts";
import { WireReceiver } from "../../../src/protocols/wire/receiver.ts";
import { Random } from "../../support/random.ts";
import { encoded, hello, putPayload } from "./cases.ts";
import { SessionPair } from "./pair.ts";

const bytes = new Random(4).bytes(1000);
const part: Verdict = { kind: "continue", offset: 400, crc32: crc32(bytes.subarray(0, 400)) };

describe("a sender", () => {
  const offsetFor = (verdict: Verdict): number | undefined => {
    let offset: number | undefined;
    const pair = new SessionPair({
      frames: { visible: { "1.raw": bytes, "2.raw": bytes } },
      receiving: { resume: true },
      verdict: (_, name) => (name === "1.raw" ? verdict : { kind: "want" }),
      onFrame: (incoming) => (offset ??= incoming.offset),
    });
    pair.run();
    expect(pair.done).toBe(true);
    // The receiver of this test keeps no part, so it has what was sent.
    expect(pair.stored.get("visible/1.raw")).toEqual(Buffer.from(bytes.subarray(offset)));
    expect(pair.stored.get("visible/2.raw")).toEqual(Buffer.from(bytes));
    return offset;
  };

  test("goes on where the checksum of what is there is that of its own bytes", () => {
    expect(offsetFor(part)).toBe(400);
    expect(offsetFor({ kind: "continue", offset: 1000, crc32: crc32(bytes) })).toBe(1000);
    expect(offsetFor({ kind: "continue", offset: 0, crc32: 0 })).toBe(0);
  });

  test("begins at 0 where it is another", () => {
    expect(offsetFor({ ...part, crc32: 1 } as Verdict)).toBe(0);
    expect(offsetFor({ ...part, offset: 401 } as Verdict)).toBe(0);
  });

  test("begins at 0 after a rejection", () => {
    const offsets: number[] = [];
    const pair = new SessionPair({
      frames: { visible: { "1.raw": bytes } },
      receiving: { resume: true },
      verdict: () => part,
      onFrame: (incoming, { receiver }) => {
        if (offsets.push(incoming.offset) === 1) receiver.reject(incoming, "storage", "gone", true);
      },
    });
    pair.run();
    expect(offsets).toEqual([400, 0]);
    expect(pair.done).toBe(true);
  });

  test("closes when that was not agreed, or is more than the frame has", () => {
    const failure = (offset: number, resume: boolean): unknown => {
      const pair = new SessionPair({ frames: { visible: { "1.raw": bytes } }, receiving: { resume } });
      const { sender, receiver } = pair;
      while (sender.next(0).type === "list") {
        if (sender.ledgers[0]?.listedFrames === 0) sender.listed(0, { name: "1", bytes: 1000, capturedNs: 0n }, false);
        else sender.listingDone(0);
      }
      receiver.push(sender.outbox.view().slice(), 0);
      receiver.next(0);
      receiver.welcome(0n);
      sender.receive(receiver.outbox.view().slice(), 0);
      sender.receive(
        encoded((w) => w.want(0, 0, [{ kind: "continue", offset, crc32: 0 }])),
        0,
      );
      return codeOf(() => {
        while (sender.next(0).type === "welcomed");
      });
    };
    expect(failure(1000, true)).toBeUndefined();
    expect(failure(1001, true)).toBe(ProtocolCode.malformed);
    expect(failure(10, false)).toBe(ProtocolCode.malformed);
  });
});

function codeOf(run: () => void): number | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return undefined;
}

/** A receiver that has answered the offer of frame 0. */
function answered(verdict: Verdict): WireReceiver<string> {
  const receiver = new WireReceiver<string>({
    agent: "r",
    frameBytesMax: 1e9,
    resume: true,
    wallNs: () => 0n,
    nowMs: 0,
  });
  receiver.push(
    encoded((w) => {
      w.hello(hello);
      w.source({ sourceIndex: 0, name: "visible" });
    }),
    0,
  );
  receiver.next(0);
  receiver.welcome(0n);
  receiver.next(0);
  receiver.answer(0, 0, [verdict]);
  return receiver;
}

function send(receiver: WireReceiver<string>, offset: number, crc = crc32(bytes)): ReceivingEvent<string>[] {
  receiver.push(
    encoded((w, o) => {
      const frame = { sourceIndex: 0, sequence: 0, capturedNs: 0n, bytes: 1000, offset, name: "1.raw" };
      putPayload(w, o, w.frame(frame, 300), bytes.subarray(offset, offset + 300));
      const rest = bytes.subarray(offset + 300);
      putPayload(w, o, w.chunk({ sourceIndex: 0, sequence: 0, offset: offset + 300 }, rest.length), rest, crc);
    }),
    0,
  );
  const events: ReceivingEvent<string>[] = [];
  for (let event = receiver.next(0); event !== undefined; event = receiver.next(0)) {
    if (event.type === "frame") event.incoming.writer = "w";
    events.push(event);
  }
  return events;
}

describe("a receiver", () => {
  test("takes the rest, and checks the whole", () => {
    const receiver = answered(part);
    const events = send(receiver, 400);
    expect(events.map(({ type }) => type)).toEqual(["frame", "payload", "payload", "frame-end"]);
    expect(events[0]).toMatchObject({ incoming: { offset: 400, receivedBytes: 1000 } });
    expect(events[3]).toMatchObject({ crc32: crc32(bytes) });
  });

  test("takes the whole", () => {
    expect(send(answered(part), 0).at(-1)).toMatchObject({ type: "frame-end", incoming: { offset: 0 } });
  });

  test("refuses any other offset", () => {
    for (const offset of [1, 399, 401]) {
      expect(codeOf(() => send(answered(part), offset))).toBe(ProtocolCode.malformed);
    }
    expect(codeOf(() => send(answered({ kind: "want" }), 400))).toBe(ProtocolCode.malformed);
  });

  test("whose part is damaged wants it from 0", () => {
    const receiver = answered({ kind: "continue", offset: 400, crc32: 0 });
    expect(send(receiver, 400).at(-1)).toMatchObject({ type: "frame-lost", reason: "checksum" });
    expect(codeOf(() => send(receiver, 400))).toBe(ProtocolCode.malformed);
  });
});
