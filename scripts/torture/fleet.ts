/**
 * Senders, receivers, a balancer and a store, as a site would run them, one of which is killed every minute, or the
 * store answers 503 for ten seconds. Cameras go on all the while, and remove what is acknowledged. At the end every
 * frame that a camera made is in the store, once, and `--verify` finds an account that holds.
 */
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { S3Remote } from "../../src/sinks/s3/s3-remote.ts";
import { namesOf } from "../../test/sinks/remote/remote-place.ts";
import { Haproxy } from "../../test/support/haproxy.ts";
import { freePort } from "../../test/support/processes.ts";
import { Radosgw } from "../../test/support/radosgw.ts";
import { Random } from "../../test/support/random.ts";

export interface FleetOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly executable: string;
  /** Between two troubles. */
  readonly troubleMs: number;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface FleetReport {
  readonly made: number;
  readonly stored: number;
  readonly lost: number;
  readonly doubled: number;
  readonly verifyStatus: number;
  readonly events: Readonly<Record<string, number>>;
  readonly peakMiB: Readonly<Record<string, number>>;
  readonly problems: readonly string[];
}

const senderCount = 3;
const receiverCount = 2;
/** Of each camera. */
const frameEveryMs = 250;
const refusalMs = 10_000;
/** How long what is left at the end may take. */
const drainMs = 300_000;

export async function runFleet(options: FleetOptions): Promise<FleetReport> {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-fleet-"));
  const store = await new Radosgw().start();
  const gate = await new Gate(Number(new URL(store.env["AWS_ENDPOINT_URL"] ?? "").port)).start();
  const fleet = new Fleet(options, folder, store, gate);
  try {
    return await fleet.run();
  } finally {
    await fleet.close();
    gate.close();
    await store.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Before the store: passes everything on, or answers 503. */
class Gate {
  refuses = false;
  readonly port: number = freePort();
  readonly #server: Server;

  constructor(storePort: number) {
    this.#server = createServer((asked, answer) => this.#pass(asked, answer, storePort));
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(this.port, "127.0.0.1", resolve));
    return this;
  }

  #pass(asked: IncomingMessage, answer: ServerResponse, port: number): void {
    if (this.refuses) {
      asked.resume();
      return void answer.writeHead(503, { "retry-after": "1" }).end("<Error><Code>SlowDown</Code></Error>");
    }
    // With the host that was signed.
    const { method, headers, url: path } = asked;
    const onward = request({ host: "127.0.0.1", port, method, headers, path }, (found) => {
      answer.writeHead(found.statusCode ?? 502, found.headers);
      found.pipe(answer);
    });
    onward.on("error", () => answer.destroy());
    asked.on("error", () => onward.destroy());
    asked.pipe(onward);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** One process that is started again when it is killed. */
class Member {
  readonly name: string;
  peakKiB = 0;
  #process: Bun.Subprocess | undefined;
  readonly #start: () => Bun.Subprocess;

  constructor(name: string, start: () => Bun.Subprocess) {
    this.name = name;
    this.#start = start;
  }

  start(): void {
    this.#process = this.#start();
  }

  measure(): void {
    try {
      const status = readFileSync(`/proc/${this.#process?.pid}/status`, "utf8");
      this.peakKiB = Math.max(this.peakKiB, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
    } catch {
      // It has ended.
    }
  }

  /** Ended although nobody told it to. */
  get failed(): boolean {
    return this.#process !== undefined && this.#process.exitCode !== null;
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.measure();
    this.#process?.kill(signal);
    await this.#process?.exited;
    this.#process = undefined;
  }
}

class Fleet {
  readonly #options: FleetOptions;
  readonly #folder: string;
  readonly #store: Radosgw;
  readonly #gate: Gate;
  readonly #random: Random;
  readonly #env: Record<string, string>;
  readonly #out: string;
  readonly #prefix: string;
  readonly #ports = Array.from({ length: receiverCount }, () => freePort());
  readonly #balancer: Haproxy;
  readonly #members: Member[];
  readonly #made = new Set<string>();
  readonly #events: Record<string, number> = {};
  readonly #problems: string[] = [];
  readonly #beganMs = performance.now();

  constructor(options: FleetOptions, folder: string, store: Radosgw, gate: Gate) {
    this.#options = options;
    this.#folder = folder;
    this.#store = store;
    this.#gate = gate;
    this.#random = new Random(options.seed);
    this.#prefix = `fleet-${options.seed}`;
    this.#out = `s3://frames/${this.#prefix}`;
    this.#env = { ...store.env, AWS_ENDPOINT_URL: `http://127.0.0.1:${gate.port}` };
    this.#balancer = new Haproxy(this.#ports);
    for (let index = 0; index < senderCount; index += 1) mkdirSync(this.#camera(index), { recursive: true });
    this.#members = [
      ...this.#ports.map((port, index) =>
        this.#member(`receiver-${index}`, ["--receive", `127.0.0.1:${port}`, "--out", this.#out]),
      ),
      ...Array.from({ length: senderCount }, (_, index) => {
        const to = ["--send", `127.0.0.1:${this.#balancer.port}`, "--device", `rig-${index}`, "--watch"];
        const what = ["--delete-sent", "--unchanged-for", "2s", `visible=${this.#camera(index)}`];
        return this.#member(`sender-${index}`, [...to, ...what]);
      }),
    ];
  }

  #camera(index: number): string {
    return join(this.#folder, `camera-${index}`);
  }

  #member(name: string, words: readonly string[]): Member {
    const log = openSync(join(this.#folder, `${name}.log`), "a");
    const env = { PATH: process.env["PATH"] ?? "", XDG_STATE_HOME: join(this.#folder, name), ...this.#env };
    return new Member(name, () =>
      Bun.spawn([this.#options.executable, ...words], { stdio: ["ignore", "ignore", log], env }),
    );
  }

  async run(): Promise<FleetReport> {
    const { minutes, signal, troubleMs } = this.#options;
    await this.#balancer.start();
    for (const member of this.#members) member.start();
    const endMs = performance.now() + minutes * 60_000;
    let troubleAtMs = performance.now() + troubleMs;
    let at = 0;
    while (performance.now() < endMs && !signal.aborted) {
      for (let camera = 0; camera < senderCount; camera += 1) this.#makeFrame(camera, at);
      at += 1;
      if (at % 40 === 0) this.#look();
      if (performance.now() >= troubleAtMs) {
        troubleAtMs += troubleMs;
        void this.#trouble();
      }
      await Bun.sleep(frameEveryMs);
    }
    return this.#end();
  }

  /** Renamed when it is whole, as a camera's program does. Every frame has other bytes. */
  #makeFrame(camera: number, at: number): void {
    const bytes = 5_000 + this.#random.int(40_000);
    const folder = this.#camera(camera);
    const name = `${String(at).padStart(6, "0")}.pgm`;
    const head = new TextEncoder().encode(`P5 ${bytes} 1 255\n`);
    const frame = new Uint8Array(head.length + bytes).fill(at % 251);
    frame.set(head);
    frame.set(this.#random.bytes(32), head.length);
    writeFileSync(join(folder, `.${name}`), frame);
    renameSync(join(folder, `.${name}`), join(folder, name));
    this.#made.add(`rig-${camera}/visible/${name}`);
  }

  #look(): void {
    for (const member of this.#members) {
      member.measure();
      if (!member.failed) continue;
      this.#problem(`${member.name} has ended by itself`);
      member.start();
    }
  }

  async #trouble(): Promise<void> {
    const kinds = ["store 503", "store killed", "balancer killed", ...this.#members.map(({ name }) => name)];
    const kind = this.#random.pick(kinds);
    const member = this.#members.find(({ name }) => name === kind);
    const what = member === undefined ? kind : `${kind} killed`;
    this.#events[what] = (this.#events[what] ?? 0) + 1;
    this.#log(what);
    const awayMs = 500 + this.#random.int(5_000);
    try {
      if (member !== undefined) {
        await member.end("SIGKILL");
        await Bun.sleep(awayMs);
        member.start();
      } else if (kind === "store 503") {
        this.#gate.refuses = true;
        await Bun.sleep(refusalMs);
        this.#gate.refuses = false;
      } else if (kind === "store killed") {
        await this.#store.killGateway();
        await Bun.sleep(awayMs);
        await this.#store.startGateway();
      } else {
        await this.#balancer.kill();
        await Bun.sleep(awayMs);
        await this.#balancer.start();
      }
    } catch (error) {
      this.#problem(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** What is left is sent; then nobody is there any more but the store. */
  async #end(): Promise<FleetReport> {
    this.#log("cameras end");
    const untilMs = performance.now() + drainMs;
    while (this.#waitingFiles() > 0 && performance.now() < untilMs) await Bun.sleep(200);
    const left = this.#waitingFiles();
    if (left > 0) this.#problem(`${left} files are left at the cameras`);
    for (const member of this.#members.toReversed()) await member.end("SIGTERM");
    const remote = new S3Remote(this.#store.bucket(this.#prefix));
    const stored = new Set(await namesOf((from) => remote.listFrames(from)));
    remote.close();
    const lost = [...this.#made].filter((path) => !stored.has(path));
    const doubled = [...stored].filter((path) => !this.#made.has(path));
    for (const path of lost.slice(0, 5)) this.#problem(`lost: ${path}`);
    for (const path of doubled.slice(0, 5)) this.#problem(`doubled: ${path}`);
    const verifyStatus = await this.#verify();
    const peakMiB = Object.fromEntries(this.#members.map(({ name, peakKiB }) => [name, Math.round(peakKiB / 1024)]));
    const [made, counts] = [this.#made.size, { lost: lost.length, doubled: doubled.length }];
    const events = this.#events;
    return { made, stored: stored.size, ...counts, verifyStatus, events, peakMiB, problems: this.#problems };
  }

  #waitingFiles(): number {
    let files = 0;
    for (let index = 0; index < senderCount; index += 1) {
      files += readdirSync(this.#camera(index)).length;
    }
    return files;
  }

  async #verify(): Promise<number> {
    const env = { PATH: process.env["PATH"] ?? "", ...this.#env };
    const words = [this.#options.executable, "--verify", this.#out];
    const verify = Bun.spawn(words, { stdio: ["ignore", "pipe", "pipe"], env });
    const said = await new Response(verify.stdout).text();
    const status = await verify.exited;
    this.#log(`--verify, status ${status}: ${said.trimEnd().split("\n").slice(-4).join(" | ")}`);
    if (status !== 0) this.#problem(`--verify ends with status ${status}`);
    return status;
  }

  #problem(text: string): void {
    this.#log(`PROBLEM ${text}`);
    this.#problems.push(text);
  }

  #log(text: string): void {
    const seconds = ((performance.now() - this.#beganMs) / 1000).toFixed(1);
    this.#options.log(`${seconds.padStart(8)} s  ${text}; ${this.#made.size} made, ${this.#waitingFiles()} at cameras`);
  }

  async close(): Promise<void> {
    for (const member of this.#members) await member.end("SIGKILL");
    await this.#balancer.stop();
  }
}
