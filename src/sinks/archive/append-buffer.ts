/**
 * What is to be appended to an archive, gathered so that one call writes much of it: heads and small frames are copied
 * one behind the other, large frames are written from where they lie.
 *
 * It writes without waiting, as the directory does: a thread that writes costs more than it saves, because it takes the
 * bytes into another core's cache, and on a small machine that core from the sender. Who appends much gives others
 * their turn in between.
 */
import type { ArchiveFile } from "../../archive-formats/archive-file.ts";
import { assert } from "../../errors.ts";
import { KiB, MiB } from "../../limits.ts";

/** Small enough to stay in the core's own cache. */
const memoryBytes: number = 256 * KiB;
/** Up to this size a copy costs less than a view of its own. */
const copiedBytesMax: number = 16 * KiB;
/** Written with one call, or a little more. */
const writeBytes: number = MiB;

export class AppendBuffer {
  readonly #file: ArchiveFile;
  readonly #memory = Buffer.allocUnsafeSlow(memoryBytes);
  /** How much of it is filled, and from where on that is in no view yet. */
  #filled = 0;
  #viewed = 0;
  #views: Uint8Array[] = [];
  #viewsBytes = 0;
  /** Where in the file the views go. */
  #at = 0;
  /** Told of all that is appended, in order, in as few views as there are. */
  onView: ((view: Uint8Array) => void) | undefined;

  constructor(file: ArchiveFile) {
    this.#file = file;
  }

  /** Forgets what was not written; the next byte goes to `position`. */
  begin(position: number): void {
    this.#drop();
    this.#at = position;
  }

  /** Where the next byte goes. */
  get position(): number {
    return this.#at + this.#viewsBytes + this.#filled - this.#viewed;
  }

  /** Room for the next bytes, up to 64 KiB, with anything in it: to be filled before the next call. */
  reserve(bytes: number): Buffer {
    assert(bytes <= 64 * KiB, "large things are put");
    if (this.#filled + bytes > memoryBytes) this.flush();
    this.#filled += bytes;
    return this.#memory.subarray(this.#filled - bytes, this.#filled);
  }

  /** `view` must stay as it is until `flush`. Throws what the file throws. */
  put(view: Uint8Array): void {
    const bytes = view.byteLength;
    if (bytes <= copiedBytesMax) {
      if (this.#filled + bytes > memoryBytes) this.flush();
      this.#memory.set(view, this.#filled);
      this.#filled += bytes;
      return;
    }
    this.settle();
    this.#add(view);
    if (this.#viewsBytes >= writeBytes) this.flush();
  }

  /** `onView` has been told of everything. */
  settle(): void {
    if (this.#viewed === this.#filled) return;
    const view = this.#memory.subarray(this.#viewed, this.#filled);
    this.#viewed = this.#filled;
    this.#add(view);
  }

  #add(view: Uint8Array): void {
    this.#views.push(view);
    this.#viewsBytes += view.byteLength;
    this.onView?.(view);
  }

  /** Writes what is there. Throws what the file throws; then only `begin` may follow. */
  flush(): void {
    this.settle();
    const [views, at] = [this.#views, this.#at];
    this.#at += this.#viewsBytes;
    this.#drop();
    if (views.length > 0) this.#file.write(views, at);
  }

  #drop(): void {
    this.#views = [];
    this.#viewsBytes = 0;
    this.#filled = 0;
    this.#viewed = 0;
  }
}
