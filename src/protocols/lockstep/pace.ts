/**
 * How long a lockstep sender waits between `continue` and the next header, which an old receiver must not read at once
 * (lockstep/PROTOCOL.md section 6). One pace is shared by all conversations with a receiver, so what one of them
 * learned is kept by the next.
 */
import { lockstepPauseMs, lockstepPauseMsMax, lockstepReplyMs } from "../../limits.ts";

const repliesKept = 16;
/** A receiver may write the frame before it reads again: 20 MB/s is a poor memory card. */
const storeBytesPerMs = 20_000;
/** What one slow reply may add; the factor goes further if that is not enough. */
const learnedMsMax = 2_000;

export interface LockstepPaceOptions {
  /** The least pause in milliseconds. */
  readonly pauseMs?: number;
  /** How long a reply may take in milliseconds. */
  readonly replyMs?: number;
}

export class LockstepPace {
  readonly replyMs: number;
  /** An empty frame got no final reply: this receiver waits for a first byte, and empty frames are not sent to it. */
  emptyRefused = false;
  readonly #leastMs: number;
  readonly #replies: number[] = [];
  #factor = 1;

  constructor(options: LockstepPaceOptions = {}) {
    this.#leastMs = options.pauseMs ?? lockstepPauseMs;
    this.replyMs = options.replyMs ?? lockstepReplyMs;
  }

  /** The pause behind a frame of `payloadBytes`, in milliseconds. */
  pauseMs(payloadBytes: number): number {
    const learned = this.#leastMs + Math.ceil(payloadBytes / storeBytesPerMs) + Math.max(0, ...this.#replies);
    return Math.min(lockstepPauseMsMax, this.#factor * Math.min(learnedMsMax, learned));
  }

  /** A reply took this long. */
  replied(tookMs: number): void {
    this.#replies.push(tookMs);
    if (this.#replies.length > repliesKept) this.#replies.shift();
  }

  /** The header behind a `continue` got no reply: it was probably read together with it. */
  glued(): void {
    this.#factor = Math.min(this.#factor * 2, lockstepPauseMsMax);
  }
}
