/** Frames for a receiver that is meant to be a service that has been running. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const warmUpFrames = 2_000;
export const warmUpFrameBytes = 2_000;

/** Makes the frames in a folder below `scratch` and returns it. */
export function makeWarmUp(scratch: string): string {
  const folder = join(scratch, "warm-up");
  mkdirSync(folder);
  for (let index = 0; index < warmUpFrames; index += 1) {
    writeFileSync(join(folder, `${index}.bin`), new Uint8Array(warmUpFrameBytes).fill(index));
  }
  return folder;
}
