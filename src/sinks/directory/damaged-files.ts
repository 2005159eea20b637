/**
 * Files that do not have the bytes that were stored are set aside, so that the same frame, sent again, finds its place
 * free. Their rows stay: until then their frames are missing, for `--verify` and for whoever offers them. Only for
 * whoever holds the lock of the directory.
 */
import { closeSync, fstatSync, mkdirSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { nameProblem } from "../../names.ts";
import { type HeldFolder, holdFolder, openFileBeneath } from "../../system/beneath.ts";
import { describe } from "../../system/errno.ts";
import { checksumToEnd, nodeDisk } from "../../system/file-system.ts";
import { freeNumber, numberedPath } from "../store/numbered-path.ts";
import { damagedFolder } from "./catalogue.ts";
import { lookBeneath } from "./group-folders.ts";

/** A file that was found to be damaged, and what its row says of it. */
export interface DamagedFile {
  readonly path: string;
  readonly bytes: number;
  readonly crc32: number;
}

/** What became of it: where it is now, below the directory; or why it stays. */
export type SetAside =
  { readonly path: string; readonly movedTo: string } | { readonly path: string; readonly stays: string };

/** One after the other, with a turn for the rest of the program in between. */
export async function setAside(directory: string, files: readonly DamagedFile[]): Promise<SetAside[]> {
  const results: SetAside[] = [];
  for (const file of files) {
    results.push(setOneAside(directory, file));
    await new Promise<void>((next) => setImmediate(next));
  }
  return results;
}

function setOneAside(directory: string, file: DamagedFile): SetAside {
  const { path } = file;
  const slash = path.lastIndexOf("/");
  let folder: HeldFolder | undefined;
  try {
    const stays = whyItStays(directory, file);
    if (stays !== undefined) return { path, stays };
    const isTaken = (one: number): boolean => nodeDisk.look(asidePlace(directory, path, one)) !== "absent";
    const place = asidePlace(directory, path, freeNumber(isTaken));
    mkdirSync(dirname(place), { recursive: true, mode: 0o750 });
    // What is held leads nowhere else, whatever somebody makes of its path meanwhile.
    folder = holdFolder(directory, path.slice(0, Math.max(0, slash)));
    renameSync(folder === undefined ? join(directory, path) : inHeld(folder, path.slice(slash + 1)), place);
    return { path, movedTo: place.slice(directory.length + 1) };
  } catch (error) {
    return { path, stays: describe(error) };
  } finally {
    folder?.release();
  }
}

function inHeld({ handle }: HeldFolder, name: string): string {
  return `/proc/self/fd/${handle}/${name}`;
}

function asidePlace(directory: string, path: string, number: number): string {
  return `${directory}/${damagedFolder}/${numberedPath(path, number)}`;
}

/** It may have been replaced since it was found, or be something that is not ours to move. */
function whyItStays(directory: string, { path, bytes, crc32 }: DamagedFile): string | undefined {
  if (path.split("/").some((segment) => nameProblem(segment) !== undefined)) return "no frame can be there";
  const folder = path.slice(0, Math.max(0, path.lastIndexOf("/")));
  if (folder !== "" && lookBeneath(nodeDisk, directory, folder) !== "directory") return "a link leads there";
  const found = nodeDisk.look(join(directory, path));
  if (found === "absent") return "is not there any more";
  if (found === "directory" || found === "other") return "is not a file";
  if (found !== bytes) return undefined;
  return isWhole(directory, path, crc32) ? "is whole by now" : undefined;
}

function isWhole(directory: string, path: string, crc32: number): boolean {
  const handle = openFileBeneath(directory, path);
  try {
    if (handle === undefined) return nodeDisk.checksum(join(directory, path)) === crc32;
    return fstatSync(handle).isFile() && checksumToEnd(handle) === crc32;
  } catch {
    // What cannot be read is damaged.
    return false;
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}
