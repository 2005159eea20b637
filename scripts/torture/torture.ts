/**
 * Months of trouble in minutes: two receivers with every kind of destination, cameras of every kind behind links that
 * do whatever links do, processes that are killed and frozen, disks that fill up, cards that are locked, readers that
 * stall, strangers at the door. When it is over everything that was made must be stored exactly once, and the records
 * must say so. What happens is a function of the seed; when exactly, of the machine.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../test/support/processes.ts";
import { Random } from "../../test/support/random.ts";
import { type Camera, DirectoryCamera, StreamCamera, WatchedCamera } from "./cameras.ts";
import { checkAll } from "./checks.ts";
import { TortureDisk } from "./disk.ts";
import { HostileProxy } from "./hostile-proxy.ts";
import { Program } from "./program.ts";

const MiB = 2 ** 20;
/** Resident memory, as it is promised for any work. */
const senderRssBytesMax = 100 * MiB;
const receiverRssBytesMax = 150 * MiB;
const tickMs = 100;
/** So long a process must have run to have kept all that is in its pipe. */
const keepingMs = 4_000;
/** After the trouble, until everything must have arrived. */
const settlingMs = 180_000;

export interface TortureOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly executable: string;
  /** A line for each event. */
  readonly log: (line: string) => void;
  /** Ends it before its time; processes, mounts and files are gone then. */
  readonly signal?: AbortSignal;
}

export interface TortureReport {
  readonly seed: number;
  readonly problems: readonly string[];
  /** What was done, and how often. */
  readonly events: Readonly<Record<string, number>>;
  readonly made: number;
  readonly stored: number;
  readonly peakMiB: Readonly<Record<string, number>>;
}

interface Receiver {
  readonly program: Program;
  readonly proxy: HostileProxy;
  readonly disk: TortureDisk;
  /** In the order of `--out`. */
  readonly out: readonly string[];
  readonly cameras: Camera[];
  /** Not started again before. */
  downUntilMs: number;
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
  readonly #random: Random;
  readonly #folder: string;
  readonly #startMs = performance.now();
  readonly #receivers: Receiver[] = [];
  readonly #card: TortureDisk;
  readonly #streams: StreamCamera[] = [];
  readonly #events: Record<string, number> = {};
  readonly #problems: string[] = [];
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  #ticker: ReturnType<typeof setInterval> | undefined;

  constructor(options: TortureOptions) {
    this.#options = options;
    this.#random = new Random(options.seed);
    this.#folder = mkdtempSync(join(tmpdir(), "framepipe-torture-"));
    const bytes = (96 + Math.ceil(options.minutes * 24)) * MiB;
    this.#card = new TortureDisk(join(this.#folder, "card"), bytes);
    const directory = this.#receiver("receiver-1", bytes, ["captures"]);
    const archives = this.#receiver("receiver-2", bytes, ["captures", "day.tar", "day.mcap"]);
    this.#addCameras(directory, archives);
  }

  #program(name: string, words: readonly string[], rssBytesMax: number): Program {
    const { executable } = this.#options;
    const onProblem = (problem: string): void => this.#problem(problem);
    return new Program({ name, executable, words, folder: this.#folder, rssBytesMax, onProblem });
  }

  #receiver(name: string, bytes: number, outs: readonly string[]): Receiver {
    const disk = new TortureDisk(join(this.#folder, `${name}-disk`), outs.length * bytes);
    const out = outs.map((each) => join(disk.path, each));
    const port = freePort();
    const words = ["--receive", `127.0.0.1:${port}`, "--min-free", "0", ...out.flatMap((each) => ["--out", each])];
    const program = this.#program(name, words, receiverRssBytesMax);
    const receiver = { program, proxy: new HostileProxy(port), disk, out, cameras: [], downUntilMs: 0 };
    this.#receivers.push(receiver);
    return receiver;
  }

  #sender({ proxy }: Receiver, name: string, device: string, words: readonly string[]): Program {
    return this.#program(name, ["--send", `127.0.0.1:${proxy.port}`, "--device", device, ...words], senderRssBytesMax);
  }

  #addCameras(directory: Receiver, archives: Receiver): void {
    const common = (device: string, rate: number) => ({ random: new Random(this.#random.int(2 ** 31)), device, rate });
    const at = (name: string): string => join(this.#folder, name);
    const live = ["--watch", "--delete-sent", "--unchanged-for", "0"];
    const rolls = at("rolls");
    directory.cameras.push(
      new DirectoryCamera({
        ...common("rolls", 0.5),
        folder: rolls,
        program: this.#sender(directory, "rolls", "rolls", ["--retry-for", "20s", `vis=${rolls}`]),
      }),
    );
    for (const [receiver, device, folders] of [
      [directory, "card", [this.#card.path]],
      [directory, "twins", [at("twin-a"), at("twin-b")]],
      [archives, "vault", [at("vault")]],
    ] as const) {
      const programs = folders.map((folder, index) => {
        const name = folders.length === 1 ? device : `${device}-${index}`;
        return this.#sender(receiver, name, device, [...live, `vis=${folder}`]);
      });
      receiver.cameras.push(new WatchedCamera({ ...common(device, 0.4), folders, programs }));
    }
    for (const [receiver, device, spool] of [
      [directory, "spooled", at("spool")],
      [archives, "piped", undefined],
    ] as const) {
      const pipe = at(`${device}.pipe`);
      const kept = spool === undefined ? [] : ["--spool", spool];
      const words = ["--watch", "--format", "pnm", ...kept, `live=${pipe}`];
      const program = this.#sender(receiver, device, device, words);
      const stored = join(receiver.out[0] ?? "", device);
      const camera = new StreamCamera({ ...common(device, 0.5), pipe, program, stored, ...(spool && { spool }) });
      this.#streams.push(camera);
      receiver.cameras.push(camera);
    }
  }

  get #cameras(): readonly Camera[] {
    return this.#receivers.flatMap(({ cameras }) => cameras);
  }

  get #programs(): readonly Program[] {
    return [...this.#receivers.map(({ program }) => program), ...this.#cameras.flatMap(({ programs }) => programs)];
  }

  // ---- the run

  async run(): Promise<TortureReport> {
    const { minutes, seed } = this.#options;
    this.#ticker = setInterval(() => this.#tick(), tickMs);
    const endMs = this.#startMs + minutes * 60_000;
    while (performance.now() < endMs) {
      await Bun.sleep(200 + this.#random.int(1300));
      this.#trouble();
    }
    await this.#calm();
    await this.#settle();
    for (const { program } of this.#receivers) {
      const status = await program.end();
      if (status !== 0)
        this.#problem(`${program.name} ended with ${status}: ${program.lastLines.slice(-5).join(" | ")}`);
    }
    for (const program of this.#programs) program.check();
    let stored = 0;
    for (const receiver of this.#receivers)
      stored += await checkAll(receiver, this.#options, (text) => this.#problem(text));
    this.#checkLeftovers();
    const peakMiB = Object.fromEntries(
      this.#programs.map(({ name, peakRssBytes }) => [name, Math.round(peakRssBytes / MiB)]),
    );
    const made = this.#cameras.reduce((sum, camera) => sum + camera.made.length, 0);
    return { seed, problems: this.#problems, events: this.#events, made, stored, peakMiB };
  }

  #tick(): void {
    for (const { program, downUntilMs } of this.#receivers) {
      if (!program.running && performance.now() >= downUntilMs) program.start();
    }
    for (const camera of this.#cameras) camera.tick();
    for (const program of this.#programs) program.listen();
  }

  #problem(text: string): void {
    this.#problems.push(text);
    this.#log(`PROBLEM ${text}`);
  }

  #log(text: string): void {
    const seconds = ((performance.now() - this.#startMs) / 1000).toFixed(1).padStart(7);
    this.#options.log(`${seconds} s  ${text}`);
  }

  #did(what: string, text: string): void {
    this.#events[what] = (this.#events[what] ?? 0) + 1;
    this.#log(`${what}: ${text}`);
  }

  #later(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }

  // ---- trouble

  #trouble(): void {
    const random = this.#random;
    const receiver = random.pick(this.#receivers);
    const camera = random.pick(this.#cameras);
    const program = random.pick(this.#programs);
    const { proxy } = receiver;
    const ms = (least: number, most: number): number => least + random.int(most - least);
    const troubles: readonly (readonly [weight: number, run: () => void])[] = [
      [5, () => this.#link("cut", receiver, "", () => proxy.cut())],
      [2, () => this.#forTime("stall", receiver, ms(200, 4000), (time) => proxy.stall(time))],
      [2, () => this.#forTime("delay", receiver, ms(500, 5000), (time) => proxy.delay(ms(5, 300), time))],
      [2, () => this.#forTime("throttle", receiver, ms(500, 5000), (time) => proxy.throttle(ms(20, 500), time))],
      [2, () => this.#forTime("split", receiver, ms(100, 1500), (time) => proxy.split(time))],
      [2, () => this.#link("damage", receiver, "", () => proxy.damage(1 + random.int(2)))],
      [1, () => this.#forTime("swallow", receiver, ms(500, 13_000), (time) => proxy.swallow(time))],
      [3, () => void this.#killReceiver(receiver, ms(0, 2500))],
      [3, () => void this.#killSender(camera)],
      [1, () => this.#endReceiver(receiver, random.pick(["SIGTERM", "SIGHUP", "SIGINT"] as const))],
      [2, () => this.#freeze(program, ms(200, 13_000))],
      [2, () => this.#fillDisk(receiver, ms(500, 4000))],
      [1, () => this.#lockCard(ms(500, 4000))],
      [2, () => this.#stallLog(program, ms(1000, 9000))],
      [1, () => this.#removeStored()],
      [2, () => this.#visit(proxy.targetPort)],
    ];
    const total = troubles.reduce((sum, [weight]) => sum + weight, 0);
    let at = random.int(total);
    for (const [weight, run] of troubles) {
      if (at < weight) return run();
      at -= weight;
    }
  }

  #link(what: string, { program }: Receiver, text: string, run: () => void): void {
    this.#did(what, `link of ${program.name}${text}`);
    run();
  }

  #forTime(what: string, receiver: Receiver, ms: number, run: (ms: number) => void): void {
    this.#link(what, receiver, ` for ${ms} ms`, () => run(ms));
  }

  async #killReceiver(receiver: Receiver, downMs: number): Promise<void> {
    const { program } = receiver;
    if (!program.running) return;
    this.#did("kill", `${program.name}, back in ${downMs} ms`);
    receiver.downUntilMs = performance.now() + downMs;
    await program.kill();
  }

  #endReceiver({ program }: Receiver, signal: "SIGTERM" | "SIGHUP" | "SIGINT"): void {
    if (!program.running) return;
    this.#did("end", `${program.name} by ${signal}`);
    program.signal(signal);
  }

  async #killSender(camera: Camera): Promise<void> {
    const program = this.#random.pick(camera.programs);
    if (!program.running) return;
    if (camera.mayBeKilled) {
      this.#did("kill", program.name);
      return program.kill();
    }
    // What a process has read of a pipe and not kept dies with it: so it is given time to keep it, if it keeps any.
    if (!(camera instanceof StreamCamera) || camera.device !== "spooled" || camera.paused) return;
    camera.paused = true;
    this.#later(keepingMs, () => {
      camera.paused = false;
      if (!camera.isDrained || !program.running || performance.now() - program.runsSinceMs < keepingMs) return;
      this.#did("kill", program.name);
      void program.kill();
    });
  }

  #freeze(program: Program, ms: number): void {
    if (!program.running) return;
    this.#did("freeze", `${program.name} for ${ms} ms`);
    program.signal("SIGSTOP");
    this.#later(ms, () => program.signal("SIGCONT"));
  }

  #fillDisk({ program, disk }: Receiver, ms: number): void {
    if (!disk.isOwn) return;
    this.#did("full disk", `of ${program.name} for ${ms} ms`);
    disk.fill();
    this.#later(ms, () => disk.free());
  }

  #lockCard(ms: number): void {
    if (!this.#card.setReadOnly(true)) return;
    this.#did("read-only card", `for ${ms} ms`);
    this.#later(ms, () => this.#card.setReadOnly(false));
  }

  #stallLog(program: Program, ms: number): void {
    this.#did("stalled log", `of ${program.name} for ${ms} ms`);
    program.stalled = true;
    this.#later(ms, () => {
      program.stalled = false;
    });
  }

  /** As somebody's `find -delete` does; they are sent again, because their camera still has them. */
  #removeStored(): void {
    const [first] = this.#receivers;
    const folder = join(first?.out[0] ?? "", "rolls");
    let names: string[] = [];
    try {
      names = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".pgm"));
    } catch {
      return;
    }
    const removed = names.filter(() => this.#random.chance(3 / Math.max(3, names.length)));
    if (removed.length === 0) return;
    this.#did("retention", `${removed.length} files of rolls`);
    for (const name of removed) rmSync(join(folder, name), { force: true });
  }

  /** Health checks, port scanners, browsers. */
  #visit(port: number): void {
    const say = this.#random.pick(["", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\u0016\u0003\u0001", "SSH-2.0-x\r\n"]);
    const count = 1 + this.#random.int(20);
    this.#did("visit", `${count} strangers`);
    for (let at = 0; at < count; at++) {
      const socket = connect(port, "127.0.0.1", () => socket.end(say));
      socket.on("error", () => undefined);
    }
  }

  // ---- the end

  async #calm(): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const { proxy, disk } of this.#receivers) {
      proxy.calm();
      disk.free();
    }
    this.#card.setReadOnly(false);
    for (const stream of this.#streams) stream.paused = false;
    for (const program of this.#programs) {
      program.signal("SIGCONT");
      program.stalled = false;
    }
    this.#log("calm: nothing more is made");
    for (const camera of this.#cameras) camera.stopMaking();
    // What three damages in a row made a gap is sent by the next run.
    for (const camera of this.#cameras) {
      if (!(camera instanceof WatchedCamera)) continue;
      // Each is started again as soon as it has ended, so this run of it is asked for at once.
      await Promise.all(camera.programs.map((program) => program.end()));
    }
  }

  async #settle(): Promise<void> {
    const untilMs = performance.now() + settlingMs;
    while (!this.#cameras.every(({ settled }) => settled)) {
      if (performance.now() > untilMs) {
        for (const { device, settled, programs } of this.#cameras) {
          if (settled) continue;
          const said = programs.map(({ lastLines }) => lastLines.slice(-4).join(" | ")).join(" || ");
          this.#problem(`${device} has not arrived: ${said}`);
        }
        break;
      }
      await Bun.sleep(tickMs);
    }
    clearInterval(this.#ticker);
    await Promise.all(this.#cameras.flatMap(({ programs }) => programs.map((program) => program.end())));
  }

  /** What is nobody's picture: temporary files of ours. */
  #checkLeftovers(): void {
    for (const { out } of this.#receivers) {
      const temporary = readdirSync(join(out[0] ?? "", ".framepipe", "tmp"));
      if (temporary.length > 0) this.#problem(`temporary files are left: ${temporary.slice(0, 5).join(" ")}`);
    }
    for (const name of ["rolls", "twin-a", "twin-b", "vault", "card"]) {
      const all = readdirSync(join(this.#folder, name), { recursive: true, encoding: "utf8" });
      const ours = all.filter((path) => path.includes(".framepipe"));
      if (ours.length > 0) this.#problem(`left in ${name}: ${ours.slice(0, 5).join(" ")}`);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#ticker);
    for (const timer of this.#timers) clearTimeout(timer);
    for (const program of this.#programs) await program.kill();
    for (const stream of this.#streams) stream.close();
    for (const { proxy, disk } of this.#receivers) {
      proxy.close();
      disk.close();
    }
    this.#card.close();
    if (statSync(this.#folder, { throwIfNoEntry: false }) !== undefined) {
      mkdirSync(this.#folder, { recursive: true });
      rmSync(this.#folder, { recursive: true, force: true });
    }
  }
}
