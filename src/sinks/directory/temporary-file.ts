/**
 * One frame on its way: a file below `.framepipe/tmp` that is written, synced and moved to its final name, or removed.
 * Until it has been moved nobody can take it for a frame. A commit that fails behind that may be run again.
 */
import { nothingWritten, SinkError } from "../../errors.ts";
import { errorCode } from "../../system/errno.ts";
import type { HeldFolder } from "../../system/beneath.ts";
import type { Disk } from "../../system/file-system.ts";
import type { FreeSpace } from "../../system/free-space.ts";
import type { Draft } from "../store/store.ts";

export class TemporaryFile implements Draft {
  /** The frame's own path below the directory, by the layout. */
  readonly path: string;
  readonly #disk: Disk;
  readonly #space: FreeSpace;
  /** Where it is: below `.framepipe/tmp`, or under the final name that it was given. */
  #place: string;
  #handle: number | undefined;
  #named = false;
  #discarded = false;
  #bytes = 0;

  /** Creates the file. Throws what the disk throws. */
  constructor(disk: Disk, space: FreeSpace, temporaryPath: string, path: string) {
    this.#disk = disk;
    this.#space = space;
    this.#place = temporaryPath;
    this.path = path;
    this.#handle = disk.create(temporaryPath);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** For syncing; undefined once it is closed, and so has been synced. */
  get handle(): number | undefined {
    return this.#handle;
  }

  get #open(): number {
    if (this.#handle === undefined) throw new SinkError(`${this.#place} was closed`, { retryable: true });
    return this.#handle;
  }

  /** Writes all of `view`. Throws what the disk throws; a disk that takes nothing is full. */
  write(view: Uint8Array): void {
    const handle = this.#open;
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
    this.#disk.setModified(this.#open, capturedNs);
  }

  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    // On Linux the handle is gone even if this throws, so it must not be closed twice.
    this.#handle = undefined;
    this.#disk.close(handle);
  }

  /**
   * Moves it to its final name, in `folder` if that is held, or leaves it there. False: something else is there
   * already. If it was removed behind us its frame is to be sent again.
   */
  moveTo(path: string, folder?: HeldFolder): boolean {
    if (this.#named && this.#disk.look(this.#place) !== this.#bytes) throw this.#gone();
    if (path === this.#place) return true;
    try {
      if (!this.#disk.renameNew(this.#place, path, folder)) return false;
    } catch (error) {
      throw errorCode(error) === "ENOENT" && this.#disk.look(this.#place) === "absent" ? this.#gone() : error;
    }
    this.#place = path;
    this.#named = true;
    return true;
  }

  #gone(): SinkError {
    return new SinkError(`${this.#place} was removed`, { scope: "frame", retryable: true });
  }

  /** Closes and removes what is left of it. Never throws: the next receiver sweeps up what cannot be removed now. */
  discard(): void {
    try {
      this.close();
    } catch {
      // Nothing of it is needed any more.
    }
    if (this.#named || this.#discarded) return;
    this.#discarded = true;
    try {
      this.#disk.remove(this.#place);
    } catch {
      // The disk is gone or read-only.
    }
  }
}
