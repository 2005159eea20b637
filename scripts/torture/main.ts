/**
 * `bun run torture [--seed N] [--minutes M] [--executable FILE]`: the compiled executable among links, disks, cards,
 * clocks, signals and strangers that do it no good. The seed comes first, then a line for each event and for whatever
 * the programs say about it; the status is 1 if anything did not hold.
 *
 * `--fleet [--trouble-every SECONDS]`: three senders, two receivers, haproxy and an S3 store instead, as fleet.ts says;
 * of Debian's packages haproxy, radosgw, ceph-mon, ceph-osd and ceph-common.
 */
import { parseArgs } from "node:util";
import { freshExecutable } from "../build.ts";
import { runFleet } from "./fleet.ts";
import { legend } from "./journal.ts";
import { torture } from "./torture.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: `${Math.floor(Math.random() * 2 ** 31)}` },
    minutes: { type: "string", default: "5" },
    executable: { type: "string" },
    fleet: { type: "boolean", default: false },
    "trouble-every": { type: "string", default: "60" },
  },
});
const [seed, minutes] = [Number(values.seed), Number(values.minutes)];
console.log(`seed ${seed}, ${minutes} minutes, ${new Date().toISOString()}`);
console.log(legend);
const executable = values.executable ?? (await freshExecutable());
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());
const log = (line: string): void => console.log(line);
if (values.fleet) {
  const troubleMs = Number(values["trouble-every"]) * 1000;
  const fleet = await runFleet({ seed, minutes, executable, troubleMs, log, signal: stop.signal });
  console.log(JSON.stringify(fleet, undefined, 1));
  process.exit(fleet.problems.length === 0 ? 0 : 1);
}
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
