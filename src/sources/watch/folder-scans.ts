/**
 * Folders are read for what no event told of: those whose time of change has moved for new names, and once a minute
 * each for all its files, those that were sent included. That may take 1 % of the time, so of large folders it is done
 * less often: 1,000,000 sent files are gone through in 17 minutes.
 */
import type { Stats } from "node:fs";
import { inNaturalOrder } from "../../names.ts";
import type { Clock } from "../../ports.ts";
import { failureReason } from "../files/file-errors.ts";
import { FolderWalk } from "../files/folder-walk.ts";
import type { FrameFiles } from "../files/frame-files.ts";
import type { Folder } from "./known-files.ts";

/** The least time between two readings of one folder for new names. */
const scanMs = 5_000;
/** The least time between two looks at all files of one folder, if nothing was lost. */
const deepScanMs = 60_000;
/** Files that are looked at again in that way, of all folders: 3 µs each, 15 on a small machine. */
const deepFilesPerSecond = 1_000;
/** After a patrol, or a scan of a folder, this many times its length nothing of the kind. */
export const restFactor = 100;

export interface ScannedFolder extends Folder {
  /** The folder's time of change before its names were read last. */
  changedMs: number;
  /** Its names could not be read, and that was said. */
  unreadable: boolean;
  scanning: boolean;
  scanAtMs: number;
  /** 0: as soon as possible. */
  deepScanAtMs: number;
}

export const neverScanned: Readonly<Omit<ScannedFolder, keyof Folder>> = {
  changedMs: 0,
  unreadable: false,
  scanning: false,
  scanAtMs: 0,
  deepScanAtMs: 0,
};

interface Scan<Watched> {
  readonly folder: Watched;
  /** Files that were listed are looked at again. */
  readonly deep: boolean;
  readonly losses: number;
  costMs: number;
}

export interface FolderScansOptions<Watched> {
  readonly clock: Clock;
  readonly files: FrameFiles;
  readonly isCurrent: (folder: Folder) => boolean;
  readonly isFolder: (prefix: string) => boolean;
  /** The names of a folder are about to be read: what appears from now on has to be heard of. */
  readonly onBegin: (folder: Watched) => void;
  /** A scan has come to a name that is new, or is to be looked at again. */
  readonly onName: (folder: Folder, baseName: string) => void;
}

export class FolderScans<Watched extends ScannedFolder> {
  readonly #options: FolderScansOptions<Watched>;
  readonly #clock: Clock;
  readonly #walk = new FolderWalk<Scan<Watched>>();
  #losses = 0;
  /** How many files may be looked at again without a reason; below 0 it is too many already. */
  #deepFiles = 0;

  constructor(options: FolderScansOptions<Watched>) {
    this.#options = options;
    this.#clock = options.clock;
  }

  /** How often events were lost. */
  get losses(): number {
    return this.#losses;
  }

  /** Events of any folder may be among those that are lost. */
  eventsLost(folders: Iterable<Watched>): void {
    this.#losses += 1;
    for (const folder of folders) folder.deepScanAtMs = 0;
  }

  /** A patrol comes to a folder that is there. */
  visit(folder: Watched, stats: Stats, nowMs: number): void {
    if (folder.scanning) return;
    const deep = folder.deepScanAtMs === 0 || (this.#deepFiles > 0 && nowMs >= folder.deepScanAtMs);
    if (deep && folder.deepScanAtMs > 0) this.#deepFiles -= folder.files.size;
    if (deep || (nowMs >= folder.scanAtMs && stats.ctimeMs !== folder.changedMs)) this.begin(folder, stats, deep);
  }

  /** The next patrol comes after so long. */
  rest(restMs: number): void {
    this.#deepFiles = Math.min(0, this.#deepFiles) + (deepFilesPerSecond * restMs) / 1000;
  }

  /** Reads the names of a folder; `step` goes through them. */
  begin(folder: Watched, stats: Stats, deep: boolean): void {
    const { files: frameFiles, isFolder, onBegin } = this.#options;
    const startMs = this.#clock.nowMs();
    onBegin(folder);
    const { prefix, files } = folder;
    let names: string[];
    try {
      ({ names } = frameFiles.names(prefix));
      folder.unreadable = false;
    } catch (error) {
      // Gone: the next patrol will say so. Unreadable: it will try again.
      if (failureReason(error) === "vanished" || folder.unreadable) return;
      folder.unreadable = true;
      frameFiles.reportUnreadable(prefix, error);
      return;
    }
    folder.changedMs = stats.ctimeMs;
    folder.scanning = true;
    if (files.size > names.length) forgetMissing(files, names);
    const unknown = names.filter((name) => {
      if (!files.has(name)) return !isFolder(`${prefix}${name}/`);
      return deep && typeof files.get(name) === "number";
    });
    const scan = { folder, deep, losses: this.#losses, costMs: 0 };
    this.#walk.enter(scan, inNaturalOrder(unknown));
    scan.costMs = this.#clock.nowMs() - startMs;
  }

  /** Goes on by one name; false: there are none. */
  step(): boolean {
    const step = this.#walk.next();
    if (step === undefined) return false;
    const { folder: scan, name } = step;
    const { folder, deep } = scan;
    const startMs = this.#clock.nowMs();
    if (name === undefined) this.#end(scan, startMs);
    else if (this.#options.isCurrent(folder)) {
      const known = folder.files.get(name);
      if (known === undefined || (deep && typeof known === "number")) this.#options.onName(folder, name);
    }
    scan.costMs += this.#clock.nowMs() - startMs;
    return true;
  }

  clear(): void {
    this.#walk.clear();
  }

  #end({ folder, deep, losses, costMs }: Scan<Watched>, nowMs: number): void {
    folder.scanning = false;
    folder.scanAtMs = nowMs + Math.max(scanMs, costMs * restFactor);
    // What was lost meanwhile may have been lost before its name was read, or after.
    if (deep && losses === this.#losses) folder.deepScanAtMs = nowMs + deepScanMs;
  }
}

/** Files whose end no event told of. */
function forgetMissing(files: Folder["files"], names: readonly string[]): void {
  const present = new Set(names);
  for (const [baseName, known] of files) {
    if (typeof known === "number" && !present.has(baseName)) files.delete(baseName);
  }
}
