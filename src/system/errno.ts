/**
 * From the codes of the system and of SQLite to sentences for a person. A code means much the same wherever it comes
 * from; where it means something else, the caller brings its own words for it.
 */

type Words = Readonly<Record<string, string>>;

/** To whoever stores or reads files. */
const fileWords: Words = {
  ENOSPC: "the disk is full",
  ENOINODES: "the file system has room but no inodes left, so no file can be made: remove small files there",
  SQLITE_FULL: "the disk is full",
  SQLITE_IOERR_SHMSIZE: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EROFS: "the file system is read-only",
  SQLITE_READONLY: "the file system is read-only",
  SQLITE_READONLY_DIRECTORY: "permission denied",
  EIO: "the disk reports an input/output error",
  SQLITE_IOERR: "the disk reports an input/output error",
  ENOENT: "the directory is gone",
  ENOTDIR: "a file stands where a directory is needed",
  EACCES: "permission denied",
  EPERM: "permission denied",
  ELOOP: "a link that leads to itself",
  ENAMETOOLONG: "the path is too long for this system",
  SQLITE_CANTOPEN: "the catalogue cannot be opened",
  SQLITE_BUSY: "the catalogue is locked by another program",
  SQLITE_CORRUPT: "the catalogue is damaged",
  SQLITE_NOTADB: "the catalogue is damaged",
  EMFILE: "too many open files",
  ENFILE: "too many open files on this machine",
  ESTALE: "the network file system lost the directory",
  ENOTCONN: "the file system does not answer",
  EHOSTDOWN: "the file system does not answer",
  ETIMEDOUT: "the file system does not answer",
  ENXIO: "the disk is gone",
  ENODEV: "the disk is gone",
  EFBIG: "a file may not be so large on its file system, or in this process",
  EXDEV: "it is on another file system, mount or quota than the rest of the destination",
};

/** Of connections. Known well enough without the code. */
const networkWords: Words = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by the peer",
  EPIPE: "connection reset by the peer",
  ETIMEDOUT: "connection timed out",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no route to the host",
  ENOTFOUND: "host name not found",
  DNS_ENOTFOUND: "host name not found",
  EAI_NONAME: "host name not found",
  EAI_AGAIN: "host name not found",
};

/** The `code` of a system or SQLite error, or an empty text. */
export function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/**
 * What went wrong with files, in a few words: `the disk is full (ENOSPC)`. `words` are the caller's own for some codes;
 * `otherwise` is said of codes that have none, instead of the error's message.
 */
export function describe(error: unknown, words: Words = {}, otherwise?: string): string {
  const code = errorCode(error);
  if (code === "") return messageOf(error);
  // SQLite says more in extended codes: SQLITE_IOERR_WRITE is an SQLITE_IOERR.
  const sentence = words[code] ?? fileWords[code] ?? fileWords[code.split("_").slice(0, 2).join("_")] ?? otherwise;
  return sentence === undefined ? messageOf(error) : `${sentence} (${code === noInodes ? "ENOSPC" : code})`;
}

/**
 * Our own code for `ENOSPC` where a file cannot be made although there is room for bytes: small files have used up the
 * inodes.
 */
export const noInodes = "ENOINODES";

/** What went wrong with a connection, in a few words: `connection refused`. */
export function describeNetwork(error: unknown): string {
  return networkWords[errorCode(error)] ?? messageOf(error);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Names the kind of fault of a damaged catalogue, which waiting does not cure. */
export function isDamage(error: unknown): boolean {
  return /^SQLITE_(CORRUPT|NOTADB)/.test(errorCode(error));
}

/** A file system, or a sandbox, that lets no memory be shared through files, which SQLite's log needs. */
export function lacksSharedMemory(error: unknown): boolean {
  return /^SQLITE_IOERR_SHM(?:MAP|OPEN|LOCK)$/.test(errorCode(error));
}

/** Whether there is no room for more bytes. */
export function isFull(error: unknown): boolean {
  return /^(?:ENOSPC|ENOINODES|EDQUOT|SQLITE_FULL|SQLITE_IOERR_SHMSIZE)$/.test(errorCode(error));
}

/** Whether a disk, a network or the machine fails, whatever was asked of it. */
export function isOfDisk(error: unknown): boolean {
  const code = errorCode(error);
  return /^(?:EIO|ESTALE|ETIMEDOUT|EHOSTDOWN|ENOTCONN|ENXIO|ENODEV|ENOMEM|EAGAIN|SQLITE_IOERR.*)$/.test(code);
}

/**
 * Whether it heals without anybody who changes what we were told: disks are emptied, plugged in again and made
 * writable, others let go of the catalogue.
 */
export function passesByItself(error: unknown): boolean {
  return isFull(error) || isOfDisk(error) || /^(?:EROFS|SQLITE_BUSY.*|SQLITE_LOCKED.*)$/.test(errorCode(error));
}

/** Whether a file may not be so large, however much room there is. */
export function isTooLarge(error: unknown): boolean {
  return errorCode(error) === "EFBIG";
}

/** Whether SQLite says it, and not a file system. */
export function isOfDatabase(error: unknown): boolean {
  return errorCode(error).startsWith("SQLITE_");
}

/** Whether this user may not do it. */
export function isDenied(error: unknown): boolean {
  return /^(?:EACCES|EPERM)$/.test(errorCode(error));
}

/** Whether the process or the machine has no file handles left. */
export function isExhaustion(error: unknown): boolean {
  return /^(?:EMFILE|ENFILE)$/.test(errorCode(error));
}

/** Whether a file system refused the name itself, so that no retry helps: too long for it, or a character it lacks. */
export function isNameError(error: unknown): boolean {
  return /^(?:ENAMETOOLONG|EINVAL|EILSEQ)$/.test(errorCode(error));
}
