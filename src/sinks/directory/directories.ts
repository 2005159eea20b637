/**
 * The folders below a sink's directory: made as they are needed, never through a symbolic link, and remembered until
 * their entries are on the device. A folder is looked at once per run; which of its entries an earlier run had synced
 * is not known, so its parent is synced even if nothing was made.
 */
import { dirname, join } from "node:path";
import { errorCode } from "../../system/errno.ts";
import { type Disk } from "../../system/file-system.ts";
import { lookBeneath } from "./group-folders.ts";
import { isTwin } from "./name-twins.ts";

/** Folders remembered as sound. A layout by date and hour makes a few per hour and source. */
const knownMax = 4096;

export class Directories {
  readonly #disk: Disk;
  readonly #root: string;
  readonly #known = new Set<string>();
  #unsynced = new Set<string>();
  readonly #foundation = new Set<string>();
  /** The folder of the last path that was prepared, and of the last entry that changed since `sync`, with a slash. */
  #preparedLast = "/";
  #changedLast = "/";

  constructor(disk: Disk, root: string) {
    this.#disk = disk;
    this.#root = root;
  }

  /**
   * Makes sure that the folder of `path`, which is below the root, is there. Returns `symlink` if a symbolic link or a
   * file stands where a folder is needed, `name` if it would be a folder of another name. Throws what the disk throws.
   */
  prepare(path: string): "symlink" | "name" | undefined {
    const end = path.lastIndexOf("/");
    if (end === -1 || isIn(this.#preparedLast, path, end)) return undefined;
    const refused = this.#prepareFolder(path.slice(0, end));
    if (refused === undefined) this.#preparedLast = path.slice(0, end + 1);
    return refused;
  }

  /** The folders of `path` may have been changed behind us: they are looked at again. */
  doubt(path: string): void {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      this.#known.delete(path.slice(0, end));
    }
    this.#preparedLast = "/";
  }

  /** This folder, which is below the root and was empty, is removed: it has nothing to bring to the device. */
  removed(folder: string): void {
    this.doubt(`${folder}/`);
    this.#unsynced.delete(join(this.#root, folder));
    this.#changedLast = "/";
  }

  #prepareFolder(folder: string): "symlink" | "name" | undefined {
    if (this.#known.has(folder)) return undefined;
    const refused = this.prepare(folder);
    if (refused !== undefined) return refused;
    const place = join(this.#root, folder);
    // From the root on: those above may have been looked at long ago, and nothing is made where a link leads by now.
    let found = lookBeneath(this.#disk, this.#root, folder);
    if (found === "absent") {
      this.#make(place);
      found = this.#disk.look(place);
    }
    if (found !== "directory") {
      this.doubt(`${folder}/`);
      return "symlink";
    }
    if (isTwin(this.#disk, place)) return "name";
    this.changed(dirname(place));
    if (this.#known.size >= knownMax) this.#known.clear();
    this.#known.add(folder);
    return undefined;
  }

  #make(place: string): void {
    try {
      this.#disk.makeDirectory(place);
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw error;
    }
  }

  /** An entry of the folder at `place` has changed. */
  changed(place: string): void {
    this.#unsynced.add(place);
  }

  /** The entry at `path`, which is below the root, has changed. */
  entryChanged(path: string): void {
    const end = path.lastIndexOf("/");
    if (isIn(this.#changedLast, path, end)) return;
    this.#changedLast = path.slice(0, end + 1);
    this.changed(dirname(join(this.#root, path)));
  }

  /** The same for a folder that the whole archive stands on, whatever frames come: `forget` keeps it in mind. */
  foundationChanged(place: string): void {
    this.#foundation.add(place);
    this.changed(place);
  }

  /**
   * Brings all changed entries to the device. What changes meanwhile, or could not be synced, is left for the next
   * time.
   */
  sync(done: (failure: unknown) => void): void {
    const places = this.#unsynced;
    this.#unsynced = new Set();
    this.#changedLast = "/";
    this.#disk.syncDirectories([...places], (failure) => {
      if (failure !== undefined) for (const place of places) this.#unsynced.add(place);
      done(failure);
    });
  }

  /**
   * The disk may have been changed behind us: every folder is looked at again before it is used, and noted again then.
   * A folder that is gone would otherwise fail every sync.
   */
  forget(): void {
    this.#known.clear();
    this.#preparedLast = "/";
    this.#changedLast = "/";
    this.#unsynced = new Set(this.#foundation);
  }
}

/** Whether `path`, whose last slash is at `end`, is in `folder`, which ends with a slash. */
function isIn(folder: string, path: string, end: number): boolean {
  return end + 1 === folder.length && path.startsWith(folder);
}
