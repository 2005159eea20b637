/**
 * Writes to an archive at once, for the little that cannot wait: the head of a chunk that is taken back, and the end of
 * the file when the receiver ends. It has a handle of its own, because an `ArchiveFile` writes in another thread.
 */
import { closeSync, constants, fdatasyncSync, openSync, writeSync } from "node:fs";
import { nothingWritten } from "../../errors.ts";

export class PromptWriter {
  readonly #handle: number;
  #closed = false;

  /** Throws what opening a file throws. */
  constructor(path: string) {
    this.#handle = openSync(path, constants.O_WRONLY);
  }

  /** Writes all of `view`. Throws what the disk throws; a disk that takes nothing is full. */
  write(view: Uint8Array, position: number): void {
    for (let done = 0; done < view.byteLength;) {
      const count = writeSync(this.#handle, view, done, view.byteLength - done, position + done);
      if (count <= 0) throw nothingWritten();
      done += count;
    }
  }

  /** Brings what was written to the device. */
  sync(): void {
    fdatasyncSync(this.#handle);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#handle);
  }
}
