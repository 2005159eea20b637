/**
 * One of framepipe's processes: started again and again, killed, frozen, listened to or not. Each run has a pipe of its
 * own for its messages, which are held to their budget.
 */
import { closeSync, constants, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";

/** Lines of a kind within an hour, and no run here is longer than that. */
const linesMax = 20;
const MiB = 2 ** 20;

/** What tells a kind of message by its words; sums begin otherwise and say the last one behind a comma. */
const kinds: readonly RegExp[] = [
  /^conflict /,
  /^refused /,
  /^skipped /,
  /^missing /,
  /^lost the connection/,
  /(?: is back, from | sends from )/,
  /(?: finished: | stopped before its end: )/,
  /^closed a connection/,
  /^(?:no connection to|connected to)/,
  /^(?:waiting: (?:the receiver )?cannot store|storing |the receiver stores)/,
  /not deleted here|its files are sent, and stay/,
  / bytes\)|by now, | in no frame/,
];

export interface ProgramOptions {
  readonly name: string;
  readonly executable: string;
  readonly words: readonly string[];
  /** Where its pipes go. */
  readonly folder: string;
  /** What it may have in memory at most. */
  readonly rssBytesMax: number;
  readonly onProblem: (problem: string) => void;
}

export class Program {
  readonly options: ProgramOptions;
  /** It does not read what the process says. */
  stalled = false;
  peakRssBytes = 0;
  starts = 0;
  /** When it began to run, or was let go on. */
  runsSinceMs = 0;
  #process: Bun.Subprocess | undefined;
  #log: number | undefined;
  #rest = "";
  #counts = new Map<RegExp, number>();
  /** For whoever looks into a failure. */
  readonly lastLines: string[] = [];

  constructor(options: ProgramOptions) {
    this.options = options;
  }

  get name(): string {
    return this.options.name;
  }

  get running(): boolean {
    return isRunning(this.#process);
  }

  start(): void {
    if (this.running) return;
    const { name, executable, words, folder } = this.options;
    this.#closeLog();
    const path = join(folder, `${name}-${this.starts++}.log`);
    if (!Bun.spawnSync(["mkfifo", path]).success) throw new Error("no mkfifo");
    this.#log = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const shell = ["sh", "-c", 'log=$1; shift; exec "$@" 2> "$log"', "sh", path, executable, ...words];
    const env = { PATH: process.env["PATH"] ?? "", XDG_STATE_HOME: folder };
    this.runsSinceMs = performance.now();
    this.#process = Bun.spawn(shell, { stdio: ["ignore", "ignore", "ignore"], env });
  }

  signal(signal: NodeJS.Signals): void {
    this.measure();
    if (signal === "SIGSTOP") this.runsSinceMs = Number.POSITIVE_INFINITY;
    if (signal === "SIGCONT") this.runsSinceMs = performance.now();
    if (this.running) this.#process?.kill(signal);
  }

  /** Tells this run to end, and waits for it. */
  end(): Promise<number | undefined> {
    this.signal("SIGTERM");
    return this.ended();
  }

  /** The exit status of this run, when it has ended; another may have begun by then. */
  async ended(): Promise<number | undefined> {
    const run = this.#process;
    while (isRunning(run)) {
      this.listen();
      await Bun.sleep(10);
    }
    return run?.exitCode ?? undefined;
  }

  /** Reads what it has said, if it is listened to. */
  listen(): void {
    this.measure();
    if (this.stalled || this.#log === undefined) return;
    const bytes = new Uint8Array(65_536);
    for (;;) {
      let count = 0;
      try {
        count = readSync(this.#log, bytes, 0, bytes.length, null);
      } catch {
        return;
      }
      if (count === 0) return;
      const lines = (this.#rest + Buffer.from(bytes.subarray(0, count)).toString()).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) this.#hear(line);
    }
  }

  #hear(line: string): void {
    this.lastLines.push(line);
    if (this.lastLines.length > 60) this.lastLines.shift();
    const { name, onProblem } = this.options;
    if (/unexpected: |AssertionError/.test(line)) onProblem(`${name} has a bug: ${line}`);
    const kind = kinds.find((each) => each.test(line.replace(/^.* more in .*?, the last: /, "")));
    if (kind === undefined) return;
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    if (count === linesMax + 1) onProblem(`${name} said more than ${linesMax} lines of a kind: ${line}`);
  }

  measure(): void {
    if (!this.running || this.#process === undefined) return;
    try {
      const [, kiB] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.#process.pid}/status`, "utf8")) ?? [];
      this.peakRssBytes = Math.max(this.peakRssBytes, Number(kiB ?? 0) * 1024);
    } catch {
      // It has just ended.
    }
  }

  /** What is known only at the end. */
  check(): void {
    const { name, rssBytesMax, onProblem } = this.options;
    if (this.peakRssBytes <= rssBytesMax) return;
    const found = (this.peakRssBytes / MiB).toFixed(0);
    onProblem(`${name} had ${found} MiB in memory, limit ${(rssBytesMax / MiB).toFixed(0)}`);
  }

  #closeLog(): void {
    this.listen();
    if (this.#log !== undefined) closeSync(this.#log);
    this.#log = undefined;
    this.#rest = "";
    this.#counts = new Map();
  }

  async kill(): Promise<void> {
    if (!this.running) return;
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
    this.#closeLog();
  }
}

function isRunning(run: Bun.Subprocess | undefined): boolean {
  return run !== undefined && run.exitCode === null && run.signalCode === null;
}
