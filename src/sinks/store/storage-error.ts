/**
 * From the codes of file systems and of SQLite to sentences for a person. What a destination does to us passes: disks
 * are emptied, mounted again, made writable, a damaged catalogue is made anew. So all of it is retryable.
 */
import { AssertionError, SinkError, UserError } from "../../errors.ts";
import { describe, errorCode } from "../../system/errno.ts";

/** What a person can do, by what the system said. */
const hints: Readonly<Record<string, string>> = {
  ENOSPC: "make room there: it goes on by itself",
  SQLITE_FULL: "make room there: it goes on by itself",
  SQLITE_IOERR_SHMSIZE: "make room there: it goes on by itself",
  EDQUOT: "make room there, or let the user that the receiver runs as have more: it goes on by itself",
  EMFILE: "let the receiver open more files: ulimit -n, or LimitNOFILE= of its service",
  EIO: "what the system says of the disk: dmesg",
  ESTALE: "mount it again",
  ENOTCONN: "mount it again",
  EACCES: "make it writable for the user that the receiver runs as",
  EPERM: "make it writable for the user that the receiver runs as; lsattr shows whether it is immutable",
  EROFS: "mount it for writing",
  EXDEV: "files are moved there from .framepipe: keep all of a destination on one file system, or start two receivers",
  EFBIG: "start the receiver with another archive, on a file system that lets files be larger",
};

/**
 * `error` as the sink's own kind: `place: cannot DOING: why`. Errors that already are one are passed on; a bug is
 * thrown again, so that it stops the program instead of being retried for ever. `more`: hints of the store itself.
 */
export function sinkError(place: string, doing: string, error: unknown, more: readonly string[] = []): SinkError {
  if (error instanceof SinkError) return error;
  if (error instanceof AssertionError || error instanceof TypeError || error instanceof RangeError) throw error;
  // The sentence of a user error is already complete; while running, waiting may cure it.
  if (error instanceof UserError)
    return new SinkError(error.message, { retryable: true, hints: error.hints, cause: error });
  const hint = hints[errorCode(error)];
  return new SinkError(`${place}: cannot ${doing}: ${describe(error)}`, {
    retryable: true,
    hints: hint === undefined ? more : [hint, ...more],
    cause: error,
  });
}
