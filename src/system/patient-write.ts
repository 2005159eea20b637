/** Writing to a descriptor whose reader takes its time: in another thread, so that all else goes on meanwhile. */
import { write } from "node:fs";
import { errorCode } from "./errno.ts";

/** Whoever shares the pipe has made it non-blocking and it is full: how long until the next try. */
const fullPipeMs = 5;

export interface PatientWriteOptions {
  /** Where in a file; null: where it is. */
  readonly position: number | null;
  /** Called with each count that was taken. */
  readonly wrote?: (bytes: number) => void;
}

/** Resolves when all of `view` was taken, perhaps after a long time. Rejects with what the system said. */
export async function writePatiently(
  descriptor: number,
  view: Uint8Array,
  { position, wrote }: PatientWriteOptions,
): Promise<void> {
  for (let done = 0; done < view.byteLength;) {
    const at = position === null ? null : position + done;
    const count = await writeSome(descriptor, view, done, at);
    if (count === 0) await Bun.sleep(fullPipeMs);
    done += count;
    wrote?.(count);
  }
}

/** Resolves to the count that was taken; 0 means that the pipe is full for now. */
function writeSome(descriptor: number, view: Uint8Array, offset: number, position: number | null): Promise<number> {
  return new Promise((resolve, reject) => {
    write(descriptor, view, offset, view.byteLength - offset, position, (error, count) => {
      if (error === null) resolve(count);
      else if (errorCode(error) === "EAGAIN") resolve(0);
      else reject(error);
    });
  });
}
