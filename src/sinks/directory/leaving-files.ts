/** Removes files of frames that are kept no longer, and folders that are empty then; never through a link. */
import { describe, errorCode } from "../../system/errno.ts";
import type { Disk } from "../../system/file-system.ts";
import type { SyncMode } from "../store/sync-mode.ts";
import type { Directories } from "./directories.ts";
import { lookBeneath } from "./group-folders.ts";

export interface LeavingFilesOptions {
  readonly directory: string;
  readonly sync: SyncMode;
  readonly disk: Disk;
  readonly directories: Directories;
}

export class LeavingFiles {
  readonly #options: LeavingFilesOptions;
  readonly #notRemoved: (detail: string) => void;

  /** `notRemoved` is told of each file that stays, with the reason. */
  constructor(options: LeavingFilesOptions, notRemoved: (detail: string) => void) {
    this.#options = options;
    this.#notRemoved = notRemoved;
  }

  /** Whether there is no file any more. */
  remove(path: string): boolean {
    const { disk, directory, directories } = this.#options;
    try {
      const found = lookBeneath(disk, directory, path);
      if (typeof found === "number") disk.remove(`${directory}/${path}`);
      const folder = path.slice(0, Math.max(0, path.lastIndexOf("/")));
      const isFolder = typeof found === "number" || lookBeneath(disk, directory, folder) === "directory";
      if (isFolder) directories.entryChanged(path);
      // A link, or a folder: it is somebody else's, and not the frame.
      return true;
    } catch (error) {
      if (errorCode(error) === "ENOENT") return true;
      this.#notRemoved(`${path} is kept no longer, and cannot be removed: ${describe(error)}`);
      return false;
    }
  }

  /** Those that these files were in, and that are empty now. */
  removeFolders(paths: readonly string[]): void {
    const { disk, directory, directories } = this.#options;
    const folders = new Set(paths.map((path) => path.slice(0, Math.max(0, path.lastIndexOf("/")))));
    for (let folder of folders) {
      while (folder !== "") {
        try {
          if (lookBeneath(disk, directory, folder) !== "directory") break;
          disk.removeDirectory(`${directory}/${folder}`);
        } catch {
          // There is something in it.
          break;
        }
        directories.removed(folder);
        folder = folder.slice(0, Math.max(0, folder.lastIndexOf("/")));
      }
    }
  }

  /** What was removed stays so, also after a power loss. */
  async flush(): Promise<void> {
    const { sync, directories } = this.#options;
    if (sync === "never") return;
    await new Promise<void>((resolve, reject) =>
      directories.sync((failure) => (failure === undefined ? resolve() : reject(failure as Error))),
    );
  }
}
