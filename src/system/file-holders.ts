/**
 * Which programs hold locks on a file, for a person who has to find out why something waits. Linux shows all locks to
 * everybody in `/proc/locks`; elsewhere nobody knows.
 *
 *     1: POSIX  ADVISORY  READ 4711 fe:00:2500490 124 124
 */
import { readFileSync, statSync } from "node:fs";

/** Names and numbers: `sqlite3 (process 4711)`. `first` to `last`: where in the file, both included. */
export function lockHolders(path: string, first: number, last: number): string[] {
  try {
    const { ino } = statSync(path, { bigint: true });
    const holders = new Set<number>();
    for (const line of readFileSync("/proc/locks", "utf8").split("\n")) {
      const [, , , , holder, file, start, end] = line.trim().split(/\s+/);
      // Of the numbers of the device some file systems tell another here than for the file.
      if (file?.endsWith(`:${ino}`) !== true || Number(holder) === process.pid) continue;
      const lockEnd = end === "EOF" ? Number.POSITIVE_INFINITY : Number(end);
      if (Number(start) <= last && lockEnd >= first) holders.add(Number(holder));
    }
    return [...holders].map(described);
  } catch {
    return [];
  }
}

function described(process: number): string {
  if (process <= 0) return "a program in another container";
  return `${nameOf(process)} (process ${process})`;
}

function nameOf(process: number): string {
  try {
    return readFileSync(`/proc/${process}/comm`, "utf8").trim();
  } catch {
    return "a program that is gone";
  }
}
