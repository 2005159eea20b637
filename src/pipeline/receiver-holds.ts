/**
 * That the receiver can store nothing for now, of one source or of all, as the user is told it, and for how long it is
 * waited for.
 */
import { ExitStatus, UserError } from "../errors.ts";
import type { SenderEvent } from "../events.ts";
import type { Clock } from "../ports.ts";

/** A receiver that held all, and does not at this moment, is looked at again after this time. */
const liftedMs = 1_000;

export interface ReceiverHoldsOptions {
  /** For messages: `host:port`. */
  readonly peer: string;
  readonly clock: Pick<Clock, "after">;
  readonly ledgers: readonly { readonly source: string; readonly complete: boolean }[];
  /** How long to wait for it; undefined: for ever. */
  readonly retryForMs: number | undefined;
  readonly onEvent: (event: SenderEvent) => void;
  readonly onGaveUp: (error: UserError) => void;
}

export class ReceiverHolds {
  readonly #options: ReceiverHoldsOptions;
  /** Holds that were told, by source; undefined: of all. One that is lifted is over when a frame is stored. */
  readonly #holds = new Map<number | undefined, "held" | "lifted">();
  #stopClock: (() => void) | undefined;

  constructor(options: ReceiverHoldsOptions) {
    this.#options = options;
  }

  /** Nothing can be stored at this moment. */
  get holdsAll(): boolean {
    return this.#holds.get(undefined) === "held";
  }

  /** Said once, however often it begins again before a frame is stored. */
  held(sourceIndex: number | undefined, reason: string): void {
    const told = this.#holds.has(sourceIndex);
    this.#holds.set(sourceIndex, "held");
    if (told) return;
    const { onEvent, retryForMs } = this.#options;
    const limit = retryForMs === undefined ? {} : { retryForMs };
    onEvent({ event: "held", reason, ...limit, ...this.#named(sourceIndex) });
    this.#limitHold(reason);
  }

  /** It says that it can store again, or another connection may find that it can. */
  lifted(sourceIndex: number | undefined): void {
    if (this.#holds.has(sourceIndex)) this.#holds.set(sourceIndex, "lifted");
  }

  /** A frame of this source was stored: that the receiver stores again can be believed. */
  storedAgain(sourceIndex: number): void {
    if (this.#holds.size === 0) return;
    for (const index of [undefined, sourceIndex]) {
      if (this.#holds.get(index) !== "lifted") continue;
      this.#holds.delete(index);
      this.#options.onEvent({ event: "resumed", ...this.#named(index) });
    }
    if (this.#holds.size === 0) this.end();
  }

  /** A receiver that holds all that is left for as long as we are to try is given up like one that is not there. */
  #limitHold(reason: string, afterMs: number | undefined = this.#options.retryForMs): void {
    const { retryForMs, clock, peer, ledgers } = this.#options;
    if (retryForMs === undefined || afterMs === undefined || this.#stopClock !== undefined) return;
    this.#stopClock = clock.after(afterMs, () => {
      this.#stopClock = undefined;
      // Nothing was stored since it held all; perhaps the connection is lost just now, and it will say so on the next.
      if (this.#holds.get(undefined) === "lifted") return this.#limitHold(reason, liftedMs);
      const isHeld = (index: number | undefined): boolean => this.#holds.get(index) === "held";
      const canGoOn = ledgers.some(({ complete }, index) => !complete && !isHeld(index));
      if (canGoOn && !isHeld(undefined)) return this.#limitHold(reason);
      const message = `gave up: ${peer} could not store for ${retryForMs / 1000} s: ${reason}`;
      const hint = "see to it there, or give it longer with --retry-for; what is stored is not sent again";
      this.#options.onGaveUp(new UserError(message, [hint], ExitStatus.gaveUp));
    });
  }

  /** Nothing is waited for any more. */
  end(): void {
    this.#stopClock?.();
    this.#stopClock = undefined;
  }

  /** For events that are about one source, or about all. */
  #named(sourceIndex: number | undefined): { source?: string } {
    return sourceIndex === undefined ? {} : { source: this.#options.ledgers[sourceIndex]?.source ?? "" };
  }
}
