/** What the catalogue in SQLite keeps of a batch, beyond what the directory sink's own tests ask of it. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GapReason, Origin } from "../../../src/frame.ts";
import {
  type Catalogue,
  type CatalogueBatch,
  catalogueFile,
  type FrameRow,
  ownFolder,
} from "../../../src/sinks/directory/catalogue.ts";
import { type AccountOutcome, isOwn } from "../../../src/outcomes.ts";
import { openSqliteCatalogue } from "../../../src/sinks/directory/sqlite-catalogue.ts";
import { keptQueries } from "../../../src/sinks/directory/sqlite-kept.ts";
import { tombstoneQueries } from "../../../src/sinks/directory/sqlite-tombstones.ts";
import { SqliteOutcomes } from "../../../src/sinks/directory/sqlite-outcomes.ts";
import { Random } from "../../support/random.ts";
import { frameOf, otherSession, session } from "../suite.ts";

const origin: Origin = { device: "rig", source: "visible", session };
const other: Origin = { ...origin, session: otherSession };
const outcomesAll = ["stored", "duplicate", "conflict", "refused", "gap", "expired"] as const;

describe("the catalogue in SQLite", () => {
  let directory: string;
  let catalogue: Catalogue;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "framepipe-"));
    mkdirSync(join(directory, ownFolder));
    catalogue = openSqliteCatalogue(directory, "batch");
  });
  afterEach(() => {
    catalogue.close();
    rmSync(directory, { recursive: true, force: true });
  });

  function ask(sql: string): unknown[][] {
    const database = new Database(join(directory, catalogueFile), { readonly: true });
    const statement = database.prepare(sql);
    try {
      return statement.values();
    } finally {
      statement.finalize();
      database.close();
    }
  }

  function record(batch: Partial<CatalogueBatch>): void {
    catalogue.record({ frames: [], gaps: [], ends: [], outcomes: [], nowNs: 100n, ...batch });
  }

  function rowOf(name: string, changes: Partial<FrameRow["frame"]> = {}, number = 1): FrameRow {
    const path = `rig/visible/${number === 1 ? name : `${name}~${number}`}`;
    return { frame: { ...frameOf(name, "abc"), ...changes }, path, number, crc32: 9, receivedNs: 3n };
  }

  /** Stored, with the number that a camera would give. */
  function recordFrames(...rows: FrameRow[]): void {
    const outcomes = rows.map(({ frame }): CatalogueBatch["outcomes"][number] => {
      return { origin: frame.origin, first: frame.sequence, last: frame.sequence, outcome: "stored" };
    });
    record({ frames: rows, outcomes });
  }

  const outcomesOf = (of: Origin): unknown[][] =>
    ask(
      `SELECT first, last, outcome FROM outcomes JOIN sessions ON id = session_id
       WHERE session = '${of.session}' AND source = '${of.source}' ORDER BY first`,
    );

  test("a session is seen with each batch that names it; its offset stays until another is known", () => {
    const outcome = { origin, first: 0, last: 0, outcome: "stored" } as const;
    record({ outcomes: [outcome], nowNs: 2n ** 61n });
    const frames = [rowOf("1.jpg", { clockOffsetNs: 9n }), rowOf("2.jpg", { clockOffsetNs: -5n }), rowOf("3.jpg")];
    record({ outcomes: [{ ...outcome, first: 1, last: 3 }], frames });
    record({ outcomes: [{ ...outcome, first: 4, last: 4 }], nowNs: 400n });
    record({ outcomes: [{ ...outcome, origin: other }], nowNs: 7n });
    expect(ask("SELECT session, first_seen, last_seen, clock_offset, account, ended FROM sessions")).toEqual([
      [session, 2 ** 61, 400, -5, "full", null],
      [otherSession, 7, 7, null, "full", null],
    ]);
    expect(outcomesOf(origin)).toEqual([[0, 4, "stored"]]);
  });

  test("a time is corrected where the sender's clock is known to be another", () => {
    const [capturedNs, edgeNs] = [2n ** 61n + 1n, -(2n ** 63n)];
    recordFrames(
      rowOf("1.jpg", { capturedNs, clockOffsetNs: -(2n ** 60n) }),
      rowOf("2.jpg", { capturedNs, clockOffsetNs: 0n }),
      rowOf("3.jpg", { capturedNs }),
      // Before the first moment that 64 bits can hold.
      rowOf("4.jpg", { capturedNs: edgeNs, clockOffsetNs: 1n }),
    );
    expect(ask("SELECT captured || '', corrected || '' FROM frames ORDER BY id")).toEqual([
      [String(capturedNs), String(capturedNs + 2n ** 60n)],
      [String(capturedNs), null],
      [String(capturedNs), null],
      [String(edgeNs), null],
    ]);
  });

  test("notes are words, metadata is JSON, and without them there is nothing", () => {
    recordFrames(
      rowOf("1.jpg", {
        notes: 0b1001,
        metadata: new Map([
          ["gain", "2"],
          ['o"dd', "ü"],
        ]),
      }),
      rowOf("2.jpg", { notes: 0, metadata: new Map() }),
      rowOf("3.jpg"),
      rowOf("4.jpg", { notes: 0b100010 }),
    );
    expect(ask("SELECT name, notes, metadata ->> 'gain', json_valid(metadata) FROM frames ORDER BY id")).toEqual([
      ["1.jpg", "incomplete,wrong-checksum", "2", 1],
      ["2.jpg", null, null, null],
      ["3.jpg", null, null, null],
      ["4.jpg", "damaged-header,note-5", null, null],
    ]);
  });

  test("a time with which a frame was offered is remembered beside its own, and either is found", () => {
    const frame = rowOf("1.jpg", { capturedNs: 2n ** 61n + 1n });
    recordFrames(frame);
    const found = (capturedNs: bigint): unknown => catalogue.find(origin, "1.jpg", capturedNs)[0]?.sameCapture;
    expect([found(2n ** 61n + 1n), found(2n ** 61n), found(5n)]).toEqual([true, false, false]);
    record({ offered: [{ path: frame.path, capturedNs: 5n }] });
    expect([found(2n ** 61n + 1n), found(2n ** 61n), found(5n)]).toEqual([true, false, true]);
    record({ offered: [{ path: frame.path, capturedNs: 2n ** 61n + 1n }] });
    expect(ask("SELECT captured || '', offered FROM frames")).toEqual([[String(2n ** 61n + 1n), 5]]);
  });

  test("a stretch that is told again replaces its earlier self", () => {
    const stretch = { origin, sequence: 4, class: "loss", count: 1, bytes: 10, text: "TIFF" } as const;
    record({ stretches: [stretch, { ...stretch, sequence: 3, class: "information", text: "padding" }] });
    record({ stretches: [{ ...stretch, count: 2, bytes: 30 }] });
    expect(
      ask("SELECT session, following, class, count, bytes, detail FROM stretches JOIN sessions ON id = session_id"),
    ).toEqual([
      [session, 3, "information", 1, 10, "padding"],
      [session, 4, "loss", 2, 30, "TIFF"],
    ]);
  });

  test("the end of a source is in its session's row, and its numbers in one range", () => {
    const totals = { frames: 9, stored: 3, duplicates: 1, conflicts: 1, refused: 1, skipped: 2, expired: 1 };
    record({ outcomes: [{ origin, first: 0, last: 8, outcome: "stored" }], ends: [{ origin, totals }], nowNs: 44n });
    expect(ask("SELECT frames, stored, duplicates, conflicts, refused, skipped, expired, ended FROM sessions")).toEqual(
      [[9, 3, 1, 1, 1, 2, 1, 44]],
    );
    expect(outcomesOf(origin)).toEqual([[0, 8, "stored"]]);
  });

  test("a gap over numbers of another is one of the others only, and said again with its bounds replaces it", () => {
    const say = (firstSequence: number, count: number, reason: GapReason): void => {
      const gap = { origin, firstSequence, count, reason, name: "", detail: "" };
      const last = firstSequence + count - 1;
      record({ gaps: [gap], outcomes: [{ origin, first: firstSequence, last, outcome: "gap" }] });
    };
    say(20, 5, "dropped");
    say(0, 10, "dropped");
    say(5, 10, "vanished");
    say(2, 3, "refused");
    say(0, 30, "damaged");
    say(20, 5, "other");
    expect(ask("SELECT first_sequence, count, reason FROM gaps ORDER BY 1")).toEqual([
      [0, 10, "dropped"],
      [10, 5, "vanished"],
      [15, 5, "damaged"],
      [20, 5, "other"],
      [25, 5, "damaged"],
    ]);
  });

  test("a gap over frames that are stored is one of the others only", () => {
    recordFrames(rowOf("2.jpg", { sequence: 2 }), rowOf("5.jpg", { sequence: 5 }));
    const gap = { origin, firstSequence: 0, count: 8, reason: "dropped", name: "", detail: "" } as const;
    const outcomes = [{ origin, first: 0, last: 7, outcome: "gap" }] as const;
    record({ gaps: [gap], outcomes });
    const rows = [
      [0, 2],
      [3, 2],
      [6, 2],
    ];
    expect(ask("SELECT first_sequence, count FROM gaps ORDER BY 1")).toEqual(rows);
    // Said again, and of one that is stored.
    record({ gaps: [gap], outcomes });
    const one = { ...gap, firstSequence: 5, count: 1, reason: "vanished", name: "5.jpg" } as const;
    record({ gaps: [one], outcomes: [{ origin, first: 5, last: 5, outcome: "gap" }] });
    expect(ask("SELECT first_sequence, count FROM gaps ORDER BY 1")).toEqual(rows);
    expect(outcomesOf(origin)).toEqual([
      [0, 1, "gap"],
      [2, 2, "stored"],
      [3, 4, "gap"],
      [5, 5, "stored"],
      [6, 7, "gap"],
    ]);
  });

  describe("what expires", () => {
    function expire(...paths: string[]): ReadonlyMap<string, number> {
      const frames = catalogue.kept.oldest(100).filter(({ path }) => paths.includes(path));
      return catalogue.kept.expire({ frames, gapsUpTo: [], gone: [] }, 77n);
    }

    test("leaves a tombstone, a path that leaves, and its outcome; all of a step or nothing", () => {
      recordFrames(
        rowOf("1.jpg"),
        rowOf("2.jpg", { sequence: 1 }),
        rowOf("2.jpg", { sequence: 2, origin: other }, 2),
        rowOf("3.jpg", { sequence: 3 }),
      );
      expire("rig/visible/2.jpg", "rig/visible/2.jpg~2");
      expect(ask("SELECT path FROM frames")).toEqual([["rig/visible/1.jpg"], ["rig/visible/3.jpg"]]);
      expect([outcomesOf(origin), outcomesOf(other)]).toEqual([
        [
          [0, 0, "stored"],
          [1, 1, "expired"],
          [3, 3, "stored"],
        ],
        [[2, 2, "expired"]],
      ]);
      const hash = createHash("sha256").update("rig\0visible\x002.jpg").digest("hex").slice(0, 32);
      const stone = [hash, 3, 9, Number(frameOf("2.jpg", "abc").capturedNs), 77];
      expect(ask("SELECT lower(hex(frame)), bytes, crc32, captured, expired FROM tombstones")).toEqual([stone, stone]);
      expect(catalogue.find(origin, "2.jpg", 5n)).toEqual([]);
      expect(catalogue.kept.leaving()).toEqual(["rig/visible/2.jpg", "rig/visible/2.jpg~2"]);
      catalogue.kept.expire({ frames: [], gapsUpTo: [], gone: ["rig/visible/2.jpg"] }, 78n);
      expect(catalogue.kept.leaving()).toEqual(["rig/visible/2.jpg~2"]);

      // The second of two fails: the first is as it was.
      const { expire: enter } = SqliteOutcomes.prototype;
      let calls = 0;
      SqliteOutcomes.prototype.expire = function (this: SqliteOutcomes, ...words): void {
        calls += 1;
        if (calls === 2) throw new Error("no room");
        enter.apply(this, words);
      };
      try {
        expect(() => expire("rig/visible/1.jpg", "rig/visible/3.jpg")).toThrow("no room");
      } finally {
        SqliteOutcomes.prototype.expire = enter;
      }
      expect(ask("SELECT path FROM frames")).toEqual([["rig/visible/1.jpg"], ["rig/visible/3.jpg"]]);
      expect(outcomesOf(origin)[0]).toEqual([0, 0, "stored"]);
      expire("rig/visible/1.jpg");
      expect(outcomesOf(origin)[0]).toEqual([0, 1, "expired"]);
    });

    test("is known again by name, size and time, or by its bytes, and by nothing else", () => {
      recordFrames(rowOf("1.jpg"));
      const { frame } = rowOf("1.jpg");
      expect(catalogue.expiredLike(origin, frame)).toBeUndefined();
      record({ offered: [{ path: "rig/visible/1.jpg", capturedNs: 55n }] });
      expire("rig/visible/1.jpg");
      // The time with which it was offered last.
      expect(catalogue.expiredLike(origin, { ...frame, capturedNs: 55n })).toBe(9);
      expect(catalogue.expiredLike(origin, frame)).toBeUndefined();
      expect(catalogue.expiredLike(origin, { ...frame, capturedNs: 55n, bytes: 4 })).toBeUndefined();
      expect(catalogue.expiredLike({ ...origin, source: "infrared" }, { ...frame, capturedNs: 55n })).toBeUndefined();
      expect(catalogue.hasExpired(frame, 9)).toBe(true);
      expect(catalogue.hasExpired(frame, 8)).toBe(false);
      expect(catalogue.hasExpired({ ...frame, name: "2.jpg" }, 9)).toBe(false);
    });

    test("takes with it gaps and stretches of its time, whose numbers join its own", () => {
      const gap = { origin, count: 1, reason: "dropped", name: "", detail: "" } as const;
      recordFrames(rowOf("0.jpg"), rowOf("2.jpg", { sequence: 2 }));
      record({
        gaps: [{ ...gap, firstSequence: 1 }],
        stretches: [{ origin, sequence: 1, class: "loss", count: 1, bytes: 5, text: "" }],
        outcomes: [{ origin, first: 1, last: 1, outcome: "gap" }],
        nowNs: 5_000_000n,
      });
      record({
        gaps: [{ ...gap, firstSequence: 3 }],
        outcomes: [{ origin, first: 3, last: 3, outcome: "gap" }],
        nowNs: 7_000_000n,
      });
      const frames = catalogue.kept.oldest(2);
      const gone = catalogue.kept.expire({ frames, gapsUpTo: [{ device: "rig", recordedMs: 6 }], gone: [] }, 8n);
      expect(gone).toEqual(new Map([["rig", 1]]));
      expect(ask("SELECT first_sequence FROM gaps")).toEqual([[3]]);
      expect(ask("SELECT * FROM stretches")).toEqual([]);
      expect(outcomesOf(origin)).toEqual([
        [0, 2, "expired"],
        [3, 3, "gap"],
      ]);
      record({ stretches: [{ origin, sequence: 3, class: "loss", count: 1, bytes: 5, text: "" }] });
      catalogue.kept.expire({ frames: [], gapsUpTo: [{ device: "rig", recordedMs: 7 }], gone: [] }, 9n);
      expect(ask("SELECT * FROM stretches")).toEqual([]);
      expect(outcomesOf(origin)).toEqual([[0, 3, "expired"]]);
    });

    test("is forgotten: the oldest tombstones beyond a number, and those of before a time", () => {
      const rows = Array.from({ length: 10 }, (_, sequence) => rowOf(`${sequence}.jpg`, { sequence }));
      recordFrames(...rows);
      for (const { id, path, ...rest } of catalogue.kept.oldest(10)) {
        const frames = [{ id, path, ...rest }];
        catalogue.kept.expire({ frames, gapsUpTo: [], gone: [] }, BigInt(id) * 1_000_000n);
      }
      const known = (): string =>
        rows.flatMap(({ frame }) => (catalogue.hasExpired(frame, 9) ? frame.name[0] : [])).join("");
      expect(known()).toBe("0123456789");
      expect(catalogue.kept.forgetTombstones({ beforeMs: undefined, max: 6 })).toBe(true);
      expect(known()).toBe("456789");
      expect(catalogue.kept.forgetTombstones({ beforeMs: undefined, max: 6 })).toBe(false);
      expect(catalogue.kept.forgetTombstones({ beforeMs: 7, max: undefined })).toBe(true);
      expect(known()).toBe("6789");
    });

    test("leaves no session of which nothing is there, unless it may go on", () => {
      const third = { ...origin, session: "c".repeat(32) };
      recordFrames(rowOf("0.jpg"), rowOf("1.jpg", { origin: other }));
      record({ outcomes: [{ origin: third, first: 0, last: 0, outcome: "duplicate" }] });
      const sessions = (): unknown[] => ask("SELECT session FROM sessions ORDER BY id").flat();
      catalogue.kept.forgetSessions(1);
      expect(sessions()).toHaveLength(3);
      expire("rig/visible/0.jpg");
      // Seen too late.
      catalogue.kept.forgetSessions(0);
      expect(sessions()).toHaveLength(3);
      // The second has a frame, and the last one of its source has not ended.
      catalogue.kept.forgetSessions(1);
      expect(sessions()).toEqual([otherSession, third.session]);
      expect(ask("SELECT DISTINCT session_id FROM outcomes")).toHaveLength(2);
      const totals = { frames: 1, stored: 0, duplicates: 1, conflicts: 0, refused: 0, skipped: 0 };
      record({ ends: [{ origin: third, totals }] });
      catalogue.kept.forgetSessions(1);
      expect(sessions()).toEqual([otherSession]);
    });

    test("is found by an index, whatever is asked", () => {
      recordFrames(rowOf("0.jpg"));
      expect(catalogue.kept.holdings()).toEqual([{ device: "rig", frames: 1, bytes: 3, gaps: 0 }]);
      const questions = [
        ...Object.values(keptQueries),
        ...Object.values(tombstoneQueries),
        "SELECT 1 FROM leaving WHERE path = ?1",
      ];
      for (const sql of questions) {
        const plan = ask(`EXPLAIN QUERY PLAN ${sql}`).map(([, , , line]) => String(line));
        // `SCAN x` is a whole table, unless it goes along an index or stops after the first rows of one.
        const scans = plan.filter((line) => line.startsWith("SCAN") && !/USING (?:COVERING )?INDEX/.test(line));
        const bounded = /ORDER BY id (?:DESC )?LIMIT|^SELECT \(SELECT min/.test(sql);
        expect({ sql, scans: bounded ? [] : scans, sorts: plan.filter((line) => /TEMP B-TREE/.test(line)) }).toEqual({
          sql,
          scans: [],
          sorts: [],
        });
      }
    });
  });

  test("outcomes are what a plain map says, whatever is entered in whatever order", () => {
    for (let seed = 1; seed <= 60; seed += 1) {
      const random = new Random(seed);
      const origins = [origin, other, { ...origin, source: `infrared ${seed}` }].map((of) => ({
        ...of,
        device: `rig ${seed}`,
      }));
      const plain = new Map<Origin, Map<number, AccountOutcome>>(origins.map((of) => [of, new Map()]));
      const next = new Map<Origin, number>(origins.map((of) => [of, random.int(50)]));
      for (let group = 0; group < 12; group += 1) {
        const outcomes = Array.from({ length: random.int(20) }, () => {
          const of = random.pick(origins);
          const jump = random.chance(0.3) ? random.int(60) - 30 : random.pick([1, 1, 1, -1]);
          const first = Math.max(0, (next.get(of) ?? 0) + jump);
          const last = first + (random.chance(0.2) ? random.int(9) : 0);
          next.set(of, last);
          const outcome = random.chance(0.6) ? "stored" : random.pick(outcomesAll);
          for (let number = first; number <= last; number += 1) {
            const known = plain.get(of)?.get(number);
            if (known === undefined || !isOwn(known) || isOwn(outcome)) plain.get(of)?.set(number, outcome);
          }
          // A source that was named again by another connection is not the same object.
          return { origin: random.chance(0.5) ? of : { ...of }, first, last, outcome };
        });
        record({ outcomes });
      }
      const said = new Map<string, AccountOutcome>();
      const rows = ask(
        `SELECT source, session, first, last, outcome FROM outcomes JOIN sessions ON id = session_id
         WHERE device = 'rig ${seed}' ORDER BY session_id, first`,
      ) as [string, string, number, number, AccountOutcome][];
      let before: (typeof rows)[number] | undefined;
      for (const row of rows) {
        const [source, of, first, last, outcome] = row;
        for (let number = first; number <= last; number += 1) said.set(`${source} ${of} ${number}`, outcome);
        if (before?.[0] === source && before[1] === of) {
          expect(first).toBeGreaterThan(before[3]);
          if (first === before[3] + 1) expect(outcome).not.toBe(before[4]);
        }
        before = row;
      }
      const expected = [...plain].flatMap(([of, account]) =>
        [...account].map(([number, outcome]) => [`${of.source} ${of.session} ${number}`, outcome] as const),
      );
      expect(new Map([...said].toSorted())).toEqual(new Map(expected.toSorted()));
    }
  });

  test("the examples of CATALOGUE.md can be asked", () => {
    recordFrames(rowOf("1.jpg"), rowOf("1.jpg", { sequence: 1 }, 2));
    const end = { origin, totals: { frames: 3, stored: 1, duplicates: 0, conflicts: 1, refused: 0, skipped: 0 } };
    record({ ends: [end] });
    const text = readFileSync(join(import.meta.dir, "../../../src/sinks/directory/CATALOGUE.md"), "utf8");
    const examples = [...text.matchAll(/catalogue\.db[\s\\]+"(?<sql>SELECT[^"]+)"/g)].map(
      (match) => match.groups?.["sql"] ?? "",
    );
    expect(examples.length).toBe(text.split("sqlite3 -box").length - 1);
    const answers = examples.map((sql) => ask(sql));
    expect(answers).toContainEqual([["rig", "visible", 2, 6]]);
    expect(answers).toContainEqual([["rig", "visible", session, "stored", 2]]);
    expect(answers).toContainEqual([["rig", "visible", session, 3, 2]]);
  });
});
