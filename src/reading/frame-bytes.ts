/**
 * The bytes of a stored frame, none of which is given out before the checksum of all of them was found to hold: what
 * fits the buffer is held meanwhile, what does not is read again.
 */
import { closeSync, readSync } from "node:fs";
import { crc32 } from "../bytes/checksum.ts";
import { ExitStatus, UserError } from "../errors.ts";
import { MiB } from "../limits.ts";
import type { StoredRow } from "../sinks/directory/frame-query.ts";
import { type FileProblem, openStoredFile, otherBytes, readingProblem } from "../sinks/directory/stored-file.ts";

const bufferBytes: number = 4 * MiB;

/** A frame whose file holds what was stored. */
export interface SoundFrame {
  /** Its first bytes, or all: those that stand in the buffer. */
  readonly start: Uint8Array;
  /**
   * All bytes, in pieces that are valid until the next one is asked for. Throws UserError if they are others than when
   * they were checked.
   */
  pieces(): Iterable<Uint8Array>;
}

export class FrameBytes {
  readonly #directory: string;
  readonly #buffer = new Uint8Array(bufferBytes);

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Calls `use` with the frame while its file is open, or says what is wrong with it. One at a time. */
  async with(row: StoredRow, use: (frame: SoundFrame) => Promise<void>): Promise<FileProblem | undefined> {
    const handle = openStoredFile(this.#directory, row.path, row.bytes);
    if (typeof handle === "string") return handle;
    try {
      const start = this.#checked(row, handle);
      if (typeof start === "string") return start;
      const inHand = row.bytes === 0 ? [] : [start];
      await use({ start, pieces: () => (start.length === row.bytes ? inHand : this.#again(row, handle)) });
      return undefined;
    } finally {
      closeSync(handle);
    }
  }

  #checked({ bytes, crc32: expected }: StoredRow, handle: number): Uint8Array | FileProblem {
    try {
      let checksum = 0;
      let done = 0;
      for (;;) {
        const count = this.#read(handle, done);
        checksum = crc32(this.#buffer.subarray(0, count), checksum);
        done += count;
        if (count < bufferBytes) break;
      }
      if (done !== bytes || checksum !== expected) return otherBytes;
      // Of a large one the buffer has the end by now.
      return this.#buffer.subarray(0, bytes <= bufferBytes ? bytes : this.#read(handle, 0));
    } catch (error) {
      return readingProblem(error);
    }
  }

  *#again({ path, bytes, crc32: expected }: StoredRow, handle: number): Generator<Uint8Array, void> {
    let checksum = 0;
    for (let done = 0; done < bytes;) {
      let count = 0;
      try {
        count = Math.min(this.#read(handle, done), bytes - done);
      } catch (error) {
        throw brokeOff(path, readingProblem(error));
      }
      const piece = this.#buffer.subarray(0, count);
      checksum = crc32(piece, checksum);
      done += count;
      if (count === 0 || (done === bytes && checksum !== expected)) throw brokeOff(path, otherBytes);
      yield piece;
    }
  }

  /** Fills the buffer with the file's bytes from `position` on, and returns the count. */
  #read(handle: number, position: number): number {
    let filled = 0;
    while (filled < bufferBytes) {
      const count = readSync(handle, this.#buffer, filled, bufferBytes - filled, position + filled);
      if (count === 0) break;
      filled += count;
    }
    return filled;
  }
}

/** Half of it was given out and cannot be taken back, and nothing may follow that. */
function brokeOff(path: string, problem: FileProblem): UserError {
  return new UserError(
    `${path} ${problem}, and was whole a moment ago: what was given out ends in the middle of it`,
    ["another program writes into the directory; framepipe --verify names what is not as it was stored"],
    ExitStatus.failure,
  );
}
