/** How much came in the last so many moments: counts in a few slots of time, each written over when it is due again. */

export interface Rates {
  readonly framesPerSecond: number;
  readonly bytesPerSecond: number;
}

export class RateWindow {
  readonly #slotMs: number;
  readonly #frames: Float64Array;
  readonly #bytes: Float64Array;
  readonly #startedMs: number;
  /** The slot that is written now, counted from the start of the clock. */
  #slot = Number.NEGATIVE_INFINITY;

  constructor(slots: number, slotMs: number, nowMs: number) {
    this.#slotMs = slotMs;
    this.#frames = new Float64Array(slots);
    this.#bytes = new Float64Array(slots);
    this.#startedMs = nowMs;
  }

  add(nowMs: number, bytes: number): void {
    const index = this.#slotAt(nowMs);
    this.#frames[index] = (this.#frames[index] ?? 0) + 1;
    this.#bytes[index] = (this.#bytes[index] ?? 0) + bytes;
  }

  at(nowMs: number): Rates {
    this.#slotAt(nowMs);
    const slots = this.#frames.length;
    // The present slot has only begun, and the first ones may lie before the start.
    const coveredMs = (slots - 1) * this.#slotMs + (nowMs % this.#slotMs);
    const seconds = Math.max(Math.min(coveredMs, nowMs - this.#startedMs), this.#slotMs) / 1000;
    return { framesPerSecond: sum(this.#frames) / seconds, bytesPerSecond: sum(this.#bytes) / seconds };
  }

  /** The index of the present slot, with those that have passed unused since the last call emptied. */
  #slotAt(nowMs: number): number {
    const slots = this.#frames.length;
    const slot = Math.floor(nowMs / this.#slotMs);
    for (let passed = Math.max(this.#slot + 1, slot - slots + 1); passed <= slot; passed += 1) {
      this.#frames[passed % slots] = 0;
      this.#bytes[passed % slots] = 0;
    }
    this.#slot = Math.max(this.#slot, slot);
    return slot % slots;
  }
}

function sum(values: Float64Array): number {
  let all = 0;
  for (const value of values) all += value;
  return all;
}
