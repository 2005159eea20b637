/**
 * A claim on an open file, for as long as it is open: an open file description lock (`F_OFD_SETLK`) of one byte far
 * behind anything that is ever written. Where a lock file can be deleted by somebody who tidies up, this one goes with
 * the very file that two programs must not write to. Reading is not in its way, nor are the locks of SQLite, and
 * whoever may only read the file cannot take it.
 *
 * Only on Linux, and where the file system has locks; elsewhere a lock file has to do alone.
 */
import { ptr } from "bun:ffi";
import { openLibc } from "./libc.ts";

const getLock = 36; // F_OFD_GETLK
const setLock = 37; // F_OFD_SETLK
const writeLock = 1; // F_WRLCK
const unlocked = 2; // F_UNLCK
/** Behind the largest database that SQLite can have (2^48), and within what network file systems can lock. */
const claimedAt = 1n << 62n;
/** `struct flock` where pointers have 64 bits: i16 type, i16 whence, i64 start, i64 length, i32 process. */
const flockBytes = 32;

type Fcntl = (handle: number, command: number, lock: DataView) => number;

let systemFcntl: Fcntl | undefined | "untried" = "untried";

/**
 * Claims the file at this handle, which is open for writing. False: another has done so. Undefined: nobody can here.
 */
export function claimFile(handle: number): boolean | undefined {
  if (systemFcntl === "untried") systemFcntl = openFcntl();
  if (systemFcntl === undefined) return undefined;
  if (systemFcntl(handle, setLock, lockOf(writeLock)) === 0) return true;
  // It may have failed for another reason.
  const found = lockOf(writeLock);
  const isTaken = systemFcntl(handle, getLock, found) === 0 && found.getInt16(0, true) !== unlocked;
  return isTaken ? false : undefined;
}

function lockOf(type: number): DataView {
  const lock = new DataView(new ArrayBuffer(flockBytes));
  lock.setInt16(0, type, true);
  lock.setBigInt64(8, claimedAt, true);
  lock.setBigInt64(16, 1n, true);
  return lock;
}

function openFcntl(): Fcntl | undefined {
  const libc = openLibc({ fcntl: { args: ["i32", "i32", "ptr"], returns: "i32" } });
  return libc === undefined ? undefined : (handle, command, lock) => libc.fcntl(handle, command, ptr(lock));
}
