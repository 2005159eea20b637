/**
 * From version 1 to 2, in one transaction: whoever reads meanwhile sees version 1, and so does the next receiver if
 * this one ends in the middle. Rows of `frames` are read once, in the order of storing, and not touched: new columns
 * are null. Memory is bounded by the sessions and by the ranges that are gathered at a time. The index of times sorts
 * all of them; that of names is made anew only where a name has many pictures and needs it.
 */
import type { Database } from "bun:sqlite";
import { framesByName, framesByTime, framesColumnsOf2, tablesOf2 } from "./catalogue-tables.ts";
import { OutcomeRanges } from "../../outcome-ranges.ts";
import type { AccountOutcome } from "../../outcomes.ts";
import { SqliteOutcomes } from "./sqlite-outcomes.ts";

const pageRows = 2000;
/** Ranges gathered before they are written: few if frames were stored in order, which most were. */
const rangesMax = 20_000;
/** Pictures of one name that are looked through one by one as fast as others are found. */
const numberMax = 100;

export function migrateTo2(database: Database): void {
  database.run("BEGIN IMMEDIATE");
  try {
    for (const column of framesColumnsOf2) database.run(`ALTER TABLE frames ADD COLUMN ${column}`);
    for (const table of [...framesByTime, ...tablesOf2]) database.run(table);
    new Migration(database).run();
    database.run("DROP TABLE sources");
    database.run("PRAGMA user_version = 2");
    database.run("COMMIT");
  } catch (error) {
    try {
      database.run("ROLLBACK");
    } catch {
      // SQLite has rolled back by itself; the first error is the one to tell.
    }
    throw error;
  }
}

interface MigratedSession {
  readonly id: number;
  readonly device: string;
  readonly source: string;
  readonly session: string;
  /** Ids of its first and last row in `frames`; undefined: it has none. */
  firstFrame: number | undefined;
  lastFrame: number | undefined;
  readonly outcomes: OutcomeRanges;
}

class Migration {
  readonly #database: Database;
  readonly #outcomes: SqliteOutcomes;
  readonly #sessions = new Map<string, MigratedSession>();
  #last: MigratedSession | undefined;
  #ranges = 0;
  #numberMax = 1;

  constructor(database: Database) {
    this.#database = database;
    this.#outcomes = new SqliteOutcomes(database);
  }

  run(): void {
    try {
      // What was stored has the last word, so it comes after the gaps.
      this.#readGaps();
      this.#readFrames();
      this.#readEnds();
      this.#flush();
      this.#writeSessions();
      if (this.#numberMax > numberMax) {
        this.#database.run("DROP INDEX frames_by_name");
        this.#database.run(framesByName);
      }
    } finally {
      this.#outcomes.close();
    }
  }

  #readGaps(): void {
    type Row = [number, string, string, string, number, number, string];
    this.#pages<Row>(
      `SELECT rowid, device, source, session, first_sequence, count, reason FROM gaps
       WHERE rowid > ?1 ORDER BY rowid LIMIT ?2`,
      ([, device, source, session, first, count, reason]) => {
        const outcome = reason === "refused" ? "refused" : "gap";
        this.#enter(this.#sessionOf(device, source, session), first, first + count - 1, outcome);
      },
    );
  }

  #readFrames(): void {
    type Row = [number, string, string, string, number, number];
    this.#pages<Row>(
      `SELECT id, device, source, session, sequence, number FROM frames WHERE id > ?1 ORDER BY id LIMIT ?2`,
      ([id, device, source, session, sequence, number]) => {
        const of = this.#sessionOf(device, source, session);
        of.firstFrame ??= id;
        of.lastFrame = id;
        this.#enter(of, sequence, sequence, number === 1 ? "stored" : "conflict");
        this.#numberMax = Math.max(this.#numberMax, number);
      },
    );
  }

  #readEnds(): void {
    type Row = [number, string, string, string];
    this.#pages<Row>(
      "SELECT rowid, device, source, session FROM sources WHERE rowid > ?1 ORDER BY rowid LIMIT ?2",
      ([, device, source, session]) => void this.#sessionOf(device, source, session),
    );
  }

  /** The first column of a row is what it is found by. */
  #pages<Row extends [number, ...unknown[]]>(sql: string, take: (row: Row) => void): void {
    const statement = this.#database.prepare(sql);
    try {
      for (let last = Number.MIN_SAFE_INTEGER; ;) {
        const page = statement.values(last, pageRows) as Row[];
        for (const row of page) take(row);
        const end = page.at(-1);
        if (end === undefined) return;
        [last] = end;
      }
    } finally {
      statement.finalize();
    }
  }

  #sessionOf(device: string, source: string, session: string): MigratedSession {
    const last = this.#last;
    if (last?.session === session && last.source === source && last.device === device) return last;
    const key = `${device}\0${source}\0${session}`;
    let found = this.#sessions.get(key);
    if (found === undefined) {
      const id = this.#sessions.size + 1;
      const outcomes = new OutcomeRanges();
      found = { id, device, source, session, firstFrame: undefined, lastFrame: undefined, outcomes };
      this.#sessions.set(key, found);
    }
    this.#last = found;
    return found;
  }

  #enter({ outcomes }: MigratedSession, first: number, last: number, outcome: AccountOutcome): void {
    const before = outcomes.ranges.length;
    outcomes.enter(first, last, outcome);
    this.#ranges += outcomes.ranges.length - before;
    if (this.#ranges >= rangesMax) this.#flush();
  }

  #flush(): void {
    for (const { id, outcomes } of this.#sessions.values()) {
      this.#outcomes.enter(id, outcomes.ranges);
      outcomes.clear();
    }
    this.#ranges = 0;
  }

  /** Times do not fit a number, so they go from row to row inside SQLite. */
  #writeSessions(): void {
    const times = `SELECT received AS at FROM frames WHERE id IN (?5, ?6)
      UNION ALL SELECT recorded FROM gaps WHERE (device, source, session) = (?2, ?3, ?4)
      UNION ALL SELECT ended FROM sources WHERE (device, source, session) = (?2, ?3, ?4)`;
    const add = this.#database.prepare<unknown, (string | number | null)[]>(
      `INSERT INTO sessions (id, device, source, session, first_seen, last_seen, account)
       SELECT ?1, ?2, ?3, ?4, min(at), max(at), 'migrated' FROM (${times})`,
    );
    try {
      for (const { id, device, source, session, firstFrame, lastFrame } of this.#sessions.values()) {
        add.run(id, device, source, session, firstFrame ?? null, lastFrame ?? null);
      }
    } finally {
      add.finalize();
    }
    // The word for it changed; the detail of a refused frame was its reason.
    this.#database.run("UPDATE gaps SET detail = 'symlink' WHERE reason = 'refused' AND detail = 'link'");
    this.#database.run(
      `UPDATE sessions SET frames = s.frames, stored = s.stored, duplicates = s.already, conflicts = s.conflicts,
       refused = s.refused, skipped = s.skipped, expired = 0, ended = s.ended FROM sources AS s
       WHERE (sessions.device, sessions.source, sessions.session) = (s.device, s.source, s.session)`,
    );
  }
}
