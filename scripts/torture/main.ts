/**
 * `bun run torture [--seed N] [--minutes M]`: the compiled executable among links, disks, cards, signals and strangers
 * that do it no good. The seed comes first, then a line for each event; the status is 1 if anything did not hold.
 */
import { parseArgs } from "node:util";
import { freshExecutable } from "../build.ts";
import { torture } from "./torture.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: `${Math.floor(Math.random() * 2 ** 31)}` },
    minutes: { type: "string", default: "5" },
  },
});
const [seed, minutes] = [Number(values.seed), Number(values.minutes)];
console.log(`seed ${seed}, ${minutes} minutes`);
const executable = await freshExecutable();
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());
const log = (line: string): void => console.log(line);
const report = await torture({ seed, minutes, executable, log, signal: stop.signal });
console.log(`\n${report.made} made, ${report.stored} stored`);
console.log(
  Object.entries(report.events)
    .map(([what, count]) => `${count} x ${what}`)
    .join(", "),
);
console.log(
  Object.entries(report.peakMiB)
    .map(([name, mib]) => `${name} ${mib} MiB`)
    .join(", "),
);
for (const problem of report.problems) console.log(`PROBLEM ${problem}`);
console.log(report.problems.length === 0 ? "everything holds" : `${report.problems.length} problems with seed ${seed}`);
process.exitCode = report.problems.length === 0 ? 0 : 1;
