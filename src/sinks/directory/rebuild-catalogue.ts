/**
 * A catalogue that is lost, made anew: from the open one, where a receiver still has it, or else from the files. It is
 * made beside its place, and put there when it is whole and on the device: whoever ends in the middle has changed
 * nothing. Only for whoever holds the lock of the directory.
 */
import { closeSync, fdatasyncSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { UserError } from "../../errors.ts";
import { nodeDisk, syncDirectoryNow } from "../../system/file-system.ts";
import { type Catalogue, catalogueFile, damagedFolder, newCatalogueFile, ownFolder } from "./catalogue.ts";
import { type EnteredFiles, enterFiles, type EnterFilesOptions } from "./enter-files.ts";
import { openSqliteCatalogue } from "./sqlite-catalogue.ts";

const logEnds = ["-wal", "-shm"] as const;

/** Rejects with UserError where no frame is found, else with what the file system or SQLite says. */
export async function rebuildFromFiles(options: Omit<EnterFilesOptions, "catalogue">): Promise<EnteredFiles> {
  const { directory, layout } = options;
  removeNew(directory);
  try {
    // Nobody else sees it, and if this does not live to its end it is begun again.
    const catalogue = openSqliteCatalogue(directory, "never", () => undefined, newCatalogueFile);
    let entered: EnteredFiles;
    try {
      entered = await enterFiles({ ...options, catalogue });
    } finally {
      catalogue.close();
    }
    if (entered.frames === 0 && entered.passedOver > 0) {
      throw new UserError(`${directory} has no file where --layout '${layout.template}' puts one`, [
        "give --layout as the receiver has it",
      ]);
    }
    putInPlace(directory);
    return entered;
  } catch (error) {
    removeNew(directory);
    throw error;
  }
}

/** Nothing of it is lost. Throws what SQLite says. */
export function rebuildFromOpen(directory: string, open: Catalogue): void {
  removeNew(directory);
  open.copyTo(resolve(directory, newCatalogueFile));
  putInPlace(directory);
}

/** What one leaves that was killed. */
export function removeNew(directory: string): void {
  for (const end of ["", ...logEnds, "-found"]) rmSync(resolve(directory, newCatalogueFile) + end, { force: true });
}

/** What is there of a catalogue, damaged or emptied, is set aside with its log, which must not meet the new one. */
function putInPlace(directory: string): void {
  const path = resolve(directory, newCatalogueFile);
  const handle = openSync(path, "r+");
  try {
    fdatasyncSync(handle);
  } finally {
    closeSync(handle);
  }
  const aside = resolve(directory, damagedFolder);
  const stamp = new Date().toISOString().replaceAll(":", "");
  for (const end of [...logEnds, ""]) {
    const old = resolve(directory, catalogueFile) + end;
    if (nodeDisk.look(old) === "absent") continue;
    mkdirSync(aside, { recursive: true, mode: 0o750 });
    renameSync(old, join(aside, `catalogue.db${end}.${stamp}`));
  }
  renameSync(path, resolve(directory, catalogueFile));
  syncDirectoryNow(resolve(directory, ownFolder));
}
