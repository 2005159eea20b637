/**
 * The catalogue in SQLite: `DIR/.framepipe/catalogue.db`, readable by any SQLite tool while the receiver runs, because
 * its journal is a write-ahead log. Only one receiver may use a directory: it locks a second file, because a lock on
 * the catalogue would keep other tools out.
 */
import { Database, type Statement } from "bun:sqlite";
import { join } from "node:path";
import { ExitStatus, UserError } from "../../errors.ts";
import type { Origin } from "../../frame.ts";
import { MiB } from "../../limits.ts";
import { describe, errorCode, isDamage } from "../../system/errno.ts";
import { type ProcessLock, takeLock } from "../../system/process-lock.ts";
import type { SyncMode } from "../store/sync-mode.ts";
import {
  type Catalogue,
  type CatalogueBatch,
  catalogueFile,
  catalogueTables,
  catalogueVersion,
  lockFile,
  type StoredFrame,
} from "./catalogue.ts";
import { LastNames } from "./last-names.ts";

/** The log is cut back to this after a checkpoint; a checkpoint starts at 4 MiB, a slow reader can hold it up. */
const journalBytesMax = 16 * MiB;
/** How long a write waits for another program that has locked the catalogue, such as a checkpoint by `sqlite3`. */
const busyMs = 2000;

type Value = string | number | bigint | null;
type AnyStatement = Statement<unknown, Value[]>;

/** Implements `OpenCatalogue`. `DIR/.framepipe` must exist. */
export function openSqliteCatalogue(directory: string, sync: SyncMode): Catalogue {
  const lock = lockDirectory(directory);
  let database: Database | undefined;
  try {
    database = new Database(join(directory, catalogueFile), { create: true });
    prepareDatabase(database, directory, sync);
    return new SqliteCatalogue(database, lock);
  } catch (error) {
    database?.close();
    lock.release();
    throw catalogueError(directory, error);
  }
}

function lockDirectory(directory: string): ProcessLock {
  let lock: ProcessLock | undefined;
  try {
    lock = takeLock(join(directory, lockFile));
  } catch (error) {
    throw catalogueError(directory, error);
  }
  if (lock !== undefined) return lock;
  const hints = ["stop the other receiver, or give this one a directory of its own with --out"];
  throw new UserError(`${directory} is in use by another receiver`, hints, ExitStatus.failure);
}

function prepareDatabase(database: Database, directory: string, sync: SyncMode): void {
  database.run(`PRAGMA busy_timeout = ${busyMs}`);
  const version = readVersion(database);
  if (version > catalogueVersion) {
    const path = join(directory, catalogueFile);
    throw new UserError(`${path} has version ${version}, this framepipe knows versions up to ${catalogueVersion}`, [
      "use the framepipe that made it, or a newer one; or another directory with --out",
    ]);
  }
  database.run("PRAGMA journal_mode = WAL");
  database.run(`PRAGMA synchronous = ${sync === "never" ? "OFF" : "FULL"}`);
  database.run(`PRAGMA journal_size_limit = ${journalBytesMax}`);
  if (version === 0) {
    database.run("BEGIN IMMEDIATE");
    for (const table of catalogueTables) database.run(table);
    database.run(`PRAGMA user_version = ${catalogueVersion}`);
    database.run("COMMIT");
  }
  // A receiver that was killed may have left rows that can be read and are not on the device yet. They are brought
  // there before they are the reason to tell a sender that a frame is stored.
  database.run("PRAGMA wal_checkpoint(TRUNCATE)");
}

/** The version of the catalogue's tables; 0 for an empty database. */
export function readVersion(database: Database): number {
  const statement = database.prepare<{ user_version: number }, []>("PRAGMA user_version");
  try {
    return statement.get()?.user_version ?? 0;
  } finally {
    statement.finalize();
  }
}

/** What opening a catalogue can end with, for the person who asked for it. */
export function catalogueError(directory: string, error: unknown): unknown {
  if (error instanceof UserError || !errorCode(error).startsWith("SQLITE_")) return error;
  const path = join(directory, catalogueFile);
  if (isDamage(error)) {
    return new UserError(
      `${path} is damaged or no catalogue`,
      [
        `save what it holds with: sqlite3 '${path}' .recover | sqlite3 recovered.db`,
        "then put recovered.db in its place",
      ],
      ExitStatus.failure,
    );
  }
  const hints = [`make '${directory}' readable and writable for this user, or choose another directory`];
  return new UserError(`${path}: ${describe(error)}`, hints, ExitStatus.failure);
}

class SqliteCatalogue implements Catalogue {
  readonly #database: Database;
  readonly #lock: ProcessLock;
  readonly #statements: AnyStatement[] = [];
  readonly #last: AnyStatement;
  readonly #lastNames = new LastNames((origin) => this.#lastOf(origin));
  readonly #find: AnyStatement;
  readonly #holds: AnyStatement;
  readonly #begin: AnyStatement;
  readonly #beginReading: AnyStatement;
  readonly #commit: AnyStatement;
  readonly #addFrame: AnyStatement;
  readonly #addGap: AnyStatement;
  readonly #addEnd: AnyStatement;
  /** Inside `reading`; and whether its transaction has begun, which waits for the first question. */
  #reading = false;
  #readBegun = false;
  #closed = false;

  constructor(database: Database, lock: ProcessLock) {
    this.#database = database;
    this.#lock = lock;
    // Nanoseconds do not fit a number, so times are compared inside SQLite and never read back here.
    this.#last = this.#prepare("SELECT max(name) FROM frames WHERE device = ?1 AND source = ?2");
    this.#find = this.#prepare(
      `SELECT session, path, number, bytes, crc32, captured = ?4 FROM frames
       WHERE device = ?1 AND source = ?2 AND name = ?3`,
    );
    this.#holds = this.#prepare("SELECT 1 FROM frames WHERE path = ?1");
    this.#begin = this.#prepare("BEGIN IMMEDIATE");
    this.#beginReading = this.#prepare("BEGIN");
    this.#commit = this.#prepare("COMMIT");
    this.#addFrame = this.#prepare(
      `INSERT OR REPLACE INTO frames
       (device, source, session, sequence, name, path, number, bytes, crc32, captured, received)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)`,
    );
    this.#addGap = this.#prepare("INSERT OR REPLACE INTO gaps VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    this.#addEnd = this.#prepare("INSERT OR REPLACE INTO sources VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
  }

  reading<T>(run: () => T): T {
    this.#reading = true;
    try {
      return run();
    } finally {
      const begun = this.#readBegun;
      this.#reading = this.#readBegun = false;
      if (begun) this.#commit.run();
    }
  }

  /** Every question to the database begins with this. */
  #ask(statement: AnyStatement, ...values: Value[]): unknown[][] {
    if (this.#reading && !this.#readBegun) {
      this.#beginReading.run();
      this.#readBegun = true;
    }
    return statement.values(...values) as unknown[][];
  }

  #lastOf({ device, source }: Origin): string | undefined {
    const [[name] = []] = this.#ask(this.#last, device, source) as [string | null][];
    return name ?? undefined;
  }

  find(origin: Origin, name: string, capturedNs: bigint): StoredFrame[] {
    if (this.#lastNames.isBefore(origin, name)) return [];
    const rows = this.#ask(this.#find, origin.device, origin.source, name, capturedNs) as [
      string,
      string,
      number,
      number,
      number,
      number,
    ][];
    return rows.map(([session, path, number, bytes, crc32, same]) => {
      return { session, path, number, bytes, crc32, sameCapture: same === 1 };
    });
  }

  holds(path: string): boolean {
    return this.#ask(this.#holds, path).length > 0;
  }

  record(batch: CatalogueBatch): void {
    this.#begin.run();
    try {
      for (const { frame, path, number, crc32, receivedNs } of batch.frames) {
        const { device, source, session } = frame.origin;
        const { sequence, name, bytes, capturedNs } = frame;
        this.#addFrame.run(device, source, session, sequence, name, path, number, bytes, crc32, capturedNs, receivedNs);
      }
      for (const { origin, firstSequence, count, reason, name, detail } of batch.gaps) {
        const { device, source, session } = origin;
        this.#addGap.run(device, source, session, firstSequence, count, reason, name, detail, batch.nowNs);
      }
      for (const { origin, totals } of batch.ends) {
        const { device, source, session } = origin;
        const { frames, stored, already, conflicts, refused, skipped } = totals;
        this.#addEnd.run(device, source, session, frames, stored, already, conflicts, refused, skipped, batch.nowNs);
      }
      this.#commit.run();
      for (const { frame } of batch.frames) this.#lastNames.stored(frame.origin, frame.name);
    } catch (error) {
      // SQLite has rolled back by itself after some errors, and then says so here; the first error is the one to tell.
      try {
        this.#database.run("ROLLBACK");
      } catch {}
      throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // An open statement would keep the database after `close`.
    for (const statement of this.#statements) statement.finalize();
    try {
      // A receiver that ends in good order leaves one file.
      this.#database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // The disk is full or gone: the log stays, and the next receiver reads it.
    }
    this.#database.close();
    this.#lock.release();
  }

  #prepare(sql: string): AnyStatement {
    const statement = this.#database.prepare<unknown, Value[]>(sql);
    this.#statements.push(statement);
    return statement;
  }
}
