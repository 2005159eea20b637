/** The machine's clock: the only implementation of `Clock` outside the tests. */
import type { Clock } from "../ports.ts";

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallNs: () => BigInt(Date.now()) * 1_000_000n,
  after: (delayMs, run) => {
    if (delayMs <= 0) {
      // A timer of 0 would fire after 1 ms.
      const immediate = setImmediate(run);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};
