/** Frames of a stream that will not arrive, until they are listed: counted where one is like the one before it. */
import type { ListedGap } from "../../ports.ts";

/** Gaps of different kinds that are told apart. */
const kindsMax = 1000;
/** Gaps are listed in runs of at most this many, because each is remembered until it is recorded. */
const runMax = 4096;

export class GapRuns {
  readonly #runs: { failure: ListedGap["failure"]; detail: string; count: number }[] = [];

  /** How many frames. */
  get size(): number {
    return this.#runs.reduce((sum, { count }) => sum + count, 0);
  }

  add(failure: ListedGap["failure"], detail: string, count = 1): void {
    const last = this.#runs.at(-1);
    const same = last?.failure === failure && last.detail === detail;
    if (last !== undefined && (same || this.#runs.length >= kindsMax)) last.count += count;
    else this.#runs.push({ failure, detail, count });
  }

  take(): ListedGap | undefined {
    const [run] = this.#runs;
    if (run === undefined) return undefined;
    const count = Math.min(run.count, runMax);
    run.count -= count;
    if (run.count === 0) this.#runs.shift();
    return { name: "", failure: run.failure, detail: run.detail, count };
  }
}
