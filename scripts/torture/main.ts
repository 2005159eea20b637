/**
 * `bun run torture [--seed N] [--minutes M] [--executable FILE]`: the compiled executable among links, disks, cards,
 * clocks, signals and strangers that do it no good. The seed comes first, then a line for each event and for whatever
 * the programs say about it; the status is 1 if anything did not hold.
 */
import { parseArgs } from "node:util";
import { freshExecutable } from "../build.ts";
import { legend } from "./journal.ts";
import { torture } from "./torture.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: `${Math.floor(Math.random() * 2 ** 31)}` },
    minutes: { type: "string", default: "5" },
    executable: { type: "string" },
  },
});
const [seed, minutes] = [Number(values.seed), Number(values.minutes)];
console.log(`seed ${seed}, ${minutes} minutes, ${new Date().toISOString()}`);
console.log(legend);
const executable = values.executable ?? (await freshExecutable());
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());
const log = (line: string): void => console.log(line);
const report = await torture({ seed, minutes, executable, log, signal: stop.signal });
const { made, stored, lost, doubled, torn, corrupted, events, peakMiB, problems } = report;
console.log(`\n${made} frames made, ${stored} stored: ${lost} lost, ${doubled} doubled, ${torn} torn`);
const counts = Object.entries(events).map(([what, count]) => `${what} ${count}`);
console.log(`${counts.join(", ")}; pieces corrupted ${corrupted}`);
console.log(
  `memory, at most: ${Object.entries(peakMiB)
    .map(([name, mib]) => `${name} ${mib} MiB`)
    .join(", ")}`,
);
for (const problem of problems) console.log(`PROBLEM ${problem}`);
console.log(problems.length === 0 ? "everything holds" : `${problems.length} problems with seed ${seed}`);
process.exitCode = problems.length === 0 ? 0 : 1;
