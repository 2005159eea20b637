/**
 * framepipe, as it is shipped: the compiled executable at both ends. A receiver is a service that has been running, so
 * frames have gone to it before the clock starts, as from other devices, and what that stored is removed. The sender's
 * start counts, and its compiling.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Contender, movedAll } from "../contender.ts";
import { throughLink } from "../link.ts";
import { freePort } from "../stage.ts";

const device = "bench";
const source = "frames";
/** What a receiver has stored before: as the set, over and over, until it is one of the two. */
const warmUpFrames = 20_000;
const warmUpBytes = 2e9;

export function framepipe(executable: string): Contender {
  return {
    name: "framepipe",
    role: "ours",
    guarantees:
      "each frame checked by checksum, recorded in the catalogue, acknowledged when stored; resumes; time to the " +
      "sender's exit with status 0, when everything is acknowledged; its receiver had stored 20,000 frames or 2 GB " +
      "before",
    kinds: ["directory", "discard", "link"],
    missing: () => undefined,
    async run(job) {
      const { set, stage } = job;
      const discards = set.spec.kind === "discard";
      const port = freePort();
      const out = discards ? "/dev/null" : job.dest;
      const receive = ["--receive", `127.0.0.1:${port}`, "--out", out, "--sync", job.sync, "--json"];
      const receiver = stage.start("receiver", [executable, ...receive]);
      await stage.listening(port);
      const sendPort = await throughLink(job, port);
      const send = (name: string, to: number): string[] => {
        const to127 = `127.0.0.1:${to}`;
        return [executable, "--send", to127, "--device", name, "--quiet", `${source}=${set.folder}`];
      };
      const warmUps = job.quick ? 1 : Math.ceil(Math.min(warmUpFrames / set.names.length, warmUpBytes / set.bytes));
      for (let at = 0; at < warmUps; at += 1) {
        const warmUp = `warm-up-${at}`;
        await stage.start("helper", send(warmUp, port)).succeeded();
        if (!discards) rmSync(join(job.dest, warmUp), { recursive: true });
      }
      await stage.time(() => stage.start("sender", send(device, sendPort)).succeeded());
      if (!discards) return movedAll(set, join(job.dest, device, source));
      await receiver.stop();
      const received = receivedEvent(await receiver.messages());
      const runs = warmUps + 1;
      if (received.frames !== runs * set.names.length || received.bytes !== runs * set.bytes) {
        throw new Error(`the receiver counted ${received.frames} frames of ${received.bytes} bytes`);
      }
      return { frames: received.frames / runs, bytes: received.bytes / runs, content: { kind: "counted" } };
    },
  };
}

/** The receiver's last words. Throws if it has none. */
function receivedEvent(messages: string): { frames: number; bytes: number } {
  const line = messages.split("\n").find((each) => each.includes('"event":"received"'));
  if (line === undefined) throw new Error(`the receiver did not say what it received: ${messages.trim()}`);
  const { frames, bytes } = JSON.parse(line) as { frames?: unknown; bytes?: unknown };
  return { frames: Number(frames), bytes: Number(bytes) };
}
