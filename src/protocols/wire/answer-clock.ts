/**
 * How long the receiver has owed us an answer: to an offer, a frame, a gap, an END or BYE. Pings prove that it lives,
 * not that it gets on. What counts is an answer, or that we could write more, or a PONG from behind what we wrote: on a
 * slow link that is how we know that it still arrives.
 */
import { ProtocolCode, ProtocolError } from "../../errors.ts";
import { answerMs, answerSaidMs } from "../../limits.ts";

/** Pings without a PONG that are remembered: more than a receiver that answers can be behind. */
const pingsMax = 1000;

export class AnswerClock {
  #movedAtMs = 0;
  #told = false;
  /** Something was written since the last ping. */
  #wrote = false;
  /** Of each ping without a PONG, oldest first: whether something was written before it. */
  readonly #pings: boolean[] = [];

  /** A new connection: nothing is written, and nothing owed. */
  connected(nowMs: number): void {
    this.moved(nowMs);
    this.#wrote = false;
    this.#pings.length = 0;
  }

  /** Nothing is owed, an answer has come, or the receiver has said that it holds us. */
  moved(nowMs: number): void {
    this.#movedAtMs = nowMs;
    this.#told = false;
  }

  /** More than a ping was written. */
  wrote(nowMs: number): void {
    this.moved(nowMs);
    this.#wrote = true;
  }

  pinged(): void {
    this.#pings.push(this.#wrote);
    this.#wrote = false;
    if (this.#pings.length > pingsMax) this.#pings.shift();
  }

  ponged(nowMs: number): void {
    if (this.#pings.shift() === true) this.moved(nowMs);
  }

  /** True, once, when it is time to say so. Throws ProtocolError (timeout). */
  check(nowMs: number): boolean {
    const waitedMs = nowMs - this.#movedAtMs;
    if (waitedMs >= answerMs) {
      throw new ProtocolError(ProtocolCode.timeout, `no answer to what was sent for ${answerMs / 1000} s`);
    }
    if (waitedMs < answerSaidMs || this.#told) return false;
    this.#told = true;
    return true;
  }
}
