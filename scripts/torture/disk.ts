/**
 * A small file system of its own, where that is allowed: it can be full, read-only, and away. Elsewhere a plain folder,
 * to which none of this happens.
 */
import { mkdirSync, readdirSync, statfsSync } from "node:fs";
import { canMount, mountSmall } from "../../test/support/small-disk.ts";

const fillingTries = 20;

export type Attached = "writable" | "read-only" | "away";

export class TortureDisk {
  /** Where the program under test finds it. */
  readonly path: string;
  /** The same files, always there: for cameras, and for looking. */
  readonly inside: string;
  readonly isOwn: boolean = canMount();
  readonly #bytes: number;
  readonly #unmount: (() => void) | undefined;
  attached: Attached = "writable";
  /** When that last changed. */
  attachedMs: number = Number.NEGATIVE_INFINITY;

  constructor(path: string, bytes: number) {
    this.path = path;
    this.#bytes = bytes;
    this.inside = this.isOwn ? `${path}.inside` : path;
    mkdirSync(path, { recursive: true });
    if (!this.isOwn) return;
    this.#unmount = mountSmall(this.inside, bytes);
    this.#bind();
  }

  /** Takes all the room there is, until `free`. */
  fill(): boolean {
    if (!this.isOwn) return false;
    for (let tries = fillingTries; tries > 0; tries--) {
      const { blocks, bfree, bsize } = statfsSync(this.inside);
      // Fails when somebody has just written more.
      if (run("mount", "-o", `remount,size=${(blocks - bfree) * bsize}`, this.inside)) return true;
    }
    return false;
  }

  free(): void {
    if (this.isOwn) run("mount", "-o", `remount,size=${this.#bytes}`, this.inside);
  }

  /** What is open stays open and can be written, as on a disk that was unmounted lazily. */
  attach(how: Attached): void {
    if (!this.isOwn || this.attached === how) return;
    if (this.attached !== "away") run("umount", "--lazy", this.path);
    if (how !== "away") this.#bind();
    if (how === "read-only") run("mount", "-o", "remount,bind,ro", this.path);
    this.attached = how;
    this.attachedMs = performance.now();
  }

  #bind(): void {
    if (!run("mount", "--bind", this.inside, this.path)) throw new Error(`${this.path}: cannot be mounted`);
  }

  /** What was written into its mount point while it was away. */
  hidden(): string[] {
    if (!this.isOwn) return [];
    this.attach("away");
    return readdirSync(this.path);
  }

  close(): void {
    this.attach("away");
    this.#unmount?.();
  }
}

function run(...words: string[]): boolean {
  return Bun.spawnSync(words).success;
}
