/**
 * Who came and was not let in. A crowd at the door must not fill the log, so of each minute some are named and the rest
 * are counted.
 */
import type { ReceiverEvent } from "../events.ts";
import type { Clock } from "../ports.ts";

const minuteMs = 60_000;
const examplesMax = 3;

export class StrangerLog {
  readonly #clock: Pick<Clock, "after">;
  readonly #onEvent: (event: ReceiverEvent) => void;
  /** In this minute; 0: none has begun. */
  #count = 0;
  #stopClock: (() => void) | undefined;

  constructor(clock: Pick<Clock, "after">, onEvent: (event: ReceiverEvent) => void) {
    this.#clock = clock;
    this.#onEvent = onEvent;
  }

  refused(peer: string, reason: string): void {
    if (this.#count === 0) this.#stopClock = this.#clock.after(minuteMs, () => this.sum());
    this.#count++;
    if (this.#count <= examplesMax) this.#onEvent({ event: "connection-refused", peer, reason });
  }

  /** The minute is over, or the receiver is. */
  sum(): void {
    this.#stopClock?.();
    const count = this.#count - examplesMax;
    this.#count = 0;
    if (count > 0) this.#onEvent({ event: "connections-refused", count });
  }
}
