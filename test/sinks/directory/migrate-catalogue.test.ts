/** A catalogue of version 1 becomes one of version 2, whole or not at all. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CatalogueReader } from "../../../src/sinks/directory/catalogue-reader.ts";
import { catalogueFile, ownFolder } from "../../../src/sinks/directory/catalogue.ts";
import { openSqliteCatalogue } from "../../../src/sinks/directory/sqlite-catalogue.ts";
import { SqliteOutcomes } from "../../../src/sinks/directory/sqlite-outcomes.ts";
import { errorCode } from "../../../src/system/errno.ts";
import { verify } from "../../../src/sinks/directory/verify.ts";
import { makeVersion1, type Version1 } from "./catalogue-version-1.ts";

const [a, b] = ["a".repeat(32), "b".repeat(32)];
const origin = { device: "rig", source: "visible", session: a };

/** Two sessions: a with a conflict, gaps and an end; b cut off, with frames that came out of order. */
const some: Version1 = {
  frames: [
    { sequence: 0, received: 1_700_000_000_123_456_789n },
    { sequence: 1, received: 1_700_000_000_123_456_790n },
    { sequence: 2, number: 2, received: 1_700_000_000_123_456_791n },
    { sequence: 9, name: "9 of b", path: "9 of b", session: b, received: 50 },
    { sequence: 8, name: "8 of b", path: "8 of b", session: b, received: 60 },
    { sequence: 3, name: "3 of b", path: "3 of b", session: b, received: 70 },
  ],
  gaps: [
    { first_sequence: 3, count: 2, reason: "dropped", recorded: 40 },
    { first_sequence: 6, reason: "refused", name: "6.jpg" },
    // Reported, and then it was stored after all.
    { first_sequence: 9, reason: "vanished", session: b, recorded: 65 },
    { first_sequence: 0, reason: "unreadable", device: "other", recorded: 33 },
  ],
  sources: [
    { frames: 7, stored: 2, already: 1, conflicts: 1, refused: 1, skipped: 2, ended: 1_800_000_000_000_000_001n },
    { source: "empty", session: b, ended: 44 },
  ],
};

describe("a catalogue of version 1", () => {
  let directory: string;
  const ask = (sql: string): unknown[][] => {
    const database = new Database(join(directory, catalogueFile), { readonly: true });
    const statement = database.prepare(sql);
    try {
      return statement.values();
    } finally {
      statement.finalize();
      database.close();
    }
  };
  const version = (): unknown => ask("PRAGMA user_version")[0]?.[0];
  const migrate = (): void => openSqliteCatalogue(directory, "batch").close();

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "framepipe-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test("gets a row for each session that anything names, and outcomes from frames and gaps", () => {
    makeVersion1(directory, some);
    migrate();
    expect(version()).toBe(2);
    expect(
      ask(
        `SELECT device, source, session, first_seen || '', last_seen || '', clock_offset, account, frames, stored,
         duplicates, conflicts, refused, skipped, expired, ended || '' FROM sessions ORDER BY device, source, session`,
      ),
    ).toEqual([
      ["other", "visible", a, "33", "33", null, "migrated", ...Array<null>(8).fill(null)],
      ["rig", "empty", b, "44", "44", null, "migrated", 0, 0, 0, 0, 0, 0, 0, "44"],
      ["rig", "visible", a, "40", "1800000000000000001", null, "migrated", 7, 2, 1, 1, 1, 2, 0, "1800000000000000001"],
      ["rig", "visible", b, "50", "70", null, "migrated", ...Array<null>(8).fill(null)],
    ]);
    expect(
      ask(
        `SELECT device, session, first, last, outcome FROM outcomes JOIN sessions ON id = session_id
         ORDER BY device, session, first`,
      ),
    ).toEqual([
      ["other", a, 0, 0, "gap"],
      ["rig", a, 0, 1, "stored"],
      ["rig", a, 2, 2, "conflict"],
      ["rig", a, 3, 4, "gap"],
      ["rig", a, 6, 6, "refused"],
      ["rig", b, 3, 3, "stored"],
      ["rig", b, 8, 9, "stored"],
    ]);
    expect(ask("SELECT count(*), count(offered), count(notes), count(metadata) FROM frames")).toEqual([[6, 0, 0, 0]]);
    expect(ask("SELECT name FROM sqlite_schema WHERE name = 'sources'")).toEqual([]);
  });

  test("has the tables of one that was made as version 2", () => {
    const shape = (): unknown => [
      ask("SELECT name, type FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name"),
      ask(
        `SELECT m.name, p.name, p.type, p."notnull", p.pk FROM sqlite_schema m JOIN pragma_table_info(m.name) p
         WHERE m.type = 'table' ORDER BY m.name, p.cid`,
      ),
      ask("SELECT name, strict, wr FROM pragma_table_list WHERE name NOT LIKE 'sqlite_%' ORDER BY name"),
    ];
    makeVersion1(directory, some);
    migrate();
    const migrated = shape();
    rmSync(join(directory, ownFolder), { recursive: true });
    makeVersion1(directory, {});
    rmSync(join(directory, catalogueFile));
    migrate();
    expect(shape()).toEqual(migrated);
  });

  test("is used on: what is in it is found, and what comes is recorded in the same sessions", () => {
    makeVersion1(directory, some);
    const catalogue = openSqliteCatalogue(directory, "batch");
    expect(catalogue.find(origin, "0.jpg", 5n)).toMatchObject([{ sameCapture: true, crc32: 7 }]);
    catalogue.record({
      frames: [],
      gaps: [],
      ends: [],
      outcomes: [{ origin, first: 5, last: 5, outcome: "duplicate" }],
      nowNs: 7n,
    });
    catalogue.close();
    expect(ask("SELECT account FROM sessions WHERE device = 'rig' AND session LIKE 'a%'")).toEqual([["migrated"]]);
    expect(ask("SELECT first, outcome FROM outcomes WHERE first = 5")).toEqual([[5, "duplicate"]]);
    openSqliteCatalogue(directory, "batch").close();
  });

  test("with more rows than are read at a time, and more ranges than are kept", () => {
    const frames = Array.from({ length: 50_000 }, (_, index) => ({
      sequence: index < 45_000 ? 2 * index : 90_001 - 2 * (index - 45_000),
    }));
    makeVersion1(directory, { frames });
    migrate();
    const numbers = new Set(frames.map(({ sequence }) => sequence));
    const [[count, covered] = []] = ask("SELECT count(*), sum(last - first + 1) FROM outcomes");
    expect(covered).toBe(numbers.size);
    let ranges = 0;
    for (const number of numbers) if (!numbers.has(number - 1)) ranges += 1;
    expect(count).toBe(ranges);
  });

  test("stays one if the receiver is killed in the middle, and the next one goes through with it", () => {
    makeVersion1(directory, some);
    const folder = join(import.meta.dir, "../../../src/sinks/directory");
    const program = `
      import { openSqliteCatalogue } from ${JSON.stringify(join(folder, "sqlite-catalogue.ts"))};
      import { SqliteOutcomes } from ${JSON.stringify(join(folder, "sqlite-outcomes.ts"))};
      const { enter } = SqliteOutcomes.prototype;
      let calls = 0;
      SqliteOutcomes.prototype.enter = function (...words) {
        enter.apply(this, words);
        if (++calls === 2) process.kill(process.pid, "SIGKILL");
      };
      openSqliteCatalogue(${JSON.stringify(directory)}, "batch");`;
    writeFileSync(join(directory, "child.ts"), program);
    const child = Bun.spawnSync([process.execPath, join(directory, "child.ts")]);
    expect(child.signalCode).toBe("SIGKILL");
    expect(version()).toBe(1);
    expect(ask("SELECT count(*) FROM sources")).toEqual([[2]]);
    migrate();
    expect(version()).toBe(2);
    expect(ask("SELECT count(*) FROM sessions")).toEqual([[4]]);
  });

  test("stays one if there is no room, and the directory is free again", () => {
    makeVersion1(directory, some);
    const { enter } = SqliteOutcomes.prototype;
    SqliteOutcomes.prototype.enter = () => {
      throw Object.assign(new Error("database or disk is full"), { code: "SQLITE_FULL" });
    };
    let error: unknown;
    try {
      migrate();
    } catch (thrown) {
      error = thrown;
    } finally {
      SqliteOutcomes.prototype.enter = enter;
    }
    // The directory waits for room.
    expect(errorCode(error)).toBe("SQLITE_FULL");
    expect(version()).toBe(1);
    migrate();
    expect(version()).toBe(2);
  });

  test("is read by --verify while it becomes version 2", () => {
    makeVersion1(directory, some);
    const reader = new CatalogueReader(directory);
    const read = (): unknown => [
      reader.countFrames(),
      reader.framesAfter(0, 100),
      reader.openGapsAfter(0, 100),
      [...reader.lastEnds()],
    ];
    const before = read();
    expect(before).toMatchObject([6, { length: 6 }, { length: 4 }, { length: 2 }]);
    const catalogue = openSqliteCatalogue(directory, "batch");
    expect(version()).toBe(2);
    expect(read()).toEqual(before);
    reader.close();
    catalogue.close();
  });

  test("is verified as it is", async () => {
    makeVersion1(directory, some);
    const before = readFileSync(join(directory, catalogueFile));
    const report = await verify({ directory, found: () => {}, settleMs: 0 });
    expect(report).toMatchObject({ frames: 6, missing: 6, gapFrames: 5 });
    expect(version()).toBe(1);
    expect(readFileSync(join(directory, catalogueFile))).toEqual(before);
  });
});
