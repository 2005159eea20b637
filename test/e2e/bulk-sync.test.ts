/** The thread that flushes large groups is in the executable, and is used. */
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { differences, openPlace } from "../support/processes.ts";
import { canMount, mountSmall } from "../support/small-disk.ts";

/** File systems whose `syncfs` does the whole work: ext, XFS, Btrfs, F2FS. */
const thorough = [0xef53, 0x58465342, 0x9123683e, 0xf2f52010];
const tmpfs = 0x01021994;
const canTrace = Bun.which("strace") !== null;

for (const kind of ["disk", "memory"] as const) {
  test.skipIf(!canTrace || (kind === "memory" && !canMount()))(
    `large groups are flushed by one call of a thread, and the receiver ends as ever: ${kind}`,
    async () => {
      await using place = await openPlace();
      const [dir, below, calls] = [place.path("vis"), place.path("below"), place.path("calls")];
      mkdirSync(below);
      if (kind === "memory") place.onClose(mountSmall(below, 256 * 2 ** 20));
      const out = join(below, "captures");
      await makeFrameSet(dir, { kind: "jpeg", count: 2_000, bytes: 2_000 });
      const trace = ["-f", "-qq", "--seccomp-bpf", "-e", "trace=execve,syncfs,fdatasync", "-o", calls];
      const words = ["--receive", "127.0.0.1:0", "--once", "--json", "--out", out, "--min-free", "1M"];
      const receiver = place.startOther("strace", [...trace, place.executable, ...words]);
      const { address } = await receiver.waitFor("listening");
      const sender = place.send(Number(String(address).split(":").at(-1)), [`visible=${dir}`]);
      expect(await sender.status()).toBe(0);
      expect(await receiver.status()).toBe(0);
      expect(differences(dir, join(out, "camera", "visible"))).toEqual([]);

      // Threads have numbers of one to seven digits, and columns have one width.
      const [start = "", ...lines] = readFileSync(calls, "utf8")
        .replace(/^(\d+) +/gm, "$1 ")
        .split("\n");
      const groups = lines.filter((line) => line.includes(" syncfs("));
      expect(groups.length).toBeGreaterThan(2);
      const thread = groups[0]?.split(" ")[0] ?? "";
      expect(groups.every((line) => line.startsWith(`${thread} `))).toBe(true);
      expect(start).toContain("execve(");
      expect(start.startsWith(`${thread} `)).toBe(false);
      // Where syncfs is not known to do the whole work, each file is flushed as well.
      const flushed = lines.filter((line) => line.startsWith(`${thread} fdatasync(`)).length;
      const { type } = statfsSync(below);
      if (kind === "memory") expect(type).toBe(tmpfs);
      if (thorough.includes(type)) expect(flushed).toBe(groups.length);
      else expect(flushed).toBeGreaterThanOrEqual(groups.length * 16);
    },
    60_000,
  );
}
