/**
 * Writing to a descriptor whose reader may not read, without ever waiting for it, and without changing the descriptor:
 * `O_NONBLOCK` belongs to what is open, which the shell, a log collector and our siblings have open as well.
 *
 * - A file takes what it is given, or says that the disk is full.
 * - A pipe or terminal is opened anew by its name below /proc, so that the flag is ours alone. 40 us, once.
 * - A socket has no such name, another user's pipe may not be opened, and other systems have no /proc: they are asked
 *   first (`poll`), and given no more than they then have room for. 0.3 ms once, and 2 us each time.
 * - Where there is no `poll` (Windows) it is an ordinary write.
 */
import { constants, fstatSync, openSync, type Stats, statSync, writeSync } from "node:fs";
import { devNull } from "node:os";
import { errorCode } from "./errno.ts";
import { readiness } from "./poll.ts";

/**
 * Writes what there is room for now, and returns how many bytes that was; 0: none. Throws what `node:fs` throws of
 * everything but a lack of room.
 */
export type WriteNow = (view: Uint8Array) => number;

export function unblockedWriter(descriptor: number): WriteNow {
  const status = statusOf(descriptor);
  if (status === undefined || status.isFile() || isNullDevice(status)) return plainWriter(descriptor);
  return (status.isSocket() ? undefined : reopenedWriter(descriptor)) ?? askingWriter(descriptor);
}

function statusOf(descriptor: number): Stats | undefined {
  try {
    return fstatSync(descriptor);
  } catch {
    return undefined;
  }
}

function isNullDevice(status: Stats): boolean {
  return status.isCharacterDevice() && status.rdev === statSync(devNull, { throwIfNoEntry: false })?.rdev;
}

function plainWriter(descriptor: number): WriteNow {
  return (view) => {
    try {
      return writeSync(descriptor, view, 0, view.byteLength);
    } catch (error) {
      // Whoever shares it may have made it non-blocking.
      if (errorCode(error) === "EAGAIN") return 0;
      throw error;
    }
  };
}

/** Undefined: it cannot be opened anew. */
export function reopenedWriter(descriptor: number): WriteNow | undefined {
  const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
  try {
    return plainWriter(openSync(`/proc/self/fd/${descriptor}`, O_WRONLY | O_NONBLOCK | O_NOCTTY));
  } catch {
    return undefined;
  }
}

/** What a pipe that is ready takes without waiting (PIPE_BUF); sockets and terminals have more room then. */
const readyBytes = process.platform === "linux" ? 4096 : 512;

export function askingWriter(descriptor: number): WriteNow {
  const write = plainWriter(descriptor);
  const isReady = readiness(descriptor, "write");
  if (isReady === undefined) return write;
  return (bytes) => (isReady() ? write(bytes.subarray(0, readyBytes)) : 0);
}
