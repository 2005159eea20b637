/** What happened and was not yet told to the driver, in order. */
import type { SenderStep } from "./sender-steps.ts";

export class Notices {
  #waiting: SenderStep[] = [];
  #at = 0;

  add(step: SenderStep): void {
    this.#waiting.push(step);
  }

  /** The next one, which is then told. */
  take(): SenderStep | undefined {
    const notice = this.#waiting[this.#at];
    if (notice === undefined) return undefined;
    this.#at++;
    if (this.#at === this.#waiting.length) {
      this.#waiting = [];
      this.#at = 0;
    }
    return notice;
  }
}
