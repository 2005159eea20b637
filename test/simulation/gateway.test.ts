/** Chains from seeds: `CHAIN_SEEDS=500` for more, `CHAIN_SEED=7` for one with its trace. */
import { expect, test } from "bun:test";
import { setting } from "../support/processes.ts";
import { simulateChain } from "./gateway.ts";

/** From here on a few have all of it. */
const firstSeed = 18;

test("whatever is cut and killed, an upstream comes to say what its gateway says", () => {
  const one = setting("CHAIN_SEED", 0);
  if (one > 0) return void simulateChain(one, console.log);
  const sum = { frames: 0, kills: 0, sessions: 0, duplicates: 0, gaps: 0 };
  for (let seeds = 0; seeds < setting("CHAIN_SEEDS", 14); seeds += 1) {
    const report = simulateChain(firstSeed + seeds);
    for (const [key, value] of Object.entries(report)) sum[key as keyof typeof sum] += value;
  }
  // Enough happens, so that what is found means something.
  for (const value of Object.values(sum)) expect(value).toBeGreaterThan(2);
}, 120_000);
