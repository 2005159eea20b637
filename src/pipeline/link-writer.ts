/** The way of bytes to the peer: the link is given what waits, as far and as soon as it takes it. */
import type { Outbox } from "../bytes/outbox.ts";
import type { Clock, Link } from "../ports.ts";

export class LinkWriter {
  readonly #clock: Pick<Clock, "nowMs">;
  #link: Link | undefined;
  /** The link took less than it was given, and `drain` has not come. */
  #full = false;
  /** Since when the link has taken nothing of what waits; undefined: nothing waits for it. */
  #stuckSinceMs: number | undefined;

  constructor(clock: Pick<Clock, "nowMs">) {
    this.#clock = clock;
  }

  /** The present link. */
  get link(): Link | undefined {
    return this.#link;
  }

  /** Undefined: it is gone. */
  set link(link: Link | undefined) {
    this.#link = link;
    this.#full = false;
    this.#stuckSinceMs = undefined;
  }

  get stuckSinceMs(): number | undefined {
    return this.#stuckSinceMs;
  }

  /** The link can take more. */
  drain(): void {
    this.#full = false;
  }

  /** Writes what waits. False: the link is full, and `drain` will come; or there is none. */
  flush(outbox: Outbox): boolean {
    if (outbox.byteLength === 0) return true;
    if (this.#full || this.#link === undefined) return false;
    const waiting = outbox.view();
    const taken = this.#link.write(waiting);
    outbox.release(taken);
    this.#full = taken < waiting.length;
    if (taken > 0) this.#stuckSinceMs = undefined;
    if (this.#full) this.#stuckSinceMs ??= this.#clock.nowMs();
    return !this.#full;
  }
}
