/**
 * Whose fault a failure of a store is, and which sources wait for one of theirs. The rule is told in DESTINATIONS.md:
 * what fails again while the store works is a fault of a path; if the path works too, it is one of the frame.
 */
import { SinkError } from "../../errors.ts";
import type { Frame, Origin } from "../../frame.ts";
import { frameAttemptsMax, heldSourcesMax, KiB } from "../../limits.ts";
import { errorCode, isExhaustion, isFull, isOfDatabase, isTooLarge } from "../../system/errno.ts";
import { sinkError } from "./storage-error.ts";
import type { Draft, Store } from "./store.ts";

/** Written to another draft, to see whether anything can be. */
const probeBytes: number = 4 * KiB;

/** The frame of a source whose bytes could not be written last, and how often. */
interface Broken {
  readonly session: string;
  readonly sequence: number;
  times: number;
}

export class Faults<D extends Draft> {
  readonly #store: Store<D>;
  /** Why nothing of a source can be stored, by device and source. */
  readonly #held = new Map<string, SinkError>();
  readonly #broken = new Map<string, Broken>();

  constructor(store: Store<D>) {
    this.#store = store;
  }

  /** Whether this failure could be one of a path, so that it is worth trying again. */
  mayBeOfPath(error: unknown): boolean {
    if (this.#store.probe === undefined) return false;
    if (error instanceof SinkError) return error.scope !== "destination";
    return !isFull(error) && !isExhaustion(error) && !isOfDatabase(error);
  }

  /** A source waits for a fault of its own. */
  get holds(): boolean {
    return this.#held.size > 0;
  }

  /** Why nothing of this source can be stored. Costs nothing while all is well. */
  heldFor(origin: Origin): SinkError | undefined {
    return this.holds ? this.#held.get(keyOf(origin)) : undefined;
  }

  /** A frame has failed again while the store works: why, and whose fault that is. */
  ofFrame(frame: Frame, doing: string, error: unknown): SinkError {
    if (error instanceof SinkError) return error;
    try {
      this.#store.probe?.(frame);
    } catch (pathError) {
      return this.#ofPath(frame, doing, pathError);
    }
    // Its folder is there, so it is the name that cannot be: some file systems say so in this way.
    const isName = errorCode(error) === "ENOENT";
    const why = isName ? new Error("its file system does not take the name (ENOENT)", { cause: error }) : error;
    return this.#sinkError(frame, "store it", why, { scope: "frame", retryable: false });
  }

  #ofPath(frame: Frame, doing: string, error: unknown): SinkError {
    // The probe says of itself what is the destination's: so a folder that is full, or over its quota, is full alone.
    if (error instanceof SinkError || isExhaustion(error) || isOfDatabase(error))
      return sinkError(this.#store.place, doing, error);
    const fault = this.#sinkError(frame, doing, error, { scope: "source", retryable: true });
    if (this.#held.size < heldSourcesMax) this.#held.set(keyOf(frame.origin), fault);
    return fault;
  }

  /** The path of a frame may work by now: `undefined` if it does, and then its source is not held any more. */
  retry(frame: Frame): SinkError | undefined {
    const key = keyOf(frame.origin);
    try {
      this.#store.probe?.(frame);
      this.#held.delete(key);
      return undefined;
    } catch (error) {
      const fault = this.#sinkError(frame, "store frames", error, { scope: "source", retryable: true });
      if (this.#held.has(key)) this.#held.set(key, fault);
      return fault;
    }
  }

  /**
   * Bytes of a frame could not be written, and its draft is of no use any more. If another can be begun and written to,
   * the frame is sent again a few times, and then refused. Undefined: it is no fault of the frame.
   */
  ofWrite(frame: Frame, error: unknown): SinkError | undefined {
    if (!this.mayBeOfPath(error)) return undefined;
    if (isTooLarge(error)) return this.#sinkError(frame, "store it", error, { scope: "frame", retryable: false });
    try {
      const draft = this.#store.begin(frame);
      if (typeof draft === "string") return undefined;
      try {
        draft.write(new Uint8Array(Math.min(frame.bytes, probeBytes)));
      } finally {
        draft.discard();
      }
    } catch {
      return undefined;
    }
    const retryable = this.#brokeOff(frame) < frameAttemptsMax;
    return this.#sinkError(frame, "store it", error, { scope: "frame", retryable });
  }

  #brokeOff({ origin, sequence }: Frame): number {
    const key = keyOf(origin);
    const { session } = origin;
    let broken = this.#broken.get(key);
    if (broken?.session !== session || broken.sequence !== sequence) broken = { session, sequence, times: 0 };
    broken.times += 1;
    this.#broken.delete(key);
    this.#broken.set(key, broken);
    const [oldest] = this.#broken.keys();
    if (this.#broken.size > heldSourcesMax && oldest !== undefined) this.#broken.delete(oldest);
    return broken.times;
  }

  #sinkError(frame: Frame, doing: string, error: unknown, whose: Pick<SinkError, "scope" | "retryable">): SinkError {
    const place = this.#store.placeOf?.(frame) ?? this.#store.place;
    const { message, hints } = sinkError(place, doing, error);
    return new SinkError(message, { ...whose, hints, cause: error });
  }
}

function keyOf({ device, source }: Origin): string {
  return `${device}\0${source}`;
}
