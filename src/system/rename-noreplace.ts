/**
 * Gives a file a name only if nothing has that name. Linux does both in one call (`renameat2` with RENAME_NOREPLACE),
 * which neither Bun nor Node.js offers, so it is called in the C library; a look before each rename costs 5 µs of about
 * 45 per small frame, and leaves a moment in which somebody else's file could be replaced. Where there is no such call
 * (other systems, old kernels, some file systems) the file gets the new name as a second one and loses the old one; a
 * crash between the two leaves both. Where there are no second names either, it is a look and a rename.
 */
import { ptr } from "bun:ffi";
import { linkSync, lstatSync, renameSync, unlinkSync } from "node:fs";
import { errorCode } from "./errno.ts";
import type { FilePath } from "./file-path.ts";
import { openLibc } from "./libc.ts";

const currentDirectory = -100; // AT_FDCWD
const noReplace = 1; // RENAME_NOREPLACE
const pathBytesMax = 8192;

type Rename = (from: FilePath, to: FilePath, folder: number) => boolean;

let systemRename: Rename | undefined | "untried" = "untried";

/**
 * Moves `from` to `to` and returns true, or returns false because something is there. With `folder`, the handle of an
 * open one, `to` is a name in it. Throws what rename throws.
 */
export function renameNew(from: FilePath, to: FilePath, folder: number = currentDirectory): boolean {
  if (systemRename === "untried") systemRename = openSystemRename();
  // If not, something is there, or the call failed for a reason that the other way will tell.
  if (systemRename?.(from, to, folder) === true) return true;
  return renameByLink(from, folder === currentDirectory ? to : `/proc/self/fd/${folder}/${String(to)}`);
}

/** The same without the system's call. For its test too: Linux comes here only if something is wrong. */
export function renameByLink(from: FilePath, to: FilePath): boolean {
  try {
    linkSync(from, to);
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    if (lstatSync(to, { throwIfNoEntry: false }) !== undefined) return false;
    renameSync(from, to);
    return true;
  }
  unlinkSync(from);
  return true;
}

function openSystemRename(): Rename | undefined {
  const libc = openLibc({ renameat2: { args: ["i32", "ptr", "i32", "ptr", "u32"], returns: "i32" } });
  if (libc === undefined) return undefined;
  const encoder = new TextEncoder();
  const fromBytes = new Uint8Array(pathBytesMax);
  const toBytes = new Uint8Array(pathBytesMax);
  const [fromPointer, toPointer] = [ptr(fromBytes), ptr(toBytes)];
  const put = (path: FilePath, bytes: Uint8Array): boolean => {
    // Three bytes are the most that one unit of a string takes.
    if (path.length * 3 >= pathBytesMax) return false;
    if (typeof path === "string") bytes[encoder.encodeInto(path, bytes).written] = 0;
    else {
      bytes.set(path);
      bytes[path.length] = 0;
    }
    return true;
  };
  return (from, to, folder) =>
    put(from, fromBytes) &&
    put(to, toBytes) &&
    libc.renameat2(currentDirectory, fromPointer, folder, toPointer, noReplace) === 0;
}
