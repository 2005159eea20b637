/**
 * The program of the thread that flushes a large group of files (bulk-sync.ts). It says `ready`, or throws where it
 * cannot work; then it answers each list of handles, in order.
 *
 * `syncfs` writes everything that waits on the file system, in one go where a flush of each file waits for the device
 * again and again. What it reports is not relied on: old kernels report nothing, new ones the failures of other
 * programs' files too. So each file is asked for its own write error:
 *
 * - By `fdatasync`, which finds nothing left to write, but has the device empty its cache: 65 µs each on the disk this
 *   was measured on, 15 ms for 256 files after 6 ms of `syncfs`.
 * - On file systems whose `syncfs` is known to do all that `fdatasync` does, by `sync_file_range`, which reports the
 *   same error for 0.5 µs, and by one `fdatasync`, which finds a file system that has given up. Others may do nothing
 *   in `syncfs` (FUSE does not tell its program, network file systems not their server).
 */
import { closeSync, constants, fdatasyncSync, openSync, statfsSync } from "node:fs";
import { openLibc } from "./libc.ts";

declare const self: Worker;

/** What the thread says: it can work; or of one list, that its files are on the device, or the first failure. */
export type BulkSyncAnswer = "ready" | "synced" | { readonly code: string; readonly message: string };

/** The `f_type` of file systems whose `syncfs` brings data, entries and the device's cache to the medium. */
const thoroughFileSystems: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
  0x9123683e, // Btrfs
  0xf2f52010, // F2FS
]);

/** SYNC_FILE_RANGE_WAIT_BEFORE over a whole file: waits for writes under way and reports what has failed. */
const waitBefore = 1;

const libc = openLibc({
  syncfs: { args: ["i32"], returns: "i32" },
  sync_file_range: { args: ["i32", "i64", "i64", "u32"], returns: "i32" },
});
if (libc === undefined) throw new Error("there is no syncfs");
const { syncfs, sync_file_range: syncFileRange } = libc;

const noWriteFailed = (handle: number): boolean => syncFileRange(handle, 0, 0, waitBefore) === 0;

/** Where the system has no such call, or forbids it, every file would look as if it had failed. */
function tryCalls(): void {
  const handle = openSync("/proc/self/exe", constants.O_RDONLY);
  try {
    if (!noWriteFailed(handle)) throw new Error("there is no sync_file_range");
  } finally {
    closeSync(handle);
  }
}

/** Throws the first failure. */
function syncAll(handles: readonly number[]): void {
  const [first] = handles;
  if (first === undefined) return;
  const written = syncfs(first) === 0 && thoroughFileSystems.has(statfsSync(`/proc/self/fd/${first}`).type);
  for (const handle of handles) {
    const failed = written && !noWriteFailed(handle);
    if (handle === first || !written || failed) fdatasyncSync(handle);
    // The kernel tells a failure once for each handle, so this one is not told again.
    if (failed) throw Object.assign(new Error("a write to the device failed"), { code: "EIO" });
  }
}

function answerTo(handles: readonly number[]): BulkSyncAnswer {
  try {
    syncAll(handles);
    return "synced";
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { code: code ?? "", message };
  }
}

function say(answer: BulkSyncAnswer): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- windows have an origin, threads do not
  self.postMessage(answer);
}

tryCalls();
self.addEventListener("message", ({ data }: MessageEvent<readonly number[]>) => say(answerTo(data)));
say("ready");
