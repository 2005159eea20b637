/** Makes a directory an archive, or finds that it is one: our folder in it, the catalogue, no temporary leftovers. */
import { dirname, join, resolve } from "node:path";
import { ExitStatus, UserError } from "../../errors.ts";
import { describe, errorCode, isDenied, isFull } from "../../system/errno.ts";
import { type Disk } from "../../system/file-system.ts";
import { catalogueFile, ownFolder, temporaryFolder } from "./catalogue.ts";
import type { Directories } from "./directories.ts";

/** Makes the directory, those above it and our own folders, where they are missing. */
export function makeArchive(disk: Disk, directory: string, directories: Directories): void {
  makeRoot(disk, resolve(directory), directories);
  // An earlier receiver may have made it and not lived to sync it.
  directories.foundationChanged(dirname(resolve(directory)));
  // Who may read there may lock the catalogue, and a locked one holds all senders.
  makeFolder(disk, join(directory, ownFolder), directories, 0o750);
}

function makeRoot(disk: Disk, directory: string, directories: Directories): void {
  if (disk.identity(directory) !== undefined) return;
  makeRoot(disk, dirname(directory), directories);
  disk.makeDirectory(directory);
  directories.foundationChanged(dirname(directory));
}

/** Makes the folder of temporary files if it is missing; never our own folder above it. */
export function makeTemporaryFolder(disk: Disk, directory: string, directories: Directories): void {
  makeFolder(disk, join(directory, temporaryFolder), directories);
}

function makeFolder(disk: Disk, place: string, directories: Directories, mode?: number): void {
  const found = disk.look(place);
  if (found === "absent") disk.makeDirectory(place, mode);
  else if (found !== "directory") {
    throw new UserError(
      `${place} is not a directory`,
      ["move it away: framepipe keeps its catalogue there"],
      ExitStatus.failure,
    );
  }
  directories.foundationChanged(dirname(place));
}

/** Removes what earlier receivers left in the temporary folder. Only for the one who holds the catalogue. */
export function sweepTemporary(disk: Disk, directory: string): void {
  const folder = join(directory, temporaryFolder);
  for (const name of disk.list(folder)) {
    try {
      disk.remove(join(folder, name));
    } catch {
      // It is in nobody's way: new temporary files take other names.
    }
  }
}

/** Why the directory cannot be an archive, for the person who named it. */
export function cannotUse(directory: string, error: unknown): unknown {
  const code = errorCode(error);
  if (error instanceof UserError || code === "") return error;
  const hint = isFull(error)
    ? "make room there, or choose another disk with --out"
    : isDenied(error) || /^(?:EROFS$|SQLITE_(?:READONLY|CANTOPEN))/.test(code)
      ? `make '${directory}' writable for this user, or choose another directory with --out`
      : "choose another directory with --out";
  const what = describe(error, { ENOENT: "it cannot be made there" });
  return new UserError(`cannot store in ${directory}: ${what}`, [hint], ExitStatus.failure);
}

/** What is said of a new archive. Somebody may have deleted the catalogue of an old one. */
export function begun(disk: Disk, directory: string): { readonly detail: string; readonly hints?: readonly string[] } {
  if (!hasFiles(disk, directory)) return { detail: "nothing was stored there before; a new archive is begun" };
  return {
    detail: "it has no catalogue, so a new archive is begun, which does not know the files that are there",
    hints: [`to enter what was stored before: framepipe --verify '${directory}' --rebuild`],
  };
}

/** Folders may have been made for devices that are to come. One that may not be read has none, for this. */
function hasFiles(disk: Disk, folder: string): boolean {
  const folders: string[] = [];
  try {
    for (const name of disk.list(folder)) {
      if (name.startsWith(".") || name === "lost+found") continue;
      const found = disk.look(join(folder, name));
      if (typeof found === "number") return true;
      if (found === "directory") folders.push(join(folder, name));
    }
  } catch {
    return false;
  }
  return folders.some((one) => hasFiles(disk, one));
}

/** What is said of one that is there instead of the one before. */
export const replaced: Readonly<Record<"another catalogue" | "another directory", string>> = {
  "another directory":
    "another archive is there than before, as when a disk was mounted; frames are stored in it from now on",
  "another catalogue": "another catalogue is there than before; frames are entered in it from now on",
};

/** With `--no-create`. */
export function notThere(directory: string): UserError {
  return new UserError(
    `${directory} has no catalogue (${catalogueFile}), and --no-create does not begin one`,
    ["is its disk mounted?", "to begin a new archive there, leave out --no-create"],
    ExitStatus.failure,
  );
}
