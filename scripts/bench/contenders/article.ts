/** The article's loop: two processes that speak lockstep in the original's way, Nagle's algorithm and all. */
import { join } from "node:path";
import { linkSync, mkdirSync } from "node:fs";
import { root } from "../../project.ts";
import type { Contender } from "../contender.ts";
import { throughLink } from "../link.ts";

const peers = join(root, "test", "support", "lockstep-peers.ts");
const linkSender = join(import.meta.dir, "..", "article-sender.ts");
const format = "visible";

export const article: Contender = {
  name: "article",
  role: "reference",
  safe: false,
  guarantees:
    "send, wait for ok, send, wait for ok: no checksum, no resume, the last ok comes before the file is written; " +
    "moves only a few dozen frames, and the rate of these is shown",
  kinds: ["directory", "link"],
  missing: () => undefined,
  async run(job) {
    const { set, dest, scratch, stage } = job;
    const names = set.names.slice(0, set.spec.articleFrames);
    const folder = join(scratch, "article");
    mkdirSync(folder);
    for (const name of names) linkSync(join(set.folder, name), join(folder, name));
    const serve = [process.execPath, peers, "server", "0", dest, "--once"];
    const receiver = stage.start("receiver", serve, { stdout: "lines" });
    const listening = await stage.unlessBroken(receiver.line());
    const sendPort = await throughLink(job, Number(listening.replace("listening ", "")));
    const overLink = [process.execPath, linkSender, `${sendPort}`, format, folder];
    const straight = [process.execPath, peers, "client", "127.0.0.1", `${sendPort}`, format, folder];
    await stage.time(() => {
      stage.start("sender", set.spec.link === undefined ? straight : overLink);
      return receiver.line();
    });
    const bytes = names.length * set.spec.frameBytes;
    return { frames: names.length, bytes, content: { kind: "files", folder: join(dest, format), names } };
  },
};
