/**
 * Stores frames as ordinary files with a catalogue beside them (DESIGN section 4). This file takes frames in and keeps
 * the destination usable; how a group becomes durable is told in commit-group.ts.
 *
 *     open -> .framepipe/tmp/N -> write* -> finish: staged -> commit: final name, row, ack
 *
 * When the destination fails (full, read-only, gone) everything says so until `ready` has healed it. A catalogue that
 * has vanished is waited for and never made anew: an empty mount point must not become a second archive.
 */
import { join } from "node:path";
import { assert, SinkError } from "../../errors.ts";
import type { Frame, FrameEntry, Gap, Origin, RefusalReason, SourceEnd, Verdict } from "../../frame.ts";
import { nameProblem } from "../../names.ts";
import type { Clock, FrameWriter, Settle, Sink } from "../../ports.ts";
import { describe, errorCode, isExhaustion, isNameError } from "../../system/errno.ts";
import { type Disk } from "../../system/file-system.ts";
import { FreeSpace } from "../../system/free-space.ts";
import { outcomeOf } from "../store/duplicates.ts";
import type { Layout } from "../store/layout.ts";
import { sinkError } from "../store/storage-error.ts";
import type { SyncMode } from "../store/sync-mode.ts";
import { cannotUse, makeArchive, makeTemporaryFolder, sweepTemporary } from "./archive.ts";
import { type Catalogue, catalogueFile, type OpenCatalogue, temporaryFolder } from "./catalogue.ts";
import { CommitGroup, type StagedItem } from "./commit-group.ts";
import { Directories } from "./directories.ts";
import { TemporaryFile } from "./temporary-file.ts";

/**
 * After a failure the destination is tried again at most this often; a caller that probes each second never meets it.
 */
const healMs = 500;
const probeBytes = 4096;

export interface DirectorySinkOptions {
  /** As the user wrote it; messages name it so. */
  readonly directory: string;
  readonly layout: Layout;
  readonly sync: SyncMode;
  readonly frameBytesMax: number;
  readonly minFreeBytes: number;
  readonly disk: Disk;
  readonly openCatalogue: OpenCatalogue;
  readonly clock: Pick<Clock, "nowMs" | "wallNs">;
}

export class DirectorySink implements Sink {
  readonly #options: DirectorySinkOptions;
  readonly #disk: Disk;
  readonly #root: string;
  readonly #directories: Directories;
  readonly #space: FreeSpace;
  /** Undefined while a lost one has not come back, and after `dispose`. */
  #catalogue: Catalogue | undefined;
  #identity: string | undefined;
  #failure: SinkError | undefined;
  #failedAtMs = 0;
  #temporaryCount = 0;
  readonly #writers = new Set<TemporaryWriter>();
  readonly #writing: Writing = {
    failed: (doing, error) => this.#fail(doing, error),
    wrote: (bytes) => this.#space.wrote(bytes),
    staged: (writer, crc32, settle) => {
      const { frame, file, path } = writer;
      const receivedNs = this.#options.clock.wallNs();
      this.#stage({ kind: "frame", frame, file, path, crc32, receivedNs, settle }, frame.bytes);
    },
    released: (writer) => void this.#writers.delete(writer),
  };
  #staged: StagedItem[] = [];
  #stagedFrames = 0;
  #stagedBytes = 0;
  #committing = false;

  /** Takes the directory, or throws UserError. */
  constructor(options: DirectorySinkOptions) {
    const { directory, disk, sync, minFreeBytes, clock, openCatalogue } = options;
    this.#options = options;
    this.#disk = disk;
    this.#root = directory;
    this.#directories = new Directories(disk, directory);
    this.#space = new FreeSpace({ disk, directory, minFreeBytes, nowMs: () => clock.nowMs() });
    makeArchive(disk, directory, this.#directories);
    this.#catalogue = openCatalogue(directory, sync);
    try {
      sweepTemporary(disk, directory);
      this.#identity = disk.identity(join(directory, catalogueFile));
      this.#probe();
    } catch (error) {
      const code = errorCode(error);
      // A full disk is no reason not to start: the sender is held until there is room.
      if (code === "ENOSPC" || code === "EDQUOT") this.#fail("write", error);
      else {
        this.dispose();
        throw cannotUse(directory, error);
      }
    }
  }

  get place(): string {
    return this.#options.directory;
  }

  get stagedFrames(): number {
    return this.#stagedFrames;
  }

  get stagedBytes(): number {
    return this.#stagedBytes;
  }

  lookup(origin: Origin, entries: readonly FrameEntry[]): Verdict[] {
    const catalogue = this.#usableCatalogue();
    const originProblem = nameProblem(origin.device) ?? nameProblem(origin.source);
    try {
      return catalogue.reading(() =>
        entries.map((entry) => {
          if (originProblem !== undefined || nameProblem(entry.name) !== undefined) return refuse("name");
          if (entry.bytes > this.#options.frameBytesMax) return refuse("too-large");
          return this.#find(catalogue, origin, entry);
        }),
      );
    } catch (error) {
      throw this.#fail("look up frames", error);
    }
  }

  #find(catalogue: Catalogue, origin: Origin, entry: FrameEntry): Verdict {
    let have: Verdict = { kind: "want" };
    const rows = catalogue.find(origin, entry.name, entry.capturedNs);
    for (const row of rows) {
      if (!row.sameCapture || row.bytes !== entry.bytes) continue;
      if (this.#disk.look(`${this.#root}/${row.path}`) !== row.bytes) continue;
      const outcome = outcomeOf(row.session, row.number, origin.session);
      // Of several, the one that this very session stored is the one it asks about.
      if (have.kind === "want" || outcome !== "already") have = { kind: "have", outcome, crc32: row.crc32 };
    }
    return have;
  }

  open(frame: Frame): FrameWriter | RefusalReason {
    this.#usableCatalogue();
    if (nameProblem(frame.name) !== undefined) return "name";
    const path = this.#options.layout.pathOf(frame);
    if (path === undefined) return "name";
    if (frame.bytes > this.#options.frameBytesMax) return "too-large";
    let file: TemporaryFile | undefined;
    try {
      // In this order: where the disk is gone, this fails before a folder is made at its mount point.
      file = this.#newTemporaryFile();
      const refused = this.#directories.prepare(path);
      if (refused === undefined) {
        const writer = new TemporaryWriter(this.#writing, frame, file, path);
        this.#writers.add(writer);
        return writer;
      }
      file.discard();
      return refused;
    } catch (error) {
      file?.discard();
      if (isNameError(error)) return "name";
      if (isExhaustion(error)) throw new SinkError(describe(error), { retryable: true, exhausted: true, cause: error });
      throw this.#fail("begin a frame", error);
    }
  }

  gap(gap: Gap, settle: Settle): void {
    this.#stage({ kind: "gap", gap, settle }, 0);
  }

  end(end: SourceEnd, settle: Settle): void {
    this.#stage({ kind: "end", end, settle }, 0);
  }

  #stage(item: StagedItem, bytes: number): void {
    this.#staged.push(item);
    this.#stagedFrames += 1;
    this.#stagedBytes += bytes;
  }

  commit(done: (failure: SinkError | undefined) => void): void {
    assert(!this.#committing, "one commit at a time");
    const items = this.#staged;
    this.#staged = [];
    if (items.length === 0) return done(undefined);
    this.#committing = true;
    const groups = this.#options.sync === "each" ? items.map((item) => [item]) : [items];
    const next = (failure: SinkError | undefined): void => {
      const group = groups.shift();
      if (group === undefined) {
        this.#committing = false;
        done(failure);
      } else if (failure !== undefined) {
        for (const item of group) if (item.kind === "frame") item.file.discard();
        this.#settle(group, failure);
        next(failure);
      } else {
        this.#commitGroup(group, next);
      }
    };
    next(undefined);
  }

  #commitGroup(group: readonly StagedItem[], next: (failure: SinkError | undefined) => void): void {
    const { disk, sync, clock } = this.#options;
    const catalogue = this.#catalogue;
    const directories = this.#directories;
    if (catalogue === undefined) {
      for (const item of group) if (item.kind === "frame") item.file.discard();
      const failure = this.#failure ?? this.#gone();
      this.#settle(group, failure);
      return next(failure);
    }
    const wallNs = (): bigint => clock.wallNs();
    new CommitGroup(group, {
      root: this.#root,
      sync,
      disk,
      directories,
      catalogue,
      wallNs,
    }).run((error, results) => {
      const failure = error === undefined ? undefined : this.#fail("store frames", error);
      this.#settle(group, failure, results);
      next(failure);
    });
  }

  #settle(
    group: readonly StagedItem[],
    failure: SinkError | undefined,
    results: readonly Parameters<Settle>[0][] = [],
  ): void {
    for (const [index, item] of group.entries()) {
      this.#stagedFrames -= 1;
      if (item.kind === "frame") this.#stagedBytes -= item.frame.bytes;
      const result = failure ?? results[index];
      assert(result !== undefined, "a commit that went well has a result for every item");
      item.settle(result);
    }
  }

  ready(bytes: number): SinkError | undefined {
    if (this.#failure === undefined && this.#space.stale) this.#inspect();
    if (this.#failure !== undefined) this.#heal();
    return this.#failure ?? this.#space.check(bytes);
  }

  /** Measures the free space, and looks whether the directory is still the one that was opened. */
  #inspect(): void {
    try {
      if (this.#disk.identity(join(this.#root, catalogueFile)) !== this.#identity) throw this.#gone();
      this.#space.measure();
    } catch (error) {
      this.#fail("look at the disk", error);
      // What was found just now may be healed just now: another disk is mounted there.
      this.#failedAtMs = Number.NEGATIVE_INFINITY;
    }
  }

  /** Tries whether the destination works again. Not while a commit uses the catalogue: it ends first. */
  #heal(): void {
    if (this.#committing || this.#options.clock.nowMs() - this.#failedAtMs < healMs) return;
    const { directory, sync, openCatalogue } = this.#options;
    try {
      const identity = this.#disk.identity(join(this.#root, catalogueFile));
      if (identity === undefined) throw this.#gone();
      this.#catalogue?.close();
      this.#catalogue = undefined;
      this.#directories.forget();
      this.#catalogue = openCatalogue(directory, sync);
      makeTemporaryFolder(this.#disk, directory, this.#directories);
      // The temporary files there are our own, in use, unless it is another disk than before.
      if (identity !== this.#identity) sweepTemporary(this.#disk, directory);
      this.#identity = identity;
      this.#probe();
      this.#space.measure();
      this.#failure = undefined;
    } catch (error) {
      this.#fail("use it again", error);
    }
  }

  /** Writes a little, because a disk that can be looked at may still be full, read-only or over quota. */
  #probe(): void {
    const file = this.#newTemporaryFile();
    try {
      file.write(new Uint8Array(probeBytes));
    } finally {
      file.discard();
    }
  }

  #gone(): SinkError {
    const message = `${this.place}: its catalogue is gone; waiting for the disk to come back`;
    return new SinkError(message, { retryable: true });
  }

  #usableCatalogue(): Catalogue {
    if (this.#catalogue === undefined) throw this.#failure ?? this.#gone();
    return this.#catalogue;
  }

  /** Notes a failure of the destination and returns it in our own words. */
  #fail(doing: string, error: unknown): SinkError {
    this.#failure = sinkError(this.place, doing, error);
    this.#failedAtMs = this.#options.clock.nowMs();
    return this.#failure;
  }

  #newTemporaryFile(): TemporaryFile {
    for (;;) {
      this.#temporaryCount += 1;
      try {
        return new TemporaryFile(this.#disk, `${this.#root}/${temporaryFolder}/${this.#temporaryCount}`);
      } catch (error) {
        // One that an earlier run left and nobody could remove.
        if (errorCode(error) !== "EEXIST") throw error;
      }
    }
  }

  dispose(): void {
    for (const writer of this.#writers) writer.abort();
    for (const item of this.#staged) if (item.kind === "frame") item.file.discard();
    this.#staged = [];
    this.#catalogue?.close();
    this.#catalogue = undefined;
  }
}

function refuse(reason: RefusalReason): Verdict {
  return { kind: "refuse", reason };
}

/** What the sink is told by all of its writers. */
interface Writing {
  failed(doing: string, error: unknown): SinkError;
  wrote(bytes: number): void;
  staged(writer: TemporaryWriter, crc32: number, settle: Settle): void;
  released(writer: TemporaryWriter): void;
}

/** A frame that is being written. Its temporary file goes on to the staged item, or is discarded. */
class TemporaryWriter implements FrameWriter {
  readonly frame: Frame;
  readonly file: TemporaryFile;
  /** The frame's own path below the directory. */
  readonly path: string;
  readonly #writing: Writing;
  #open = true;

  constructor(writing: Writing, frame: Frame, file: TemporaryFile, path: string) {
    this.#writing = writing;
    this.frame = frame;
    this.file = file;
    this.path = path;
  }

  write(view: Uint8Array): void {
    try {
      this.file.write(view);
    } catch (error) {
      throw this.#writing.failed("write a frame", error);
    }
    this.#writing.wrote(view.byteLength);
  }

  finish(crc32: number, done: Settle): void {
    assert(this.#open, "a writer finishes once");
    assert(this.file.bytes === this.frame.bytes, "a finished frame has all its bytes");
    this.#open = false;
    this.#writing.released(this);
    this.#writing.staged(this, crc32, done);
  }

  abort(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#writing.released(this);
    this.file.discard();
  }
}
