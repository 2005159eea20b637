/**
 * A lock that one process holds for as long as it lives: an exclusive transaction on an empty SQLite database. Neither
 * Bun nor Node.js offers `flock`. The operating system takes this lock back when the process dies, however it dies, so
 * none is ever left behind.
 */
import { Database } from "bun:sqlite";
import { chmodSync, closeSync, constants, openSync, statSync, unlinkSync } from "node:fs";
import { resolve } from "node:path";
import { errorCode } from "./errno.ts";
import { nodeDisk } from "./file-system.ts";

export interface ProcessLock {
  /** The locked file is still what is at its path. Once it is not, another process may lock another file there. */
  inPlace(): boolean;
  /** May be called once. */
  release(): void;
}

/** Locks the file at `path`, which stays there. Undefined: another process has it. Throws what SQLite throws. */
export function takeLock(path: string): ProcessLock | undefined {
  provide(path);
  const database = lockedDatabase(path);
  return database === undefined ? undefined : { ...placeOf(path), release: () => database.close() };
}

/**
 * The same for a file that is there only while it is locked, beside files of the user. Throws what the file system
 * throws as well. Not for a file that this process has locked itself: to close it anywhere gives up the lock (POSIX).
 */
export function takeTemporaryLock(path: string): ProcessLock | undefined {
  for (;;) {
    // The last holder may remove the file while it is being opened here; then what would be locked is nobody's.
    closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600));
    const before = nodeDisk.identity(path);
    const database = lockedDatabase(path);
    if (database === undefined) return undefined;
    if (before !== undefined && nodeDisk.identity(path) === before) {
      const place = placeOf(path);
      return { ...place, release: () => removeAndClose(database, path, place.inPlace()) };
    }
    database.close();
  }
}

/**
 * For this user alone: who may read a file may lock it. It is not opened if it is there: to close it would give up the
 * lock of this very process.
 */
function provide(path: string): void {
  try {
    const status = statSync(path, { throwIfNoEntry: false });
    if (status === undefined) closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600));
    else if ((status.mode & 0o077) !== 0) chmodSync(path, 0o600);
  } catch {
    // It came just now, or is another user's, or cannot be: SQLite will tell.
  }
}

function lockedDatabase(path: string): Database | undefined {
  let database: Database | undefined;
  try {
    database = new Database(resolve(path), { create: true });
    database.run("PRAGMA locking_mode = EXCLUSIVE");
    // Nothing is ever written, so no journal has to lie beside it.
    database.run("PRAGMA journal_mode = MEMORY");
    database.run("BEGIN EXCLUSIVE");
    return database;
  } catch (error) {
    database?.close();
    if (errorCode(error).startsWith("SQLITE_BUSY")) return undefined;
    throw error;
  }
}

function placeOf(path: string): Pick<ProcessLock, "inPlace"> {
  const identity = nodeDisk.identity(path);
  return { inPlace: () => nodeDisk.identity(path) === identity };
}

function removeAndClose(database: Database, path: string, isOurs: boolean): void {
  try {
    // While it is locked: nobody else can be using it.
    if (isOurs) unlinkSync(path);
  } catch {
    // Its disk is gone, or this system lets no open file be removed; then it stays, empty.
  }
  database.close();
}
