/**
 * When to ping and when to give a peer up (PROTOCOL.md section 6). The same for both roles. Times are monotonic
 * milliseconds given by the caller.
 */
import { ProtocolCode, ProtocolError } from "../../errors.ts";

export class Liveness {
  readonly #idleMs: number;
  readonly #pingMs: number;
  #sentAtMs: number;
  #receivedAtMs: number;
  /** When the head that is incomplete was begun; undefined: none is. */
  #headSinceMs: number | undefined;

  constructor(options: { readonly idleMs: number; readonly pingMs: number; readonly nowMs: number }) {
    this.#idleMs = options.idleMs;
    this.#pingMs = options.pingMs;
    this.#sentAtMs = options.nowMs;
    this.#receivedAtMs = options.nowMs;
  }

  sent(nowMs: number): void {
    this.#sentAtMs = nowMs;
  }

  received(nowMs: number): void {
    this.#receivedAtMs = nowMs;
  }

  /** Whether a message's head is incomplete, after all that is here has been parsed. */
  inHead(incomplete: boolean, nowMs: number): void {
    if (!incomplete) this.#headSinceMs = undefined;
    else this.#headSinceMs ??= nowMs;
  }

  /** Silence up to now is not the peer's fault: we were not reading. */
  excuse(nowMs: number): void {
    this.#receivedAtMs = nowMs;
    if (this.#headSinceMs !== undefined) this.#headSinceMs = nowMs;
  }

  get tickAtMs(): number {
    const idleAt = Math.min(this.#receivedAtMs, this.#headSinceMs ?? this.#receivedAtMs) + this.#idleMs;
    return Math.min(this.#sentAtMs + this.#pingMs, idleAt);
  }

  pingDue(nowMs: number): boolean {
    return nowMs - this.#sentAtMs >= this.#pingMs;
  }

  /** Throws ProtocolError (timeout) if the peer has been silent, or has been dribbling one head, for the idle limit. */
  check(nowMs: number): void {
    if (nowMs - this.#receivedAtMs >= this.#idleMs) {
      throw new ProtocolError(ProtocolCode.timeout, `nothing received for ${this.#idleMs / 1000} s`);
    }
    if (this.#headSinceMs !== undefined && nowMs - this.#headSinceMs >= this.#idleMs) {
      throw new ProtocolError(ProtocolCode.timeout, `a message incomplete for ${this.#idleMs / 1000} s`);
    }
  }
}
