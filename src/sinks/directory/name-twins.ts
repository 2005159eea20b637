/**
 * Names that are one to the file system and two to us: `A.jpg` and `a.jpg` on exFAT, `é` in its two Unicode forms on
 * APFS, `a.` and `a` on FAT. The second of them must not be taken for the first, nor be stored as a conflict with it:
 * it is refused, on that file system and on no other.
 */
import type { Disk } from "../../system/file-system.ts";

/** Whether what is at `place`, which is there, was given another name than the last segment of `place`. */
export function isTwin(disk: Disk, place: string): boolean {
  const start = place.lastIndexOf("/") + 1;
  const [folder, name] = [place.slice(0, start), place.slice(start)];
  // Ordinary file systems are done with here, at a look or two; a folder may hold 100,000 names.
  const folds = /[. ]$/.test(name) || others(name).some((other) => isSame(disk, place, folder + other));
  return folds && !disk.list(folder === "/" ? folder : folder.slice(0, -1)).includes(name);
}

function others(name: string): string[] {
  const lower = name.toLowerCase();
  const forms = [lower === name ? name.toUpperCase() : lower, name.normalize("NFC"), name.normalize("NFD")];
  return forms.filter((form) => form !== name);
}

function isSame(disk: Disk, place: string, other: string): boolean {
  const identity = disk.identity(other);
  return identity !== undefined && identity === disk.identity(place);
}
