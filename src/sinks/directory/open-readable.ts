/** Opens a catalogue for reading only, which may be in use, or left by a receiver that was killed. */
import { constants, Database } from "bun:sqlite";
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { ExitStatus, UserError } from "../../errors.ts";
import { errorCode, isDamage, lacksSharedMemory } from "../../system/errno.ts";
import { catalogueVersion } from "./catalogue-tables.ts";
import { catalogueBytesMin, catalogueFile, ownFolder } from "./catalogue.ts";
import { catalogueError, readVersion } from "./sqlite-catalogue.ts";

/** How long a read waits for another program, such as a receiver that ends and tidies up. */
const busyMs = 5000;

/** `reader`: the option that wants it. Throws UserError if there is no catalogue that can be read. */
export function openReadable(directory: string, reader: "--verify" | "--read"): Database {
  const path = join(directory, catalogueFile);
  if (!existsSync(path)) {
    const hints = [`${reader} takes a directory that a receiver has stored to, as given to its --out`];
    if (existsSync(join(directory, ownFolder))) hints.push(`one that was lost is made anew by --verify --rebuild`);
    throw new UserError(`${directory} has no catalogue (${catalogueFile})`, hints);
  }
  let database: Database | undefined;
  try {
    database = openReadOnly(path);
    const version = readVersion(database);
    if (version >= 1 && version <= catalogueVersion) return database;
    const found = version === 0 ? "holds no tables of framepipe" : `has version ${version}`;
    throw new UserError(
      `${path} ${found}, this framepipe knows versions up to ${catalogueVersion}`,
      ["use the framepipe that made it, or a newer one"],
      ExitStatus.failure,
    );
  } catch (error) {
    database?.close();
    if (!isKeptAlone(path, error)) throw catalogueError(directory, error);
    throw new UserError(
      `${path} cannot be read while its receiver runs: its file system shares no memory`,
      ["end the receiver first"],
      ExitStatus.failure,
    );
  }
}

/** Whether there is a catalogue without damage. Reads all of it. Throws what SQLite throws for another reason. */
export function isSound(directory: string): boolean {
  const path = resolve(directory, catalogueFile);
  // An empty file would be taken for an empty catalogue, and its log for the log of that.
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) < catalogueBytesMin) return false;
  let database: Database | undefined;
  try {
    database = openReadOnly(path);
    const statement = database.prepare<unknown, []>("PRAGMA quick_check(1)");
    const [[found] = []] = statement.values() as [string][];
    statement.finalize();
    return found === "ok" && readVersion(database) > 0;
  } catch (error) {
    if (isDamage(error)) return false;
    throw error;
  } finally {
    database?.close();
  }
}

function openReadOnly(path: string): Database {
  const database = new Database(resolve(path), { readonly: true });
  try {
    database.run(`PRAGMA busy_timeout = ${busyMs}`);
    readVersion(database);
    return database;
  } catch (error) {
    database.close();
    const hasLog = existsSync(`${path}-wal`);
    if (hasLog && lacksSharedMemory(error)) return openAlone(path);
    // On a read-only medium the files beside the catalogue cannot be made. If there is no log, nothing writes to it and
    // SQLite can be told so.
    if (hasLog || !/^SQLITE_(?:CANTOPEN|READONLY|IOERR_SHM)/.test(errorCode(error))) throw error;
    const url = `${pathToFileURL(resolve(path)).href}?immutable=1`;
    return new Database(url, constants.SQLITE_OPEN_READONLY | constants.SQLITE_OPEN_URI);
  }
}

/** Where no memory can be shared, whoever looks into the log has to keep everybody else out. */
function openAlone(path: string): Database {
  const database = new Database(resolve(path), { readwrite: true });
  try {
    database.run(`PRAGMA busy_timeout = ${busyMs}`);
    database.run("PRAGMA locking_mode = EXCLUSIVE");
    readVersion(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A receiver that shares the catalogue has the index of its log beside it. */
function isKeptAlone(path: string, error: unknown): boolean {
  return errorCode(error).startsWith("SQLITE_BUSY") && existsSync(`${path}-wal`) && !existsSync(`${path}-shm`);
}
