import { describe, expect, test } from "bun:test";
import { type Pace, PaceMeter, rateWindowMs, type Standing } from "../../src/cli/pace.ts";
import { standingOfOrigin, standingOfSource } from "../../src/cli/pace.ts";
import { displayLines, plainLine, Progress } from "../../src/cli/progress.ts";
import { Terminal } from "../../src/cli/terminal.ts";
import { Screen } from "./screen.ts";

function standing(name: string, frames: number, of?: number, complete = true): Standing {
  const bytes = frames * 100_000;
  return {
    name,
    frames,
    bytes,
    linkBytes: bytes,
    listed: of === undefined ? undefined : { frames: of, bytes: of * 100_000, complete },
  };
}

function pace(of: Standing, framesPerSecond: number): Pace {
  const meter = new PaceMeter();
  const before = of.frames - framesPerSecond;
  meter.measure(0, { ...of, frames: before, bytes: before * 100_000, linkBytes: before * 100_000 });
  return meter.measure(1000, of);
}

describe("pace", () => {
  test("is that of the last seconds", () => {
    const meter = new PaceMeter();
    expect(meter.measure(0, standing("a", 0, 1000))).toMatchObject({
      frameRate: 0,
      linkByteRate: 0,
      leftMs: undefined,
    });
    expect(meter.measure(1000, standing("a", 100, 1000))).toMatchObject({
      frameRate: 100,
      linkByteRate: 1e7,
      leftMs: 9000,
    });
    // Nothing moves: the rate falls, and reaches zero when the window has passed.
    expect(meter.measure(2000, standing("a", 100, 1000)).frameRate).toBe(50);
    expect(meter.measure(1000 + rateWindowMs + 1, standing("a", 100, 1000))).toMatchObject({
      frameRate: 0,
      leftMs: undefined,
    });
    expect(meter.measure(1000 + rateWindowMs + 1001, standing("a", 1000, 1000))).toMatchObject({ leftMs: 0 });
  });

  test("time left needs a complete listing", () => {
    expect(pace(standing("a", 100, 1000, false), 100).leftMs).toBeUndefined();
    expect(pace(standing("a", 100, 1000, true), 100).leftMs).toBe(9000);
    expect(pace(standing("a", 100), 100).leftMs).toBeUndefined();
  });

  test("frames without bytes have a time left too", () => {
    const empty = {
      ...standing("a", 50, 100),
      bytes: 0,
      linkBytes: 0,
      listed: { frames: 100, bytes: 0, complete: true },
    };
    const meter = new PaceMeter();
    meter.measure(0, { ...empty, frames: 0 });
    expect(meter.measure(1000, empty).leftMs).toBe(1000);
  });

  test("bytes count for the time left, not frames", () => {
    const meter = new PaceMeter();
    const listed = { frames: 10, bytes: 1000, complete: true };
    meter.measure(0, { name: "a", frames: 0, bytes: 0, linkBytes: 0, listed });
    // Nine small frames of ten are done, and most of the bytes are not.
    expect(meter.measure(1000, { name: "a", frames: 9, bytes: 100, linkBytes: 100, listed }).leftMs).toBe(9000);
  });
});

describe("plain line", () => {
  test.each<[Pace, string]>([
    [
      pace(standing("visible", 1234, 2000), 512),
      "visible: 1,234 of 2,000 frames, 512 frames/s, 51.2 MB/s, backlog 766 frames (76.6 MB), 1 s left",
    ],
    [
      pace(standing("visible", 1234, 2000, false), 5),
      "visible: 1,234 of 2,000+ frames, 5.0 frames/s, 500 kB/s, backlog 766 frames (76.6 MB)",
    ],
    [pace(standing("visible", 2000, 2000), 500), "visible: 2,000 of 2,000 frames, 500 frames/s, 50.0 MB/s"],
    [pace(standing("rig/visible", 1), 1), "rig/visible: 1 frame, 1.0 frames/s, 100 kB/s"],
  ])("%#", (of, line) => expect(plainLine(of)).toBe(line));
});

describe("display lines", () => {
  const two = [pace(standing("visible", 1234, 2000), 512), pace(standing("infrared", 50, 50), 5)];

  test("columns in line", () => {
    expect(displayLines(two, { columns: 120, rows: 24 })).toEqual([
      "visible   [############........]  1,234/2,000  512 frames/s  51.2 MB/s  backlog 766  76.6 MB  1 s left",
      "infrared  [####################]        50/50  5.0 frames/s   500 kB/s                            done",
    ]);
  });

  test("a receiver has no totals", () => {
    const lines = displayLines([pace(standing("rig/visible", 1234), 512), pace(standing("rig/ir", 5), 5)], {
      columns: 80,
      rows: 24,
    });
    expect(lines).toEqual([
      "rig/visible  1,234 frames  512 frames/s  51.2 MB/s  123 MB",
      "rig/ir           5 frames  5.0 frames/s   500 kB/s  500 kB",
    ]);
  });

  test("what matters least goes first, and nothing is wider than the terminal", () => {
    for (let columns = 1; columns <= 130; columns += 1) {
      for (const line of displayLines(two, { columns, rows: 24 })) expect(Bun.stringWidth(line)).toBeLessThan(columns);
    }
    expect(displayLines(two, { columns: 80, rows: 24 })[0]).toBe(
      "visible   1,234/2,000  512 frames/s  51.2 MB/s  backlog 766  76.6 MB  1 s left",
    );
    expect(displayLines(two, { columns: 40, rows: 24 })[0]).toBe("visible   1,234/2,000  512 frames/s");
    expect(displayLines(two, { columns: 25, rows: 24 })[0]).toBe("visible   1,234/2,000");
  });

  test("long, wide and hostile names", () => {
    const names = ["a".repeat(200), "漢".repeat(40), "x\x1b[2J"];
    for (const line of displayLines(
      names.map((name) => pace(standing(name, 1, 2), 1)),
      { columns: 100, rows: 24 },
    )) {
      expect(Bun.stringWidth(line)).toBeLessThan(100);
      expect(line).toMatch(/ 1\/2 /);
      expect(line).not.toContain("\x1b");
    }
  });

  test("more sources than rows: those that move, and the sum of the others", () => {
    const many = Array.from({ length: 100 }, (_, index) => pace(standing(`s${index}`, 10, 20), index >= 98 ? 5 : 0));
    const lines = displayLines(many, { columns: 60, rows: 8 });
    expect(lines.map((line) => line.split("  ")[0])).toEqual(["s0", "s1", "s2", "s98", "s99", "and 95 more"]);
    expect(lines.at(-1)).toContain("950/1,900");
  });
});

function run({ isTerminal = false, json = false, quiet = false, verbose = false } = {}) {
  const stderr = new Screen({ isTerminal, columns: 100 });
  const terminal = new Terminal({
    stdout: new Screen(),
    stderr,
    env: {},
    json,
    quiet,
    verbose,
    clock: { nowMs: () => 0, wallNs: () => 0n, after: () => () => undefined },
  });
  const state = { nowMs: 0, standings: [] as Standing[] };
  const progress = new Progress({ terminal, nowMs: () => state.nowMs, standings: () => state.standings });
  const at = (nowMs: number, ...standings: Standing[]): void => {
    Object.assign(state, { nowMs, standings });
    progress.tick();
  };
  return { stderr, progress, at, state };
}

describe("progress", () => {
  test("silence where there is no terminal", () => {
    const { stderr, at, progress } = run();
    progress.start();
    at(0, standing("a", 0, 100));
    at(5000, standing("a", 50, 100));
    progress.stop();
    expect(stderr.text).toBe("");
  });

  test.each([
    [{ verbose: true }, true],
    [{ verbose: true, json: true }, true],
    [{ isTerminal: true }, true],
    // A service whose messages a program reads runs for years: progress is for who asks for it.
    [{ json: true }, false],
    [{}, false],
  ] as const)("begins at once, or not at all, with %p", (options, begins) => {
    const { stderr, progress, state } = run(options);
    state.standings = [standing("a", 5)];
    progress.start();
    progress.stop();
    expect(stderr.text !== "").toBe(begins);
  });

  test("with --verbose plain lines, only of what has changed", () => {
    const { stderr, at } = run({ verbose: true });
    at(0, standing("a", 0, 100), standing("b", 0, 100));
    expect(stderr.text).toBe("");
    at(5000, standing("a", 50, 100), standing("b", 0, 100));
    expect(stderr.lines).toEqual([
      "a: 50 of 100 frames, 10 frames/s, 1.00 MB/s, backlog 50 frames (5.00 MB), 5 s left",
      "",
    ]);
    at(10_000, standing("a", 50, 100), standing("b", 0, 100));
    expect(stderr.lines.length).toBe(2);
  });

  test("hundreds of sources are told as one", () => {
    const { stderr, at } = run({ verbose: true });
    const all = (frames: number): Standing[] =>
      Array.from({ length: 500 }, (_, index) => standing(`s${index}`, frames));
    at(0, ...all(0));
    at(5000, ...all(10));
    expect(stderr.text).toBe("500 sources: 5,000 frames, 1,000 frames/s, 100 MB/s\n");
  });

  test("json lines", () => {
    const { stderr, at } = run({ json: true });
    at(0, standing("a", 0, 100));
    at(5000, standing("a", 50, 100));
    expect(JSON.parse(stderr.text)).toEqual({
      time: "1970-01-01T00:00:00.000Z",
      event: "progress",
      source: "a",
      frames: 50,
      bytes: 5_000_000,
      linkBytes: 5_000_000,
      listedFrames: 100,
      listedBytes: 10_000_000,
      listingDone: true,
      framesPerSecond: 10,
      bytesPerSecond: 1_000_000,
      secondsLeft: 5,
    });
  });

  test("a display on a terminal, gone when it stops", () => {
    const { stderr, at, progress } = run({ isTerminal: true });
    at(0, standing("a", 0, 100));
    at(1000, standing("a", 10, 100));
    expect(stderr.lines[0]).toContain("10/100");
    expect(stderr.lines.length).toBe(2);
    progress.stop();
    expect(stderr.lines).toEqual([""]);
  });

  test("nothing with --quiet", () => {
    const { stderr, progress, state } = run({ quiet: true, isTerminal: true });
    state.standings = [standing("a", 5)];
    progress.start();
    progress.stop();
    expect(stderr.text).toBe("");
  });

  test("counters become standings", () => {
    const source = {
      source: "visible",
      listedFrames: 10,
      listedBytes: 1000,
      listingDone: true,
      settledFrames: 7,
      settledBytes: 700,
      storedFrames: 4,
      duplicateFrames: 2,
      conflictFrames: 0,
      refusedFrames: 1,
      skippedFrames: 0,
      sentBytes: 450,
    };
    const listed = { frames: 10, bytes: 1000, complete: true };
    expect(standingOfSource(source)).toEqual({ name: "visible", frames: 7, bytes: 700, linkBytes: 450, listed });
    const origin = {
      device: "rig",
      source: "visible",
      frames: { stored: 3, conflict: 1, duplicate: 2, refused: 1, gap: 1, expired: 0 },
      storedBytes: 400,
      receivedBytes: 450,
    };
    expect(standingOfOrigin(origin)).toEqual({
      name: "rig/visible",
      frames: 4,
      others: { duplicates: 2, conflicts: 1, refused: 1, skipped: 1 },
      bytes: 400,
      linkBytes: 450,
      listed: undefined,
    });
  });

  test("what was not stored under its name stands beside what was stored, on a terminal, in lines and in sums", () => {
    const others = { duplicates: 2, conflicts: 1, refused: 1, skipped: 1 };
    const stored = { ...standing("rig/visible", 4), others };
    const [line] = displayLines([pace(stored, 1)], { columns: 120, rows: 24 });
    expect(line).toMatch(/^rig\/visible +4 frames .* 2 already there, 1 conflict, 2 refused or missing$/);
    expect(plainLine(pace(stored, 1))).toContain("4 frames, 2 already there, 1 conflict, 2 refused or missing, ");
    const many = Array.from({ length: 20 }, () => pace(stored, 1));
    expect(displayLines(many, { columns: 120, rows: 4 }).at(-1)).toMatch(
      /^and 19 more +76 frames .* 38 already there,/,
    );
  });
});
