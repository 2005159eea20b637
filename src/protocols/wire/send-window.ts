/**
 * How much may be sent now. Three bounds: the frames and bytes that wait for their ack; what is under way in the
 * network, if the receiver reports progress; and `--max-rate`.
 *
 * Bytes count as they are sent, so a frame that has begun may overshoot the window, by one frame per source at most;
 * in return a frame larger than what is free never waits for the others to stop.
 */
import { assert, ProtocolCode, ProtocolError } from "../../errors.ts";
import { chunkBytes, pieceBytesMin, pieceMs, windowBytesMax, windowFramesMax } from "../../limits.ts";
import { Flight } from "./in-flight.ts";
import type { Welcome } from "./messages.ts";
import { TokenBucket } from "./token-bucket.ts";

export class SendWindow {
  /** Sent and not yet acknowledged on this connection. */
  #frames = 0;
  #bytes = 0;
  #framesMax = 0;
  #bytesMax = 0;
  #flight: Flight | undefined;
  readonly #bytesPerMs: number | undefined;
  #bucket: TokenBucket | undefined;
  /** Of the bytes encoded on all connections, what the bucket knows of. */
  #spentBytes = 0;

  /** `bytesPerMs`: the cap on the link, if there is one. */
  constructor(bytesPerMs: number | undefined) {
    this.#bytesPerMs = bytesPerMs;
  }

  get empty(): boolean {
    return this.#frames === 0;
  }

  /** A new connection: nothing is sent, and nothing may be before the welcome. */
  connected(): void {
    this.#frames = 0;
    this.#bytes = 0;
    this.#framesMax = 0;
    this.#bytesMax = 0;
    this.#flight = undefined;
  }

  /** `progress`: the receiver reports it. */
  welcomed(welcome: Welcome, progress: boolean): void {
    this.#framesMax = Math.min(welcome.windowFrames, windowFramesMax);
    this.#bytesMax = Math.min(welcome.windowBytes, windowBytesMax);
    if (progress) this.#flight = new Flight();
  }

  /** Whether another frame may be begun. */
  get mayBegin(): boolean {
    return this.#frames < this.#framesMax && this.#bytes < this.#bytesMax;
  }

  /**
   * When more may be sent: `nowMs`, a time to come, or never, unless progress is reported. `encodedBytes` is all that
   * was encoded so far, because a cap on the link is one on everything.
   */
  openAtMs(encodedBytes: number, nowMs: number): number {
    let openAtMs = nowMs;
    if (this.#bytesPerMs !== undefined) {
      // Kept over connections, or each new one would begin with a burst.
      this.#bucket ??= new TokenBucket(this.#bytesPerMs, nowMs);
      this.#bucket.spend(encodedBytes - this.#spentBytes, nowMs);
      this.#spentBytes = encodedBytes;
      openAtMs = this.#bucket.openAtMs(nowMs);
    }
    if (openAtMs !== nowMs || this.#flight === undefined || this.#flight.open) return openAtMs;
    // The window still bounds what is under way.
    return this.#flight.late(nowMs) ? openAtMs : Number.POSITIVE_INFINITY;
  }

  /** The receiver has promised to report progress, and has not even begun. */
  unreported(nowMs: number): boolean {
    return this.#flight !== undefined && this.#flight.silent && this.#flight.late(nowMs);
  }

  /** The largest piece of a frame to send at once. */
  get pieceBytes(): number {
    const bytes = this.#flight?.pieceBytes ?? chunkBytes;
    if (this.#bytesPerMs === undefined) return bytes;
    return Math.min(bytes, Math.max(pieceBytesMin, Math.round(this.#bytesPerMs * pieceMs)));
  }

  /** A frame is begun. */
  enter(): void {
    this.#frames++;
  }

  /** A piece of a frame was handed to the link. */
  handed(bytes: number, nowMs: number): void {
    this.#bytes += bytes;
    this.#flight?.handed(bytes, nowMs);
  }

  /** Throws ProtocolError: the receiver says more than it can have. */
  arrived(totalBytes: number, nowMs: number): void {
    if (this.#flight?.arrived(totalBytes, nowMs) !== false) return;
    throw new ProtocolError(ProtocolCode.malformed, `progress of ${totalBytes} bytes, more than was sent`);
  }

  /** A frame is settled, or has to be sent again; `bytes` of it were handed over. */
  leave(bytes: number): void {
    this.#frames--;
    this.#bytes -= bytes;
    assert(this.#frames >= 0 && this.#bytes >= 0, "the window holds what is sent");
  }
}
