/**
 * A timer for a time that moves with every chunk. Setting and clearing a system timer each time would cost more than
 * the chunk; so the timer is left standing, looks again when it fires, and is only moved when the time comes nearer.
 */
import type { Clock } from "../ports.ts";

export class Deadline {
  readonly #clock: Clock;
  readonly #dueAtMs: () => number;
  readonly #run: () => void;
  #armedAtMs = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | undefined;

  /** `run` is called when the clock has passed `dueAtMs()`, as it is then. */
  constructor(clock: Clock, dueAtMs: () => number, run: () => void) {
    this.#clock = clock;
    this.#dueAtMs = dueAtMs;
    this.#run = run;
  }

  /** Call after anything that may have moved the time. Cheap when it moved away. */
  arm(): void {
    const dueAtMs = this.#dueAtMs();
    if (dueAtMs >= this.#armedAtMs) return;
    this.#cancel?.();
    this.#armedAtMs = dueAtMs;
    this.#cancel = this.#clock.after(Math.max(1, dueAtMs - this.#clock.nowMs()), () => this.#fire());
  }

  clear(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#armedAtMs = Number.POSITIVE_INFINITY;
  }

  #fire(): void {
    this.clear();
    if (this.#clock.nowMs() >= this.#dueAtMs()) this.#run();
    else this.arm();
  }
}
