import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { SourceError } from "../../../src/errors.ts";
import { type FrameEntry, Note } from "../../../src/frame.ts";
import { compareNatural } from "../../../src/names.ts";
import type { Listed, Source } from "../../../src/ports.ts";
import {
  DirectorySource,
  type DirectorySourceOptions,
  type SourceProblem,
} from "../../../src/sources/directory/directory-source.ts";
import { SimClock } from "../../simulation/sim-clock.ts";
import { hasLeases } from "../files/leases.ts";
import { jpegOf } from "../files/pictures.ts";

let root = "";
let clock = new SimClock();
let problems: SourceProblem[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-"));
  problems = [];
  clock = new SimClock();
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(name: string, content: string | Uint8Array = name): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

function open(options: Partial<DirectorySourceOptions> = {}): DirectorySource {
  const onProblem = (problem: SourceProblem): void => void problems.push(problem);
  return new DirectorySource({ name: "visible", root, clock, onProblem, ...options });
}

function listAll(source: DirectorySource, max = 3): Listed[] {
  const all: Listed[] = [];
  for (let batch = source.list(max); batch !== undefined; batch = source.list(max)) {
    expect(batch.length).toBeLessThanOrEqual(max);
    // Files that are no pictures have to be quiet for a while.
    if (batch.length === 0) clock.pass(500);
    all.push(...batch);
  }
  expect(source.list(max)).toBeUndefined();
  return all;
}

function names(source: DirectorySource): string[] {
  return listAll(source).map((listed) => listed.name);
}

function entries(source: DirectorySource): FrameEntry[] {
  return listAll(source).map((listed) => {
    if ("failure" in listed) throw new Error(`${listed.name}: ${listed.detail}`);
    return listed;
  });
}

function onlyEntry(source: DirectorySource): FrameEntry {
  const [entry, ...more] = entries(source);
  if (entry === undefined || more.length > 0) throw new Error("expected one entry");
  return entry;
}

/** Files below a folder that this process has open, also those whose names are gone. */
function openBelow(folder: string): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(`${folder}/`);
    } catch {
      return false;
    }
  }).length;
}

/** Reads a frame in pieces of `step` bytes; `between` is called after each piece. */
function readAll(source: Source, entry: FrameEntry, step = 64 * 1024, between = (): void => {}): Buffer {
  const frame = source.open(entry);
  try {
    const parts: Buffer[] = [];
    for (let left = frame.bytes; left > 0;) {
      const into = Buffer.alloc(step);
      const count = frame.read(into);
      expect(count).toBe(Math.min(step, left));
      parts.push(into.subarray(0, count));
      left -= count;
      between();
    }
    return Buffer.concat(parts);
  } finally {
    frame.close();
  }
}

function sourceErrorOf(run: () => unknown): SourceError {
  try {
    run();
  } catch (error) {
    if (error instanceof SourceError) return error;
    throw error;
  }
  throw new Error("expected a SourceError");
}

describe("listing", () => {
  test("files and folders together in natural order, hidden ones left out", () => {
    for (const name of ["10.jpg", "2.jpg", "1/b.jpg", "1/10/x", "1/9/x", "a.jpg", "a/z.jpg", "B.jpg"]) put(name);
    for (const name of [".hidden.jpg", ".framepipe/catalogue.db", "1/.thumb/x.jpg"]) put(name);
    mkdirSync(join(root, "nothing/in/here"), { recursive: true });
    const listed = names(open());
    expect(listed).toEqual(["1/9/x", "1/10/x", "1/b.jpg", "2.jpg", "10.jpg", "B.jpg", "a/z.jpg", "a.jpg"]);
    expect(listed).toEqual(listed.toSorted(compareNatural));
    expect(problems).toEqual([]);
  });

  test("says size and the exact modification time", () => {
    const path = put("1.jpg", "12345");
    Bun.spawnSync(["touch", "-d", "@1700000000.123456789", path]);
    const exact = statSync(path, { bigint: true }).mtimeNs;
    expect(exact % 1_000_000n).not.toBe(0n);
    expect(listAll(open())).toEqual([{ name: "1.jpg", bytes: 5, capturedNs: exact }]);
  });

  test("a time before 1970 is sent as it is", () => {
    Bun.spawnSync(["touch", "-d", "1950-01-01", put("1.jpg")]);
    expect(onlyEntry(open()).capturedNs).toBe(-631_152_000_000_000_000n);
  });

  test("exclude: as include, and it has the last word", () => {
    for (const name of ["1.jpg", "a/1.jpg", "b/2.png", "b/thumb/1.jpg"]) put(name);
    expect(names(open({ exclude: ["*.png"] }))).toEqual(["1.jpg", "a/1.jpg", "b/thumb/1.jpg"]);
    expect(names(open({ include: ["*.jpg"], exclude: ["b/thumb/*", "a/*"] }))).toEqual(["1.jpg"]);
  });

  test("what has a temporary name is no frame, unless it is named itself", () => {
    const temporary = [
      "1.jpg.tmp",
      "2.PART",
      "3.jpg.crdownload",
      "4.jpg~",
      "5.filepart",
      "6.tmp-4711",
      "tmpfileX1y2Z3",
    ];
    for (const name of [...temporary, "tmpabc.jpg", "template.jpg", "a.tmp/1.jpg"]) put(name);
    expect(names(open())).toEqual(["template.jpg", "tmpabc.jpg"]);
    expect(names(open({ only: "2.PART" }))).toEqual(["2.PART"]);
  });

  test("include: the name for a pattern without a slash, the path for one with", () => {
    for (const name of ["1.jpg", "2.png", "3.txt", "a/1.jpg", "a/2.png", "b/2.png", "b/c/2.png", ".x.png"]) put(name);
    expect(names(open({ include: ["*.jpg"] }))).toEqual(["1.jpg", "a/1.jpg"]);
    expect(names(open({ include: ["*.jpg", "b/*.png"] }))).toEqual(["1.jpg", "a/1.jpg", "b/2.png"]);
    expect(names(open({ include: ["b/**/*.png"] }))).toEqual(["b/2.png", "b/c/2.png"]);
    expect(names(open({ include: ["?.{txt,png}"] }))).toEqual(["2.png", "3.txt", "a/2.png", "b/2.png", "b/c/2.png"]);
  });

  test("links to files are frames, links to folders are reported, pipes are passed over", () => {
    put("a/1.jpg");
    put("outside.jpg", "123");
    symlinkSync("outside.jpg", join(root, "link.jpg"));
    symlinkSync(root, join(root, "a/loop"));
    symlinkSync("nowhere", join(root, "dangling.jpg"));
    symlinkSync("itself.jpg", join(root, "itself.jpg"));
    expect(Bun.spawnSync(["mkfifo", join(root, "pipe.jpg")]).exitCode).toBe(0);
    const all = listAll(open());
    // What cannot be read need not be quiet first.
    expect(all.slice(0, 2).map(({ name }) => name)).toEqual(["dangling.jpg", "itself.jpg"]);
    const listed = all.toSorted((a, b) => compareNatural(a.name, b.name));
    expect(listed.map(({ name }) => name)).toEqual([
      "a/1.jpg",
      "dangling.jpg",
      "itself.jpg",
      "link.jpg",
      "outside.jpg",
    ]);
    expect(listed[1]).toMatchObject({ failure: "unreadable", detail: "a link to a file that is not there" });
    expect(listed[2]).toMatchObject({ failure: "unreadable", detail: "a link that leads to itself (ELOOP)" });
    expect(listed[3]).toMatchObject({ bytes: 3 });
    expect(problems).toMatchObject([{ path: join(root, "a/loop"), reason: "symlink" }]);
  });

  test("a file whose name cannot be a frame name is a failure that names it, not a frame", () => {
    put("line\nbreak.jpg");
    put("aux.jpg");
    put("c:ok.jpg");
    const listed = listAll(open());
    // Those that are no pictures have to rest first.
    expect(listed.map(({ name }) => name)).toEqual(["", "aux.jpg", "c:ok.jpg"]);
    expect(listed[0]).toMatchObject({ detail: `the file "line\\nbreak.jpg" cannot keep its name: control character` });
  });

  test("a file that is gone before it is looked at has vanished, and the rest goes on", () => {
    for (const name of ["1.jpg", "2.jpg", "3.jpg"]) put(name, jpegOf());
    const source = open();
    expect(source.list(1)).toMatchObject([{ name: "1.jpg" }]);
    unlinkSync(join(root, "2.jpg"));
    expect(source.list(9)).toMatchObject([{ name: "2.jpg", failure: "vanished" }, { name: "3.jpg" }]);
  });

  test("files are looked at when they are listed, not before, and complete pictures are waited for by nobody", () => {
    for (let number = 0; number < 5_000; number += 1) put(`${number}.jpg`, jpegOf(`${number}`));
    const source = open();
    const first = source.list(500) ?? [];
    put("4999.jpg", jpegOf("grown since the listing began", 5_000));
    unlinkSync(join(root, "4000.jpg"));
    const rest = listAll(source, 500);
    expect(clock.nowMs()).toBe(0);
    expect([...first, ...rest].map(({ name }) => name)).toEqual(Array.from({ length: 5_000 }, (_, i) => `${i}.jpg`));
    expect(rest.at(-1)).toMatchObject({ bytes: jpegOf("grown since the listing began", 5_000).length });
    expect(rest[3_500]).toMatchObject({ name: "4000.jpg", failure: "vanished" });
  }, 60_000);

  test("20,000 files without an end of their own are watched all at once, and come in their order", () => {
    for (let number = 0; number < 20_000; number += 1) writeFileSync(join(root, `${number}.raw`), "");
    const listed = listAll(open(), 500);
    expect(listed.map(({ name }) => name)).toEqual(Array.from({ length: 20_000 }, (_, i) => `${i}.raw`));
    expect(clock.nowMs()).toBe(4_000);
  }, 60_000);

  test("an empty directory is reported once, with the reason", () => {
    expect(listAll(open())).toEqual([]);
    expect(problems).toMatchObject([{ source: "visible", path: root, reason: "empty" }]);
    put("a/1.jpg");
    problems = [];
    expect(listAll(open({ root: `${root}/`, include: ["*.png"] }))).toEqual([]);
    expect(problems).toMatchObject([
      { path: root, reason: "empty", detail: "no frames: --include and --exclude leave none of 1 file" },
    ]);
  });

  test("a directory that is gone is unreadable, not empty", () => {
    rmSync(root, { recursive: true });
    expect(listAll(open())).toEqual([]);
    expect(problems).toMatchObject([{ path: root, reason: "unreadable" }]);
  });

  test.skipIf(process.getuid?.() === 0)("an unreadable folder is one problem, and the rest goes on", () => {
    for (const name of ["a/1.jpg", "b/1.jpg", "c/1.jpg"]) put(name);
    chmodSync(join(root, "b"), 0);
    try {
      expect(names(open())).toEqual(["a/1.jpg", "c/1.jpg"]);
    } finally {
      chmodSync(join(root, "b"), 0o700);
    }
    expect(problems).toMatchObject([{ path: join(root, "b"), reason: "unreadable" }]);
  });

  test.skipIf(process.getuid?.() === 0)("what cannot be looked into is not called empty", () => {
    chmodSync(dirname(put("b/1.jpg")), 0);
    expect(names(open())).toEqual([]);
    chmodSync(join(root, "b"), 0o700);
    expect(problems.map(({ reason }) => reason)).toEqual(["unreadable"]);
  });

  test("a single file, hidden neighbours and include notwithstanding", () => {
    put("1.jpg", "one");
    put("2.jpg", "two");
    const source = open({ only: "2.jpg", include: ["*.png"] });
    const entry = onlyEntry(source);
    expect(entry).toMatchObject({ name: "2.jpg", bytes: 3 });
    expect(readAll(source, entry).toString()).toBe("two");
  });

  test("dispose ends the listing", () => {
    put("1.jpg");
    const source = open();
    source.dispose();
    source.dispose();
    expect(source.list(1)).toBeUndefined();
  });
});

describe("reading", () => {
  test("in pieces of any size, into views larger than the rest", () => {
    const content = Buffer.from(Array.from({ length: 1000 }, (_, index) => index % 251));
    put("deep/er/1.jpg", content);
    const source = open();
    const entry = onlyEntry(source);
    for (const step of [1, 7, 500, 999, 1000, 1001, 65_536]) expect(readAll(source, entry, step)).toEqual(content);
  });

  test("fills only the view and leaves what lies behind the frame", () => {
    put("1.jpg", "abc");
    const source = open();
    const frame = source.open(onlyEntry(source));
    const memory = Buffer.from("..........");
    expect(frame.read(memory.subarray(2, 8))).toBe(3);
    expect(frame.read(memory)).toBe(0);
    frame.close();
    expect(memory.toString()).toBe("..abc.....");
  });

  test("0 bytes", () => {
    put("1.jpg", "");
    const source = open();
    const frame = source.open(onlyEntry(source));
    expect(frame.bytes).toBe(0);
    expect(frame.read(new Uint8Array(10))).toBe(0);
    frame.close();
  });

  test("the size is that of the opening, not of the listing", () => {
    const path = put("1.jpg", "short");
    const source = open();
    const entry = onlyEntry(source);
    appendFileSync(path, " no more");
    expect(readAll(source, entry).toString()).toBe("short no more");
  });

  const changes: [string, (path: string) => void][] = [
    ["grows", (path) => appendFileSync(path, "x")],
    ["shrinks", (path) => truncateSync(path, 1500)],
    [
      "is rewritten with the same size",
      (path) => {
        writeFileSync(path, "b".repeat(2000));
        // The clock of the file system may not have moved since the file was made.
        utimesSync(path, new Date(), new Date(Date.now() + 5000));
      },
    ],
    [
      "is rewritten with the same size, and its old time,",
      (path) => {
        const { atime, mtime } = statSync(path);
        Bun.sleepSync(20);
        writeFileSync(path, "b".repeat(2000));
        utimesSync(path, atime, mtime);
      },
    ],
  ];
  test.each(changes)("a file that %s while it is read is changing", (_what, change) => {
    const path = put("1.jpg", "a".repeat(2000));
    // A time that can be set back to the nanosecond.
    utimesSync(path, 1.7e9, 1.7e9);
    const source = open();
    const entry = onlyEntry(source);
    let pieces = 0;
    const error = sourceErrorOf(() =>
      readAll(source, entry, 1000, () => {
        pieces += 1;
        if (pieces === 1) change(path);
      }),
    );
    expect(error.reason).toBe("changing");
    // The second of two pieces is the last one: it must not be handed out.
    expect(pieces).toBe(1);
    // Once the writer is done the file is a frame again.
    expect(readAll(source, entry)).toEqual(readFileSync(path));
  });

  test("an empty file that grows before it is read is changing", () => {
    const path = put("1.jpg", "");
    const source = open();
    const frame = source.open(onlyEntry(source));
    appendFileSync(path, "x");
    expect(sourceErrorOf(() => frame.read(new Uint8Array(10))).reason).toBe("changing");
    frame.close();
  });

  test("a file that is gone has vanished; one that is no file any more is unreadable and blocks nothing", () => {
    const path = put("1.jpg");
    const source = open();
    const entry = onlyEntry(source);
    unlinkSync(path);
    expect(sourceErrorOf(() => source.open(entry)).reason).toBe("vanished");
    mkdirSync(path);
    expect(sourceErrorOf(() => source.open(entry)).reason).toBe("unreadable");
    rmSync(path, { recursive: true });
    Bun.spawnSync(["mkfifo", path]);
    expect(sourceErrorOf(() => source.open(entry)).reason).toBe("unreadable");
  });

  test.skipIf(!existsSync("/proc/self/fd"))(
    "a file that is kept open is read as it was looked at, and then closed",
    () => {
      const paths = ["1.jpg", "2.jpg", "3.jpg"].map((name) => put(name));
      const source = open({ keptFilesMax: 2 });
      const [first, second, third] = entries(source) as [FrameEntry, FrameEntry, FrameEntry];
      expect(openBelow(root)).toBe(2);
      for (const path of paths) unlinkSync(path);
      put("1.jpg", "another");
      expect(readAll(source, first).toString()).toBe("1.jpg");
      // Sent again it is opened by its name.
      expect(readAll(source, first).toString()).toBe("another");
      expect(sourceErrorOf(() => source.open(third)).reason).toBe("vanished");
      expect(openBelow(root)).toBe(1);
      source.settled(second, "duplicate", undefined);
      expect(openBelow(root)).toBe(0);
    },
  );

  test("a file deleted while it is read is still whole", () => {
    const path = put("1.jpg", "a".repeat(2000));
    const source = open();
    expect(readAll(source, onlyEntry(source), 1000, () => rmSync(path, { force: true })).length).toBe(2000);
  });

  test.skipIf(!existsSync("/proc/self/fd"))("nothing stays open, whatever went wrong", () => {
    const path = put("1.jpg", "abc");
    const source = open();
    const entry = onlyEntry(source);
    const before = readdirSync("/proc/self/fd").length;
    readAll(source, entry);
    unlinkSync(path);
    sourceErrorOf(() => source.open(entry));
    mkdirSync(path);
    sourceErrorOf(() => source.open(entry));
    expect(readdirSync("/proc/self/fd").length).toBe(before);
  });
});

/** A frame that was read to its end and waits for its ack. */
function sent(): { source: DirectorySource; entry: FrameEntry; path: string } {
  const path = put("a/1.jpg", "content");
  const source = open({ deleteSent: true });
  const entry = onlyEntry(source);
  readAll(source, entry, 3);
  return { source, entry, path };
}

describe("what is not finished", () => {
  /** What is listed at each time at which anything is. */
  function listUntil(source: DirectorySource, endMs: number): [number, string][] {
    const all: [number, string][] = [];
    for (; clock.nowMs() < endMs; clock.pass(100)) {
      const batch = source.list(100);
      if (batch === undefined) return [...all, [clock.nowMs(), "end"]];
      for (const { name } of batch) all.push([clock.nowMs(), name]);
    }
    return all;
  }

  test("waits, and does not hold up what is", () => {
    for (const name of ["1.jpg", "4.jpg"]) put(name, jpegOf());
    put("2.raw", "no end of its own");
    put("3.jpg", jpegOf().subarray(0, -1));
    expect(listUntil(open(), 70_000)).toEqual([
      [0, "1.jpg"],
      [0, "4.jpg"],
      [2_000, "2.raw"],
      [60_000, "3.jpg"],
      [60_100, "end"],
    ]);
    expect(problems).toMatchObject([{ path: join(root, "3.jpg"), reason: "incomplete" }]);
  });

  test("an incomplete picture is listed with a note, and never removed", () => {
    put("1.jpg", jpegOf().subarray(0, -1));
    const source = open({ deleteSent: true });
    const [entry] = entries(source);
    if (entry === undefined) throw new Error("nothing was listed");
    expect(entry.notes).toBe(Note.incomplete);
    const frame = source.open(entry);
    frame.read(Buffer.alloc(entry.bytes));
    frame.close();
    source.settled(entry, "stored", undefined);
    expect(readdirSync(root)).toEqual(["1.jpg"]);
  });

  test("a picture that is completed while it waits is listed then, whole", () => {
    const path = put("1.jpg", jpegOf().subarray(0, 300));
    const source = open();
    clock.after(3_000, () => appendFileSync(path, jpegOf().subarray(300, 600)));
    clock.after(6_000, () => appendFileSync(path, jpegOf().subarray(600)));
    expect(listUntil(source, 70_000).map(([, name]) => name)).toEqual(["1.jpg", "end"]);
    expect(clock.nowMs()).toBeLessThan(7_200);
    expect(problems).toEqual([]);
  });

  test("what vanishes before it was finished was no frame", () => {
    put("0.jpg", jpegOf());
    const path = put("1.jpg.strange", "half");
    const source = open();
    clock.after(100, () => unlinkSync(path));
    expect(listUntil(source, 70_000).map(([, name]) => name)).toEqual(["0.jpg", "end"]);
  });

  test.skipIf(!hasLeases())("what is held open is named after a minute, and left", () => {
    const fd = openSync(put("1.jpg", jpegOf()), "a");
    put("2.jpg", jpegOf());
    const listed = listUntil(open(), 70_000);
    closeSync(fd);
    expect(listed.map(([, name]) => name)).toEqual(["2.jpg", "end"]);
    expect(clock.nowMs()).toBeWithin(60_000, 62_100);
    expect(problems).toMatchObject([{ path: join(root, "1.jpg"), reason: "unfinished" }]);
  });

  test("what does not stop changing is named after two, and left", () => {
    for (let number = 0; number < 25; number += 1) put(`${number}.raw`, "");
    const source = open();
    const write = (): void => {
      for (let number = 0; number < 25; number += 1) appendFileSync(join(root, `${number}.raw`), "more");
      clock.after(1_500, write);
    };
    clock.after(1_500, write);
    expect(listUntil(source, 130_000).map(([, name]) => name)).toEqual(["end"]);
    expect(problems).toHaveLength(25);
    expect(problems.every(({ reason }) => reason === "unfinished")).toBe(true);
  });
});

describe("settled with deleteSent", () => {
  const crc = Bun.hash.crc32("content");

  test.each(["stored", "duplicate", "conflict"] as const)("%s: the file goes, its folder stays", (outcome) => {
    const { source, entry, path } = sent();
    expect(existsSync(path)).toBe(true);
    source.settled(entry, outcome, undefined);
    expect(existsSync(path)).toBe(false);
    expect(existsSync(dirname(path))).toBe(true);
    expect(problems).toEqual([]);
  });

  test("nothing goes without deleteSent", () => {
    const path = put("1.jpg", "content");
    const source = open();
    const entry = onlyEntry(source);
    readAll(source, entry);
    source.settled(entry, "stored", crc);
    expect(existsSync(path)).toBe(true);
  });

  test.each(["recorded", undefined] as const)("a gap (%p) is no reason to delete", (outcome) => {
    const { source, entry, path } = sent();
    source.settled(entry, outcome, crc);
    expect(existsSync(path)).toBe(true);
    expect(problems).toEqual([]);
  });

  test("kept when it changed after it was sent", () => {
    const { source, entry, path } = sent();
    appendFileSync(path, "!");
    source.settled(entry, "stored", crc);
    expect(existsSync(path)).toBe(true);
    expect(problems).toMatchObject([{ path, reason: "kept", detail: expect.stringContaining("changed") }]);
  });

  test("kept when another file of the same size and time took its place", () => {
    const { source, entry, path } = sent();
    const other = put("other", "CONTENT");
    Bun.spawnSync(["touch", "-r", path, other]);
    renameSync(other, path);
    source.settled(entry, "stored", crc);
    expect(readFileSync(path, "utf8")).toBe("CONTENT");
    expect(problems).toMatchObject([{ path, reason: "kept" }]);
  });

  test("kept when it was rewritten in place with the same size and time", () => {
    const { source, entry, path } = sent();
    const { mtime, atime } = statSync(path);
    utimesSync(path, atime, mtime);
    readAll(source, entry);
    Bun.sleepSync(20);
    writeFileSync(path, "CONTENT");
    utimesSync(path, atime, mtime);
    source.settled(entry, "stored", crc);
    expect(readFileSync(path, "utf8")).toBe("CONTENT");
    expect(problems).toMatchObject([{ path, reason: "kept", detail: expect.stringContaining("changed") }]);
  });

  test("gone when only its rights or its links have changed", () => {
    const { source, entry, path } = sent();
    Bun.sleepSync(20);
    chmodSync(path, 0o600);
    linkSync(path, join(root, "2.jpg"));
    source.settled(entry, "stored", crc);
    expect(existsSync(path)).toBe(false);
    expect(problems).toEqual([]);
  });

  test.skipIf(!hasLeases())("kept while somebody has it open for writing, said once", () => {
    const { source, entry, path } = sent();
    const writer = openSync(path, "r+");
    source.settled(entry, "stored", crc);
    readAll(source, entry);
    source.settled(entry, "stored", crc);
    expect(existsSync(path)).toBe(true);
    expect(problems).toMatchObject([{ path, reason: "kept", detail: expect.stringContaining("open for writing") }]);
    closeSync(writer);
    readAll(source, entry);
    source.settled(entry, "stored", crc);
    expect(existsSync(path)).toBe(false);
  });

  test("a new file that is renamed over the name while the old one is compared is left alone", async () => {
    const path = put("1.jpg", "");
    // Long to read, quick to make.
    truncateSync(path, 200_000_000);
    const other = put("other", "new");
    const source = open({ deleteSent: true, only: "1.jpg" });
    const entry = onlyEntry(source);
    readAll(source, entry, 4_000_000);
    // So that it is read once more.
    Bun.sleepSync(20);
    chmodSync(path, 0o600);
    const mover = Bun.spawn(["sh", "-c", 'sleep 0.02; mv "$0" "$1"', other, path]);
    source.settled(entry, "stored", undefined);
    expect(await mover.exited).toBe(0);
    expect(readFileSync(path, "utf8")).toBe("new");
    expect(readdirSync(root)).toEqual(["1.jpg"]);
  });

  test("a new file that is renamed over the name at any moment is never deleted", async () => {
    const all = Array.from({ length: 30 }, (_, index) => `${index}`);
    const script = `import { renameSync, writeFileSync } from "node:fs";
      for (let round = 0; round < 100; round++) for (const name of ${JSON.stringify(all)}) {
        writeFileSync(".new", round + " of " + name);
        renameSync(".new", name);
      }`;
    for (const name of all) put(name, "x");
    const writer = Bun.spawn([process.execPath, "-e", script], { cwd: root });
    const sentTexts = new Set<string>();
    let deleted = 0;
    while (writer.exitCode === null) {
      const source = open({ deleteSent: true });
      for (const listed of listAll(source)) {
        if ("failure" in listed) continue;
        try {
          const text = readAll(source, listed).toString();
          sentTexts.add(text);
          source.settled(listed, "stored", Bun.hash.crc32(text));
          deleted += 1;
        } catch (error) {
          expect(error).toBeInstanceOf(SourceError);
        }
      }
      await Bun.sleep(0);
    }
    expect(deleted).toBeGreaterThan(30);
    for (const name of all) {
      const last = `99 of ${name}`;
      expect(sentTexts.has(last) || readFileSync(join(root, name), "utf8") === last).toBe(true);
    }
    expect(readdirSync(root).filter((name) => name.startsWith("."))).toEqual([]);
  }, 30_000);

  test("kept when the receiver's checksum is another one", () => {
    const { source, entry, path } = sent();
    source.settled(entry, "stored", crc ^ 1);
    expect(existsSync(path)).toBe(true);
    expect(problems).toMatchObject([{ path, reason: "kept", detail: expect.stringContaining("other bytes") }]);
  });

  test("kept when it was not read to its end", () => {
    const path = put("1.jpg", "content");
    const source = open({ deleteSent: true });
    const entry = onlyEntry(source);
    const frame = source.open(entry);
    frame.read(new Uint8Array(3));
    frame.close();
    source.settled(entry, "stored", undefined);
    expect(existsSync(path)).toBe(true);
    expect(problems).toMatchObject([{ path, reason: "kept" }]);
  });

  test("a frame the receiver had before: goes if the bytes are those it holds, stays otherwise", () => {
    const same = put("1.jpg", "content");
    const other = put("2.jpg", "CONTENT");
    const unknown = put("3.jpg", "content");
    const empty = put("4.jpg", "");
    const large = put("5.jpg", Buffer.alloc(600_000, 7));
    const source = open({ deleteSent: true });
    const [first, second, third, fourth, fifth] = entries(source) as [
      FrameEntry,
      FrameEntry,
      FrameEntry,
      FrameEntry,
      FrameEntry,
    ];
    source.settled(first, "duplicate", crc);
    source.settled(second, "duplicate", crc);
    source.settled(third, "duplicate", undefined);
    source.settled(fourth, "duplicate", 0);
    source.settled(fifth, "duplicate", Bun.hash.crc32(Buffer.alloc(600_000, 7)));
    expect([same, other, unknown, empty, large].map((path) => existsSync(path))).toEqual([
      false,
      true,
      true,
      false,
      false,
    ]);
    expect(problems.map(({ path, reason }) => [path, reason])).toEqual([
      [other, "kept"],
      [unknown, "kept"],
    ]);
  });

  test("a file that is gone already is as it should be", () => {
    const { source, entry, path } = sent();
    unlinkSync(path);
    source.settled(entry, "stored", crc);
    put("2.jpg");
    expect(problems).toEqual([]);
  });

  test("of a link, the link goes", () => {
    mkdirSync(join(root, "in"));
    const target = put("target.jpg", "content");
    symlinkSync(target, join(root, "in/1.jpg"));
    const source = open({ root: join(root, "in"), deleteSent: true });
    const entry = onlyEntry(source);
    readAll(source, entry);
    source.settled(entry, "stored", crc);
    expect(existsSync(target)).toBe(true);
    expect(readdirSync(join(root, "in"))).toEqual([]);
  });
});
