/**
 * Sources that wait because of a fault of their own, while others are stored: a folder on another mount, or of somebody
 * else. The path of the frame that failed is tried again after pauses that grow; nothing is sent for that. A hold that
 * was lifted is over when a frame of its source is stored: until then the pauses go on growing and nothing is said.
 */
import type { SinkError } from "../errors.ts";
import type { Frame, Origin } from "../frame.ts";
import { heldSourcesMax, holdProbeMs, holdProbeMsMax } from "../limits.ts";
import type { Clock, Sink } from "../ports.ts";

interface SourceHold {
  readonly frame: Frame;
  /** Undefined: it is lifted, and nothing has been stored since. */
  reason: SinkError | undefined;
  /** How often it was tried again. */
  tries: number;
}

export interface SourceHoldsOptions {
  readonly sink: Pick<Sink, "retry">;
  readonly clock: Pick<Clock, "after">;
  /** Of this source; said once, however often it begins again before a frame of it is stored. */
  readonly onHeld: (origin: Origin, reason: SinkError) => void;
  readonly onStored: (origin: Origin) => void;
  /** Frames of this source may be taken again. */
  readonly onLifted: (key: string) => void;
}

export class SourceHolds {
  readonly #options: SourceHoldsOptions;
  readonly #holds = new Map<string, SourceHold>();
  #ended = false;

  constructor(options: SourceHoldsOptions) {
    this.#options = options;
  }

  /** Of all that waits or has waited: nothing need be asked while this is false. */
  get any(): boolean {
    return this.#holds.size > 0;
  }

  /** Why frames of this source cannot be taken. */
  reasonFor(origin: Origin): SinkError | undefined {
    return this.any ? this.#holds.get(sourceKey(origin))?.reason : undefined;
  }

  /** This frame failed for a fault of its source. False: too many wait already, and this one does not. */
  hold(frame: Frame, reason: SinkError): boolean {
    const key = sourceKey(frame.origin);
    const known = this.#holds.get(key);
    if (known?.reason !== undefined) return true;
    if (known === undefined && !this.#makeRoom()) return false;
    this.#holds.set(key, { frame, reason, tries: known?.tries ?? 0 });
    if (known === undefined) this.#options.onHeld(frame.origin, reason);
    this.#tryLater(key);
    return true;
  }

  /** A lifted one of which nothing has come since gives way. */
  #makeRoom(): boolean {
    if (this.#holds.size < heldSourcesMax) return true;
    for (const [key, { reason }] of this.#holds) {
      if (reason === undefined) return this.#holds.delete(key);
    }
    return false;
  }

  #tryLater(key: string): void {
    const hold = this.#holds.get(key);
    if (hold === undefined) return;
    const pauseMs = Math.min(holdProbeMs * 2 ** hold.tries, holdProbeMsMax);
    hold.tries += 1;
    this.#options.clock.after(pauseMs, () => {
      if (this.#ended) return;
      const reason = this.#options.sink.retry(hold.frame);
      hold.reason = reason;
      if (reason !== undefined) return this.#tryLater(key);
      this.#options.onLifted(key);
    });
  }

  /** A frame of this source was stored. */
  stored(origin: Origin): void {
    if (this.#holds.delete(sourceKey(origin))) this.#options.onStored(origin);
  }

  /** Nothing is tried any more. */
  end(): void {
    this.#ended = true;
  }
}

/** A source of a device, in whatever session. */
export function sourceKey({ device, source }: Origin): string {
  return `${device}\0${source}`;
}
