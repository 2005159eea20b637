/** What others do to the files that a directory stands on: lock, catalogue, log. */
import { Database } from "bun:sqlite";
import { afterEach, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { UserError } from "../../../src/errors.ts";
import type { DestinationEvent } from "../../../src/events.ts";
import { MiB } from "../../../src/limits.ts";
import {
  catalogueFile,
  lockFile,
  logFile,
  ownFolder,
  temporaryFolder,
} from "../../../src/sinks/directory/catalogue.ts";
import { catalogueReaders, lockedHint } from "../../../src/sinks/directory/sqlite-catalogue.ts";
import { type Disk, nodeDisk } from "../../../src/system/file-system.ts";
import { commit, frameOf, lookupNow, stage, store } from "../suite.ts";
import { type DirectoryOptions, DirectoryPlace } from "./directory-place.ts";

const places: DirectoryPlace[] = [];
const children: Bun.Subprocess[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill();
    await child.exited;
  }
  for (const place of places.splice(0)) place.remove();
});

interface Opened {
  readonly place: DirectoryPlace;
  readonly sink: ReturnType<DirectoryPlace["open"]>;
  readonly events: DestinationEvent[];
  /** Looks at the destination, as a receiver does now and then: why nothing can be stored. */
  readonly look: () => string | undefined;
  readonly path: (file: string) => string;
  readonly happened: () => string[];
}

function open(options: DirectoryOptions = {}, place: DirectoryPlace = new DirectoryPlace()): Opened {
  places.push(place);
  const events: DestinationEvent[] = [];
  const sink = place.open({ onEvent: (event) => void events.push(event), ...options });
  const look = (): string | undefined => {
    place.nowMs += 1000;
    return sink.ready(1)?.message;
  };
  return {
    place,
    sink,
    events,
    look,
    path: (file) => join(place.directory, file),
    happened: () => events.map(({ what }) => what),
  };
}

const onLinux = process.platform === "linux";

describe("the directory", () => {
  test("that is gone is named when a frame begins, with what to do, and used again when it is back", async () => {
    const { sink, look, place } = open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    renameSync(place.directory, `${place.directory}-away`);
    const gone = { message: `${place.directory} is gone; nothing is stored until it is back` };
    const hints = expect.arrayContaining([expect.stringContaining("mount its disk")]) as string[];
    expect(() => sink.open(frameOf("2.jpg", "two"))).toThrow(expect.objectContaining({ ...gone, hints }));
    mkdirSync(place.directory);
    expect(look()).toContain("is another directory than before, and has no catalogue");
    rmdirSync(place.directory);
    renameSync(`${place.directory}-away`, place.directory);
    expect(look()).toBeUndefined();
    expect(await store(sink, frameOf("2.jpg", "two"), "two")).toBe("stored");
  });
});

describe("the lock", () => {
  test("is made again when somebody has removed it, which is said", async () => {
    const { sink, path, look, happened, events, place } = open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    unlinkSync(path(lockFile));
    expect(look()).toBeUndefined();
    expect(happened()).toEqual(["begun", "lock-made"]);
    expect(events[1]).toMatchObject({ place: place.directory, detail: expect.stringContaining(lockFile) as string });
    expect(existsSync(path(lockFile))).toBe(true);
    expect(() => place.open()).toThrow("is in use by another receiver");
    expect(look()).toBeUndefined();
    expect(happened()).toHaveLength(2);
    sink.dispose();
  });

  test.if(onLinux)("is not all that keeps another receiver out: the catalogue is claimed", async () => {
    const { sink, path, place } = open();
    unlinkSync(path(lockFile));
    expect(() => place.open()).toThrow("is in use by another receiver");
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
    sink.dispose();
    place.open().dispose();
  });

  test("of another receiver holds this one", () => {
    const { sink, path, look } = open();
    unlinkSync(path(lockFile));
    const other = new Database(path(lockFile), { create: true });
    other.run("BEGIN EXCLUSIVE");
    expect(look()).toContain("is in use by another receiver");
    other.close();
    expect(look()).toBeUndefined();
    sink.dispose();
  });
});

describe("a catalogue", () => {
  test("that was removed is named, with what to do, and used again when it is put back", async () => {
    const { sink, path, look, place, happened } = open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    const copy = join(place.parent, "copy.db");
    place.query("SELECT 1");
    const database = new Database(path(catalogueFile));
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    database.close();
    copyFileSync(path(catalogueFile), copy);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(path(catalogueFile) + suffix, { force: true });
    // Before anything is written to a file without a name.
    const results = stage(sink, frameOf("2.jpg", "two"), "two");
    expect((await commit(sink))?.message).toContain(`its catalogue (${catalogueFile}) is gone`);
    expect(results[0]).toMatchObject({ retryable: true, scope: "destination" });
    place.nowMs += 1000;
    expect(sink.ready(1)).toMatchObject({
      message: `${place.directory}: its catalogue (${catalogueFile}) is gone; nothing is stored until it is back`,
      hints: [
        `make it anew from the files: framepipe --verify '${place.directory}' --rebuild`,
        "or put back a copy of it",
      ],
    });
    expect(existsSync(path(catalogueFile))).toBe(false);
    const waiting = stage(sink, frameOf("3.jpg", "three"), "three");
    renameSync(copy, path(catalogueFile));
    expect(look()).toBeUndefined();
    expect(happened()).toEqual(["begun", "replaced"]);
    expect(await store(sink, frameOf("2.jpg", "two"), "two")).toBe("stored");
    expect(waiting).toEqual(["stored"]);
    expect(place.query("SELECT name FROM frames ORDER BY id")).toEqual([["1.jpg"], ["3.jpg"], ["2.jpg"]]);
    sink.dispose();
  });

  test("that was emptied is as good as gone", async () => {
    const { sink, path, look } = open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    truncateSync(path(catalogueFile), 0);
    expect(look()).toContain("was emptied");
    expect(look()).toContain("was emptied");
    sink.dispose();
  });

  test("of another archive is used from now on, which is said; a frame on its way is sent again", async () => {
    const other = open();
    await store(other.sink, frameOf("0.jpg", "zero"), "zero");
    other.sink.dispose();
    const { sink, place, look, path, happened } = open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    renameSync(place.directory, join(place.parent, "away"));
    renameSync(other.place.directory, place.directory);
    writeFileSync(path(`${temporaryFolder}/7`), "left by a receiver that was killed");
    expect(look()).toBeUndefined();
    expect(place.temporaryFiles()).toEqual([]);
    expect(happened()).toEqual(["begun", "replaced"]);
    expect(lookupNow(sink, frameOf("0.jpg", "zero").origin, [frameOf("0.jpg", "zero")])[0]?.kind).toBe("have");
    // It is locked there as well, and not where it was.
    expect(() => place.open()).toThrow("is in use");
    const away = new Database(join(place.parent, "away", lockFile));
    away.run("BEGIN EXCLUSIVE");
    away.close();
    sink.dispose();
  });

  test("whose log was removed has lost nothing, and goes on with another", async () => {
    const { sink, path, look, happened, place } = open();
    for (const name of ["1.jpg", "2.jpg"]) await store(sink, frameOf(name, name), name);
    expect(existsSync(path(logFile))).toBe(true);
    unlinkSync(path(logFile));
    unlinkSync(`${path(catalogueFile)}-shm`);
    expect(look()).toBeUndefined();
    expect(happened()).toEqual(["begun", "log-removed"]);
    await store(sink, frameOf("3.jpg", "3.jpg"), "3.jpg");
    expect(place.query("SELECT name FROM frames ORDER BY id")).toEqual([["1.jpg"], ["2.jpg"], ["3.jpg"]]);
    sink.dispose();
  });
});

describe("the log", () => {
  test("beyond 64 MiB is told with its size and who holds it, at each doubling, and when it is small", () => {
    let bytes = 0;
    const disk: Disk = { ...nodeDisk, look: (path) => (path.endsWith("-wal") ? bytes : nodeDisk.look(path)) };
    const { sink, look, happened, events } = open({ disk, readersOf: () => ["sqlite3 (process 4711)"] });
    for (const size of [1, 63, 64, 100, 127, 128, 600, 600, 70, 16, 65]) {
      bytes = size * MiB;
      expect(look()).toBeUndefined();
    }
    expect(happened().slice(1)).toEqual(["log-large", "log-large", "log-large", "log-small", "log-large"]);
    expect(events.slice(1).map((event) => event.bytes)).toEqual([64, 128, 600, 16, 65].map((size) => size * MiB));
    expect(events[1]?.detail).toBe(
      "the catalogue's log has grown to 64 MiB, because sqlite3 (process 4711) does not let go of it",
    );
    sink.dispose();
  });

  test.if(onLinux)("names the program that has a transaction open", async () => {
    const { sink, place } = open();
    await store(sink, frameOf("1.jpg", "one"), "one");
    expect(catalogueReaders(place.directory)).toEqual([]);
    const child = await reader(place.directory, "BEGIN; SELECT count(*) FROM frames");
    expect(catalogueReaders(place.directory)).toEqual([expect.stringContaining(`(process ${child.pid})`) as string]);
    expect(lockedHint(place.directory)).toContain(`(process ${child.pid})`);
    sink.dispose();
  });
});

/** Another program that has the catalogue open. */
async function reader(directory: string, sql: string): Promise<Bun.Subprocess> {
  const script = `const { Database } = require("bun:sqlite");
    const database = new Database(${JSON.stringify(join(directory, catalogueFile))});
    for (const one of ${JSON.stringify(sql.split("; "))}) database.prepare(one).all();
    console.log("ready");
    setInterval(() => {}, 1e6);`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
  children.push(child);
  await child.stdout.getReader().read();
  return child;
}

describe("at the start", () => {
  test.each(["EROFS", "ENOSPC", "EDQUOT"])("a disk that says %s is waited for", async (code) => {
    let failing = true;
    const fail = (): void => {
      if (failing) throw Object.assign(new Error("no"), { code });
    };
    const disk: Disk = {
      ...nodeDisk,
      makeDirectory: (...words) => (fail(), nodeDisk.makeDirectory(...words)),
      create: (path) => (fail(), nodeDisk.create(path)),
    };
    const { sink, look, happened, place } = open({ disk });
    expect(look()).toContain(`(${code})`);
    expect(existsSync(place.directory)).toBe(false);
    failing = false;
    expect(look()).toBeUndefined();
    expect(happened()).toEqual(["begun"]);
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
    sink.dispose();
  });

  test("a catalogue that somebody has locked is waited for, and who it is is said", () => {
    const place = new DirectoryPlace();
    mkdirSync(join(place.directory, ownFolder), { recursive: true });
    const other = new Database(join(place.directory, catalogueFile));
    other.run("CREATE TABLE t (x)");
    other.run("BEGIN EXCLUSIVE");
    const { sink, look } = open({ lockedHint: () => "end sqlite3" }, place);
    expect(look()).toContain("the catalogue is locked by another program (SQLITE_BUSY)");
    expect(sink.ready(1)?.hints).toEqual(["end sqlite3"]);
    other.run("ROLLBACK");
    other.run("DROP TABLE t");
    other.close();
    expect(look()).toBeUndefined();
    sink.dispose();
  });

  test("files that are there already are said not to be in a new catalogue, and empty folders are not", () => {
    for (const [name, said] of [
      ["cam/vis", undefined],
      ["cam/vis/1.jpg", expect.stringContaining("--rebuild")],
    ] as const) {
      const { place, sink, events } = open();
      sink.dispose();
      rmSync(place.directory, { recursive: true });
      const path = join(place.directory, name);
      mkdirSync(name.endsWith(".jpg") ? dirname(path) : path, { recursive: true });
      if (name.endsWith(".jpg")) writeFileSync(path, "picture");
      place.open({ onEvent: (event) => void events.push(event) }).dispose();
      expect(events.map(({ what, hints }) => [what, hints?.[0]])).toEqual([
        ["begun", undefined],
        ["begun", said],
      ]);
    }
  });

  test("with --no-create there has to be a catalogue", () => {
    const place = new DirectoryPlace();
    places.push(place);
    const fails = (): UserError => {
      try {
        place.open({ mustExist: true });
      } catch (error) {
        if (error instanceof UserError) return error;
      }
      throw new Error("no error came");
    };
    expect(fails().message).toContain("has no catalogue");
    expect(existsSync(place.directory)).toBe(false);
    mkdirSync(join(place.directory, ownFolder), { recursive: true });
    writeFileSync(join(place.directory, catalogueFile), "");
    expect(fails().hints).toEqual(["is its disk mounted?", "to begin a new archive there, leave out --no-create"]);
    place.open().dispose();
    place.open({ mustExist: true }).dispose();
  });
});

test("a catalogue that a failing disk let look damaged is opened again, and its frames are stored", async () => {
  const { openCatalogue } = new DirectoryPlace().options();
  let damaged = true;
  const { sink, look } = open({
    openCatalogue: (...words) => {
      const catalogue = openCatalogue(...words);
      return {
        ...catalogue,
        record: (batch) => {
          if (damaged) throw Object.assign(new Error("malformed"), { code: "SQLITE_CORRUPT" });
          catalogue.record(batch);
        },
      };
    },
  });
  const results = stage(sink, frameOf("1.jpg", "one"), "one");
  const failure = await commit(sink);
  expect(failure).toMatchObject({ retryable: true, hints: [expect.stringContaining("--rebuild"), expect.anything()] });
  expect(results).toEqual([expect.objectContaining({ scope: "destination" })]);
  damaged = false;
  expect(look()).toBeUndefined();
  expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
});
