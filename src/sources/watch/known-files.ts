/**
 * What is known of the files in watched folders.
 *
 *     (unknown) -> Waiting -> Ready -> number: listed in that state
 *                     ^                  |
 *                     '------------------' something was said of it
 *
 * Invariant: a file is in its folder's map as a number (listed in that state) or as one object (on its way there);
 * an object that the map does not hold is out of date, wherever else it still stands.
 *
 * About 150 bytes for each file that is there and was listed, and about 1 KB, with what the collector has not taken
 * yet, for one that waits.
 */
import type { BigIntStats } from "node:fs";
import type { Listed } from "../../ports.ts";
import type { ExifTime } from "../exif.ts";
import type { QuietFile } from "../files/quiet-file.ts";

export interface Folder {
  /** Path below the root, ending in `/`; empty for the root. */
  readonly prefix: string;
  /** By the name in this folder. */
  readonly files: Map<string, Known>;
}

/** A state in which a file was found to be finished. */
export interface QuietState {
  /** See `stateOf`. */
  readonly state: number;
  readonly exif: ExifTime | undefined;
}

export type Known = number | Waiting | Ready;

/** A file that something was said of, and that may not be finished. */
export interface Waiting {
  readonly state: "waiting";
  readonly folder: Folder;
  readonly baseName: string;
  /** What was known of it before, and may still be true. */
  before: number | Ready | undefined;
  /** It appeared, or changed, while we looked on. */
  live: boolean;
  /** It was told of writing, or of times or rights. */
  written: boolean;
  /** How often something was renamed to or from this name since then, as far as it was told. */
  renames: number;
  /** Losses of events when it was first heard of: one more, and it may have been written to after all. */
  readonly losses: number;
  readonly file: QuietFile;
  /** As it was found to be finished while an earlier state of it was on its way. */
  quiet: QuietState | undefined;
  /** That a program holds it open was said. */
  heldReported: boolean;
  /** When to look at it. */
  dueMs: number;
  /** The earliest ticket for it in the heap. */
  ticketMs: number;
}

/** A file that can be listed. */
export interface Ready {
  readonly state: "ready";
  readonly folder: Folder;
  readonly baseName: string;
  readonly listed: Listed;
  readonly fingerprint: number;
  readonly capturedNs: bigint;
  /** It was listed before with this size and time, and was changed since: what the receiver has may be another file. */
  readonly rewritten: boolean;
  readonly serial: number;
  queued: boolean;
}

/** Stands for the state of a file that could not be looked at, opened or read. */
export const noFingerprint = 0;

export function isWaiting(known: Known | undefined): known is Waiting {
  return typeof known === "object" && known.state === "waiting";
}

/** What is known of a file besides what was said of it since. */
export function beforeOf(known: Known | undefined): number | Ready | undefined {
  return isWaiting(known) ? known.before : known;
}

const words = new BigUint64Array(4);
/** Of the three parts of a fingerprint, which has 53; the first is size and modification time. */
const changeBits = 20;
const rightsBits = 9;

function hashOf(bits: number, ...values: readonly bigint[]): number {
  for (const [index, value] of values.entries()) words[index] = BigInt.asUintN(64, value);
  return Number(BigInt.asUintN(bits, BigInt(Bun.hash(words.subarray(0, values.length)))));
}

/**
 * In one number, which a map holds without another object: size and modification time; the time of change (ctime),
 * which no program sets back; and rights, owner and links, which move that, too.
 */
export function fingerprintOf({ size, mtimeNs, ctimeNs, mode, uid, gid, nlink }: BigIntStats): number {
  const sizeAndTime = hashOf(53 - changeBits - rightsBits, size, mtimeNs);
  const change = hashOf(changeBits, ctimeNs);
  return (sizeAndTime * 2 ** changeBits + change) * 2 ** rightsBits + hashOf(rightsBits, mode, uid, gid, nlink);
}

/** How a later state differs. `touched`: in rights, owner or links; `rewritten`: in the time of change alone. */
export function differenceOf(before: number, now: number): "none" | "touched" | "rewritten" | "other" {
  if (before === now) return "none";
  const sizeAndTimeAt = 2 ** (changeBits + rightsBits);
  if (Math.floor(before / sizeAndTimeAt) !== Math.floor(now / sizeAndTimeAt)) return "other";
  return before % 2 ** rightsBits === now % 2 ** rightsBits ? "rewritten" : "touched";
}

export function fingerprintBefore(before: number | Ready | undefined): number | undefined {
  return typeof before === "object" ? before.fingerprint : before;
}

/** Of the path of a file below the root: that of its folder, and its name in it. */
export function splitName(name: string): { readonly prefix: string; readonly baseName: string } {
  const baseAt = name.lastIndexOf("/") + 1;
  return { prefix: name.slice(0, baseAt), baseName: name.slice(baseAt) };
}
