/**
 * There is room at the destination, but not for what one connection has: it waits, and nobody else. Else one sender
 * that announces a frame of a terabyte, or has used up its device's share, would hold all the others.
 */
import type { SinkError } from "../errors.ts";
import { holdProbeMs } from "../limits.ts";
import type { ConnectionHub } from "./connection-hub.ts";

/** The connection that waits. */
export interface LoneWaiter {
  readonly device: string;
  readonly session: string | undefined;
  /** The size of the frame that waits, 0 if none does. */
  readonly waitingBytes: number;
}

export interface LoneHoldHandlers {
  /** It waits: its peer is to know. */
  readonly begun: (reason: string) => void;
  /** There is room now. */
  readonly ended: () => void;
}

export class LoneHold {
  readonly #hub: ConnectionHub;
  readonly #waiter: LoneWaiter;
  readonly #handlers: LoneHoldHandlers;
  #stopClock: (() => void) | undefined;
  /** Why it waits; undefined: it does not. */
  reason: SinkError | undefined;

  constructor(hub: ConnectionHub, waiter: LoneWaiter, handlers: LoneHoldHandlers) {
    this.#hub = hub;
    this.#waiter = waiter;
    this.#handlers = handlers;
  }

  begin(reason: SinkError): void {
    const { device, session = "" } = this.#waiter;
    this.reason = reason;
    this.#probeLater();
    // It may be its own frames that take the room.
    this.#hub.cutFrames.clear({ device, session });
    this.#handlers.begun(reason.message);
    const hints = reason.hints.length === 0 ? {} : { hints: reason.hints };
    this.#hub.options.onEvent({ event: "held", reason: reason.message, device, ...hints });
  }

  /** Throws SinkError, and begins, when the device has as much as it may have. */
  requireQuota(bytes: number): void {
    const over = this.#overQuota(bytes);
    if (over === undefined) return;
    this.begin(over);
    throw over;
  }

  /** The connection is over. */
  end(): void {
    this.reason = undefined;
    this.#stopClock?.();
  }

  #overQuota(bytes: number): SinkError | undefined {
    const { desk, options } = this.#hub;
    const { device } = this.#waiter;
    const quota = desk?.quotaOf(device);
    return quota === undefined ? undefined : options.sink.overQuota?.(device, quota, bytes);
  }

  get #hasRoom(): boolean {
    const { waitingBytes } = this.#waiter;
    if (this.#hub.heldFor !== undefined || this.#hub.options.sink.ready(waitingBytes) !== undefined) return false;
    return this.#overQuota(waitingBytes) === undefined;
  }

  #probeLater(): void {
    const { clock, onEvent } = this.#hub.options;
    this.#stopClock = clock.after(holdProbeMs, () => {
      if (!this.#hasRoom) return this.#probeLater();
      this.reason = undefined;
      onEvent({ event: "resumed", device: this.#waiter.device });
      this.#handlers.ended();
    });
  }
}
