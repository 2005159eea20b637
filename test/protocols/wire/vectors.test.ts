/** Bytes that our encoder has not made: what they say, what is refused, and two conversations, said again. */
import { describe, expect, test } from "bun:test";
import { protocolCodeName, type ProtocolCode } from "../../../src/errors.ts";
import { Kind, kindName } from "../../../src/protocols/wire/constants.ts";
import { MessageReader } from "../../../src/protocols/wire/message-reader.ts";
import { MessageParser } from "../../../src/protocols/wire/parser.ts";
import { FakeTrust } from "../../pipeline/fake-trust.ts";
import { HeldLink } from "../../pipeline/held-link.ts";
import { openHub } from "../../pipeline/open-hub.ts";
import { SimClock } from "../../simulation/sim-clock.ts";
import { MemorySink } from "../../sinks/memory-sink.ts";
import { concat } from "./cases.ts";
import vectors from "../../vectors/wire.json" with { type: "json" };

interface Said {
  readonly kind: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

const bytesOf = (hex: string): Uint8Array => Uint8Array.fromHex(hex);

/** As the vectors write them: 64 bit times as text, bytes in hexadecimal, what is absent as null. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return `${value}`;
  if (value instanceof Uint8Array) return value.toHex();
  if (value instanceof Map) return Object.fromEntries(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value ?? null;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

function decode(kind: string, head: Uint8Array): unknown {
  const reader = new MessageReader();
  switch (kind) {
    case "resume":
      return { sourceIndex: reader.resume(head) };
    case "ping":
      return { clockNs: reader.ping(head) };
    case "bye":
      return { interrupted: reader.bye(head) };
    case "progress":
      return { receivedBytes: reader.progress(head) };
    case "farewell":
      return {};
    default:
      return (reader as unknown as Record<string, (head: Uint8Array) => unknown>)[kind]?.(head);
  }
}

/** Every message, with its payload where it has one. */
function read(bytes: Uint8Array): Said[] {
  const parser = new MessageParser();
  parser.push(bytes.slice());
  const said: Said[] = [];
  for (let found = parser.next(); found !== "more"; found = parser.next()) {
    if (found === "payload") {
      const fields = said.at(-1)?.fields as { payload: string };
      fields.payload += parser.piece.toHex();
      continue;
    }
    const kind = kindName(parser.kind) ?? "";
    const fields = plain(decode(kind, parser.head)) as Record<string, unknown>;
    const bodied = kind === "frame" || kind === "chunk";
    if (bodied) Object.assign(fields, { last: (parser.flags & 1) !== 0, payload: "", digest: fields["digest"] ?? "" });
    if (kind === "frame") fields["metadata"] ??= {};
    said.push({ kind: kind.toUpperCase(), fields });
  }
  return said;
}

describe("one of each kind", () => {
  for (const { kind, why, hex, fields } of vectors.messages) {
    test(`${kind} ${why}`, () => {
      expect(read(bytesOf(hex))).toEqual([{ kind, fields }]);
    });
  }

  test("none is missing", () => {
    const seen = new Set(vectors.messages.map(({ kind }) => kind.toLowerCase()));
    expect(Object.keys(Kind).filter((kind) => !seen.has(kind))).toEqual([]);
  });
});

/** A connection to a hub of its own, or of the test's. */
function connect(hub = openHub(new MemorySink({ frameBytesMax: 1e6 })).hub, key?: string) {
  const handlers = hub.accept();
  const link = new HeldLink(key);
  handlers.opened(link);
  return { handlers, link };
}

describe("what is refused", () => {
  for (const { name, before, hex, code } of vectors.bad) {
    test(name, () => {
      const { handlers, link } = connect();
      for (const each of before) handlers.data(bytesOf(each));
      expect(link.shut).toBe(false);
      handlers.data(bytesOf(hex));
      const refusal = read(link.written).find(({ kind }) => kind === "REFUSE");
      expect(protocolCodeName(refusal?.fields["code"] as ProtocolCode)).toBe(code);
    });
  }
});

/** What differs from run to run, or by what a receiver is called and allows. */
const own = ["clockNs", "agent", "frameBytesMax", "windowBytes", "windowFrames", "pins"];

function comparable({ kind, fields }: Said): unknown {
  return { kind, fields: Object.fromEntries(Object.entries(fields).filter(([name]) => !own.includes(name))) };
}

describe("conversations", () => {
  for (const session of vectors.sessions) {
    test(session.name, () => {
      const time = new SimClock();
      const trust = new FakeTrust();
      const { fingerprint, device } = session;
      if (fingerprint !== undefined) trust.grant([fingerprint, `device=${device}`]);
      const { hub } = openHub(
        new MemorySink({ frameBytesMax: 1e9 }),
        undefined,
        time,
        fingerprint === undefined ? undefined : trust,
      );
      for (const messages of session.connections) {
        const { handlers, link } = connect(hub, fingerprint);
        const expected: unknown[] = [];
        for (const { from, hex, ...rest } of messages) {
          if (from === "receiver") {
            expected.push(...read(bytesOf(hex)).map(comparable));
            continue;
          }
          const { payloadBytes = 0, payloadFrom = 0 } = rest as { payloadBytes?: number; payloadFrom?: number };
          const payload = Uint8Array.from({ length: payloadBytes }, (_, at) => (payloadFrom + at) % 251);
          handlers.data(concat(bytesOf(hex), payload));
          // Groups are committed now and then.
          time.after(100, () => undefined);
          for (const until = time.nowMs() + 100; time.nowMs() < until && time.step(););
        }
        const told = read(link.written).filter(({ kind }) => !["PING", "PROGRESS"].includes(kind));
        expect(told.map(comparable)).toEqual(expected);
        handlers.closed("");
      }
    });
  }
});
