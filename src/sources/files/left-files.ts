/**
 * Files that are not sent, or not as they should be: 20 an hour are named, the others counted. There may be thousands,
 * and a source that is watched goes on for years.
 */
import type { Clock } from "../../ports.ts";
import type { FrameFiles, SourceProblem } from "./frame-files.ts";

export const incompleteDetail = "incomplete: it ends before the end of its picture; sent as it is";
export const heldDetail = "open for writing for a minute; not sent until it is closed";

const namedMax = 20;
const hourMs = 3_600_000;

export class LeftFiles {
  readonly #files: FrameFiles;
  readonly #clock: Clock;
  readonly #reason: SourceProblem["reason"];
  readonly #many: string;
  #hourMs = 0;
  #named = 0;
  #unnamed = 0;

  /** `many`: what is said of all that are not named, behind their number. */
  constructor(files: FrameFiles, clock: Clock, reason: SourceProblem["reason"], many: string) {
    this.#files = files;
    this.#clock = clock;
    this.#reason = reason;
    this.#many = many;
  }

  add(name: string, detail: string): void {
    const nowMs = this.#clock.nowMs();
    if (this.#named === 0 || nowMs - this.#hourMs >= hourMs) {
      this.close();
      this.#hourMs = nowMs;
      this.#named = 0;
    }
    this.#named += 1;
    if (this.#named > namedMax) this.#unnamed += 1;
    else this.#files.report(name, this.#reason, detail);
  }

  /** Says how many were not named. */
  close(): void {
    if (this.#unnamed > 0) this.#files.report("", this.#reason, `${this.#unnamed} more ${this.#many}`);
    this.#unnamed = 0;
  }
}
