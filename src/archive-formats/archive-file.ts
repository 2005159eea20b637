/** One file that frames are appended to, as a port: so that tests can let it fail where a disk does. */

export interface ArchiveFileState {
  readonly inPlace: boolean;
  /** `made`: it had been removed, and is ours again. `taken`: it is another receiver's now. */
  readonly lock: "kept" | "made" | "taken";
}

/** Everything throws, or rejects with, an `Error` with a `code` such as ENOSPC. */
export interface ArchiveFile {
  /** Where it is, links followed. */
  readonly path: string;
  /** Which file it is, whatever it is called: equal only for the same one. */
  readonly identity: string;
  /** Its size when it was opened. */
  readonly bytes: number;
  /** Fills `into` from `position` on and returns the count, which is less than asked only at the end of the file. */
  read(into: Uint8Array, position: number): number;
  /** Writes all views, one behind the other, before it returns. */
  write(views: readonly Uint8Array[], position: number): void;
  /** Writes zeros, without waiting, to see whether anything can be written there. */
  probe(bytes: number, position: number): void;
  /** Shorter: cuts the end off. Longer: adds zeros, for which a disk needs no room. */
  resize(bytes: number): void;
  /** Brings its bytes to the device, and the first time its name too. */
  sync(): Promise<void>;
  /** The same, and returns when it is done: before what was found in it may be called stored. */
  syncNow(): void;
  /** It is still what is at its path; and its lock, which is made again if somebody has removed it. */
  look(): ArchiveFileState;
  /** Its size now. */
  size(): number;
  /** What an ordinary user may still write to its disk. */
  freeBytes(): number;
  close(): void;
}
