/** Checksums of acknowledged files: known again while nothing has changed, and never in the way. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FrameEntry } from "../../../src/frame.ts";
import type { Clock, Source } from "../../../src/ports.ts";
import { DirectorySource, type DirectorySourceOptions } from "../../../src/sources/directory/directory-source.ts";
import { ChecksumMemory } from "../../../src/sources/files/checksum-memory.ts";
import { fileState } from "../../../src/sources/files/opened-file.ts";
import { WatchedDirectory } from "../../../src/sources/watch/watched-directory.ts";
import { mountIdentityOf } from "../../../src/system/mount-identity.ts";
import { systemClock } from "../../../src/system/system-clock.ts";
import { SimClock } from "../../simulation/sim-clock.ts";
import { pngOf } from "./pictures.ts";

let root = "";
let problems: string[] = [];
const memories: ChecksumMemory[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-"));
  problems = [];
});
afterEach(() => {
  for (const memory of memories.splice(0)) memory.close();
  rmSync(root, { recursive: true, force: true });
});

function open(path = join(root, "state/checksums.db")): ChecksumMemory {
  const memory = new ChecksumMemory({ path, clock: systemClock, onProblem: (text) => problems.push(text) });
  memories.push(memory);
  return memory;
}

function put(name: string, content = name): string {
  const path = join(root, name);
  writeFileSync(path, content);
  utimesSync(path, 315_532_800, 315_532_800);
  return path;
}

describe.skipIf(mountIdentityOf(tmpdir()) === undefined)("where this kernel sets the time of change", () => {
  test("a file is known by its state, in the next run too, and not when it has changed", () => {
    const [one, two] = [put("1.raw"), put("2.raw")];
    const before = fileState(statSync(one));
    const memory = open();
    expect(memory.find(root, before)).toBeUndefined();
    memory.remember(root, before, 1);
    expect(memory.find(root, before)).toBe(1);
    memory.close();
    const next = open();
    expect(next.find(root, before)).toBe(1);
    expect(next.find(root, fileState(statSync(two)))).toBeUndefined();
    appendFileSync(one, "more");
    const longer = fileState(statSync(one));
    expect(next.find(root, longer)).toBeUndefined();
    // Back to its old size and time: the time of change tells.
    put("1.raw");
    const after = { ...fileState(statSync(one)), fileNumber: before.fileNumber };
    if (after.changedMs !== before.changedMs) expect(next.find(root, after)).toBeUndefined();
    expect(problems).toEqual([]);
  });

  test("a file of another mount below the folder is not remembered", () => {
    const memory = open();
    const state = { ...fileState(statSync(put("1.raw"))), device: -1 };
    memory.remember(root, state, 1);
    expect(memory.find(root, state)).toBeUndefined();
  });

  test("a source asks it before it reads", () => {
    const memory = open();
    const state = fileState(statSync(put("1.raw")));
    memory.remember(`${root}/`, state, 12345);
    const source = new DirectorySource({ name: "infrared", root, clock: systemClock, memory });
    const entry = { name: "1.raw", bytes: state.bytes, capturedNs: 0n };
    expect([source.confirms(entry, 12345), source.confirms(entry, 1)]).toEqual([true, false]);
  });
});

describe.skipIf(mountIdentityOf(tmpdir()) === undefined)("what a source has sent and the receiver has stored", () => {
  /** By which what was written just now is old enough. */
  const later: Clock = { ...systemClock, wallNs: () => systemClock.wallNs() + 5_000_000_000n };
  const content = pngOf("one");
  const crc32 = Bun.hash.crc32(content);

  test.each([
    ["a directory", (options: DirectorySourceOptions): Source => new DirectorySource(options)],
    ["a watched one", (options: DirectorySourceOptions): Source => new WatchedDirectory(options)],
  ])("%s: is remembered, and what became a gap is not", (_kind, make) => {
    const clock = new SimClock();
    const memory = new ChecksumMemory({
      path: join(root, "state/checksums.db"),
      clock: later,
      onProblem: (text) => problems.push(text),
    });
    memories.push(memory);
    mkdirSync(join(root, "in"));
    // Of a time that proves nothing.
    const states = ["1.png", "2.png"].map((name) => {
      writeFileSync(join(root, "in", name), content);
      utimesSync(join(root, "in", name), 315_532_800, 315_532_800);
      return fileState(statSync(join(root, "in", name)));
    });
    const source = make({ name: "infrared", root: join(root, "in"), clock, memory });
    const listed: FrameEntry[] = [];
    for (let pass = 0; pass < 10 && listed.length < 2; pass += 1) {
      listed.push(...((source.list(9) ?? []) as FrameEntry[]));
      clock.pass(100);
    }
    for (const [index, entry] of listed.entries()) {
      const frame = source.open(entry);
      frame.read(Buffer.alloc(frame.bytes));
      frame.close();
      source.settled(entry, index === 0 ? "stored" : undefined, crc32);
    }
    source.dispose();
    expect(states.map((state) => memory.find(`${join(root, "in")}/`, state))).toEqual([crc32, undefined]);
    expect(problems).toEqual([]);
  });
});

test("what has changed just now may change again with the same time, and is not remembered", () => {
  const memory = open();
  const state = fileState(statSync(put("1.raw")));
  expect(memory.isSettled(state)).toBe(false);
  expect(memory.isSettled({ ...state, changedMs: state.changedMs - 5000 })).toBe(true);
});

test("nothing is made before there is something to remember", () => {
  open().close();
  expect(existsSync(join(root, "state"))).toBe(false);
});

test("a place that cannot be written to is said once, and stops nothing", () => {
  writeFileSync(join(root, "file"), "");
  const memory = open(join(root, "file/checksums.db"));
  const state = fileState(statSync(put("1.raw")));
  for (let round = 0; round < 3; round += 1) {
    memory.remember(root, state, 1);
    expect(memory.find(root, state)).toBeUndefined();
  }
  expect(problems).toHaveLength(mountIdentityOf(root) === undefined ? 0 : 1);
});

test("a damaged database is said once", () => {
  mkdirSync(join(root, "state"));
  writeFileSync(join(root, "state/checksums.db"), "no database, and long enough to be looked at as one".repeat(100));
  const memory = open();
  const state = fileState(statSync(put("1.raw")));
  memory.remember(root, state, 1);
  expect(memory.find(root, state)).toBeUndefined();
  expect(problems).toHaveLength(mountIdentityOf(root) === undefined ? 0 : 1);
});

test("file systems whose times others set are not trusted", () => {
  expect(mountIdentityOf("/proc")).toBeUndefined();
  expect(mountIdentityOf(join(root, "absent"))).toBeUndefined();
});
