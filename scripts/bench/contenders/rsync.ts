/** rsync to a daemon, which runs already; and with each file flushed before it gets its name. */
import { join } from "node:path";
import { writeFileSync } from "node:fs";
import { type Contender, type Job, type Moved, movedAll } from "../contender.ts";
import { throughLink } from "../link.ts";
import { freePort } from "../stage.ts";

const guarantees =
  "a daemon, into an empty directory: whole files, renamed when complete, checksum of each transfer, run again to " +
  "go on; time to the exit of the sending rsync";

export const rsync: Contender = {
  name: "rsync",
  role: "peer",
  safe: true,
  guarantees,
  kinds: ["directory", "link"],
  missing,
  run: (job) => run(job, []),
};

/** What `--sync batch` is to be compared with, on a disk. */
export const rsyncFsync: Contender = {
  name: "rsync-fsync",
  role: "reference",
  safe: true,
  guarantees: `${guarantees}; each file is flushed (--fsync)`,
  kinds: ["directory"],
  missing,
  run: (job) => run(job, ["--fsync"]),
};

function missing(): string | undefined {
  return Bun.which("rsync") === null ? "rsync" : undefined;
}

async function run(job: Job, options: readonly string[]): Promise<Moved> {
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
  const send = [
    "rsync",
    "--recursive",
    "--times",
    ...options,
    `${set.folder}/`,
    `rsync://127.0.0.1:${sendPort}/frames/`,
  ];
  await stage.time(() => stage.start("sender", send).succeeded());
  return movedAll(set, dest);
}
