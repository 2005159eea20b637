/**
 * Messages between the process that stores and the page's process, over a link: lengths of both parts as u32,
 * little-endian, JSON, then bytes, perhaps none. Who receives believes nothing of it but its form.
 */
import type { Link, LinkHandlers } from "../ports.ts";

const headBytes = 8;
const none = new Uint8Array(0);

export interface MessageLinkOptions {
  /** Longer ones break the form. */
  readonly jsonBytesMax: number;
  readonly payloadBytesMax: number;
  /** `value`: whatever JSON can say. */
  readonly onMessage: (value: unknown, payload: Uint8Array) => void;
  /** Everything that was sent has been taken. */
  readonly onDrained?: () => void;
  readonly onClosed: () => void;
}

export class MessageLink implements LinkHandlers {
  readonly #options: MessageLinkOptions;
  #link: Link | undefined;
  /** What the link has not taken yet. */
  readonly #queue: Uint8Array[] = [];
  /** The part of a message that is being received, and how much of it is there. */
  #part: Uint8Array = new Uint8Array(headBytes);
  #filled = 0;
  /** Undefined: its head is being received. */
  #value: { readonly json: unknown } | "json" | undefined;
  #payloadBytes = 0;
  #closed = false;

  constructor(options: MessageLinkOptions) {
    this.#options = options;
  }

  /** Nothing waits to be taken. */
  get idle(): boolean {
    return this.#queue.length === 0;
  }

  /** `payload` is read until `onDrained`. */
  send(value: unknown, payload: Uint8Array = none): void {
    if (this.#closed) return;
    const json = Buffer.from(JSON.stringify(value));
    const start = new Uint8Array(headBytes + json.length);
    const view = new DataView(start.buffer);
    view.setUint32(0, json.length, true);
    view.setUint32(4, payload.length, true);
    start.set(json, headBytes);
    this.#queue.push(start);
    if (payload.length > 0) this.#queue.push(payload);
    this.#write();
  }

  close(): void {
    this.#link?.close();
  }

  opened(link: Link): void {
    this.#link = link;
    this.#write();
  }

  drain(): void {
    if (this.#queue.length === 0) return;
    this.#write();
    if (this.#queue.length === 0) this.#options.onDrained?.();
  }

  closed(): void {
    this.#closed = true;
    this.#link = undefined;
    this.#queue.length = 0;
    this.#options.onClosed();
  }

  #write(): void {
    while (this.#queue.length > 0) {
      const [first = none] = this.#queue;
      const count = this.#link?.write(first) ?? 0;
      if (count < first.length) {
        this.#queue[0] = first.subarray(count);
        return;
      }
      this.#queue.shift();
    }
  }

  data(chunk: Uint8Array): void {
    let at = 0;
    while (!this.#closed) {
      const count = Math.min(this.#part.length - this.#filled, chunk.length - at);
      this.#part.set(chunk.subarray(at, at + count), this.#filled);
      this.#filled += count;
      at += count;
      if (this.#filled < this.#part.length) return;
      if (!this.#complete()) {
        this.#closed = true;
        this.#link?.close();
      }
    }
  }

  /** A part is there. Returns whether it can go on. */
  #complete(): boolean {
    const part = this.#part;
    const { jsonBytesMax, payloadBytesMax, onMessage } = this.#options;
    if (this.#value === undefined) {
      const view = new DataView(part.buffer);
      const jsonBytes = view.getUint32(0, true);
      this.#payloadBytes = view.getUint32(4, true);
      if (jsonBytes > jsonBytesMax || this.#payloadBytes > payloadBytesMax) return false;
      this.#value = "json";
      return this.#receive(jsonBytes);
    }
    if (this.#value === "json") {
      try {
        this.#value = { json: JSON.parse(Buffer.from(part).toString()) as unknown };
      } catch {
        return false;
      }
      return this.#receive(this.#payloadBytes);
    }
    const { json } = this.#value;
    this.#value = undefined;
    this.#receive(headBytes);
    onMessage(json, part);
    return true;
  }

  #receive(bytes: number): true {
    this.#part = new Uint8Array(bytes);
    this.#filled = 0;
    return true;
  }
}
