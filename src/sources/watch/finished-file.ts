/**
 * When a file that appeared in a watched directory is finished, so that it can be sent.
 *
 * Nothing tells for certain: Bun reports that a file was created, renamed or written to, not that it was closed. So
 * the file is looked into for evidence, and has to be left alone by its writer for a time that depends on it:
 *
 *     open for writing here:    nobody    not known    somebody
 *     came whole                 2 ms       10 ms         2 s
 *     rested for a minute          0     see below    see below
 *     trailer present              0        50 ms         2 s
 *     type without a trailer    500 ms      2 s         for ever
 *     trailer missing, empty       2 s     10 s         for ever
 *
 * - *Came whole*: it was renamed or linked into the directory, so it has bytes though nobody wrote to it there. This
 *   is how frames should be handed over; they are listed at once. 2 ms, and 10 ms where nothing else speaks for it,
 *   are ample for the report of a write to follow that of the creation.
 * - *Trailer*: the end of a JPEG or PNG. 50 ms, because a thumbnail inside a JPEG has an end of its own, which a
 *   writer in pieces may just have come to.
 * - Nobody writes and there is no trailer to expect: closed, but a script may open it again to append. 500 ms is
 *   longer than scripts take between two commands, and short enough for a picture nobody waits for.
 * - Not known: the pause of a slow writer cannot be told from its end. 2 s is longer than a disk or a camera's link
 *   stalls; 10 s if the trailer says that something is missing. Then it is sent as it is: a damaged frame is not lost.
 * - Somebody has it open: it will be written to. But some programs keep what they have written open for as long as
 *   they run; so with a trailer 2 s are enough.
 *
 * - *Rested*: it had not been written to for a minute when it was first looked at, as the backlog at the start. Then
 *   nobody needs to look for its end, which would cost a slow disk some milliseconds a file. But a time alone says
 *   little: a camera writes the head, exposes for minutes and writes the rest. So who may be writing is asked all the
 *   same; if that is not known, only the trailer makes it finished at once.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { imageFormatOf, imageStartBytes } from "../../image-format.ts";
import { type FileWriters, fileWriters } from "../../system/open-writers.ts";
import { readFlags } from "../files/opened-file.ts";

/** Older than this since it was last written to: rested. */
export const restedMs = 60_000;

/** `without`: of a type that is not known to have one. `missing` is also said of an empty file. */
export type Trailer = "present" | "missing" | "without";

export interface FileEvidence {
  readonly trailer: Trailer;
  readonly writers: FileWriters;
}

/** A file is looked at this long after something was said of it: whoever closes it does so at once after writing. */
export const lookMs = 2;

/** What is known of a file's past: it came whole, it had rested when it was first looked at, or neither. */
export type FilePast = "whole" | "rested" | "unknown";

const settle: Readonly<Record<"whole" | Trailer, Readonly<Record<FileWriters, number>>>> = {
  whole: { none: lookMs, unknown: 10, open: 2_000 },
  present: { none: 0, unknown: 50, open: 2_000 },
  without: { none: 500, unknown: 2_000, open: Infinity },
  missing: { none: 2_000, unknown: 10_000, open: Infinity },
};

/** How many milliseconds nothing may have happened to a file with this evidence until it is finished; or Infinity. */
export function settleMs({ trailer, writers }: FileEvidence, past: FilePast): number {
  if (past === "rested" && (writers === "none" || (writers === "unknown" && trailer === "present"))) return 0;
  return settle[past === "whole" ? past : trailer][writers];
}

/** Cameras put some bytes of their own behind the end of a JPEG. Compressed data never looks like an end. */
const tailBytes = 64;
/** Formats whose end can be told. */
const ends = { jpeg: Buffer.from("ffd9", "hex"), png: Buffer.from("0000000049454e44ae426082", "hex") };

const scratch = Buffer.alloc(tailBytes);

/** Throws what `node:fs` throws. The end of a file that has rested is only looked for if somebody may be writing. */
export function inspectFile(path: string, past: FilePast): FileEvidence {
  const fd = openSync(path, readFlags);
  try {
    // In this order: when nobody writes any more, what is read then is what was written last.
    const writers = fileWriters(fd);
    return { trailer: past === "rested" && writers === "none" ? "without" : readTrailer(fd), writers };
  } finally {
    closeSync(fd);
  }
}

function readTrailer(fd: number): Trailer {
  const { size } = fstatSync(fd);
  if (size === 0) return "missing";
  const format = imageFormatOf(scratch.subarray(0, readSync(fd, scratch, 0, imageStartBytes, 0)));
  if (format !== "jpeg" && format !== "png") return "without";
  const tail = scratch.subarray(0, readSync(fd, scratch, 0, tailBytes, Math.max(0, size - tailBytes)));
  return tail.includes(ends[format]) ? "present" : "missing";
}
