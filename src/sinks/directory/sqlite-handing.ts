/**
 * What a gateway asks of the catalogue: which numbers have an outcome here and none upstream, and what is known of
 * them. The table `handed_on` is for the upstream what `outcomes` is for this receiver.
 */
import type { Database, Statement } from "bun:sqlite";
import type { Gap, GapReason, Metadata, Origin, SourceTotals, Stretch, StretchClass } from "../../frame.ts";
import { noteBits } from "../../notes.ts";
import { difference, type OutcomeRange } from "../../outcome-ranges.ts";
import { type AccountOutcome, totalsOf } from "../../outcomes.ts";
import { handingTables } from "./catalogue-tables.ts";
import type { HandedNumbers, HandingFrame, HandingRecords, HandingSession } from "./catalogue.ts";
import { SqliteOutcomes } from "./sqlite-outcomes.ts";

type Value = string | number | bigint | Uint8Array;

/** Ranges of outcomes that are compared at a time. */
const rangesMax = 256;

const sessionColumns = `sessions.id, device, source, session, via, CAST(coalesce(clock_offset, 0) AS TEXT),
  CASE WHEN ended IS NOT NULL AND account = 'full' THEN frames END FROM sessions`;

type QueryName = "sessions" | "sessionOf" | "page" | "count" | "last" | "frames" | "gaps" | "stretches" | "totals";

/** The questions, so that a test can see that none of them reads a whole table of frames. */
export const handingQueries: Readonly<Record<QueryName, string>> = {
  sessions: `SELECT ${sessionColumns} LEFT JOIN ends_handed_on ON session_id = sessions.id WHERE recorded IS NULL
             ORDER BY sessions.id`,
  sessionOf: `SELECT ${sessionColumns} WHERE device = ?1 AND source = ?2 AND session = ?3`,
  page: `SELECT first, last, outcome FROM outcomes WHERE session_id = ?1 AND first >= coalesce(
           (SELECT max(first) FROM outcomes WHERE session_id = ?1 AND first <= ?2), ?2)
         ORDER BY first LIMIT ${rangesMax}`,
  count: `SELECT coalesce((SELECT sum(last - first + 1) FROM outcomes WHERE session_id = ?1), 0)
            - coalesce((SELECT sum(last - first + 1) FROM handed_on WHERE session_id = ?1), 0)`,
  frames: `SELECT sequence, name, path, bytes, crc32, CAST(captured AS TEXT), notes, metadata FROM frames
           WHERE device = ?1 AND source = ?2 AND session = ?3 AND sequence BETWEEN ?4 AND ?5
           ORDER BY sequence, id LIMIT ?6`,
  gaps: `SELECT first_sequence, count, reason, name, detail FROM gaps
         WHERE device = ?1 AND source = ?2 AND session = ?3 AND first_sequence <= ?5 AND first_sequence + count > ?4
         ORDER BY first_sequence`,
  stretches: `SELECT following, class, count, bytes, detail FROM stretches
              WHERE session_id = ?1 AND following BETWEEN ?2 AND ?3 ORDER BY following`,
  last: "SELECT last FROM outcomes WHERE session_id = ?1 ORDER BY first DESC LIMIT 1",
  totals: "SELECT outcome, sum(last - first + 1) FROM handed_on WHERE session_id = ?1 GROUP BY outcome",
};

type SessionRow = [number, string, string, string, string | null, string, number | null];

export class SqliteHanding implements HandingRecords {
  readonly #database: Database;
  readonly #outcomes: SqliteOutcomes;
  readonly #handed: SqliteOutcomes;
  readonly #transaction: (run: () => void) => void;
  readonly #statements = new Map<string, Statement<unknown, Value[]>>();

  constructor(database: Database, outcomes: SqliteOutcomes, transaction: (run: () => void) => void) {
    this.#database = database;
    this.#outcomes = outcomes;
    this.#transaction = transaction;
    for (const table of handingTables) database.run(table);
    this.#handed = new SqliteOutcomes(database, "handed_on");
  }

  sessions(): HandingSession[] {
    return (this.#ask(handingQueries.sessions) as SessionRow[]).map(sessionOfRow);
  }

  sessionOf({ device, source, session }: Origin): HandingSession | undefined {
    const [row] = this.#ask(handingQueries.sessionOf, device, source, session) as SessionRow[];
    return row && sessionOfRow(row);
  }

  due(id: number, from: number): OutcomeRange[] {
    for (let start = from; ;) {
      const page = rangesOf(this.#ask(handingQueries.page, id, start));
      const last = page.at(-1);
      if (last === undefined || last.last < start) return [];
      const due = difference(
        page.flatMap((range) => (range.last < from ? [] : [{ ...range, first: Math.max(from, range.first) }])),
        this.#handed.among(id, from, last.last),
      );
      if (due.length > 0 || page.length < rangesMax) return due;
      start = last.last + 1;
    }
  }

  dueCount(id: number): number {
    const [[count] = [0]] = this.#ask(handingQueries.count, id) as [number][];
    return count;
  }

  nextNumber(id: number): number {
    const [[last] = [-1]] = this.#ask(handingQueries.last, id) as [number][];
    return last + 1;
  }

  frames({ device, source, session }: Origin, first: number, last: number, max: number): HandingFrame[] {
    type Row = [number, string, string, number, number, string, string | null, string | null];
    const rows = this.#ask(handingQueries.frames, device, source, session, first, last, max) as Row[];
    return rows.map(([sequence, name, path, bytes, crc32, captured, notes, metadata]) => ({
      sequence,
      name,
      path,
      bytes,
      crc32,
      capturedNs: BigInt(captured),
      ...(notes === null ? {} : { notes: noteBits(notes.split(",")) }),
      ...(metadata === null ? {} : { metadata: metadataOf(metadata) }),
    }));
  }

  gaps(origin: Origin, first: number, last: number): Gap[] {
    const { device, source, session } = origin;
    type Row = [number, number, GapReason, string, string];
    const rows = this.#ask(handingQueries.gaps, device, source, session, first, last) as Row[];
    return rows.map(([firstSequence, count, reason, name, detail]) => {
      return { origin, firstSequence, count, reason, name, detail };
    });
  }

  stretches({ id, origin }: HandingSession, first: number, last: number): Stretch[] {
    type Row = [number, StretchClass, number, number, string];
    const rows = this.#ask(handingQueries.stretches, id, first, last) as Row[];
    return rows.map(([sequence, kind, count, bytes, text]) => ({ origin, sequence, class: kind, count, bytes, text }));
  }

  handedOn(numbers: readonly HandedNumbers[]): void {
    this.#transaction(() => {
      for (const { id, first, last, outcome, asGap } of numbers) {
        const range = { first, last, outcome };
        const frames = asGap ? this.#outcomes.among(id, first, last).filter(isStored) : [];
        for (const part of difference([range], frames)) this.#handed.enter(id, [part]);
      }
    });
  }

  totals(id: number): SourceTotals {
    return totalsOf(Object.fromEntries(this.#ask(handingQueries.totals, id) as [AccountOutcome, number][]));
  }

  endHandedOn(id: number, nowNs: bigint): void {
    this.#run("INSERT OR REPLACE INTO ends_handed_on VALUES (?1, ?2)", id, nowNs);
  }

  /** Inside a transaction. Frames were stored with these numbers, whatever was told of them before. */
  stored(id: number, ranges: readonly OutcomeRange[]): void {
    for (const range of ranges) if (isStored(range)) this.#handed.forget(id, range.first, range.last);
  }

  /** Whether all of these numbers are; of all that the session has, and its end. */
  isHandedOn(id: number, first?: number, last?: number): boolean {
    if (first === undefined || last === undefined) {
      return this.#ask("SELECT 1 FROM ends_handed_on WHERE session_id = ?1", id).length > 0 || this.dueCount(id) === 0;
    }
    const known = this.#handed.among(id, first, last);
    return known.reduce((sum, range) => sum + range.last - range.first + 1, 0) === last - first + 1;
  }

  /** Inside a transaction: the session is forgotten. */
  forget(id: number): void {
    this.#run("DELETE FROM handed_on WHERE session_id = ?1", id);
    this.#run("DELETE FROM ends_handed_on WHERE session_id = ?1", id);
  }

  #ask(sql: string, ...values: Value[]): unknown[][] {
    return this.#statement(sql).values(...values) as unknown[][];
  }

  #run(sql: string, ...values: Value[]): void {
    this.#statement(sql).run(...values);
  }

  #statement(sql: string): Statement<unknown, Value[]> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) this.#statements.set(sql, (statement = this.#database.prepare<unknown, Value[]>(sql)));
    return statement;
  }

  close(): void {
    this.#handed.close();
    for (const statement of this.#statements.values()) statement.finalize();
  }
}

function isStored({ outcome }: OutcomeRange): boolean {
  return outcome === "stored" || outcome === "conflict";
}

function sessionOfRow([id, device, source, session, via, offset, frames]: SessionRow): HandingSession {
  const origin = { device, source, session, ...(via === null ? {} : { via: via.split(" ") }) };
  return { id, origin, clockOffsetNs: BigInt(offset), frames: frames ?? undefined };
}

function rangesOf(rows: unknown[][]): OutcomeRange[] {
  return (rows as [number, number, AccountOutcome][]).map(([first, last, outcome]) => ({ first, last, outcome }));
}

function metadataOf(text: string): Metadata {
  return new Map(Object.entries(JSON.parse(text) as Record<string, string>));
}
