import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { openSync, closeSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FrameEntry } from "../../../src/frame.ts";
import { MiB } from "../../../src/limits.ts";
import { DirectorySource } from "../../../src/sources/directory/directory-source.ts";
import type { SourceProblem } from "../../../src/sources/files/frame-files.ts";
import { SimClock } from "../../simulation/sim-clock.ts";
import { hasLeases } from "./leases.ts";
import { jpegOf } from "./pictures.ts";

let root = "";
let clock = new SimClock();
let problems: SourceProblem[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-"));
  clock = new SimClock();
  problems = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(name: string, content: Uint8Array = jpegOf(name)): string {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
}

function open(restMs = 60_000): DirectorySource {
  const onProblem = (problem: SourceProblem): void => void problems.push(problem);
  return new DirectorySource({ name: "visible", root, clock, deleteSent: true, restMs, onProblem });
}

/** Reads a frame as the session does. */
function send(source: DirectorySource, entry: FrameEntry): void {
  const frame = source.open(entry);
  frame.read(Buffer.alloc(frame.bytes));
  frame.close();
}

function sendAll(source: DirectorySource): FrameEntry[] {
  const entries = (source.list(100) ?? []) as FrameEntry[];
  for (const entry of entries) send(source, entry);
  return entries;
}

function settleAll(source: DirectorySource, entries: readonly FrameEntry[]): void {
  for (const entry of entries) source.settled(entry, "stored", undefined);
}

test("a file is removed when it has been stored and unchanged for so long, and the run ends then", () => {
  put("1.jpg");
  put("2.jpg");
  const source = open();
  const [first, second] = sendAll(source);
  expect(source.list(100)).toEqual([]);
  settleAll(source, [first as FrameEntry]);
  clock.pass(10_000);
  settleAll(source, [second as FrameEntry]);
  clock.pass(49_900);
  expect(readdirSync(root).toSorted()).toEqual(["1.jpg", "2.jpg"]);
  clock.pass(200);
  expect(readdirSync(root)).toEqual(["2.jpg"]);
  expect(source.list(100)).toEqual([]);
  let told = 0;
  source.onReady = () => (told += 1);
  clock.pass(10_000);
  expect(readdirSync(root)).toEqual([]);
  expect(told).toBe(1);
  expect(source.list(100)).toBeUndefined();
  expect(problems).toEqual([]);
});

test.each(["touched", "written to"])("a file that is %s while it rests rests again; what was not sent stays", (how) => {
  const path = put("1.jpg");
  const source = open();
  settleAll(source, sendAll(source));
  clock.pass(30_000);
  if (how === "touched") chmodSync(path, 0o600);
  else appendFileSync(path, "more");
  clock.pass(30_100);
  expect(existsSync(path)).toBe(true);
  expect(problems).toEqual([]);
  clock.pass(60_000);
  expect(existsSync(path)).toBe(how !== "touched");
  expect(problems).toMatchObject(how === "touched" ? [] : [{ path, reason: "kept" }]);
  expect(source.list(100)).toBeUndefined();
});

test.skipIf(!hasLeases())("a file that a program has opened for writing rests again", () => {
  const path = put("1.jpg");
  const source = open();
  settleAll(source, sendAll(source));
  const fd = openSync(path, "a");
  clock.pass(60_100);
  expect(existsSync(path)).toBe(true);
  closeSync(fd);
  clock.pass(60_000);
  expect(existsSync(path)).toBe(false);
});

test.each([0, 60_000])("large files that got other rights are read again in parts, then removed (%d ms)", (restMs) => {
  const paths = ["1.raw", "2.raw"].map((name) => put(name, Buffer.alloc(20 * MiB, name)));
  const source = open(restMs);
  source.list(100);
  clock.pass(2_100);
  const entries = sendAll(source);
  expect(entries).toHaveLength(2);
  Bun.sleepSync(20);
  for (const path of paths) chmodSync(path, 0o600);
  settleAll(source, entries);
  // Each turn reads 4 MiB, and lets others go on.
  let turns = 0;
  while (readdirSync(root).length > 0 && turns < 100 && clock.step()) turns += 1;
  expect(readdirSync(root)).toEqual([]);
  expect(turns).toBeGreaterThanOrEqual(8);
  expect(source.list(100)).toBeUndefined();
  expect(problems).toEqual([]);
});

test("what was removed by somebody else is no trouble", () => {
  const path = put("1.jpg");
  const source = open();
  settleAll(source, sendAll(source));
  unlinkSync(path);
  clock.pass(60_100);
  expect(source.list(100)).toBeUndefined();
  expect(problems).toEqual([]);
});

test("what has not rested when we are stopped stays, and is said", () => {
  put("1.jpg");
  put("2.jpg");
  const source = open();
  settleAll(source, sendAll(source));
  source.dispose();
  source.dispose();
  clock.pass(100_000);
  expect(readdirSync(root)).toHaveLength(2);
  expect(problems).toMatchObject([{ path: root, reason: "kept", detail: expect.stringContaining("2 files") }]);
});

describe("links", () => {
  test("a file stays until the link to it, which is on its way, was read", () => {
    const path = put("1.jpg");
    symlinkSync("1.jpg", join(root, "2.jpg"));
    const source = open(0);
    const [file, link] = source.list(100) as FrameEntry[];
    if (file === undefined || link === undefined) throw new Error("two were to be listed");
    send(source, file);
    source.settled(file, "stored", undefined);
    clock.pass(10_000);
    expect(existsSync(path)).toBe(true);
    send(source, link);
    source.settled(link, "duplicate", undefined);
    clock.pass(1_000);
    expect(readdirSync(root)).toEqual([]);
    expect(source.list(100)).toBeUndefined();
  });

  test("that were sent go with what they led to, unless they lead elsewhere by then", () => {
    put("1.jpg");
    for (const name of ["2.jpg", "3.jpg", "4.jpg"]) symlinkSync("1.jpg", join(root, name));
    const source = open(1_000);
    settleAll(source, sendAll(source));
    for (const [name, target] of [
      ["3.jpg", "nowhere"],
      ["4.jpg", "5.jpg"],
    ] as const) {
      unlinkSync(join(root, name));
      symlinkSync(target, join(root, name));
    }
    clock.pass(10_000);
    expect(readdirSync(root).toSorted()).toEqual(["3.jpg", "4.jpg"]);
    expect(source.list(100)).toBeUndefined();
  });

  test("a link to what we have removed is not missing, through other links neither", () => {
    put("1.jpg");
    const source = open(0);
    settleAll(source, sendAll(source));
    expect(readdirSync(root)).toEqual([]);
    symlinkSync("1.jpg", join(root, "2.jpg"));
    symlinkSync(join(root, "2.jpg"), join(root, "3.jpg"));
    expect(open().list(100)).toBeUndefined();
    symlinkSync("nowhere", join(root, "4.jpg"));
    expect(open().list(100)).toMatchObject([{ name: "4.jpg", failure: "unreadable" }]);
  });
});
