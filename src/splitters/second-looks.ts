/**
 * How much of a stream may be looked at again after pictures that were none: so many times the stream, and a little. A
 * stream made of starts that each claim megabytes would be walked once for every start.
 */
import { MiB } from "../limits.ts";
import type { PieceQueue } from "./piece-queue.ts";

const times = 8;
const bytesFree: number = 16 * MiB;

export class SecondLooks {
  readonly #queue: PieceQueue;
  #bytes = 0;

  constructor(queue: PieceQueue) {
    this.#queue = queue;
  }

  /** Whether `count` bytes may be looked at again; then they have been. */
  spend(count: number): boolean {
    const bytes = this.#bytes + Math.max(0, count);
    if (bytes > times * this.#queue.end + bytesFree) return false;
    this.#bytes = bytes;
    return true;
  }
}
