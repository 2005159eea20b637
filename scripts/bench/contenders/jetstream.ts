/** A message bus between the two: nats-server keeps each frame in a stream on its disk, and a consumer writes files. */
import { join } from "node:path";
import { writeFileSync } from "node:fs";
import { type Contender, movedAll } from "../contender.ts";
import { freePort } from "../stage.ts";

const program = join(import.meta.dir, "../bare/jetstream.ts");
/** Debian puts it where only root's path leads. */
const server = Bun.which("nats-server") ?? Bun.which("/usr/sbin/nats-server");
const payloadBytesMax = 8 * 1024 * 1024;

export const jetstream: Contender = {
  name: "jetstream",
  role: "peer",
  safe: true,
  guarantees:
    "nats-server with a stream in files, told each frame's name so that it takes it once; acknowledged to the sender " +
    "when the server has it, and to the server when its file has its name; the server is counted with the receiver",
  kinds: ["directory"],
  missing: () => (server === null ? "nats-server" : undefined),
  async run({ set, dest, scratch, stage }) {
    const port = freePort();
    const config = join(scratch, "nats.conf");
    const store = `jetstream { store_dir: "${join(scratch, "store")}" }`;
    writeFileSync(config, `listen: 127.0.0.1:${port}\nmax_payload: ${payloadBytesMax}\n${store}\n`);
    stage.start("receiver", [server ?? "nats-server", "--config", config]);
    await stage.listening(port);
    const count = String(set.names.length);
    const receive = [process.execPath, program, "receive", String(port), dest, count];
    const receiver = stage.start("receiver", receive, { stdout: "lines" });
    await receiver.line();
    await stage.time(() => {
      const sender = stage.start("sender", [process.execPath, program, "send", String(port), set.folder]);
      return Promise.all([sender.succeeded(), receiver.line()]);
    });
    return movedAll(set, dest);
  },
};
