/**
 * `bun run simulate [--seeds N] [--from SEED]`: N runs of the whole product under a virtual clock, network and disk.
 * `bun run simulate --seed SEED`: one of them again, telling what happens.
 */
import { parseArgs } from "node:util";
import { simulate } from "../test/simulation/simulation.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
  },
});

if (values.seed !== undefined) {
  console.log(simulate({ seed: Number(values.seed), log: (line) => console.log(line) }));
} else {
  const from = Number(values.from);
  const sums = {
    frames: 0,
    connections: 0,
    receiverCrashes: 0,
    senderCrashes: 0,
    powerLosses: 0,
    fullDisks: 0,
    deniedFolders: 0,
    tooLarge: 0,
    damagedPieces: 0,
    withdrawals: 0,
    intrusions: 0,
    expired: 0,
    lostAnswers: 0,
  };
  let failures = 0;
  const startMs = performance.now();
  for (let seed = from; seed < from + Number(values.seeds); seed++) {
    try {
      const report = simulate({ seed });
      for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += report[key];
    } catch (error) {
      failures++;
      console.log(error instanceof Error ? error.message : error);
    }
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(`${values.seeds} runs in ${seconds} s: ${JSON.stringify(sums)}`);
  console.log(failures === 0 ? "no failure" : `${failures} failures; replay one with: bun run simulate --seed SEED`);
  process.exitCode = failures === 0 ? 0 : 1;
}
