/**
 * What lies below a directory, reached without following a link on the way. Somebody who may write there could put a
 * link in the place of a folder, and what is stored would go where the link leads.
 *
 * Linux opens a folder so in one call (`openat2` with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, 4 µs), and what is moved
 * into an open folder goes nowhere else, whatever its path leads to by then. Elsewhere each folder on the way is looked
 * at, which leaves a moment between the look and the use.
 */
import { ptr } from "bun:ffi";
import { closeSync, constants, openSync } from "node:fs";
import { openLibc } from "./libc.ts";

/** The same number on every processor that Bun runs on. */
const openat2 = 437;
const pathOnly = 0o10000000; // O_PATH
const closeOnExec = 0o2000000; // O_CLOEXEC
const noMagicLinks = 0x02;
const noSymlinks = 0x04;
const beneath = 0x08;
const pathBytesMax = 8192;

/** A folder that is open, under whatever name it goes by now. */
export interface HeldFolder {
  readonly handle: number;
  /** Once. */
  release(): void;
}

type OpenBeneath = (root: number, path: string, flags: number) => number;

let systemOpen: OpenBeneath | undefined | "untried" = "untried";

/**
 * Opens the folder at `folder` below `root`; empty: `root` itself. Undefined: it is not there, a link is on the way, or
 * this system has no such call. Which of them a look at each folder on the way says.
 */
export function holdFolder(root: string, folder: string): HeldFolder | undefined {
  const handle = openBeneath(root, folder === "" ? "." : folder, pathOnly | directoryFlag);
  return handle === undefined ? undefined : { handle, release: () => closeSync(handle) };
}

/** Opens the file at `path` below `root` for reading. Undefined as `holdFolder`. */
export function openFileBeneath(root: string, path: string): number | undefined {
  return openBeneath(root, path, constants.O_RDONLY | constants.O_NONBLOCK);
}

/** Not there on Windows, where it is never used. */
const directoryFlag: number = constants.O_DIRECTORY ?? 0;

function openBeneath(root: string, path: string, flags: number): number | undefined {
  if (systemOpen === "untried") systemOpen = openSystemCall();
  if (systemOpen === undefined) return undefined;
  let rootHandle: number;
  try {
    rootHandle = openSync(root, pathOnly | directoryFlag);
  } catch {
    return undefined;
  }
  try {
    const handle = systemOpen(rootHandle, path, flags | closeOnExec);
    return handle < 0 ? undefined : handle;
  } finally {
    closeSync(rootHandle);
  }
}

function openSystemCall(): OpenBeneath | undefined {
  // Arguments and `how` are of 64 bits there.
  if (process.arch !== "x64" && process.arch !== "arm64") return undefined;
  const libc = openLibc({ syscall: { args: ["i64", "i64", "ptr", "ptr", "i64"], returns: "i32" } });
  if (libc === undefined) return undefined;
  const encoder = new TextEncoder();
  const pathBytes = new Uint8Array(pathBytesMax);
  /** Flags, mode, and how the path is resolved. */
  const how = new BigUint64Array([0n, 0n, BigInt(noMagicLinks | noSymlinks | beneath)]);
  const [pathPointer, howPointer] = [ptr(pathBytes), ptr(how)];
  return (root, path, flags) => {
    if (path.length * 3 >= pathBytesMax) return -1;
    pathBytes[encoder.encodeInto(path, pathBytes).written] = 0;
    how[0] = BigInt(flags);
    return libc.syscall(openat2, root, pathPointer, howPointer, how.byteLength);
  };
}
