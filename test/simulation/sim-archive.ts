/**
 * One archive file in memory, on a disk that forgets what a real one may forget. Every sector reaches the device by
 * itself: after a power loss each one that was written since the last flush is as it was or as it is, new ones may be
 * zeros. The file has its old length, its new one, or if it grew one between them. One whose name was not flushed may
 * be gone.
 * A write that is cut off by the end of the process is there up to the end of one of its sectors.
 *
 * As on a `SimDisk`, `crashIn(n)` ends the process before its n-th operation from now, in the middle of what it does.
 */
import type { ArchiveFile } from "../../src/archive-formats/archive-file.ts";
import type { Random } from "../support/random.ts";
import { failure } from "./sim-disk.ts";

const sectorBytes = 512;

export interface SimArchiveOptions {
  readonly random: Random;
  /** Runs something later. */
  readonly after: (delayMs: number, run: () => void) => void;
  /** Flushes that say that they are done and do nothing. */
  readonly lies: boolean;
}

export class SimArchive {
  /** Nothing can be added while this is set. */
  full = false;
  /** Counts what changes `durableBytes`. */
  version = 0;
  readonly #options: SimArchiveOptions;
  #exists = false;
  #nameSynced = false;
  #data: Buffer = Buffer.alloc(4096);
  #length = 0;
  #syncedLength = 0;
  /** By number: what sectors that were written since the last flush had then. */
  readonly #before = new Map<number, Buffer>();
  /** Which process. */
  #life = 0;
  #stepsLeft = Number.POSITIVE_INFINITY;

  constructor(options: SimArchiveOptions) {
    this.#options = options;
  }

  // ---- what happens to it

  crash(mode: "process" | "power"): void {
    this.#life += 1;
    this.#stepsLeft = Number.POSITIVE_INFINITY;
    if (mode === "power" && this.#exists) this.#losePower();
  }

  #losePower(): void {
    const { random } = this.#options;
    const [synced, now] = [this.#syncedLength, this.#length];
    const length = random.pick([synced, now, now > synced ? synced + random.int(now - synced) : now]);
    const mixed = Buffer.alloc(Math.max(synced, now));
    this.#data.copy(mixed, 0, 0, now);
    for (const [sector, bytes] of this.#before) {
      if (random.chance(0.5) || sector * sectorBytes >= now) bytes.copy(mixed, sector * sectorBytes);
    }
    for (let at = Math.ceil(synced / sectorBytes) * sectorBytes; at < now; at += sectorBytes) {
      if (random.chance(0.3)) mixed.fill(0, at, Math.min(at + sectorBytes, now));
    }
    this.#exists = this.#nameSynced || random.chance(0.5);
    this.#data = mixed;
    this.#length = this.#exists ? length : 0;
    this.#nameSynced = this.#exists;
    this.#flushed();
  }

  crashIn(steps: number): void {
    this.#stepsLeft = steps;
  }

  get dead(): boolean {
    return this.#stepsLeft < 0;
  }

  // ---- what a person sees

  get bytes(): Buffer {
    return this.#data.subarray(0, this.#length);
  }

  /** What it is certain to have after a power loss, where nothing was written since. */
  durableBytes(): Buffer {
    if (!this.#nameSynced) return Buffer.alloc(0);
    const bytes = Buffer.alloc(Math.max(this.#syncedLength, this.#length));
    this.bytes.copy(bytes);
    for (const [sector, before] of this.#before) before.copy(bytes, sector * sectorBytes);
    return bytes.subarray(0, this.#syncedLength);
  }

  // ---- the file

  open(path: string, create: boolean): ArchiveFile {
    this.#step(this.#life);
    const { random } = this.#options;
    if (!this.#exists) {
      if (!create) throw failure("ENOENT", path);
      if (this.full && random.chance(0.3)) throw failure("ENOSPC", path);
      this.#exists = true;
    }
    const life = this.#life;
    const now = (): void => this.#step(life);
    return {
      path,
      identity: path,
      bytes: this.#length,
      read: (into, position) => {
        now();
        return this.bytes.copy(into, 0, Math.min(position, this.#length));
      },
      write: (views, position) => this.#write(Buffer.concat(views), position, life),
      probe: (bytes, position) => {
        now();
        this.#refuseIfFull(position + bytes);
        this.#put(new Uint8Array(bytes), position);
      },
      resize: (bytes) => {
        now();
        this.#resize(bytes);
      },
      sync: () => this.#sync(life),
      syncNow: () => {
        now();
        this.#flush();
      },
      look: () => {
        now();
        return { inPlace: this.#exists, lock: "kept" };
      },
      size: () => {
        now();
        return this.#length;
      },
      freeBytes: () => {
        now();
        return this.full ? 0 : 1e12;
      },
      close: () => undefined,
    };
  }

  #write(bytes: Buffer, position: number, life: number): void {
    const { random } = this.#options;
    // The system copies a write page by page, and ends it between two of them.
    const cut = position + random.int(bytes.byteLength + 1);
    const first = Math.max(0, cut - (cut % sectorBytes) - position);
    if (life === this.#life) this.#put(bytes.subarray(0, first), position);
    this.#step(life);
    this.#refuseIfFull(position + bytes.byteLength);
    this.#put(bytes, position);
  }

  async #sync(life: number): Promise<void> {
    if (this.#ends(life)) return new Promise(() => undefined);
    await this.#later(life, 20);
    if (this.full && this.#options.random.chance(0.2)) throw failure("ENOSPC", "fdatasync");
    this.#flush();
  }

  /** Goes on later, if the process still lives. */
  #later(life: number, delayMsMax: number): Promise<void> {
    const { random, after } = this.#options;
    return new Promise((resolve) => {
      after(random.next() * delayMsMax, () => {
        if (life === this.#life && !this.dead) resolve();
      });
    });
  }

  #refuseIfFull(end: number): void {
    // What is there already has its room.
    if (this.full && end > this.#length) throw failure("ENOSPC", "write");
  }

  #put(bytes: Uint8Array, position: number): void {
    if (bytes.byteLength === 0) return;
    const end = position + bytes.byteLength;
    this.#keepBefore(position, end);
    if (end > this.#data.byteLength) {
      const larger = Buffer.alloc(2 * end);
      this.bytes.copy(larger);
      this.#data = larger;
    }
    if (position > this.#length) this.#data.fill(0, this.#length, position);
    this.#data.set(bytes, position);
    this.#length = Math.max(this.#length, end);
  }

  #resize(bytes: number): void {
    if (bytes < this.#length) {
      this.#keepBefore(bytes, this.#length);
      this.#length = bytes;
    } else if (bytes > this.#length) this.#put(new Uint8Array(bytes - this.#length), this.#length);
  }

  /** Keeps what these bytes had at the last flush. */
  #keepBefore(from: number, to: number): void {
    const end = Math.min(to, this.#syncedLength);
    for (let sector = Math.floor(from / sectorBytes); sector * sectorBytes < end; sector += 1) {
      if (this.#before.has(sector)) continue;
      const start = sector * sectorBytes;
      this.#before.set(
        sector,
        Buffer.from(this.#data.subarray(start, Math.min(start + sectorBytes, this.#syncedLength))),
      );
    }
  }

  #flush(): void {
    if (this.#options.lies) return;
    this.#nameSynced = true;
    this.#flushed();
  }

  #flushed(): void {
    this.#syncedLength = this.#length;
    this.#before.clear();
    this.version += 1;
  }

  #step(life: number): void {
    if (this.#ends(life)) throw failure("EIO", "the process has ended");
  }

  /** Counts an operation. True: the process does not live to do it. */
  #ends(life: number): boolean {
    if (life !== this.#life) return true;
    this.#stepsLeft -= 1;
    return this.dead;
  }
}
