/** A receiver is meant to be a service that has been running: it has had small frames before the time counts. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Job } from "./contender.ts";

export const warmUpFrames = 2_000;
export const warmUpFrameBytes = 2_000;
const warmUpRuns = 10;

/** Sends the frames as often as the job asks for, with the `run`th command that `send` gives, and returns how often. */
export async function warmUp(job: Job, send: (folder: string, run: number) => readonly string[]): Promise<number> {
  const runs = job.quick ? 1 : warmUpRuns;
  const folder = makeFrames(job.scratch);
  for (let run = 0; run < runs; run += 1) await job.stage.start("helper", send(folder, run)).succeeded();
  return runs;
}

/** Returns the folder, which is below `scratch`. */
function makeFrames(scratch: string): string {
  const folder = join(scratch, "warm-up");
  mkdirSync(folder);
  for (let index = 0; index < warmUpFrames; index += 1) {
    writeFileSync(join(folder, `${index}.bin`), new Uint8Array(warmUpFrameBytes).fill(index));
  }
  return folder;
}
