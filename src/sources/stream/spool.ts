/**
 * Keeps the frames of one stream on disk, so that what the receiver does not have yet survives the end of this process,
 * however it ends; the next run sends it first.
 *
 *     DIR/<source>/<frame name>.<bytes>      modified at capture time; `/` is written `%2F`, and `%` `%25`
 *     DIR/<source>/<frame name>.<bytes>+<N>  behind the frame N bytes of text: its notes and metadata
 *
 * A file is not flushed: one whose ack comes within seconds is gone again before the system has written it, which is
 * kind to memory cards. After a power loss the files of the last half minute may be empty or short; that is why their
 * length is in their names, and such frames become a gap. What the receiver refused stays as `....refused`.
 *
 * A folder belongs to one process, which holds a lock file in it. A folder that has files and not this one is somebody
 * else's, and is not touched.
 */
import {
  closeSync,
  futimesSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  truncateSync,
  unlinkSync,
  writevSync,
} from "node:fs";
import { join } from "node:path";
import { viewsBehind } from "../../bytes/views.ts";
import { failureOf, nothingWritten, SourceError, UserError } from "../../errors.ts";
import type { FrameEntry } from "../../frame.ts";
import { KiB } from "../../limits.ts";
import { compareNatural, nameProblem } from "../../names.ts";
import type { OpenedFrame } from "../../ports.ts";
import { errorCode, isFull } from "../../system/errno.ts";
import { type ProcessLock, takeLock } from "../../system/process-lock.ts";
import { extrasText, readExtras } from "./frame-extras.ts";
import type { FrameStore, Leftovers } from "./frame-store.ts";
import { giveBack } from "./pieces.ts";
import { SpooledFrame } from "./spooled-frame.ts";

const lockFile = ".framepipe-spool";
const unfinished = ".unfinished";
/** More than notes and metadata take, each character escaped. */
const extraBytesMax = 64 * KiB;
/** More is an error of ours on some system and none on others. */
const viewsMax = 1024;

export class Spool implements FrameStore {
  readonly leftovers: Leftovers;
  readonly #folder: string;
  readonly #lock: ProcessLock;
  readonly #onProblem: (detail: string) => void;
  /** Of the frames that have any. */
  readonly #extraBytes = new Map<string, number>();
  /** That files cannot be removed was said, and has not changed. */
  #stuck = false;

  /** Throws UserError: the directory cannot be, or belongs to somebody else. */
  constructor(directory: string, source: string, onProblem: (detail: string) => void) {
    this.#folder = join(directory, encoded(source));
    this.#onProblem = onProblem;
    this.#lock = takeFolder(this.#folder);
    try {
      this.leftovers = this.#look();
    } catch (error) {
      this.#lock.release();
      throw unusable(this.#folder, error);
    }
  }

  #look(): Leftovers {
    const frames: FrameEntry[] = [];
    let broken = 0;
    for (const file of readdirSync(this.#folder)) {
      const [, name, bytes, extraBytes] = /^([^.].*)\.(\d+)(?:\+(\d+))?$/.exec(file) ?? [];
      const path = join(this.#folder, file);
      // Begun by a run that did not live to finish it.
      if (file === unfinished) unlinkSync(path);
      if (name === undefined || nameProblem(decoded(name)) !== undefined) continue;
      const stats = lstatSync(path, { bigint: true });
      if (!stats.isFile()) continue;
      const place = { path, bytes: Number(bytes), extraBytes: Number(extraBytes ?? 0) };
      const extras = Number(stats.size) === place.bytes + place.extraBytes ? this.#extrasIn(place) : undefined;
      if (extras !== undefined) {
        const capturedNs = wholeMicros(stats.mtimeNs + 500n);
        frames.push({ name: decoded(name), bytes: place.bytes, capturedNs, ...extras });
        if (place.extraBytes > 0) this.#extraBytes.set(decoded(name), place.extraBytes);
      } else {
        unlinkSync(path);
        broken++;
      }
    }
    return { frames: frames.toSorted((a, b) => compareNatural(a.name, b.name)), broken };
  }

  /** Undefined: they are damaged, and so may the frame be. */
  #extrasIn({
    path,
    bytes,
    extraBytes,
  }: {
    path: string;
    bytes: number;
    extraBytes: number;
  }): Pick<FrameEntry, "notes" | "metadata"> | undefined {
    if (extraBytes === 0) return {};
    const text = Buffer.alloc(Math.min(extraBytes, extraBytesMax));
    const fd = openSync(path, "r");
    try {
      readSync(fd, text, 0, text.length, bytes);
    } finally {
      closeSync(fd);
    }
    return readExtras(text.toString());
  }

  put(entry: FrameEntry, pieces: readonly Uint8Array[]): "kept" | "full" {
    try {
      try {
        this.#write(entry, pieces);
      } catch (error) {
        if (errorCode(error) !== "ENOENT") throw error;
        // Somebody removed the folder.
        mkdirSync(this.#folder, { recursive: true });
        this.#write(entry, pieces);
      }
      giveBack(pieces);
      return "kept";
    } catch (error) {
      if (isFull(error)) return "full";
      throw new SourceError("dropped", `dropped: the spool cannot be written (${errorCode(error)})`, { cause: error });
    }
  }

  #write(entry: FrameEntry, pieces: readonly Uint8Array[]): void {
    const extras = Buffer.from(extrasText(entry));
    if (extras.length > 0) this.#extraBytes.set(entry.name, extras.length);
    const temporary = join(this.#folder, unfinished);
    try {
      const fd = openSync(temporary, "w");
      try {
        writeAll(fd, [...pieces, extras], entry.bytes + extras.length);
        const seconds = Number(entry.capturedNs / 1_000n) / 1e6;
        futimesSync(fd, seconds, seconds);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, this.#path(entry));
    } catch (error) {
      failureOf(() => unlinkSync(temporary));
      throw error;
    }
  }

  open(entry: FrameEntry): OpenedFrame {
    return new SpooledFrame(this.#path(entry), entry.bytes);
  }

  remove(entry: FrameEntry): boolean {
    const failure = failureOf(() => unlinkSync(this.#path(entry)));
    const stuck = failure !== undefined && errorCode(failure) !== "ENOENT";
    if (!stuck) this.#extraBytes.delete(entry.name);
    if (stuck && !this.#stuck) {
      this.#onProblem(`frames that are settled cannot be removed from the spool (${errorCode(failure)})`);
    }
    this.#stuck = stuck;
    return !stuck;
  }

  setAside(entry: FrameEntry): void {
    const path = this.#path(entry);
    // A picture again, for whoever looks.
    if (this.#extraBytes.delete(entry.name)) failureOf(() => truncateSync(path, entry.bytes));
    failureOf(() => renameSync(path, `${this.#path(entry)}.refused`));
  }

  close(): void {
    this.#lock.release();
  }

  #path(entry: FrameEntry): string {
    const extraBytes = this.#extraBytes.get(entry.name);
    const sizes = extraBytes === undefined ? `${entry.bytes}` : `${entry.bytes}+${extraBytes}`;
    return join(this.#folder, `${encoded(entry.name)}.${sizes}`);
  }
}

/** Makes the folder if it is not there, and takes it for this process. Throws UserError. */
function takeFolder(folder: string): ProcessLock {
  let lock: ProcessLock | undefined;
  try {
    mkdirSync(folder, { recursive: true });
    const files = readdirSync(folder);
    if (files.length > 0 && !files.includes(lockFile)) {
      throw new UserError(`--spool: ${folder} has files in it and is not a spool`, ["choose another directory"]);
    }
    lock = takeLock(join(folder, lockFile));
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw unusable(folder, error);
  }
  if (lock !== undefined) return lock;
  throw new UserError(`--spool: ${folder} is in use by another sender`, ["give each sender a spool of its own"]);
}

function unusable(folder: string, error: unknown): UserError {
  const reason = errorCode(error) || (error instanceof Error ? error.message : String(error));
  return new UserError(`--spool: ${folder} cannot be used (${reason})`, [
    "it has to be a directory that this user may write to",
  ]);
}

function writeAll(fd: number, pieces: readonly Uint8Array[], bytes: number): void {
  let left = pieces.filter((piece) => piece.length > 0);
  for (let written = 0; written < bytes;) {
    const taken = writevSync(fd, left.slice(0, viewsMax));
    if (taken === 0) throw nothingWritten();
    written += taken;
    left = viewsBehind(left, taken);
  }
}

function encoded(name: string): string {
  return name.replace(/[%/]/g, (sign) => (sign === "%" ? "%25" : "%2F"));
}

function decoded(file: string): string {
  return file.replaceAll("%2F", "/").replaceAll("%25", "%");
}

/** Times of files are set through a double, which holds microseconds of our century and no more. */
function wholeMicros(ns: bigint): bigint {
  return (ns / 1_000n) * 1_000n;
}
