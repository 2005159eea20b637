/**
 * A file that is to be removed is first set aside: renamed to a hidden name in its own folder. What has that name is
 * one file and stays it, so it can be compared with what was sent; another file moved over the old name in between is
 * left alone. If the comparison fails the file gets its name back, or a numbered one if something new has it.
 *
 * A crash in these microseconds leaves the hidden file. Whoever reads the names of a folder gives it back first, so it
 * is a frame again at the next start; the receiver may have it already, and says so.
 */
import { lstatSync, renameSync, unlinkSync } from "node:fs";
import { posix } from "node:path";
import type { FilePath } from "../../system/file-path.ts";
import { renameNew } from "../../system/rename-noreplace.ts";

const mark = ".framepipe-sent-";
const asidePattern = /^\.framepipe-sent-[\da-f]{8}-\d+-(?<name>.+)$/s;
/** Of two programs in one folder neither may take the name of the other's file. */
const program = crypto.randomUUID().slice(0, 8);
let serial = 0;

/** With the mark a name may become longer than a segment can be (255 bytes); then its end, with the type, is kept. */
const wholeNameBytesMax = 200;
const tailCharacters = 50;

/** Where the file of a name is. */
export interface Paths {
  path(name: string): FilePath;
}

/** Returns the name that the file has now. Throws what rename throws; then it has its own. */
export function setAside(paths: Paths, name: string): string {
  serial += 1;
  const aside = beside(name, `${mark}${program}-${serial}-${shortened(posix.basename(name))}`);
  renameSync(paths.path(name), paths.path(aside));
  return aside;
}

/** The name that a hidden file of this kind had; undefined for every other one. Of names within their folder. */
export function nameBefore(baseName: string): string | undefined {
  return baseName.startsWith(mark) ? asidePattern.exec(baseName)?.groups?.["name"] : undefined;
}

/** Returns the name that the file has now: `name`, or one beside it. Throws what `node:fs` throws. */
export function giveBack(paths: Paths, aside: string, name: string): string {
  for (let number = 0; ; number += 1) {
    const to = number === 0 ? name : beside(name, numbered(posix.basename(name), number));
    if (moveNew(paths.path(aside), paths.path(to))) return to;
  }
}

function beside(name: string, baseName: string): string {
  return name.slice(0, name.lastIndexOf("/") + 1) + baseName;
}

/** Returns false if another file has that name. */
function moveNew(from: FilePath, to: FilePath): boolean {
  if (renameNew(from, to)) return true;
  // The same file: a crash came when it had both names.
  if (lstatSync(to, { throwIfNoEntry: false })?.ino !== lstatSync(from).ino) return false;
  unlinkSync(from);
  return true;
}

function numbered(name: string, number: number): string {
  const short = shortened(name);
  const dot = short.lastIndexOf(".");
  const stemEnd = dot > 0 ? dot : short.length;
  return `${short.slice(0, stemEnd)}-${number}${short.slice(stemEnd)}`;
}

/** Never hidden: it will be the name of a frame. */
function shortened(name: string): string {
  if (Buffer.byteLength(name) <= wholeNameBytesMax) return name;
  return [...name].slice(-tailCharacters).join("").replace(/^\./, "_");
}
