/**
 * framepipe, as it is shipped: the compiled executable at both ends. A receiver is a service that has been running, so
 * small frames of other devices have gone to it before the clock starts. They stay: a disk would be busy with their
 * removal. The sender's start counts, and its compiling.
 */
import { join } from "node:path";
import { type Contender, movedAll } from "../contender.ts";
import { throughLink } from "../link.ts";
import { freePort } from "../stage.ts";
import { warmUp, warmUpFrameBytes, warmUpFrames } from "../warm-up.ts";

const device = "bench";
const source = "frames";

/** `before`: another build of it, to compare with. */
export function framepipe(executable: string, before = false): Contender {
  return {
    name: before ? "before" : "framepipe",
    role: before ? "reference" : "ours",
    guarantees:
      "each frame checked by checksum, recorded in the catalogue, acknowledged when stored; resumes; time to the " +
      "sender's exit with status 0, when everything is acknowledged; its receiver had stored 20,000 small frames " +
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
      const send = (name: string, to: number, folder: string): string[] => {
        const to127 = `127.0.0.1:${to}`;
        return [executable, "--send", to127, "--device", name, "--quiet", `${source}=${folder}`];
      };
      const warmUps = await warmUp(job, (folder, run) => send(`warm-up-${run}`, port, folder));
      await stage.time(() => stage.start("sender", send(device, sendPort, set.folder)).succeeded());
      if (!discards) return movedAll(set, join(job.dest, device, source));
      await receiver.stop();
      const received = receivedEvent(await receiver.messages());
      const frames = received.frames - warmUps * warmUpFrames;
      const bytes = received.bytes - warmUps * warmUpFrames * warmUpFrameBytes;
      if (frames !== set.names.length || bytes !== set.bytes) {
        throw new Error(`the receiver counted ${received.frames} frames of ${received.bytes} bytes`);
      }
      return { frames, bytes, content: { kind: "counted" } };
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
