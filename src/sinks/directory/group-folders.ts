/**
 * The folders that one group's files get their names in, each held from the first file to the end of the group, so that
 * none leads elsewhere meanwhile. Where no folder can be held, each on the way is looked at once a group.
 */
import type { HeldFolder } from "../../system/beneath.ts";
import type { Disk, Look } from "../../system/file-system.ts";

/** A layout may give each frame a folder of its own. */
const heldMax = 16;

/** Undefined: it is sound, and reached by its path. */
export type GroupFolder = HeldFolder | "symlink" | undefined;

export class GroupFolders {
  readonly #disk: Disk;
  readonly #root: string;
  readonly #folders = new Map<string, GroupFolder>();
  /** Frames of a source come one after another. */
  #last: { readonly path: string; readonly folder: GroupFolder } | undefined;

  constructor(disk: Disk, root: string) {
    this.#disk = disk;
    this.#root = root;
  }

  /** The folder that the file at `path`, which is below the root, is in. Throws what the disk throws. */
  of(path: string): GroupFolder {
    const folder = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (this.#last?.path === folder) return this.#last.folder;
    if (!this.#folders.has(folder)) {
      if (this.#folders.size >= heldMax) this.release();
      this.#folders.set(folder, this.#open(folder));
    }
    this.#last = { path: folder, folder: this.#folders.get(folder) };
    return this.#last.folder;
  }

  #open(folder: string): GroupFolder {
    const held = this.#disk.holdFolder?.(this.#root, folder);
    if (held !== undefined || folder === "") return held;
    // A folder that is gone is found to be so when a file is moved there.
    return lookBeneath(this.#disk, this.#root, folder) === "link" ? "symlink" : undefined;
  }

  release(): void {
    this.#last = undefined;
    for (const folder of this.#folders.values()) if (typeof folder === "object") folder.release();
    this.#folders.clear();
  }
}

/** What is at `path` below `root`; `link` also where a folder on the way is one. Throws as `Disk.look`. */
export function lookBeneath(disk: Pick<Disk, "look">, root: string, path: string): Look {
  for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) {
    const found = disk.look(`${root}/${path.slice(0, slash)}`);
    if (found !== "directory") return found === "link" ? "link" : "absent";
  }
  return disk.look(`${root}/${path}`);
}
