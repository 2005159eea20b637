/**
 * Cameras of every kind, and their senders. Each makes pictures until it is told to stop, knows what it has made, and
 * knows when its sender has nothing left to do.
 */
import { closeSync, constants, existsSync, mkdirSync, openSync, readdirSync, renameSync } from "node:fs";
import { writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Random } from "../../test/support/random.ts";
import type { Program } from "./program.ts";

/** Checksums of what has been made, each as often as it was. */
export type Made = number[];

export interface Camera {
  /** As the receiver calls it. */
  readonly device: string;
  /** What it is, for the log. */
  readonly kind: string;
  readonly made: Made;
  readonly programs: readonly Program[];
  /** `kill -9` of its sender loses nothing at any moment. */
  readonly mayBeKilled: boolean;
  /** Called ten times a second: makes pictures, starts its sender where that is due. */
  tick(): void;
  /** Nothing is made any more, and its senders run as they should. */
  stopMaking(): void;
  /** Everything that was made is at the receiver, as far as can be seen from here. */
  readonly settled: boolean;
}

/** Complete by its own format, so that it is sent at once. */
export function picture(random: Random, id: string, bytesMax: number): Uint8Array {
  const bytes = 40 + random.int(bytesMax);
  const body = random.bytes(bytes);
  body.set(Buffer.from(id).subarray(0, bytes));
  return Buffer.concat([Buffer.from(`P5 1 ${bytes} 255\n`), body]);
}

export interface CameraOptions {
  readonly random: Random;
  readonly device: string;
  /** Pictures in a tick, on average. */
  readonly rate: number;
}

abstract class Maker implements Camera {
  readonly device: string;
  abstract readonly kind: string;
  readonly made: Made = [];
  abstract readonly programs: readonly Program[];
  readonly mayBeKilled: boolean = true;
  protected readonly random: Random;
  protected making = true;
  readonly #rate: number;
  #count = 0;

  constructor({ random, device, rate }: CameraOptions) {
    this.random = random;
    this.device = device;
    this.#rate = rate;
  }

  tick(): void {
    if (!this.making) return;
    for (let left = this.#rate; left > 0; left--) if (this.random.chance(left)) this.#make();
  }

  #make(): void {
    const number = this.#count++;
    if (!this.make(number)) return void this.#count--;
  }

  /** False: it could not be made. */
  protected abstract make(number: number): boolean;

  stopMaking(): void {
    this.making = false;
  }

  abstract readonly settled: boolean;

  /** Gives a picture its name when it is whole, as cameras do. False: the card takes nothing now. */
  protected store(folder: string, name: string, bytes: Uint8Array): boolean {
    const draft = join(folder, ".draft.tmp");
    try {
      writeFileSync(draft, bytes);
      renameSync(draft, join(folder, name));
    } catch {
      return false;
    }
    this.made.push(Bun.hash.crc32(bytes));
    return true;
  }
}

/** Now and then all of it is sent by a run that ends; what others removed there is sent again. */
export class DirectoryCamera extends Maker {
  readonly kind = "a directory, sent now and then";
  readonly programs: readonly [Program];
  readonly #folder: string;
  #clean = false;
  /** Before the next run. */
  #ticks = 0;

  constructor(options: CameraOptions & { readonly folder: string; readonly program: Program }) {
    super(options);
    this.#folder = options.folder;
    this.programs = [options.program];
    mkdirSync(this.#folder, { recursive: true });
  }

  protected make(number: number): boolean {
    const folder = join(this.#folder, `roll-${Math.floor(number / 100)}`);
    mkdirSync(folder, { recursive: true });
    return this.store(folder, `${number}.pgm`, picture(this.random, `${this.device} ${number}`, 30_000));
  }

  override tick(): void {
    super.tick();
    const [program] = this.programs;
    if (program.running || this.#clean || (this.making && this.#ticks-- > 0)) return;
    this.#ticks = 30 + this.random.int(150);
    void this.#run(program);
  }

  async #run(program: Program): Promise<void> {
    const last = !this.making;
    program.start();
    const status = await program.ended();
    if (last && status === 0) this.#clean = true;
  }

  get settled(): boolean {
    return this.#clean;
  }
}

/** Pictures appear in a folder and are removed once they are stored. Several with one device send under one name. */
export class WatchedCamera extends Maker {
  readonly kind: string;
  readonly programs: readonly Program[];
  readonly #folders: readonly string[];

  constructor(options: CameraOptions & { readonly folders: readonly string[]; readonly programs: readonly Program[] }) {
    super(options);
    this.#folders = options.folders;
    const count = options.folders.length;
    this.kind = `${count === 1 ? "a watched folder" : `${count} watched folders of one name`}, emptied when stored`;
    this.programs = options.programs;
    for (const folder of this.#folders) mkdirSync(folder, { recursive: true });
  }

  protected make(number: number): boolean {
    let all = true;
    for (const [index, folder] of this.#folders.entries()) {
      const bytes = picture(this.random, `${this.device} ${index} ${number}`, 20_000);
      all = this.store(folder, `${number}.pgm`, bytes) && all;
    }
    return all;
  }

  override tick(): void {
    super.tick();
    for (const program of this.programs) program.start();
  }

  get settled(): boolean {
    return this.#folders.every((folder) => readdirSync(folder).every((name) => !/\.pgm|framepipe/.test(name)));
  }
}

/** Pictures come through a named pipe, as from a program that is never restarted. */
export class StreamCamera extends Maker {
  readonly kind: string;
  readonly programs: readonly [Program];
  /** Where the backlog is, if it is kept on disk. */
  readonly #spool: string | undefined;
  readonly #pipe: number;
  /** Where its frames are at the receiver. */
  readonly #stored: string;
  #rest: Uint8Array = new Uint8Array(0);
  #quietTicks = 0;
  /** Nothing is made for a while, so that all there is has been read. */
  paused = false;

  constructor(
    options: CameraOptions & {
      readonly pipe: string;
      readonly spool?: string;
      readonly stored: string;
      readonly program: Program;
    },
  ) {
    super(options);
    this.programs = [options.program];
    this.#spool = options.spool;
    this.kind = `a named pipe${options.spool === undefined ? "" : ", kept in a spool"}`;
    this.#stored = options.stored;
    if (!Bun.spawnSync(["mkfifo", options.pipe]).success) throw new Error("no mkfifo");
    // Held open, so that what is in the pipe outlives a sender.
    this.#pipe = openSync(options.pipe, constants.O_RDWR | constants.O_NONBLOCK);
  }

  /** Killed only while it is paused: what a process has read and not kept dies with it. */
  override readonly mayBeKilled = false;

  protected make(number: number): boolean {
    if (this.paused || this.#rest.length > 0) return false;
    const bytes = picture(this.random, `${this.device} ${number}`, 8_000);
    this.made.push(Bun.hash.crc32(bytes));
    this.#rest = bytes;
    this.#push();
    return true;
  }

  #push(): void {
    try {
      while (this.#rest.length > 0) this.#rest = this.#rest.subarray(writeSync(this.#pipe, this.#rest));
    } catch {
      // The pipe is full; the rest comes with the next tick.
    }
  }

  override tick(): void {
    for (const program of this.programs) program.start();
    this.#push();
    super.tick();
    this.#quietTicks = this.making || this.#rest.length > 0 ? 0 : this.#quietTicks + 1;
  }

  /** Since a second. */
  get isDrained(): boolean {
    return this.#rest.length === 0;
  }

  get settled(): boolean {
    if (this.#quietTicks < 20) return false;
    if (this.#spool !== undefined) return filesIn(this.#spool).length === 0;
    // What only the sender's memory has cannot be seen here.
    return filesIn(this.#stored).length >= this.made.length;
  }

  close(): void {
    closeSync(this.#pipe);
  }
}

/** Frames that are kept there, and anything else that is not a hidden file of ours. */
function filesIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const all = readdirSync(folder, { recursive: true, withFileTypes: true, encoding: "utf8" });
  return all.filter((entry) => entry.isFile() && !entry.name.startsWith(".")).map((entry) => entry.name);
}
