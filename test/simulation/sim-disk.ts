/**
 * A disk and a catalogue in memory that forget what a real disk may forget.
 *
 * A file is its bytes and how many of them have been synced; a directory is its entries and the entries that have been
 * synced. `crash("process")` is kill -9: what the system accepted stays, what was open is closed. `crash("power")`
 * throws a coin for everything that was not synced: each changed entry of a directory is as it was or as it is, and of
 * the unsynced bytes of a file some are there, some are zeros, some are gone. That is harsher than most file systems,
 * which keep some order.
 *
 * `crashIn(n)` ends the process before its n-th operation from now, in the middle of whatever it does; then every
 * operation fails without effect until `crash` says which kind of end it was.
 */
import { crc32 } from "../../src/bytes/checksum.ts";
import type { Frame, FrameEntry, Gap, Origin, SourceEnd } from "../../src/frame.ts";
import {
  type Account,
  type Catalogue,
  type CatalogueBatch,
  catalogueFile,
  type Expiry,
  type FrameRow,
  type KeptRecords,
  namingPrefix,
  ownFolder,
  type StoredFrame,
} from "../../src/sinks/directory/catalogue.ts";
import { type AccountOutcome, noOutcomes, totalsOf } from "../../src/outcomes.ts";
import type { Disk, Look } from "../../src/system/file-system.ts";
import type { Random } from "../support/random.ts";

class SimFile {
  readonly id: number;
  #data = new Uint8Array(64);
  length = 0;
  /** The first of these bytes survive a power loss, and the time that was set by then. */
  syncedLength = 0;
  modifiedNs = 0n;
  syncedModifiedNs = 0n;

  constructor(id: number) {
    this.id = id;
  }

  get bytes(): Uint8Array {
    return this.#data.subarray(0, this.length);
  }

  append(view: Uint8Array): void {
    if (this.length + view.byteLength > this.#data.byteLength) {
      const larger = new Uint8Array(2 * (this.length + view.byteLength));
      larger.set(this.bytes);
      this.#data = larger;
    }
    this.#data.set(view, this.length);
    this.length += view.byteLength;
    this.modifiedNs = -1n;
  }

  losePower(random: Random): void {
    const unsynced = this.length - this.syncedLength;
    const zerosFrom = this.syncedLength + random.int(unsynced + 1);
    this.length = zerosFrom + random.int(this.length - zerosFrom + 1);
    this.#data.fill(0, zerosFrom, this.length);
    this.syncedLength = this.length;
    this.modifiedNs = this.syncedModifiedNs;
  }
}

class SimDirectory {
  readonly id: number;
  entries = new Map<string, SimNode>();
  synced = new Map<string, SimNode>();
  /** A sync that was asked for later has been done. */
  syncedAt = 0;

  constructor(id: number) {
    this.id = id;
  }

  losePower(random: Random): void {
    for (const name of new Set([...this.entries.keys(), ...this.synced.keys()])) {
      const node = random.chance(0.5) ? this.entries.get(name) : this.synced.get(name);
      if (node === undefined) this.entries.delete(name);
      else this.entries.set(name, node);
    }
    this.synced = new Map(this.entries);
    for (const node of this.entries.values()) node.losePower(random);
  }
}

type SimNode = SimFile | SimDirectory;

export interface SimDiskOptions {
  readonly random: Random;
  /** Runs something later. */
  readonly after: (delayMs: number, run: () => void) => void;
  /** Writes often take less than they were given. */
  readonly shortWrites?: boolean;
  /** The directory of the sink. */
  readonly root?: string;
  /** A lie that a test must find out: syncs that say that they are done and do nothing. */
  readonly lie?: "sync" | "syncDirectories" | "catalogue" | "times";
}

/** Moved into a folder for a moment, to see whether anything can be; a process may die just then. */
const probeName = ".framepipe-probe";

export class SimDisk implements Disk {
  /** Nothing can be added while this is set. */
  full = false;
  /** In this folder, below the root, nothing can be made or put. */
  denied: string | undefined;
  /** No file may be larger. */
  fileBytesMax: number = Number.POSITIVE_INFINITY;
  readonly #options: SimDiskOptions;
  readonly #root: string;
  readonly #top = new SimDirectory(0);
  readonly #handles = new Map<number, SimFile>();
  #lastId = 0;
  #lastHandle = 2;
  #syncCount = 0;
  /** Which process: what an earlier one asked for is not reported to the next. */
  #life = 0;
  #stepsLeft = Number.POSITIVE_INFINITY;
  /** What every reader sees, and what of it survives a power loss; between them the transactions not yet synced. */
  #rows = new SimRows();
  #syncedRows = new SimRows();
  #unsyncedBatches: CatalogueChange[] = [];

  constructor(options: SimDiskOptions) {
    this.#options = options;
    this.#root = options.root ?? "/archive";
  }

  // ---- what happens to it

  /** The process has been killed, or the machine has lost power. What was asked for and not done is never reported. */
  crash(mode: "process" | "power"): void {
    this.#life += 1;
    this.#handles.clear();
    this.#stepsLeft = Number.POSITIVE_INFINITY;
    if (mode === "process") return;
    const { random } = this.#options;
    this.#top.losePower(random);
    const kept = random.int(this.#unsyncedBatches.length + 1);
    for (const batch of this.#unsyncedBatches.slice(0, kept)) this.#syncedRows.apply(batch);
    if (this.#find(`${this.#root}/${ownFolder}`) === undefined) this.#syncedRows = new SimRows();
    this.#unsyncedBatches = [];
    this.#rows = this.#syncedRows.copy();
  }

  /** Ends the process before its `steps`th operation from now (0: the next). */
  crashIn(steps: number): void {
    this.#stepsLeft = steps;
  }

  /** The end that `crashIn` announced has come. */
  get dead(): boolean {
    return this.#stepsLeft < 0;
  }

  // ---- what a person sees

  /** All files below the root except our own, by path below it. */
  finalFiles(): Map<string, Uint8Array> {
    return this.#filesBelowRoot(
      (directory) => directory.entries,
      (file) => file.bytes,
    );
  }

  /** Their modification times: -1 if one was written to since its time was set. */
  modifiedTimes(): Map<string, bigint> {
    return this.#filesBelowRoot(
      (directory) => directory.entries,
      (file) => file.modifiedNs,
    );
  }

  /** Of these, what is certain to survive a power loss. */
  durableFiles(): Map<string, Uint8Array> {
    return this.#filesBelowRoot(
      (directory) => directory.synced,
      (file) => file.bytes.subarray(0, file.syncedLength),
    );
  }

  /** Lists of paths that files are about to get. */
  namingLists(): Uint8Array[] {
    const folder = this.#find(`${this.#root}/${ownFolder}`);
    if (!(folder instanceof SimDirectory)) return [];
    return [...folder.entries].flatMap(([name, node]) =>
      name.startsWith(namingPrefix) && node instanceof SimFile ? [node.bytes] : [],
    );
  }

  /** Rows that every reader of the catalogue sees. */
  rows(): FrameRow[] {
    return [...this.#rows.frames.values()];
  }

  durableRows(): FrameRow[] {
    return this.#catalogueIsDurable() ? [...this.#syncedRows.frames.values()] : [];
  }

  durableGaps(): Gap[] {
    return this.#catalogueIsDurable() ? [...this.#syncedRows.gaps.values()] : [];
  }

  durableEnds(): SourceEnd[] {
    return this.#catalogueIsDurable() ? [...this.#syncedRows.ends.values()] : [];
  }

  /** What became of the numbers of a source and session. */
  durableOutcomes(origin: Origin): ReadonlyMap<number, AccountOutcome> {
    return (this.#catalogueIsDurable() ? this.#syncedRows.outcomes.get(sourceKey(origin)) : undefined) ?? new Map();
  }

  /** By path of its own name, frames that were removed; and paths of files that are about to be. */
  durableExpired(): { frames: ReadonlySet<string>; leaving: ReadonlySet<string> } {
    const rows = this.#catalogueIsDurable() ? this.#syncedRows : new SimRows();
    return {
      frames: new Set([...rows.tombstones.keys()].map((key) => key.replaceAll("\0", "/"))),
      leaving: rows.leaving,
    };
  }

  #filesBelowRoot<Of>(
    entriesOf: (directory: SimDirectory) => Map<string, SimNode>,
    of: (file: SimFile) => Of,
  ): Map<string, Of> {
    const files = new Map<string, Of>();
    const visit = (directory: SimDirectory, prefix: string): void => {
      for (const [name, node] of entriesOf(directory)) {
        if ((prefix === "" && name === ownFolder) || name === probeName) continue;
        if (node instanceof SimFile) files.set(prefix + name, of(node));
        else visit(node, `${prefix}${name}/`);
      }
    };
    const root = this.#find(this.#root, entriesOf);
    if (root instanceof SimDirectory) visit(root, "");
    return files;
  }

  #catalogueIsDurable(): boolean {
    return this.#find(`${this.#root}/${ownFolder}`, (directory) => directory.synced) !== undefined;
  }

  // ---- Disk

  create(path: string): number {
    this.#step();
    const [directory, name] = this.#parentOf(path);
    if (directory.entries.has(name)) throw failure("EEXIST", path);
    if (this.full && this.#options.random.chance(0.3)) throw failure("ENOSPC", path);
    const file = new SimFile(this.#nextId());
    directory.entries.set(name, file);
    return this.#open(file);
  }

  write(handle: number, view: Uint8Array): number {
    this.#step();
    const { random, shortWrites } = this.#options;
    const file = this.#fileOf(handle);
    let count = Math.min(view.byteLength, this.fileBytesMax - file.length);
    if (count === 0 && view.byteLength > 0) throw failure("EFBIG", "write");
    if (shortWrites === true && random.chance(0.5)) count = Math.min(count, 1 + random.int(count));
    if (this.full) {
      // The last free bytes are used up first; then it says so, in one of the two ways that systems have.
      count = random.int(3) === 0 ? random.int(count) : 0;
      if (count === 0 && random.chance(0.5)) throw failure("ENOSPC", "write");
    }
    file.append(view.subarray(0, count));
    return count;
  }

  setModified(handle: number, ns: bigint): void {
    if (!this.#ends() && this.#options.lie !== "times") this.#fileOf(handle).modifiedNs = ns;
  }

  openForSync(path: string): number {
    this.#step();
    const node = this.#find(path);
    if (!(node instanceof SimFile)) throw failure("ENOENT", path);
    return this.#open(node);
  }

  sync(handles: readonly number[], done: (failure: unknown) => void): void {
    if (this.#ends()) return;
    const asked = handles
      .map((handle) => this.#fileOf(handle))
      .map((file) => {
        return { file, length: file.length, modifiedNs: file.modifiedNs };
      });
    this.#later(() => {
      if (this.full && this.#options.random.chance(0.2)) return done(failure("ENOSPC", "fdatasync"));
      if (this.#options.lie !== "sync") {
        for (const { file, length, modifiedNs } of asked) {
          file.syncedLength = Math.max(file.syncedLength, length);
          file.syncedModifiedNs = modifiedNs;
        }
      }
      done(undefined);
    });
  }

  close(handle: number): void {
    this.#step();
    this.#fileOf(handle);
    this.#handles.delete(handle);
  }

  renameNew(from: string, to: string): boolean {
    this.#step();
    const [fromDirectory, fromName] = this.#parentOf(from);
    const [toDirectory, toName] = this.#parentOf(to);
    const node = fromDirectory.entries.get(fromName);
    if (node === undefined) throw failure("ENOENT", from);
    this.#refuseDenied(to);
    if (toDirectory.entries.has(toName)) return false;
    fromDirectory.entries.delete(fromName);
    toDirectory.entries.set(toName, node);
    return true;
  }

  remove(path: string): void {
    this.#step();
    const [directory, name] = this.#parentOf(path);
    if (!(directory.entries.get(name) instanceof SimFile)) throw failure("ENOENT", path);
    directory.entries.delete(name);
  }

  removeDirectory(path: string): void {
    this.#step();
    const [directory, name] = this.#parentOf(path);
    const node = directory.entries.get(name);
    if (!(node instanceof SimDirectory)) throw failure("ENOTDIR", path);
    if (node.entries.size > 0) throw failure("ENOTEMPTY", path);
    directory.entries.delete(name);
  }

  look(path: string): Look {
    this.#step();
    const node = this.#find(path);
    if (node === undefined) return "absent";
    return node instanceof SimFile ? node.length : "directory";
  }

  makeDirectory(path: string): void {
    this.#step();
    const [directory, name] = this.#parentOf(path);
    if (directory.entries.has(name)) throw failure("EEXIST", path);
    this.#refuseDenied(path);
    if (this.full && this.#options.random.chance(0.5)) throw failure("ENOSPC", path);
    directory.entries.set(name, new SimDirectory(this.#nextId()));
  }

  syncDirectories(paths: readonly string[], done: (failure: unknown) => void): void {
    if (this.#ends()) return;
    const asked: { directory: SimDirectory; entries: Map<string, SimNode> }[] = [];
    let missing: unknown;
    for (const path of paths) {
      const directory = this.#find(path);
      if (directory instanceof SimDirectory) asked.push({ directory, entries: new Map(directory.entries) });
      else missing ??= failure("ENOENT", path);
    }
    const order = (this.#syncCount += 1);
    this.#later(() => {
      if (this.full && this.#options.random.chance(0.2)) return done(failure("EIO", "fsync"));
      for (const { directory, entries } of asked) {
        if (this.#options.lie === "syncDirectories" || directory.syncedAt > order) continue;
        directory.synced = entries;
        directory.syncedAt = order;
      }
      done(missing);
    });
  }

  checksum(path: string): number {
    this.#step();
    const node = this.#find(path);
    if (!(node instanceof SimFile)) throw failure("ENOENT", path);
    return crc32(node.bytes);
  }

  freeBytes(path: string): number {
    this.#step();
    if (this.#find(path) === undefined) throw failure("ENOENT", path);
    return this.full ? 0 : 1e12;
  }

  list(path: string): string[] {
    this.#step();
    const directory = this.#find(path);
    if (!(directory instanceof SimDirectory)) throw failure("ENOENT", path);
    return [...directory.entries.keys()];
  }

  read(path: string): Uint8Array {
    this.#step();
    const node = this.#find(path);
    if (!(node instanceof SimFile)) throw failure("ENOENT", path);
    return node.bytes.slice();
  }

  identity(path: string): string | undefined {
    this.#step();
    // The catalogue is no file here, but it is where its folder is.
    const node = this.#find(path === `${this.#root}/${catalogueFile}` ? `${this.#root}/${ownFolder}` : path);
    return node === undefined ? undefined : String(node.id);
  }

  // ---- for SimCatalogue

  /** A process opens the catalogue: what is in it is brought to the device. */
  openRows(): void {
    for (const batch of this.#unsyncedBatches) this.#syncedRows.apply(batch);
    this.#unsyncedBatches = [];
  }

  visibleRows(): SimRows {
    this.#step();
    return this.#rows;
  }

  record(batch: CatalogueChange): void {
    this.#step();
    if (this.full && this.#options.random.chance(0.3)) throw failure("SQLITE_FULL", "catalogue");
    this.#rows.apply(batch);
    this.#unsyncedBatches.push(batch);
    this.#step();
    if (this.#options.lie !== "catalogue") this.openRows();
  }

  // ---- inside

  #refuseDenied(path: string): void {
    if (this.denied === undefined || !path.startsWith(`${this.#root}/${this.denied}/`)) return;
    throw failure(this.#options.random.pick(["EACCES", "EXDEV", "EROFS"]), path);
  }

  #step(): void {
    if (this.#ends()) throw failure("EIO", "the process has ended");
  }

  /** Counts an operation. True: the process does not live to do it. */
  #ends(): boolean {
    this.#stepsLeft -= 1;
    return this.dead;
  }

  /** Reports to the process that asked, if it still lives. */
  #later(run: () => void): void {
    const life = this.#life;
    this.#options.after(1 + this.#options.random.int(20), () => {
      if (life === this.#life && !this.dead) run();
    });
  }

  #find(
    path: string,
    entriesOf: (directory: SimDirectory) => Map<string, SimNode> = (directory) => directory.entries,
  ): SimNode | undefined {
    let node: SimNode | undefined = this.#top;
    for (const segment of path.split("/")) {
      if (segment === "") continue;
      node = node instanceof SimDirectory ? entriesOf(node).get(segment) : undefined;
      if (node === undefined) return undefined;
    }
    return node;
  }

  #parentOf(path: string): [SimDirectory, string] {
    const slash = path.lastIndexOf("/");
    const directory = this.#find(path.slice(0, slash));
    if (!(directory instanceof SimDirectory)) throw failure("ENOENT", path);
    return [directory, path.slice(slash + 1)];
  }

  #open(file: SimFile): number {
    this.#lastHandle += 1;
    this.#handles.set(this.#lastHandle, file);
    return this.#lastHandle;
  }

  #fileOf(handle: number): SimFile {
    const file = this.#handles.get(handle);
    if (file === undefined) throw failure("EBADF", String(handle));
    return file;
  }

  #nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }
}

/** One transaction. */
interface CatalogueChange extends Partial<CatalogueBatch> {
  readonly expiry?: Expiry;
}

/** The tables of a catalogue, as far as anybody here asks. */
class SimRows {
  /** By path. */
  readonly frames: Map<string, FrameRow> = new Map();
  readonly gaps: Map<string, Gap> = new Map();
  readonly ends: Map<string, SourceEnd> = new Map();
  /** By source and session; number by number, so that nothing is shared with the ranges of the real one. */
  readonly outcomes: Map<string, Map<number, AccountOutcome>> = new Map();
  /** By path, the capture time with which a frame was offered last. */
  readonly offered: Map<string, bigint> = new Map();
  /** By path, as frames were stored. */
  readonly ids: Map<string, number> = new Map();
  /** By name, what is left of frames. */
  readonly tombstones: Map<string, { bytes: number; crc32: number; capturedNs: bigint }[]> = new Map();
  readonly leaving: Set<string> = new Set();
  #lastId = 0;
  readonly #byName = new Map<string, FrameRow[]>();

  find(origin: Origin, name: string): readonly FrameRow[] {
    return this.#byName.get(nameKey(origin, name)) ?? [];
  }

  apply({ frames = [], gaps = [], ends = [], outcomes = [], offered = [], expiry }: CatalogueChange): void {
    for (const row of frames) {
      this.#remove(row.path);
      this.frames.set(row.path, row);
      this.ids.set(row.path, ++this.#lastId);
      const { origin, name } = row.frame;
      this.#byName.set(nameKey(origin, name), [...this.find(origin, name), row]);
    }
    for (const { path, capturedNs } of offered) this.offered.set(path, capturedNs);
    for (const gap of gaps) this.gaps.set(`${sourceKey(gap.origin)}\0${gap.firstSequence}`, gap);
    for (const end of ends) this.ends.set(sourceKey(end.origin), end);
    for (const { origin, first, last, outcome } of outcomes) this.#enter(origin, first, last, outcome);
    for (const path of expiry?.gone ?? []) this.leaving.delete(path);
    for (const { path, id } of expiry?.frames ?? []) {
      const row = this.frames.get(path);
      if (row === undefined || this.ids.get(path) !== id) continue;
      const { origin, name, bytes, capturedNs } = row.frame;
      const key = nameKey(origin, name);
      const stone = { bytes, crc32: row.crc32, capturedNs: this.offered.get(path) ?? capturedNs };
      this.tombstones.set(key, [...(this.tombstones.get(key) ?? []), stone]);
      this.#remove(path);
      this.leaving.add(path);
      this.#enter(origin, row.frame.sequence, row.frame.sequence, "expired");
    }
  }

  #remove(path: string): void {
    const row = this.frames.get(path);
    if (row === undefined) return;
    this.frames.delete(path);
    this.ids.delete(path);
    this.offered.delete(path);
    const { origin, name } = row.frame;
    this.#byName.set(
      nameKey(origin, name),
      this.find(origin, name).filter((each) => each !== row),
    );
  }

  #enter(origin: Origin, first: number, last: number, outcome: AccountOutcome): void {
    const key = sourceKey(origin);
    const account = this.outcomes.get(key) ?? new Map<number, AccountOutcome>();
    this.outcomes.set(key, account);
    // A frame that is there is not lost by what is said of it later.
    const loss = outcome === "gap" || outcome === "refused";
    for (let number = first; number <= last; number += 1) {
      const known = account.get(number);
      if (!loss || known === undefined || known === "gap" || known === "refused") account.set(number, outcome);
    }
  }

  copy(): SimRows {
    const rows = new SimRows();
    const [frames, gaps, ends] = [[...this.frames.values()], [...this.gaps.values()], [...this.ends.values()]];
    rows.apply({ frames, gaps, ends, offered: [...this.offered].map(([path, capturedNs]) => ({ path, capturedNs })) });
    for (const [key, account] of this.outcomes) rows.outcomes.set(key, new Map(account));
    for (const [key, stones] of this.tombstones) rows.tombstones.set(key, stones);
    for (const path of this.leaving) rows.leaving.add(path);
    for (const [path, id] of this.ids) rows.ids.set(path, id);
    rows.#lastId = this.#lastId;
    return rows;
  }
}

/** One process's view of the catalogue of a `SimDisk`. */
export class SimCatalogue implements Catalogue {
  readonly #disk: SimDisk;

  constructor(disk: SimDisk) {
    this.#disk = disk;
    disk.openRows();
  }

  reading<T>(run: () => T): T {
    return run();
  }

  find(origin: Origin, name: string, capturedNs: bigint): StoredFrame[] {
    const rows = this.#disk.visibleRows();
    return rows.find(origin, name).map(({ frame, path, number, crc32: checksum }) => ({
      session: frame.origin.session,
      sequence: frame.sequence,
      path,
      number,
      bytes: frame.bytes,
      crc32: checksum,
      sameCapture: frame.capturedNs === capturedNs || rows.offered.get(path) === capturedNs,
    }));
  }

  findEqual({ origin, name, capturedNs, bytes }: Frame, checksum: number): StoredFrame[] | undefined {
    const rows = this.find(origin, name, capturedNs);
    return rows.length === 0 ? undefined : rows.filter((row) => row.bytes === bytes && row.crc32 === checksum);
  }

  accountOf(origin: Origin): Account {
    const account = this.#disk.visibleRows().outcomes.get(sourceKey(origin)) ?? new Map<number, AccountOutcome>();
    const counts = noOutcomes();
    for (const outcome of account.values()) counts[outcome]++;
    return { totals: totalsOf(counts), last: Math.max(-1, ...account.keys()) };
  }

  holds(path: string): boolean {
    return this.#disk.visibleRows().frames.has(path);
  }

  record(batch: CatalogueBatch): void {
    this.#disk.record(batch);
  }

  expiredLike(origin: Origin, { name, bytes, capturedNs }: FrameEntry): number | undefined {
    const stones = this.#disk.visibleRows().tombstones.get(nameKey(origin, name)) ?? [];
    return stones.find((stone) => stone.bytes === bytes && stone.capturedNs === capturedNs)?.crc32;
  }

  hasExpired({ origin, name, bytes }: Frame, checksum: number): boolean {
    const stones = this.#disk.visibleRows().tombstones.get(nameKey(origin, name)) ?? [];
    return stones.some((stone) => stone.bytes === bytes && stone.crc32 === checksum);
  }

  /** Gaps, tombstones and sessions stay. */
  readonly kept: KeptRecords = {
    holdings: () => {
      const byDevice = Map.groupBy(this.#disk.visibleRows().frames.values(), ({ frame }) => frame.origin.device);
      return [...byDevice].map(([device, rows]) => {
        const bytes = rows.reduce((sum, { frame }) => sum + frame.bytes, 0);
        return { device, frames: rows.length, bytes, gaps: 0 };
      });
    },
    holdingOf: (device) =>
      this.kept.holdings().find((each) => each.device === device) ?? { device, frames: 0, bytes: 0, gaps: 0 },
    newest: () => this.kept.oldest(Number.POSITIVE_INFINITY).at(-1),
    oldest: (max, device, from = 0) => {
      const { frames, ids } = this.#disk.visibleRows();
      const all = [...frames.values()].map(({ frame, path, receivedNs }) => {
        const { bytes, origin } = frame;
        return {
          id: ids.get(path) ?? 0,
          device: origin.device,
          path,
          bytes,
          receivedMs: Number(receivedNs / 1_000_000n),
        };
      });
      return all
        .filter((each) => each.id >= from && (device === undefined || each.device === device))
        .toSorted((one, other) => one.id - other.id)
        .slice(0, max);
    },
    mayGo: (frames) => [...frames],
    expire: (expiry) => {
      this.#disk.record({ expiry });
      return new Map();
    },
    leaving: () => [...this.#disk.visibleRows().leaving],
    forgetTombstones: () => false,
    forgetSessions: () => undefined,
  };

  get handing(): never {
    throw new Error("no gateway is simulated on this disk");
  }

  copyTo(): never {
    throw failure("ENOENT", "there is no file to copy to");
  }

  close(): void {}
}

/** As the system says it. */
export function failure(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}

function sourceKey({ device, source, session }: Origin): string {
  return `${device}\0${source}\0${session}`;
}

function nameKey({ device, source }: Origin, name: string): string {
  return `${device}\0${source}\0${name}`;
}
