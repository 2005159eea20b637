/** What a simulated receiver stores in: every kind of store, on a disk that can be full, crash and lose its power. */
import { SinkError } from "../../src/errors.ts";
import type { Origin } from "../../src/frame.ts";
import { MiB } from "../../src/limits.ts";
import type { Clock } from "../../src/ports.ts";
import type { KeepRules } from "../../src/sinks/directory/keeping.ts";
import { DirectoryStore } from "../../src/sinks/directory/directory-store.ts";
import type { AccountOutcome } from "../../src/outcomes.ts";
import { openMcapStore } from "../../src/sinks/mcap/mcap-store.ts";
import { Layout, layoutDefault } from "../../src/sinks/store/layout.ts";
import type { Draft, Store } from "../../src/sinks/store/store.ts";
import type { SyncMode } from "../../src/sinks/store/sync-mode.ts";
import { openTarStore } from "../../src/sinks/tar/tar-store.ts";
import { MemoryStore } from "../../src/sinks/testing/memory-store.ts";
import { LaterStore } from "../sinks/stores/later-store.ts";
import type { Random } from "../support/random.ts";
import { type Contents, readMcap, readTar } from "./archive-readers.ts";
import { SimArchive } from "./sim-archive.ts";
import { SimCatalogue, SimDisk } from "./sim-disk.ts";

export const storeKinds = ["directory", "later directory", "tar", "mcap", "memory", "later memory"] as const;
export type StoreKind = (typeof storeKinds)[number];

/** A disk that says it has synced and has not. */
export type Lie = "sync" | "syncDirectories" | "catalogue" | "times";

export interface Destination {
  /** Nothing can be added while this is set. */
  full: boolean;
  /** In this folder nothing can be stored while this is set; absent: it has no folders. */
  denied?: string | undefined;
  /** Where each frame is a file: no file may be larger. */
  fileBytesMax?: number;
  /** What was stored is there after the receiver has died. */
  readonly outlivesReceiver: boolean;
  /** As a new receiver does it. Throws UserError. */
  openStore(clock: Clock, sync: SyncMode): Store;
  /** The receiver was killed, or the machine has lost power. */
  crash(mode: "process" | "power"): void;
  /** Ends the receiver before the `steps`th operation from now of its disk. */
  crashIn(steps: number): void;
  /** The end that `crashIn` announced has come. */
  readonly dead: boolean;
  /** Answers that came never, or got lost. */
  readonly lostAnswers: number;
  /** How long it takes to look into it, beside a directory. */
  readonly lookCost: number;
  /** All frames that a person finds, by path. */
  finalFiles(): ReadonlyMap<string, Uint8Array>;
  /** What is certain to survive a power loss. */
  durable(): Contents;
  /** The modification times of these files, where they are files. */
  modifiedTimes?(): ReadonlyMap<string, bigint> | undefined;
  /** Frames that have been removed, by source and name, and the paths of files that are about to be. */
  expired?(): { readonly frames: ReadonlySet<string>; readonly leaving: ReadonlySet<string> };
  /** The same of what became of the numbers of a source and session, where that is recorded. */
  account?(origin: Origin): ReadonlyMap<number, AccountOutcome> | undefined;
}

export interface DestinationOptions {
  readonly random: Random;
  readonly after: (delayMs: number, run: () => void) => void;
  readonly lie: Lie | undefined;
  /** A directory removes frames. */
  readonly keep?: KeepRules | undefined;
  /** Answers get lost before this, virtual. */
  readonly troubleMs: number;
}

export function makeDestination(kind: StoreKind, options: DestinationOptions): Destination {
  switch (kind) {
    case "directory":
      return new InDirectory(options);
    case "later directory":
      return new Later(new InDirectory(options), options);
    case "tar":
      return new InArchive("tar", options);
    case "mcap":
      return new InArchive("mcap", options);
    case "memory":
      return new InMemory();
    case "later memory":
      return new Later(new InMemory(), options);
  }
}

const layout = new Layout(layoutDefault);

class InDirectory implements Destination {
  readonly lostAnswers = 0;
  readonly lookCost = 1;
  readonly outlivesReceiver = true;
  readonly #disk: SimDisk;

  readonly #keep: KeepRules | undefined;

  constructor({ random, after, lie, keep }: DestinationOptions) {
    this.#keep = keep;
    const shortWrites = random.chance(0.5);
    this.#disk = new SimDisk({ random, after, shortWrites, ...(lie === undefined ? {} : { lie }) });
  }

  get full(): boolean {
    return this.#disk.full;
  }

  set full(full: boolean) {
    this.#disk.full = full;
  }

  get denied(): string | undefined {
    return this.#disk.denied;
  }

  set denied(folder: string | undefined) {
    this.#disk.denied = folder;
  }

  set fileBytesMax(bytes: number) {
    this.#disk.fileBytesMax = bytes;
  }

  openStore(clock: Clock, sync: SyncMode): Store {
    const catalogue = new SimCatalogue(this.#disk);
    return erased(
      new DirectoryStore({
        directory: "/archive",
        layout,
        sync,
        minFreeBytes: 0,
        disk: this.#disk,
        takeLock: () => ({ inPlace: () => true, release: () => undefined }),
        openCatalogue: () => catalogue,
        clock,
        keep: this.#keep,
      }),
    );
  }

  crash(mode: "process" | "power"): void {
    this.#disk.crash(mode);
  }

  crashIn(steps: number): void {
    this.#disk.crashIn(steps);
  }

  get dead(): boolean {
    return this.#disk.dead;
  }

  finalFiles(): Map<string, Uint8Array> {
    return this.#disk.finalFiles();
  }

  durable(): Contents {
    const disk = this.#disk;
    return {
      files: disk.durableFiles(),
      rows: new Map(disk.durableRows().map((row) => [row.path, row])),
      gaps: disk.durableGaps(),
      ends: disk.durableEnds(),
    };
  }

  modifiedTimes(): ReadonlyMap<string, bigint> {
    return this.#disk.modifiedTimes();
  }

  account(origin: Origin): ReadonlyMap<number, AccountOutcome> {
    return this.#disk.durableOutcomes(origin);
  }

  expired(): { frames: ReadonlySet<string>; leaving: ReadonlySet<string> } {
    return this.#disk.durableExpired();
  }
}

class InArchive implements Destination {
  readonly lostAnswers = 0;
  readonly lookCost = 10;
  readonly outlivesReceiver = true;
  readonly #kind: "tar" | "mcap";
  readonly #archive: SimArchive;
  #store: Store | undefined;
  /** What a power loss has left has not been looked through by a receiver. */
  #torn = false;
  #read: { readonly version: number; readonly contents: Contents } | undefined;

  constructor(kind: "tar" | "mcap", { random, after, lie }: DestinationOptions) {
    this.#kind = kind;
    this.#archive = new SimArchive({ random, after, lies: lie === "sync" });
  }

  get full(): boolean {
    return this.#archive.full;
  }

  set full(full: boolean) {
    this.#archive.full = full;
  }

  openStore(clock: Clock, sync: SyncMode): Store {
    const options = {
      path: `/archive/day.${this.#kind}`,
      layout,
      sync,
      frameBytesMax: 1_000_000,
      minFreeBytes: 0,
      // No frame goes to a temporary file, which would be on the real disk.
      memoryBytesMax: 1024 * MiB,
      cacheBytes: MiB,
      openFile: (path: string, create: boolean) => this.#archive.open(path, create),
      indexInMemory: true,
      clock,
      chunkBytesMax: 100_000,
    };
    this.#store = erased(this.#kind === "tar" ? openTarStore(options) : openMcapStore(options));
    this.#torn = false;
    return this.#store;
  }

  crash(mode: "process" | "power"): void {
    this.#archive.crash(mode);
    this.#torn ||= mode === "power";
    // Only gives back what the dead process has of this one: its file does nothing any more.
    this.#store?.close();
    this.#store = undefined;
  }

  crashIn(steps: number): void {
    this.#archive.crashIn(steps);
  }

  get dead(): boolean {
    return this.#archive.dead;
  }

  finalFiles(): ReadonlyMap<string, Uint8Array> {
    return this.#torn ? new Map<string, Uint8Array>() : this.#contentsOf(this.#archive.bytes).files;
  }

  durable(): Contents {
    const { version } = this.#archive;
    if (this.#read?.version !== version) {
      this.#read = { version, contents: this.#contentsOf(this.#archive.durableBytes()) };
    }
    return this.#read.contents;
  }

  #contentsOf(archive: Buffer): Contents {
    return this.#kind === "tar" ? readTar(archive) : readMcap(archive);
  }
}

class InMemory implements Destination {
  readonly lostAnswers = 0;
  readonly lookCost = 1;
  readonly outlivesReceiver = false;
  readonly dead = false;
  readonly #store = new MemoryStore();

  get full(): boolean {
    return this.#store.failure !== undefined;
  }

  set full(full: boolean) {
    this.#store.failure = full ? new SinkError("memory: full for a while", { retryable: true }) : undefined;
  }

  openStore(): Store {
    return erased(this.#store);
  }

  crash(): never {
    throw new Error("what is in memory does not outlive its receiver");
  }

  crashIn(): never {
    return this.crash();
  }

  finalFiles(): Map<string, Uint8Array> {
    return new Map([...this.#store.frames].map(([path, { bytes }]) => [path, bytes]));
  }

  durable(): Contents {
    const { frames, gaps, ends } = this.#store;
    return { files: this.finalFiles(), rows: new Map(frames), gaps, ends };
  }
}

/** Any of them, asked over a network. */
class Later implements Destination {
  readonly #inner: Destination;
  readonly #random: Random;
  readonly #troubleMs: number;
  readonly #delayMsMax: number;
  readonly #stores: LaterStore<Draft>[] = [];

  constructor(inner: Destination, { random, troubleMs }: DestinationOptions) {
    this.#inner = inner;
    this.#random = random;
    this.#troubleMs = troubleMs;
    this.#delayMsMax = random.pick([1, 30, 500]);
  }

  get lostAnswers(): number {
    return this.#stores.reduce((sum, { lostAnswers }) => sum + lostAnswers, 0);
  }

  get lookCost(): number {
    return this.#inner.lookCost;
  }

  get full(): boolean {
    return this.#inner.full;
  }

  set full(full: boolean) {
    this.#inner.full = full;
  }

  get outlivesReceiver(): boolean {
    return this.#inner.outlivesReceiver;
  }

  openStore(clock: Clock, sync: SyncMode): Store {
    const inTrouble = (chance: number): number => (clock.nowMs() < this.#troubleMs ? chance : 0);
    const store = new LaterStore(this.#inner.openStore(clock, sync), {
      after: clock.after,
      random: this.#random,
      delayMsMax: this.#delayMsMax,
      get silence() {
        return inTrouble(0.02);
      },
      get loss() {
        return inTrouble(0.05);
      },
    });
    this.#stores.push(store);
    return store;
  }

  crash(mode: "process" | "power"): void {
    this.#inner.crash(mode);
  }

  crashIn(steps: number): void {
    this.#inner.crashIn(steps);
  }

  get dead(): boolean {
    return this.#inner.dead;
  }

  finalFiles(): ReadonlyMap<string, Uint8Array> {
    return this.#inner.finalFiles();
  }

  durable(): Contents {
    return this.#inner.durable();
  }

  modifiedTimes(): ReadonlyMap<string, bigint> | undefined {
    return this.#inner.modifiedTimes?.();
  }

  account(origin: Origin): ReadonlyMap<number, AccountOutcome> | undefined {
    return this.#inner.account?.(origin);
  }
}

/** A store is given only drafts of its own. */
function erased<D extends Draft>(store: Store<D>): Store {
  return store as unknown as Store;
}
