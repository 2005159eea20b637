/**
 * A process that may meet anything takes second place: processors, memory and file handles are for others first. What
 * the system does not have is left out.
 */
import { writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { openLibc } from "./libc.ts";

const niceness = 10;
/** Of 1000: of two that use up the memory, this one is ended. */
const endedFirst = "500";
const openFilesResource = 7; // RLIMIT_NOFILE

export function takeSecondPlace(openFilesMax: number): void {
  try {
    setPriority(niceness);
  } catch {
    // It has been given a higher one by somebody who knows better.
  }
  try {
    writeFileSync("/proc/self/oom_score_adj", endedFirst);
  } catch {
    // Not Linux, or not allowed.
  }
  const libc = openLibc({ setrlimit: { args: ["i32", "ptr"], returns: "i32" } });
  libc?.setrlimit(openFilesResource, BigUint64Array.of(BigInt(openFilesMax), BigInt(openFilesMax)));
}
