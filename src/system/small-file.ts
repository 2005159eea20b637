/**
 * Small files that must be whole or not there: written under a temporary name, flushed, renamed, and their folder
 * flushed. Whoever reads one sees an old or a new one, never a part, whenever the power goes.
 */
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  openSync,
  readdirSync,
  readSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { nothingWritten } from "../errors.ts";
import { errorCode } from "./errno.ts";
import { syncDirectoryNow } from "./file-system.ts";
import { renameNew } from "./rename-noreplace.ts";

export interface ReadFile {
  readonly text: string;
  /** Nobody but its owner may read or change it. Always true on Windows, which has other means. */
  readonly isPrivate: boolean;
}

/** Throws what the system throws, and EFBIG for more than `bytesMax`, EINVAL for what is no regular file. */
export function readSmallFile(path: string, bytesMax: number): ReadFile {
  // Not blocking: a named pipe in its place would wait for a writer.
  const handle = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const status = fstatSync(handle);
    if (!status.isFile()) throw Object.assign(new Error("not a file"), { code: "EINVAL" });
    const isPrivate = process.platform === "win32" || (status.mode & 0o077) === 0;
    return { text: readToEnd(handle, bytesMax, status.size), isPrivate };
  } finally {
    closeSync(handle);
  }
}

/** The same; undefined: there is no such file. */
export function readSmallFileIfThere(path: string, bytesMax: number): ReadFile | undefined {
  try {
    return readSmallFile(path, bytesMax);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Standard input to its end, which may be a while in coming. Throws as `readSmallFile`. */
export function readStandardInput(bytesMax: number): string {
  return readToEnd(0, bytesMax, 0);
}

/** `bytesLikely`: it may be less or more by now. */
function readToEnd(handle: number, bytesMax: number, bytesLikely: number): string {
  let bytes = new Uint8Array(Math.min(bytesMax, bytesLikely) + 1);
  let length = 0;
  for (;;) {
    const count = readSync(handle, bytes, length, bytes.length - length, null);
    if (count === 0) return new TextDecoder().decode(bytes.subarray(0, length));
    length += count;
    if (length > bytesMax) throw Object.assign(new Error("the file is too large"), { code: "EFBIG" });
    if (length < bytes.length) continue;
    const larger = new Uint8Array(bytesMax + 1);
    larger.set(bytes);
    bytes = larger;
  }
}

/** Whose a file is to be. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Makes `path`, readable by its owner alone. False: something is there, and stays. `owner`: as whoever runs the program
 * unless it is given. Throws what the system throws; nothing is left then.
 */
export function createPrivateFile(path: string, text: string, owner?: Owner): boolean {
  return viaTemporary(path, text, owner, (temporary) => {
    if (renameNew(temporary, path)) return true;
    unlinkSync(temporary);
    return false;
  });
}

/** Replaces what is at `path`, or where the link there leads to. The owner stays. */
export function replacePrivateFile(path: string, text: string): void {
  const place = realpathSync(path);
  viaTemporary(place, text, statSync(place), (temporary) => {
    renameSync(temporary, place);
    return true;
  });
}

/** What is older was left, by a process that was killed. */
const leftoverMs = 60_000;

function temporaryStart(path: string): string {
  return `.${basename(path).slice(0, 100)}.`;
}

/** Removes what was left of writing `path`, or the file that the link there leads to. It holds all that was written. */
export function removeLeftovers(path: string): void {
  try {
    // What was moved elsewhere left its copies here.
    const place = existsSync(path) ? realpathSync(path) : path;
    const [folder, start] = [dirname(place), temporaryStart(place)];
    for (const name of readdirSync(folder)) {
      if (!name.startsWith(start) || !/^[0-9a-f]{12}\.tmp$/.test(name.slice(start.length))) continue;
      const leftover = join(folder, name);
      // Either way: clocks are set back, too.
      if (Math.abs(Date.now() - statSync(leftover).mtimeMs) > leftoverMs) removeQuietly(leftover);
    }
  } catch {
    // Not ours to look at, or another process was faster.
  }
}

function viaTemporary(
  path: string,
  text: string,
  owner: Owner | undefined,
  putInPlace: (temporary: string) => boolean,
): boolean {
  const folder = dirname(path);
  const temporary = join(folder, `${temporaryStart(path)}${randomBytes(6).toHex()}.tmp`);
  let placed: boolean;
  try {
    writeFlushed(temporary, new TextEncoder().encode(text), owner);
    placed = putInPlace(temporary);
  } catch (error) {
    removeQuietly(temporary);
    throw error;
  }
  if (placed) syncDirectoryNow(folder);
  return placed;
}

function writeFlushed(path: string, bytes: Uint8Array, owner: Owner | undefined): void {
  const handle = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    // Whatever the umask is: a mode of 0 would be private, and of no use.
    fchmodSync(handle, 0o600);
    const now = fstatSync(handle);
    if (owner !== undefined && (owner.uid !== now.uid || owner.gid !== now.gid)) {
      fchownSync(handle, owner.uid, owner.gid);
    }
    for (let at = 0; at < bytes.length;) {
      const count = writeSync(handle, bytes, at);
      if (count === 0) throw nothingWritten();
      at += count;
    }
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // It was never made, or cannot be removed: then it stays, and its name says what it is.
  }
}
