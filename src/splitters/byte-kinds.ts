/** Kinds of bytes, as tables: 1 for those that are of the kind. */
import type { PieceQueue } from "./piece-queue.ts";

const isBlank = markedBytes(0x20, 0x09, 0x0a, 0x0d);
export const isText: Uint8Array = isBlank.map((blank, byte) => (blank !== 0 || (byte > 0x20 && byte <= 0x7e) ? 1 : 0));
/** Zeros, white space, fill bytes, and a second FF D9: nothing that would be missed. */
const isPadding: Uint8Array = markedBytes(0, 0xff, 0xd9, 0x20, 0x09, 0x0a, 0x0d);
const zeros = new Uint8Array(4096);

export function markedBytes(...bytes: number[]): Uint8Array {
  const marked = new Uint8Array(256);
  for (const byte of bytes) marked[byte] = 1;
  return marked;
}

/** The first position from `from` to below `to` that is no padding, or `to`. */
export function paddingEnd(bytes: PieceQueue, from: number, to: number): number {
  for (let at = from; at < to;) {
    const block = bytes.blockAt(at);
    const index = at - block.at;
    const rest = Math.min(block.bytes.length - index, to - at);
    // Drivers pad with zeros, to megabytes.
    const whole = rest >= zeros.length && block.bytes[index] === 0;
    if (whole && Buffer.compare(block.bytes.subarray(index, index + zeros.length), zeros) === 0) at += zeros.length;
    else {
      const until = at + Math.min(rest, zeros.length);
      at = bytes.skip(isPadding, at, until);
      if (at < until) return at;
    }
  }
  return to;
}
