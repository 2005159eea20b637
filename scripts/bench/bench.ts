/**
 * The benchmark: set after set, and in each, round after round, every contender in turn, so that whatever else the
 * machine does falls on all of them. The first of several rounds warms up and is not counted. Each run begins with an
 * empty destination; what it stored is compared with what was sent, then removed, and the disk is let settle.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { cpus, release, tmpdir, type } from "node:os";
import { join } from "node:path";
import { commit } from "../build.ts";
import { version } from "../project.ts";
import { type Contender, type Job, type Moved, type SyncMode } from "./contender.ts";
import { compareContent } from "./content.ts";
import { median, shownNumber } from "./figures.ts";
import { type FrameSetOnDisk, type FrameSetSpec, prepareFrameSet, setBytes } from "./frame-sets.ts";
import { type IdleShape, type LiveReport, type LiveShape, measureIdle, measureLive } from "./live.ts";
import { type Latency, type LatencyShape, measureLatency } from "./latency.ts";
import type { BenchReport, Failure, Row, SetReport } from "./report.ts";
import { type SideUsage, Stage } from "./stage.ts";

export interface BenchOptions {
  /** framepipe, compiled. */
  readonly executable: string;
  readonly contenders: readonly Contender[];
  readonly sets: readonly FrameSetSpec[];
  /** Live frames: each shape with each of the modes. */
  readonly latency: { readonly shapes: readonly LatencyShape[]; readonly syncs: readonly SyncMode[] };
  /** A live stream, and nothing at all; of the programs with these names. */
  readonly live: { readonly shapes: readonly (LiveShape | IdleShape)[]; readonly only: readonly string[] };
  /** Rounds that count. With more than one, one more goes before them. */
  readonly rounds: number;
  /** A directory on the file system to store on; undefined: in memory. */
  readonly dest: string | undefined;
  readonly sync: SyncMode;
  readonly quick: boolean;
  /** Ends everything: what was begun is removed, and `runBench` throws the signal's reason. */
  readonly signal: AbortSignal;
  /** One line for a person who waits. */
  readonly say: (line: string) => void;
}

/** What one run gave. */
interface Run {
  readonly moved: Moved;
  readonly elapsedMs: number;
  readonly sender: SideUsage | undefined;
  readonly receiver: SideUsage | undefined;
}

export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const { contenders, executable, sets, latency, sync, quick, signal, say } = options;
  const places = new Places(options.dest, Math.max(0, ...sets.map(setBytes)), options.say);
  try {
    const missing = contenders.flatMap((each) => {
      const install = each.missing();
      return install === undefined ? [] : [{ program: each.name, install }];
    });
    const able = contenders.filter(({ name }) => !missing.some(({ program }) => program === name));
    const reports: SetReport[] = [];
    for (const spec of sets) {
      signal.throwIfAborted();
      reports.push(await runSet(spec, able, options, places));
    }
    const latencies: Latency[] = [];
    const failures: Failure[] = [];
    for (const shape of latency.shapes) {
      for (const syncMode of latency.syncs) {
        const program = `${shape.name}, --sync ${syncMode}`;
        options.say(program);
        try {
          latencies.push(await runLatency(executable, syncMode, shape, places, signal));
        } catch (error) {
          signal.throwIfAborted();
          failures.push({ program, reason: reasonOf(error) });
        }
      }
    }
    const lives: LiveReport[] = [];
    for (const shape of options.live.shapes) {
      say(shape.name);
      try {
        lives.push(await runLive(shape, options, places));
      } catch (error) {
        signal.throwIfAborted();
        failures.push({ program: shape.name, reason: reasonOf(error) });
      }
    }
    const ran = new Set(reports.flatMap(({ rows }) => rows.map(({ program }) => program)));
    return {
      machine: { cpus: cpus().length, model: cpus()[0]?.model ?? "unknown", system: `${type()} ${release()}` },
      framepipe: `${version} (${commit()})`,
      dest: options.dest ?? places.dest,
      sync,
      quick,
      sets: reports,
      latencies,
      lives,
      failures,
      missing,
      guarantees: able
        .filter(({ name }) => ran.has(name))
        .map(({ name, guarantees, safe }) => ({ program: name, text: guarantees, safe })),
    };
  } finally {
    places.remove();
  }
}

async function runSet(
  spec: FrameSetSpec,
  contenders: readonly Contender[],
  options: BenchOptions,
  places: Places,
): Promise<SetReport> {
  const { rounds, say, signal } = options;
  const taking = contenders.filter(({ kinds }) => kinds.includes(spec.kind));
  say(`${spec.name}: making the frames`);
  const set = await prepareFrameSet(places.newSources(), spec);
  const runs = new Map<string, Run[]>();
  const failures: Failure[] = [];
  const warmUps = rounds > 1 ? 1 : 0;
  for (let round = 0; round < warmUps + rounds; round++) {
    for (const contender of taking.filter(({ name }) => !failures.some(({ program }) => program === name))) {
      signal.throwIfAborted();
      const { name } = contender;
      try {
        const run = await runOnce(contender, set, options, places);
        const isCounted = round >= warmUps;
        if (isCounted) runs.set(name, [...(runs.get(name) ?? []), run]);
        const rate = shownNumber(framesPerSecond(run));
        say(`${spec.name}, ${isCounted ? `round ${round - warmUps + 1}` : "warming up"}: ${name} ${rate} frames/s`);
      } catch (error) {
        signal.throwIfAborted();
        failures.push({ program: name, reason: reasonOf(error) });
        say(`${spec.name}: ${name} failed: ${reasonOf(error)}`);
      }
    }
  }
  rmSync(set.folder, { recursive: true });
  const finished = taking.filter(({ name }) => !failures.some(({ program }) => program === name));
  return { set: spec, rows: rowsOf(finished, runs), failures };
}

async function runOnce(
  contender: Contender,
  set: FrameSetOnDisk,
  { sync, quick, signal }: BenchOptions,
  places: Places,
): Promise<Run> {
  const { dest, scratch, clean } = places.newRun();
  const stage = new Stage(scratch, signal);
  try {
    const job: Job = { set, dest, scratch, sync, quick, stage };
    const moved = await contender.run(job);
    await stage.close();
    const { content } = moved;
    if (content.kind === "files") compareContent(content.folder, content.names, set.checksums);
    const elapsedMs = moved.elapsedMs ?? stage.elapsedMs;
    return { moved, elapsedMs, sender: stage.usage("sender"), receiver: stage.usage("receiver") };
  } finally {
    await stage.close();
    clean();
  }
}

async function runLatency(
  executable: string,
  sync: SyncMode,
  shape: LatencyShape,
  places: Places,
  signal: AbortSignal,
): Promise<Latency> {
  const { dest, scratch, clean } = places.newRun();
  const stage = new Stage(scratch, signal);
  try {
    return await measureLatency({ executable, sync, shape, dest, stage });
  } finally {
    await stage.close();
    clean();
  }
}

async function runLive(
  shape: LiveShape | IdleShape,
  { executable, live, signal }: BenchOptions,
  places: Places,
): Promise<LiveReport> {
  const { dest, scratch, clean } = places.newRun();
  const stage = new Stage(scratch, signal);
  try {
    const job = { executable, stage, dest, scratch };
    return await (shape.name === "live" ? measureLive(shape, live.only, job) : measureIdle(shape, job));
  } finally {
    await stage.close();
    clean();
  }
}

function framesPerSecond({ moved, elapsedMs }: Run): number {
  return (moved.frames * 1000) / elapsedMs;
}

function rowsOf(contenders: readonly Contender[], runs: ReadonlyMap<string, readonly Run[]>): Row[] {
  const rates = contenders.map(({ name, role, safe }) => ({
    role,
    safe,
    median: median((runs.get(name) ?? []).map(framesPerSecond)),
  }));
  const [bestSafe, bestUnsafe] = [true, false].map((wanted) =>
    highest(rates.filter(({ role, safe }) => role === "peer" && safe === wanted)),
  );
  return contenders.map(({ name, role, safe }) => {
    const own = runs.get(name) ?? [];
    const ownRates = own.map(framesPerSecond);
    const middle = median(ownRates);
    const first = own[0]?.moved;
    const bytesPerFrame = first === undefined || first.frames === 0 ? 0 : first.bytes / first.frames;
    return {
      program: name,
      role,
      rounds: own.length,
      frames: first?.frames ?? 0,
      framesPerSecond: { median: middle, min: Math.min(...ownRates), max: Math.max(...ownRates) },
      megabytesPerSecond: (middle * bytesPerFrame) / 1e6,
      sender: medianUsage(own.map(({ sender }) => sender)),
      receiver: medianUsage(own.map(({ receiver }) => receiver)),
      safe,
      ratioToSafe: bestSafe === undefined ? undefined : middle / bestSafe,
      ratioToUnsafe: bestUnsafe === undefined ? undefined : middle / bestUnsafe,
      content: first?.content.kind === "files" ? "equal" : (first?.content.kind ?? "none"),
    };
  });
}

function highest(rates: readonly { readonly median: number }[]): number | undefined {
  return rates.length === 0 ? undefined : Math.max(...rates.map((rate) => rate.median));
}

function medianUsage(usages: readonly (SideUsage | undefined)[]): SideUsage | undefined {
  const there = usages.filter((usage) => usage !== undefined);
  if (there.length === 0) return undefined;
  return {
    cpuSeconds: median(there.map(({ cpuSeconds }) => cpuSeconds)),
    peakBytes: median(there.map(({ peakBytes }) => peakBytes)),
  };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const memoryFolder = "/dev/shm";
/** With less free than this on the disk of `--dest`, what was stored is removed after each run. */
const keptFreeBytes = 8e9;

/** Where everything is put: sources in memory if there is room, destinations there too or where the user wants them. */
class Places {
  /** Where destinations are made. */
  readonly dest: string;
  readonly #home: string;
  readonly #removable: readonly string[];
  #count = 0;

  /** `setBytesMax`: the largest set, which is there twice. */
  constructor(dest: string | undefined, setBytesMax: number, say: (line: string) => void) {
    const spareBytes = 512 * 1024 * 1024;
    const parent = hasRoom(memoryFolder, 2 * setBytesMax + spareBytes) ? memoryFolder : tmpdir();
    if (parent !== memoryFolder) say(`not enough room in ${memoryFolder}: frames are made in ${parent}`);
    this.#home = mkdtempSync(join(parent, "framepipe-bench-"));
    this.dest = dest === undefined ? this.#home : mkdtempSync(join(dest, "framepipe-bench-"));
    this.#removable = [this.#home, this.dest];
  }

  newSources(): string {
    return join(this.#home, `sources-${this.#count++}`);
  }

  newRun(): { readonly dest: string; readonly scratch: string; clean(): void } {
    const number = this.#count++;
    const dest = join(this.dest, `dest-${number}`);
    const scratch = join(this.#home, `scratch-${number}`);
    mkdirSync(dest);
    mkdirSync(scratch);
    const clean = (): void => {
      // ext4 takes an inode that was deleted in the last minutes only when it finds no other, and looks through all of
      // them: files made after many were deleted cost ten times as much, whoever makes them. So on a disk they stay.
      const stays = this.dest !== this.#home && hasRoom(this.dest, keptFreeBytes);
      for (const folder of stays ? [scratch] : [dest, scratch]) rmSync(folder, { recursive: true, force: true });
      // What one program left to be written must not be written in the time of the next.
      Bun.spawnSync(["sync", "--file-system", this.dest]);
    };
    return { dest, scratch, clean };
  }

  remove(): void {
    for (const folder of this.#removable) rmSync(folder, { recursive: true, force: true });
  }
}

function hasRoom(folder: string, bytes: number): boolean {
  if (!existsSync(folder)) return false;
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize >= bytes;
}
