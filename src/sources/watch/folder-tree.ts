/**
 * The folders below a watched directory. Events are only hints where to look; what counts is what is found there. Lost
 * ones (an overflow, a network file system, a folder mounted over another) are healed by patrols, which look at each
 * folder as such, and have it read again if need be (folder-scans.ts).
 *
 * Empty folders are left alone, whoever made them may still want them.
 */
import { statSync, type Stats } from "node:fs";
import type { Clock } from "../../ports.ts";
import { describe, errorCode } from "../../system/errno.ts";
import type { FilePath } from "../../system/file-path.ts";
import type { OnFolderEvent, WatchFolder } from "../../system/watch-folder.ts";
import { escapedName } from "../files/escaped-names.ts";
import { errorText, failureReason } from "../files/file-errors.ts";
import { type FrameFiles, isPossible } from "../files/frame-files.ts";
import { FolderScans, neverScanned, restFactor, type ScannedFolder } from "./folder-scans.ts";
import type { Folder } from "./known-files.ts";

/** How often each folder is looked at, as such. */
const patrolMs = 1_000;
/** Lost events come in numbers; they are healed together. */
const lossMs = 100;

export type FolderEvent = Parameters<OnFolderEvent>[0];

interface WatchedFolder extends ScannedFolder {
  readonly device: number;
  readonly fileNumber: number;
  /** Undefined: the system does not tell us of changes. */
  stopWatching: (() => void) | undefined;
}

export interface FolderTreeOptions {
  readonly clock: Clock;
  readonly files: FrameFiles;
  readonly watchFolder: WatchFolder;
  /** The directory itself is there, for the first time or again. */
  readonly onRoot: () => void;
  /** Something was said of a name that may be that of a frame or a folder. */
  readonly onEvent: (folder: Folder, kind: FolderEvent, baseName: string) => void;
  /** A scan has come to a name that is new, or is to be looked at again. */
  readonly onName: (folder: Folder, baseName: string) => void;
  /** `patrol` has something to do at this time. */
  readonly wakeAt: (atMs: number) => void;
}

export class FolderTree {
  readonly scans: FolderScans<WatchedFolder>;
  readonly #options: FolderTreeOptions;
  readonly #clock: Clock;
  readonly #files: FrameFiles;
  /** By prefix. Without the root: it is not there. */
  readonly #folders = new Map<string, WatchedFolder>();
  #patrolAtMs = 0;
  /** The root is not there, and that was said. */
  #missing = false;
  /** Not every folder could be watched, and that was said. */
  #unwatched = false;

  constructor(options: FolderTreeOptions) {
    const { clock, files, onName } = options;
    this.#options = options;
    this.#clock = clock;
    this.#files = files;
    const isCurrent = (folder: Folder): boolean => this.isCurrent(folder);
    const isFolder = (prefix: string): boolean => this.#folders.has(prefix);
    const onBegin = (folder: WatchedFolder): void => void (folder.stopWatching ??= this.#watch(folder));
    this.scans = new FolderScans({ clock, files, onName, isCurrent, isFolder, onBegin });
  }

  /** The directory itself is not there. */
  get isEmpty(): boolean {
    return this.#folders.size === 0;
  }

  get folders(): Iterable<Folder> {
    return this.#folders.values();
  }

  /** When the next patrol is due. */
  get patrolAtMs(): number {
    return this.#patrolAtMs;
  }

  folder(prefix: string): Folder | undefined {
    return this.#folders.get(prefix);
  }

  isCurrent(folder: Folder): boolean {
    return this.#folders.get(folder.prefix) === folder;
  }

  /** A folder was found. `renamed`: it may be another one than before, of which the watcher knows nothing. */
  meet(prefix: string, renamed: boolean): void {
    const folder = this.#folders.get(prefix);
    if (folder === undefined) this.#add(prefix);
    else if (renamed) this.#renew(folder);
  }

  /** Looks for what no event told of: in folders that have changed, and now and then in all of them. */
  patrol(nowMs: number): void {
    if (!this.#folders.has("")) this.#add("");
    // Dropped and added together: each time costs a pass over all folders.
    const gone = new Set<string>();
    const replaced: string[] = [];
    for (const folder of this.#folders.values()) {
      const { prefix } = folder;
      const stats = this.#stat(prefix);
      if (stats === undefined) gone.add(prefix);
      else if (stats.dev !== folder.device || stats.ino !== folder.fileNumber) {
        gone.add(prefix);
        replaced.push(prefix);
      } else this.scans.visit(folder, stats, nowMs);
    }
    if (gone.size > 0) this.#drop(gone);
    // What is below one of these is found by going through it.
    for (const prefix of replaced) if (!isBelow(parentOf(prefix), gone)) this.#add(prefix);
    const endMs = this.#clock.nowMs();
    const restMs = Math.max(patrolMs, (endMs - nowMs) * restFactor);
    this.#patrolAtMs = endMs + restMs;
    this.scans.rest(restMs);
  }

  clear(): void {
    this.#drop(new Set([""]));
    this.scans.clear();
  }

  #event(folder: WatchedFolder, kind: FolderEvent, told: FilePath | undefined): void {
    if (!this.isCurrent(folder)) return;
    if (told === undefined) return this.#eventsLost();
    const baseName = escapedName(told);
    if (isPossible(baseName)) this.#options.onEvent(folder, kind, baseName);
  }

  #eventsLost(): void {
    this.scans.eventsLost(this.#folders.values());
    this.#patrolAtMs = Math.min(this.#patrolAtMs, this.#clock.nowMs() + lossMs);
    this.#options.wakeAt(this.#patrolAtMs);
  }

  #add(prefix: string): void {
    const stats = this.#stat(prefix);
    if (stats === undefined) return;
    if (prefix === "") this.#options.onRoot();
    const { dev: device, ino: fileNumber } = stats;
    const own = { prefix, files: new Map(), device, fileNumber, stopWatching: undefined };
    const folder: WatchedFolder = { ...neverScanned, ...own };
    this.#folders.set(prefix, folder);
    this.scans.begin(folder, stats, true);
  }

  #renew(folder: WatchedFolder): void {
    folder.stopWatching?.();
    folder.stopWatching = undefined;
    const stats = this.#stat(folder.prefix);
    if (stats === undefined) this.#drop(new Set([folder.prefix]));
    else this.scans.begin(folder, stats, true);
  }

  /** Folders that are gone, with all that is in them. */
  #drop(prefixes: ReadonlySet<string>): void {
    for (const folder of this.#folders.values()) {
      if (!isBelow(folder.prefix, prefixes)) continue;
      folder.stopWatching?.();
      this.#folders.delete(folder.prefix);
    }
  }

  /** Undefined: it is not there. */
  #stat(prefix: string): Stats | undefined {
    try {
      const stats = statSync(this.#files.path(prefix));
      if (prefix === "") this.#missing = false;
      return stats;
    } catch (error) {
      if (prefix === "" && !this.#missing) {
        this.#missing = true;
        const why = failureReason(error) === "vanished" ? "no such directory" : errorText(error);
        this.#files.report("", "missing", `${why}; waiting until it is there`);
      }
      return undefined;
    }
  }

  #watch(folder: WatchedFolder): (() => void) | undefined {
    const { watchFolder } = this.#options;
    try {
      return watchFolder(this.#files.path(folder.prefix), (kind, name) => this.#event(folder, kind, name));
    } catch (error) {
      // Gone, or not to be read: who reads its names will say so.
      const expected = failureReason(error) === "vanished" || errorCode(error) === "EACCES";
      if (!expected && !this.#unwatched) {
        this.#unwatched = true;
        const why = describe(error, { ENOSPC: "too many folders are watched" }, "it cannot be watched");
        const detail = `the system does not report changes: ${why}; looking every few seconds`;
        this.#files.report(folder.prefix, "unwatched", detail, "on Linux, see: sysctl fs.inotify.max_user_watches");
      }
      return undefined;
    }
  }
}

/** Of the prefix of a folder; that of the root has none, and is undefined. */
function parentOf(prefix: string): string | undefined {
  return prefix === "" ? undefined : prefix.slice(0, prefix.lastIndexOf("/", prefix.length - 2) + 1);
}

/** Whether a folder is one of `prefixes`, or below one of them. */
function isBelow(prefix: string | undefined, prefixes: ReadonlySet<string>): boolean {
  for (let above = prefix; above !== undefined; above = parentOf(above)) if (prefixes.has(above)) return true;
  return false;
}
