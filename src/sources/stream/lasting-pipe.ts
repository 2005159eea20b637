/**
 * A named pipe that does not end when its writer goes: with a writing end of our own in it, the system reports no end,
 * and the next writer finds a reader. To open it anew after each end would lose what a writer puts into it before.
 */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { errorCode } from "../../system/errno.ts";
import { enlargePipe } from "../../system/pipe-size.ts";
import type { StreamReader } from "./stream-source.ts";

export function openLastingPipe(path: string): StreamReader {
  // It is never written to, and read only to see whether something waits. Not blocking: there is no reader yet.
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  enlargePipe(fd);
  const reader = Bun.file(path).stream().getReader();
  let open = true;
  return {
    read: () => reader.read(),
    isIdle: () => open && isEmpty(fd),
    cancel: async () => {
      if (open) closeSync(fd);
      open = false;
      await reader.cancel();
    },
  };
}

/** If it is not, a byte of it is gone. */
function isEmpty(fd: number): boolean {
  try {
    return readSync(fd, new Uint8Array(1)) === 0;
  } catch (error) {
    return errorCode(error) === "EAGAIN";
  }
}
