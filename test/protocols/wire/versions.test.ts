/** Two versions tell each other so: a REFUSE that the other end can read, with words that help. */
import { describe, expect, test } from "bun:test";
import { ProtocolCode, ProtocolError } from "../../../src/errors.ts";
import { Kind } from "../../../src/protocols/wire/constants.ts";
import { MessageReader } from "../../../src/protocols/wire/message-reader.ts";
import { MessageParser } from "../../../src/protocols/wire/parser.ts";
import { WireReceiver } from "../../../src/protocols/wire/receiver.ts";
import { SenderSession } from "../../../src/protocols/wire/sender.ts";
import { encoded, hello, rawMessage } from "./cases.ts";
import { plain } from "./pair.ts";

/** The first word of a peer, and how the receiver ends that. */
function refusal(bytes: Uint8Array): { version: number; code: number; text: string; spoken: number[] } {
  const receiver = new WireReceiver({ agent: "r", frameBytesMax: 1, wallNs: () => 0n, nowMs: 0 });
  receiver.push(bytes, 0);
  let failure: unknown;
  try {
    receiver.next(0);
  } catch (error) {
    failure = error;
  }
  if (!(failure instanceof ProtocolError)) throw new Error("it was taken");
  receiver.refuse(failure.code as ProtocolCode, failure.message);
  const parser = new MessageParser();
  parser.push(receiver.outbox.view().slice());
  expect(parser.next()).toBe("message");
  expect(parser.kind).toBe(Kind.refuse);
  const { code, text, versionLowest, versionHighest } = new MessageReader().refuse(parser.head);
  return { version: parser.version, code, text, spoken: [versionLowest, versionHighest] };
}

describe("a receiver", () => {
  test("answers an older sender in a header of its version", () => {
    expect(refusal(rawMessage({ version: 1, kind: Kind.hello, head: new Uint8Array(40) }))).toEqual({
      version: 1,
      code: ProtocolCode.version,
      text: "update the sender to framepipe 0.2 or newer: it speaks version 1, the receiver 2",
      spoken: [2, 2],
    });
  });

  test("answers a newer one in its own", () => {
    expect(refusal(rawMessage({ version: 9, kind: Kind.hello }))).toEqual({
      version: 2,
      code: ProtocolCode.version,
      text: "update the receiver: it speaks version 2, the sender 9",
      spoken: [2, 2],
    });
  });

  test("answers everything else in its own", () => {
    expect(refusal(Uint8Array.of(0x20)).version).toBe(2);
    expect(refusal(encoded((w) => w.bye(false)))).toMatchObject({ version: 2, code: ProtocolCode.unexpected });
    expect(refusal(encoded((w) => w.hello({ ...hello, device: "" })))).toMatchObject({
      version: 2,
      code: ProtocolCode.unauthorized,
    });
  });
});

describe("a sender", () => {
  const refusedBy = (lowest: number, highest: number, version: number): ProtocolError => {
    const sender = new SenderSession({
      session: hello.session,
      device: "d",
      agent: "a",
      sources: [{ name: "s" }],
      ...plain,
      wallNs: () => 0n,
    });
    sender.connected(0);
    const head = Uint8Array.of(ProtocolCode.version, 0, lowest, highest, 2, 0, 110, 111);
    sender.receive(rawMessage({ version, kind: Kind.refuse, head }), 0);
    try {
      sender.next(0);
    } catch (error) {
      if (error instanceof ProtocolError) return error;
      throw error;
    }
    throw new Error("it was not refused");
  };

  test("says what to do about an older receiver", () => {
    const error = refusedBy(1, 1, 1);
    expect(error.code).toBe(ProtocolCode.version);
    expect(error.message).toBe(
      "version: update the receiver to framepipe 0.2 or newer: it speaks version 1, the sender 2",
    );
  });

  test("passes on what a newer receiver says", () => {
    expect(refusedBy(3, 4, 2).message).toBe("version: no (it speaks 3 to 4)");
    expect(refusedBy(3, 3, 2).message).toBe("version: no (it speaks 3)");
  });

  test("does not give up when its own version is among those that are spoken", () => {
    expect(refusedBy(1, 3, 2).code).toBe(ProtocolCode.damaged);
  });
});
