/**
 * Files that were looked at and will be read soon: each is opened once, and what is read is the file that was looked
 * at, also if its name has gone or leads elsewhere by then. Those that there is no room for are opened again.
 */
import { closeSync } from "node:fs";
import { windowFramesMax } from "../../limits.ts";
import { openFilesMax } from "../../system/open-files.ts";

/** What all sources may keep open together, of all that the process may have open. */
const openShare = 4;

/** How many files each of `sources` may keep. More than the window are never read soon. */
export function keptFilesOfEach(sources: number): number {
  return Math.min(windowFramesMax, Math.floor((openFilesMax() ?? 0) / openShare / sources));
}

export class KeptFiles {
  readonly #max: number;
  /** Descriptors by name. */
  readonly #files = new Map<string, number>();

  constructor(max: number) {
    this.#max = max;
  }

  /** Takes over `fd`, which is open for reading and stands at the beginning of its file. */
  keep(name: string, fd: number): void {
    if (this.#files.size >= this.#max || this.#files.has(name)) closeSync(fd);
    else this.#files.set(name, fd);
  }

  /** Gives a descriptor to the caller. */
  take(name: string): number | undefined {
    const fd = this.#files.get(name);
    if (fd !== undefined) this.#files.delete(name);
    return fd;
  }

  /** It will not be read. */
  drop(name: string): void {
    const fd = this.take(name);
    if (fd !== undefined) closeSync(fd);
  }

  clear(): void {
    for (const fd of this.#files.values()) closeSync(fd);
    this.#files.clear();
  }
}
