/** A receiver's link that the test holds in its hand. */
import { expect } from "bun:test";
import type { Link, ProvenKey } from "../../src/ports.ts";
import { concat } from "../protocols/wire/cases.ts";

export class HeldLink implements Link {
  readonly peer: string;
  readonly proven: ProvenKey | undefined;
  admitted: boolean = false;
  /** Bytes the link takes at the next writes. */
  room: number = Number.POSITIVE_INFINITY;
  readonly #parts: Uint8Array[] = [];
  shut: boolean = false;
  closed: boolean = false;
  paused: boolean = false;

  /** `key`: the fingerprint that the peer has proven. */
  constructor(key?: string, peer = "test:1") {
    this.peer = peer;
    this.proven = key === undefined ? undefined : { fingerprint: key, exporter: new Uint8Array(32) };
  }

  admit(): void {
    this.admitted = true;
  }
  write(view: Uint8Array): number {
    expect(this.shut).toBe(false);
    const count = Math.min(view.length, this.room);
    this.room -= count;
    this.#parts.push(view.slice(0, count));
    return count;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  shutdown(): void {
    this.shut = true;
  }
  close(): void {
    this.closed = true;
  }
  /** How often something was written. */
  get writes(): number {
    return this.#parts.length;
  }

  /** Everything written so far. */
  get written(): Uint8Array {
    return concat(...this.#parts);
  }

  /** Kinds of the messages written so far. */
  kinds(): number[] {
    const bytes = this.written;
    const view = new DataView(bytes.buffer);
    const kinds: number[] = [];
    for (let at = 0; at + 16 <= bytes.length; at += 16 + view.getUint32(at + 4, true))
      kinds.push(view.getUint8(at + 2));
    return kinds;
  }
}
