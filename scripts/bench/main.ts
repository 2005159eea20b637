/**
 *     bun run bench [--quick] [--rounds N] [--set NAME,...] [--only PROGRAM,...] [--before EXECUTABLE]
 *                   [--dest DIR] [--sync MODE] [--json] [--html FILE]
 *
 * Runs framepipe and what people use instead on the same frames, and prints a table for each set; with `--json` an
 * object on standard output. What happens meanwhile is said on standard error. Exit status 1: a program failed or
 * stored something else than was sent; 2: usage.
 */
import { statSync } from "node:fs";
import { parseArgs } from "node:util";
import { freshExecutable } from "../build.ts";
import { requireBun } from "../project.ts";
import { type BenchOptions, runBench } from "./bench.ts";
import { type SyncMode, syncModes } from "./contender.ts";
import { contenders } from "./contenders.ts";
import { frameSets, quickSet } from "./frame-sets.ts";
import { latencyShapes, quickShape } from "./latency.ts";
import { idleShape, livePrograms, liveShape, quickLive } from "./live.ts";
import { describePage } from "./page.ts";
import { describeReport } from "./report.ts";

/** What `--set` takes, in the order in which they run. */
const setNamesAll = [...frameSets, ...latencyShapes, liveShape, idleShape].map(({ name }) => name);
/** What `--only` takes. */
const programNames = [...new Set([...contenders("").map(({ name }) => name), ...livePrograms])];

const usage = `usage: bun run bench [--quick] [--rounds N] [--set NAME,...] [--only PROGRAM,...]
                     [--before EXECUTABLE] [--dest DIR] [--sync ${syncModes.join("|")}] [--json]
                     [--html FILE]

  --quick     tiny sets and one round: shows that everything works
  --rounds N  rounds that count, after one that warms up (default: 5; with 1, none warms up)
  --set       ${setNamesAll.join(", ")} (default: all)
  --only      ${programNames.join(", ")}
              (default: all that are installed)
  --before    another build of framepipe, measured in turn with this one
  --dest DIR  store below this directory (default: in memory, in /dev/shm if there is room)
  --sync      framepipe's, for the receiver (default: batch; latency and senders are measured with never too)
  --json      the result as JSON on standard output
  --html FILE the result as one page with plots, beside what is printed`;

class UsageError extends Error {}

function chosen<T extends string>(option: string, given: string | undefined, all: readonly T[]): readonly T[] {
  if (given === undefined) return all;
  const wanted = given.split(",");
  const unknown = wanted.find((name) => !all.some((each) => each === name));
  if (unknown !== undefined) throw new UsageError(`--${option}: there is no ${unknown}, but ${all.join(", ")}`);
  return all.filter((name) => wanted.includes(name));
}

type Chosen = Omit<BenchOptions, "executable" | "contenders" | "signal" | "say"> & {
  readonly only: readonly string[];
  /** Another build of framepipe. */
  readonly before: string | undefined;
  readonly json: boolean;
  /** Where a page is written. */
  readonly html: string | undefined;
};

/** Throws UsageError. Undefined: the user wants the usage. */
function readOptions(args: readonly string[]): Chosen | undefined {
  const { values } = parseArguments(args);
  if (values.help === true) return undefined;
  const quick = values.quick === true;
  const rounds = Number(values.rounds ?? (quick ? 1 : 5));
  if (!Number.isSafeInteger(rounds) || rounds < 1) throw new UsageError("--rounds: a whole number from 1");
  const { dest } = values;
  if (dest !== undefined && statSync(dest, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new UsageError(`--dest: ${dest} is not a directory`);
  }
  const setNames = chosen("set", values.set, setNamesAll);
  const only = chosen("only", values.only, programNames);
  const sets = frameSets.filter(({ name }) => setNames.includes(name)).map((spec) => (quick ? quickSet(spec) : spec));
  const sync = syncModes.find((mode) => mode === (values.sync ?? "batch"));
  if (sync === undefined) throw new UsageError(`--sync: one of ${syncModes.join(", ")}`);
  const syncs: readonly SyncMode[] = values.sync === undefined ? ["never", "batch"] : [sync];
  const shapes = latencyShapes
    .filter(({ name }) => setNames.includes(name) && only.includes("framepipe"))
    .map((shape) => (quick ? quickShape(shape) : shape));
  const lives = [liveShape, idleShape]
    .filter(({ name }) => setNames.includes(name) && (name === "live" || only.includes("framepipe")))
    .map((shape) => (quick ? quickLive(shape) : shape));
  const { before, html } = values;
  if (before !== undefined && statSync(before, { throwIfNoEntry: false })?.isFile() !== true) {
    throw new UsageError(`--before: ${before} is not a file`);
  }
  const live = { shapes: lives, only };
  const json = values.json === true;
  return { only, before, sets, latency: { shapes, syncs }, live, rounds, dest, sync, quick, json, html };
}

/** Throws UsageError instead of whatever parseArgs throws. */
function parseArguments(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: "boolean" },
        rounds: { type: "string" },
        set: { type: "string" },
        only: { type: "string" },
        before: { type: "string" },
        dest: { type: "string" },
        sync: { type: "string" },
        json: { type: "boolean" },
        html: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

async function main(): Promise<number> {
  requireBun("bench");
  if (process.platform !== "linux") throw new UsageError("the benchmark reads /proc, so it needs Linux");
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    console.log(usage);
    return 0;
  }
  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => interrupt.abort(new Interrupted(`stopped by ${signal}`)));
  }
  const executable = await freshExecutable();
  const report = await runBench({
    ...options,
    executable,
    contenders: contenders(executable, options.before).filter(
      ({ name }) => name === "before" || options.only.includes(name),
    ),
    signal: interrupt.signal,
    say: (line) => console.error(line),
  });
  if (options.html !== undefined) await Bun.write(options.html, describePage(report));
  console.log(options.json ? JSON.stringify(report, undefined, 2) : `\n${describeReport(report)}`);
  return report.failures.length > 0 || report.sets.some(({ failures }) => failures.length > 0) ? 1 : 0;
}

class Interrupted extends Error {}

try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`error: ${error.message}`);
    console.error("hint: bun run bench --help");
    process.exitCode = 2;
  } else if (error instanceof Interrupted) {
    console.error(`error: ${error.message}`);
    process.exitCode = 130;
  } else throw error;
}
