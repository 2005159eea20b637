/** Work that comes in many small steps is done in slices, so that frames are sent and acks are read in between. */
import type { Clock } from "../../ports.ts";

const sliceMs = 5;

export interface SlicedWorkOptions {
  readonly clock: Clock;
  /** A slice begins. */
  readonly begin: (nowMs: number) => void;
  /** Does one thing; false: there is nothing to do now. */
  readonly step: () => boolean;
  /** A slice has ended. */
  readonly end: () => void;
  /** When there is something to do next. */
  readonly dueMs: () => number;
}

export class SlicedWork {
  readonly #options: SlicedWorkOptions;
  #working = false;
  #stopped = false;
  #timerAtMs = Infinity;
  #cancelTimer: () => void = () => {};

  constructor(options: SlicedWorkOptions) {
    this.#options = options;
  }

  /** A slice begins at `atMs` at the latest. */
  wakeAt(atMs: number): void {
    if (this.#working || this.#stopped || this.#timerAtMs <= atMs) return;
    const { clock } = this.#options;
    this.#cancelTimer();
    this.#timerAtMs = atMs;
    this.#cancelTimer = clock.after(Math.max(0, Math.ceil(atMs - clock.nowMs())), () => this.#work());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer();
  }

  #work(): void {
    const { clock, begin, step, end, dueMs } = this.#options;
    this.#timerAtMs = Infinity;
    this.#working = true;
    const nowMs = clock.nowMs();
    begin(nowMs);
    let more = true;
    while (more && clock.nowMs() < nowMs + sliceMs) more = step();
    this.#working = false;
    this.wakeAt(more ? nowMs : dueMs());
    end();
  }
}
