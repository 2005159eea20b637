/** From the codes of file systems and of SQLite to sentences for a person. */

/** The `code` of a file system or SQLite error, or an empty text. */
export function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

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

/** Whether there is no room, or none for this user. */
export function isFull(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOSPC" || code === "EDQUOT" || code === "SQLITE_FULL";
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
