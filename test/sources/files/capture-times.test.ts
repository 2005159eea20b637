/** What is listed of a file as its capture time, in both kinds of directories, and what travels of its EXIF data. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Listed, Source } from "../../../src/ports.ts";
import { type Captured, TimePattern } from "../../../src/sources/captured.ts";
import { DirectorySource } from "../../../src/sources/directory/directory-source.ts";
import type { SourceProblem } from "../../../src/sources/files/frame-files.ts";
import { WatchedDirectory } from "../../../src/sources/watch/watched-directory.ts";
import { systemClock } from "../../../src/system/system-clock.ts";
import { SimClock } from "../../simulation/sim-clock.ts";
import { exifJpegOf, tiffOf } from "../exif-pictures.ts";

let root = "";
let problems: SourceProblem[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-"));
  problems = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const modified = 1_764_000_000;
const modifiedNs = BigInt(modified) * 1_000_000_000n;
const exif = { dateTime: "2026:11:25 10:32:07", subSec: "5", offset: "+01:00" };
const exifNs = BigInt(Date.parse("2026-11-25T09:32:07Z")) * 1_000_000n + 500_000_000n;
const metadata = new Map([["exif_datetimeoriginal", "2026-11-25T10:32:07.5+01:00"]]);

function put(name: string, content: Uint8Array): void {
  writeFileSync(join(root, name), content);
  utimesSync(join(root, name), modified, modified);
}

function listedOf(listed: readonly Listed[]): unknown[] {
  return listed.map((one) => ("failure" in one ? one : { name: one.name, at: one.capturedNs, metadata: one.metadata }));
}

describe.each([
  [
    "a directory",
    (captured: Captured, clock: SimClock): Source =>
      new DirectorySource({ name: "visible", root, clock, captured, onProblem: (problem) => problems.push(problem) }),
  ],
  [
    "a watched one",
    (captured: Captured, clock: SimClock): Source =>
      new WatchedDirectory({ name: "visible", root, clock, captured, onProblem: (problem) => problems.push(problem) }),
  ],
])("%s", (_kind, open) => {
  function list(captured: Captured): unknown[] {
    const clock = new SimClock();
    const source = open(captured, clock);
    const listed: Listed[] = [];
    for (let pass = 0; pass < 8; pass += 1) {
      listed.push(...((source.list(100) ?? []) as Listed[]));
      clock.pass(500);
    }
    source.dispose();
    return listedOf(listed.toSorted((one, other) => one.name.localeCompare(other.name)));
  }

  beforeEach(() => {
    put("20260506-0708 a.jpg", exifJpegOf(tiffOf(exif)));
    put("20260506-0709 b.jpg", exifJpegOf(undefined));
    // It has no end of its own, and is looked into more than once.
    put("20260506-0710 c.dng", tiffOf(exif));
  });
  const [a, b, c] = ["20260506-0708 a.jpg", "20260506-0709 b.jpg", "20260506-0710 c.dng"];

  test("auto: when it was modified, and the EXIF time travels", () => {
    expect(list({ kind: "auto" })).toEqual([
      { name: a, at: modifiedNs, metadata },
      { name: b, at: modifiedNs, metadata: undefined },
      { name: c, at: modifiedNs, metadata },
    ]);
    expect(problems).toEqual([]);
  });

  test("exif: what it says, or when it was modified, which is said", () => {
    expect(list({ kind: "exif" })).toEqual([
      { name: a, at: exifNs, metadata },
      { name: b, at: modifiedNs, metadata: undefined },
      { name: c, at: exifNs, metadata },
    ]);
    expect(problems).toMatchObject([{ path: join(root, b ?? ""), reason: "noted" }]);
    expect(problems[0]?.detail).toContain("no EXIF time in it: the time of its last change is taken");
  });

  test("name: what stands in it", () => {
    put("other.jpg", exifJpegOf(undefined));
    const at = (time: string): bigint => BigInt(Date.parse(time)) * 1_000_000n;
    expect(list({ kind: "name", pattern: new TimePattern("%Y%m%d-%H%M ") })).toMatchObject([
      { name: a, at: at("2026-05-06T07:08:00") },
      { name: b, at: at("2026-05-06T07:09:00") },
      { name: c, at: at("2026-05-06T07:10:00") },
      { name: "other.jpg", at: modifiedNs },
    ]);
    expect(problems).toMatchObject([{ path: join(root, "other.jpg"), reason: "noted" }]);
  });
});

test("files without a time are said once, and counted", () => {
  for (let number = 0; number < 25; number += 1) put(`${number}.jpg`, exifJpegOf(undefined, `${number}`));
  const source = new DirectorySource({
    name: "visible",
    root,
    clock: new SimClock(),
    captured: { kind: "exif" },
    onProblem: (problem) => problems.push(problem),
  });
  while (source.list(10) !== undefined);
  expect(problems.map(({ detail }) => /^\d+/.exec(detail)?.[0] ?? "first")).toEqual(["first", "10", "25"]);
});

test("the time is that of the bytes that are sent, not of what stood there while it waited", () => {
  const clock = new SimClock();
  const source = new DirectorySource({ name: "visible", root, clock, captured: { kind: "exif" } });
  put("1.dng", tiffOf(exif));
  expect(source.list(9)).toEqual([]);
  clock.pass(1_000);
  writeFileSync(join(root, "1.dng"), tiffOf({ ...exif, dateTime: "2026:11:25 10:32:08" }));
  const listed: Listed[] = [];
  for (let batch = source.list(9); batch !== undefined; batch = source.list(9)) {
    listed.push(...batch);
    clock.pass(500);
  }
  expect(listedOf(listed)).toMatchObject([{ name: "1.dng", at: exifNs + 1_000_000_000n }]);
});

test("the newest is the one that was taken last", () => {
  const clock = new SimClock();
  const options = { name: "visible", root, clock, captured: { kind: "exif" }, order: "newest" } as const;
  for (const [at, second] of [9, 3, 5].entries())
    put(`${at}.jpg`, exifJpegOf(tiffOf({ dateTime: `2026:11:25 10:00:0${second}` })));
  const source = new WatchedDirectory(options);
  source.list(0);
  clock.pass(5_000);
  expect(source.list(9).map(({ name }) => name)).toEqual(["0.jpg", "2.jpg", "1.jpg"]);
  source.dispose();
});

test("a picture that comes while the one before it is on its way has its own time", async () => {
  const source = new WatchedDirectory({ name: "visible", root, clock: systemClock, captured: { kind: "exif" } });
  const listed: Listed[] = [];
  source.onReady = () => void listed.push(...source.list(100));
  const until = async (count: number): Promise<void> => {
    for (let wait = 0; listed.length < count && wait < 5_000; wait += 1) await Bun.sleep(2);
    expect(listed).toHaveLength(count);
  };
  const hand = (dateTime: string): void => {
    writeFileSync(join(root, ".new"), exifJpegOf(tiffOf({ dateTime, offset: "+00:00" })));
    renameSync(join(root, ".new"), join(root, "latest.jpg"));
  };
  source.list(0);
  await Bun.sleep(30);
  hand("2026:11:25 10:00:00");
  await until(1);
  hand("2026:11:25 10:00:01");
  await Bun.sleep(100);
  const [first] = listed;
  if (first === undefined || "failure" in first) throw new Error("a frame was expected");
  source.settled(first, "stored", undefined);
  await until(2);
  source.dispose();
  expect(listedOf(listed)).toMatchObject([
    { name: "latest.jpg", at: BigInt(Date.parse("2026-11-25T10:00:00Z")) * 1_000_000n },
    { name: "latest.jpg", at: BigInt(Date.parse("2026-11-25T10:00:01Z")) * 1_000_000n },
  ]);
});
