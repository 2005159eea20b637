/**
 * How much may be in flight in the network, so that a new frame does not wait behind seconds of others that the kernels
 * on the way have taken already. It follows from measured progress: PROGRESS and ACK say how many payload bytes have
 * arrived. The estimate is that of the congestion control BBR: a startup gain, the highest rate, the least round trip.
 *
 *     limit = rate x (round trip x gain + slack)
 *
 * The rate is the highest of the last seconds, taken over whole round trips, from times when the limit was in use. The
 * round trip is the shortest seen; a link that is always full hides it, so it is looked for again from time to time
 * by letting the link run dry. A gain above one lets the estimate grow with the link, a quarter per round trip.
 */
import { assert } from "../../errors.ts";
import { chunkBytes, flightBytesMin, flightSlackMs, pieceBytesMin, pieceMs, progressLateMs } from "../../limits.ts";

/** While the rate still grows by a quarter per round trip, the limit is twice what the estimate says. */
const startGain = 2;
const steadyGain = 1.25;
/** So many round trips without growth end the start. */
const steadyRounds = 3;
/** A rate is remembered for one to two of these. */
const rateMemoryMs = 2_000;
/** The shortest round trip is believed for this long. */
const roundTripMemoryMs = 10_000;

/** Noted when bytes were handed over: what had arrived then. */
interface Mark {
  readonly handedBytes: number;
  readonly atMs: number;
  readonly arrivedBytes: number;
  readonly arrivedAtMs: number;
  /** Nothing else was under way, so its round trip is that of the link and not of a queue. */
  readonly alone: boolean;
  /** The limit was what held us back, so the rate that follows is the link's and not the camera's. */
  readonly limited: boolean;
}

export class Flight {
  #handedBytes = 0;
  #arrivedBytes = 0;
  #arrivedAtMs = 0;
  /** Oldest first, from `#first`. */
  #marks: Mark[] = [];
  #first = 0;
  #limited = false;

  /** Bytes per millisecond, the highest of this period and of the one before. */
  #rate = 0;
  #rateBefore = 0;
  #rateSinceMs = 0;
  #roundTripMs = Number.POSITIVE_INFINITY;
  #roundTripAtMs = 0;
  /** Letting the link run dry to see the round trip itself. */
  #probing = false;

  #gain = startGain;
  #roundRate = 0;
  #roundsWithoutGrowth = 0;
  #roundEndsAtBytes = 0;

  /** Payload bytes handed over and not yet reported as arrived. */
  get bytes(): number {
    return this.#handedBytes - this.#arrivedBytes;
  }

  /** Bytes per millisecond; 0 before the first report. */
  get rate(): number {
    return Math.max(this.#rate, this.#rateBefore);
  }

  get limitBytes(): number {
    if (this.#probing) return 1;
    if (this.rate === 0) return flightBytesMin;
    return Math.max(flightBytesMin, this.rate * (this.#roundTripMs * this.#gain + flightSlackMs));
  }

  /** Whether one more piece may be handed over. */
  get open(): boolean {
    if (this.bytes < this.limitBytes) return true;
    this.#limited = true;
    return false;
  }

  /** Bytes are in flight, and no report has come for so long that we do not wait for the next one. */
  late(nowMs: number): boolean {
    return this.bytes > 0 && nowMs - this.#arrivedAtMs >= progressLateMs;
  }

  /** Nothing was ever reported. */
  get silent(): boolean {
    return this.#arrivedBytes === 0;
  }

  /** The size of a piece: what the link takes in a few milliseconds, so that others wait no longer for it. */
  get pieceBytes(): number {
    return Math.min(chunkBytes, Math.max(pieceBytesMin, Math.round(this.rate * pieceMs)));
  }

  handed(bytes: number, nowMs: number): void {
    // After a pause the time that counts begins now.
    const alone = this.bytes === 0;
    if (alone) this.#arrivedAtMs = nowMs;
    this.#handedBytes += bytes;
    this.#marks.push({
      handedBytes: this.#handedBytes,
      atMs: nowMs,
      arrivedBytes: this.#arrivedBytes,
      arrivedAtMs: this.#arrivedAtMs,
      alone,
      limited: this.#limited,
    });
    this.#limited = false;
  }

  /** The receiver reports `totalBytes` on this connection. False: it claims more than it was sent. */
  arrived(totalBytes: number, nowMs: number): boolean {
    if (totalBytes > this.#handedBytes) return false;
    if (totalBytes <= this.#arrivedBytes) return true;
    this.#arrivedBytes = totalBytes;
    this.#arrivedAtMs = nowMs;
    const mark = this.#passed(totalBytes);
    if (mark === undefined) return true;
    this.#noteRoundTrip(nowMs - mark.atMs, mark.alone, nowMs);
    // Clocks that count whole milliseconds must not make a rate without end.
    const rate = (totalBytes - mark.arrivedBytes) / Math.max(0.1, nowMs - mark.arrivedAtMs);
    this.#noteRate(rate, mark.limited, nowMs);
    if (mark.arrivedBytes >= this.#roundEndsAtBytes) this.#round();
    return true;
  }

  /** The last mark that `totalBytes` is behind. */
  #passed(totalBytes: number): Mark | undefined {
    let passed: Mark | undefined;
    for (let mark = this.#marks[this.#first]; mark !== undefined; mark = this.#marks[this.#first]) {
      if (mark.handedBytes > totalBytes) break;
      passed = mark;
      this.#first++;
    }
    if (this.#first * 2 >= this.#marks.length) {
      this.#marks.splice(0, this.#first);
      this.#first = 0;
    }
    return passed;
  }

  #noteRoundTrip(ms: number, alone: boolean, nowMs: number): void {
    assert(ms >= 0, "time does not go back");
    if (alone || ms <= this.#roundTripMs) {
      this.#probing = false;
      this.#roundTripMs = ms;
      this.#roundTripAtMs = nowMs;
    } else if (nowMs - this.#roundTripAtMs > roundTripMemoryMs) {
      this.#probing = true;
    }
  }

  #noteRate(rate: number, limited: boolean, nowMs: number): void {
    // Little arrives when little is sent, which says nothing of the link.
    if (!limited && rate < this.rate) return;
    if (nowMs - this.#rateSinceMs > rateMemoryMs) {
      this.#rateBefore = this.#rate;
      this.#rate = 0;
      this.#rateSinceMs = nowMs;
    }
    this.#rate = Math.max(this.#rate, rate);
  }

  /** A round trip is over: what was under way when it began has arrived. */
  #round(): void {
    this.#roundEndsAtBytes = this.#handedBytes;
    if (this.#gain === steadyGain) return;
    if (this.rate >= this.#roundRate * 1.25) {
      this.#roundRate = this.rate;
      this.#roundsWithoutGrowth = 0;
    } else if (++this.#roundsWithoutGrowth >= steadyRounds) {
      this.#gain = steadyGain;
    }
  }
}
