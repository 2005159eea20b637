/**
 * Writes numbers and text behind each other into an outbox, little-endian. The caller reserves enough first; the
 * writer checks nothing but text lengths, because what we encode is ours.
 */
import { assert } from "../errors.ts";
import type { Outbox } from "./outbox.ts";

const encoder = new TextEncoder();
/** Up to here a loop over the characters is faster than the encoder, which needs a view of the memory each time. */
const shortText = 64;

export class FieldWriter {
  readonly #outbox: Outbox;
  /** Position of the next byte in `outbox.bytes`. */
  position = 0;

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
  }

  u8(value: number): void {
    this.#outbox.fields.setUint8(this.position, value);
    this.position += 1;
  }

  u16(value: number): void {
    this.#outbox.fields.setUint16(this.position, value, true);
    this.position += 2;
  }

  u32(value: number): void {
    this.#outbox.fields.setUint32(this.position, value, true);
    this.position += 4;
  }

  /** A safe integer, 0 … 2^53-1. */
  u64(value: number): void {
    this.#outbox.fields.setUint32(this.position, value % 0x1_0000_0000, true);
    this.#outbox.fields.setUint32(this.position + 4, Math.floor(value / 0x1_0000_0000), true);
    this.position += 8;
  }

  i64(value: bigint): void {
    this.#outbox.fields.setBigInt64(this.position, value, true);
    this.position += 8;
  }

  bytes(view: Uint8Array): void {
    this.#outbox.bytes.set(view, this.position);
    this.position += view.length;
  }

  /** u16 length and bytes. */
  blob(view: Uint8Array): void {
    this.u16(view.length);
    this.bytes(view);
  }

  /** u16 length and UTF-8 text. Text longer than `bytesMax` is cut at a character. */
  text(value: string, bytesMax: number): void {
    const start = this.position + 2;
    if (value.length <= Math.min(shortText, bytesMax) && this.#ascii(value, start)) {
      this.u16(value.length);
      this.position += value.length;
      return;
    }
    const space = this.#outbox.bytes.subarray(start, start + bytesMax);
    const { written } = encoder.encodeInto(value, space);
    assert(written <= 0xffff, "a text fits its length field");
    this.u16(written);
    this.position += written;
  }

  /** Writes at `start` and says whether all of it was ASCII. */
  #ascii(value: string, start: number): boolean {
    const { bytes } = this.#outbox;
    for (let at = 0; at < value.length; at++) {
      const code = value.charCodeAt(at);
      if (code >= 0x80) return false;
      bytes[start + at] = code;
    }
    return true;
  }
}
