/**
 * One run: starts its programs, takes the time, adds up what they used, and ends what is still running.
 *
 * CPU is what the system says of each ended process and of the children it waited for, less what a program had used
 * before the time began. Peak memory is VmHWM from /proc, read every few milliseconds for each process and its
 * children, and added up for each side. The `maxRSS` of an ended process is no use: Linux lets it begin with the
 * memory of the process that started it, which is this one.
 */
import { closeSync, openSync, readdirSync, readFileSync, unlinkSync } from "node:fs";
import { join } from "node:path";

/** Helpers (a proxy, a check afterwards) count for neither side. */
export type Side = "sender" | "receiver" | "helper";

export interface SideUsage {
  /** User and system. */
  readonly cpuSeconds: number;
  /** Resident, of all processes of the side together. */
  readonly peakBytes: number;
}

export interface StartOptions {
  /** One end of a pipe; it is closed here once the program has it. */
  readonly stdin?: number;
  readonly stdout?: number | "lines";
}

const sampleMs = 20;
const listeningPollMs = 2;
const listeningTimeoutMs = 10_000;
/** How long a program may take to end when it is asked to. */
const graceMs = 5_000;
const messageCharacters = 2_000;

export class Child {
  readonly side: Side;
  /** Processor time used before the time began, microseconds. */
  cpuBeforeUs = 0;
  readonly #process: Bun.Subprocess<number | "ignore", number | "pipe" | "ignore", "pipe">;
  readonly #title: string;
  readonly #messages: Promise<string>;
  readonly #lines: AsyncGenerator<string, void>;
  readonly #peaks = new Map<number, number>();
  #stopping = false;

  constructor(side: Side, command: readonly string[], options: StartOptions) {
    this.side = side;
    this.#title = command[0]?.split("/").at(-1) ?? "";
    const { stdin, stdout } = options;
    this.#process = Bun.spawn([...command], {
      stdin: stdin ?? "ignore",
      stdout: stdout === "lines" ? "pipe" : (stdout ?? "ignore"),
      stderr: "pipe",
      env: cleanEnvironment,
    });
    for (const fd of [stdin, stdout]) if (typeof fd === "number") closeSync(fd);
    this.#messages = readTail(this.#process.stderr);
    const out = this.#process.stdout;
    this.#lines = readLines(out instanceof ReadableStream ? out : undefined);
    this.sample();
  }

  get #running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Resolves when it has ended with status 0, and throws with its last words if it ended otherwise. */
  async succeeded(): Promise<void> {
    const status = await this.#process.exited;
    if (status === 0) return;
    const words = (await this.#messages).trim();
    throw new Error(`${this.#title} ended with status ${status}${words === "" ? "" : `: ${words}`}`);
  }

  /** Rejects when it ends badly without having been asked to end; otherwise never settles. */
  async failed(): Promise<never> {
    try {
      await this.succeeded();
    } catch (error) {
      if (!this.#stopping) throw error;
    }
    return new Promise<never>(() => undefined);
  }

  /** The next line of its standard output. Throws if there is none. */
  async line(): Promise<string> {
    const next = await this.#lines.next();
    if (next.done === true) throw new Error(`${this.#title} said nothing: ${(await this.#messages).trim()}`);
    return next.value;
  }

  /** The rest of its standard output. */
  async output(): Promise<string> {
    const lines: string[] = [];
    for await (const line of this.#lines) lines.push(line);
    return lines.join("\n");
  }

  /** The end of what it wrote to standard error. Resolves when it has ended. */
  messages(): Promise<string> {
    return this.#messages;
  }

  /** Looks at the memory of the process and its children. */
  sample(): void {
    const pids = [this.#process.pid];
    for (let pid = pids.pop(); pid !== undefined; pid = pids.pop()) {
      const kibibytes = Number(/^VmHWM:\s+(\d+)/m.exec(readProc(`${pid}/status`))?.[1] ?? 0);
      this.#peaks.set(pid, Math.max(this.#peaks.get(pid) ?? 0, kibibytes * 1024));
      pids.push(...(readProc(`${pid}/task/${pid}/children`).match(/\d+/g) ?? []).map(Number));
    }
  }

  get peakBytes(): number {
    return [...this.#peaks.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Processor time up to now, of it and of children it waited for, microseconds; the system counts in hundredths. */
  cpuNowUs(): number {
    // Fields are counted behind the name, which may contain anything, spaces included.
    const fields = readProc(`${this.#process.pid}/stat`).split(") ").at(-1)?.split(" ") ?? [];
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return ticks * 10_000;
  }

  /** Up to now, of this process alone: what its threads took, how often they were woken, and its resident memory. */
  usageNow(): { readonly cpuSeconds: number; readonly wakeUps: number; readonly residentBytes: number } {
    const { pid } = this.#process;
    let [cpuNs, wakeUps] = [0, 0];
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      // Nanoseconds on a core, first; the other clock of the system counts in hundredths of a second.
      cpuNs += Number(readProc(`${pid}/task/${thread}/schedstat`).split(" ")[0]);
      wakeUps += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readProc(`${pid}/task/${thread}/status`))?.[1] ?? 0);
    }
    const residentKibibytes = Number(/^VmRSS:\s+(\d+)/m.exec(readProc(`${pid}/status`))?.[1] ?? 0);
    return { cpuSeconds: cpuNs / 1e9, wakeUps, residentBytes: residentKibibytes * 1024 };
  }

  /** Seconds since the time began. Only when it has ended. */
  get cpuSeconds(): number {
    const us = Number(this.#process.resourceUsage()?.cpuTime.total ?? 0);
    return Math.max(0, us - this.cpuBeforeUs) / 1e6;
  }

  /** Asks it to end, and makes it end if it does not. Never throws. */
  async stop(): Promise<void> {
    if (this.#running) {
      this.#stopping = true;
      this.#process.kill("SIGTERM");
      const force = setTimeout(() => this.#process.kill("SIGKILL"), graceMs);
      await this.#process.exited;
      clearTimeout(force);
    }
  }
}

export class Stage {
  readonly #children: Child[] = [];
  readonly #sampling: ReturnType<typeof setInterval>;
  readonly #broken = Promise.withResolvers<never>();
  readonly #scratch: string;
  readonly #signal: AbortSignal;
  readonly #onAbort: () => void;
  #elapsedMs: number | undefined;

  /** `scratch` is for pipes. When `signal` fires, whatever is waited for here rejects. */
  constructor(scratch: string, signal: AbortSignal) {
    this.#scratch = scratch;
    this.#signal = signal;
    this.#onAbort = () => this.#broken.reject(signal.reason);
    this.#broken.promise.catch(() => undefined);
    signal.addEventListener("abort", this.#onAbort);
    if (signal.aborted) this.#onAbort();
    this.#sampling = setInterval(() => this.sample(), sampleMs);
  }

  start(side: Side, command: readonly string[], options: StartOptions = {}): Child {
    const child = new Child(side, command, options);
    this.#children.push(child);
    child.failed().catch((error: unknown) => this.#broken.reject(error));
    return child;
  }

  /** A pipe between two programs. Give `write` to one, `read` to the other. */
  pipe(): { readonly read: number; readonly write: number } {
    const path = join(this.#scratch, `pipe-${crypto.randomUUID()}`);
    const made = Bun.spawnSync(["mkfifo", path]);
    if (!made.success) throw new Error(`mkfifo: ${made.stderr.toString().trim()}`);
    // Opened for both first, so that neither of the others waits for the other.
    const both = openSync(path, "r+");
    const read = openSync(path, "r");
    const write = openSync(path, "w");
    closeSync(both);
    unlinkSync(path);
    return { read, write };
  }

  /** Resolves when somebody on this machine listens on `port`. Does not connect: some programs accept only once. */
  async listening(port: number): Promise<void> {
    const deadlineMs = performance.now() + listeningTimeoutMs;
    while (!isListening(port)) {
      if (performance.now() > deadlineMs) throw new Error(`nobody listens on port ${port}`);
      await this.unlessBroken(Bun.sleep(listeningPollMs));
    }
  }

  /** What `work` resolves to, unless a program fails or the benchmark is stopped first. */
  unlessBroken<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#broken.promise]);
  }

  /** Takes the time of `work`, which starts the sender and ends when the receiver has everything. Once per stage. */
  async time(work: () => Promise<unknown>): Promise<void> {
    for (const child of this.#children) child.cpuBeforeUs = child.cpuNowUs();
    const startedMs = performance.now();
    await this.unlessBroken(work());
    this.#elapsedMs = performance.now() - startedMs;
    this.sample();
  }

  get elapsedMs(): number {
    if (this.#elapsedMs === undefined) throw new Error("no time was taken");
    return this.#elapsedMs;
  }

  sample(): void {
    for (const child of this.#children) child.sample();
  }

  /** What a side used; undefined if it had no program. Only after `close`. */
  usage(side: Side): SideUsage | undefined {
    const children = this.#children.filter((child) => child.side === side);
    if (children.length === 0) return undefined;
    return {
      cpuSeconds: children.reduce((sum, child) => sum + child.cpuSeconds, 0),
      peakBytes: children.reduce((sum, child) => sum + child.peakBytes, 0),
    };
  }

  /** Ends everything. May be called at any time, more than once. */
  async close(): Promise<void> {
    clearInterval(this.#sampling);
    this.#signal.removeEventListener("abort", this.#onAbort);
    await Promise.all(this.#children.map((child) => child.stop()));
  }
}

/** framepipe's own variables would change what it does. */
const cleanEnvironment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith("FRAMEPIPE_")),
);

/** A port that nobody had a moment ago. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

function isListening(port: number): boolean {
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return ["net/tcp", "net/tcp6"].some((table) =>
    readProc(table)
      .split("\n")
      .some((row) => {
        const [, address, , state] = row.trim().split(/\s+/);
        return address?.endsWith(local) === true && state === listenState;
      }),
  );
}
/** The kernel's number for a socket that listens. */
const listenState = "0A";

/** Empty for a process that has just ended. */
function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return "";
  }
}

async function readTail(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let tail = "";
  for await (const piece of stream) tail = (tail + decoder.decode(piece, { stream: true })).slice(-messageCharacters);
  return tail;
}

async function* readLines(stream: ReadableStream<Uint8Array> | undefined): AsyncGenerator<string, void> {
  if (stream === undefined) return;
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of stream) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
