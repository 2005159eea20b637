/**
 * What is encoded and not yet taken by the socket: one buffer that messages are written into behind each other and
 * that leaves from the front.
 *
 *     [ gone | waiting ........ | reserved | free ]
 *            ^ #start           ^ #end
 *
 * Header, fields and file bytes are placed side by side, so a frame leaves in one write without being copied, and
 * the next files are read in while the socket is still busy with the last. When the space behind runs out, the
 * (short) rest is moved to the front. A message larger than the free space waits: `room` says how much there is.
 */
import { assert } from "../errors.ts";

export class Outbox {
  /** The memory itself. Valid between `reserve` and `commit`; a later `reserve` may move what waits. */
  bytes: Uint8Array;
  /** Over all of `bytes`, for the codecs. */
  fields: DataView;
  #start = 0;
  #end = 0;
  /** All that was ever committed. */
  committedBytes = 0;
  #limitBytes: number;

  /** Grows from `initialBytes` (so an idle connection is cheap) up to `limitBytes`. */
  constructor(limitBytes: number, initialBytes: number = limitBytes) {
    this.#limitBytes = limitBytes;
    this.bytes = new Uint8Array(initialBytes);
    this.fields = new DataView(this.bytes.buffer);
  }

  /** Bytes that wait for the socket. */
  get byteLength(): number {
    return this.#end - this.#start;
  }

  /** Bytes that can still be reserved at once. */
  get room(): number {
    return this.#limitBytes - this.byteLength;
  }

  /** Makes `length` contiguous bytes writable and returns their position in `bytes`. `room` must suffice. */
  reserve(length: number): number {
    assert(length <= this.room, "outbox reserve within its room");
    if (this.#end + length > this.bytes.length) this.#makeSpace(length);
    return this.#end;
  }

  /** The first `length` reserved bytes are complete and may leave. */
  commit(length: number): void {
    assert(this.#end + length <= this.bytes.length, "outbox commit within its reserve");
    this.#end += length;
    this.committedBytes += length;
  }

  /** A view of all that waits. Valid until the next `reserve`. */
  view(): Uint8Array {
    return this.bytes.subarray(this.#start, this.#end);
  }

  /** The socket took `length` bytes. */
  release(length: number): void {
    assert(length <= this.byteLength, "outbox release within what waits");
    this.#start += length;
    if (this.#start === this.#end) this.#start = this.#end = 0;
  }

  /** Forgets everything; used when the connection is gone. */
  clear(): void {
    this.#start = this.#end = 0;
  }

  #makeSpace(length: number): void {
    const waiting = this.byteLength;
    if (waiting + length <= this.bytes.length) {
      this.bytes.copyWithin(0, this.#start, this.#end);
    } else {
      const size = Math.min(this.#limitBytes, Math.max(this.bytes.length * 2, waiting + length));
      const grown = new Uint8Array(size);
      grown.set(this.view(), 0);
      this.bytes = grown;
      this.fields = new DataView(grown.buffer);
    }
    this.#start = 0;
    this.#end = waiting;
  }
}
