/** A minute of `bun run torture`, and that it finds what it looks for. */
import { describe, expect, test } from "bun:test";
import { appendFileSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Camera } from "../scripts/torture/cameras.ts";
import { checkAll } from "../scripts/torture/checks.ts";
import { compileClockShim, JumpingClock } from "../scripts/torture/clock.ts";
import { TortureDisk } from "../scripts/torture/disk.ts";
import { Program } from "../scripts/torture/program.ts";
import { torture } from "../scripts/torture/torture.ts";
import { executable, openPlace, setting } from "./support/processes.ts";
import { canMount } from "./support/small-disk.ts";

const seed = setting("TORTURE_SEED", 20_261_126);
const seconds = setting("TORTURE_SECONDS", 40);

test(`${seconds} s of trouble: all that was made is stored once, and the records say so`, async () => {
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const { problems, made, events } = await torture({
    seed,
    minutes: seconds / 60,
    executable: await executable(),
    log,
  });
  expect(problems, `seed ${seed}\n${lines.join("\n")}`).toEqual([]);
  expect(made).toBeGreaterThan(seconds);
  expect(Object.keys(events).length).toBeGreaterThan(5);
}, 400_000);

describe("what does not hold is found", () => {
  test("frames that are lost, doubled, torn or nobody's, and records that do not fit", async () => {
    await using place = await openPlace();
    const [dir, out] = [place.path("vis"), place.path("captures")];
    mkdirSync(dir);
    const made: number[] = [];
    for (let index = 0; index < 10; index++) {
      const bytes = Buffer.from(`P5 1 1 255\n${index}`);
      writeFileSync(join(dir, `${index}.pgm`), bytes);
      made.push(Bun.hash.crc32(bytes));
    }
    const receiver = await place.receive(out, { words: ["--once"] });
    expect(await place.send(receiver.port, [dir]).status()).toBe(0);
    expect(await receiver.status()).toBe(0);
    const camera = { device: "camera", made } as unknown as Camera;
    const check = async (): Promise<string[]> => {
      const problems: string[] = [];
      await checkAll({ out: [out], cameras: [camera] }, place, (text) => problems.push(text));
      return problems.map((text) => text.replace(`${out}: `, ""));
    };
    expect(await check()).toEqual([]);
    const stored = join(out, "camera", "vis");
    rmSync(join(stored, "0.pgm"));
    copyFileSync(join(stored, "1.pgm"), join(stored, "1~2.pgm"));
    appendFileSync(join(stored, "2.pgm"), "more");
    mkdirSync(join(out, "stranger"));
    writeFileSync(join(out, "stranger", "1.pgm"), "");
    const [counts, others, verified] = await check();
    expect(counts).toBe("camera: 10 made, 10 stored: 2 lost, 1 doubled, 1 torn");
    expect(others).toBe("what nobody made: stranger/1.pgm");
    expect(verified).toContain("ended with 6");
  }, 30_000);

  test("messages above their budget, bugs, and memory", async () => {
    const folder = mkdtempSync(join(tmpdir(), "framepipe-"));
    const problems: string[] = [];
    try {
      const conflicts = 'for i in $(seq 21); do echo "conflict cam/vis/$i.jpg: taken" >&2; done';
      const program = new Program({
        name: "loud",
        executable: "sh",
        words: ["-c", `${conflicts}; echo "error: unexpected: TypeError" >&2; sleep 0.3`],
        folder,
        rssBytesMax: 1,
        listener: { problem: (text) => problems.push(text), ran: () => undefined, said: () => undefined },
        mayEnd: () => true,
      });
      program.start();
      while (program.running) {
        program.listen();
        await Bun.sleep(10);
      }
      program.listen();
      program.check();
      expect(problems).toEqual([
        "loud said more than 20 lines of a kind: conflict cam/vis/21.jpg: taken",
        "loud has a bug: error: unexpected: TypeError",
        expect.stringMatching(/^loud had \d+ MiB in memory, limit 0$/),
      ]);
      await program.kill();
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("what is done is done", () => {
  const compiler = process.platform === "linux" && Bun.which("cc") !== null;

  test.skipIf(!compiler)("a clock jumps while its process runs", async () => {
    await using place = await openPlace();
    const shim = compileClockShim(place.dir) ?? "";
    const clock = new JumpingClock(shim, place.path("clock"));
    const say = "printf '%(%Y)T\\n' -1";
    const child = Bun.spawn(["bash", "-c", `${say}; read; ${say}`], {
      env: { ...process.env, ...clock.env },
      stdin: "pipe",
    });
    const reader = child.stdout.getReader();
    const year = async (): Promise<number> => Number(Buffer.from((await reader.read()).value ?? []).toString());
    const before = await year();
    clock.set(40 * 365 * 86_400);
    child.stdin.write("\n");
    child.stdin.end();
    expect((await year()) - before).toBeWithin(39, 41);
    expect(await child.exited).toBe(0);
  });

  test.skipIf(!canMount())("a disk is full, read-only and away, and everything is there again", async () => {
    await using place = await openPlace();
    const disk = new TortureDisk(place.path("disk"), 1 << 20);
    try {
      const file = join(disk.path, "a");
      const write = (): void => writeFileSync(file, "a".repeat(100_000), { flag: "a" });
      write();
      expect(disk.fill()).toBe(true);
      expect(write).toThrow("ENOSPC");
      disk.free();
      write();
      disk.attach("read-only");
      expect(write).toThrow("EROFS");
      disk.attach("away");
      expect(readdirSync(disk.path)).toEqual([]);
      disk.attach("writable");
      write();
      expect(disk.hidden()).toEqual([]);
      expect(readdirSync(disk.inside)).toEqual(["a"]);
    } finally {
      disk.close();
    }
  });
});
