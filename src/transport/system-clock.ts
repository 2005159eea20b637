/** The machine's clock: the only implementation of `Clock` outside the tests. */
import type { Clock } from "../ports.ts";

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallNs: () => BigInt(Date.now()) * 1_000_000n,
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};
