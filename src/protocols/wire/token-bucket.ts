/** `--max-rate`: bytes may leave as fast as they are allowed on average, a short burst included. */
import { rateBurstMs } from "../../limits.ts";

export class TokenBucket {
  readonly #bytesPerMs: number;
  #balance: number;
  #atMs: number;

  /** `bytesPerMs` above 0. */
  constructor(bytesPerMs: number, nowMs: number) {
    this.#bytesPerMs = bytesPerMs;
    this.#balance = bytesPerMs * rateBurstMs;
    this.#atMs = nowMs;
  }

  /** When something may be sent: now (`nowMs`), or a time to come. What is sent then may be larger than the balance. */
  openAtMs(nowMs: number): number {
    this.#refill(nowMs);
    return this.#balance > 0 ? nowMs : nowMs + (1 - this.#balance) / this.#bytesPerMs;
  }

  spend(bytes: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#balance -= bytes;
  }

  #refill(nowMs: number): void {
    const burst = this.#bytesPerMs * rateBurstMs;
    this.#balance = Math.min(burst, this.#balance + (nowMs - this.#atMs) * this.#bytesPerMs);
    this.#atMs = nowMs;
  }
}
