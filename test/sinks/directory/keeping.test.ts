/** KEEPING.md on a real directory: what goes, what stays, what is left, also by a crash between any two steps. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DestinationEvent } from "../../../src/events.ts";
import type { Frame } from "../../../src/frame.ts";
import type { Sink } from "../../../src/ports.ts";
import type { KeepRules } from "../../../src/sinks/directory/keeping.ts";
import { openSqliteCatalogue } from "../../../src/sinks/directory/sqlite-catalogue.ts";
import { verify } from "../../../src/sinks/directory/verify.ts";
import { nodeDisk } from "../../../src/system/file-system.ts";
import { commit, frameOf, lookupNow, otherSession, session, stage, store } from "../suite.ts";
import { DirectoryPlace } from "./directory-place.ts";

const dayMs = 86_400_000;
const startMs = Date.UTC(2026, 10, 26);
/** A frame of three bytes counts so much. */
const each = 4096 + 3;

const noRules: KeepRules = { keepMs: undefined, keepBytes: undefined, quotaOf: () => undefined };

/** A receiver on clocks that a test sets. */
class Machine {
  readonly place = new DirectoryPlace();
  readonly events: DestinationEvent[] = [];
  /** How often a catalogue was opened: again, if something had failed. */
  opened = 0;
  nowMs = 0;
  wallMs: number = startMs;
  disk = nodeDisk;

  open(rules: Partial<KeepRules> | "none"): Sink {
    const keep = rules === "none" ? undefined : { ...noRules, ...rules };
    const clock = { nowMs: () => this.nowMs, wallNs: () => BigInt(this.wallMs) * 1_000_000n };
    const { disk } = this;
    const openCatalogue: typeof openSqliteCatalogue = (...words) => {
      this.opened += 1;
      return openSqliteCatalogue(...words);
    };
    return this.place.open({
      openCatalogue,
      frameBytesMax: 3_000_000,
      keep,
      clock,
      disk,
      onEvent: (event) => void this.events.push(event),
    });
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.wallMs += ms;
  }

  get names(): string[] {
    return [...this.place.stored().keys()].map((path) => path.replace("rig/visible/", "")).toSorted();
  }
}

let machine = new Machine();
afterEach(() => {
  machine.place.remove();
  machine = new Machine();
});

function numbered(number: number, changes: Partial<Frame> = {}): Frame {
  return frameOf(`${number}.jpg`, "abc", { sequence: number, ...changes });
}

async function storeEach(sink: Sink, numbers: readonly number[], changes: Partial<Frame> = {}): Promise<void> {
  for (const number of numbers) expect(await store(sink, numbered(number, changes), "abc")).toBe("stored");
}

/** Commits nothing until there is nothing to remove. */
async function settle(sink: Sink): Promise<void> {
  for (let steps = 0; sink.expires === true && steps < 50; steps += 1) {
    expect(await commit(sink)).toBeUndefined();
    machine.pass(1000);
  }
}

const isClean = async (): Promise<boolean> =>
  (await verify({ directory: machine.place.directory, found: () => undefined, settleMs: 0 })).clean;

test("without the options nothing is ever removed, nor asked for", async () => {
  const sink = machine.open("none");
  await storeEach(sink, [1, 2, 3]);
  machine.pass(1000 * dayMs);
  expect(sink.expires).toBe(false);
  expect(await commit(sink)).toBeUndefined();
  sink.dispose();
  expect(machine.names).toEqual(["1.jpg", "2.jpg", "3.jpg"]);
});

test("the oldest go with the commit that brings too much, and no more of them than must", async () => {
  const sink = machine.open({ keepBytes: 3 * each });
  await storeEach(sink, [1, 2, 3]);
  expect(machine.names).toEqual(["1.jpg", "2.jpg", "3.jpg"]);
  await storeEach(sink, [4, 5]);
  expect(machine.names).toEqual(["3.jpg", "4.jpg", "5.jpg"]);
  expect(await isClean()).toBe(true);
  sink.dispose();
  expect(machine.place.query("SELECT path FROM leaving")).toEqual([]);
});

test("what a commit brings is settled before the oldest go", async () => {
  const sink = machine.open({ keepBytes: 3 * each });
  await storeEach(sink, [1, 2, 3]);
  const results = stage(sink, numbered(4), "abc");
  const settled: unknown[] = [];
  await new Promise((done) => sink.commit(done, () => settled.push(...results, machine.names.length)));
  expect(settled).toEqual(["stored", 4]);
  expect(machine.names).toHaveLength(3);
  sink.dispose();
});

test("a large limit that was passed is gone below by a part of it, in few steps", async () => {
  const keepBytes = 1000 * each;
  const sink = machine.open({ keepBytes });
  const sizes: number[] = [];
  for (let first = 0; first < 1200; first += 10) {
    for (let number = first; number < first + 10; number += 1) stage(sink, numbered(number), "abc");
    await commit(sink);
    sizes.push(machine.names.length);
  }
  expect(Math.max(...sizes)).toBe(1000);
  expect(Math.min(...sizes.slice(100))).toBe(Math.floor(1000 - 1000 / 32 + 65_536 / each));
  // Twenty commits had brought too much.
  expect(sizes.filter((size, at) => size < (sizes[at - 1] ?? 0)).length).toBeLessThan(12);
  sink.dispose();
});

test("an archive that has too much at the start is made smaller in steps, and folders that are empty go", async () => {
  const before = machine.open("none");
  const results = Array.from({ length: 600 }, (_, number) => stage(before, numbered(number), "abc"));
  stage(before, frameOf("old/deep/1.jpg", "abc", { sequence: 600 }), "abc");
  await commit(before);
  before.dispose();
  expect(results.flat()).toHaveLength(600);
  const sink = machine.open({ keepBytes: each });
  expect(await commit(sink)).toBeUndefined();
  expect(machine.names).toHaveLength(601 - 256);
  await settle(sink);
  expect(machine.names).toEqual(["old/deep/1.jpg"]);
  await store(sink, frameOf("new.jpg", "abc", { sequence: 601 }), "abc");
  expect(machine.names).toEqual(["new.jpg"]);
  expect(existsSync(join(machine.place.directory, "rig/visible/old"))).toBe(false);
  // Folders that were removed are made again, without a failure.
  expect(await store(sink, frameOf("old/deep/2.jpg", "abc", { sequence: 602 }), "abc")).toBe("stored");
  expect(await store(sink, frameOf("newer.jpg", "abc", { sequence: 603 }), "abc")).toBe("stored");
  expect(machine.names).toEqual(["newer.jpg"]);
  expect(await store(sink, frameOf("old/deep/3.jpg", "abc", { sequence: 604 }), "abc")).toBe("stored");
  expect(machine.opened).toBe(2);
  expect(await isClean()).toBe(true);
  sink.dispose();
});

test("as much goes as a commit brings, in several steps if need be", async () => {
  const sink = machine.open({ keepBytes: 400 * each });
  for (let first = 0; first < 400; first += 200) {
    for (let number = first; number < first + 200; number += 1) stage(sink, numbered(number), "abc");
    await commit(sink);
  }
  const large = "x".repeat(1_500_000);
  expect(await store(sink, frameOf("large.jpg", large, { sequence: 400 }), large)).toBe("stored");
  expect(machine.names).toHaveLength(400 - Math.ceil((1_500_000 + 4096) / each) + 1);
  sink.dispose();
});

describe("a frame that has expired", () => {
  async function expired(): Promise<Sink> {
    const sink = machine.open({ keepMs: dayMs });
    await storeEach(sink, [1]);
    machine.pass(dayMs + 1);
    await storeEach(sink, [2]);
    await settle(sink);
    expect(machine.names).toEqual(["2.jpg"]);
    return sink;
  }

  test("is not stored again, by name and time or by its bytes, in the next life as well", async () => {
    (await expired()).dispose();
    const sink = machine.open({ keepMs: dayMs });
    const origin = { ...numbered(1).origin, session: otherSession };
    const [verdict] = lookupNow(sink, origin, [numbered(1)], 7);
    expect(verdict).toEqual({ kind: "expired", crc32: Bun.hash.crc32("abc") });
    expect(await store(sink, numbered(1, { origin, sequence: 8, capturedNs: 5n }), "abc")).toBe("expired");
    expect(machine.place.query("SELECT first, last, outcome FROM outcomes WHERE session_id = 2")).toEqual([
      [7, 8, "expired"],
    ]);
    expect(machine.names).toEqual(["2.jpg"]);
    expect(await isClean()).toBe(true);
    sink.dispose();
  });

  test("leaves its name to other bytes", async () => {
    const sink = await expired();
    const other = numbered(1, { sequence: 3, capturedNs: 9n });
    expect(lookupNow(sink, other.origin, [other])).toEqual([{ kind: "want" }]);
    expect(await store(sink, other, "xyz")).toBe("stored");
    expect(machine.place.stored()).toEqual(
      new Map([
        ["rig/visible/1.jpg", "xyz"],
        ["rig/visible/2.jpg", "abc"],
      ]),
    );
    sink.dispose();
  });

  test("is new when its tombstone is gone", async () => {
    const sink = machine.open({ keepBytes: 1_048_576 });
    // 1 % of 1 MiB is 109 tombstones; so many frames are kept.
    const kept = Math.floor(1_048_576 / each);
    await storeEach(
      sink,
      Array.from({ length: kept + 130 }, (_, number) => number),
    );
    expect(machine.names).toHaveLength(kept);
    expect(machine.place.query("SELECT count(*) FROM tombstones")).toEqual([[109]]);
    expect(await store(sink, numbered(0, { sequence: 1000 }), "abc")).toBe("stored");
    expect(await store(sink, numbered(129, { sequence: 1001 }), "abc")).toBe("expired");
    sink.dispose();
  });
});

test("one device cannot push out the others, and a quota is its share", async () => {
  const ofDevice = (device: string): Partial<Frame> => ({ origin: { device, source: "visible", session } });
  const sink = machine.open({ keepBytes: 6 * each, quotaOf: (device) => (device === "small" ? each : undefined) });
  await storeEach(sink, [1, 2], ofDevice("quiet"));
  await storeEach(sink, [1, 2], ofDevice("small"));
  await storeEach(sink, [1, 2, 3, 4, 5, 6, 7, 8, 9], ofDevice("loud"));
  const paths = [...machine.place.stored().keys()].toSorted();
  expect(paths).toEqual([
    "loud/visible/7.jpg",
    "loud/visible/8.jpg",
    "loud/visible/9.jpg",
    "quiet/visible/1.jpg",
    "quiet/visible/2.jpg",
    "small/visible/2.jpg",
  ]);
  sink.dispose();
});

describe("age", () => {
  test("counts from arrival, by a clock that is believed", async () => {
    const sink = machine.open({ keepMs: 2 * dayMs });
    await storeEach(sink, [1]);
    machine.pass(dayMs);
    await storeEach(sink, [2], { capturedNs: 1n });
    await settle(sink);
    expect(machine.names).toEqual(["1.jpg", "2.jpg"]);
    machine.pass(dayMs + 1);
    await settle(sink);
    expect(machine.names).toEqual(["2.jpg"]);
    machine.pass(dayMs);
    await settle(sink);
    expect(machine.names).toEqual([]);
    expect(await isClean()).toBe(true);
    sink.dispose();
  });

  test("is not believed of a clock that was set; size decides, and both is said once", async () => {
    const first = machine.open({ keepMs: dayMs });
    await storeEach(first, [1, 2, 3]);
    machine.wallMs += 3650 * dayMs;
    machine.nowMs += 100_000;
    await settle(first);
    await storeEach(first, [4]);
    await settle(first);
    first.dispose();
    const second = machine.open({ keepMs: dayMs, keepBytes: 4 * each });
    machine.wallMs -= 3650 * dayMs;
    machine.nowMs += 100_000;
    await settle(second);
    await storeEach(second, [5]);
    await settle(second);
    expect(machine.names).toEqual(["2.jpg", "3.jpg", "4.jpg", "5.jpg"]);
    const said = machine.events.filter(({ what }) => what.startsWith("age-")).map(({ what }) => what);
    expect(said).toEqual(["age-doubted", "age-doubted"]);
    second.dispose();
  });

  test("of a frame is not above that of the run that stored it", async () => {
    machine.open({ keepMs: 10 * dayMs }).dispose();
    const sink = machine.open({ keepMs: 10 * dayMs });
    // A clock that began where it was switched off, and is set by two devices.
    await storeEach(sink, [1], { clockOffsetNs: BigInt(60 * dayMs) * 1_000_000n });
    machine.wallMs += 60 * dayMs;
    for (const device of ["north", "south"]) {
      const origin = { device, source: "visible", session };
      await storeEach(sink, [2], { origin, clockOffsetNs: 0n });
    }
    machine.pass(100_000);
    await settle(sink);
    expect([...machine.place.stored().keys()]).toContain("rig/visible/1.jpg");
    machine.pass(10 * dayMs);
    await settle(sink);
    expect(machine.names).toEqual([]);
    sink.dispose();
  });
});

describe("what a crash leaves", () => {
  /** Ends the process before its `steps`th removal of a file. */
  async function crashed(steps: number): Promise<void> {
    let left = steps;
    const remove = (path: string): void => {
      if (!path.includes("/rig/")) return nodeDisk.remove(path);
      left -= 1;
      if (left < 0) throw new Error("killed");
      nodeDisk.remove(path);
    };
    machine.disk = { ...nodeDisk, remove };
    const sink = machine.open({ keepBytes: 5 * each });
    await storeEach(sink, [1, 2, 3, 4, 5]);
    for (const number of [6, 7, 8]) stage(sink, numbered(number), "abc");
    await commit(sink);
    // What is open of it is left to the process; the catalogue is as it was when that ended.
    machine.disk = nodeDisk;
    const saved = join(machine.place.parent, "saved");
    await Bun.$`cp -a ${machine.place.directory} ${saved}`.quiet();
    sink.dispose();
    rmSync(machine.place.directory, { recursive: true });
    renameSync(saved, machine.place.directory);
  }

  test.each([0, 1, 2])(
    "is an account that holds, and the next receiver removes the rest: %d removed",
    async (steps) => {
      await crashed(steps);
      expect(machine.names).toHaveLength(8 - steps);
      expect(await isClean()).toBe(true);
      expect(machine.events.map(({ what }) => what)).toContain("not-removed");
      const sink = machine.open({ keepBytes: 5 * each });
      expect(machine.names).toEqual(["4.jpg", "5.jpg", "6.jpg", "7.jpg", "8.jpg"]);
      expect(await isClean()).toBe(true);
      await settle(sink);
      expect(machine.place.query("SELECT path FROM leaving")).toEqual([]);
      sink.dispose();
    },
  );

  test("is not removed if another frame has the path by then", async () => {
    await crashed(3);
    // Removed, and not yet off the list.
    const without = machine.open("none");
    expect(await store(without, numbered(1, { sequence: 9, capturedNs: 9n }), "xyz")).toBe("stored");
    without.dispose();
    machine.open({ keepBytes: 100 * each }).dispose();
    expect(machine.place.stored().get("rig/visible/1.jpg")).toBe("xyz");
    expect(await isClean()).toBe(true);
  });
});

test("nothing is removed through a link, nor what is no file", async () => {
  const outside = join(machine.place.parent, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "1.jpg"), "mine");
  const sink = machine.open({ keepBytes: 3 * each });
  await storeEach(sink, [1, 2, 3]);
  rmSync(join(machine.place.directory, "rig/visible/2.jpg"));
  mkdirSync(join(machine.place.directory, "rig/visible/2.jpg"));
  renameSync(join(machine.place.directory, "rig/visible"), join(machine.place.parent, "moved"));
  symlinkSync(outside, join(machine.place.directory, "rig/visible"));
  const infrared = (number: number): Frame =>
    numbered(number, { origin: { device: "rig", source: "infrared", session } });
  for (const number of [4, 5]) expect(await store(sink, infrared(number), "abc")).toBe("stored");
  expect(await Bun.file(join(outside, "1.jpg")).text()).toBe("mine");
  rmSync(join(machine.place.directory, "rig/visible"));
  renameSync(join(machine.place.parent, "moved"), join(machine.place.directory, "rig/visible"));
  expect(await store(sink, infrared(6), "abc")).toBe("stored");
  expect(existsSync(join(machine.place.directory, "rig/visible/2.jpg"))).toBe(true);
  sink.dispose();
});
