/** Makes a directory an archive, or finds that it is one: our folder in it, the catalogue, no temporary leftovers. */
import { dirname, join, resolve } from "node:path";
import { ExitStatus, UserError } from "../../errors.ts";
import { describe, errorCode, isDenied, isFull } from "../../system/errno.ts";
import { type Disk } from "../../system/file-system.ts";
import { ownFolder, temporaryFolder } from "./catalogue.ts";
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
