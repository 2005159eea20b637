/**
 * One table of conversations, good and bad. It drives the parser tests (whole, byte by byte, every two-way split,
 * random pieces), the round trip of the codecs, and it seeds the fuzzer.
 */
import { crc32 } from "../../../src/bytes/checksum.ts";
import { Outbox } from "../../../src/bytes/outbox.ts";
import { ProtocolCode } from "../../../src/errors.ts";
import { Feature } from "../../../src/protocols/wire/constants.ts";
import type { MessageReader } from "../../../src/protocols/wire/message-reader.ts";
import { MessageWriter } from "../../../src/protocols/wire/message-writer.ts";
import type { Hello } from "../../../src/protocols/wire/messages.ts";

export interface Parsed {
  readonly kind: number;
  readonly flags: number;
  readonly head: Uint8Array;
  readonly payload: Uint8Array;
}

export interface Case {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Kinds that come out, in order, before the failure if there is one. */
  readonly kinds: readonly number[];
  /** The code of the failure that follows. */
  readonly fails?: ProtocolCode;
}

export function encoded(write: (writer: MessageWriter, outbox: Outbox) => void): Uint8Array {
  const outbox = new Outbox(4 * 1024 * 1024);
  write(new MessageWriter(outbox), outbox);
  return outbox.view().slice();
}

export function putPayload(
  writer: MessageWriter,
  outbox: Outbox,
  at: number,
  payload: Uint8Array,
  crc?: number,
  notes?: number,
  digest?: Uint8Array,
): void {
  outbox.bytes.set(payload, at);
  writer.finishPayload(payload.length, crc, notes, digest);
}

export const hello: Hello = {
  features: Feature.progress | Feature.resume | Feature.digest | 0x4000_0000,
  session: "00112233445566778899aabbccddeeff",
  clockNs: 1_767_323_045_000_000_001n,
  device: "pi-7",
  agent: "framepipe 0.2.0",
  proof: new Uint8Array(0),
  via: [],
};
const totals = { frames: 2 ** 53 - 1, stored: 1, duplicates: 2, conflicts: 3, refused: 4, skipped: 5, expired: 6 };
const payload = new TextEncoder().encode("hello");
const digest = Uint8Array.from({ length: 32 }, (_, at) => at);

/** Each message with what must come out of its decoder: encode(x) decodes to x. */
export const roundTrips: readonly {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly decode: (reader: MessageReader, head: Uint8Array) => unknown;
  readonly value: unknown;
}[] = [
  { name: "HELLO", bytes: encoded((w) => w.hello(hello)), decode: (r, h) => r.hello(h), value: hello },
  (() => {
    const value = { ...hello, device: "", proof: Uint8Array.of(1, 2, 3), via: ["fp1a", "fp1b"] };
    return { name: "HELLO", bytes: encoded((w) => w.hello(value)), decode: (r, h) => r.hello(h), value };
  })(),
  (() => {
    const value = {
      features: Feature.progress,
      keepsNothing: true,
      frameBytesMax: 2 ** 40 + 5,
      windowBytes: 64,
      windowFrames: 7,
      clockNs: -1n,
      agent: "ä",
      proof: Uint8Array.of(9),
      device: "rig-7",
      pins: ["fp1a"],
    };
    return { name: "WELCOME", bytes: encoded((w) => w.welcome(value)), decode: (r, h) => r.welcome(h), value };
  })(),
  {
    name: "REFUSE",
    bytes: encoded((w) => w.refuse(7, "full")),
    decode: (r, h) => r.refuse(h),
    value: { code: 7, versionLowest: 2, versionHighest: 2, text: "full" },
  },
  (() => {
    const value = { sourceIndex: 3, name: "visible/left" };
    return { name: "SOURCE", bytes: encoded((w) => w.source(value)), decode: (r, h) => r.source(h), value };
  })(),
  (() => {
    const entries = [
      { name: "1.jpg", bytes: 0, capturedNs: 0n },
      { name: "ü/2.jpg", bytes: 2 ** 53 - 1, capturedNs: 1_767_323_045_000_000_001n },
    ];
    return {
      name: "OFFER",
      bytes: encoded((w) => w.offer(1, 70_000, entries)),
      decode: (r, h) => r.offer(h),
      value: { sourceIndex: 1, firstSequence: 70_000, entries },
    };
  })(),
  (() => {
    const verdicts = [
      { kind: "want" },
      { kind: "have", outcome: "duplicate", crc32: 0xffff_ffff },
      { kind: "have", outcome: "stored", crc32: 0 },
      { kind: "have", outcome: "conflict", crc32: 1 },
      { kind: "expired", crc32: 77 },
      { kind: "continue", offset: 2 ** 33, crc32: 5 },
      { kind: "refuse", reason: "name" },
      { kind: "refuse", reason: "other" },
    ] as const;
    return {
      name: "WANT",
      bytes: encoded((w) => w.want(0, 5, verdicts)),
      decode: (r, h) => r.want(h),
      value: { sourceIndex: 0, firstSequence: 5, verdicts },
    };
  })(),
  (() => {
    const value = {
      sourceIndex: 0,
      sequence: 7,
      capturedNs: 5n,
      bytes: 5,
      offset: 0,
      name: "a/7.jpg",
      metadata: undefined,
      crc32: crc32(payload),
      notes: 0,
      digest: undefined,
    };
    return {
      name: "FRAME",
      bytes: encoded((w, o) => putPayload(w, o, w.frame(value, 5), payload, value.crc32)),
      decode: (r, h) => r.frame(h),
      value,
    };
  })(),
  (() => {
    const value = {
      sourceIndex: 0,
      sequence: 7,
      capturedNs: 5n,
      bytes: 25,
      offset: 20,
      name: "a/7.jpg",
      metadata: new Map([
        ["lux", "40"],
        ["__proto__", ""],
        ["x-lens.focal_length", "35 mm ä"],
      ]),
      crc32: 1,
      notes: 0x8005,
      digest,
    };
    return {
      name: "FRAME",
      bytes: encoded((w, o) => putPayload(w, o, w.frame(value, 5, true), payload, 1, value.notes, digest)),
      decode: (r, h) => r.frame(h),
      value,
    };
  })(),
  (() => {
    const value = { sourceIndex: 9, sequence: 2 ** 40, offset: 2 ** 33, crc32: 0, notes: 0, digest: undefined };
    return {
      name: "CHUNK",
      bytes: encoded((w, o) => putPayload(w, o, w.chunk(value, 5), payload)),
      decode: (r, h) => r.chunk(h),
      value,
    };
  })(),
  (() => {
    const value = { sourceIndex: 9, sequence: 2 ** 40, offset: 2 ** 33, crc32: 3, notes: 8, digest };
    return {
      name: "CHUNK",
      bytes: encoded((w, o) => putPayload(w, o, w.chunk(value, 5, true), payload, 3, 8, digest)),
      decode: (r, h) => r.chunk(h),
      value,
    };
  })(),
  (() => {
    const value = {
      sourceIndex: 0,
      reason: "vanished",
      firstSequence: 5,
      count: 2,
      name: "x",
      detail: "gone",
    } as const;
    return { name: "GAP", bytes: encoded((w) => w.gap(value)), decode: (r, h) => r.gap(h), value };
  })(),
  (() => {
    const ranges = [
      { firstSequence: 0, count: 100, outcome: "stored" },
      { firstSequence: 101, count: 1, outcome: "recorded" },
      { firstSequence: 102, count: 1, outcome: "expired" },
    ] as const;
    const value = { sourceIndex: 0, receivedBytes: 12345, ranges };
    return { name: "ACK", bytes: encoded((w) => w.ack(value)), decode: (r, h) => r.ack(h), value };
  })(),
  (() => {
    const value = { sourceIndex: 0, reason: "checksum", again: true, sequence: 3, text: "damaged" } as const;
    return { name: "REJECT", bytes: encoded((w) => w.reject(value)), decode: (r, h) => r.reject(h), value };
  })(),
  (() => {
    const value = { sourceIndex: undefined, text: "full" };
    return { name: "HOLD", bytes: encoded((w) => w.hold(value)), decode: (r, h) => r.hold(h), value };
  })(),
  { name: "RESUME", bytes: encoded((w) => w.resume(3)), decode: (r, h) => r.resume(h), value: 3 },
  { name: "PING", bytes: encoded((w) => w.ping(-5n)), decode: (r, h) => r.ping(h), value: -5n },
  (() => {
    const value = { echoNs: 1n, clockNs: 2n };
    return { name: "PONG", bytes: encoded((w) => w.pong(value)), decode: (r, h) => r.pong(h), value };
  })(),
  (() => {
    const value = { sourceIndex: 1, totals };
    return { name: "END", bytes: encoded((w) => w.end(value)), decode: (r, h) => r.end(h), value };
  })(),
  (() => {
    const value = {
      sourceIndex: 1,
      class: "loss",
      sequence: 2 ** 40,
      count: 3,
      bytes: 2 ** 35,
      text: "a TIFF",
    } as const;
    return { name: "STRETCH", bytes: encoded((w) => w.stretch(value)), decode: (r, h) => r.stretch(h), value };
  })(),
  (() => {
    const value = { sourceIndex: 6, account: totals };
    return { name: "ENDED", bytes: encoded((w) => w.ended(value)), decode: (r, h) => r.ended(h), value };
  })(),
  (() => {
    const value = { sourceIndex: 6, account: undefined };
    return { name: "ENDED", bytes: encoded((w) => w.ended(value)), decode: (r, h) => r.ended(h), value };
  })(),
  { name: "PROGRESS", bytes: encoded((w) => w.progress(2 ** 40)), decode: (r, h) => r.progress(h), value: 2 ** 40 },
  (() => {
    const value = { notice: "shared-device", text: "another one" } as const;
    return { name: "NOTICE", bytes: encoded((w) => w.notice(value)), decode: (r, h) => r.notice(h), value };
  })(),
  { name: "BYE", bytes: encoded((w) => w.bye(true)), decode: (r, h) => r.bye(h), value: true },
];

/** A message with any header, its check made good. */
export function rawMessage(fields: {
  readonly magic?: number;
  readonly version?: number;
  readonly kind: number;
  readonly headBytes?: number;
  readonly payloadBytes?: number;
  readonly head?: Uint8Array;
  readonly payload?: Uint8Array;
}): Uint8Array {
  const head = fields.head ?? new Uint8Array(0);
  const body = fields.payload ?? new Uint8Array(0);
  const bytes = new Uint8Array(12 + head.length + 4 + body.length);
  const view = new DataView(bytes.buffer);
  bytes.set([fields.magic ?? 0xf5, fields.version ?? 2, fields.kind, 0], 0);
  view.setUint32(4, fields.headBytes ?? head.length, true);
  view.setUint32(8, fields.payloadBytes ?? body.length, true);
  bytes.set(head, 12);
  view.setUint32(12 + head.length, crc32(bytes.subarray(0, 12 + head.length)), true);
  bytes.set(body, 16 + head.length);
  return bytes;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const helloBytes = encoded((w) => w.hello(hello));
const frameBytes = (size: number): Uint8Array =>
  encoded((w, o) => {
    const bytes = new Uint8Array(size).map((_, at) => at % 251);
    const head = { sourceIndex: 0, sequence: 1, capturedNs: 0n, bytes: size, name: "1.jpg" };
    putPayload(w, o, w.frame(head, size), bytes, crc32(bytes));
  });

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  copy[at] = (copy[at] as number) ^ 0x10;
  return copy;
}

export const cases: readonly Case[] = [
  { name: "nothing", bytes: new Uint8Array(0), kinds: [] },
  { name: "a hello", bytes: helloBytes, kinds: [1] },
  { name: "a frame of 0 bytes", bytes: frameBytes(0), kinds: [7] },
  { name: "a frame of 1 byte", bytes: frameBytes(1), kinds: [7] },
  {
    name: "hello and frames",
    bytes: concat(helloBytes, frameBytes(300), frameBytes(0), frameBytes(77)),
    kinds: [1, 7, 7, 7],
  },
  {
    name: "every kind",
    bytes: concat(...roundTrips.map((each) => each.bytes)),
    kinds: [1, 1, 2, 3, 4, 5, 6, 7, 7, 8, 8, 9, 10, 11, 12, 13, 14, 15, 16, 21, 17, 17, 20, 22, 18],
  },
  {
    name: "unknown kinds are skipped with their payload",
    bytes: concat(
      rawMessage({ kind: 23, head: payload, payload }),
      rawMessage({ kind: 0 }),
      rawMessage({ kind: 255, payload }),
      helloBytes,
    ),
    kinds: [1],
  },
  {
    name: "a head longer than its fields",
    bytes: rawMessage({ kind: 17, head: Uint8Array.of(1, 0, 99, 99) }),
    kinds: [17],
  },
  { name: "an unfinished hello", bytes: helloBytes.subarray(0, 30), kinds: [] },
  {
    name: "another protocol",
    bytes: new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"),
    kinds: [],
    fails: ProtocolCode.malformed,
  },
  {
    name: "garbage behind a hello",
    bytes: concat(helloBytes, Uint8Array.of(0, 1, 2)),
    kinds: [1],
    fails: ProtocolCode.malformed,
  },
  { name: "version 1", bytes: rawMessage({ version: 1, kind: 1 }), kinds: [], fails: ProtocolCode.version },
  { name: "version 3", bytes: rawMessage({ version: 3, kind: 1 }), kinds: [], fails: ProtocolCode.version },
  {
    name: "a refuse of version 1 is read",
    bytes: rawMessage({ version: 1, kind: 3, head: Uint8Array.of(2, 0, 1, 1, 0, 0) }),
    kinds: [3],
  },
  {
    name: "a refuse of version 9 is read",
    bytes: rawMessage({ version: 9, kind: 3, head: Uint8Array.of(2, 0, 9, 9, 0, 0) }),
    kinds: [3],
  },
  {
    name: "a head of 65537 bytes",
    bytes: rawMessage({ kind: 5, headBytes: 65_537 }),
    kinds: [],
    fails: ProtocolCode.limit,
  },
  {
    name: "a head of 4 GiB",
    bytes: rawMessage({ kind: 5, headBytes: 0xffff_ffff }),
    kinds: [],
    fails: ProtocolCode.limit,
  },
  {
    name: "a payload of 1 MiB and a byte",
    bytes: rawMessage({ kind: 7, payloadBytes: 1_048_577 }),
    kinds: [],
    fails: ProtocolCode.limit,
  },
  {
    name: "a payload where none belongs",
    bytes: rawMessage({ kind: 14, payloadBytes: 1 }),
    kinds: [],
    fails: ProtocolCode.limit,
  },
  {
    name: "progress with a payload",
    bytes: rawMessage({ kind: 20, payloadBytes: 1 }),
    kinds: [],
    fails: ProtocolCode.limit,
  },
  { name: "a flipped bit in the head", bytes: flipped(helloBytes, 20), kinds: [], fails: ProtocolCode.damaged },
  {
    name: "a flipped bit in the check",
    bytes: flipped(helloBytes, helloBytes.length - 1),
    kinds: [],
    fails: ProtocolCode.damaged,
  },
  { name: "a flipped bit in the flags", bytes: flipped(helloBytes, 3), kinds: [], fails: ProtocolCode.damaged },
];

const u64 = (low: number, high: number): number[] => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(0, low, true);
  new DataView(bytes.buffer).setUint32(4, high, true);
  return [...bytes];
};

/** The head of a FRAME up to its name, and what is given behind the name. */
const frameHead = (...rest: number[]): Uint8Array =>
  Uint8Array.of(0, 0, 0, 0, ...u64(1, 0), ...u64(0, 0), ...u64(5, 0), ...u64(0, 0), 0, 0, 0, 0, 1, 0, 65, ...rest);
/** Metadata of one pair, its length made good. */
const pair = (key: string, value: string): number[] => {
  const text = [...new TextEncoder().encode(value)];
  const bytes = [key.length, ...new TextEncoder().encode(key), text.length, 0, ...text];
  return [bytes.length, 0, ...bytes];
};

/** Heads whose fields are wrong: the parser passes them, the decoder refuses them. */
export const badHeads: readonly {
  readonly name: string;
  readonly head: Uint8Array;
  readonly decode: (reader: MessageReader, head: Uint8Array) => unknown;
  readonly fails: ProtocolCode;
  readonly message: string;
}[] = [
  {
    name: "a frame claiming 2^63 bytes",
    head: Uint8Array.of(0, 0, 0, 0, ...u64(1, 0), ...u64(0, 0), ...u64(0, 0x8000_0000), ...u64(0, 0), 0, 0, 0, 0),
    decode: (r, h) => r.frame(h),
    fails: ProtocolCode.limit,
    message: "2^53-1",
  },
  {
    name: "a name of 60,000 bytes",
    head: frameHead().fill(0xea, 41, 42),
    decode: (r, h) => r.frame(h),
    fails: ProtocolCode.malformed,
    message: "a field at offset",
  },
  {
    name: "metadata of 60,000 bytes",
    head: frameHead(0x60, 0xea),
    decode: (r, h) => r.frame(h),
    fails: ProtocolCode.limit,
    message: "metadata",
  },
  ...(
    [
      ["a key of none", pair("", "1"), "a key is not"],
      ["a key with a capital letter", pair("Lux", "1"), "a key is not"],
      ["a key of 65 bytes", pair("k".repeat(65), "1"), "a key is not"],
      ["a control character in a value", pair("lux", "a\u001bb"), "a control character"],
      ["a control character of the second set", pair("lux", "a\u0085b"), "a control character"],
      ["a key that occurs twice", [10, 0, ...pair("a", "1").slice(2), ...pair("a", "2").slice(2)], "twice"],
      ["a pair that exceeds the metadata", [6, 0, ...pair("lux", "40").slice(2)], "exceeds"],
      ["a pair that exceeds the head", [40, 0, 3, 108], "a field at offset"],
    ] as const
  ).map(([name, metadata, message]) => ({
    name: `metadata with ${name}`,
    head: frameHead(...metadata, 0, 0),
    decode: (r: MessageReader, h: Uint8Array) => r.frame(h),
    fails: ProtocolCode.malformed,
    message,
  })),
  {
    name: "a digest of 20 bytes",
    head: frameHead(0, 0, 20, 0, ...new Uint8Array(20)),
    decode: (r, h) => r.frame(h),
    fails: ProtocolCode.limit,
    message: "bytes of a digest: 20",
  },
  {
    name: "a hello through 9 receivers",
    head: Uint8Array.of(...new Uint8Array(28), 1, 0, 65, 0, 0, 0, 0, 9),
    decode: (r, h) => r.hello(h),
    fails: ProtocolCode.limit,
    message: "9, limits 0 and 8",
  },
  {
    name: "a welcome with no window",
    head: new Uint8Array(60),
    decode: (r, h) => r.welcome(h),
    fails: ProtocolCode.limit,
    message: "bytes of the window: 0",
  },
  {
    name: "a stretch of class 16",
    head: Uint8Array.of(0, 0, 16, 0, ...u64(0, 0), 1, 0, 0, 0, ...u64(0, 0), 0, 0),
    decode: (r, h) => r.stretch(h),
    fails: ProtocolCode.malformed,
    message: "unknown class",
  },
  {
    name: "a notice of number 32",
    head: Uint8Array.of(32, 0, 0, 0, 0, 0),
    decode: (r, h) => r.notice(h),
    fails: ProtocolCode.malformed,
    message: "unknown notice",
  },
  {
    name: "a stretch that sums up none",
    head: Uint8Array.of(0, 0, 1, 0, ...u64(0, 0), 0, 0, 0, 0, ...u64(0, 0), 0, 0),
    decode: (r, h) => r.stretch(h),
    fails: ProtocolCode.limit,
    message: "stretches: 0",
  },
  {
    name: "a hold of source 1024",
    head: Uint8Array.of(0, 4, 0, 0),
    decode: (r, h) => r.hold(h),
    fails: ProtocolCode.limit,
    message: "source index: 1024",
  },
  {
    name: "a source index of 65535",
    head: Uint8Array.of(0xff, 0xff, 1, 0, 65),
    decode: (r, h) => r.source(h),
    fails: ProtocolCode.limit,
    message: "source index: 65535",
  },
  {
    name: "an offer of no entries",
    head: Uint8Array.of(0, 0, 0, 0, ...u64(0, 0)),
    decode: (r, h) => r.offer(h),
    fails: ProtocolCode.limit,
    message: "offered entries: 0",
  },
  {
    name: "an offer of 65535 entries",
    head: Uint8Array.of(0, 0, 0xff, 0xff, ...u64(0, 0)),
    decode: (r, h) => r.offer(h),
    fails: ProtocolCode.limit,
    message: "65535",
  },
  {
    name: "an offer shorter than its count",
    head: Uint8Array.of(0, 0, 2, 0, ...u64(0, 0), ...u64(5, 0), ...u64(0, 0), 1, 0, 65),
    decode: (r, h) => r.offer(h),
    fails: ProtocolCode.malformed,
    message: "a field at offset",
  },
  {
    name: "a gap of 0 frames",
    head: Uint8Array.of(0, 0, 1, 0, ...u64(0, 0), 0, 0, 0, 0, 0, 0, 0, 0),
    decode: (r, h) => r.gap(h),
    fails: ProtocolCode.limit,
    message: "frames of a gap: 0",
  },
  {
    name: "a gap for reason 77",
    head: Uint8Array.of(0, 0, 77, 0),
    decode: (r, h) => r.gap(h),
    fails: ProtocolCode.malformed,
    message: "unknown gap reason",
  },
  {
    name: "an ack of 65535 ranges",
    head: Uint8Array.of(0, 0, 0xff, 0xff),
    decode: (r, h) => r.ack(h),
    fails: ProtocolCode.limit,
    message: "ranges: 65535",
  },
  {
    name: "an ack of outcome 16",
    head: Uint8Array.of(0, 0, 1, 0, ...u64(0, 0), ...u64(0, 0), 1, 0, 0, 0, 16, 0, 0, 0),
    decode: (r, h) => r.ack(h),
    fails: ProtocolCode.malformed,
    message: "unknown outcome",
  },
  {
    name: "an empty hello",
    head: new Uint8Array(0),
    decode: (r, h) => r.hello(h),
    fails: ProtocolCode.malformed,
    message: "a field at offset 0",
  },
  {
    name: "a verdict of 99",
    head: Uint8Array.of(0, 0, 1, 0, ...u64(0, 0), 99, 0, 0, 0, 0),
    decode: (r, h) => r.want(h),
    fails: ProtocolCode.malformed,
    message: "unknown verdict",
  },
];

/** Numbers that a later version may use: what the decoder makes of them. */
export const unknownNumbers: readonly {
  readonly name: string;
  readonly head: Uint8Array;
  readonly decode: (reader: MessageReader, head: Uint8Array) => unknown;
  readonly value: unknown;
}[] = [
  ...[6, 15].map((verdict) => ({
    name: `verdict ${verdict}`,
    head: Uint8Array.of(0, 0, 1, 0, ...u64(0, 0), verdict, 9, 9, 9, 9),
    decode: (r: MessageReader, h: Uint8Array) => r.want(h).verdicts,
    value: [{ kind: "unknown" }],
  })),
  ...[22, 31].map((verdict) => ({
    name: `verdict ${verdict}`,
    head: Uint8Array.of(0, 0, 1, 0, ...u64(0, 0), verdict, 9, 9, 9, 9),
    decode: (r: MessageReader, h: Uint8Array) => r.want(h).verdicts,
    value: [{ kind: "refuse", reason: "other" }],
  })),
  ...[6, 15].map((outcome) => ({
    name: `outcome ${outcome}`,
    head: Uint8Array.of(0, 0, 1, 0, ...u64(0, 0), ...u64(3, 0), 1, 0, 0, 0, outcome, 0, 0, 0),
    decode: (r: MessageReader, h: Uint8Array) => r.ack(h).ranges,
    value: [{ firstSequence: 3, count: 1, outcome: "unknown" }],
  })),
  ...[16 + 6, 30].map((reason) => ({
    name: `reason ${reason} of a REJECT`,
    head: Uint8Array.of(0, 0, reason, 0, ...u64(3, 0), 0, 0),
    decode: (r: MessageReader, h: Uint8Array) => r.reject(h).reason,
    value: "other",
  })),
  ...[9, 30].map((reason) => ({
    name: `reason ${reason} of a GAP`,
    head: Uint8Array.of(0, 0, reason, 0, ...u64(3, 0), 1, 0, 0, 0, 0, 0, 0, 0),
    decode: (r: MessageReader, h: Uint8Array) => r.gap(h).reason,
    value: "other",
  })),
  ...[3, 15].map((found) => ({
    name: `class ${found} of a STRETCH`,
    head: Uint8Array.of(0, 0, found, 0, ...u64(3, 0), 1, 0, 0, 0, ...u64(3, 0), 0, 0),
    decode: (r: MessageReader, h: Uint8Array) => r.stretch(h).class,
    value: "information",
  })),
  ...[2, 30].map((number) => ({
    name: `notice ${number}`,
    head: Uint8Array.of(number, 0, 0, 0, 0, 0),
    decode: (r: MessageReader, h: Uint8Array) => r.notice(h).notice,
    value: "other",
  })),
  {
    name: "HOLD of all",
    head: Uint8Array.of(0xff, 0xff, 0, 0),
    decode: (r, h) => r.hold(h),
    value: { sourceIndex: undefined, text: "" },
  },
];
