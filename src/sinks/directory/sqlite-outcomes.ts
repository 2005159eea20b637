/**
 * The table `outcomes`. Most numbers are higher than any before, so a group looks for the last range of its session
 * once and goes on from there: a group of frames that follow each other is one look and one row, however long the
 * session. Numbers in between are entered among the ranges around them.
 */
import type { Database, Statement } from "bun:sqlite";
import { enterRange, type OutcomeRange, put } from "../../outcome-ranges.ts";
import { type AccountOutcome, isLoss } from "../../outcomes.ts";

type Value = string | number;
type Row = [first: number, last: number, outcome: AccountOutcome];

export class SqliteOutcomes {
  readonly #last: Statement<unknown, Value[]>;
  readonly #around: Statement<unknown, Value[]>;
  readonly #put: Statement<unknown, Value[]>;
  readonly #remove: Statement<unknown, Value[]>;

  /** `table`: it, or another of the same columns. */
  constructor(database: Database, table: "outcomes" | "handed_on" = "outcomes") {
    this.#last = database.prepare(
      `SELECT first, last, outcome FROM ${table} WHERE session_id = ?1 ORDER BY first DESC LIMIT 1`,
    );
    // Ranges do not overlap: of those that begin before it, only the last can reach into the one that is asked for.
    this.#around = database.prepare(
      `SELECT first, last, outcome FROM ${table}
       WHERE session_id = ?1 AND first <= ?3 + 1 AND first >= coalesce(
         (SELECT max(first) FROM ${table} WHERE session_id = ?1 AND first < ?2), ?2)
       ORDER BY first`,
    );
    this.#put = database.prepare(`INSERT OR REPLACE INTO ${table} VALUES (?1, ?2, ?3, ?4)`);
    this.#remove = database.prepare(`DELETE FROM ${table} WHERE session_id = ?1 AND first = ?2`);
  }

  /** Inside a transaction. The ranges are in order. */
  enter(sessionId: number, ranges: readonly OutcomeRange[]): void {
    let [last] = rangesOf(this.#last.values(sessionId) as Row[]);
    for (const range of ranges) {
      if (last !== undefined && range.first <= last.last) {
        this.#enterAmong(sessionId, range);
        if (range.last >= last.first - 1) [last] = rangesOf(this.#last.values(sessionId) as Row[]);
        continue;
      }
      const grows = last?.outcome === range.outcome && last.last + 1 === range.first;
      last = grows ? { ...range, first: last?.first ?? range.first } : range;
      this.#putRange(sessionId, last);
    }
  }

  /** What this session stored under a number is another session's now. */
  handOver(sessionId: number, number: number): void {
    this.#enterAmong(sessionId, { first: number, last: number, outcome: "duplicate" }, put);
  }

  /** Nothing is known any more of these numbers. */
  forget(sessionId: number, first: number, last: number): void {
    const [highest] = rangesOf(this.#last.values(sessionId) as Row[]);
    if (highest === undefined || highest.last < first) return;
    for (const range of this.#overlapping(sessionId, first, last)) {
      this.#remove.run(sessionId, range.first);
      if (range.first < first) this.#putRange(sessionId, { ...range, last: first - 1 });
      if (range.last > last) this.#putRange(sessionId, { ...range, first: last + 1 });
    }
  }

  /** Ranges that have a number of those from `first` to `last`, in order. */
  #overlapping(sessionId: number, first: number, last: number): OutcomeRange[] {
    const known = rangesOf(this.#around.values(sessionId, first, last) as Row[]);
    return known.filter((range) => range.first <= last && range.last >= first);
  }

  /** What is known of the numbers from `first` to `last`, in order. */
  among(sessionId: number, first: number, last: number): OutcomeRange[] {
    return this.#overlapping(sessionId, first, last).map((range) => {
      return { ...range, first: Math.max(first, range.first), last: Math.min(last, range.last) };
    });
  }

  /** What became of these numbers is removed. */
  expire(sessionId: number, first: number, last: number): void {
    this.#enterAmong(sessionId, { first, last, outcome: "expired" }, put);
  }

  #enterAmong(sessionId: number, range: OutcomeRange, enter = enterRange): void {
    const known = rangesOf(this.#around.values(sessionId, range.first, range.last) as Row[]);
    const next = enter(known, range);
    for (const { first } of known) if (!next.some((each) => each.first === first)) this.#remove.run(sessionId, first);
    for (const each of next) if (!known.some((row) => equal(row, each))) this.#putRange(sessionId, each);
  }

  /** The numbers from `first` to `last` whose frames are not there, as ranges. */
  lostAmong(sessionId: number, first: number, last: number): OutcomeRange[] {
    return this.among(sessionId, first, last).filter(({ outcome }) => isLoss(outcome));
  }

  #putRange(sessionId: number, { first, last, outcome }: OutcomeRange): void {
    this.#put.run(sessionId, first, last, outcome);
  }

  close(): void {
    for (const statement of [this.#last, this.#around, this.#put, this.#remove]) statement.finalize();
  }
}

function rangesOf(rows: readonly Row[]): OutcomeRange[] {
  return rows.map(([first, last, outcome]) => ({ first, last, outcome }));
}

function equal(one: OutcomeRange, other: OutcomeRange): boolean {
  return one.first === other.first && one.last === other.last && one.outcome === other.outcome;
}
