/** Checksums of acknowledged files: known again while nothing has changed, and never in the way. */
import { Database } from "bun:sqlite";
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
import { type FrameEntry, Note } from "../../../src/frame.ts";
import type { Clock, Source } from "../../../src/ports.ts";
import { DirectorySource, type DirectorySourceOptions } from "../../../src/sources/directory/directory-source.ts";
import { exifMetadata, exifTimeFrom } from "../../../src/sources/exif.ts";
import { ChecksumMemory, lookOf } from "../../../src/sources/files/checksum-memory.ts";
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
    memory.remember(root, before, { crc32: 1, taken: "" });
    expect(memory.find(root, before)?.crc32).toBe(1);
    memory.close();
    const next = open();
    expect(next.find(root, before)?.crc32).toBe(1);
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
    memory.remember(root, state, { crc32: 1, taken: "" });
    expect(memory.find(root, state)).toBeUndefined();
  });

  test("a source asks it before it reads", () => {
    const memory = open();
    const state = fileState(statSync(put("1.raw")));
    memory.remember(`${root}/`, state, { crc32: 12345, taken: "" });
    const source = new DirectorySource({ name: "infrared", root, clock: systemClock, memory });
    const entry = { name: "1.raw", bytes: state.bytes, capturedNs: 0n };
    expect([source.confirms(entry, 12345), source.confirms(entry, 1)]).toEqual([true, false]);
  });
});

describe.skipIf(mountIdentityOf(tmpdir()) === undefined)("what a look has found", () => {
  const kinds: [string, (options: DirectorySourceOptions) => Source][] = [
    ["a directory", (options) => new DirectorySource(options)],
    ["a watched one", (options) => new WatchedDirectory(options)],
  ];

  /** Lists for as long as nothing that is watched for 2 s can be listed. */
  async function listAtOnce(source: Source): Promise<FrameEntry[]> {
    const listed: FrameEntry[] = [];
    for (const endMs = performance.now() + 1_500; performance.now() < endMs && listed.length < 2; await Bun.sleep(5)) {
      listed.push(...((source.list(9) ?? []) as FrameEntry[]));
    }
    source.dispose();
    return listed;
  }

  test.each(kinds)(
    "%s: a file that is as it was stored is listed at once, and not looked into",
    async (_kind, make) => {
      const memory = open();
      mkdirSync(join(root, "in"));
      for (const name of ["in/1.raw", "in/2.raw"]) {
        const state = fileState(statSync(put(name, "no picture, and no time")));
        memory.remember(`${join(root, "in")}/`, state, { crc32: 1, taken: "2026-11-25T10:32:07.12+01:00" });
      }
      const captured = { kind: "exif" } as const;
      const source = make({ name: "infrared", root: join(root, "in"), clock: systemClock, memory, captured });
      const listed = await listAtOnce(source);
      const capturedNs = BigInt(Date.parse("2026-11-25T10:32:07.120+01:00")) * 1_000_000n;
      expect(listed).toMatchObject([{ capturedNs }, { capturedNs }]);
      expect(listed.map(({ name }) => name).toSorted()).toEqual(["1.raw", "2.raw"]);
    },
  );

  test.each(kinds)("%s: one that was changed since is looked into, and waited for", async (_kind, make) => {
    const memory = open();
    mkdirSync(join(root, "in"));
    const path = put("in/1.raw");
    memory.remember(`${join(root, "in")}/`, fileState(statSync(path)), { crc32: 1, taken: "" });
    Bun.sleepSync(20);
    put("in/1.raw");
    const source = make({ name: "infrared", root: join(root, "in"), clock: systemClock, memory });
    expect(await listAtOnce(source)).toEqual([]);
  });

  test("what is listed says it, but of an incomplete file nothing is known", () => {
    const entry = { name: "1.jpg", bytes: 1, capturedNs: 0n };
    const exif = { local: "2026-11-25T10:32:07", offset: "-05:00" };
    const metadata = exifMetadata(exif);
    expect(lookOf(entry)).toEqual({ taken: "" });
    expect(lookOf({ ...entry, metadata, notes: Note.incomplete })).toEqual({ taken: undefined });
    expect(exifTimeFrom(lookOf({ ...entry, metadata }).taken ?? "")).toEqual(exif);
    expect(exifTimeFrom(exif.local)).toEqual({ local: exif.local, offset: undefined });
  });
});

test("a database of another version is made anew", () => {
  mkdirSync(join(root, "state"));
  const database = new Database(join(root, "state/checksums.db"), { create: true });
  database.run("CREATE TABLE files (mount INTEGER, inode INTEGER, PRIMARY KEY (mount, inode))");
  database.close();
  const memory = open();
  const state = fileState(statSync(put("1.raw")));
  memory.remember(root, state, { crc32: 1, taken: "" });
  memory.close();
  expect(open().find(root, state)?.crc32).toBe(mountIdentityOf(root) === undefined ? undefined : 1);
  expect(problems).toEqual([]);
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
    expect(states.map((state) => memory.find(`${join(root, "in")}/`, state)?.crc32)).toEqual([crc32, undefined]);
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
    memory.remember(root, state, { crc32: 1, taken: "" });
    expect(memory.find(root, state)).toBeUndefined();
  }
  expect(problems).toHaveLength(mountIdentityOf(root) === undefined ? 0 : 1);
});

test("a damaged database is said once", () => {
  mkdirSync(join(root, "state"));
  writeFileSync(join(root, "state/checksums.db"), "no database, and long enough to be looked at as one".repeat(100));
  const memory = open();
  const state = fileState(statSync(put("1.raw")));
  memory.remember(root, state, { crc32: 1, taken: "" });
  expect(memory.find(root, state)).toBeUndefined();
  expect(problems).toHaveLength(mountIdentityOf(root) === undefined ? 0 : 1);
});

test("file systems whose times others set are not trusted", () => {
  expect(mountIdentityOf("/proc")).toBeUndefined();
  expect(mountIdentityOf(join(root, "absent"))).toBeUndefined();
});
