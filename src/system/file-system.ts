/**
 * The few things the directory sink does to a file system, as a port: so that the order of its steps runs just as well
 * on a simulated disk that loses power in the middle. `nodeDisk` is the real one.
 *
 * Synchronous calls are used where the system answers from memory, because they are two to three times cheaper than
 * asynchronous ones; what waits for the device itself (`sync`, `syncDirectories`) goes through a callback.
 */
import {
  close,
  closeSync,
  constants,
  fdatasync,
  fsync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  open,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
  statfsSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { crc32 as checksumOf } from "../bytes/checksum.ts";
import { KiB } from "../limits.ts";
import { type HeldFolder, holdFolder } from "./beneath.ts";
import { BulkSync } from "./bulk-sync.ts";
import { errorCode, isDenied, noInodes } from "./errno.ts";
import { setModified } from "./file-times.ts";
import { renameNew } from "./rename-noreplace.ts";
import { mayNameOnWindows } from "./windows-names.ts";

/** What is at a path, without following a symbolic link: the size in bytes of a regular file, or a word. */
export type Look = number | "absent" | "directory" | "link" | "other";

/**
 * A file system. Everything throws an `Error` with a `code` such as `ENOSPC`, except the two that take a callback:
 * they give the first error to `done`, which is never called inside the call that got it. Handles are small integers;
 * whoever opened one closes it once.
 */
export interface Disk {
  /** Creates `path`, which must not exist, for writing, and returns its handle. */
  create(path: string): number;
  /** Appends what fits of `view` and returns that count, which may be short; 0 means that nothing fits. */
  write(handle: number, view: Uint8Array): number;
  /** Sets the modification time, nanoseconds since 1970, as well as the file system can hold it. Never throws. */
  setModified(handle: number, ns: bigint): void;
  /** Opens an existing file, not through a link, only to sync it. */
  openForSync(path: string): number;
  /** Brings the bytes of these files to the device, all at once. */
  sync(handles: readonly number[], done: (failure: unknown) => void): void;
  close(handle: number): void;
  /**
   * Moves a file to where nothing is. False: something is there, and nothing was done. `folder` is the one that `to` is
   * in, if it is held: then that is where it goes, whatever the path leads to.
   */
  renameNew(from: string, to: string, folder?: HeldFolder): boolean;
  /**
   * The folder at a path below `root`, reached through no link. Undefined: there is none, a link is on the way, or it
   * cannot be told. Absent: this file system cannot hold any.
   */
  holdFolder?(root: string, folder: string): HeldFolder | undefined;
  remove(path: string): void;
  /** Removes a directory that is empty; throws if it is not. */
  removeDirectory(path: string): void;
  look(path: string): Look;
  /** `mode`: who may do what there, unless it is what the user's umask says. */
  makeDirectory(path: string, mode?: number): void;
  /**
   * Brings the entries of these directories to the device. A directory that may not be opened for reading, or a file
   * system that cannot do it, is left to the system: there is no other way to ask.
   */
  syncDirectories(paths: readonly string[], done: (failure: unknown) => void): void;
  /** CRC-32 of a whole file, read in bounded pieces. */
  checksum(path: string): number;
  /** Bytes an ordinary user may still write to the file system that holds `path`. */
  freeBytes(path: string): number;
  /**
   * Whether this system can have a file at such a path, as far as the path says it; absent: it takes every safe one. A
   * file system that cannot hold a name says so when it is used.
   */
  readonly mayName?: (path: string) => boolean;
  /** Names in a directory, in any order. */
  list(path: string): string[];
  /** All that is in a small file. */
  read(path: string): Uint8Array;
  /** Which file or directory this is, links followed: equal only for the same one. `undefined`: nothing is there. */
  identity(path: string): string | undefined;
}

/**
 * Files flushed by one call for all. It pays from 4 (0.5 against 1 ms) and saves 2 ms at 16; but it waits for whatever
 * other programs have written to the file system too, which the few frames of a camera should not.
 */
const bulkFilesMin = 16;

const readBytes = 256 * KiB;
let readBuffer: Uint8Array | undefined;

const bulk = new BulkSync(syncEach);

/** The file system of this machine. */
export const nodeDisk: Disk = {
  create: (path) =>
    making(path, () =>
      openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o666),
    ),
  write: (handle, view) => writeSync(handle, view, 0, view.byteLength),
  setModified: (handle, ns) => void setModified(handle, ns),
  openForSync: (path) => openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW),
  sync(handles, done) {
    if (handles.length < bulkFilesMin) syncEach(handles, done);
    else bulk.sync(handles, done);
  },
  close: closeSync,
  renameNew: (from, to, folder) =>
    folder === undefined ? renameNew(from, to) : renameNew(from, to.slice(to.lastIndexOf("/") + 1), folder.handle),
  holdFolder,
  remove: unlinkSync,
  removeDirectory: (path) => rmdirSync(path),
  look,
  makeDirectory: (path, mode = 0o777) => making(path, () => void mkdirSync(path, { mode })),
  syncDirectories(paths, done) {
    const settle = countDown(paths.length, done);
    for (const path of paths) syncDirectory(path, settle);
  },
  checksum,
  freeBytes(path) {
    const status = statfsSync(path);
    return status.bavail * status.bsize;
  },
  ...(process.platform === "win32" ? { mayName: mayNameOnWindows } : {}),
  list: (path) => readdirSync(path),
  read: (path) => readFileSync(path),
  identity(path) {
    try {
      const status = statSync(path, { bigint: true, throwIfNoEntry: false });
      return status === undefined ? undefined : `${status.dev}:${status.ino}`;
    } catch (error) {
      if (errorCode(error) === "ENOTDIR") return undefined;
      throw error;
    }
  },
};

/** A full disk is not full of bytes where inodes are what is used up. */
function making<Made>(path: string, make: () => Made): Made {
  try {
    return make();
  } catch (error) {
    if (errorCode(error) === "ENOSPC" && hasNoInodes(dirname(path))) Object.assign(error as Error, { code: noInodes });
    throw error;
  }
}

function hasNoInodes(directory: string): boolean {
  try {
    const { files, ffree, bavail } = statfsSync(directory);
    // Where there are none to begin with (btrfs), they are made as they are needed.
    return files > 0 && ffree === 0 && bavail > 0;
  } catch {
    return false;
  }
}

function syncEach(handles: readonly number[], done: (failure: unknown) => void): void {
  const settle = countDown(handles.length, done);
  for (const handle of handles) fdatasync(handle, settle);
}

function look(path: string): Look {
  let status: ReturnType<typeof lstatSync>;
  try {
    status = lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    // A file stands where the path needs a directory: so nothing is at the path.
    if (errorCode(error) === "ENOTDIR") return "absent";
    throw error;
  }
  if (status === undefined) return "absent";
  if (status.isFile()) return Number(status.size);
  if (status.isDirectory()) return "directory";
  return status.isSymbolicLink() ? "link" : "other";
}

function checksum(path: string): number {
  const handle = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return checksumToEnd(handle);
  } finally {
    closeSync(handle);
  }
}

/** CRC-32 of what is left to read of an open file. `seen` is called with all of it, in views that last no longer. */
export function checksumToEnd(handle: number, seen?: (view: Uint8Array) => void): number {
  const buffer = (readBuffer ??= new Uint8Array(readBytes));
  let crc32 = 0;
  for (;;) {
    const count = readSync(handle, buffer, 0, readBytes, null);
    if (count === 0) return crc32;
    const view = buffer.subarray(0, count);
    crc32 = checksumOf(view, crc32);
    seen?.(view);
  }
}

/** What some file systems say of a directory instead of syncing it. */
const unsyncable: ReadonlySet<string> = new Set(["EINVAL", "ENOTSUP", "EOPNOTSUPP"]);

function syncDirectory(path: string, done: (failure: unknown) => void): void {
  open(path, constants.O_RDONLY, (openFailure, handle) => {
    if (openFailure !== null) {
      done(isDenied(openFailure) ? undefined : openFailure);
      return;
    }
    fsync(handle, (failure) => {
      close(handle, () => {
        done(unsyncable.has(errorCode(failure)) ? undefined : failure);
      });
    });
  });
}

/** As `Disk.syncDirectories`, for one, before it returns. */
export function syncDirectoryNow(path: string): void {
  let handle: number | undefined;
  try {
    handle = openSync(path, constants.O_RDONLY);
    fsyncSync(handle);
  } catch (error) {
    if (!isDenied(error) && !unsyncable.has(errorCode(error))) throw error;
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}

/** A callback for each of `count` operations that calls `done` after the last one, with the first failure. */
function countDown(count: number, done: (failure: unknown) => void): (failure: unknown) => void {
  let left = count;
  let first: unknown;
  if (count === 0) queueMicrotask(() => done(undefined));
  return (failure) => {
    first ??= failure ?? undefined;
    left -= 1;
    if (left === 0) done(first);
  };
}
