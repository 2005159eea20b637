/**
 * From the codes of file systems and of SQLite to sentences for a person. Nearly everything that a destination does to
 * us passes: disks are emptied, mounted again, made writable. So nearly everything is retryable.
 */
import { AssertionError, SinkError, UserError } from "../../errors.ts";
import { GiB, KiB, MiB } from "../../limits.ts";
import { errorCode } from "./disk.ts";

const sentences: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full",
  SQLITE_FULL: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  SQLITE_READONLY: "the file system is read-only",
  EIO: "the disk reports an input/output error",
  SQLITE_IOERR: "the disk reports an input/output error",
  ENOENT: "the directory is gone",
  ENOTDIR: "a file stands where a directory is needed",
  EACCES: "permission denied",
  EPERM: "permission denied",
  SQLITE_CANTOPEN: "the catalogue cannot be opened",
  SQLITE_BUSY: "the catalogue is locked by another program",
  SQLITE_CORRUPT: "the catalogue is damaged",
  SQLITE_NOTADB: "the catalogue is damaged",
  EMFILE: "too many open files",
  ENFILE: "too many open files on this machine",
  ESTALE: "the network file system lost the directory",
};

/** What went wrong, in a few words: `the disk is full (ENOSPC)`. */
export function describe(error: unknown): string {
  const code = errorCode(error);
  if (code === "") return error instanceof Error ? error.message : String(error);
  // SQLite says more in extended codes: SQLITE_IOERR_WRITE is an SQLITE_IOERR.
  const sentence = sentences[code] ?? sentences[code.split("_").slice(0, 2).join("_")];
  return sentence === undefined ? `${(error as Error).message}` : `${sentence} (${code})`;
}

/** Names the kind of fault of a damaged catalogue, which waiting does not cure. */
export function isDamage(error: unknown): boolean {
  return /^SQLITE_(CORRUPT|NOTADB)/.test(errorCode(error));
}

/**
 * `error` as the sink's own kind: `place: cannot DOING: why`. Errors that already are one are passed on; a bug is
 * thrown again, so that it stops the program instead of being retried for ever.
 */
export function sinkError(place: string, doing: string, error: unknown): SinkError {
  if (error instanceof SinkError) return error;
  if (error instanceof AssertionError || error instanceof TypeError || error instanceof RangeError) throw error;
  // The sentence of a user error is already complete; while running, waiting may cure it.
  if (error instanceof UserError) return new SinkError(error.message, { retryable: true, cause: error });
  return new SinkError(`${place}: cannot ${doing}: ${describe(error)}`, { retryable: !isDamage(error), cause: error });
}

/** Whether the process or the machine has no file handles left. */
export function isExhaustion(error: unknown): boolean {
  const code = errorCode(error);
  return code === "EMFILE" || code === "ENFILE";
}

/** Whether a file system refused the name itself, so that no retry helps: too long for it, or a character it lacks. */
export function isNameError(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENAMETOOLONG" || code === "EINVAL" || code === "EILSEQ";
}

/** `1.2 GiB`: as sizes are written on the command line, short enough for a sentence. */
export function sizeText(bytes: number): string {
  if (bytes >= GiB) return `${short(bytes / GiB)} GiB`;
  if (bytes >= MiB) return `${short(bytes / MiB)} MiB`;
  if (bytes >= KiB) return `${short(bytes / KiB)} KiB`;
  return `${bytes} bytes`;
}

/** Rounded down, so that too little never reads as enough. */
function short(value: number): string {
  return value >= 100 ? String(Math.floor(value)) : String(Math.floor(value * 10) / 10);
}
