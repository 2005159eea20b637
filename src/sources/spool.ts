/**
 * Keeps the frames of a stream on disk: `DIR/<source>/<name>`, complete under that name, modified at capture time. So
 * what the receiver does not have yet survives the end of this process, however it ends; the next run sends it first.
 *
 * A file is not flushed: one whose ack comes within seconds is gone again before the system has written it, which is
 * kind to memory cards. After a power loss the frames of the last half minute may be missing, as of any camera.
 */
import { closeSync, futimesSync, mkdirSync, openSync, readdirSync, renameSync, rmdirSync } from "node:fs";
import { lstatSync, unlinkSync, writevSync } from "node:fs";
import { dirname, join } from "node:path";
import { SourceError } from "../errors.ts";
import type { FrameEntry } from "../frame.ts";
import { compareNatural, nameProblem } from "../names.ts";
import type { OpenedFrame } from "../ports.ts";
import { errorCode, errorText, toSourceError } from "./file-errors.ts";
import type { FrameStore } from "./frame-store.ts";
import { OpenedFile } from "./opened-file.ts";

/** Hidden, so that a directory source over the spool would pass over it. */
const unfinished = ".unfinished";

export class Spool implements FrameStore {
  readonly #root: string;

  /** `root`: the folder of one source, made if it is not there. Throws what `node:fs` throws. */
  constructor(root: string) {
    this.#root = root;
    mkdirSync(root, { recursive: true });
  }

  leftovers(): FrameEntry[] {
    const entries: FrameEntry[] = [];
    for (const path of readdirSync(this.#root, { recursive: true, encoding: "utf8" })) {
      const name = path.replaceAll("\\", "/");
      const stats = lstatSync(join(this.#root, path), { bigint: true });
      if (!stats.isFile()) continue;
      // Begun by a run that did not live to finish it; or nothing of ours.
      if (name === unfinished) unlinkSync(join(this.#root, path));
      if (nameProblem(name) !== undefined) continue;
      entries.push({ name, bytes: Number(stats.size), capturedNs: wholeMicros(stats.mtimeNs + 500n) });
    }
    return entries.toSorted((a, b) => compareNatural(a.name, b.name));
  }

  put(entry: FrameEntry, pieces: readonly Uint8Array[]): void {
    const temporary = join(this.#root, unfinished);
    const path = join(this.#root, entry.name);
    try {
      const fd = openSync(temporary, "w");
      try {
        writeAll(fd, pieces, entry.bytes);
        const seconds = Number(entry.capturedNs / 1_000n) / 1e6;
        futimesSync(fd, seconds, seconds);
      } finally {
        closeSync(fd);
      }
      inFolder(path, () => renameSync(temporary, path));
    } catch (error) {
      throw new SourceError("dropped", `the spool cannot be written: ${spoolErrorText(error)}`, { cause: error });
    }
  }

  open(entry: FrameEntry): OpenedFrame {
    return new OpenedFile(join(this.#root, entry.name));
  }

  remove(entry: FrameEntry): void {
    const path = join(this.#root, entry.name);
    try {
      unlinkSync(path);
      // The folder of a day that is over; fails while there is anything in it.
      for (let folder = dirname(path); folder.length > this.#root.length; folder = dirname(folder)) rmdirSync(folder);
    } catch (error) {
      if (errorCode(error) !== "ENOENT" && errorCode(error) !== "ENOTEMPTY") throw toSourceError(error);
    }
  }
}

function writeAll(fd: number, pieces: readonly Uint8Array[], bytes: number): void {
  let left = pieces.filter((piece) => piece.length > 0);
  for (let written = 0; written < bytes;) {
    // More than the system takes at once is not an error: it says how much it took.
    let taken = writevSync(fd, left.slice(0, 1024));
    written += taken;
    let at = 0;
    for (; at < left.length && taken >= (left[at]?.length ?? 0); at++) taken -= left[at]?.length ?? 0;
    left = left.slice(at);
    const [first] = left;
    if (first !== undefined && taken > 0) left[0] = first.subarray(taken);
  }
}

/** Makes the folder of `path` if it is not there, which is rare. */
function inFolder(path: string, run: () => void): void {
  try {
    run();
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
    mkdirSync(dirname(path), { recursive: true });
    run();
  }
}

function spoolErrorText(error: unknown): string {
  const code = errorCode(error);
  return code === "ENOSPC" || code === "EDQUOT" ? `no space left (${code})` : errorText(error);
}

/** Times of files are set through a double, which holds microseconds of our century and no more. */
function wholeMicros(ns: bigint): bigint {
  return (ns / 1_000n) * 1_000n;
}
