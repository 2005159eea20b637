/** Who takes part: receivers with every kind of destination, each on a disk of its own, and cameras of every kind. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { freePort } from "../../test/support/processes.ts";
import type { Random } from "../../test/support/random.ts";
import { type Camera, DirectoryCamera, StreamCamera, WatchedCamera } from "./cameras.ts";
import { compileClockShim, JumpingClock } from "./clock.ts";
import { TortureDisk } from "./disk.ts";
import { HostileProxy } from "./hostile-proxy.ts";
import type { Journal } from "./journal.ts";
import { Program, type ProgramOptions } from "./program.ts";

const MiB = 2 ** 20;
/** Resident memory, as it is promised for any work. */
const senderRssBytesMax = 100 * MiB;
const receiverRssBytesMax = 150 * MiB;
/** A receiver that is started while its disk comes or goes may end at once, and may take so long to. */
const disksChangeMs = 15_000;

export interface Receiver {
  readonly program: Program;
  readonly proxy: HostileProxy;
  readonly disk: TortureDisk;
  /** Where what it stores can always be seen, in the order of `--out`. */
  readonly out: readonly string[];
  readonly cameras: Camera[];
  /** Not started again before. */
  downUntilMs: number;
}

export interface StageOptions {
  readonly random: Random;
  readonly minutes: number;
  readonly executable: string;
  readonly journal: Journal;
}

export class Stage {
  readonly #options: StageOptions;
  readonly folder: string = mkdtempSync(join(tmpdir(), "framepipe-torture-"));
  readonly receivers: readonly Receiver[];
  /** On which one of the cameras keeps its pictures. */
  readonly card: TortureDisk;
  readonly streams: StreamCamera[] = [];
  readonly clocks: Map<Program, JumpingClock> = new Map();
  readonly #shim: string | undefined;

  constructor(options: StageOptions) {
    this.#options = options;
    this.#shim = compileClockShim(this.folder);
    const bytes = (96 + Math.ceil(options.minutes * 24)) * MiB;
    this.card = new TortureDisk(join(this.folder, "card"), bytes);
    const directory = this.#receiver("receiver-1", bytes, ["captures"]);
    const both = this.#receiver("receiver-2", bytes, ["captures", "day.tar", "day.mcap"]);
    const archives = this.#receiver("receiver-3", bytes, ["night.mcap", "night.tar"]);
    this.receivers = [directory, both, archives];
    this.#addRolls(directory, "rolls");
    this.#addWatched(directory, "card", [this.card]);
    this.#addWatched(directory, "twins", ["twin-a", "twin-b"]);
    this.#addWatched(both, "vault", ["vault"]);
    this.#addWatched(archives, "attic", ["attic"]);
    this.#addStream(directory, "spooled", this.at("spool"));
    this.#addStream(both, "piped", undefined);
  }

  get cameras(): readonly Camera[] {
    return this.receivers.flatMap(({ cameras }) => cameras);
  }

  get programs(): readonly Program[] {
    return [...this.receivers.map(({ program }) => program), ...this.cameras.flatMap(({ programs }) => programs)];
  }

  at(name: string): string {
    return join(this.folder, name);
  }

  #program(options: Pick<ProgramOptions, "name" | "words" | "laterWords" | "rssBytesMax" | "mayEnd">): Program {
    const { executable, journal } = this.#options;
    const clock = this.#shim === undefined ? undefined : new JumpingClock(this.#shim, this.at(`${options.name}.clock`));
    const program = new Program({ ...options, executable, clock, folder: this.folder, listener: journal });
    if (clock !== undefined) this.clocks.set(program, clock);
    return program;
  }

  #receiver(name: string, bytes: number, outs: readonly string[]): Receiver {
    const disk = new TortureDisk(this.at(`${name}-disk`), outs.length * bytes);
    const port = freePort();
    const to = outs.flatMap((each) => ["--out", join(disk.path, each)]);
    const program = this.#program({
      name,
      words: ["--receive", `127.0.0.1:${port}`, "--min-free", "0", ...to],
      // Not into the mount point while the disk is away.
      laterWords: ["--no-create"],
      rssBytesMax: receiverRssBytesMax,
      mayEnd: () => disk.attached !== "writable" || performance.now() - disk.attachedMs < disksChangeMs,
    });
    const out = outs.map((each) => join(disk.inside, each));
    return { program, proxy: new HostileProxy(port), disk, out, cameras: [], downUntilMs: 0 };
  }

  #sender({ proxy }: Receiver, name: string, device: string, words: readonly string[], mayEnd = false): Program {
    return this.#program({
      name,
      words: ["--send", `127.0.0.1:${proxy.port}`, "--device", device, ...words],
      rssBytesMax: senderRssBytesMax,
      mayEnd: () => mayEnd,
    });
  }

  #common(device: string, rate: number) {
    return { random: this.#options.random.split(), device, rate };
  }

  #addRolls(receiver: Receiver, device: string): void {
    const folder = this.at(device);
    const program = this.#sender(receiver, device, device, ["--retry-for", "20s", `vis=${folder}`], true);
    receiver.cameras.push(new DirectoryCamera({ ...this.#common(device, 0.5), folder, program }));
  }

  #addWatched(receiver: Receiver, device: string, places: readonly (string | TortureDisk)[]): void {
    const folders: string[] = [];
    const programs = places.map((place, index) => {
      const name = places.length === 1 ? device : `${device}-${index}`;
      // Pictures of a disk appear on it whether it is attached or not.
      const [made, seen] = typeof place === "string" ? [this.at(place), this.at(place)] : [place.inside, place.path];
      folders.push(made);
      const words = ["--watch", "--delete-sent", "--unchanged-for", "0", `vis=${seen}`];
      return this.#sender(receiver, name, device, words);
    });
    receiver.cameras.push(new WatchedCamera({ ...this.#common(device, 0.4), folders, programs }));
  }

  #addStream(receiver: Receiver, device: string, spool: string | undefined): void {
    const pipe = this.at(`${device}.pipe`);
    const kept = spool === undefined ? [] : ["--spool", spool];
    const program = this.#sender(receiver, device, device, ["--watch", "--format", "pnm", ...kept, `live=${pipe}`]);
    const stored = join(receiver.out[0] ?? "", device);
    const camera = new StreamCamera({ ...this.#common(device, 0.5), pipe, program, stored, ...(spool && { spool }) });
    this.streams.push(camera);
    receiver.cameras.push(camera);
  }

  /** Who takes part, and what cannot be done to them here. */
  cast(): string[] {
    const all = this.receivers.map(({ program, out, cameras }) => {
      const from = cameras.map(({ device, kind }) => `${device} (${kind})`);
      return `${program.name} stores ${from.join(", ")} to ${out.map((path) => basename(path)).join(", ")}`;
    });
    return [...all, ...this.#leftOut().map((text) => `left out: ${text}`)];
  }

  /** Each with the reason. */
  #leftOut(): string[] {
    const all: string[] = [];
    if (!this.card.isOwn) all.push("disks that are full, read-only and away: nothing may be mounted here");
    if (this.#shim === undefined) all.push("clocks that jump: no C compiler here; `bun run simulate` has them");
    return all;
  }

  async close(): Promise<void> {
    for (const program of this.programs) await program.kill();
    for (const stream of this.streams) stream.close();
    for (const { proxy, disk } of this.receivers) {
      proxy.close();
      disk.close();
    }
    this.card.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Of a path or a disk, for a message. */
export function nameOf({ path }: TortureDisk): string {
  return basename(path);
}
