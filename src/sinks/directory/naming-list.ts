/**
 * Which paths files are about to get: written before a commit names its files, so that what a receiver that is killed
 * leaves without rows can be told from files of somebody else.
 *
 *     paths of the group appended -> flushed with its files -> files named -> folders flushed -> rows
 *
 * The same list serves group after group. What is left of one that got no rows is carried on from list to list.
 */
import { join } from "node:path";
import { nothingWritten } from "../../errors.ts";
import { MiB } from "../../limits.ts";
import { errorCode } from "../../system/errno.ts";
import type { Disk } from "../../system/file-system.ts";
import { freeNumber, numberedPath, unnumberedPath } from "../store/numbered-path.ts";
import { type Catalogue, namingPrefix, ownFolder } from "./catalogue.ts";
import type { Directories } from "./directories.ts";

/** A list this long is followed by a new one: `--verify` reads all of it. */
const listBytesMax: number = MiB;

export interface NamingListOptions {
  readonly directory: string;
  readonly disk: Disk;
  readonly directories: Directories;
  /** Smaller for tests. */
  readonly listBytesMax?: number;
}

export class NamingList {
  readonly #options: NamingListOptions;
  readonly #folder: string;
  /** Undefined: the next group begins one. */
  #list: { readonly handle: number; readonly path: string; bytes: number } | undefined;
  #count = 0;
  /** Lists before it, which say nothing that it does not say. */
  #older: string[] = [];
  /** That it is there would survive a power loss. */
  #flushed = true;
  /** Paths of groups that may have got no rows. */
  #left = new Set<string>();
  /** Those of the last group. */
  #group: readonly string[] = [];

  constructor(options: NamingListOptions) {
    this.#options = options;
    this.#folder = join(options.directory, ownFolder);
  }

  /** The directory has been opened, perhaps again. */
  opened(catalogue: Catalogue): void {
    const { disk } = this.#options;
    const names = disk.list(this.#folder).filter((name) => name.startsWith(namingPrefix));
    this.#older = names.map((name) => join(this.#folder, name));
    this.#left = new Set(this.#older.flatMap((path) => pathsIn(disk.read(path))));
    this.#group = [];
    this.#dropRecorded(catalogue);
    if (this.#left.size === 0) this.#removeOlder();
  }

  /** A list was begun: before anything is named, folders that changed have to be flushed, and `settle` called. */
  get isNew(): boolean {
    return !this.#flushed;
  }

  settle(): void {
    this.#flushed = true;
    this.#removeOlder();
  }

  /**
   * The next group may put files at these paths and their numbered ones. Returns what has to be flushed before it does.
   * Throws what the disk throws.
   */
  begin(paths: readonly string[], catalogue: Catalogue): number {
    for (const path of this.#group) this.#left.add(path);
    this.#group = paths;
    const { listBytesMax: bytesMax = listBytesMax } = this.#options;
    if (this.#list !== undefined && this.#list.bytes >= bytesMax) this.#endList();
    this.#list ??= this.#newList(catalogue);
    this.#append(this.#list, paths);
    return this.#list.handle;
  }

  /** The rows of the last group are there. */
  recorded(): void {
    this.#group = [];
  }

  #newList(catalogue: Catalogue): { readonly handle: number; readonly path: string; bytes: number } {
    const { disk, directories } = this.#options;
    this.#dropRecorded(catalogue);
    for (;;) {
      this.#count += 1;
      const path = join(this.#folder, `${namingPrefix}${this.#count}`);
      try {
        const list = { handle: disk.create(path), path, bytes: 0 };
        this.#flushed = false;
        directories.foundationChanged(this.#folder);
        this.#list = list;
        this.#append(list, [...this.#left]);
        return list;
      } catch (error) {
        if (errorCode(error) !== "EEXIST") throw error;
      }
    }
  }

  #append(list: { readonly handle: number; bytes: number }, paths: readonly string[]): void {
    if (paths.length === 0) return;
    // Behind what a write that failed has left, a line begins anew.
    const lines = Buffer.from(`\n${paths.join("\n")}\n`);
    for (let done = 0; done < lines.byteLength;) {
      const count = this.#options.disk.write(list.handle, lines.subarray(done));
      if (count <= 0) throw nothingWritten();
      done += count;
    }
    list.bytes += lines.byteLength;
  }

  /** Of what is left, only that stays at whose path there is a file without a row. */
  #dropRecorded(catalogue: Catalogue): void {
    const { disk, directory } = this.#options;
    for (const path of this.#left) {
      // Files of one name have numbers that follow each other, and the latest have no rows.
      const free = numberedPath(
        path,
        freeNumber((number) => catalogue.holds(numberedPath(path, number))),
      );
      if (disk.look(join(directory, free)) === "absent") this.#left.delete(path);
    }
  }

  #endList(): void {
    if (this.#list === undefined) return;
    const { handle, path } = this.#list;
    this.#list = undefined;
    this.#older.push(path);
    this.#options.disk.close(handle);
  }

  #removeOlder(): void {
    for (const path of this.#older) {
      try {
        this.#options.disk.remove(path);
      } catch {
        // It says nothing that is not so.
      }
    }
    this.#older = [];
  }

  /** A receiver that ends in good order leaves no list, unless there is something in it. Never throws. */
  close(catalogue: Catalogue | undefined): void {
    try {
      this.#endList();
      for (const path of this.#group) this.#left.add(path);
      if (catalogue === undefined) return;
      this.#dropRecorded(catalogue);
      if (this.#left.size === 0) this.#removeOlder();
    } catch {
      // Its disk is gone. The next one sees to it.
    }
  }
}

function pathsIn(list: Uint8Array): string[] {
  return Buffer.from(list.buffer, list.byteOffset, list.byteLength)
    .toString()
    .split("\n")
    .filter((path) => path !== "" && !path.includes("\0"));
}

/** Which of the paths at which there are files without rows a receiver was about to name, as its lists say it. */
export function wasBeingNamed(lists: readonly Uint8Array[]): (path: string) => boolean {
  const paths = new Set(lists.flatMap(pathsIn));
  return (path) => paths.has(path) || paths.has(unnumberedPath(path)?.path ?? path);
}
