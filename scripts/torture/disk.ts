/** A small file system of its own, where that is allowed: it can be full, and read-only. Elsewhere a plain folder. */
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { canMount, mountSmall, setReadOnly } from "../../test/support/small-disk.ts";

const fillerPiece = new Uint8Array(256 * 1024);

export class TortureDisk {
  readonly path: string;
  readonly isOwn: boolean = canMount();
  readonly #unmount: (() => void) | undefined;
  readonly #filler: string;

  constructor(path: string, bytes: number) {
    this.path = path;
    this.#filler = join(path, ".filler");
    if (this.isOwn) this.#unmount = mountSmall(path, bytes);
    else mkdirSync(path, { recursive: true });
  }

  /** Takes all the room there is, until `free`. */
  fill(): void {
    if (!this.isOwn) return;
    const file = openSync(this.#filler, "w");
    try {
      for (const size of [fillerPiece.length, 4096]) {
        try {
          for (;;) writeSync(file, fillerPiece, 0, size);
        } catch {
          // No room for one more of these.
        }
      }
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    rmSync(this.#filler, { force: true });
  }

  /** False: somebody writes to it just now. */
  setReadOnly(readOnly: boolean): boolean {
    if (!this.isOwn) return false;
    try {
      setReadOnly(this.path, readOnly);
      return true;
    } catch {
      return false;
    }
  }

  close(): void {
    this.#unmount?.();
  }
}
