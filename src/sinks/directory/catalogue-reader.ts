/**
 * Reads a catalogue that may be in use, or left by a receiver that was killed. Never writes to it, so one of version 1
 * stays one; a receiver that starts meanwhile may make it version 2 between any two reads.
 */
import type { Database, Statement } from "bun:sqlite";
import type { GapReason, SourceTotals } from "../../frame.ts";
import type { OutcomeRange } from "../../outcome-ranges.ts";
import { openReadable } from "./open-readable.ts";
import { catalogueError, readVersion } from "./sqlite-catalogue.ts";

export interface ReadFrame {
  readonly id: number;
  readonly device: string;
  readonly source: string;
  readonly session: string;
  readonly sequence: number;
  readonly name: string;
  readonly path: string;
  readonly number: number;
  readonly bytes: number;
  readonly crc32: number;
  readonly receivedMs: number;
  /** 1: its picture ends before its end. */
  readonly incomplete: number;
}

export interface GapRow {
  readonly rowid: number;
  readonly device: string;
  readonly source: string;
  readonly name: string;
  readonly firstSequence: number;
  readonly count: number;
  readonly reason: GapReason;
  readonly detail: string;
}

/** A session whose account is full. */
export interface FullSession {
  readonly id: number;
  readonly device: string;
  readonly source: string;
  readonly session: string;
  /** The sender's word; undefined: it has not said that the source is at its end. */
  readonly totals: SourceTotals | undefined;
}

export type LostSession = Pick<FullSession, "device" | "source" | "session">;

export interface LastEnd {
  readonly device: string;
  readonly source: string;
  readonly endedMs: number;
}

/** Of the words of a frame's notes. */
const incompleteNote = "coalesce(instr(notes, 'incomplete') > 0, 0)";

export class CatalogueReader {
  readonly #database: Database;
  readonly #statements: Statement[] = [];
  readonly #framesAfter: Statement<ReadFrame, [number, number]>;
  readonly #hasFrame: Statement<unknown, [number]>;
  readonly #hasPath: Statement<unknown, [string]>;
  readonly #openGapsAfter: Statement<GapRow, [number, number]>;

  /** Throws UserError if there is no catalogue that can be read. */
  constructor(directory: string) {
    this.#database = openReadable(directory, "--verify");
    try {
      const version = readVersion(this.#database);
      this.#framesAfter = this.#keep(
        this.#database.prepare(
          `SELECT id, device, source, session, sequence, name, path, number, bytes, crc32,
           received / 1000000 AS receivedMs, ${version === 1 ? "0" : incompleteNote} AS incomplete
           FROM frames WHERE id > ?1 ORDER BY id LIMIT ?2`,
        ),
      );
      this.#hasFrame = this.#keep(this.#database.prepare("SELECT 1 FROM frames WHERE id = ?1"));
      this.#hasPath = this.#keep(this.#database.prepare("SELECT 1 FROM frames WHERE path = ?1"));
      this.#openGapsAfter = this.#keep(
        this.#database.prepare(
          `SELECT rowid, device, source, name, first_sequence AS firstSequence, count, reason, detail
           FROM gaps WHERE rowid > ?1 AND NOT EXISTS (
             SELECT 1 FROM frames
             WHERE frames.device = gaps.device AND frames.source = gaps.source AND frames.name = gaps.name
           ) ORDER BY rowid LIMIT ?2`,
        ),
      );
    } catch (error) {
      throw catalogueError(directory, error);
    }
  }

  countFrames(): number {
    const statement = this.#database.prepare<{ count: number }, []>("SELECT count(*) AS count FROM frames");
    const count = statement.get()?.count ?? 0;
    statement.finalize();
    return count;
  }

  /** The next rows, in order of storing. */
  framesAfter(id: number, limit: number): ReadFrame[] {
    return this.#framesAfter.all(id, limit);
  }

  hasFrame(id: number): boolean {
    return this.#hasFrame.values(id).length > 0;
  }

  /**
   * Those of `paths` that no row has, and that do not belong to frames that are just being removed. One transaction,
   * because a look at the log costs more than a look-up.
   */
  unknownOf(paths: readonly string[]): string[] {
    return this.#inOneRead(() => {
      const unknown = paths.filter((path) => this.#hasPath.values(path).length === 0);
      if (unknown.length === 0 || readVersion(this.#database) === 1) return unknown;
      const isLeaving = this.#database.prepare<unknown, [string]>("SELECT 1 FROM leaving WHERE path = ?1");
      try {
        return unknown.filter((path) => isLeaving.values(path).length === 0);
      } finally {
        isLeaving.finalize();
      }
    });
  }

  #inOneRead<T>(run: () => T): T {
    this.#database.run("BEGIN");
    try {
      return run();
    } finally {
      this.#database.run("COMMIT");
    }
  }

  /** Gaps without a stored frame of their device, source and name. */
  openGapsAfter(rowid: number, limit: number): GapRow[] {
    return this.#openGapsAfter.all(rowid, limit);
  }

  /**
   * The next sessions of which every number that had an answer must have its outcome. A catalogue of version 1 has
   * none, and one that becomes version 2 meanwhile neither: what was migrated is not full.
   */
  fullSessionsAfter(id: number, limit: number): FullSession[] {
    type Row = Omit<FullSession, "totals"> & Required<SourceTotals> & { readonly ended: number | null };
    const rows = this.#accountRows<Row>(
      `SELECT id, device, source, session, ended IS NOT NULL AS ended, frames, stored, duplicates, conflicts, refused,
       skipped, expired FROM sessions WHERE id > ?1 AND account = 'full' ORDER BY id LIMIT ?2`,
      [id, limit],
    );
    return rows.map(({ id: rowId, device, source, session, ended, expired, ...counts }) => {
      const totals = expired === 0 ? counts : { ...counts, expired };
      return { id: rowId, device, source, session, totals: ended === 1 ? totals : undefined };
    });
  }

  /** Sessions whose account was lost with an earlier catalogue: a few for each source. */
  lostSessions(): LostSession[] {
    return this.#accountRows("SELECT device, source, session FROM sessions WHERE account = 'lost' ORDER BY id", []);
  }

  /** Whether there is an account of this session, which every session has that stored anything. */
  hasSession(device: string, source: string, session: string): boolean {
    return this.#inOneRead(() => {
      if (readVersion(this.#database) === 1) return true;
      const statement = this.#database.prepare<unknown, string[]>(
        "SELECT 1 FROM sessions WHERE device = ?1 AND source = ?2 AND session = ?3",
      );
      try {
        return statement.values(device, source, session).length > 0;
      } finally {
        statement.finalize();
      }
    });
  }

  /** The next ranges of numbers of a session that have an outcome, from the one that begins at `first`. */
  accountedFrom(sessionId: number, first: number, limit: number): OutcomeRange[] {
    return this.#accountRows(
      "SELECT first, last, outcome FROM outcomes WHERE session_id = ?1 AND first >= ?2 ORDER BY first LIMIT ?3",
      [sessionId, first, limit],
    );
  }

  #accountRows<Row>(sql: string, values: number[]): Row[] {
    return this.#inOneRead(() => {
      if (readVersion(this.#database) === 1) return [];
      const statement = this.#database.prepare<Row, number[]>(sql);
      try {
        return statement.all(...values);
      } finally {
        statement.finalize();
      }
    });
  }

  /** When the latest session of each source ended, by device and source with a NUL between. */
  lastEnds(): Map<string, LastEnd> {
    return this.#inOneRead(() => {
      const ends = readVersion(this.#database) === 1 ? "sources" : "sessions WHERE ended IS NOT NULL";
      const statement = this.#database.prepare<LastEnd, []>(
        `SELECT device, source, max(ended) / 1000000 AS endedMs FROM ${ends} GROUP BY device, source`,
      );
      try {
        return new Map(statement.all().map((end) => [`${end.device}\0${end.source}`, end]));
      } finally {
        statement.finalize();
      }
    });
  }

  close(): void {
    for (const statement of this.#statements) statement.finalize();
    this.#database.close();
  }

  #keep<T extends Statement>(statement: T): T {
    this.#statements.push(statement);
    return statement;
  }
}
