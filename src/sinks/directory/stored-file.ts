/** The file of a row of the catalogue, which may be missing, or another one by now. */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { nameProblem } from "../../names.ts";
import { openFileBeneath } from "../../system/beneath.ts";
import { describe, errorCode } from "../../system/errno.ts";
import { type Look, nodeDisk } from "../../system/file-system.ts";
import { lookBeneath } from "./group-folders.ts";

/** Words behind a path: how its file differs from what was stored. */
export type FileProblem = string;
export const fileMissing = "missing";

/**
 * Opens the file at `path` below `directory`, if it can be what was stored: a file of so many bytes, not behind a link.
 * Returns its handle, or what is wrong with it.
 */
export function openStoredFile(directory: string, path: string, bytes: number): number | FileProblem {
  // The catalogue may be anybody's: what is not below the directory is neither read nor looked at.
  const problem = path
    .split("/")
    .map(nameProblem)
    .find((one) => one !== undefined);
  if (problem !== undefined) return `is at no path that a frame can have: ${problem}`;
  let handle: number | undefined;
  try {
    handle = openFileBeneath(directory, path);
    const found = handle === undefined ? lookBeneath(nodeDisk, directory, path) : sizeOf(handle);
    const differs = differenceOf(found, bytes);
    if (differs === undefined) {
      // Where no file can be opened beneath a folder, its path was looked at step by step.
      return handle ?? openSync(join(directory, path), constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
    }
    if (handle !== undefined) closeSync(handle);
    return differs;
  } catch (error) {
    if (handle !== undefined) closeSync(handle);
    return readingProblem(error);
  }
}

export function readingProblem(error: unknown): FileProblem {
  return errorCode(error) === "ENOENT" ? fileMissing : `cannot be read: ${describe(error)}`;
}

export const otherBytes: FileProblem = "has other bytes than were stored";

function differenceOf(found: Look, bytes: number): FileProblem | undefined {
  if (found === "absent") return fileMissing;
  if (found === "link") return "is a symbolic link now, or behind one";
  if (typeof found === "string") return "is not a file any more";
  return found === bytes ? undefined : `has ${found} bytes, stored were ${bytes}`;
}

function sizeOf(handle: number): Look {
  const status = fstatSync(handle);
  return status.isFile() ? status.size : "other";
}
