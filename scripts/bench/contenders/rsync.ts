/** rsync to a daemon, which runs already. */
import { join } from "node:path";
import { writeFileSync } from "node:fs";
import { type Contender, movedAll } from "../contender.ts";
import { throughLink } from "../link.ts";
import { freePort } from "../stage.ts";

export const rsync: Contender = {
  name: "rsync",
  role: "peer",
  guarantees:
    "a daemon, into an empty directory: whole files, renamed when complete, checksum of each transfer, run again to " +
    "go on; time to the exit of the sending rsync",
  kinds: ["directory", "link"],
  missing: () => (Bun.which("rsync") === null ? "rsync" : undefined),
  async run(job) {
    const { set, dest, scratch, stage } = job;
    const port = freePort();
    const config = join(scratch, "rsyncd.conf");
    const account = `uid = ${process.getuid?.() ?? 0}\ngid = ${process.getgid?.() ?? 0}\n`;
    const module = `[frames]\npath = ${dest}\nread only = false\n`;
    writeFileSync(config, `use chroot = false\nlog file = /dev/null\n${account}${module}`);
    const daemon = ["rsync", "--daemon", "--no-detach", `--config=${config}`, `--port=${port}`];
    stage.start("receiver", [...daemon, "--address=127.0.0.1"]);
    await stage.listening(port);
    const sendPort = await throughLink(job, port);
    const send = ["rsync", "--recursive", "--times", `${set.folder}/`, `rsync://127.0.0.1:${sendPort}/frames/`];
    await stage.time(() => stage.start("sender", send).succeeded());
    return movedAll(set, dest);
  },
};
