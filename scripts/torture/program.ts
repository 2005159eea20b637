/**
 * One of framepipe's processes: started again and again, killed, frozen, listened to or not. Each run has a pipe of its
 * own for its messages, which are held to their budget.
 */
import { closeSync, constants, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { JumpingClock } from "./clock.ts";

/** Lines of a kind within an hour. */
const linesMax = 20;
const hourMs = 3_600_000;
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

/** What is told of a program, by and by. */
export interface ProgramListener {
  problem(text: string): void;
  /** A run began or ended. */
  ran(text: string): void;
  /** A line of its standard error. */
  said(program: string, line: string): void;
}

export interface ProgramOptions {
  readonly name: string;
  readonly executable: string;
  readonly words: readonly string[];
  /** More of them, from the second run on. */
  readonly laterWords?: readonly string[];
  /** Where its pipes go. */
  readonly folder: string;
  /** What it may have in memory at most. */
  readonly rssBytesMax: number;
  readonly listener: ProgramListener;
  readonly clock?: JumpingClock | undefined;
  /** It may end although nobody told it to. */
  readonly mayEnd?: () => boolean;
}

interface Run {
  readonly process: Bun.Subprocess;
  readonly number: number;
  readonly log: number;
  readonly logPath: string;
  /** Somebody told it to end. */
  asked: boolean;
  rest: string;
  /** When what was said. */
  readonly saidMs: Map<RegExp, number[]>;
}

export class Program {
  readonly options: ProgramOptions;
  /** It does not read what the process says. */
  stalled = false;
  peakRssBytes = 0;
  /** When it began to run, or was let go on. */
  runsSinceMs = 0;
  #run: Run | undefined;
  #runs = 0;
  /** For whoever looks into a failure. */
  readonly lastLines: string[] = [];

  constructor(options: ProgramOptions) {
    this.options = options;
  }

  get name(): string {
    return this.options.name;
  }

  get running(): boolean {
    return this.#run !== undefined && isRunning(this.#run.process);
  }

  start(): void {
    if (this.running) return;
    this.#close();
    const { name, executable, folder, clock, listener } = this.options;
    const number = ++this.#runs;
    const logPath = join(folder, `${name}-${number}.log`);
    if (!Bun.spawnSync(["mkfifo", logPath]).success) throw new Error("no mkfifo");
    const log = openSync(logPath, constants.O_RDONLY | constants.O_NONBLOCK);
    const words = [...this.options.words, ...((number > 1 && this.options.laterWords) || [])];
    const shell = ["sh", "-c", 'log=$1; shift; exec "$@" 2> "$log"', "sh", logPath, executable, ...words];
    const env = { PATH: process.env["PATH"] ?? "", XDG_STATE_HOME: folder, ...clock?.env };
    this.runsSinceMs = performance.now();
    listener.ran(`${name} begins, run ${number}`);
    const child = Bun.spawn(shell, { stdio: ["ignore", "ignore", "ignore"], env });
    this.#run = { process: child, number, log, logPath, asked: false, rest: "", saidMs: new Map() };
  }

  signal(signal: NodeJS.Signals): void {
    this.measure();
    if (signal === "SIGSTOP") this.runsSinceMs = Number.POSITIVE_INFINITY;
    else if (signal === "SIGCONT") this.runsSinceMs = performance.now();
    else if (this.#run !== undefined) this.#run.asked = true;
    if (this.running) this.#run?.process.kill(signal);
  }

  /** Tells this run to end, and waits for it. */
  end(): Promise<number | undefined> {
    this.signal("SIGTERM");
    return this.ended();
  }

  /** The exit status of this run, when it has ended; another may have begun by then. */
  async ended(): Promise<number | undefined> {
    const run = this.#run;
    if (run === undefined) return undefined;
    while (isRunning(run.process)) {
      this.listen();
      await Bun.sleep(10);
    }
    return run.process.exitCode ?? undefined;
  }

  async kill(): Promise<void> {
    if (!this.running) return;
    this.signal("SIGKILL");
    await this.#run?.process.exited;
    this.#close();
  }

  /** Reads what it has said, if it is listened to, and notices its end. */
  listen(): void {
    if (!this.running) return this.#close();
    this.measure();
    if (!this.stalled) this.#read();
  }

  #read(): void {
    const run = this.#run;
    if (run === undefined) return;
    const bytes = new Uint8Array(65_536);
    for (;;) {
      let count = 0;
      try {
        count = readSync(run.log, bytes, 0, bytes.length, null);
      } catch {
        return;
      }
      if (count === 0) return;
      const lines = (run.rest + Buffer.from(bytes.subarray(0, count)).toString()).split("\n");
      run.rest = lines.pop() ?? "";
      for (const line of lines) this.#hear(run, line);
    }
  }

  #hear(run: Run, line: string): void {
    this.lastLines.push(line);
    if (this.lastLines.length > 60) this.lastLines.shift();
    const { name, listener } = this.options;
    listener.said(name, line);
    if (/unexpected: |AssertionError/.test(line)) listener.problem(`${name} has a bug: ${line}`);
    const kind = kinds.find((each) => each.test(line.replace(/^.* more in .*?, the last: /, "")));
    if (kind === undefined) return;
    const nowMs = performance.now();
    const said = run.saidMs.get(kind) ?? [];
    while ((said[0] ?? nowMs) < nowMs - hourMs) said.shift();
    said.push(nowMs);
    run.saidMs.set(kind, said);
    if (said.length === linesMax + 1) listener.problem(`${name} said more than ${linesMax} lines of a kind: ${line}`);
  }

  measure(): void {
    if (!this.running || this.#run === undefined) return;
    try {
      const [, kiB] = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.#run.process.pid}/status`, "utf8")) ?? [];
      this.peakRssBytes = Math.max(this.peakRssBytes, Number(kiB ?? 0) * 1024);
    } catch {
      // It has just ended.
    }
  }

  /** What is known only at the end. */
  check(): void {
    const { name, rssBytesMax, listener } = this.options;
    if (this.peakRssBytes <= rssBytesMax) return;
    const found = (this.peakRssBytes / MiB).toFixed(0);
    listener.problem(`${name} had ${found} MiB in memory, limit ${(rssBytesMax / MiB).toFixed(0)}`);
  }

  /** Hears the rest of a run that has ended, and says how it did. */
  #close(): void {
    const run = this.#run;
    if (run === undefined) return;
    this.#read();
    this.#run = undefined;
    closeSync(run.log);
    rmSync(run.logPath, { force: true });
    const { name, listener, mayEnd } = this.options;
    const how = run.process.signalCode ?? `status ${run.process.exitCode}`;
    listener.ran(`${name} ended, run ${run.number}: ${how}`);
    if (run.asked || mayEnd?.() === true) return;
    listener.problem(`${name} ended by itself: ${how}: ${this.lastLines.slice(-5).join(" | ")}`);
  }
}

function isRunning(run: Bun.Subprocess): boolean {
  return run.exitCode === null && run.signalCode === null;
}
