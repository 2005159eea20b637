/**
 * Whether a program has a file open for writing. Linux tells by the way: it grants a read lease only on a file that
 * nobody can write to. Neither Bun nor Node.js offers leases, so `fcntl` is called in the C library, and the lease is
 * given back at once. A program that opens the file for writing in between waits for these microseconds.
 *
 * `unknown` on other systems, on file systems without leases (NFS, many others over a network), and for files of
 * another user unless we are root. `none` speaks for this machine only: on a file system that others write to, too,
 * the file may still be growing.
 */
import { read, type Pointer } from "bun:ffi";
import { openLibc } from "./libc.ts";

export type FileWriters = "none" | "open" | "unknown";

const setLease = 1024; // F_SETLEASE
const readLease = 0; // F_RDLCK
const noLease = 2; // F_UNLCK
const tryAgain = 11; // EAGAIN
/** Who is asked to give up a lease gets SIGIO, which ends a program that does not say otherwise. */
const signalIo = 29;
const ignore = 1; // SIG_IGN

type Ask = (fd: number) => FileWriters;

let ask: Ask | undefined;

/** `fd` is open for reading only, or the answer is about ourselves. */
export function fileWriters(fd: number): FileWriters {
  ask ??= openAsk();
  return ask(fd);
}

function openAsk(): Ask {
  const libc = openLibc({
    fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
    signal: { args: ["i32", "usize"], returns: "usize" },
    __errno_location: { args: [], returns: "ptr" },
  });
  if (libc === undefined) return () => "unknown";
  const errorNumber = libc["__errno_location"]() as Pointer;
  libc.signal(signalIo, ignore);
  return (fd) => {
    if (libc.fcntl(fd, setLease, readLease) !== 0) {
      return read.i32(errorNumber, 0) === tryAgain ? "open" : "unknown";
    }
    libc.fcntl(fd, setLease, noLease);
    return "none";
  };
}
