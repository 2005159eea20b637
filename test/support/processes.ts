/**
 * framepipe as its users run it: the executable, started as processes that are listened to, killed and measured. A
 * `Place` is a temporary directory with everything that was started for one test; leaving the test ends and removes it.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "bun:sqlite";
import { freshExecutable } from "../../scripts/build.ts";
import { Proxy, type ProxyOptions } from "./proxy.ts";
import { canMount, mountSmall as mountAllowed } from "./small-disk.ts";

/** Far longer than anything takes: a fault ends with a message, a busy machine does not. */
export const patienceMs = 60_000;

/** What is tested: `E2E_EXECUTABLE`, or dist/framepipe, built if it is not up to date. */
export async function executable(): Promise<string> {
  return process.env["E2E_EXECUTABLE"] ?? (await freshExecutable());
}

/** A whole number from the environment, for the long forms of tests. */
export function setting(name: string, fallback: number): number {
  const value = Number(process.env[name] ?? fallback);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${name} is not a whole number`);
  return value;
}

/** A line of `--json`. */
/** Where programs remember what they know of files; not in the home of whoever runs the tests. */
const stateFolder = join(tmpdir(), "framepipe-test-state");

export interface JsonEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** One process. Its events, lines and status are kept for as long as anybody asks. */
export class Running {
  readonly words: readonly string[];
  readonly events: JsonEvent[] = [];
  /** Lines of standard error that are no events. */
  readonly lines: string[] = [];
  readonly stdout: Promise<string>;
  readonly #process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  /** Standard error was read to its end. */
  readonly #heard: Promise<void>;
  #waiters: (() => void)[] = [];
  #ended = false;
  #peakRssBytes = 0;

  constructor(path: string, words: readonly string[], options: StartOptions = {}) {
    this.words = words;
    this.#process = Bun.spawn([path, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
      // Variables of whoever runs the tests must not reach the program.
      env: { PATH: process.env["PATH"] ?? "", XDG_STATE_HOME: stateFolder, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    this.stdout = new Response(this.#process.stdout).text();
    this.#heard = this.#listen();
  }

  get pid(): number {
    return this.#process.pid;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The largest resident memory seen; only after `watchMemory`. */
  get peakRssBytes(): number {
    return this.#peakRssBytes;
  }

  get stderr(): string {
    return [...this.lines, ...this.events.map((event) => JSON.stringify(event))].join("\n");
  }

  /** Events of one kind. */
  all(event: string): JsonEvent[] {
    return this.events.filter((candidate) => candidate.event === event);
  }

  count(event: string): number {
    return this.all(event).length;
  }

  /** The first event of that kind (that fits), now or when it comes. Throws if the program ends without it. */
  async waitFor(event: string, fits: (event: JsonEvent) => boolean = () => true): Promise<JsonEvent> {
    await this.until(() => this.events.some((candidate) => candidate.event === event && fits(candidate)), event);
    const found = this.events.find((candidate) => candidate.event === event && fits(candidate));
    if (found === undefined) throw new Error(`${event} was seen and is gone`);
    return found;
  }

  /** The first line, now or when it comes, that contains `text`. For programs without `--json`. */
  async waitForLine(text: string): Promise<string> {
    await this.until(() => this.lines.some((line) => line.includes(text)), text);
    return this.lines.find((line) => line.includes(text)) ?? "";
  }

  /** Asks `holds` after each line. Throws if the program ends, or patience does, before it holds. */
  async until(holds: () => boolean, what: string): Promise<void> {
    const deadlineMs = performance.now() + patienceMs;
    while (!holds()) {
      if (this.#ended) throw this.#complaint(`ended before "${what}"`);
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) throw this.#complaint(`"${what}" did not come in ${patienceMs / 1000} s`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiters.push(resolve);
      const timer = setTimeout(resolve, leftMs);
      await promise;
      clearTimeout(timer);
    }
  }

  /** Its exit status, when it has ended and everything it said was read; 128 + the signal's number if one ended it. */
  async status(limitMs: number = patienceMs): Promise<number> {
    let forced = false;
    const timer = setTimeout(() => {
      forced = true;
      this.#process.kill("SIGKILL");
    }, limitMs);
    const status = await this.#process.exited;
    clearTimeout(timer);
    await this.#heard;
    if (forced) throw this.#complaint(`did not end in ${limitMs / 1000} s`);
    return status;
  }

  signal(signal: "SIGHUP" | "SIGINT" | "SIGTERM" | "SIGSTOP" | "SIGCONT"): void {
    this.#process.kill(signal);
  }

  /** `kill -9`. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
    await this.#heard;
  }

  /** Looks at its peak memory again and again until it ends. The system keeps the peak, so little is missed. */
  watchMemory(): this {
    const look = (): void => {
      if (this.#ended) return;
      try {
        const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.pid}/status`, "utf8"));
        this.#peakRssBytes = Math.max(this.#peakRssBytes, Number(line?.[1] ?? 0) * 1024);
      } catch {
        return;
      }
      setTimeout(look, 20);
    };
    look();
    return this;
  }

  async #listen(): Promise<void> {
    const text = new TextDecoder();
    let rest = "";
    for await (const piece of this.#process.stderr) {
      const lines = (rest + text.decode(piece, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#hear(line);
      this.#wake();
    }
    if (rest !== "") this.#hear(rest);
    await this.#process.exited;
    this.#ended = true;
    this.#wake();
  }

  #hear(line: string): void {
    if (line.startsWith("{")) this.events.push(JSON.parse(line) as JsonEvent);
    else this.lines.push(line);
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter();
  }

  #complaint(what: string): Error {
    const said = this.stderr.split("\n").slice(-30).join("\n");
    return new Error(`framepipe ${this.words.join(" ")}\n${what}; it said:\n${said}`);
  }
}

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Receiver extends Running {
  readonly port: number;
}

export interface ReceiveOptions extends StartOptions {
  /** Default: any free one. */
  readonly port?: number;
  readonly words?: readonly string[];
}

export class Place {
  readonly dir: string;
  readonly executable: string;
  readonly #running: Running[] = [];
  readonly #closers: (() => void)[] = [];

  constructor(path: string) {
    this.executable = path;
    this.dir = mkdtempSync(join(tmpdir(), "framepipe-"));
  }

  path(...segments: string[]): string {
    return join(this.dir, ...segments);
  }

  /** Starts framepipe with exactly these words. */
  start(words: readonly string[], options?: StartOptions): Running {
    return this.startOther(this.executable, words, options);
  }

  /** Starts another program, for instance a shell that becomes framepipe. */
  startOther(path: string, words: readonly string[], options?: StartOptions): Running {
    const running = new Running(path, words, options);
    this.#running.push(running);
    return running;
  }

  /** Runs framepipe to its end. */
  async run(words: readonly string[], options?: StartOptions): Promise<Ended> {
    const running = this.start(words, options);
    const status = await running.status();
    return { status, stdout: await running.stdout, stderr: running.stderr };
  }

  /** A receiver that listens. */
  async receive(out: string, options: ReceiveOptions = {}): Promise<Receiver> {
    const { port = 0, words = [] } = options;
    const running = this.start(["--receive", `127.0.0.1:${port}`, "--out", out, "--json", ...words], options);
    const { address } = await running.waitFor("listening");
    return Object.assign(running, { port: Number(String(address).split(":").at(-1)) });
  }

  /** A sender on its way. The device is `camera`. */
  send(port: number, inputs: readonly string[], words: readonly string[] = []): Running {
    return this.start(["--send", `127.0.0.1:${port}`, "--device", "camera", "--json", ...words, ...inputs]);
  }

  proxy(options: ProxyOptions): Proxy {
    const proxy = new Proxy(options);
    this.onClose(() => proxy.close());
    return proxy;
  }

  onClose(close: () => void): void {
    this.#closers.push(close);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closers.toReversed()) close();
    for (const running of this.#running) if (!running.ended) await running.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export async function openPlace(): Promise<Place> {
  return new Place(await executable());
}

/**
 * A port that was free a moment ago. It is below those that systems give out by themselves: tests run side by side, and
 * the next connection of another must not get it.
 */
export function freePort(): number {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
      return port;
    } catch (error) {
      if ((error as { code?: unknown }).code !== "EADDRINUSE") throw error;
    }
  }
}

/** The files below a directory, without hidden folders: path below it, sorted. None if it is not there. */
export function filesBelow(dir: string): string[] {
  const files: string[] = [];
  const visit = (prefix: string): void => {
    for (const entry of readdirSync(join(dir, prefix), { withFileTypes: true })) {
      const path = prefix + entry.name;
      if (entry.name.startsWith(".")) continue;
      if (entry.isDirectory()) visit(`${path}/`);
      else files.push(path);
    }
  };
  try {
    visit("");
  } catch (error) {
    if ((error as { code?: unknown }).code !== "ENOENT") throw error;
  }
  return files.toSorted();
}

/** How two directories differ, a line each; nothing if every file of one is in the other with the same bytes. */
export function differences(sourceDir: string, storedDir: string): string[] {
  const sent = filesBelow(sourceDir);
  const stored = new Set(filesBelow(storedDir));
  const found: string[] = [];
  for (const path of sent) {
    if (!stored.delete(path)) found.push(`not stored: ${path}`);
    else if (!readFileSync(join(sourceDir, path)).equals(readFileSync(join(storedDir, path)))) {
      found.push(`other bytes: ${path}`);
    }
  }
  return [...found, ...[...stored].map((path) => `not sent: ${path}`)];
}

/**
 * Frames of a megabyte that take no time and next to no disk to make, `0.raw` and on. Seventy of them are more than the
 * window (64 MiB) and whatever the kernel's buffers hold: the last ones are not read before the first are acknowledged.
 */
export function makeMegabytes(dir: string, count: number): void {
  mkdirSync(dir, { recursive: true });
  for (let index = 0; index < count; index += 1) {
    const path = join(dir, `${index}.raw`);
    writeFileSync(path, `frame ${index}`);
    truncateSync(path, 1_000_000);
  }
}

/** For tests that skip themselves; those with `skipIf` take it from `small-disk.ts`. Undefined where not allowed. */
export function mountSmall(dir: string, bytes: number): (() => void) | undefined {
  return canMount() ? mountAllowed(dir, bytes) : undefined;
}

/**
 * Rows of an archive's catalogue, read as any user could: by the `sqlite3` program where it is installed, and otherwise
 * by SQLite itself.
 */
export function catalogueRows<Row>(archive: string, sql: string): Row[] {
  const path = join(archive, ".framepipe", "catalogue.db");
  if (Bun.which("sqlite3") === null) {
    using database = new Database(path, { readonly: true });
    return database.query<Row, []>(sql).all();
  }
  const result = Bun.spawnSync(["sqlite3", "-readonly", "-json", path, sql]);
  if (!result.success) throw new Error(`sqlite3: ${result.stderr.toString()}`);
  const text = result.stdout.toString().trim();
  return text === "" ? [] : (JSON.parse(text) as Row[]);
}

const crcTable = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

/** CRC-32 as in IEEE 802.3, from its definition: an opinion of its own. */
export function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = (crcTable[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}
