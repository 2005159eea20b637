/**
 * One file being read as a frame. Its state when it was opened is the truth: whoever writes to it meanwhile, in place
 * or at its end, makes the frame "changing", and it is never sent as a mixture of two states. A program can set the
 * time of modification back, but not that of change (ctime), which also moves with rights, owner and links: where these
 * are as they were, somebody has written.
 *
 * A small file costs four system calls: open, fstat, read, fstat. The second fstat (1 µs of about 10) stays because
 * reading one byte more would notice growth but not a file rewritten in place. What no caller can notice is a change
 * of the same size within one tick of the file system's clock, a few milliseconds at most.
 */
import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { SourceError } from "../../errors.ts";
import type { OpenedFrame } from "../../ports.ts";
import type { FilePath } from "../../system/file-path.ts";
import { toSourceError } from "./file-errors.ts";

const nsPerSecond = 1_000_000_000n;

/** What tells one state of a file from another without reading it. */
export interface FileState {
  readonly bytes: number;
  /** To about 0.2 µs, which is finer than the clocks of file systems; as a bigint each look would cost 0.7 µs more. */
  readonly modifiedMs: number;
  /** Another file moved over this one may have its size and time, but not its number. */
  readonly fileNumber: number;
  /** Also moved by new rights, links and names, which leave the bytes alone; so `sameState` does not look at it. */
  readonly changedMs: number;
  /** The file system, as long as it is mounted. */
  readonly device: number;
}

/** The state and checksum of a file that was read from start to end without a change. */
export interface FileProof extends FileState {
  readonly crc32: number;
}

export function fileState(stats: Stats): FileState {
  return {
    bytes: stats.size,
    modifiedMs: stats.mtimeMs,
    fileNumber: stats.ino,
    changedMs: stats.ctimeMs,
    device: stats.dev,
  };
}

/** How `fs.Stats` has the time of change, of stats that have it in nanoseconds. */
export function changedMsOf({ ctimeNs }: BigIntStats): number {
  return Number(ctimeNs / nsPerSecond) * 1_000 + Number(ctimeNs % nsPerSecond) / 1e6;
}

export function sameState(a: FileState, b: FileState): boolean {
  return a.bytes === b.bytes && a.modifiedMs === b.modifiedMs && a.fileNumber === b.fileNumber;
}

/** A file that was replaced by a named pipe since it was listed must not block the program. Windows has none. */
export const readFlags: number = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

export class OpenedFile implements OpenedFrame {
  readonly bytes: number;
  readonly #fd: number;
  readonly #stats: Stats;
  readonly #state: FileState;
  readonly #prove: ((proof: FileProof) => void) | undefined;
  readonly #failed: (() => void) | undefined;
  readonly #finished: ((state: FileState) => void) | undefined;
  #remaining: number;
  #checked = false;
  #crc32 = 0;

  /**
   * Opens a path, or takes over a descriptor that stands at the beginning of its file. `prove` is called when the last
   * byte was read and nothing had changed; the checksum is only computed for it, not for `finished`, which is called
   * then, too. `failed` is called before a `read` throws. Throws SourceError.
   */
  constructor(
    file: FilePath | number,
    prove?: (proof: FileProof) => void,
    failed?: () => void,
    finished?: (state: FileState) => void,
  ) {
    try {
      this.#fd = typeof file === "number" ? file : openSync(file, readFlags);
    } catch (error) {
      throw toSourceError(error);
    }
    try {
      const stats = this.#stat();
      if (!stats.isFile()) throw new SourceError("unreadable", "not a file any more");
      this.#stats = stats;
      this.#state = fileState(stats);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
    this.bytes = this.#state.bytes;
    this.#remaining = this.bytes;
    this.#prove = prove;
    this.#failed = failed;
    this.#finished = finished;
  }

  read(into: Uint8Array): number {
    try {
      return this.#read(into);
    } catch (error) {
      this.#failed?.();
      throw error;
    }
  }

  /** For whoever looks at it besides; it is closed with this. */
  get descriptor(): number {
    return this.#fd;
  }

  /** Whether it was modified at this time, in nanoseconds: a double has it to some tenths of a microsecond. */
  wasModifiedAt(ns: bigint): boolean {
    return Math.abs(this.#state.modifiedMs - Number(ns) / 1e6) < 0.001;
  }

  close(): void {
    closeSync(this.#fd);
  }

  #read(into: Uint8Array): number {
    const wanted = Math.min(into.length, this.#remaining);
    let filled = 0;
    while (filled < wanted) {
      const count = this.#readSome(into, filled, wanted - filled);
      if (count === 0) throw changing(this.bytes, this.bytes - this.#remaining + filled);
      filled += count;
    }
    this.#remaining -= filled;
    if (this.#prove !== undefined && filled > 0) {
      this.#crc32 = Bun.hash.crc32(filled === into.length ? into : into.subarray(0, filled), this.#crc32);
    }
    if (this.#remaining === 0 && !this.#checked) this.#check();
    return filled;
  }

  #readSome(into: Uint8Array, offset: number, length: number): number {
    try {
      return readSync(this.#fd, into, offset, length, null);
    } catch (error) {
      throw toSourceError(error);
    }
  }

  #stat(): Stats {
    try {
      return fstatSync(this.#fd);
    } catch (error) {
      throw toSourceError(error);
    }
  }

  #check(): void {
    const stats = this.#stat();
    const now = fileState(stats);
    if (now.bytes !== this.#state.bytes) throw changing(this.bytes, now.bytes);
    const hasMoved = now.changedMs !== this.#state.changedMs && hasSameRights(stats, this.#stats);
    if (now.modifiedMs !== this.#state.modifiedMs || hasMoved) {
      throw new SourceError("changing", "written to while it was read");
    }
    this.#checked = true;
    this.#prove?.({ ...this.#state, crc32: this.#crc32 });
    this.#finished?.(this.#state);
  }
}

function hasSameRights(a: Stats, b: Stats): boolean {
  return a.mode === b.mode && a.uid === b.uid && a.gid === b.gid && a.nlink === b.nlink;
}

function changing(before: number, after: number): SourceError {
  return new SourceError("changing", `${before} bytes when opened, ${after} when read`);
}
