/**
 * Whether the age of frames can be told by this machine's clock: KEEPING.md has the rule. A clock that was set wrongly
 * would remove everything at once. Times are milliseconds; `wallMs` by the clock that may be wrong, `nowMs` by one that
 * is never set.
 */
const dayMs = 86_400_000;
/** No receiver has stored anything before. */
export const leastTimeMs: number = Date.UTC(2020);
/** Devices whose clocks are remembered. */
const devicesMax = 64;

export class ClockBelief {
  /** The two clocks' difference when they were believed last, or undefined. */
  #believed: number | undefined;
  /** Their difference, and since when it has been so, to a day. */
  #steady: number;
  #steadySinceMs: number;
  #storedAtMs = Number.NEGATIVE_INFINITY;
  /** By device: its clock minus our monotonic one. */
  readonly #others = new Map<string, number>();

  /** `newestMs`: when the newest frame arrived; undefined: there is none. */
  constructor(wallMs: number, nowMs: number, newestMs: number | undefined) {
    this.#steady = wallMs - nowMs;
    this.#steadySinceMs = nowMs;
    const agrees = newestMs === undefined || Math.abs(wallMs - newestMs) <= dayMs;
    if (agrees && wallMs >= leastTimeMs) this.#believed = this.#steady;
  }

  /** A frame was stored. `offsetMs`: its device's clock minus ours; undefined: not known. */
  stored(device: string, offsetMs: number | undefined, wallMs: number, nowMs: number): void {
    this.#look(wallMs, nowMs);
    this.#storedAtMs = nowMs;
    if (offsetMs === undefined || (this.#others.size >= devicesMax && !this.#others.has(device))) return;
    this.#others.set(device, wallMs + offsetMs - nowMs);
  }

  believes(wallMs: number, nowMs: number): boolean {
    this.#look(wallMs, nowMs);
    const difference = wallMs - nowMs;
    if (wallMs < leastTimeMs) return false;
    if (this.#believed !== undefined && Math.abs(difference - this.#believed) <= dayMs) return true;
    const agreeing = [...this.#others.values()].filter((other) => Math.abs(difference - other) <= dayMs).length;
    const isSteady = nowMs - this.#steadySinceMs >= dayMs && this.#storedAtMs >= this.#steadySinceMs;
    if (agreeing < 2 && !isSteady) return false;
    this.#believed = difference;
    return true;
  }

  #look(wallMs: number, nowMs: number): void {
    if (Math.abs(wallMs - nowMs - this.#steady) <= dayMs) return;
    this.#steady = wallMs - nowMs;
    this.#steadySinceMs = nowMs;
  }
}

/** When a frame arrived, as its row says, in order of storing. */
export interface Arrival {
  readonly id: number;
  readonly receivedMs: number;
}

export function isCredible({ receivedMs }: Arrival, wallMs: number): boolean {
  return receivedMs >= leastTimeMs && receivedMs <= wallMs;
}

/**
 * How many of these, which are in order of storing, arrived before `limitMs`: all up to the last one that says so of
 * itself and can be believed.
 */
export function countBefore(arrivals: readonly Arrival[], limitMs: number, wallMs: number): number {
  return arrivals.findLastIndex((each) => isCredible(each, wallMs) && each.receivedMs < limitMs) + 1;
}
