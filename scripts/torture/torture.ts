/**
 * Months of trouble in minutes: three receivers with every kind of destination, cameras of every kind behind links that
 * do whatever links do, processes that are killed and frozen, disks that fill up, go read-only and away, clocks that
 * jump, readers that stall, strangers at the door. When it is over everything that was made must be stored exactly
 * once, and the records must say so. What happens is a function of the seed; when exactly, of the machine.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../../test/support/random.ts";
import { WatchedCamera } from "./cameras.ts";
import { checkAll, type Sums } from "./checks.ts";
import { Journal } from "./journal.ts";
import { Stage } from "./stage.ts";
import { Troubles } from "./troubles.ts";

const MiB = 2 ** 20;
const tickMs = 100;
/** Between two starts of a receiver that ends by itself, as a service manager waits. */
const restartMs = 500;
const beginningMs = 60_000;
/** After the trouble, until everything must have arrived. */
const settlingMs = 600_000;

export interface TortureOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly executable: string;
  /** A line for each event. */
  readonly log: (line: string) => void;
  /** Ends it before its time; processes, mounts and files are gone then. */
  readonly signal?: AbortSignal;
}

export interface TortureReport extends Sums {
  readonly seed: number;
  readonly problems: readonly string[];
  /** What was done, and how often. */
  readonly events: Readonly<Record<string, number>>;
  /** Pieces of what was on the way in which a bit was changed. */
  readonly corrupted: number;
  readonly peakMiB: Readonly<Record<string, number>>;
}

export async function torture(options: TortureOptions): Promise<TortureReport> {
  const run = new Torture(options);
  const { signal } = options;
  const aborted = Promise.withResolvers<never>();
  signal?.addEventListener("abort", () => aborted.reject(new Error("stopped")));
  try {
    return await Promise.race([run.run(), aborted.promise]);
  } finally {
    await run.close();
  }
}

class Torture {
  readonly #options: TortureOptions;
  readonly #journal: Journal;
  readonly #random: Random;
  readonly #stage: Stage;
  readonly #troubles: Troubles;
  #ticker: ReturnType<typeof setInterval> | undefined;

  constructor(options: TortureOptions) {
    this.#options = options;
    this.#journal = new Journal(options.log);
    this.#random = new Random(options.seed);
    this.#stage = new Stage({ ...options, random: this.#random, journal: this.#journal });
    this.#troubles = new Troubles(this.#stage, this.#random, this.#journal);
  }

  async run(): Promise<TortureReport> {
    for (const text of this.#stage.cast()) this.#journal.over(text);
    this.#ticker = setInterval(() => this.#tick(), tickMs);
    await this.#until(beginningMs, () => this.#stage.receivers.every(({ out }) => out.every(isBegun)));
    const endMs = performance.now() + this.#options.minutes * 60_000;
    while (performance.now() < endMs) {
      await Bun.sleep(200 + this.#random.int(1300));
      this.#troubles.next();
    }
    await this.#calm();
    await this.#settle();
    await this.#end();
    return this.#check();
  }

  #tick(): void {
    const nowMs = performance.now();
    for (const receiver of this.#stage.receivers) {
      if (receiver.program.running) receiver.downUntilMs = Math.max(receiver.downUntilMs, nowMs + restartMs);
      else if (nowMs >= receiver.downUntilMs) receiver.program.start();
    }
    for (const camera of this.#stage.cameras) camera.tick();
    for (const program of this.#stage.programs) program.listen();
  }

  /** False: not in time. */
  async #until(limitMs: number, done: () => boolean): Promise<boolean> {
    const untilMs = performance.now() + limitMs;
    while (!done()) {
      if (performance.now() > untilMs) return false;
      await Bun.sleep(tickMs);
    }
    return true;
  }

  async #calm(): Promise<void> {
    this.#troubles.calm();
    const { cameras } = this.#stage;
    for (const camera of cameras) camera.stopMaking();
    // What three damages in a row made a gap is sent by the next run.
    for (const camera of cameras) {
      if (!(camera instanceof WatchedCamera)) continue;
      // Each is started again as soon as it has ended, so this run of it is asked for at once.
      await Promise.all(camera.programs.map((program) => program.end()));
    }
  }

  async #settle(): Promise<void> {
    const { cameras } = this.#stage;
    if (await this.#until(settlingMs, () => cameras.every(({ settled }) => settled))) return;
    for (const { device, settled, programs } of cameras) {
      if (settled) continue;
      const said = programs.map(({ lastLines }) => lastLines.slice(-4).join(" | ")).join(" || ");
      this.#journal.problem(`${device} has not arrived: ${said}`);
    }
  }

  async #end(): Promise<void> {
    clearInterval(this.#ticker);
    const { cameras, receivers, programs } = this.#stage;
    await Promise.all(cameras.flatMap((camera) => camera.programs.map((program) => program.end())));
    for (const { program } of receivers) {
      const status = await program.end();
      if (status === 0) continue;
      this.#journal.problem(`${program.name} ended with ${status}: ${program.lastLines.slice(-5).join(" | ")}`);
    }
    for (const program of programs) {
      program.listen();
      program.check();
    }
  }

  async #check(): Promise<TortureReport> {
    const { receivers, cameras, programs } = this.#stage;
    const sums = { made: 0, stored: 0, lost: 0, doubled: 0, torn: 0 };
    for (const camera of cameras) sums.made += camera.made.length;
    for (const receiver of receivers) {
      const found = await checkAll(receiver, this.#options, (text) => this.#journal.problem(text));
      sums.stored += found.stored;
      sums.lost += found.lost;
      sums.doubled += found.doubled;
      sums.torn += found.torn;
    }
    this.#checkLeftovers();
    const peakMiB = Object.fromEntries(
      programs.map(({ name, peakRssBytes }) => [name, Math.round(peakRssBytes / MiB)]),
    );
    const { problems, events } = this.#journal;
    const corrupted = receivers.reduce((sum, { proxy }) => sum + proxy.damaged, 0);
    return { ...sums, seed: this.#options.seed, problems, events, corrupted, peakMiB };
  }

  /** What is nobody's picture: temporary files of ours, and what went into a mount point without its disk. */
  #checkLeftovers(): void {
    const { receivers, card } = this.#stage;
    const all: [where: string, names: readonly string[]][] = [];
    for (const { out, disk } of receivers) {
      const temporary = out.map((each) => join(each, ".framepipe", "tmp")).filter((path) => existsSync(path));
      for (const path of temporary) all.push([path, readdirSync(path)]);
      all.push([`the mount point ${disk.path}`, disk.hidden()]);
    }
    for (const path of ["rolls", "twin-a", "twin-b", "vault", "attic"]
      .map((name) => this.#stage.at(name))
      .concat(card.inside)) {
      const names = readdirSync(path, { recursive: true, encoding: "utf8" });
      all.push([path, names.filter((name) => name.includes(".framepipe"))]);
    }
    for (const [where, names] of all) {
      if (names.length > 0) this.#journal.problem(`left in ${where}: ${names.slice(0, 5).join(" ")}`);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#ticker);
    this.#troubles.cancel();
    await this.#stage.close();
  }
}

/** A destination that `--no-create` takes. */
function isBegun(path: string): boolean {
  return existsSync(path.endsWith(".tar") || path.endsWith(".mcap") ? path : join(path, ".framepipe", "catalogue.db"));
}
