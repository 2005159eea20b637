/** The same files copied without a network. */
import { type Contender, movedAll } from "../contender.ts";

export const cp: Contender = {
  name: "cp",
  role: "reference",
  safe: false,
  guarantees: "cp -r, no network: what the files alone cost",
  kinds: ["directory"],
  missing: () => (Bun.which("cp") === null ? "coreutils" : undefined),
  async run({ set, dest, stage }) {
    await stage.time(() => stage.start("sender", ["cp", "-r", `${set.folder}/.`, dest]).succeeded());
    return movedAll(set, dest);
  },
};
