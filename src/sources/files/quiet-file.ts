/**
 * When a file has been quiet for long enough to be sent. FILES.md shows where this stands in a file's life.
 *
 *     open for writing:          nobody   not known   somebody
 *     renamed or linked here        0        2 s        never
 *     as it was acknowledged        0        2 s        never
 *     complete by its format        0        2 s        never
 *     anything else               2 s       10 s        never
 *     incomplete                 60 s       60 s        never
 *
 * Time counts from the moment at which this state of the file was first seen, and never from a time that the file has:
 * a copy has the time of its original, and clocks are set. Whoever appends to a file in steps is waited for as long as
 * what is there says that more is to come; a thumbnail's end is not taken for the picture's.
 *
 * Where nobody knows who has it open (another user's file, a network's), 2 s are longer than a disk or a link stalls,
 * and a picture that is complete, or got its name when it was, needs no more.
 */
import { closeSync, fstatSync, openSync, type BigIntStats } from "node:fs";
import type { FrameEntry } from "../../frame.ts";
import type { FilePath } from "../../system/file-path.ts";
import { type ExifTime, exifTimeOf } from "../exif.ts";
import { type FileWriters, fileWriters } from "../../system/open-writers.ts";
import { readFlags } from "./opened-file.ts";
import { FileBytes } from "./file-bytes.ts";
import { type PictureEnd, pictureEnd } from "./picture-end.ts";

/**
 * How a file got its name. `whole`: complete, or it is in the state in which an earlier run sent it. `likely`: it has
 * bytes and nobody has told of writing, but its times do not prove that it was renamed after it was written: that
 * report may still come.
 */
export type Arrival = "whole" | "likely" | "unknown";

/** A renamed file is believed to be one after this long, for then a report of writing would have come. */
const reportMs = 10;
/** A file that is held open, or changes, for so long is spoken of. */
export const patienceMs = 60_000;
/** What is open or incomplete is looked at again after this long at the latest: not every change is reported. */
export const lookAgainMs = 1_000;
/** A file is looked at this long after something was said of it: whoever closes it does so at once after writing. */
export const lookMs = 2;

export interface FileEvidence {
  readonly end: PictureEnd;
  readonly writers: FileWriters;
  /** In which it was looked into; see `stateOf`. */
  readonly state: number;
  /** When its picture was taken, if that was looked for: not where `end` was known. */
  readonly exif?: ExifTime | undefined;
}

/** How many milliseconds nothing may have happened to a file with this evidence until it is sent; or Infinity. */
export function quietMs({ end, writers }: Pick<FileEvidence, "end" | "writers">, arrival: Arrival): number {
  if (writers === "open") return Infinity;
  if (end === "incomplete") return 60_000;
  const isKnown = writers === "none";
  if (end === "complete" || arrival === "whole") return isKnown ? 0 : 2_000;
  if (arrival === "likely") return isKnown ? reportMs : 2_000;
  return isKnown ? 2_000 : 10_000;
}

/** A file that waits: what was seen of it, and since when. */
export class QuietFile {
  readonly firstSeenMs: number;
  #state: number | undefined;
  #sinceMs: number;
  #end: PictureEnd | undefined;
  #exif: ExifTime | undefined;
  #heldSinceMs: number | undefined;
  #changed = false;

  constructor(nowMs: number) {
    this.firstSeenMs = this.#sinceMs = nowMs;
  }

  /** It was there when somebody looked. */
  get isSeen(): boolean {
    return this.#state !== undefined;
  }

  /** It was written to while we waited: it did not come whole. */
  get changed(): boolean {
    return this.#changed;
  }

  /** Since when a program has had it open for writing. */
  get heldSinceMs(): number | undefined {
    return this.#heldSinceMs;
  }

  /** How its picture ends, if anybody has looked. */
  get end(): PictureEnd | undefined {
    return this.#end;
  }

  /** When its picture was taken, if EXIF data says that, and anybody has looked. */
  get exif(): ExifTime | undefined {
    return this.#exif;
  }

  /** It is in this state now. */
  see(state: number, nowMs: number): void {
    if (state === this.#state) return;
    if (this.#state !== undefined) {
      this.#sinceMs = nowMs;
      this.#changed = true;
    }
    this.#state = state;
    this.#end = this.#exif = undefined;
  }

  /** After `see`. Returns in how many milliseconds to look again; 0: it is finished. */
  judge(arrival: Arrival, nowMs: number, inspect: (end: PictureEnd | undefined) => FileEvidence): number {
    const evidence = inspect(this.#end);
    // What was seen is out of date: whoever has written to it since may have closed it.
    if (evidence.state !== this.#state) {
      this.see(evidence.state, nowMs);
      return lookMs;
    }
    const isOpen = evidence.writers === "open";
    if (isOpen) this.#heldSinceMs ??= nowMs;
    else {
      this.#heldSinceMs = undefined;
      this.#end = evidence.end;
      this.#exif ??= evidence.exif;
    }
    const quietForMs = nowMs - this.#sinceMs;
    const leftMs = quietMs(evidence, arrival) - quietForMs;
    if (leftMs <= 0) return 0;
    // That a writer closes the file is not reported: look often at first. The next file must not overtake it.
    if (isOpen) return Math.min(Math.max(lookMs, quietForMs / 4), lookAgainMs);
    // What is completed meanwhile need not wait.
    return evidence.end === "incomplete" ? Math.min(leftMs, lookAgainMs) : leftMs;
  }
}

/** How a file that was heard of by its name alone has come. Renaming and linking move the time of change. */
export function arrivalOf(stats: BigIntStats): Arrival {
  if (stats.size === 0n) return "unknown";
  return stats.ctimeNs > stats.mtimeNs ? "whole" : "likely";
}

const stateWords = new BigUint64Array(4);

/** What tells one state of a file from another, in a number: names, links and rights move it as well. */
export function stateOf(stats: BigIntStats): number {
  stateWords[0] = stats.size;
  stateWords[1] = BigInt.asUintN(64, stats.mtimeNs);
  stateWords[2] = BigInt.asUintN(64, stats.ctimeNs);
  stateWords[3] = BigInt.asUintN(64, stats.ino);
  return Number(BigInt.asUintN(53, BigInt(Bun.hash(stateWords))));
}

/**
 * Throws what `node:fs` throws. `end`, `content`: what an earlier look at the same state has found. A file that is
 * being written to is not looked into: it will be another one.
 */
export function inspectFile(path: FilePath, end?: PictureEnd, content?: FileContent): FileEvidence {
  const asked = openAndAsk(path);
  try {
    return evidenceOf(asked, fstatSync(asked.fd, { bigint: true }), `${path}`, end, content);
  } finally {
    closeSync(asked.fd);
  }
}

/** A file that is open for reading, and who else had it open then. */
export interface AskedFile {
  readonly fd: number;
  readonly writers: FileWriters;
}

/** Throws what `node:fs` throws. */
export function openAndAsk(path: FilePath): AskedFile {
  const fd = openSync(path, readFlags);
  return { fd, writers: fileWriters(fd) };
}

/** What stands in a file. */
export type FileContent = Pick<FileEvidence, "end" | "exif">;

/** What stands in a file that nobody writes to. Undefined: somebody may, or it cannot be read. */
export function contentIfClosed({ entry, asked }: LookedAt): FileContent | undefined {
  if (asked === undefined || asked.writers !== "none") return undefined;
  try {
    return contentOf(asked.fd, entry.bytes, entry.name);
  } catch {
    return undefined;
  }
}

/** Whether a file with this in it, that nobody writes to, is sent at once; nearly every one is. */
export function isWhole({ end }: FileContent): boolean {
  return quietMs({ writers: "none", end }, "unknown") === 0;
}

interface LookedAt {
  readonly entry: FrameEntry;
  readonly asked: AskedFile | undefined;
}

/**
 * Whether a file that was changed since it was found to be quiet may be read nevertheless: nobody writes to it, and it
 * is not empty or cut short, as one is for a moment that is written over in place. Throws what `node:fs` throws.
 */
export function isWholeAgain(fd: number, bytes: number, name: string): boolean {
  if (bytes === 0 || fileWriters(fd) === "open") return false;
  return pictureEnd(new FileBytes(fd, bytes), name) !== "incomplete";
}

/** `stats` come after the question: when nobody writes any more, what is read then is what was written last. */
export function evidenceOf(
  { fd, writers }: AskedFile,
  stats: BigIntStats,
  name: string,
  end?: PictureEnd,
  content?: FileContent,
): FileEvidence {
  const state = stateOf(stats);
  if (writers === "open") return { writers, end: "unknown", state };
  if (end !== undefined) return { writers, end, state };
  const { end: found, exif } = content ?? contentOf(fd, Number(stats.size), name);
  return { writers, end: found, state, exif };
}

/** The beginning is looked at first: it is what the walk reads, too. */
function contentOf(fd: number, bytes: number, name: string): FileContent {
  const file = new FileBytes(fd, bytes);
  const exif = exifTimeOf(file);
  const end = pictureEnd(file, name);
  return exif === undefined ? without[end] : { end, exif };
}

/** Most files have no EXIF data, and are many. */
const without: Readonly<Record<PictureEnd, FileContent>> = {
  complete: { end: "complete" },
  incomplete: { end: "incomplete" },
  unknown: { end: "unknown" },
};
