/** Gaps of a catalogue, from any of them to the next and back, by index. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Gap } from "../../../src/frame.ts";
import { type Catalogue, catalogueFile, ownFolder } from "../../../src/sinks/directory/catalogue.ts";
import { gapQueries, GapQuery, type StoredGapRow } from "../../../src/sinks/directory/gap-query.ts";
import { openSqliteCatalogue } from "../../../src/sinks/directory/sqlite-catalogue.ts";
import { Random } from "../../support/random.ts";
import { session } from "../suite.ts";

let directory: string;
let catalogue: Catalogue;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "framepipe-"));
  mkdirSync(join(directory, ownFolder));
  catalogue = openSqliteCatalogue(directory, "never");
});
afterEach(() => {
  catalogue.close();
  rmSync(directory, { recursive: true });
});

function gap(source: string, firstSequence: number, name = ""): Gap {
  const origin = { device: "rig", source, session };
  return { origin, firstSequence, count: 1, reason: "dropped", name, detail: "late" };
}

function record(gaps: readonly Gap[], nowNs: bigint): void {
  const outcomes = gaps.map(({ origin, firstSequence }) => {
    return { origin, first: firstSequence, last: firstSequence, outcome: "gap" } as const;
  });
  catalogue.record({ frames: [], gaps, ends: [], outcomes, nowNs });
}

test("gaps are found from any moment, either way, of one source or all", () => {
  const random = new Random(20);
  let sequence = 0;
  // Several in one commit have one time, and more of them than are asked for at once.
  for (const [nowNs, count] of [1, 3, 200, 2, 90, 5].map((of, at) => [BigInt(at * 10), of] as const)) {
    record(
      Array.from({ length: count }, () => gap(random.pick(["vis", "ir"]), (sequence += 2))),
      nowNs,
    );
  }
  const query = new GapQuery(directory);
  const sources = query.sources();
  expect(sources.map(({ source }) => source)).toEqual(["ir", "vis"]);
  const all = [...query.gapsFrom(sources, { timeNs: -1n, id: 0 }, "after")];
  expect(all).toHaveLength(301);
  expect(all.map(({ firstSequence }) => firstSequence).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 301 }, (_value, at) => 2 * at + 2),
  );
  const ids = (gaps: Iterable<StoredGapRow>): number[] => [...gaps].map(({ id }) => id);
  for (const at of [0, 1, 4, 100, 203, 300]) {
    const here = all[at] as StoredGapRow;
    const position = { timeNs: here.recordedNs, id: here.id };
    expect(ids(query.gapsFrom(sources, position, "after"))).toEqual(ids(all.slice(at + 1)));
    expect(ids(query.gapsFrom(sources, position, "before"))).toEqual(ids(all.slice(0, at).toReversed()));
    const [infrared] = sources;
    const ofOne = all.slice(at + 1).filter(({ source }) => source === "ir");
    expect(ids(query.gapsFrom(infrared === undefined ? [] : [infrared], position, "after"))).toEqual(ids(ofOne));
  }
  query.close();
});

test("a gap is open until a frame of its name is stored", () => {
  record([gap("vis", 0, "1.jpg"), gap("vis", 2, "2.jpg"), gap("vis", 4)], 5n);
  const frame = { origin: gap("vis", 9).origin, sequence: 9, name: "2.jpg", bytes: 1, capturedNs: 0n };
  const row = { frame, path: "2.jpg", number: 1, crc32: 0, receivedNs: 0n };
  catalogue.record({ frames: [row], gaps: [], ends: [], outcomes: [], nowNs: 6n });
  const query = new GapQuery(directory);
  const found = [...query.gapsFrom(query.sources(), { timeNs: 9n, id: 0 }, "before")];
  expect(found.map(({ name, open, recordedNs, reason, detail }) => [name, open, recordedNs, reason, detail])).toEqual([
    ["", true, 5n, "dropped", "late"],
    ["2.jpg", false, 5n, "dropped", "late"],
    ["1.jpg", true, 5n, "dropped", "late"],
  ]);
  query.close();
});

test("no question scans or sorts, also in a catalogue that had no index", () => {
  const run = (sql: string): void => {
    const database = new Database(join(directory, catalogueFile));
    database.run(sql);
    database.close();
  };
  catalogue.close();
  run("DROP INDEX gaps_by_source");
  catalogue = openSqliteCatalogue(directory, "never");
  const database = new Database(join(directory, catalogueFile), { readonly: true });
  const plans = Object.values(gapQueries).map((question) => {
    const sql = typeof question === "string" ? question : question();
    return database
      .prepare<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map(({ detail }) => detail);
  });
  database.close();
  const ofFrames = ["CORRELATED SCALAR SUBQUERY 1", expect.stringContaining("SEARCH frames USING COVERING INDEX")];
  expect(plans as unknown[]).toEqual([
    [expect.stringMatching(/^SEARCH sessions USING COVERING INDEX .* \(\(device,source\)>\(\?,\?\)\)$/)],
    ["SEARCH gaps USING INDEX gaps_by_source (device=? AND source=? AND recorded<?)", ...ofFrames],
    ["SEARCH gaps USING INDEX gaps_by_source (device=? AND source=? AND recorded>?)", ...ofFrames],
  ]);
});
