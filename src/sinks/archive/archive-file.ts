/**
 * One file that a receiver appends frames to, as a port: so that tests can let it fail where a disk does. Only one
 * receiver may use it; the lock is a hidden file beside it.
 */
import {
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  realpathSync,
  statSync,
  writeSync,
  writevSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { ArchiveFile, ArchiveFileState } from "../../archive-formats/archive-file.ts";
import { viewsBehind } from "../../bytes/views.ts";
import { ExitStatus, nothingWritten, SinkError, UserError } from "../../errors.ts";
import { describe, errorCode, passesByItself } from "../../system/errno.ts";
import { claimFile } from "../../system/file-claim.ts";
import { nodeDisk, syncDirectoryNow } from "../../system/file-system.ts";
import { type ProcessLock, takeTemporaryLock } from "../../system/process-lock.ts";

/**
 * Opens an archive for one receiver; makes it if `create` and nothing is there. Throws UserError for what cannot be
 * opened or is in use.
 */
export type OpenArchiveFile = (path: string, create: boolean) => ArchiveFile;

/**
 * The start of names for temporary files beside an archive, links followed: on its disk. Throws UserError for a path at
 * which nothing can be.
 */
export function temporaryPathBeside(path: string): string {
  try {
    const real = statSync(path, { throwIfNoEntry: false }) === undefined ? path : realpathSync(path);
    return join(dirname(real), `.${basename(real)}.${crypto.randomUUID().slice(0, 8)}.`);
  } catch (error) {
    throw cannotOpen(path, error);
  }
}

/** Buffers of one call; systems take at least 1,024. */
const viewsMax = 512;

/** The file system of this machine. */
export function openNodeArchiveFile(path: string, create: boolean): ArchiveFile {
  let handle: number | undefined;
  try {
    handle = openSync(path, constants.O_RDWR | (create ? constants.O_CREAT : 0), 0o666);
    if (!fstatSync(handle).isFile()) throw notAFile(path);
    const real = realpathSync(path);
    const lock = takeTemporaryLock(lockPath(real));
    // The lock may have been deleted by whoever tidies up: the archive itself is claimed as well.
    if (lock !== undefined && claimFile(handle) !== false) return new NodeArchiveFile(real, handle, lock);
    lock?.release();
    throw archiveInUse(path);
  } catch (error) {
    if (handle !== undefined) closeSync(handle);
    throw !create && errorCode(error) === "ENOENT" ? archiveGone(path) : cannotOpen(path, error);
  }
}

function lockPath(real: string): string {
  return join(dirname(real), `.${basename(real)}.lock`);
}

function notAFile(path: string): UserError {
  return new UserError(
    `cannot store in ${path}: it is not a file`,
    ["choose another name with --out"],
    ExitStatus.failure,
  );
}

function cannotOpen(path: string, error: unknown): unknown {
  const code = errorCode(error);
  if (error instanceof UserError || error instanceof SinkError || code === "") return error;
  if (code === "EISDIR") return notAFile(path);
  // Whoever opens it decides what it means to wait.
  if (passesByItself(error)) return error;
  const what = describe(error, {
    ENOENT: `there is no directory ${dirname(path)}`,
    ELOOP: "its symbolic links lead in a circle",
    // The lock's name is that of the archive and six bytes more.
    ENAMETOOLONG: "its name is too long: a lock file has to lie beside it",
  });
  return new UserError(`cannot store in ${path}: ${what}`, [openHint(path, code)], ExitStatus.failure);
}

function openHint(path: string, code: string): string {
  switch (code) {
    case "ENOENT":
      return `make it: mkdir -p '${dirname(path)}'`;
    case "ENOTDIR":
    case "ELOOP":
      return "choose another name with --out";
    case "ENAMETOOLONG":
      return "choose a shorter name with --out";
    default:
      return `make '${path}' and its directory writable for this user, or choose another with --out`;
  }
}

/** For whoever waits for it. */
export function archiveGone(path: string): SinkError {
  const hints = ["put it back, or start the receiver again to begin a new one"];
  return new SinkError(`${path} is gone; nothing is stored until it is back`, { retryable: true, hints });
}

/** Something is there that could be an archive. */
export function isArchiveThere(path: string): boolean {
  return (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

/** With `--no-create`. */
export function noArchive(path: string): UserError {
  return new UserError(
    `${path} is not there, or empty, and --no-create does not begin an archive`,
    ["is its disk mounted?", "to begin a new archive there, leave out --no-create"],
    ExitStatus.failure,
  );
}

export function archiveInUse(path: string): UserError {
  const hints = ["stop the other receiver, or give this one an archive of its own with --out"];
  return new UserError(`${path} is in use by another receiver`, hints, ExitStatus.failure);
}

class NodeArchiveFile implements ArchiveFile {
  readonly path: string;
  readonly identity: string;
  readonly bytes: number;
  readonly #handle: number;
  #lock: ProcessLock | undefined;
  #nameSynced = false;
  #closed = false;

  constructor(path: string, handle: number, lock: ProcessLock) {
    this.path = path;
    this.#handle = handle;
    this.#lock = lock;
    const { dev, ino, size } = fstatSync(handle, { bigint: true });
    this.identity = `${dev}:${ino}`;
    this.bytes = Number(size);
  }

  read(into: Uint8Array, position: number): number {
    let done = 0;
    while (done < into.byteLength) {
      const count = readSync(this.#handle, into, done, into.byteLength - done, position + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  write(views: readonly Uint8Array[], position: number): void {
    let rest = views.filter((view) => view.byteLength > 0);
    let at = position;
    while (rest.length > 0) {
      const [first] = rest;
      const count =
        rest.length === 1 && first !== undefined
          ? writeSync(this.#handle, first, 0, first.byteLength, at)
          : writevSync(this.#handle, rest.slice(0, viewsMax), at);
      if (count <= 0) throw nothingWritten();
      at += count;
      rest = viewsBehind(rest, count);
    }
  }

  probe(bytes: number, position: number): void {
    if (writeSync(this.#handle, new Uint8Array(bytes), 0, bytes, position) < bytes) throw nothingWritten();
  }

  resize(bytes: number): void {
    ftruncateSync(this.#handle, bytes);
  }

  async sync(): Promise<void> {
    await settled((done) => fdatasync(this.#handle, done));
    if (this.#nameSynced) return;
    await settled((done) => nodeDisk.syncDirectories([dirname(this.path)], done));
    this.#nameSynced = true;
  }

  syncNow(): void {
    fdatasyncSync(this.#handle);
    if (!this.#nameSynced) syncDirectoryNow(dirname(this.path));
    this.#nameSynced = true;
  }

  look(): ArchiveFileState {
    const inPlace = nodeDisk.identity(this.path) === this.identity;
    if (this.#lock?.inPlace() === true) return { inPlace, lock: "kept" };
    // Beside an archive that is gone there may be no folder any more, and nothing to lock.
    if (!inPlace) return { inPlace, lock: "kept" };
    this.#lock?.release();
    this.#lock = takeTemporaryLock(lockPath(this.path));
    return { inPlace, lock: this.#lock === undefined ? "taken" : "made" };
  }

  size(): number {
    return fstatSync(this.#handle).size;
  }

  freeBytes(): number {
    return nodeDisk.freeBytes(dirname(this.path));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      closeSync(this.#handle);
    } catch {
      // Its disk is gone; what counted was synced.
    }
    this.#lock?.release();
  }
}

function settled(run: (done: (failure: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    run((failure) => (failure === undefined || failure === null ? resolve() : reject(failure)));
  });
}
