/**
 * The chunks that the socket handed in and nobody has taken yet, in order.
 *
 *     push ->  [ ..taken|waiting ][ waiting ][ waiting ]
 *                       ^ offset in the first chunk
 *
 * Nothing is copied on the way through: `take` returns views of the chunks themselves. Two exceptions, both counted in
 * `joinedBytes`: a header that straddles chunks is joined to be read in place, and pieces too small to be worth an
 * object each (a peer that sends byte by byte) are gathered in a crumb buffer, which bounds the objects a peer can
 * make us keep.
 *
 * A view lives until `release`, which gives the memory of chunks that are taken to their end back at once. Left to the
 * collector they would pile up: 20 MiB more, and every chunk in memory that no cache holds (5 to 10 % of the CPU).
 *
 * Invariant: byteLength is the sum of the chunks less offset, and offset is below the first chunk's length.
 */
import { assert } from "../errors.ts";
import { KiB, ringBytesMax, ringChunksMax } from "../limits.ts";

const crumbBytes = 4096;
const smallBytes = 512;
/** Below this the collector is as good. */
const releasedBytesMin = 16 * KiB;

interface Held {
  readonly bytes: Uint8Array;
  /** All of it is this chunk, which was given to us: to be released when the chunk is taken. */
  readonly memory: ArrayBuffer | undefined;
}

export class ByteRing {
  #chunks: Held[] = [];
  /** Memory of chunks that are taken, whose views may still be in use. */
  readonly #spent: ArrayBuffer[] = [];
  #head = 0;
  #offset = 0;
  #byteLength = 0;
  /** The last chunk, if it is a crumb buffer of ours, and how much of it is used. */
  #crumb: Uint8Array | undefined;
  #crumbUsed = 0;
  /** Bytes that were copied to be joined or gathered; everything else went through untouched. */
  joinedBytes = 0;

  /** Bytes pushed and not yet taken. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** The socket should be paused. One more chunk is still taken, because a pause may come a chunk late. */
  get full(): boolean {
    return this.#byteLength >= ringBytesMax || this.#chunks.length - this.#head >= ringChunksMax;
  }

  /** Takes ownership of `chunk`. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#byteLength += chunk.length;
    if (chunk.length <= smallBytes && this.#byteLength > chunk.length && this.#gather(chunk)) return;
    this.#crumb = undefined;
    const { buffer } = chunk;
    const whole = chunk.length >= releasedBytesMin && buffer.byteLength === chunk.length;
    this.#chunks.push({ bytes: chunk, memory: whole && buffer instanceof ArrayBuffer ? buffer : undefined });
  }

  /** The views given so far are no longer in use. */
  release(): void {
    for (const memory of this.#spent) memory.transfer(0);
    this.#spent.length = 0;
  }

  /** Appends a small chunk to the crumb buffer at the end, or starts one. */
  #gather(chunk: Uint8Array): boolean {
    const last = this.#chunks.length - 1;
    if (this.#crumb === undefined || this.#crumbUsed + chunk.length > crumbBytes) {
      this.#crumb = new Uint8Array(crumbBytes);
      this.#crumb.set(chunk, 0);
      this.#crumbUsed = chunk.length;
      this.#chunks.push(gathered(this.#crumb.subarray(0, chunk.length)));
    } else {
      // Earlier views of the crumb stay valid: bytes are only ever added behind them.
      this.#crumb.set(chunk, this.#crumbUsed);
      this.#crumbUsed += chunk.length;
      const start = this.#chunks[last]?.bytes.byteOffset ?? 0;
      this.#chunks[last] = gathered(this.#crumb.subarray(start, this.#crumbUsed));
    }
    this.joinedBytes += chunk.length;
    return true;
  }

  /** The next `length` bytes as one view, not taken; undefined while fewer are here. Joins only what straddles. */
  tryView(length: number): Uint8Array | undefined {
    if (this.#byteLength < length) return undefined;
    if (length === 0) return new Uint8Array(0);
    const first = this.#first();
    if (first.length - this.#offset < length) this.#join(length);
    return this.#first().subarray(this.#offset, this.#offset + length);
  }

  /** The byte `index` positions ahead, not taken. It must be here. */
  byteAt(index: number): number {
    assert(index < this.#byteLength, "byteAt beyond the ring");
    let position = this.#offset + index;
    for (let at = this.#head; ; at++) {
      const chunk = this.#chunks[at]?.bytes;
      assert(chunk !== undefined, "ring chunks and byteLength agree");
      if (position < chunk.length) return chunk[position] ?? 0;
      position -= chunk.length;
    }
  }

  /** Takes between 1 and `max` bytes as a view of one chunk. There must be some. */
  take(max: number): Uint8Array {
    assert(max > 0 && this.#byteLength > 0, "take from an empty ring");
    const first = this.#first();
    const count = Math.min(max, first.length - this.#offset);
    const view = first.subarray(this.#offset, this.#offset + count);
    this.skip(count);
    return view;
  }

  /** Releases `length` bytes from the front; they must be here. */
  skip(length: number): void {
    assert(length <= this.#byteLength, "skip beyond the ring");
    this.#byteLength -= length;
    this.#offset += length;
    while (this.#head < this.#chunks.length && this.#offset >= this.#first().length) {
      this.#offset -= this.#first().length;
      this.#drop();
    }
    if (this.#head === this.#chunks.length) {
      this.#chunks.length = 0;
      this.#head = 0;
      this.#offset = 0;
      this.#crumb = undefined;
    } else if (this.#head >= 64 && this.#head * 2 >= this.#chunks.length) {
      this.#chunks.splice(0, this.#head);
      this.#head = 0;
    }
  }

  /** The first chunk is taken to its end. */
  #drop(): void {
    const memory = this.#chunks[this.#head]?.memory;
    if (memory !== undefined) this.#spent.push(memory);
    this.#chunks[this.#head] = empty;
    this.#head++;
  }

  #first(): Uint8Array {
    const first = this.#chunks[this.#head]?.bytes;
    assert(first !== undefined, "the ring has a first chunk");
    return first;
  }

  /** Copies the next `length` bytes into one chunk at the front and keeps the rest as it is. */
  #join(length: number): void {
    const joined = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const first = this.#first();
      const count = Math.min(length - filled, first.length - this.#offset);
      joined.set(first.subarray(this.#offset, this.#offset + count), filled);
      filled += count;
      this.#offset += count;
      if (this.#offset === first.length) {
        this.#drop();
        this.#offset = 0;
      }
    }
    if (this.#offset > 0) {
      const memory = this.#chunks[this.#head]?.memory;
      this.#chunks[this.#head] = { bytes: this.#first().subarray(this.#offset), memory };
    }
    if (this.#head === this.#chunks.length) this.#crumb = undefined;
    this.#offset = 0;
    if (this.#head > 0) this.#chunks[--this.#head] = gathered(joined);
    else this.#chunks.unshift(gathered(joined));
    this.joinedBytes += length;
  }
}

function gathered(bytes: Uint8Array): Held {
  return { bytes, memory: undefined };
}

const empty: Held = gathered(new Uint8Array(0));
