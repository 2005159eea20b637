/**
 * Keeps what this process has in memory from being written to a file when it crashes, and from being read by other
 * processes of the same user: a key is in it. On Linux by `prctl` with PR_SET_DUMPABLE; elsewhere it is left to the
 * system, which writes no such files unless it is told to.
 */
import { openLibc } from "./libc.ts";

const setDumpable = 4; // PR_SET_DUMPABLE

/** Returns whether it was done. */
export function hideMemory(): boolean {
  const libc = openLibc({ prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" } });
  return libc?.prctl(setDumpable, 0, 0, 0, 0) === 0;
}
