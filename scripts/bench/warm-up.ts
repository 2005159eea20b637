/** A receiver is meant to be a service that has been running: it has had small frames before the time counts. */
import { join } from "node:path";
import { makeFrameSet } from "../demo-frames.ts";
import type { Job } from "./contender.ts";

export const warmUpFrames = 2_000;
export const warmUpFrameBytes = 2_000;
const warmUpRuns = 10;

/** Sends the frames as often as the job asks for, with the `run`th command that `send` gives, and returns how often. */
export async function warmUp(job: Job, send: (folder: string, run: number) => readonly string[]): Promise<number> {
  const runs = job.quick ? 1 : warmUpRuns;
  const folder = join(job.scratch, "warm-up");
  // Complete pictures: a sender waits two seconds for files that do not show whether they are complete.
  await makeFrameSet(folder, { kind: "jpeg", count: warmUpFrames, bytes: warmUpFrameBytes });
  for (let run = 0; run < runs; run += 1) await job.stage.start("helper", send(folder, run)).succeeded();
  return runs;
}
