/**
 * There is room at the destination, but not for the frame that one connection has: it waits, and nobody else. Else one
 * sender that announces a frame of a terabyte would hold all the others.
 */
import type { SinkError } from "../errors.ts";
import { holdProbeMs } from "../limits.ts";
import type { Clock } from "../ports.ts";

export interface LoneHoldOptions {
  readonly clock: Pick<Clock, "after">;
  /** There is room now. */
  readonly hasRoom: () => boolean;
  readonly released: () => void;
}

export class LoneHold {
  readonly #options: LoneHoldOptions;
  #stopClock: (() => void) | undefined;
  /** Why it waits; undefined: it does not. */
  reason: SinkError | undefined;

  constructor(options: LoneHoldOptions) {
    this.#options = options;
  }

  begin(reason: SinkError): void {
    this.reason = reason;
    this.#probeLater();
  }

  /** The connection is over. */
  end(): void {
    this.reason = undefined;
    this.#stopClock?.();
  }

  #probeLater(): void {
    const { clock, hasRoom, released } = this.#options;
    this.#stopClock = clock.after(holdProbeMs, () => {
      if (!hasRoom()) return this.#probeLater();
      this.reason = undefined;
      released();
    });
  }
}
