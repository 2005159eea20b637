/**
 * framepipe, as it is shipped: the compiled executable at both ends. A receiver is a service that has been running, so
 * small frames of other devices have gone to it before the clock starts. They stay: a disk would be busy with their
 * removal. The sender's start counts, and its compiling.
 */
import { join } from "node:path";
import { type Contender, movedAll } from "../contender.ts";
import { BenchKeys } from "../keys.ts";
import { unpack } from "../archives.ts";
import { throughLink } from "../link.ts";
import { freePort } from "../stage.ts";
import { warmUp, warmUpFrameBytes, warmUpFrames } from "../warm-up.ts";

const device = "bench";
const source = "frames";

const guarantees =
  "each frame checked by checksum, recorded in the catalogue, acknowledged when stored; resumes; time to the " +
  "sender's exit with status 0, when everything is acknowledged; its receiver had stored 20,000 small frames before";

/** `before`: another build of it, to compare with. */
export function framepipe(executable: string, before = false): Contender {
  return contender(executable, { name: before ? "before" : "framepipe", role: before ? "reference" : "ours" });
}

export function framepipeWithKeys(executable: string): Contender {
  return contender(executable, { name: "framepipe-keys", role: "reference", keyed: true });
}

/** Into one file, and into none: what an archive costs is what is between these and a directory. */
export function framepipeInto(executable: string, into: "tar" | "mcap" | "null"): Contender {
  return contender(executable, { name: `framepipe-${into}`, role: "reference", into });
}

type Variant = Pick<Contender, "name" | "role"> & { readonly keyed?: true; readonly into?: "tar" | "mcap" | "null" };

const variants = { tar: "into a .tar", mcap: "into an .mcap", null: "to a receiver that discards" } as const;

function contender(executable: string, { name, role, keyed, into }: Variant): Contender {
  const plain = keyed ? "as framepipe, over TLS 1.3, both ends proven" : guarantees;
  return {
    name,
    role,
    safe: into !== "null",
    guarantees: into === undefined ? plain : `as framepipe, ${variants[into]}`,
    kinds: into === undefined ? ["directory", "discard", "link"] : ["directory"],
    missing: () => undefined,
    async run(job) {
      const { set, stage, dest } = job;
      const discards = into === "null" || set.spec.kind === "discard";
      const port = freePort();
      const archive = into === "tar" || into === "mcap" ? join(dest, `frames.${into}`) : undefined;
      const out = discards ? "/dev/null" : (archive ?? dest);
      const keys = keyed && new BenchKeys(job.scratch);
      const receive = ["--receive", `127.0.0.1:${port}`, "--out", out, "--sync", job.sync, "--json"];
      if (keys !== undefined) receive.push("--key", keys.receiverKey);
      const receiver = stage.start("receiver", [executable, ...receive]);
      await stage.listening(port);
      const sendPort = await throughLink(job, port);
      const send = (as: string, to: number, folder: string): string[] => {
        const own = keys === undefined ? [] : ["--key", keys.admit(as)];
        return [executable, "--send", `127.0.0.1:${to}`, "--device", as, "--quiet", ...own, `${source}=${folder}`];
      };
      const warmUps = await warmUp(job, (folder, run) => send(`warm-up-${run}`, port, folder));
      const command = send(device, sendPort, set.folder);
      await stage.time(() => stage.start("sender", command).succeeded());
      if (!discards && archive === undefined) return movedAll(set, join(dest, device, source));
      await receiver.stop();
      if (archive !== undefined) {
        await unpack(archive, dest);
        return movedAll(set, join(dest, device, source));
      }
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
