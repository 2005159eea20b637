/** What is read from a catalogue, in which order, and that no question looks at what is not asked for. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../../src/errors.ts";
import { type Catalogue, catalogueFile, type FrameRow, ownFolder } from "../../../src/sinks/directory/catalogue.ts";
import { type FrameRange, frameQueries, FrameQuery } from "../../../src/sinks/directory/frame-query.ts";
import { openSqliteCatalogue } from "../../../src/sinks/directory/sqlite-catalogue.ts";
import { Random } from "../../support/random.ts";
import { session } from "../suite.ts";
import { makeVersion1 } from "./catalogue-version-1.ts";

const everything: FrameRange = { fromNs: undefined, toNs: undefined, clock: "sender", lastId: Number.MAX_SAFE_INTEGER };
const [earliestNs, latestNs] = [-(2n ** 63n), 2n ** 63n - 1n];

describe("frames of a catalogue", () => {
  let directory: string;
  let catalogue: Catalogue;
  let query: FrameQuery | undefined;
  let count = 0;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "framepipe-"));
    mkdirSync(join(directory, ownFolder));
    catalogue = openSqliteCatalogue(directory, "never");
    count = 0;
  });
  afterEach(() => {
    query?.close();
    query = undefined;
    catalogue.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Names are the order of storing. */
  function rowAt(source: string, capturedNs: bigint, clockOffsetNs?: bigint): FrameRow {
    const [device = "", last = ""] = source.split("/");
    const name = String((count += 1));
    const frame = { origin: { device, source: last, session }, sequence: count, name, bytes: 5, capturedNs };
    const offset = clockOffsetNs === undefined ? {} : { clockOffsetNs };
    return { frame: { ...frame, ...offset }, path: `${source}/${name}`, number: 1, crc32: 7, receivedNs: latestNs };
  }

  function record(...frames: FrameRow[]): void {
    catalogue.record({ frames, gaps: [], ends: [], outcomes: [], nowNs: 1n });
  }

  /** Paths, in order. */
  function read(sources: readonly string[], range: Partial<FrameRange> = {}): string[] {
    query ??= new FrameQuery(directory);
    const wanted = query.sources().filter(({ device, source }) => sources.includes(`${device}/${source}`));
    return [...query.framesOf(wanted, { ...everything, ...range })].map(({ path }) => path);
  }

  test("are all of a source in a range, by time and then by storing, whichever clock is asked for", () => {
    const random = new Random(18);
    const all: FrameRow[] = [];
    const sources = ["rig/a", "rig/b", "other/a"];
    for (let batch = 0; batch < 8; batch += 1) {
      // Few moments, so that pages end within them; and some at the ends of what 64 bits hold.
      const rows = Array.from({ length: 400 }, () => {
        const capturedNs = random.chance(0.01) ? random.pick([earliestNs, latestNs]) : BigInt(random.int(6));
        return rowAt(random.pick(sources), capturedNs, random.pick([undefined, 0n, 2n, -3n]));
      });
      record(...rows);
      all.push(...rows);
    }
    const timeOf = ({ frame }: FrameRow, clock: string): bigint => {
      const corrected = frame.capturedNs - (frame.clockOffsetNs ?? 0n);
      return clock === "sender" || BigInt.asIntN(64, corrected) !== corrected ? frame.capturedNs : corrected;
    };
    for (let at = 0; at < 60; at += 1) {
      const clock = random.pick(["sender", "receiver"] as const);
      const fromNs = random.chance(0.3) ? undefined : BigInt(random.int(12) - 4);
      const toNs = random.chance(0.3) ? undefined : BigInt(random.int(12) - 4);
      const lastId = random.chance(0.5) ? everything.lastId : random.int(all.length);
      const wanted = sources.filter(() => random.chance(0.7));
      const expected = all
        .filter((row) => {
          const timeNs = timeOf(row, clock);
          const inRange = timeNs >= (fromNs ?? earliestNs) && (toNs === undefined || timeNs < toNs);
          const { device, source } = row.frame.origin;
          return inRange && row.frame.sequence <= lastId && wanted.includes(`${device}/${source}`);
        })
        // Sorting keeps the order of what is equal.
        .toSorted((a, b) => Number(timeOf(a, clock) > timeOf(b, clock)) - Number(timeOf(a, clock) < timeOf(b, clock)))
        .map(({ path }) => path);
      expect(read(wanted, { clock, fromNs, toNs, lastId })).toEqual(expected);
    }
  });

  test("are found backwards from any of them as well, and one by its id", () => {
    const random = new Random(19);
    record(
      ...Array.from({ length: 600 }, () => {
        // More of one moment than are asked for at a time.
        const capturedNs = random.pick([earliestNs, 0n, 1n, 2n, 500n, latestNs]);
        return rowAt("rig/a", capturedNs, random.pick([undefined, 0n, 2n, -3n]));
      }),
    );
    query = new FrameQuery(directory);
    const [source = { device: "", source: "" }] = query.sources();
    for (const clock of ["sender", "receiver"] as const) {
      const range = { ...everything, clock };
      const forwards = [...query.framesOf([source], range)];
      for (const at of [0, 1, 100, 333, 599]) {
        const position = forwards[at] ?? { timeNs: 0n, id: 0 };
        const before = [...query.framesBefore(source, position, range)].toReversed();
        expect(before.map(({ path }) => path)).toEqual(forwards.slice(0, at).map(({ path }) => path));
        expect(query.row(position.id, clock)).toEqual(forwards[at]);
      }
    }
    expect(query.row(601, "sender")).toBeUndefined();
  });

  test("have all their columns, times to the nanosecond", () => {
    const row = rowAt("rig/a", 2n ** 62n + 1n, -5n);
    record({ ...row, frame: { ...row.frame, notes: 1, metadata: new Map([["lux", "40"]]) } });
    query = new FrameQuery(directory);
    const [frame] = query.framesOf(query.sources(), { ...everything, clock: "receiver" });
    expect(frame).toEqual({
      id: 1,
      device: "rig",
      source: "a",
      session,
      sequence: 1,
      name: "1",
      path: "rig/a/1",
      number: 1,
      bytes: 5,
      crc32: 7,
      timeNs: 2n ** 62n + 6n,
      receivedNs: latestNs,
      notes: "incomplete",
      metadata: '{"lux":"40"}',
    });
  });

  test("that are stored or removed meanwhile disturb nothing", () => {
    record(...Array.from({ length: 1200 }, (_, at) => rowAt("rig/a", BigInt(at))));
    query = new FrameQuery(directory);
    expect(query.highestId()).toBe(1200);
    const reading = query.framesOf(query.sources(), { ...everything, lastId: 1200 })[Symbol.iterator]();
    const paths = Array.from({ length: 600 }, () => reading.next().value?.path);
    record(rowAt("rig/a", 700n), rowAt("rig/a", 10n));
    const frames = catalogue.kept.oldest(2000).filter(({ path }) => path === "rig/a/1101" || path === "rig/a/3");
    catalogue.kept.expire({ frames, gapsUpTo: [], gone: [] }, 5n);
    for (let next = reading.next(); next.done !== true; next = reading.next()) paths.push(next.value.path);
    const expected = Array.from({ length: 1200 }, (_, at) => `rig/a/${at + 1}`).filter((path) => path !== "rig/a/1101");
    expect(paths).toEqual(expected);
    expect([query.has(3), query.has(4)]).toEqual([false, true]);
  });

  test("of an empty catalogue are none", () => {
    query = new FrameQuery(directory);
    expect([query.highestId(), query.sources()]).toEqual([0, []]);
    expect([...query.framesOf([], everything)]).toEqual([]);
  });

  test("are found by index: no question scans or sorts", () => {
    const database = new Database(join(directory, catalogueFile), { readonly: true });
    const questions = Object.values(frameQueries).flatMap((sql) =>
      typeof sql === "string" ? [sql] : [sql("captured"), sql("corrected")],
    );
    const plans = questions.map((sql) => {
      const plan = database.prepare<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${sql}`).all();
      return plan.map(({ detail }) => detail).join("; ");
    });
    database.close();
    const bySource = "(device=? AND source=? AND";
    expect(plans).toEqual([
      "SEARCH frames",
      ...Array.from({ length: 3 }, () => "SEARCH frames USING INTEGER PRIMARY KEY (rowid=?)"),
      "SEARCH frames USING COVERING INDEX frames_by_time ((device,source)>(?,?))",
      `SEARCH frames USING INDEX frames_by_time ${bySource} captured>? AND captured<?)`,
      `SEARCH frames USING INDEX frames_by_corrected ${bySource} corrected>? AND corrected<?)`,
      `SEARCH frames USING INDEX frames_by_time ${bySource} captured=? AND rowid>? AND rowid<?)`,
      `SEARCH frames USING INDEX frames_by_corrected ${bySource} corrected=? AND rowid>? AND rowid<?)`,
      `SEARCH frames USING INDEX frames_by_time ${bySource} captured<?)`,
      `SEARCH frames USING INDEX frames_by_corrected ${bySource} corrected<?)`,
      `SEARCH frames USING INDEX frames_by_time ${bySource} captured=? AND rowid<?)`,
      `SEARCH frames USING INDEX frames_by_corrected ${bySource} corrected=? AND rowid<?)`,
    ]);
  });

  test("of a catalogue of version 1 are not read, and it says how they can be", () => {
    const old = mkdtempSync(join(tmpdir(), "framepipe-"));
    try {
      makeVersion1(old, { frames: [{ sequence: 0, received: 5 }] });
      expect(() => new FrameQuery(old)).toThrow("was stored by framepipe 0.1.0");
      openSqliteCatalogue(old, "batch").close();
      const migrated = new FrameQuery(old);
      expect([...migrated.framesOf(migrated.sources(), everything)]).toHaveLength(1);
      migrated.close();
      rmSync(join(old, ownFolder), { recursive: true });
      expect(() => new FrameQuery(old)).toThrow(UserError);
    } finally {
      rmSync(old, { recursive: true });
    }
  });
});
