/**
 * A small seeded random generator (mulberry32): the same seed gives the same run on every machine. For tests and
 * simulation only.
 */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed ^ 0x9e3779b9) >>> 0;
  }

  /** 0 (inclusive) to 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  }

  /** 0 … n-1; 0 for n = 0. */
  int(n: number): number {
    return Math.floor(this.next() * n);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<Item>(list: readonly Item[]): Item {
    return list[this.int(list.length)] as Item;
  }

  bytes(count: number): Uint8Array {
    const view = new Uint8Array(count);
    for (let at = 0; at < count; at++) view[at] = this.int(256);
    return view;
  }
}
