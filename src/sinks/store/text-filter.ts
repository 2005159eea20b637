/**
 * Tells of most texts that were never added that they were not (a Bloom filter): so that a database need not be asked
 * for what is new, which is nearly all. It may also say "perhaps" of a text that was not added, the more often the more
 * there are: of 100 new ones of 2 where there is a text for 8 bits, of 56 where there is one for 2.
 */
import { assert } from "../../errors.ts";

/** Bits of a text. */
const bitsPerText = 4;

export class TextFilter {
  readonly #words: Uint32Array;
  readonly #mask: number;

  /** `bytes`: a power of two. The system gives the memory when bits are set. */
  constructor(bytes: number) {
    assert(Number.isInteger(Math.log2(bytes)) && bytes <= 2 ** 28, "positions are 31 bits, cut by a mask");
    this.#words = new Uint32Array(bytes / 4);
    this.#mask = bytes * 8 - 1;
  }

  add(text: string): void {
    let bit = Bun.hash.xxHash32(text);
    const step = stepOf(text);
    for (let count = 0; count < bitsPerText; count += 1) {
      const at = bit & this.#mask;
      this.#words[at >>> 5] = (this.#words[at >>> 5] as number) | (1 << (at & 31));
      bit = (bit + step) | 0;
    }
  }

  /** False: it was never added. */
  mayHave(text: string): boolean {
    let bit = Bun.hash.xxHash32(text);
    const step = stepOf(text);
    for (let count = 0; count < bitsPerText; count += 1) {
      const at = bit & this.#mask;
      if (((this.#words[at >>> 5] as number) & (1 << (at & 31))) === 0) return false;
      bit = (bit + step) | 0;
    }
    return true;
  }
}

/** From one bit of a text to its next. */
function stepOf(text: string): number {
  return Bun.hash.xxHash32(text, 1) | 1;
}
