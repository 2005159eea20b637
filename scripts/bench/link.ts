/** The proxy as a process of its own, so that what it costs is on nobody's account. */
import { join } from "node:path";
import type { Job } from "./contender.ts";

/** Where the sender has to connect to reach the receiver's `port`: through the link, if the set has one. */
export async function throughLink({ set, stage }: Job, port: number): Promise<number> {
  const { link } = set.spec;
  if (link === undefined) return port;
  const command = [process.execPath, join(import.meta.dir, "proxy.ts"), "--to", `${port}`];
  command.push("--one-way-ms", `${link.oneWayMs}`);
  if (link.bitsPerSecond !== undefined) command.push("--bits-per-second", `${link.bitsPerSecond}`);
  const line = await stage.unlessBroken(stage.start("helper", command, { stdout: "lines" }).line());
  return Number(line.replace("listening ", ""));
}
