/** Removing in the catalogue: KEEPING.md. Each step is one transaction. */
import type { Database, Statement } from "bun:sqlite";
import { keepingIndexes } from "./catalogue-tables.ts";
import type { DeviceHolding, Expiry, KeptRecords, OldFrame, TombstoneLimits } from "./catalogue.ts";
import type { SqliteHanding } from "./sqlite-handing.ts";
import type { SqliteOutcomes } from "./sqlite-outcomes.ts";
import type { SqliteTombstones } from "./sqlite-tombstones.ts";

type Value = string | number | bigint | Uint8Array;
type AnyStatement = Statement<unknown, Value[]>;

/** Gaps of a device in one step, and sessions that are looked at. */
const gapsMax = 1024;
const sessionsMax = 64;

export interface SqliteKeptOptions {
  readonly database: Database;
  readonly outcomes: SqliteOutcomes;
  readonly tombstones: SqliteTombstones;
  readonly transaction: (run: () => void) => void;
  /** Of a gateway: whether these numbers are handed on, and nothing of the session is due. Absent: there is none. */
  readonly handing?: Pick<SqliteHanding, "isHandedOn" | "forget"> | undefined;
}

const oldColumns = "id, device, path, bytes, received / 1000000 FROM frames";

type QueryName =
  | "holdings"
  | "gaps"
  | "holdingOf"
  | "gapsOf"
  | "newest"
  | "oldest"
  | "oldestOf"
  | "find"
  | "oldGaps"
  | "sessions"
  | "removeStretches";

/** What is asked while frames are removed, so that a test can see that none of it reads a whole table. */
export const keptQueries: Readonly<Record<QueryName, string>> = {
  holdings: "SELECT device, count(*), sum(bytes) FROM frames GROUP BY device",
  gaps: "SELECT device, count(*) FROM gaps GROUP BY device",
  holdingOf: "SELECT count(*), coalesce(sum(bytes), 0) FROM frames WHERE device = ?1",
  gapsOf: "SELECT count(*) FROM gaps WHERE device = ?1",
  newest: "SELECT id, received / 1000000 FROM frames ORDER BY id DESC LIMIT 1",
  oldest: `SELECT ${oldColumns} WHERE id >= ?1 ORDER BY id LIMIT ?2`,
  oldestOf: `SELECT ${oldColumns} WHERE device = ?3 AND id >= ?1 ORDER BY id LIMIT ?2`,
  find: `SELECT sessions.id, sequence, frames.device, frames.source, name, path
         FROM frames LEFT JOIN sessions USING (device, source, session) WHERE frames.id = ?1`,
  oldGaps: `SELECT gaps.rowid, sessions.id, first_sequence, count
            FROM gaps LEFT JOIN sessions USING (device, source, session)
            WHERE gaps.device = ?1 AND recorded <= ?2 ORDER BY recorded LIMIT ${gapsMax}`,
  sessions: `SELECT id, last_seen < ?2
               AND (ended IS NOT NULL OR EXISTS (SELECT 1 FROM sessions AS later WHERE later.device = each.device
                 AND later.source = each.source AND later.id > each.id))
               AND NOT EXISTS (SELECT 1 FROM outcomes WHERE session_id = each.id AND outcome IN ('stored', 'conflict'))
               AND NOT EXISTS (SELECT 1 FROM gaps WHERE gaps.device = each.device AND gaps.source = each.source
                 AND gaps.session = each.session)
             FROM sessions AS each WHERE id > ?1 ORDER BY id LIMIT ${sessionsMax}`,
  removeStretches: "DELETE FROM stretches WHERE session_id = ?1 AND following <= ?2",
};

export class SqliteKept implements KeptRecords {
  readonly #options: SqliteKeptOptions;
  readonly #statements = new Map<string, AnyStatement>();
  /** The last session that was looked at. */
  #sessionCursor = 0;

  constructor(options: SqliteKeptOptions) {
    this.#options = options;
    for (const index of keepingIndexes) options.database.run(index);
  }

  holdings(): DeviceHolding[] {
    const gaps = new Map(this.#ask(keptQueries.gaps) as [string, number][]);
    const frames = new Map(
      (this.#ask(keptQueries.holdings) as [string, number, number][]).map(([device, count, bytes]) => [
        device,
        { frames: count, bytes },
      ]),
    );
    return [...new Set([...frames.keys(), ...gaps.keys()])].map((device) => {
      return { device, ...(frames.get(device) ?? { frames: 0, bytes: 0 }), gaps: gaps.get(device) ?? 0 };
    });
  }

  holdingOf(device: string): DeviceHolding {
    const [[frames, bytes] = [0, 0]] = this.#ask(keptQueries.holdingOf, device) as [number, number][];
    const [[gaps] = [0]] = this.#ask(keptQueries.gapsOf, device) as [number][];
    return { device, frames, bytes, gaps };
  }

  newest(): { id: number; receivedMs: number } | undefined {
    const [row] = this.#ask(keptQueries.newest) as [number, number][];
    return row && { id: row[0], receivedMs: row[1] };
  }

  oldest(max: number, device?: string, id = 0): OldFrame[] {
    const rows =
      device === undefined ? this.#ask(keptQueries.oldest, id, max) : this.#ask(keptQueries.oldestOf, id, max, device);
    return (rows as [number, string, string, number, number][]).map(([rowId, of, path, bytes, receivedMs]) => {
      return { id: rowId, device: of, path, bytes, receivedMs };
    });
  }

  mayGo(frames: readonly OldFrame[]): OldFrame[] {
    const { handing } = this.#options;
    if (handing === undefined) return [...frames];
    type Row = [number | null, number];
    const stays = frames.findIndex(({ id }) =>
      (this.#ask(keptQueries.find, id) as Row[]).some(
        ([session, sequence]) => session !== null && !handing.isHandedOn(session, sequence, sequence),
      ),
    );
    return stays < 0 ? [...frames] : frames.slice(0, stays);
  }

  expire({ frames, gapsUpTo, gone, forget }: Expiry, nowNs: bigint): ReadonlyMap<string, number> {
    const gaps = new Map<string, number>();
    this.#options.transaction(() => {
      for (const path of gone) this.#run("DELETE FROM leaving WHERE path = ?1", path);
      this.#expireFrames(frames, nowNs);
      for (const { device, recordedMs } of gapsUpTo) gaps.set(device, this.#expireGaps(device, recordedMs));
      if (forget !== undefined) this.forgetTombstones(forget);
    });
    return gaps;
  }

  #expireFrames(frames: readonly OldFrame[], nowNs: bigint): void {
    const { tombstones, outcomes } = this.#options;
    let run: { session: number; first: number; last: number } | undefined;
    const endRun = (): void => {
      if (run === undefined) return;
      outcomes.expire(run.session, run.first, run.last);
      this.#run(keptQueries.removeStretches, run.session, run.last);
    };
    for (const { id } of frames) {
      type Row = [number | null, number, string, string, string, string];
      for (const [session, sequence, device, source, name, path] of this.#ask(keptQueries.find, id) as Row[]) {
        tombstones.bury(id, device, source, name, nowNs);
        this.#run("DELETE FROM frames WHERE id = ?1", id);
        this.#run("INSERT OR IGNORE INTO leaving VALUES (?1)", path);
        if (session === null) continue;
        if (run?.session === session && run.last + 1 === sequence) {
          run.last = sequence;
          continue;
        }
        endRun();
        run = { session, first: sequence, last: sequence };
      }
    }
    endRun();
  }

  #expireGaps(device: string, recordedMs: number): number {
    type Row = [number, number | null, number, number];
    const { handing } = this.#options;
    const rows = (this.#ask(keptQueries.oldGaps, device, nanoseconds(recordedMs)) as Row[]).filter(
      ([, session, first, count]) =>
        session === null || handing?.isHandedOn(session, first, first + count - 1) !== false,
    );
    for (const [id, session, first, count] of rows) {
      this.#run("DELETE FROM gaps WHERE rowid = ?1", id);
      if (session === null) continue;
      this.#options.outcomes.expire(session, first, first + count - 1);
      this.#run(keptQueries.removeStretches, session, first + count - 1);
    }
    return rows.length;
  }

  leaving(): string[] {
    return (this.#ask("SELECT path FROM leaving") as [string][]).map(([path]) => path);
  }

  forgetTombstones({ beforeMs, max }: TombstoneLimits): boolean {
    const beforeNs = beforeMs === undefined ? 0n : nanoseconds(beforeMs);
    return this.#options.tombstones.forget(beforeNs, max ?? Number.MAX_SAFE_INTEGER);
  }

  forgetSessions(beforeMs: number): void {
    const rows = this.#ask(keptQueries.sessions, this.#sessionCursor, nanoseconds(beforeMs)) as [number, number][];
    this.#sessionCursor = rows.length < sessionsMax ? 0 : (rows.at(-1)?.[0] ?? 0);
    const { handing } = this.#options;
    const over = rows.filter(([id, isOver]) => isOver === 1 && handing?.isHandedOn(id) !== false);
    if (over.length === 0) return;
    this.#options.transaction(() => {
      for (const [id] of over) {
        this.#run("DELETE FROM outcomes WHERE session_id = ?1", id);
        handing?.forget(id);
        this.#run("DELETE FROM stretches WHERE session_id = ?1", id);
        this.#run("DELETE FROM sessions WHERE id = ?1", id);
      }
    });
  }

  #ask(sql: string, ...values: Value[]): unknown[][] {
    return this.#statement(sql).values(...values) as unknown[][];
  }

  #run(sql: string, ...values: Value[]): void {
    this.#statement(sql).run(...values);
  }

  #statement(sql: string): AnyStatement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#options.database.prepare<unknown, Value[]>(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  close(): void {
    for (const statement of this.#statements.values()) statement.finalize();
  }
}

function nanoseconds(ms: number): bigint {
  return BigInt(Math.trunc(Math.min(ms, 9_000_000_000_000))) * 1_000_000n;
}
