/**
 * A named pipe that does not end when its writer goes: with a writing end of our own in it, the system reports no end,
 * and the next writer finds a reader. To open it anew after each end would lose what a writer puts into it before.
 */
import { closeSync, constants, openSync } from "node:fs";
import { readiness } from "../../system/poll.ts";
import { enlargePipe } from "../../system/pipe-size.ts";
import type { StreamReader } from "./stream-source.ts";

export function openLastingPipe(path: string): StreamReader {
  // It is neither written to nor read. Not blocking: there is no reader yet.
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  enlargePipe(fd);
  // What waits there is the next reader's, to the byte.
  const hasInput = readiness(fd, "read");
  const reader = Bun.file(path).stream().getReader();
  let open = true;
  return {
    read: () => reader.read(),
    isIdle: () => open && hasInput?.() === false,
    cancel: async () => {
      if (open) closeSync(fd);
      open = false;
      await reader.cancel();
    },
  };
}
