/** framepipe, as it is shipped: the compiled executable at both ends. */
import { join } from "node:path";
import { type Contender, movedAll } from "../contender.ts";
import { throughLink } from "../link.ts";
import { freePort } from "../stage.ts";

const device = "bench";
const source = "frames";

export function framepipe(executable: string): Contender {
  return {
    name: "framepipe",
    role: "ours",
    guarantees:
      "each frame checked by checksum, recorded in the catalogue, acknowledged when stored; resumes; time to the " +
      "sender's exit with status 0, when everything is acknowledged",
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
      const send = ["--send", `127.0.0.1:${sendPort}`, "--device", device, "--quiet", `${source}=${set.folder}`];
      await stage.time(() => stage.start("sender", [executable, ...send]).succeeded());
      if (!discards) {
        if (job.firstRound) await stage.start("helper", [executable, "--verify", job.dest, "--quiet"]).succeeded();
        return movedAll(set, join(job.dest, device, source));
      }
      await receiver.stop();
      const received = receivedEvent(await receiver.messages());
      if (received.frames !== set.names.length || received.bytes !== set.bytes) {
        throw new Error(`the receiver counted ${received.frames} frames of ${received.bytes} bytes`);
      }
      return { frames: received.frames, bytes: received.bytes, content: { kind: "counted" } };
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
