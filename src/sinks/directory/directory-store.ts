/**
 * Stores frames as ordinary files with a catalogue beside them. This file takes frames in and keeps the directory
 * usable; how a group becomes durable is told in commit-group.ts.
 *
 *     begin -> .framepipe/tmp/N -> write* -> commit: final name, row
 *
 * A catalogue that has vanished is waited for and never made anew: an empty mount point must not become a second
 * archive.
 */
import { join } from "node:path";
import { SinkError } from "../../errors.ts";
import type { Frame, FrameEntry, Origin, RefusalReason, Verdict } from "../../frame.ts";
import { accountOutcomeOf } from "../../outcomes.ts";
import type { Clock } from "../../ports.ts";
import { errorCode, isExhaustion, isFull, isNameError } from "../../system/errno.ts";
import { type Disk } from "../../system/file-system.ts";
import { FreeSpace } from "../../system/free-space.ts";
import { outcomeOf } from "../store/duplicates.ts";
import type { Layout } from "../store/layout.ts";
import { sinkError } from "../store/storage-error.ts";
import type { Result, SpaceRequest, StagedItem, Store } from "../store/store.ts";
import type { SyncMode } from "../store/sync-mode.ts";
import { cannotUse, makeArchive, makeTemporaryFolder, sweepTemporary } from "./archive.ts";
import { type Catalogue, catalogueFile, type OpenCatalogue } from "./catalogue.ts";
import { type StoredFrame, temporaryFolder } from "./catalogue.ts";
import { CommitGroup } from "./commit-group.ts";
import { Directories } from "./directories.ts";
import { TemporaryFile } from "./temporary-file.ts";

const probeBytes = 4096;
/** Moved into a folder to see whether files can be, and removed. No frame has such a name. */
const probeName = ".framepipe-probe";

export interface DirectoryStoreOptions {
  /** As the user wrote it; messages name it so. */
  readonly directory: string;
  readonly layout: Layout;
  readonly sync: SyncMode;
  readonly minFreeBytes: number;
  readonly disk: Disk;
  readonly openCatalogue: OpenCatalogue;
  readonly clock: Pick<Clock, "nowMs" | "wallNs">;
}

export class DirectoryStore implements Store<TemporaryFile> {
  readonly place: string;
  readonly traits = {};
  readonly #options: DirectoryStoreOptions;
  readonly #disk: Disk;
  readonly #directories: Directories;
  readonly #space: FreeSpace;
  /** Undefined while a lost one has not come back. */
  #catalogue: Catalogue | undefined;
  #identity: string | undefined;
  #temporaryCount = 0;
  /** What writing to it failed with at the start. */
  #startFailure: unknown;

  /** Takes the directory, or throws UserError. */
  constructor(options: DirectoryStoreOptions) {
    const { directory, disk, sync, minFreeBytes, clock, openCatalogue } = options;
    this.place = directory;
    this.#options = options;
    this.#disk = disk;
    this.#directories = new Directories(disk, directory);
    this.#space = new FreeSpace({ disk, directory, minFreeBytes, nowMs: () => clock.nowMs() });
    makeArchive(disk, directory, this.#directories);
    this.#catalogue = openCatalogue(directory, sync);
    try {
      sweepTemporary(disk, directory);
      this.#identity = disk.identity(join(directory, catalogueFile));
      this.#probe();
    } catch (error) {
      // A full disk is no reason not to start: the sender is held until there is room.
      this.#startFailure = error;
      if (isFull(error)) return;
      this.close();
      throw cannotUse(directory, error);
    }
  }

  lookup(origin: Origin, entries: readonly FrameEntry[], firstSequence?: number): Verdict[] {
    const catalogue = this.#usableCatalogue();
    const verdicts = catalogue.reading(() =>
      entries.map((entry, index) => {
        const sequence = firstSequence === undefined ? undefined : firstSequence + index;
        return this.#find(catalogue, origin, entry, sequence);
      }),
    );
    if (firstSequence !== undefined) this.#recordHeld(catalogue, origin, firstSequence, verdicts);
    return verdicts;
  }

  /** Before the sender is told: it takes these numbers for done, and says nothing of them again. */
  #recordHeld(catalogue: Catalogue, origin: Origin, firstSequence: number, verdicts: readonly Verdict[]): void {
    const outcomes = verdicts.flatMap((verdict, index) => {
      if (verdict.kind !== "have") return [];
      const number = firstSequence + index;
      return { origin, first: number, last: number, outcome: accountOutcomeOf(verdict.outcome) };
    });
    if (outcomes.length === 0) return;
    catalogue.record({ frames: [], gaps: [], ends: [], outcomes, nowNs: this.#options.clock.wallNs() });
  }

  #find(catalogue: Catalogue, origin: Origin, entry: FrameEntry, sequence: number | undefined): Verdict {
    let have: Verdict = { kind: "want" };
    let [haveOwn, number] = [false, 0];
    const rows = catalogue.find(origin, entry.name, entry.capturedNs);
    for (const row of rows) {
      if (!row.sameCapture || row.bytes !== entry.bytes || !this.#isThere(row)) continue;
      const outcome = outcomeOf(row, { session: origin.session, sequence });
      // Of several, the one that this very session stored is the one it asks about; else the one that came last.
      const isOwn = outcome !== "duplicate";
      if (isOwn ? haveOwn && row.number < number : haveOwn || row.number < number) continue;
      have = { kind: "have", outcome, crc32: row.crc32 };
      [haveOwn, number] = [isOwn, row.number];
    }
    return have;
  }

  /** A folder that may not be looked into is no reason not to answer for the others. */
  #isThere({ path, bytes }: StoredFrame): boolean {
    try {
      return this.#disk.look(`${this.place}/${path}`) === bytes;
    } catch {
      return false;
    }
  }

  hasPathFor(origin: Origin, entry: FrameEntry, sequence: number): boolean {
    const { layout } = this.#options;
    if (!layout.hasPathFor(origin, entry, sequence)) return false;
    const { mayName } = this.#disk;
    if (mayName === undefined) return true;
    const path = layout.pathOf({ ...entry, origin, sequence });
    return path !== undefined && mayName(path);
  }

  begin(frame: Frame): TemporaryFile | RefusalReason {
    this.#usableCatalogue();
    const path = this.#options.layout.pathOf(frame);
    if (path === undefined) return "name";
    // In this order: where the disk is gone, this fails before a folder is made at its mount point.
    const file = this.#beginFile(path);
    try {
      const refused = this.#directories.prepare(path);
      if (refused === undefined) return file;
      file.discard();
      return refused;
    } catch (error) {
      file.discard();
      if (isNameError(error)) return "name";
      throw error;
    }
  }

  /** What fails here is no fault of the frame's own path. */
  #beginFile(path: string): TemporaryFile {
    try {
      return this.#newTemporaryFile(path);
    } catch (error) {
      if (isExhaustion(error)) throw error;
      throw sinkError(this.place, "begin a frame", error);
    }
  }

  commit(items: readonly StagedItem<TemporaryFile>[]): Promise<readonly Result[]> {
    const { disk, sync, clock } = this.#options;
    return new CommitGroup(items, {
      root: this.place,
      sync,
      disk,
      directories: this.#directories,
      catalogue: this.#usableCatalogue(),
      wallNs: () => clock.wallNs(),
    }).run();
  }

  /** Looks now and then whether the directory is still the one that was opened. */
  check({ bytes }: SpaceRequest): SinkError | undefined {
    if (this.#startFailure !== undefined) throw this.#startFailure;
    if (this.#space.stale) {
      if (this.#disk.identity(join(this.place, catalogueFile)) !== this.#identity) throw this.#gone();
      this.#space.measure();
    }
    return this.#space.check(bytes);
  }

  recover(): void {
    const { directory, sync, openCatalogue } = this.#options;
    const identity = this.#disk.identity(join(directory, catalogueFile));
    if (identity === undefined) throw this.#gone();
    this.close();
    this.#directories.forget();
    this.#catalogue = openCatalogue(directory, sync);
    makeTemporaryFolder(this.#disk, directory, this.#directories);
    // The temporary files there are our own, in use, unless it is another disk than before.
    if (identity !== this.#identity) sweepTemporary(this.#disk, directory);
    this.#identity = identity;
    this.#probe();
    this.#startFailure = undefined;
    this.#space.measure();
  }

  /** Writes a little, because a disk that can be looked at may still be full, read-only or over quota. */
  #probe(): void {
    const file = this.#newTemporaryFile("");
    try {
      file.write(new Uint8Array(probeBytes));
    } finally {
      file.discard();
    }
  }

  placeOf(frame: Frame): string {
    return `${this.place}/${this.#options.layout.pathOf(frame) ?? frame.name}`;
  }

  /** Its folders, made if they are missing, and a file that is moved there. */
  probe(frame: Frame): void {
    const path = this.#options.layout.pathOf(frame);
    if (path === undefined) return;
    this.#directories.doubt(path);
    const file = this.#newTemporaryFile(path);
    try {
      if (this.#directories.prepare(path) !== undefined) return;
      const place = `${this.place}/${path.slice(0, path.lastIndexOf("/") + 1)}${probeName}`;
      file.close();
      // One that is there was left where nothing can be removed again.
      if (file.moveTo(place)) this.#remove(place);
    } finally {
      file.discard();
    }
  }

  #remove(place: string): void {
    try {
      this.#disk.remove(place);
    } catch {
      // Files can be put there all the same.
    }
  }

  #gone(): SinkError {
    const message = `${this.place}: its catalogue is gone; waiting for the disk to come back`;
    return new SinkError(message, { retryable: true });
  }

  #usableCatalogue(): Catalogue {
    if (this.#catalogue === undefined) throw this.#gone();
    return this.#catalogue;
  }

  #newTemporaryFile(path: string): TemporaryFile {
    for (;;) {
      this.#temporaryCount += 1;
      const temporaryPath = `${this.place}/${temporaryFolder}/${this.#temporaryCount}`;
      try {
        return new TemporaryFile(this.#disk, this.#space, temporaryPath, path);
      } catch (error) {
        // One that an earlier run left and nobody could remove.
        if (errorCode(error) !== "EEXIST") throw error;
      }
    }
  }

  close(): void {
    this.#catalogue?.close();
    this.#catalogue = undefined;
  }
}
