/** Gives the rest of the program its turn while much is written to a disk that may be slow: peers wait for answers. */
import type { Clock } from "../../ports.ts";

const sliceMs = 50;

export class Turns {
  readonly #clock: Pick<Clock, "nowMs">;
  #sinceMs: number;

  constructor(clock: Pick<Clock, "nowMs">) {
    this.#clock = clock;
    this.#sinceMs = clock.nowMs();
  }

  get due(): boolean {
    return this.#clock.nowMs() - this.#sinceMs >= sliceMs;
  }

  async pass(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#sinceMs = this.#clock.nowMs();
  }
}
