/** The benchmark with sets of a few frames: every row is there, and its content was compared. No figure is judged. */
import { afterEach, beforeAll, expect, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BenchOptions, runBench } from "../../scripts/bench/bench.ts";
import { type Contender, movedAll } from "../../scripts/bench/contender.ts";
import { contenders } from "../../scripts/bench/contenders.ts";
import { cp } from "../../scripts/bench/contenders/cp.ts";
import { compareContent } from "../../scripts/bench/content.ts";
import { alignTable, median, percentile, shownNumber } from "../../scripts/bench/figures.ts";
import type { FrameSetSpec } from "../../scripts/bench/frame-sets.ts";
import { idleShape, livePrograms, liveShape, quickLive } from "../../scripts/bench/live.ts";
import { describePage } from "../../scripts/bench/page.ts";
import { describeReport } from "../../scripts/bench/report.ts";
import { freshExecutable } from "../../scripts/build.ts";

const main = join(import.meta.dir, "..", "..", "scripts", "bench", "main.ts");
const tiny = { distinct: 3, copies: 1, frameBytes: 2_000, articleFrames: 2 };
const sets: readonly FrameSetSpec[] = [
  { ...tiny, name: "few", kind: "directory" },
  { ...tiny, name: "discarded", kind: "discard", copies: 4 },
  { ...tiny, name: "far", kind: "link", link: { oneWayMs: 2, bitsPerSecond: 100e6 } },
];
const folders: string[] = [];
/** Builds, starts Python, nginx and others, one after another: minutes on a busy machine. */
const longMs = 400_000;

let executable = "";
beforeAll(async () => {
  executable = await freshExecutable();
}, longMs);

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-"));
  folders.push(folder);
  return folder;
}

function optionsFor(given: Partial<BenchOptions>): BenchOptions {
  return {
    executable,
    contenders: [cp],
    sets: sets.slice(0, 1),
    latency: { shapes: [], syncs: [] },
    live: { shapes: [], only: livePrograms },
    rounds: 1,
    dest: makeFolder(),
    sync: "batch",
    quick: true,
    signal: new AbortController().signal,
    say: () => undefined,
    ...given,
  };
}

test.skipIf(process.platform !== "linux")(
  "every program that is installed has its row in every set, with all of its content",
  async () => {
    const all = contenders(executable);
    const dest = makeFolder();
    const shapes = [1, 12].map((cameras) => ({
      name: `${cameras} cameras`,
      cameras,
      framesPerSecond: 100 / cameras,
      frameBytes: 5_000,
      frames: 5,
      warmUpFrames: 30,
    }));
    const latency = { shapes, syncs: ["never", "batch"] as const };
    const live = { shapes: [liveShape, idleShape].map(quickLive), only: livePrograms };
    const report = await runBench(optionsFor({ contenders: all, sets, dest, latency, live }));

    const missing = report.missing.map(({ program }) => program);
    expect(missing).toEqual(all.filter((each) => each.missing() !== undefined).map(({ name }) => name));
    expect([report.failures, ...report.sets.map(({ failures }) => failures)].flat()).toEqual([]);
    for (const { set, rows } of report.sets) {
      const taking = all.filter(({ kinds, name }) => kinds.includes(set.kind) && !missing.includes(name));
      expect(rows.map(({ program }) => program)).toEqual(taking.map(({ name }) => name));
      for (const row of rows) {
        const discards = set.kind === "discard" || row.program === "framepipe-null";
        const content = row.program === "iperf3" ? "none" : discards ? "counted" : "equal";
        expect([row.program, row.content]).toEqual([row.program, content]);
        expect(row.framesPerSecond.median).toBeGreaterThan(0);
        expect(row.sender).toBeDefined();
        if (row.program !== "cp") expect(row.receiver).toBeDefined();
      }
    }
    const ours = report.sets.map(({ rows }) => rows.find(({ program }) => program === "framepipe"));
    expect(ours.map((row) => row?.frames)).toEqual([3, 12, 3]);
    // A compiled executable of 100 MB cannot do with less, and what the parent had is not counted.
    for (const row of ours) expect(row?.receiver?.peakBytes).toBeGreaterThan(10e6);
    expect(report.latencies.map(({ shape, sync, verified }) => [shape.cameras, sync, verified])).toEqual([
      [1, "never", true],
      [1, "batch", true],
      [12, "never", true],
      [12, "batch", true],
    ]);
    for (const { p50Ms, maxMs, senderCpuSeconds, receiver } of report.latencies) {
      expect(maxMs).toBeGreaterThanOrEqual(p50Ms);
      expect(senderCpuSeconds).toBeGreaterThan(0);
      expect(receiver?.peakBytes).toBeGreaterThan(10e6);
    }
    expect(readdirSync(dest)).toEqual([]);
    const [liveNames, idleNames] = report.lives.map(({ rows }) => rows.map(({ program }) => program));
    expect(liveNames?.slice(0, 2)).toEqual(["framepipe", "bare-bun"]);
    expect(idleNames).toEqual(["framepipe"]);
    for (const { sender, receiver } of report.lives.flatMap(({ rows }) => rows)) {
      for (const side of [sender, receiver]) expect(side.bytes).toBeGreaterThan(1e6);
    }
    // Somebody took the pictures.
    for (const { sender } of report.lives[0]?.rows ?? []) expect(sender.wakeUpsPerSecond).toBeGreaterThan(10);

    const [text, page] = [describeReport(report), describePage(report)];
    for (const { name } of all) expect(text).toContain(name);
    for (const { name } of [...sets, liveShape, idleShape]) {
      expect(text).toContain(`${name}: `);
      expect(page).toContain(`aria-label="${name}`);
    }
    // A bar for each row.
    const bars = report.sets.flatMap(({ rows }) => rows).length + 2 * report.lives.flatMap(({ rows }) => rows).length;
    expect(page.split("<rect ").length - 1).toBe(bars);
  },
  longMs,
);

test("a program that stores something else, or fails, is named with the reason, and the rest goes on", async () => {
  const spoiling: Contender = {
    ...cp,
    name: "spoiling",
    run: async ({ set, dest, stage }) => {
      await stage.time(async () => cpSync(set.folder, dest, { recursive: true }));
      writeFileSync(join(dest, "1.jpg"), new Uint8Array(2_000));
      return movedAll(set, dest);
    },
  };
  const failing: Contender = {
    ...cp,
    name: "failing",
    run: async ({ set, dest, stage }) => {
      await stage.time(() => stage.start("sender", ["cp", join(set.folder, "none"), dest]).succeeded());
      return movedAll(set, dest);
    },
  };
  const absent: Contender = { ...cp, name: "absent", missing: () => "some-package" };
  const report = await runBench(optionsFor({ contenders: [spoiling, failing, absent, cp], rounds: 2 }));
  const [set] = report.sets;
  expect(set?.failures.map(({ program }) => program)).toEqual(["spoiling", "failing"]);
  expect(set?.failures[0]?.reason).toBe("1.jpg arrived with other bytes");
  expect(set?.failures[1]?.reason).toContain("cp ended with status 1: ");
  expect(report.missing).toEqual([{ program: "absent", install: "some-package" }]);
  expect(set?.rows.map(({ program, rounds }) => [program, rounds])).toEqual([["cp", 2]]);
  expect(describeReport(report)).toContain("absent did not run: install some-package");
});

test("stopping does not wait for a program that is running", async () => {
  const interrupt = new AbortController();
  const endless: Contender = {
    ...cp,
    run: async ({ set, dest, stage }) => {
      await stage.time(async () => {
        const ended = stage.start("sender", ["sleep", "1000"]).succeeded();
        interrupt.abort(new Error("enough"));
        await ended;
      });
      return movedAll(set, dest);
    },
  };
  const dest = makeFolder();
  const before = descendants(process.pid);
  const bench = runBench(optionsFor({ contenders: [endless], dest, signal: interrupt.signal }));
  await expect(bench).rejects.toThrow("enough");
  expect(readdirSync(dest)).toEqual([]);
  expect(descendants(process.pid)).toEqual(before);
});

test("content is compared by name and by byte", () => {
  const folder = makeFolder();
  const checksums = new Map([
    ["a", Bun.hash.crc32("one")],
    ["b", Bun.hash.crc32("two")],
  ]);
  writeFileSync(join(folder, "a"), "one");
  expect(() => compareContent(folder, ["a"], checksums)).not.toThrow();
  expect(() => compareContent(folder, ["a", "b"], checksums)).toThrow("1 frames are missing, the first is b");
  expect(() => compareContent(folder, [], checksums)).toThrow("nobody sent, the first is a");
  writeFileSync(join(folder, "b"), "twO");
  expect(() => compareContent(folder, ["a", "b"], checksums)).toThrow("b arrived with other bytes");
});

test("figures", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(percentile([10, 20, 30, 40, 50], 0.9)).toBeCloseTo(46);
  expect(() => median([])).toThrow();
  expect([0.1234, 6.5, 25.25, 252.4, 25_200].map(shownNumber)).toEqual(["0.12", "6.50", "25.3", "252", "25,200"]);
  const columns = [
    { title: "name", align: "left" },
    { title: "n", align: "right" },
  ] as const;
  expect(alignTable(columns, [["a", "1,000"]])).toBe("name      n\n----  -----\na     1,000");
});

async function runMain(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const child = Bun.spawn([process.execPath, main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const [status, stdout, stderr] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status, stdout, stderr };
}

test.skipIf(process.platform !== "linux")(
  "--json gives one object on standard output; what it cannot do is a usage error",
  async () => {
    const { status, stdout } = await runMain("--quick", "--json", "--set", "2k", "--only", "framepipe,cp");
    expect(status).toBe(0);
    const report = JSON.parse(stdout) as { sets: { rows: { program: string }[] }[] };
    expect(report.sets[0]?.rows.map(({ program }) => program)).toEqual(["framepipe", "cp"]);
    for (const wrong of [
      ["--set", "9k"],
      ["--only", "tar"],
      ["--rounds", "0"],
      ["--sync", "no"],
      ["--dest", "/none"],
    ]) {
      const refused = await runMain("--quick", ...wrong);
      expect([wrong[0], refused.status, refused.stdout]).toEqual([wrong[0], 2, ""]);
      expect(refused.stderr).toStartWith("error: ");
    }
  },
  longMs,
);

/** The children of a process, and theirs. */
function descendants(pid: number): number[] {
  const path = `/proc/${pid}/task/${pid}/children`;
  const own = existsSync(path) ? (readFileSync(path, "utf8").match(/\d+/g) ?? []).map(Number) : [];
  return own.flatMap((child) => [child, ...descendants(child)]);
}

test.skipIf(process.platform !== "linux")(
  "SIGINT ends what was started and removes what was made",
  async () => {
    const dest = makeFolder();
    const args = ["--quick", "--rounds", "100", "--set", "100ms", "--only", "article", "--dest", dest];
    const bench = Bun.spawn([process.execPath, main, ...args], { stdio: ["ignore", "ignore", "pipe"] });
    const messages = new Response(bench.stderr).text();
    // The receiver, the proxy and the sender.
    let children: number[] = [];
    while (bench.exitCode === null && children.length < 3) {
      await Bun.sleep(5);
      children = descendants(bench.pid);
    }
    const homes = children
      .flatMap((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0"))
      .flatMap((word) => /^.*framepipe-bench-[^/]+/.exec(word)?.[0] ?? []);
    expect(homes.length).toBeGreaterThan(0);
    bench.kill("SIGINT");
    expect(await bench.exited).toBe(130);
    expect(await messages).toContain("error: stopped by SIGINT\n");
    expect(children.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
    expect(homes.filter((home) => existsSync(home))).toEqual([]);
    expect(readdirSync(dest)).toEqual([]);
  },
  longMs,
);
