/**
 * One frame on its way: a file below `.framepipe/tmp` that is written, synced and moved to its final name, or removed.
 * Until it has been moved nobody can take it for a frame.
 */
import { nothingWritten, SinkError } from "../../errors.ts";
import type { Disk } from "../../system/file-system.ts";
import type { FreeSpace } from "../../system/free-space.ts";
import type { Draft } from "../store/store.ts";

export class TemporaryFile implements Draft {
  /** The frame's own path below the directory, by the layout. */
  readonly path: string;
  readonly #disk: Disk;
  readonly #space: FreeSpace;
  readonly #temporaryPath: string;
  #handle: number | undefined;
  #there = true;
  #bytes = 0;

  /** Creates the file. Throws what the disk throws. */
  constructor(disk: Disk, space: FreeSpace, temporaryPath: string, path: string) {
    this.#disk = disk;
    this.#space = space;
    this.#temporaryPath = temporaryPath;
    this.path = path;
    this.#handle = disk.create(temporaryPath);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** For syncing; only while it is open. */
  get handle(): number {
    if (this.#handle === undefined) throw new SinkError(`${this.#temporaryPath} was closed`, { retryable: true });
    return this.#handle;
  }

  /** Writes all of `view`. Throws what the disk throws; a disk that takes nothing is full. */
  write(view: Uint8Array): void {
    const handle = this.handle;
    for (let done = 0; done < view.byteLength;) {
      const count = this.#disk.write(handle, done === 0 ? view : view.subarray(done));
      if (count <= 0) throw nothingWritten();
      done += count;
      this.#bytes += count;
    }
    this.#space.wrote(view.byteLength);
  }

  /** All bytes are written, and the frame was captured then: a file that is copied on keeps its time. */
  stamp(capturedNs: bigint): void {
    this.#disk.setModified(this.handle, capturedNs);
  }

  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    // On Linux the handle is gone even if this throws, so it must not be closed twice.
    this.#handle = undefined;
    this.#disk.close(handle);
  }

  /** Moves it to its final name. False: something is there already. */
  moveTo(path: string): boolean {
    if (!this.#disk.renameNew(this.#temporaryPath, path)) return false;
    this.#there = false;
    return true;
  }

  /** Closes and removes what is left of it. Never throws: the next receiver sweeps up what cannot be removed now. */
  discard(): void {
    try {
      this.close();
    } catch {
      // Nothing of it is needed any more.
    }
    if (!this.#there) return;
    this.#there = false;
    try {
      this.#disk.remove(this.#temporaryPath);
    } catch {
      // The disk is gone or read-only.
    }
  }
}
