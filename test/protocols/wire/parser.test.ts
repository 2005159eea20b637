import { describe, expect, test } from "bun:test";
import { ProtocolCode, ProtocolError } from "../../../src/errors.ts";
import { MessageReader } from "../../../src/protocols/wire/message-reader.ts";
import { metadataProblem } from "../../../src/protocols/wire/metadata.ts";
import { MessageParser } from "../../../src/protocols/wire/parser.ts";
import { Random } from "../../support/random.ts";
import {
  badHeads,
  type Case,
  cases,
  concat,
  encoded,
  type Parsed,
  putPayload,
  rawMessage,
  roundTrips,
  unknownNumbers,
} from "./cases.ts";

interface Result {
  readonly messages: readonly Parsed[];
  readonly failure: ProtocolError | undefined;
  readonly joinedBytes: number;
}

/** Feeds the pieces, pulling after each, as a driver does. */
function parse(pieces: readonly Uint8Array[]): Result {
  const parser = new MessageParser();
  const messages: (Omit<Parsed, "payload"> & { payload: Uint8Array })[] = [];
  let failure: ProtocolError | undefined;
  for (const piece of pieces) {
    parser.push(piece);
    try {
      for (let found = parser.next(); found !== "more"; found = parser.next()) {
        const last = messages.at(-1);
        if (found === "payload" && last !== undefined) last.payload = concat(last.payload, parser.piece);
        else
          messages.push({
            kind: parser.kind,
            flags: parser.flags,
            head: parser.head.slice(),
            payload: new Uint8Array(0),
          });
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      failure = error;
    }
  }
  return { messages, failure, joinedBytes: parser.joinedBytes };
}

function splits(each: Case): Uint8Array[][] {
  const { bytes } = each;
  const all: Uint8Array[][] = [[bytes], Array.from(bytes, (byte) => Uint8Array.of(byte))];
  for (let at = 1; at < bytes.length; at++) all.push([bytes.subarray(0, at), bytes.subarray(at)]);
  const random = new Random(bytes.length);
  for (let round = 0; round < 50; round++) {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const length = 1 + random.int(random.chance(0.5) ? 8 : 200);
      pieces.push(bytes.subarray(at, at + length));
      at += length;
    }
    all.push(pieces);
  }
  return all;
}

describe("the parser", () => {
  for (const each of cases) {
    test(`${each.name}: the same whole, byte by byte, in every two pieces and in random ones`, () => {
      const whole = parse([each.bytes]);
      expect(whole.messages.map((message) => message.kind)).toEqual([...each.kinds]);
      expect(whole.failure?.code).toBe(each.fails);
      for (const pieces of splits(each)) {
        const { messages, failure } = parse(pieces);
        expect(messages).toEqual([...whole.messages]);
        expect(failure?.message).toBe(whole.failure?.message);
      }
    });
  }

  test("the first failure is given again ever after", () => {
    const parser = new MessageParser();
    parser.push(Uint8Array.of(1));
    expect(() => parser.next()).toThrow("first byte 1, expected 245");
    parser.push(roundTrips[0]?.bytes ?? Uint8Array.of());
    expect(() => parser.next()).toThrow("first byte 1, expected 245");
  });

  test("payload bytes are not copied", () => {
    const size = 200_000;
    const stream = encoded((w, o) => {
      for (let sequence = 0; sequence < 10; sequence++) {
        const head = { sourceIndex: 0, sequence, capturedNs: 0n, bytes: size, name: `${sequence}.jpg` };
        putPayload(w, o, w.frame(head, size), new Uint8Array(size), 0);
      }
    });
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < stream.length; at += 65_536) pieces.push(stream.subarray(at, at + 65_536));
    const { messages, joinedBytes } = parse(pieces);
    expect(messages.length).toBe(10);
    // At most one header and head per chunk border may have been joined.
    expect(joinedBytes).toBeLessThan(10 * 200);
    const parser = new MessageParser();
    parser.push(stream);
    parser.next();
    parser.next();
    expect(parser.piece.buffer).toBe(stream.buffer);
  });

  test("a header that claims too much is refused before its body arrives", () => {
    const claims = cases.filter(({ name }) => name.startsWith("a head of") || name.startsWith("a payload of"));
    expect(claims.length).toBeGreaterThan(1);
    for (const each of claims) {
      expect(parse([each.bytes.subarray(0, 12)]).failure?.code).toBe(each.fails);
    }
  });
});

test("before the greeting only HELLO is read, and refused by its header", () => {
  const failure = (bytes: Uint8Array): number | undefined => {
    const parser = new MessageParser();
    parser.greeting = true;
    parser.push(bytes);
    try {
      parser.next();
    } catch (error) {
      if (error instanceof ProtocolError) return error.code;
      throw error;
    }
    return undefined;
  };
  expect(failure(rawMessage({ kind: 1, headBytes: 4096 }))).toBeUndefined();
  expect(failure(rawMessage({ kind: 1, headBytes: 4097 }))).toBe(ProtocolCode.limit);
  expect(failure(rawMessage({ kind: 1, payloadBytes: 1 }))).toBe(ProtocolCode.limit);
  for (const kind of [0, 4, 22, 23, 200]) expect(failure(rawMessage({ kind }))).toBe(ProtocolCode.unexpected);
});

test("metadata that cannot travel is named where it is made", () => {
  expect(metadataProblem(new Map([["lux", "40"]]))).toBeUndefined();
  expect(metadataProblem(new Map([["Lux", "40"]]))).toContain("a key is not");
  expect(metadataProblem(new Map([["lux", "\n"]]))).toContain("a control character");
  expect(metadataProblem(new Map([["lux", "x".repeat(4_090)]]))).toBeUndefined();
  expect(metadataProblem(new Map([["lux", "x".repeat(4_091)]]))).toBe("4097 bytes, limit 4096");
  const metadata = new Map([["lux", "x".repeat(4_090)]]);
  const head = { sourceIndex: 0, sequence: 0, capturedNs: 0n, bytes: 0, name: "n".repeat(1024), metadata };
  const [message] = parse([encoded((w, o) => putPayload(w, o, w.frame(head, 0), new Uint8Array(0), 0))]).messages;
  expect(new MessageReader().frame(message?.head ?? new Uint8Array(0)).metadata).toEqual(metadata);
});

describe("the messages", () => {
  const reader = new MessageReader();
  for (const each of roundTrips) {
    test(`${each.name}: what was encoded is decoded`, () => {
      const [message] = parse([each.bytes]).messages;
      expect(each.decode(reader, message?.head ?? new Uint8Array(0))).toEqual(each.value);
    });

    test(`${each.name}: any shorter head is refused, a longer one is read`, () => {
      const head = parse([each.bytes]).messages[0]?.head ?? new Uint8Array(0);
      for (let length = 0; length < head.length; length++) {
        expect(() => each.decode(reader, head.slice(0, length))).toThrow(ProtocolError);
      }
      expect(each.decode(reader, concat(head, Uint8Array.of(1, 2, 3)))).toEqual(each.value);
    });
  }

  for (const each of badHeads) {
    test(`${each.name} is refused`, () => {
      let failure: unknown;
      try {
        each.decode(reader, each.head);
      } catch (error) {
        failure = error;
      }
      expect(failure).toBeInstanceOf(ProtocolError);
      expect((failure as ProtocolError).code).toBe(each.fails);
      expect((failure as ProtocolError).message).toContain(each.message);
    });
  }

  for (const each of unknownNumbers) {
    test(`${each.name} has a meaning`, () => {
      expect(each.decode(reader, each.head)).toEqual(each.value);
    });
  }

  test("a text longer than its limit is cut at a character", () => {
    const [message] = parse([encoded((w) => w.hold({ sourceIndex: 1, text: "ä".repeat(300) }))]).messages;
    expect(reader.hold(message?.head ?? new Uint8Array(0)).text).toBe("ä".repeat(256));
  });

  test("a name of 60,000 bytes is read, so that it can be refused by itself", () => {
    const head = new Uint8Array(42 + 60_000 + 4).fill(65);
    head.fill(0, 0, 42);
    head.set([0x60, 0xea], 40);
    head.fill(0, 42 + 60_000);
    expect(reader.frame(head).name.length).toBe(60_000);
  });

  test("an offer takes as many entries as a head holds and says how many", () => {
    const entries = Array.from({ length: 512 }, (_, at) => ({
      name: `${at}`.padStart(1000, "x"),
      bytes: at,
      capturedNs: 0n,
    }));
    let count = 0;
    const [message] = parse([encoded((w) => (count = w.offer(0, 0, entries)))]).messages;
    expect(count).toBeGreaterThan(60);
    expect(count).toBeLessThan(70);
    expect(reader.offer(message?.head ?? new Uint8Array(0)).entries).toEqual(entries.slice(0, count));
  });
});
