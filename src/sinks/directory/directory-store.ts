/**
 * Stores frames as ordinary files with a catalogue beside them. This file takes frames in and keeps the directory
 * usable; how a group becomes durable is told in commit-group.ts.
 *
 *     begin -> .framepipe/tmp/N -> write* -> commit: final name, row
 *
 * A catalogue that has vanished is waited for and never made anew: an empty mount point must not become a second
 * archive.
 */
import { failureOf, SinkError, UserError } from "../../errors.ts";
import type { DestinationEvent } from "../../events.ts";
import type { Frame, FrameEntry, Origin, RefusalReason, Verdict } from "../../frame.ts";
import { accountOutcomeOf } from "../../outcomes.ts";
import type { Clock } from "../../ports.ts";
import { errorCode, isDamage, isExhaustion, isNameError, passesByItself } from "../../system/errno.ts";
import { type Disk } from "../../system/file-system.ts";
import { FreeSpace } from "../../system/free-space.ts";
import { outcomeOf } from "../store/duplicates.ts";
import type { Layout } from "../store/layout.ts";
import { sinkError } from "../store/storage-error.ts";
import type { Expiry, Result, SpaceRequest, StagedItem, Store } from "../store/store.ts";
import type { SyncMode } from "../store/sync-mode.ts";
import type { DirectoryBacklog } from "./backlog.ts";
import { begun, cannotUse, makeArchive, makeTemporaryFolder, notThere, replaced, sweepTemporary } from "./archive.ts";
import { type Catalogue, type OpenCatalogue, probeFile, type StoredFrame, temporaryFolder } from "./catalogue.ts";
import { CommitGroup } from "./commit-group.ts";
import { DeviceSizes } from "./device-sizes.ts";
import { Directories } from "./directories.ts";
import { GroupFolders } from "./group-folders.ts";
import { Keeping, type KeepRules } from "./keeping.ts";
import { NamingList } from "./naming-list.ts";
import { OwnFiles, type OwnFilesOptions, rebuildHints, type TakeLock } from "./own-files.ts";
import { TemporaryFile } from "./temporary-file.ts";
import { VerifyService, type VerifyServiceOptions } from "./verify-service.ts";

const probeBytes = 4096;

export interface DirectoryStoreOptions {
  /** As the user wrote it; messages name it so. */
  readonly directory: string;
  readonly layout: Layout;
  readonly sync: SyncMode;
  readonly minFreeBytes: number;
  /** `--no-create`: there must be an archive. */
  readonly mustExist?: boolean;
  readonly disk: Disk;
  readonly takeLock: TakeLock;
  readonly openCatalogue: OpenCatalogue;
  readonly readersOf?: OwnFilesOptions["readersOf"];
  /** What can be done about a catalogue that somebody has locked. */
  readonly lockedHint?: (directory: string) => string;
  /** What is asked for by `--verify`; absent: nobody can. */
  readonly requests?: VerifyServiceOptions["requests"];
  readonly clock: Pick<Clock, "nowMs" | "wallNs">;
  /** Of a gateway: what is stored and not handed on. */
  readonly backlog?: Pick<DirectoryBacklog, "opened" | "closed" | "recorded"> | undefined;
  /** Which frames are removed; undefined: none ever. */
  readonly keep?: KeepRules | undefined;
  readonly onEvent?: (event: DestinationEvent) => void;
}

export class DirectoryStore implements Store<TemporaryFile> {
  readonly place: string;
  readonly traits = { countsDevices: true };
  readonly #options: DirectoryStoreOptions;
  readonly #disk: Disk;
  readonly #directories: Directories;
  readonly #space: FreeSpace;
  readonly #ownFiles: OwnFiles;
  readonly #service: VerifyService;
  readonly #naming: NamingList;
  /** Undefined while it could not be opened yet. */
  #catalogue: Catalogue | undefined;
  /** Until then the archive may be begun. */
  #wasOpen = false;
  readonly #keeping: Keeping | undefined;
  readonly #devices = new DeviceSizes();
  #temporaryCount = 0;
  /** What opening or using it failed with at the start. */
  #startFailure: unknown;
  /** A catalogue was there at the start: also if it cannot be opened then, no other is made in its place. */
  readonly #wasThere: boolean;

  /** Takes the directory, or throws UserError. What passes by itself is waited for. */
  constructor(options: DirectoryStoreOptions) {
    const { directory, disk, minFreeBytes, clock, backlog } = options;
    this.place = directory;
    this.#options = options;
    this.#disk = disk;
    this.#directories = new Directories(disk, directory);
    this.#ownFiles = new OwnFiles(options);
    this.#wasThere = this.#ownFiles.isThere;
    this.#naming = new NamingList({ directory, disk, directories: this.#directories });
    const { keep } = options;
    if (keep !== undefined) this.#keeping = new Keeping({ ...options, rules: keep, directories: this.#directories });
    this.#service = new VerifyService({
      ...options,
      ownFiles: this.#ownFiles,
      recorded: (batch) => {
        this.#keeping?.recorded(batch);
        backlog?.recorded(batch);
      },
    });
    this.#space = new FreeSpace({ disk, directory, minFreeBytes, nowMs: () => clock.nowMs() });
    try {
      this.#open();
    } catch (error) {
      this.#startFailure = error;
      if (passesByItself(error)) return;
      this.close();
      throw cannotUse(directory, error);
    }
  }

  #open(): void {
    try {
      this.#openCatalogue();
    } catch (error) {
      // Of a disk that cannot be written to, SQLite and the lock say less than the disk itself.
      const failure = error instanceof UserError ? undefined : failureOf(() => this.#probe());
      throw failure !== undefined && passesByItself(failure) ? failure : error;
    }
    this.#wasOpen = true;
    this.#probe();
  }

  #openCatalogue(): void {
    const { directory, sync, openCatalogue, mustExist = false, onEvent = () => undefined } = this.#options;
    const { isThere } = this.#ownFiles;
    if (this.#wasOpen || this.#wasThere) this.#ownFiles.requireCatalogue();
    else if (mustExist && !isThere) throw notThere(directory);
    // Also of what is there: whoever made it may not have lived to sync its names.
    if (!this.#wasOpen) makeArchive(this.#disk, directory, this.#directories);
    makeTemporaryFolder(this.#disk, directory, this.#directories);
    this.#ownFiles.lock();
    this.#catalogue = openCatalogue(directory, sync, onEvent);
    const found = this.#ownFiles.remember();
    this.#naming.opened(this.#catalogue);
    this.#options.backlog?.opened(this.#catalogue);
    this.#keeping?.opened(this.#catalogue, found !== "same");
    // The temporary files of the same directory are our own, in use.
    if (!this.#wasOpen || found === "another directory") {
      sweepTemporary(this.#disk, directory);
      this.#service.begin();
    }
    if (found !== "same")
      onEvent({ event: "destination", place: directory, what: "replaced", detail: replaced[found] });
    if (!isThere) onEvent({ event: "destination", place: directory, what: "begun", ...begun(this.#disk, directory) });
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
      if (verdict.kind !== "have" && verdict.kind !== "expired") return [];
      const number = firstSequence + index;
      const outcome = accountOutcomeOf(verdict.kind === "have" ? verdict.outcome : "expired");
      return { origin, first: number, last: number, outcome };
    });
    if (outcomes.length === 0) return;
    const batch = { frames: [], gaps: [], ends: [], outcomes, nowNs: this.#options.clock.wallNs() };
    catalogue.record(batch);
    this.#options.backlog?.recorded(batch);
  }

  #find(catalogue: Catalogue, origin: Origin, entry: FrameEntry, sequence: number | undefined): Verdict {
    let have: Verdict = { kind: "want" };
    let [haveOwn, number] = [false, 0];
    const rows = catalogue
      .find(origin, entry.name, entry.capturedNs)
      .filter(({ sameCapture, bytes }) => sameCapture && bytes === entry.bytes);
    if (rows.length === 0) {
      const crc32 = catalogue.expiredLike(origin, entry);
      return crc32 === undefined ? have : { kind: "expired", crc32 };
    }
    for (const row of rows) {
      if (!this.#isThere(row)) continue;
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
      // If the directory is gone, that says more.
      const lost = failureOf(() => this.#ownFiles.check());
      throw lost instanceof SinkError ? lost : sinkError(this.place, "begin a frame", error);
    }
  }

  commit(items: readonly StagedItem<TemporaryFile>[]): Promise<readonly Result[]> {
    const { disk, sync, clock } = this.#options;
    const catalogue = this.#usableCatalogue();
    // Rows that are written to a file without a name are lost with its last handle.
    this.#ownFiles.check();
    const { place: root } = this;
    const directories = this.#directories;
    return new CommitGroup(items, {
      root,
      sync,
      disk,
      directories,
      catalogue,
      naming: this.#naming,
      wallNs: () => clock.wallNs(),
      recorded: (batch) => {
        this.#keeping?.recorded(batch);
        this.#devices.recorded(batch);
        this.#options.backlog?.recorded(batch);
      },
    }).run();
  }

  holdingOf(device: string): number {
    return this.#devices.bytesOf(device, this.#usableCatalogue());
  }

  get expiry(): Expiry | undefined {
    return this.#catalogue === undefined ? undefined : this.#keeping;
  }

  /** Looks now and then whether the directory is still the one that was opened. */
  check({ bytes }: SpaceRequest): SinkError | undefined {
    if (this.#startFailure !== undefined) throw this.#startFailure;
    if (this.#space.stale) {
      this.#ownFiles.check();
      this.#service.serve(this.#catalogue);
      this.#space.measure();
    }
    return this.#space.check(bytes);
  }

  recover(): void {
    // What is open of a catalogue that is gone is all that is left of it.
    this.#service.serve(this.#catalogue);
    if (this.#wasOpen) this.#ownFiles.requireCatalogue();
    this.#closeCatalogue();
    this.#directories.forget();
    this.#open();
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

  /** Where that cannot be, it is no fault of a path. */
  #writeLittle(file: TemporaryFile): void {
    try {
      file.write(new Uint8Array(probeBytes));
    } catch (error) {
      throw sinkError(this.place, "write a frame", error);
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
    const file = this.#beginFile(path);
    const folders = new GroupFolders(this.#disk, this.place);
    try {
      this.#writeLittle(file);
      if (this.#directories.prepare(path) !== undefined) return;
      const folder = folders.of(path);
      if (folder === "symlink") return;
      const place = `${this.place}/${path.slice(0, path.lastIndexOf("/") + 1)}${probeFile}`;
      file.close();
      // One that is there was left where nothing can be removed again.
      if (file.moveTo(place, folder)) this.#remove(place);
    } finally {
      folders.release();
      file.discard();
    }
  }

  /** Who has locked the catalogue, and what can be done about a damaged one. */
  hintsFor(error: unknown): readonly string[] {
    const { lockedHint } = this.#options;
    if (isDamage(error)) return rebuildHints(this.place);
    const isLocked = errorCode(error).startsWith("SQLITE_BUSY");
    return isLocked && lockedHint !== undefined ? [lockedHint(this.place)] : [];
  }

  #remove(place: string): void {
    try {
      this.#disk.remove(place);
    } catch {
      // Files can be put there all the same.
    }
  }

  #usableCatalogue(): Catalogue {
    if (this.#catalogue !== undefined) return this.#catalogue;
    throw sinkError(this.place, "open it", this.#startFailure ?? new Error("it is not open"));
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

  #closeCatalogue(): void {
    if (this.#catalogue !== undefined) this.#options.backlog?.closed();
    this.#keeping?.close();
    this.#naming.close(this.#catalogue);
    this.#devices.forget();
    this.#catalogue?.close();
    this.#catalogue = undefined;
  }

  close(): void {
    this.#closeCatalogue();
    this.#ownFiles.close();
  }
}
