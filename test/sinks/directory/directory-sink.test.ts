import { afterEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { crc32 } from "../../../src/bytes/checksum.ts";
import { SinkError, UserError } from "../../../src/errors.ts";
import { catalogueFile, temporaryFolder } from "../../../src/sinks/directory/catalogue.ts";
import { openSqliteCatalogue } from "../../../src/sinks/directory/sqlite-catalogue.ts";
import { Layout } from "../../../src/sinks/store/layout.ts";
import { type Disk, nodeDisk } from "../../../src/system/file-system.ts";
import { canMount, mountSmall } from "../../support/small-disk.ts";
import {
  type Result,
  commit,
  frameOf,
  inSession,
  lookupNow,
  openWriter,
  otherSession,
  session,
  sinkSuite,
  stage,
  store,
} from "../suite.ts";
import { DirectoryPlace } from "./directory-place.ts";

for (const sync of ["batch", "each", "never"] as const) {
  sinkSuite(`directory, --sync ${sync}`, true, () => new DirectoryPlace({ sync }), true);
}

const places: DirectoryPlace[] = [];

function makePlace(...options: ConstructorParameters<typeof DirectoryPlace>): DirectoryPlace {
  const place = new DirectoryPlace(...options);
  places.push(place);
  return place;
}

afterEach(() => {
  for (const place of places.splice(0)) place.remove();
});

function userErrorOf(run: () => unknown): UserError {
  try {
    run();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("no error came");
}

describe("directory sink: files", () => {
  test("temporary files are gone after commit, abort, failure and restart", async () => {
    const place = makePlace();
    let sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    openWriter(sink, frameOf("2.jpg", "two")).abort();
    stage(sink, frameOf("1.jpg", "one"), "one");
    place.breakCommits(true);
    await commit(sink);
    place.breakCommits(false);
    expect(place.temporaryFiles()).toEqual([]);
    openWriter(sink, frameOf("3.jpg", "three")).write(Buffer.from("th"));
    stage(sink, frameOf("4.jpg", "four"), "four");
    expect(place.temporaryFiles().length).toBe(2);
    sink.dispose();
    expect(place.temporaryFiles()).toEqual([]);
    writeFileSync(join(place.directory, temporaryFolder, "1"), "left by a killed receiver");
    sink = place.open();
    expect(place.temporaryFiles()).toEqual([]);
    sink.dispose();
  });

  test("a stored file has the capture time of its frame, also as a conflict", async () => {
    const place = makePlace();
    const sink = place.open();
    const [first, second] = [1_763_460_001_123_456_789n, 315_532_802_000_000_000n];
    await store(sink, frameOf("1.jpg", "one", { capturedNs: first }), "one");
    await store(sink, frameOf("1.jpg", "other", { capturedNs: second }), "other");
    const timeOf = (name: string): bigint =>
      statSync(join(place.directory, "rig/visible", name), { bigint: true }).mtimeNs;
    expect([timeOf("1.jpg"), timeOf("1~2.jpg")]).toEqual([first, second]);
    sink.dispose();
  });

  test("short writes are continued, and a disk that takes nothing is full", () => {
    const sizes: number[] = [];
    let room = 8;
    const disk: Disk = {
      ...nodeDisk,
      write: (handle, view) => {
        sizes.push(view.byteLength);
        const count = Math.min(3, room, view.byteLength);
        room -= count;
        return count === 0 ? 0 : nodeDisk.write(handle, view.subarray(0, count));
      },
    };
    const place = makePlace();
    const healthy = place.open();
    healthy.dispose();
    room = Number.POSITIVE_INFINITY;
    const sink = place.open({ disk });
    room = 8;
    sizes.length = 0;
    const writer = openWriter(sink, frameOf("1.jpg", "0123456789"));
    expect(() => writer.write(Buffer.from("0123456789"))).toThrow("the disk is full (ENOSPC)");
    expect(sizes).toEqual([10, 7, 4, 2]);
    writer.abort();
    expect(place.temporaryFiles()).toEqual([]);
    sink.dispose();
  });

  test("a symbolic link in the way is refused and nothing is written through it", async () => {
    const place = makePlace();
    const sink = place.open();
    const elsewhere = join(place.parent, "elsewhere");
    mkdirSync(elsewhere);
    mkdirSync(join(place.directory, "rig/visible"), { recursive: true });
    symlinkSync(elsewhere, join(place.directory, "rig/visible/day"));
    symlinkSync(join(elsewhere, "target"), join(place.directory, "rig/visible/1.jpg"));
    expect(sink.open(frameOf("day/1.jpg", "x"))).toBe("symlink");
    const results = stage(sink, frameOf("1.jpg", "one"), "one");
    stage(sink, frameOf("2.jpg", "two"), "two", results);
    expect(await commit(sink)).toBeUndefined();
    expect(results).toEqual(["symlink", "stored"]);
    expect(existsSync(join(elsewhere, "target"))).toBe(false);
    expect(place.temporaryFiles()).toEqual([]);
    sink.dispose();
  });

  const { holdFolder: _, ...withoutHolding } = nodeDisk;
  test.each([
    ["held", nodeDisk],
    ["looked at", withoutHolding],
  ])("a folder that becomes a link after its first frame leads no other outside (%s)", async (_how, disk) => {
    const place = makePlace({ disk });
    const sink = place.open();
    const [inside, elsewhere] = [join(place.directory, "rig/visible"), join(place.parent, "elsewhere")];
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
    // Its bytes are there already when the folder is changed for a link.
    const results = stage(sink, frameOf("2.jpg", "two"), "two");
    renameSync(inside, elsewhere);
    symlinkSync(elsewhere, inside);
    expect(await commit(sink)).toBeUndefined();
    expect(results).toEqual(["symlink"]);
    expect(readdirSync(elsewhere)).toEqual(["1.jpg"]);
    // From then on it is refused before it is sent; nor is a folder made behind the link.
    expect(sink.open(frameOf("3.jpg", "three"))).toBe("symlink");
    expect(sink.open(frameOf("day/4.jpg", "four"))).toBe("symlink");
    expect(readdirSync(elsewhere)).toEqual(["1.jpg"]);
    // Another source of the same device goes on, and so does this one when the link is gone.
    unlinkSync(inside);
    expect(await store(sink, frameOf("5.jpg", "five"), "five")).toBe("stored");
    expect(place.temporaryFiles()).toEqual([]);
    sink.dispose();
  });

  test("a device's folder that becomes a link is not followed to make another source's", async () => {
    const place = makePlace();
    const sink = place.open();
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
    const elsewhere = join(place.parent, "elsewhere");
    renameSync(join(place.directory, "rig"), elsewhere);
    symlinkSync(elsewhere, join(place.directory, "rig"));
    const other = { ...frameOf("1.jpg", "one"), origin: { device: "rig", source: "infrared", session } };
    expect(sink.open(other)).toBe("symlink");
    expect(readdirSync(elsewhere)).toEqual(["visible"]);
    sink.dispose();
  });

  test("a folder for each frame: no more than some are held at a time, and none in the end", async () => {
    let [now, most] = [0, 0];
    const counting: Disk = {
      ...nodeDisk,
      holdFolder: (root, folder) => {
        const held = nodeDisk.holdFolder?.(root, folder);
        most = Math.max(most, (now += 1));
        return { handle: held?.handle ?? -1, release: () => ((now -= 1), held?.release()) };
      },
      renameNew: (from, to) => nodeDisk.renameNew(from, to),
    };
    const place = makePlace({ disk: counting });
    const sink = place.open();
    const results: Result[] = [];
    for (let index = 0; index < 100; index += 1) stage(sink, frameOf(`${index}/1.jpg`, "x"), "x", results);
    expect(await commit(sink)).toBeUndefined();
    expect(results.every((result) => result === "stored")).toBe(true);
    expect([now, most]).toEqual([0, 16]);
    sink.dispose();
  });

  test.skipIf(process.platform === "win32")("what is ours is for the user and the group, the lock for the user", () => {
    const place = makePlace();
    place.open().dispose();
    const modeOf = (path: string): number => statSync(join(place.directory, path)).mode & 0o777;
    expect(modeOf(".framepipe") & 0o027).toBe(0);
    expect(modeOf(".framepipe/lock")).toBe(0o600);
    // One that an earlier version made.
    chmodSync(join(place.directory, ".framepipe/lock"), 0o644);
    place.open().dispose();
    expect(modeOf(".framepipe/lock")).toBe(0o600);
  });

  test("a file where a folder is needed is refused, a folder where the file should be is a conflict", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("day", "a frame"), "a frame");
    expect(sink.open(frameOf("day/1.jpg", "x"))).toBe("symlink");
    await store(sink, frameOf("night/1.jpg", "x"), "x");
    expect(await store(sink, frameOf("night", "y"), "y")).toBe("conflict");
    expect(place.stored().get("rig/visible/night~2")).toBe("y");
    sink.dispose();
  });

  test("what a killed receiver named and did not record is adopted, not stored twice", async () => {
    const place = makePlace();
    const sink = place.open();
    mkdirSync(join(place.directory, "rig/visible"), { recursive: true });
    writeFileSync(join(place.directory, "rig/visible/1.jpg"), "one");
    writeFileSync(join(place.directory, "rig/visible/2.jpg"), "somebody's");
    writeFileSync(join(place.directory, "rig/visible/3.jpg"), "owt");
    const inode = statSync(join(place.directory, "rig/visible/1.jpg")).ino;
    const results = stage(sink, frameOf("1.jpg", "one"), "one");
    stage(sink, frameOf("2.jpg", "two"), "two", results);
    stage(sink, frameOf("3.jpg", "two"), "two", results);
    await commit(sink);
    expect(results).toEqual(["stored", "conflict", "conflict"]);
    expect(Object.fromEntries(place.stored())).toEqual({
      "rig/visible/1.jpg": "one",
      "rig/visible/2.jpg": "somebody's",
      "rig/visible/2~2.jpg": "two",
      "rig/visible/3.jpg": "owt",
      "rig/visible/3~2.jpg": "two",
    });
    expect(statSync(join(place.directory, "rig/visible/1.jpg")).ino).toBe(inode);
    sink.dispose();
  });

  test("files that nobody knows stand at a thousand numbers: the frame is stored behind them", async () => {
    const place = makePlace();
    const sink = place.open();
    const at = (number: number): string =>
      join(place.directory, "rig/visible", number === 1 ? "1.jpg" : `1~${number}.jpg`);
    mkdirSync(join(place.directory, "rig/visible"), { recursive: true });
    for (let number = 1; number <= 1100; number += 1) writeFileSync(at(number), "somebody's");
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("conflict");
    expect(readFileSync(at(1101), "utf8")).toBe("one");
    sink.dispose();
  });

  test("a path that a row claims is left to its frame, though its file is gone", async () => {
    const place = makePlace();
    const sink = place.open();
    const at = (name: string): string => join(place.directory, "rig/visible", name);
    await store(sink, frameOf("1.jpg", "one"), "one");
    writeFileSync(at("1~2.jpg"), "somebody's");
    await store(sink, frameOf("1.jpg", "three"), "three");
    unlinkSync(at("1~3.jpg"));
    expect(await store(sink, frameOf("1.jpg", "four!"), "four!")).toBe("conflict");
    expect(readFileSync(at("1~4.jpg"), "utf8")).toBe("four!");
    expect(place.query("SELECT path FROM frames ORDER BY id").map(String)).toEqual([
      "rig/visible/1.jpg",
      "rig/visible/1~3.jpg",
      "rig/visible/1~4.jpg",
    ]);
    sink.dispose();
  });

  test("a frame whose file was removed is wanted again and takes its place again", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    await store(sink, frameOf("1.jpg", "two"), "two");
    unlinkSync(join(place.directory, "rig/visible/1~2.jpg"));
    const other = frameOf("1.jpg", "two", inSession(otherSession));
    expect(lookupNow(sink, other.origin, [other])).toEqual([
      { kind: "have", outcome: "duplicate", crc32: crc32(Buffer.from("one")) },
    ]);
    expect(await store(sink, other, "two")).toBe("conflict");
    rmSync(join(place.directory, "rig"), { recursive: true });
    expect(lookupNow(sink, other.origin, [other])).toEqual([{ kind: "want" }]);
    sink.dispose();
    const again = place.open();
    expect(await store(again, frameOf("1.jpg", "one", inSession(otherSession)), "one")).toBe("stored");
    expect(await store(again, other, "two")).toBe("conflict");
    expect(Object.fromEntries(place.stored())).toEqual({ "rig/visible/1.jpg": "one", "rig/visible/1~2.jpg": "two" });
    expect(place.query("SELECT path, number, session FROM frames ORDER BY path")).toEqual([
      ["rig/visible/1.jpg", 1, otherSession],
      ["rig/visible/1~2.jpg", 2, otherSession],
    ]);
    again.dispose();
  });

  test("the name of a frame whose file was removed is kept for that frame", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    unlinkSync(join(place.directory, "rig/visible/1.jpg"));
    expect(await store(sink, frameOf("1.jpg", "two"), "two")).toBe("conflict");
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
    expect(Object.fromEntries(place.stored())).toEqual({ "rig/visible/1.jpg": "one", "rig/visible/1~2.jpg": "two" });
    sink.dispose();
  });

  test("folders that were removed while it runs are made again", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    rmSync(join(place.directory, "rig"), { recursive: true });
    rmSync(join(place.directory, temporaryFolder), { recursive: true });
    expect(() => stage(sink, frameOf("2.jpg", "two"), "two")).toThrow("the directory is gone (ENOENT)");
    place.nowMs += 1000;
    expect(sink.ready(1)).toBeUndefined();
    expect(await store(sink, frameOf("2.jpg", "two"), "two")).toBe("stored");
    sink.dispose();
  });

  test("folders that were removed before a commit are made again", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    const results = stage(sink, frameOf("2.jpg", "two"), "two");
    rmSync(join(place.directory, "rig"), { recursive: true });
    expect(await commit(sink)).toBeUndefined();
    expect(results).toEqual(["stored"]);
    expect(Object.fromEntries(place.stored())).toEqual({ "rig/visible/2.jpg": "two" });
    sink.dispose();
  });

  test("another layout finds what the earlier one stored", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    sink.dispose();
    const flat = place.open({ layout: new Layout("{date}/{name}") });
    const results = stage(flat, frameOf("1.jpg", "one", inSession(otherSession)), "one");
    stage(flat, frameOf("2.jpg", "two"), "two", results);
    await commit(flat);
    expect(results).toEqual(["duplicate", "stored"]);
    expect([...place.stored().keys()].toSorted()).toEqual(["2023-11-14/2.jpg", "rig/visible/1.jpg"]);
    flat.dispose();
  });

  test("a name that the file system cannot hold is refused, the rest of the group is stored", async () => {
    const refusing: Disk = {
      ...nodeDisk,
      renameNew: (from, to) => {
        if (to.endsWith("2.jpg")) throw Object.assign(new Error("no such name"), { code: "EINVAL" });
        return nodeDisk.renameNew(from, to);
      },
    };
    const place = makePlace({ disk: refusing });
    const sink = place.open();
    const results: Result[] = [];
    for (const name of ["1.jpg", "2.jpg", "3.jpg"]) stage(sink, frameOf(name, name), name, results);
    expect(await commit(sink)).toBeUndefined();
    expect(results).toEqual(["stored", "name", "stored"]);
    sink.dispose();
  });

  test("--sync each commits frame by frame: those before a failure are stored", async () => {
    let records = 0;
    const place = makePlace({
      sync: "each",
      openCatalogue: (directory, sync) => {
        const catalogue = openSqliteCatalogue(directory, sync);
        return {
          reading: (run) => catalogue.reading(run),
          find: (...args) => catalogue.find(...args),
          findEqual: (...args) => catalogue.findEqual(...args),
          accountOf: (of) => catalogue.accountOf(of),
          holds: (path) => catalogue.holds(path),
          expiredLike: (...args) => catalogue.expiredLike(...args),
          hasExpired: (...args) => catalogue.hasExpired(...args),
          kept: catalogue.kept,
          handing: catalogue.handing,
          copyTo: (path) => catalogue.copyTo(path),
          close: () => catalogue.close(),
          record: (batch) => {
            records += 1;
            if (records === 2) throw Object.assign(new Error("no room"), { code: "ENOSPC" });
            catalogue.record(batch);
          },
        };
      },
    });
    const sink = place.open();
    const results: Result[] = [];
    for (const name of ["1.jpg", "2.jpg", "3.jpg"]) stage(sink, frameOf(name, name), name, results);
    const failure = await commit(sink);
    expect(results[0]).toBe("stored");
    expect(results.slice(1)).toEqual([failure, failure] as Result[]);
    expect(place.temporaryFiles()).toEqual([]);
    sink.dispose();
  });
});

describe("directory sink: when the destination fails", () => {
  test("one receiver at a time", () => {
    const place = makePlace();
    const sink = place.open();
    const error = userErrorOf(() => place.open());
    expect(error.message).toBe(`${place.directory} is in use by another receiver`);
    expect(error.hints.length).toBe(1);
    sink.dispose();
    place.open().dispose();
  });

  test("a killed receiver's lock is gone with it, and its catalogue is read", async () => {
    const place = makePlace();
    const program = `
      const { openSink } = await import(${JSON.stringify(join(import.meta.dir, "../../../src/sinks/open-sink.ts"))});
      const { stage, frameOf, commit } = await import(${JSON.stringify(join(import.meta.dir, "../suite.ts"))});
      const options = { layout: undefined, sync: "batch", frameBytesMax: 1000, minFreeBytes: 0 };
      const sink = openSink(${JSON.stringify(place.directory)}, options);
      stage(sink, frameOf("1.jpg", "one"), "one");
      await commit(sink);
      stage(sink, frameOf("2.jpg", "two"), "two");
      process.kill(process.pid, "SIGKILL");`;
    // Without a test runner around it, bun:test of the suite cannot be imported: the child is a test itself.
    const file = join(place.parent, "child.test.ts");
    writeFileSync(file, `import { test } from "bun:test";\ntest("dies", async () => {${program}});`);
    const child = Bun.spawnSync([process.execPath, "test", file], {
      cwd: place.parent,
      stdout: "ignore",
      stderr: "ignore",
    });
    expect(child.signalCode).toBe("SIGKILL");
    expect(place.temporaryFiles().length).toBe(1);
    const sink = place.open();
    const offers = [frameOf("1.jpg", "one"), frameOf("2.jpg", "two")];
    expect(lookupNow(sink, { device: "rig", source: "visible", session }, offers).map(({ kind }) => kind)).toEqual([
      "have",
      "want",
    ]);
    expect(place.temporaryFiles()).toEqual([]);
    sink.dispose();
  });

  test("a directory that cannot be is a user error with a hint", () => {
    const place = makePlace();
    writeFileSync(place.directory, "a file");
    const error = userErrorOf(() => place.open());
    expect(error.message).toContain(`cannot store in ${place.directory}: a file stands where a directory is needed`);
    unlinkSync(place.directory);
    mkdirSync(place.directory);
    symlinkSync(place.parent, join(place.directory, ".framepipe"));
    expect(userErrorOf(() => place.open()).message).toContain(".framepipe is not a directory");
  });

  test("a directory that may not be written to is a user error; a full one only holds the sender", () => {
    const place = makePlace();
    const open = (code: string) => () => {
      const create = (): never => {
        throw Object.assign(new Error("not here"), { code });
      };
      return place.open({ disk: { ...nodeDisk, create } });
    };
    const error = userErrorOf(open("EACCES"));
    expect(error.message).toBe(`cannot store in ${place.directory}: permission denied (EACCES)`);
    expect(error.hints.join()).toContain("writable");
    const sink = open("ENOSPC")();
    expect(sink.ready(1)?.message).toBe(`${place.directory}: cannot use it: the disk is full (ENOSPC)`);
    sink.dispose();
  });

  test("a newer catalogue and a damaged one are user errors and stay as they are", () => {
    const place = makePlace();
    place.open().dispose();
    const path = join(place.directory, catalogueFile);
    Bun.spawnSync([
      process.execPath,
      "-e",
      `new (require("bun:sqlite").Database)(${JSON.stringify(path)}).run("PRAGMA user_version = 3")`,
    ]);
    expect(userErrorOf(() => place.open()).message).toContain("has version 3, this framepipe knows versions up to 2");
    writeFileSync(path, "this is no database, but long enough to be read as the head of one: ".repeat(20));
    const damaged = userErrorOf(() => place.open());
    expect(damaged.message).toContain("damaged");
    expect(damaged.hints.join()).toContain(".recover");
    expect(readFileSync(path, "utf8")).toStartWith("this is no database");
    expect(userErrorOf(() => place.open()).message).toContain("damaged");
  });

  test("below --min-free it is not ready, says the figures, and heals by itself", async () => {
    let freeBytes = 3 * 2 ** 30;
    const place = makePlace({ minFreeBytes: 2 * 2 ** 30, disk: { ...nodeDisk, freeBytes: () => freeBytes } });
    const sink = place.open();
    expect(sink.ready(1000)).toBeUndefined();
    expect(sink.ready(2 ** 30 + 1)?.message).toBe(
      `${place.directory}: 3 GiB free, too little for a frame of 1 GiB and --min-free 2 GiB`,
    );
    freeBytes = 1.25 * 2 ** 30;
    place.nowMs += 500;
    expect(sink.ready(1000)?.message).toBe(`${place.directory}: 1.2 GiB free, below --min-free 2 GiB`);
    expect(sink.ready(1000)?.retryable).toBe(true);
    freeBytes = 3 * 2 ** 30;
    expect(sink.ready(1000)).toBeUndefined();
    sink.dispose();
  });

  test("what it writes counts before the disk is asked again", async () => {
    let asked = 0;
    const freeBytes = (): number => {
      asked += 1;
      return 20_000;
    };
    const place = makePlace({ minFreeBytes: 10_000, disk: { ...nodeDisk, freeBytes } });
    const sink = place.open();
    expect(sink.ready(9_000)).toBeUndefined();
    openWriter(sink, frameOf("1.jpg", "x".repeat(9_000))).write(Buffer.alloc(9_000));
    expect(asked).toBe(1);
    expect(sink.ready(2_000)).toBeInstanceOf(SinkError);
    expect(sink.ready(2_000)).toBeUndefined();
    expect(asked).toBe(2);
    sink.dispose();
  });

  test("a directory that vanishes is waited for, never made anew, and used again when it is back", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    expect(sink.ready(1)).toBeUndefined();
    const away = join(place.parent, "away");
    renameSync(place.directory, away);
    // An empty mount point is left.
    mkdirSync(place.directory);
    for (const name of ["2.jpg", "new folder/2.jpg"]) expect(() => sink.open(frameOf(name, "two"))).toThrow(SinkError);
    for (let call = 0; call < 3; call += 1) {
      place.nowMs += 1000;
      expect(sink.ready(1)?.message).toBe(
        `${place.directory} is another directory than before, and has no catalogue; nothing is stored until it is back`,
      );
    }
    expect(readdirSync(place.directory)).toEqual([]);
    rmSync(place.directory, { recursive: true });
    place.nowMs += 1000;
    expect(sink.ready(1)).toBeInstanceOf(SinkError);
    renameSync(away, place.directory);
    place.nowMs += 1000;
    expect(sink.ready(1)).toBeUndefined();
    expect(await store(sink, frameOf("2.jpg", "two"), "two")).toBe("stored");
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
    expect(place.query("SELECT path FROM frames ORDER BY id")).toEqual([["rig/visible/1.jpg"], ["rig/visible/2.jpg"]]);
    sink.dispose();
  });

  test("a vanished directory is noticed before any frame fails; another archive in its place is used", async () => {
    const other = makePlace();
    const otherSink = other.open();
    await store(otherSink, frameOf("0.jpg", "zero"), "zero");
    otherSink.dispose();
    writeFileSync(join(other.directory, temporaryFolder, "1"), "left there");
    const place = makePlace();
    const sink = place.open();
    expect(sink.ready(1)).toBeUndefined();
    const stale = openWriter(sink, frameOf("1.jpg", "one"));
    stale.write(Buffer.from("one"));
    renameSync(place.directory, join(place.parent, "away"));
    renameSync(other.directory, place.directory);
    place.nowMs += 1000;
    expect(sink.ready(1)).toBeUndefined();
    expect(place.temporaryFiles()).toEqual([]);
    expect(lookupNow(sink, frameOf("0.jpg", "zero").origin, [frameOf("0.jpg", "zero")])[0]?.kind).toBe("have");
    // A frame begun on the disk that is gone cannot be finished on this one.
    const results: Result[] = [];
    stale.finish(crc32(Buffer.from("one")), (result) => results.push(result));
    expect(await commit(sink)).toBeUndefined();
    expect(results[0]).toMatchObject({ scope: "frame", retryable: true });
    sink.dispose();
  });

  test.skipIf(!canMount())(
    "a full disk: the frame fails, nothing is left of it, and with room it is stored",
    async () => {
      const place = makePlace();
      const unmount = mountSmall(place.directory, 2 ** 20);
      try {
        const sink = place.open({ frameBytesMax: 10_000_000 });
        const filler = join(place.directory, "filler");
        const content = "x".repeat(600_000);
        writeFileSync(filler, Buffer.alloc(500_000));
        const writer = openWriter(sink, frameOf("1.jpg", content));
        expect(() => writer.write(Buffer.from(content))).toThrow("the disk is full (ENOSPC)");
        writer.abort();
        expect(place.temporaryFiles()).toEqual([]);
        expect(sink.ready(1)).toBeInstanceOf(SinkError);
        place.nowMs += 1000;
        expect(sink.ready(600_000)?.message).toContain("too little for a frame of 585 KiB");
        unlinkSync(filler);
        expect(sink.ready(600_000)).toBeUndefined();
        expect(await store(sink, frameOf("1.jpg", content), content)).toBe("stored");
        sink.dispose();
      } finally {
        unmount();
      }
    },
  );
});

describe("directory sink: the catalogue", () => {
  test("holds what CATALOGUE.md says", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("day/1.jpg", "one", { sequence: 7 }), "one");
    await store(sink, frameOf("day/1.jpg", "two", { sequence: 2 ** 52, capturedNs: 2n ** 62n }), "two");
    const columns =
      "device, source, session, sequence, name, path, number, bytes, crc32, captured || '', received || ''";
    expect(place.query(`SELECT ${columns} FROM frames ORDER BY id`)).toEqual([
      [
        "rig",
        "visible",
        session,
        7,
        "day/1.jpg",
        "rig/visible/day/1.jpg",
        1,
        3,
        crc32(Buffer.from("one")),
        "1700000000123456789",
        "1800000000000000001",
      ],
      [
        "rig",
        "visible",
        session,
        2 ** 52,
        "day/1.jpg",
        "rig/visible/day/1~2.jpg",
        2,
        3,
        crc32(Buffer.from("two")),
        String(2n ** 62n),
        "1800000000000000001",
      ],
    ]);
    sink.dispose();
  });

  test("a number has one gap, and an end that is repeated replaces its earlier self", async () => {
    const place = makePlace();
    const sink = place.open();
    const origin = { device: "rig", source: "visible", session };
    const gap = { origin, firstSequence: 4, reason: "dropped", name: "", detail: "" } as const;
    const totals = { frames: 1, stored: 1, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
    const ignore = (): void => {};
    sink.gap({ ...gap, count: 2 }, ignore);
    sink.end({ origin, totals }, ignore);
    await commit(sink);
    sink.gap({ ...gap, count: 5 }, ignore);
    sink.gap({ ...gap, firstSequence: 9, count: 1 }, ignore);
    sink.end({ origin, totals: { ...totals, frames: 2 } }, ignore);
    await commit(sink);
    expect(place.query("SELECT first_sequence, count FROM gaps ORDER BY 1")).toEqual([
      [4, 2],
      [6, 3],
      [9, 1],
    ]);
    expect(place.query("SELECT frames FROM sessions")).toEqual([[2]]);
    sink.dispose();
  });

  test("has one outcome for each number: of frames, gaps and offers that are there already", async () => {
    const place = makePlace();
    const sink = place.open();
    const ignore = (): void => {};
    await store(sink, frameOf("0.jpg", "zero", inSession(otherSession)), "zero");
    symlinkSync("elsewhere", join(place.directory, "rig/visible/3.jpg"));
    const origin = { device: "rig", source: "visible", session };
    const gap = { origin, firstSequence: 4, count: 3, reason: "dropped", name: "", detail: "" } as const;
    const results: Result[] = [];
    stage(sink, frameOf("0.jpg", "zero", { sequence: 0 }), "zero", results);
    stage(sink, frameOf("1.jpg", "one", { sequence: 1 }), "one", results);
    stage(sink, frameOf("0.jpg", "other", { sequence: 2 }), "other", results);
    stage(sink, frameOf("3.jpg", "three", { sequence: 3 }), "three", results);
    sink.gap(gap, ignore);
    sink.gap({ ...gap, firstSequence: 7, count: 1, reason: "refused" }, ignore);
    stage(sink, frameOf("12.jpg", "12", { sequence: 12, origin }), "12");
    stage(sink, frameOf("14.jpg", "14", { sequence: 14, origin }), "14");
    stage(sink, frameOf("15.jpg", "15", { sequence: 15, ...inSession(otherSession) }), "15");
    await commit(sink);
    expect(results).toEqual(["duplicate", "stored", "conflict", "symlink"]);
    // An offer without numbers is a question, and nothing else.
    sink.lookup(origin, [frameOf("0.jpg", "zero")]);
    sink.lookup(origin, [frameOf("0.jpg", "zero"), frameOf("new.jpg", "n"), frameOf("1.jpg", "one")], 8);
    const outcomes = "SELECT first, last, outcome FROM outcomes JOIN sessions ON id = session_id WHERE session =";
    expect(place.query(`${outcomes} '${session}' ORDER BY first`)).toEqual([
      [0, 0, "duplicate"],
      [1, 1, "stored"],
      [2, 2, "conflict"],
      [3, 3, "refused"],
      [4, 6, "gap"],
      [7, 7, "refused"],
      [8, 8, "duplicate"],
      // It is the frame of number 1.
      [10, 10, "duplicate"],
      [12, 12, "stored"],
      [14, 14, "stored"],
    ]);
    expect(place.query(`${outcomes} '${otherSession}' ORDER BY first`)).toEqual([
      [0, 0, "stored"],
      [15, 15, "stored"],
    ]);
    place.breakCommits(true);
    expect(() => sink.lookup(origin, [frameOf("0.jpg", "zero")], 11)).toThrow(SinkError);
    place.breakCommits(false);
    sink.dispose();
  });

  test("the same bytes with another capture time: the row keeps its own, and is known by either", async () => {
    const place = makePlace();
    const sink = place.open();
    const [first, later, third] = [1n, 2n, 3n].map((capturedNs) => frameOf("1.jpg", "one", { capturedNs }));
    if (first === undefined || later === undefined || third === undefined) throw new Error("there are three");
    const kinds = (): string[] => lookupNow(sink, first.origin, [first, later, third]).map(({ kind }) => kind);
    await store(sink, first, "one");
    expect(kinds()).toEqual(["have", "want", "want"]);
    await store(sink, later, "one");
    expect(kinds()).toEqual(["have", "have", "want"]);
    // Twice in one group, before there is a row.
    const results = stage(sink, { ...first, name: "2.jpg" }, "one");
    stage(sink, { ...third, name: "2.jpg" }, "one", results);
    await commit(sink);
    expect(results).toEqual(["stored", "stored"]);
    expect(place.query("SELECT name, captured, offered FROM frames ORDER BY id")).toEqual([
      ["1.jpg", 1, 2],
      ["2.jpg", 1, 3],
    ]);
    sink.dispose();
  });

  test.skipIf(Bun.which("sqlite3") === null)(
    "can be read with sqlite3 while the receiver runs, and holds up nobody",
    async () => {
      const place = makePlace();
      const sink = place.open();
      await store(sink, frameOf("1.jpg", "one"), "one");
      const path = join(place.directory, catalogueFile);
      const ask = (sql: string): string => Bun.spawnSync(["sqlite3", path, sql]).stdout.toString().trim();
      expect(ask("SELECT path FROM frames")).toBe("rig/visible/1.jpg");
      await store(sink, frameOf("2.jpg", "two"), "two");
      expect(ask("SELECT count(*) FROM frames")).toBe("2");
      expect(ask("PRAGMA integrity_check")).toBe("ok");
      expect(ask("PRAGMA user_version")).toBe("2");
      sink.dispose();
      expect(ask("SELECT count(*) FROM frames")).toBe("2");
    },
  );

  test("is one file after a good end", async () => {
    const place = makePlace();
    const sink = place.open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    sink.dispose();
    expect(existsSync(join(place.directory, `${catalogueFile}-wal`))).toBe(false);
  });
});
