/**
 * Our own files in a directory, as they were when it was opened: retention deletes them, disks are mounted over them,
 * readers keep the log from being tidied up. DESTINATIONS.md says what follows from each.
 */
import { join } from "node:path";
import { ExitStatus, SinkError, UserError } from "../../errors.ts";
import type { DestinationEvent } from "../../events.ts";
import { MiB } from "../../limits.ts";
import { sizeText } from "../../size-text.ts";
import type { Disk } from "../../system/file-system.ts";
import type { ProcessLock } from "../../system/process-lock.ts";
import { catalogueBytesMin, catalogueFile, lockFile, logFile, ownFolder } from "./catalogue.ts";

/** The log is tidied up at 4 MiB; one this large grows until the disk is full. */
const logBytesMax: number = 64 * MiB;

export type TakeLock = (directory: string) => ProcessLock | undefined;

export interface OwnFilesOptions {
  readonly directory: string;
  readonly disk: Disk;
  /** Undefined: another receiver has it. Throws what the file system or SQLite throws. */
  readonly takeLock: TakeLock;
  /** Programs that keep the log from being tidied up; none: nobody knows. */
  readonly readersOf?: ((directory: string) => readonly string[]) | undefined;
  readonly onEvent?: ((event: DestinationEvent) => void) | undefined;
}

export class OwnFiles {
  readonly #options: OwnFilesOptions;
  #lock: ProcessLock | undefined;
  /** Of the directory, the catalogue and its log; undefined: it was not opened yet, or has none. */
  #root: string | undefined;
  #catalogue: string | undefined;
  #log: string | undefined;
  /** It was found to be damaged by whoever asked for a new one. */
  #condemned = false;
  /** The size of the log at which it is told next. */
  #toldAtBytes = logBytesMax;

  constructor(options: OwnFilesOptions) {
    this.#options = options;
  }

  /** Takes the lock, if it is not ours already, or not at its place any more. Throws UserError if somebody has it. */
  lock(): void {
    if (this.#lock?.inPlace() === true) return;
    const { directory, takeLock } = this.#options;
    const lock = takeLock(directory);
    if (lock === undefined) throw directoryInUse(directory);
    this.#lock?.release();
    this.#lock = lock;
  }

  /**
   * The catalogue has been opened. Whether it is another one than before, or in another directory: then nothing that is
   * there is ours.
   */
  remember(): "same" | "another catalogue" | "another directory" {
    const [root, catalogue] = [this.#root, this.#catalogue];
    this.#root = this.#identity("");
    this.#catalogue = this.#identity(catalogueFile);
    this.#log = this.#identity(logFile);
    this.#toldAtBytes = logBytesMax;
    if (root !== undefined && root !== this.#root) return "another directory";
    return catalogue !== undefined && catalogue !== this.#catalogue ? "another catalogue" : "same";
  }

  /** Nothing may be written to it: it is damaged, and a new one is being made. */
  condemnCatalogue(): void {
    this.#condemned = true;
  }

  /** Whether it was made anew, as somebody asked for: then it is no other one. */
  catalogueRebuilt(isNew: boolean): void {
    this.#condemned = false;
    if (isNew) this.#catalogue = undefined;
  }

  /** There is a catalogue, and not only the file for one. */
  get isThere(): boolean {
    return this.#identity(catalogueFile) !== undefined && !this.#isEmpty;
  }

  get #isEmpty(): boolean {
    const size = this.#options.disk.look(join(this.#options.directory, catalogueFile));
    return typeof size === "number" && size < catalogueBytesMin;
  }

  /** Throws SinkError unless there is a catalogue that could be opened. Returns which. */
  requireCatalogue(): string {
    const { directory } = this.#options;
    const identity = this.#identity(catalogueFile);
    if (identity === undefined) throw this.#gone();
    if (this.#condemned) throw lost(`${directory}: its catalogue (${catalogueFile}) is damaged, and made anew`, []);
    if (!this.#isEmpty) return identity;
    throw lost(`${directory}: its catalogue (${catalogueFile}) was emptied`, rebuildHints(directory));
  }

  /** Throws SinkError unless all is as it was; the lock is made again. */
  check(): void {
    const { directory, onEvent } = this.#options;
    if (this.requireCatalogue() !== this.#catalogue) throw changed(directory, "another catalogue is there");
    if (this.#identity(logFile) !== this.#log) {
      onEvent?.({ event: "destination", place: directory, what: "log-removed", detail: logRemoved });
      throw changed(directory, "the catalogue's log was removed");
    }
    if (this.#lock?.inPlace() === false) {
      this.lock();
      onEvent?.({ event: "destination", place: directory, what: "lock-made", detail: lockMade });
    }
    this.#watchLog();
  }

  #watchLog(): void {
    const { directory, disk, readersOf, onEvent } = this.#options;
    const bytes = disk.look(join(directory, logFile));
    if (typeof bytes !== "number") return;
    if (bytes < this.#toldAtBytes) {
      if (this.#toldAtBytes === logBytesMax || bytes >= logBytesMax) return;
      this.#toldAtBytes = logBytesMax;
      const detail = `the catalogue's log is small again: ${sizeText(bytes)}`;
      return onEvent?.({ event: "destination", place: directory, what: "log-small", detail, bytes });
    }
    while (this.#toldAtBytes <= bytes) this.#toldAtBytes *= 2;
    const readers = readersOf?.(directory) ?? [];
    const who = readers.length === 0 ? "a program that reads it" : readers.join(", ");
    const detail = `the catalogue's log has grown to ${sizeText(bytes)}, because ${who} does not let go of it`;
    const hints = ["end that program, or its transaction; the log shrinks by itself then"];
    onEvent?.({ event: "destination", place: directory, what: "log-large", detail, hints, bytes });
  }

  #gone(): SinkError {
    const { directory } = this.#options;
    const root = this.#identity("");
    if (root !== undefined && (this.#root === undefined || root === this.#root)) {
      this.#standAgain();
      return lost(`${directory}: its catalogue (${catalogueFile}) is gone`, rebuildHints(directory));
    }
    const what =
      root === undefined
        ? `${directory} is gone`
        : `${directory} is another directory than before, and has no catalogue`;
    return lost(what, [
      "mount its disk, or put it back: it is used again as soon as it is there",
      "to begin a new archive there, start the receiver again",
    ]);
  }

  /** It is the same directory, so nobody else may take it, and whoever rebuilds its catalogue finds us. */
  #standAgain(): void {
    const { directory, disk } = this.#options;
    try {
      const place = join(directory, ownFolder);
      if (disk.look(place) === "absent") disk.makeDirectory(place, 0o750);
      this.lock();
    } catch {
      // What is gone is said in any case.
    }
  }

  #identity(path: string): string | undefined {
    const { disk, directory } = this.#options;
    return disk.identity(join(directory, path));
  }

  close(): void {
    this.#lock?.release();
    this.#lock = undefined;
  }
}

const logRemoved = "another program removed the catalogue's log (catalogue.db-wal); what it held is in the catalogue";
const lockMade = `another program removed the lock (${lockFile}); made again`;

function lost(message: string, hints: readonly string[]): SinkError {
  return new SinkError(`${message}; nothing is stored until it is back`, { retryable: true, hints });
}

/** Of a catalogue that is gone or damaged. */
export function rebuildHints(directory: string): string[] {
  return [`make it anew from the files: framepipe --verify '${directory}' --rebuild`, "or put back a copy of it"];
}

/** The next look makes it usable again. */
function changed(directory: string, what: string): SinkError {
  return new SinkError(`${directory}: ${what}`, { retryable: true });
}

export function directoryInUse(directory: string): UserError {
  const hints = ["stop the other receiver, or give this one a directory of its own with --out"];
  return new UserError(`${directory} is in use by another receiver`, hints, ExitStatus.failure);
}
