/**
 * The wire protocol a second time, from its PROTOCOL.md alone: nothing of src/ is used. It encodes whatever it is
 * told, also what no honest peer would say, and decodes without mercy. For hostile peers, and to listen in on a proxy.
 */
import type { Socket } from "bun";
import { crc32, patienceMs } from "../support/processes.ts";

export const kinds = {
  hello: 1,
  welcome: 2,
  refuse: 3,
  source: 4,
  offer: 5,
  want: 6,
  frame: 7,
  chunk: 8,
  gap: 9,
  ack: 10,
  reject: 11,
  hold: 12,
  resume: 13,
  ping: 14,
  pong: 15,
  end: 16,
  ended: 17,
  bye: 18,
  farewell: 19,
  progress: 20,
  stretch: 21,
} as const;

/** Fields of a head, in order. A text may be given as bytes, so that it need not be valid. */
export class Fields {
  readonly #parts: Uint8Array[] = [];

  u8(value: number): this {
    return this.#add(1, (view) => view.setUint8(0, value));
  }
  u16(value: number): this {
    return this.#add(2, (view) => view.setUint16(0, value, true));
  }
  u32(value: number): this {
    return this.#add(4, (view) => view.setUint32(0, value, true));
  }
  u64(value: number | bigint): this {
    return this.#add(8, (view) => view.setBigUint64(0, BigInt(value), true));
  }
  text(value: string | Uint8Array): this {
    const bytes = typeof value === "string" ? looseUtf8(value) : value;
    this.u16(bytes.length);
    this.#parts.push(bytes);
    return this;
  }
  bytes(value: Uint8Array): this {
    this.#parts.push(value);
    return this;
  }
  get encoded(): Uint8Array {
    return Buffer.concat(this.#parts);
  }

  #add(bytes: number, write: (view: DataView) => void): this {
    const part = new Uint8Array(bytes);
    write(new DataView(part.buffer));
    this.#parts.push(part);
    return this;
  }
}

/** UTF-8 that also has bytes for half of a surrogate pair, which UTF-8 forbids. */
export function looseUtf8(text: string): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const half = code >= 0xd800 && code <= 0xdfff;
    parts.push(half ? Uint8Array.of(0xed, 0x80 | ((code >> 6) & 0x3f), 0x80 | (code & 0x3f)) : Buffer.from(character));
  }
  return Buffer.concat(parts);
}

export interface Encoded {
  readonly flags?: number;
  readonly payload?: Uint8Array;
  readonly version?: number;
}

export function encode(kind: number, head: Fields, options: Encoded = {}): Uint8Array {
  const { flags = 0, payload = new Uint8Array(0), version = 2 } = options;
  const fields = head.encoded;
  const checked = new Fields().u8(0xf5).u8(version).u8(kind).u8(flags).u32(fields.length).u32(payload.length);
  const before = checked.bytes(fields).encoded;
  return Buffer.concat([before, new Fields().u32(crc32(before)).encoded, payload]);
}

/** A message as it came. Its fields are read in order, from the start of the head. */
export class Message {
  readonly version: number;
  readonly kind: number;
  readonly flags: number;
  readonly payload: Uint8Array;
  readonly #head: DataView;
  #at = 0;

  constructor(version: number, kind: number, flags: number, head: Uint8Array, payload: Uint8Array) {
    this.version = version;
    this.kind = kind;
    this.flags = flags;
    this.payload = payload;
    this.#head = new DataView(head.buffer, head.byteOffset, head.length);
  }

  u8(): number {
    return this.#head.getUint8(this.#advance(1));
  }
  u16(): number {
    return this.#head.getUint16(this.#advance(2), true);
  }
  u32(): number {
    return this.#head.getUint32(this.#advance(4), true);
  }
  u64(): number {
    return Number(this.#head.getBigUint64(this.#advance(8), true));
  }
  /** A time, in nanoseconds. */
  i64(): bigint {
    return this.#head.getBigInt64(this.#advance(8), true);
  }
  text(): string {
    const bytes = this.u16();
    const at = this.#advance(bytes);
    return Buffer.from(this.#head.buffer, this.#head.byteOffset + at, bytes).toString();
  }
  skip(bytes: number): this {
    this.#advance(bytes);
    return this;
  }

  #advance(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    return at;
  }
}

/** Takes the bytes of one direction and gives its messages. Throws where the bytes are not of the protocol. */
export class MessageReader {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #needed = 12;

  push(chunk: Uint8Array): Message[] {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    const messages: Message[] = [];
    while (this.#bytes >= this.#needed) {
      const all: Buffer = Buffer.concat(this.#chunks);
      this.#chunks = [all];
      const headBytes = all.readUInt32LE(4);
      const payloadBytes = all.readUInt32LE(8);
      this.#needed = 16 + headBytes + payloadBytes;
      // REFUSE may have the version of whoever is refused.
      const known = all[1] === 2 || all[2] === kinds.refuse;
      if (all[0] !== 0xf5 || !known) throw new Error(`not a message: ${all.subarray(0, 12).toHex()}`);
      if (this.#bytes < this.#needed) break;
      if (all.readUInt32LE(12 + headBytes) !== crc32(all.subarray(0, 12 + headBytes))) throw new Error("check");
      const head = all.subarray(12, 12 + headBytes);
      const payload = all.subarray(16 + headBytes, this.#needed);
      messages.push(new Message(all[1] ?? 0, all[2] ?? 0, all[3] ?? 0, head, payload));
      this.#chunks = [all.subarray(this.#needed)];
      this.#bytes -= this.#needed;
      this.#needed = 12;
    }
    return messages;
  }
}

export interface FrameOptions {
  readonly sequence: number;
  readonly name: string | Uint8Array;
  readonly bytes: Uint8Array;
  readonly sourceIndex?: number;
  readonly capturedNs?: bigint;
  /** A lie, if it is not that of the bytes. */
  readonly crc?: number;
  /** A lie, if it is not that of the bytes. */
  readonly frameBytes?: number | bigint;
  readonly notes?: number;
  readonly offset?: number;
  /** As it travels: encoded pairs. */
  readonly metadata?: Uint8Array;
}

/** Pairs of metadata, as a FRAME has them. */
export function metadata(pairs: Readonly<Record<string, string>>): Uint8Array {
  const fields = new Fields();
  for (const [key, value] of Object.entries(pairs)) fields.u8(key.length).bytes(Buffer.from(key)).text(value);
  return fields.encoded;
}

/** A connection to a receiver on which anything can be said. */
export class WirePeer {
  readonly received: Message[] = [];
  closed = false;
  readonly #reader = new MessageReader();
  #socket: Socket<WirePeer> | undefined;
  #unsent: Uint8Array = new Uint8Array(0);
  #wake: () => void = () => undefined;

  static async connect(port: number): Promise<WirePeer> {
    const peer = new WirePeer();
    peer.#socket = await Bun.connect<WirePeer>({
      hostname: "127.0.0.1",
      port,
      data: peer,
      socket: {
        data: (_socket, chunk) => {
          peer.received.push(...peer.#reader.push(chunk));
          peer.#wake();
        },
        drain: () => peer.#flush(),
        close: () => {
          peer.closed = true;
          peer.#wake();
        },
        error: () => undefined,
      },
    });
    return peer;
  }

  say(bytes: Uint8Array): void {
    this.#unsent = this.#unsent.length === 0 ? bytes : Buffer.concat([this.#unsent, bytes]);
    this.#flush();
  }

  hello(device: string, session: Uint8Array = crypto.getRandomValues(new Uint8Array(16)), features = 0): void {
    const head = new Fields().u32(features).bytes(session).u64(0).text(device).text("test").text("").u8(0);
    this.say(encode(kinds.hello, head));
  }

  source(index: number, name: string | Uint8Array): void {
    this.say(encode(kinds.source, new Fields().u16(index).text(name)));
  }

  offer(firstSequence: number, entries: readonly { name: string; bytes: number; capturedNs?: bigint }[]): void {
    const head = new Fields().u16(0).u16(entries.length).u64(firstSequence);
    for (const { name, bytes, capturedNs = 0n } of entries) head.u64(bytes).u64(capturedNs).text(name);
    this.say(encode(kinds.offer, head));
  }

  /** A whole frame in one message. */
  frame({ sequence, name, bytes, sourceIndex = 0, crc, frameBytes, ...rest }: FrameOptions): void {
    const head = new Fields()
      .u16(sourceIndex)
      .u16(rest.notes ?? 0)
      .u64(sequence)
      .u64(rest.capturedNs ?? 0);
    head
      .u64(frameBytes ?? bytes.length)
      .u64(rest.offset ?? 0)
      .u32(crc ?? crc32(bytes))
      .text(name)
      .text(rest.metadata ?? "")
      .u16(0);
    this.say(encode(kinds.frame, head, { flags: 1, payload: bytes }));
  }

  bye(): void {
    this.say(encode(kinds.bye, new Fields().u8(0)));
  }

  /** The first message of that kind, taken out of `received`. */
  async take(kind: number): Promise<Message> {
    const find = (): number => this.received.findIndex((message) => message.kind === kind);
    await this.#until(() => find() >= 0, `message ${kind}`);
    const [message] = this.received.splice(find(), 1);
    if (message === undefined) throw new Error("found and gone");
    return message;
  }

  /** Resolves when the receiver has closed. */
  async gone(): Promise<void> {
    await this.#until(() => this.closed, "the end of the connection");
  }

  drop(): void {
    this.#socket?.terminate();
  }

  async #until(holds: () => boolean, what: string): Promise<void> {
    const deadlineMs = performance.now() + patienceMs;
    while (!holds()) {
      const kindsSeen = this.received.map(({ kind }) => kind).join(" ");
      if (what.startsWith("message") && this.closed) throw new Error(`closed before ${what}; received ${kindsSeen}`);
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) throw new Error(`no ${what}; received ${kindsSeen}`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, leftMs);
      await promise;
      clearTimeout(timer);
    }
  }

  #flush(): void {
    if (this.#unsent.length === 0) return;
    const taken = Math.max(0, this.#socket?.write(this.#unsent, 0, this.#unsent.length) ?? 0);
    this.#unsent = this.#unsent.subarray(taken);
  }
}
