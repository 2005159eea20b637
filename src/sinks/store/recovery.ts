/** What failed at a destination, and when it is to be tried again: at first soon, then after pauses that grow. */
import type { SinkError } from "../../errors.ts";
import type { Clock } from "../../ports.ts";
import { sinkError } from "./storage-error.ts";

/** The first pause; a caller that looks once a second never meets it. */
const retryMs = 500;
/** A destination that fails again and again as soon as it is used looks well when it is not used. */
const retryMsMax = 30_000;

export class Recovery {
  readonly #place: string;
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #hintsFor: (error: unknown) => readonly string[];
  #failure: SinkError | undefined;
  #retryAtMs = Number.NEGATIVE_INFINITY;
  /** How often it has failed in use since something was stored. */
  #failures = 0;

  constructor(place: string, clock: Pick<Clock, "nowMs">, hintsFor: (error: unknown) => readonly string[]) {
    this.#place = place;
    this.#clock = clock;
    this.#hintsFor = hintsFor;
  }

  /** Why nothing can be stored. Undefined: all is well as far as is known. */
  get failure(): SinkError | undefined {
    return this.#failure;
  }

  /** Waiting cannot cure it. */
  get final(): boolean {
    return this.#failure?.retryable === false;
  }

  /** It may be tried again now. */
  get due(): boolean {
    return !this.final && this.#clock.nowMs() >= this.#retryAtMs;
  }

  /** It failed while it was looked at. `soon`: what was found may be different now. Returns it in our own words. */
  lookFailed(doing: string, error: unknown, soon = false): SinkError {
    this.#failure = sinkError(this.#place, doing, error, this.#hintsFor(error));
    this.#retryAtMs = soon ? Number.NEGATIVE_INFINITY : this.#clock.nowMs() + retryMs;
    return this.#failure;
  }

  /** It failed while it was used. */
  useFailed(doing: string, error: unknown): SinkError {
    const failure = this.lookFailed(doing, error);
    this.#retryAtMs += Math.min(retryMs * 2 ** this.#failures, retryMsMax) - retryMs;
    this.#failures += 1;
    return failure;
  }

  /** It can be used again, as far as looking at it tells. */
  recovered(): void {
    this.#failure = undefined;
  }

  /** Something was stored: the next failure is the first one again. */
  stored(): void {
    this.#failures = 0;
  }
}
