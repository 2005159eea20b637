/**
 * The catalogue in SQLite: `DIR/.framepipe/catalogue.db`, readable by any SQLite tool while the receiver runs, because
 * its journal is a write-ahead log. Only one receiver may use a directory: it locks a second file, because a lock of
 * SQLite's on the catalogue would keep other tools out, and claims the catalogue itself, because the second file may be
 * deleted by whoever tidies up.
 */
import { Database, type Statement } from "bun:sqlite";
import { closeSync, constants, openSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { assert, ExitStatus, UserError } from "../../errors.ts";
import type { DestinationEvent } from "../../events.ts";
import type { Frame, FrameEntry, Gap, Metadata, Origin } from "../../frame.ts";
import { MiB } from "../../limits.ts";
import { noteWords } from "../../notes.ts";
import { describe, errorCode, isDamage, isFull, lacksSharedMemory } from "../../system/errno.ts";
import { claimFile } from "../../system/file-claim.ts";
import { lockHolders } from "../../system/file-holders.ts";
import { type ProcessLock, takeLock } from "../../system/process-lock.ts";
import type { SyncMode } from "../store/sync-mode.ts";
import { catalogueTables, catalogueVersion, gapsBySource, viaColumn } from "./catalogue-tables.ts";
import {
  type Account,
  type Catalogue,
  type CatalogueBatch,
  catalogueFile,
  type FrameRow,
  type KeptRecords,
  lockFile,
  type StoredFrame,
} from "./catalogue.ts";
import { LastNames } from "./last-names.ts";
import { migrateTo2 } from "./migrate-catalogue.ts";
import { difference, type OutcomeRange } from "../../outcome-ranges.ts";
import { type AccountOutcome, noOutcomes, totalsOf } from "../../outcomes.ts";
import { directoryInUse } from "./own-files.ts";
import { type SessionAccount, sessionAccountsOf } from "./session-accounts.ts";
import { SqliteHanding } from "./sqlite-handing.ts";
import { SqliteKept } from "./sqlite-kept.ts";
import { SqliteOutcomes } from "./sqlite-outcomes.ts";
import { SqliteTombstones } from "./sqlite-tombstones.ts";

/** The log is cut back to this after a checkpoint; a checkpoint starts at 4 MiB, a slow reader can hold it up. */
const journalBytesMax = 16 * MiB;
/** How long a write waits for another program that has locked the catalogue, such as a checkpoint by `sqlite3`. */
const busyMs = 2000;
/** The same when it is opened, which is tried again and again while others wait for answers. */
const openBusyMs = 500;

const converting =
  "its catalogue is being changed from version 1 to version 2, which takes some seconds for a million frames";

const unshared = "its file system shares no memory: while this receiver runs, nobody else can read its catalogue";
const unsharedHint = "--verify and sqlite3 work when it has ended";

type Value = string | number | bigint | Uint8Array | null;
type AnyStatement = Statement<unknown, Value[]>;

/** Takes the lock of a directory; undefined: another receiver has it. */
export function lockDirectory(directory: string): ProcessLock | undefined {
  try {
    return takeLock(join(directory, lockFile));
  } catch (error) {
    throw openError(directory, error);
  }
}

/**
 * Programs that have a transaction open on the catalogue: until it ends, the log cannot be begun again. SQLite locks
 * one of these bytes of its index of the log for each (wal.c, WAL_READ_LOCK).
 */
export function catalogueReaders(directory: string): string[] {
  return lockHolders(`${resolve(directory, catalogueFile)}-shm`, 123, 127);
}

/** Programs that have any lock of SQLite's on the catalogue. */
function catalogueUsers(directory: string): string[] {
  const path = resolve(directory, catalogueFile);
  return [...new Set([...lockHolders(path, 0x4000_0000, 0x4000_01ff), ...lockHolders(`${path}-shm`, 120, 128)])];
}

/** For whoever waits for the catalogue. */
export function lockedHint(directory: string): string {
  const users = catalogueUsers(directory);
  const who = users.length === 0 ? "the program that has it open for writing" : users.join(", ");
  return `end ${who}: a catalogue may be read by others, and written to by the receiver alone`;
}

/** Implements `OpenCatalogue`. `DIR/.framepipe` must exist. */
export function openSqliteCatalogue(
  directory: string,
  sync: SyncMode,
  onEvent: (event: DestinationEvent) => void = () => undefined,
  file: string = catalogueFile,
): Catalogue {
  try {
    return openCatalogue(directory, sync, onEvent, file, "shared");
  } catch (error) {
    if (!lacksSharedMemory(error)) throw error;
    const catalogue = openCatalogue(directory, sync, onEvent, file, "alone");
    onEvent({ event: "destination", place: directory, what: "unshared", detail: unshared, hints: [unsharedHint] });
    return catalogue;
  }
}

/** `alone`: SQLite keeps the index of the log in its own memory, and everybody else out. */
function openCatalogue(
  directory: string,
  sync: SyncMode,
  onEvent: (event: DestinationEvent) => void,
  file: string,
  use: "shared" | "alone",
): Catalogue {
  let database: Database | undefined;
  let claim: number | undefined;
  try {
    // SQLite's driver drops spaces from the start of a name.
    const path = resolve(directory, file);
    database = new Database(path, { create: true });
    database.run(`PRAGMA busy_timeout = ${openBusyMs}`);
    if (use === "alone") {
      database.run("PRAGMA locking_mode = EXCLUSIVE");
      // It could not be used. Where it is not, a reader knows why it is kept out.
      rmSync(`${path}-shm`, { force: true });
    }
    const version = readVersion(database);
    claim = openSync(path, constants.O_RDWR);
    if (claimFile(claim) === false) throw directoryInUse(directory);
    prepareDatabase(database, { directory, version, sync, onEvent });
    database.run(`PRAGMA busy_timeout = ${busyMs}`);
    return new SqliteCatalogue(database, claim);
  } catch (error) {
    // In this order: to close any handle of the file gives up SQLite's own locks on it.
    database?.close();
    if (claim !== undefined) closeSync(claim);
    throw openError(directory, error);
  }
}

/** Of a disk that cannot be used SQLite says less than whoever asks the disk. */
function openError(directory: string, error: unknown): unknown {
  return isDamage(error) ? catalogueError(directory, error) : error;
}

interface Preparation {
  readonly directory: string;
  readonly version: number;
  readonly sync: SyncMode;
  readonly onEvent: (event: DestinationEvent) => void;
}

function prepareDatabase(database: Database, { directory, version, sync, onEvent }: Preparation): void {
  if (version > catalogueVersion) {
    const path = join(directory, catalogueFile);
    throw new UserError(
      `${path} has version ${version}, this framepipe knows versions up to ${catalogueVersion}`,
      ["use the framepipe that made it, or a newer one; or another directory with --out"],
      ExitStatus.failure,
    );
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
  if (version === 1) {
    onEvent({ event: "destination", place: directory, what: "converting", detail: converting });
    migrateTo2(database);
  }
  if (!hasColumn(database, "sessions", "via")) database.run(viaColumn);
  database.run(gapsBySource);
  // A receiver that was killed may have left rows that can be read and are not on the device yet. They are brought
  // there before they are the reason to tell a sender that a frame is stored.
  database.run("PRAGMA wal_checkpoint(TRUNCATE)");
}

function hasColumn(database: Database, table: string, column: string): boolean {
  const statement = database.prepare("SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2");
  try {
    return statement.values(table, column).length > 0;
  } finally {
    statement.finalize();
  }
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
        `make it anew from the files: framepipe --verify '${directory}' --rebuild`,
        `or save what it holds with: sqlite3 '${path}' .recover | sqlite3 recovered.db; and put that in its place`,
      ],
      ExitStatus.failure,
    );
  }
  const hint = isFull(error)
    ? "make room on its disk, then start again"
    : errorCode(error).startsWith("SQLITE_BUSY")
      ? lockedHint(directory)
      : `make '${directory}' readable and writable for this user, or choose another directory`;
  return new UserError(`${path}: ${describe(error)}`, [hint], ExitStatus.failure);
}

class SqliteCatalogue implements Catalogue {
  readonly #database: Database;
  /** The catalogue, open for its claim. */
  readonly #claim: number;
  readonly #statements: AnyStatement[] = [];
  readonly #last: AnyStatement;
  readonly #lastNames = new LastNames((origin) => this.#lastOf(origin));
  readonly #find: AnyStatement;
  readonly #named: AnyStatement;
  readonly #findEqual: AnyStatement;
  readonly #account: AnyStatement;
  readonly #holds: AnyStatement;
  readonly #begin: AnyStatement;
  readonly #beginReading: AnyStatement;
  readonly #commit: AnyStatement;
  readonly #addFrame: AnyStatement;
  readonly #setOffered: AnyStatement;
  readonly #addGap: AnyStatement;
  readonly #seeSession: AnyStatement;
  readonly #endSession: AnyStatement;
  readonly #loseAccount: AnyStatement;
  readonly #addStretch: AnyStatement;
  readonly #outcomes: SqliteOutcomes;
  readonly #tombstones: SqliteTombstones;
  /** Prepared when it is asked for: most receivers remove nothing. */
  #kept: SqliteKept | undefined;
  /** As well: most receivers are no gateway. */
  #handing: SqliteHanding | undefined;
  /** Prepared when a file that was removed comes again for the first time. */
  #ownerOf: AnyStatement | undefined;
  #gapsAmong: AnyStatement | undefined;
  /** Inside `reading`; and whether its transaction has begun, which waits for the first question. */
  #reading = false;
  #readBegun = false;
  #closed = false;

  constructor(database: Database, claim: number) {
    this.#database = database;
    this.#claim = claim;
    // Nanoseconds do not fit a number, so times are compared inside SQLite and never read back here.
    this.#last = this.#prepare("SELECT max(name) FROM frames WHERE device = ?1 AND source = ?2");
    const found = `SELECT session, sequence, path, number, bytes, crc32, captured = ?4 OR offered IS ?4 FROM frames
       WHERE device = ?1 AND source = ?2 AND name = ?3`;
    this.#find = this.#prepare(found);
    this.#named = this.#prepare("SELECT 1 FROM frames WHERE device = ?1 AND source = ?2 AND name = ?3 LIMIT 1");
    this.#findEqual = this.#prepare(`${found} AND crc32 = ?5 AND bytes = ?6`);
    this.#account = this.#prepare(
      `SELECT outcome, sum(last - first + 1), max(last) FROM sessions LEFT JOIN outcomes ON session_id = id
       WHERE device = ?1 AND source = ?2 AND session = ?3 AND account = 'full' GROUP BY outcome`,
    );
    this.#holds = this.#prepare("SELECT 1 FROM frames WHERE path = ?1");
    this.#begin = this.#prepare("BEGIN IMMEDIATE");
    this.#beginReading = this.#prepare("BEGIN");
    this.#commit = this.#prepare("COMMIT");
    this.#addFrame = this.#prepare(
      `INSERT OR REPLACE INTO frames (device, source, session, sequence, name, path, number, bytes, crc32, captured,
         received, notes, metadata, corrected)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)`,
    );
    this.#setOffered = this.#prepare("UPDATE frames SET offered = ?2 WHERE path = ?1 AND captured <> ?2");
    this.#addGap = this.#prepare("INSERT OR REPLACE INTO gaps VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)");
    this.#seeSession = this.#prepare(
      `INSERT INTO sessions (device, source, session, first_seen, last_seen, clock_offset, account, via)
       VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7) ON CONFLICT (device, source, session) DO UPDATE
       SET last_seen = ?4, clock_offset = coalesce(?5, clock_offset), via = coalesce(?7, via) RETURNING id`,
    );
    this.#endSession = this.#prepare(
      `UPDATE sessions SET frames = ?2, stored = ?3, duplicates = ?4, conflicts = ?5, refused = ?6, skipped = ?7,
       expired = ?8, ended = ?9 WHERE id = ?1`,
    );
    // The session that was running when the catalogue was lost has numbers of which only the lost one knew.
    this.#loseAccount = this.#prepare(
      `WITH of AS (SELECT * FROM sessions WHERE device = ?1 AND source = ?2)
       UPDATE sessions SET account = 'lost' WHERE id = (SELECT min(id) FROM of WHERE account <> 'lost')
       AND account = 'full' AND frames > (SELECT coalesce(sum(last - first + 1), 0) FROM outcomes WHERE session_id = id)
       AND EXISTS (SELECT 1 FROM of WHERE account = 'lost')
       AND NOT EXISTS (SELECT 1 FROM of WHERE account = 'lost' AND ended IS NOT NULL)`,
    );
    this.#addStretch = this.#prepare("INSERT OR REPLACE INTO stretches VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    this.#outcomes = new SqliteOutcomes(database);
    this.#tombstones = new SqliteTombstones(database);
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
    return storedFrames(this.#ask(this.#find, origin.device, origin.source, name, capturedNs));
  }

  findEqual({ origin, name, capturedNs, bytes }: Frame, crc32: number): StoredFrame[] | undefined {
    const { device, source } = origin;
    if (this.#lastNames.isBefore(origin, name)) return undefined;
    if (this.#ask(this.#named, device, source, name).length === 0) return undefined;
    return storedFrames(this.#ask(this.#findEqual, device, source, name, capturedNs, crc32, bytes));
  }

  accountOf({ device, source, session }: Origin): Account | undefined {
    const counts = noOutcomes();
    let highest = -1;
    const rows = this.#ask(this.#account, device, source, session) as [AccountOutcome | null, number, number][];
    if (rows.length === 0) return undefined;
    for (const [outcome, count, last] of rows) {
      // A session without any outcome has a row all the same.
      if (outcome === null) continue;
      counts[outcome] = count;
      highest = Math.max(highest, last);
    }
    return { totals: totalsOf(counts), last: highest };
  }

  holds(path: string): boolean {
    return this.#ask(this.#holds, path).length > 0;
  }

  record(batch: CatalogueBatch): void {
    this.#transaction(() => {
      for (const row of batch.frames) this.#recordFrame(row);
      for (const { path, capturedNs } of batch.offered ?? []) this.#setOffered.run(path, capturedNs);
      for (const account of sessionAccountsOf(batch)) this.#recordAccount(account, batch);
    });
    for (const { frame } of batch.frames) this.#lastNames.stored(frame.origin, frame.name);
  }

  #recordFrame({ frame, path, number, crc32, receivedNs, replaces = false }: FrameRow): void {
    const { origin, sequence, name, bytes, capturedNs } = frame;
    if (replaces) this.#handOver(path);
    this.#addFrame.run(
      origin.device,
      origin.source,
      origin.session,
      sequence,
      name,
      path,
      number,
      bytes,
      crc32,
      capturedNs,
      receivedNs,
      frame.notes === undefined ? null : noteWords(frame.notes).join(",") || null,
      frame.metadata === undefined ? null : metadataText(frame.metadata),
      correctedNs(frame),
    );
  }

  /** The frame at this path is of another number from now on: for the one that it was of, it is there already. */
  #handOver(path: string): void {
    this.#ownerOf ??= this.#prepare(
      "SELECT sessions.id, sequence FROM frames JOIN sessions USING (device, source, session) WHERE path = ?1",
    );
    for (const [id, sequence] of this.#ownerOf.values(path) as [number, number][]) {
      this.#outcomes.handOver(id, sequence);
    }
  }

  /** Gaps over some of these numbers, in order, but for one of the same bounds, which is said again. */
  #knownGaps({ device, source, session }: Origin, first: number, last: number): OutcomeRange[] {
    this.#gapsAmong ??= this.#prepare(
      `SELECT first_sequence, first_sequence + count - 1 FROM gaps
       WHERE device = ?1 AND source = ?2 AND session = ?3 AND first_sequence <= ?5 AND first_sequence >= coalesce(
         (SELECT max(first_sequence) FROM gaps
          WHERE device = ?1 AND source = ?2 AND session = ?3 AND first_sequence <= ?4), 0)
       ORDER BY first_sequence`,
    );
    const rows = this.#gapsAmong.values(device, source, session, first, last) as [number, number][];
    return rows
      .filter(([from, to]) => to >= first && !(from === first && to === last))
      .map(([from, to]) => ({ first: from, last: to, outcome: "gap" as const }));
  }

  /**
   * Of the numbers of a gap, those that are one, and are in no other: some may have been stored before, unknown to the
   * sender, and a number that is told of twice is lost once.
   */
  #recordGap(sessionId: number, { origin, firstSequence, count, reason, name, detail }: Gap, nowNs: bigint): void {
    const { device, source, session } = origin;
    let put: { first: number; count: number } | undefined;
    const putRow = (): void => {
      if (put === undefined) return;
      this.#addGap.run(device, source, session, put.first, put.count, reason, name, detail, nowNs);
    };
    const lastSequence = firstSequence + count - 1;
    const known = this.#knownGaps(origin, firstSequence, lastSequence);
    const lost = this.#outcomes.lostAmong(sessionId, firstSequence, lastSequence);
    for (const { first, last } of known.length === 0 ? lost : difference(lost, known)) {
      // Ranges that touch were lost for different reasons before, and this one tells it of all.
      if (put !== undefined && put.first + put.count === first) put.count += last - first + 1;
      else {
        putRow();
        put = { first, count: last - first + 1 };
      }
    }
    putRow();
  }

  #recordAccount(account: SessionAccount, { nowNs, found = false }: CatalogueBatch): void {
    const { origin, clockOffsetNs, outcomes, totals, gaps, stretches } = account;
    const { device, source, session } = origin;
    const via = origin.via?.join(" ") ?? null;
    const known = found ? "lost" : "full";
    const seen = this.#seeSession.values(device, source, session, nowNs, clockOffsetNs, known, via) as [number][];
    const [[id] = []] = seen;
    assert(id !== undefined, "a session that was seen has a row");
    if (outcomes.ranges.length > 0) this.#outcomes.enter(id, outcomes.ranges);
    this.#handing?.stored(id, outcomes.ranges);
    for (const gap of gaps) this.#recordGap(id, gap, nowNs);
    for (const { sequence, class: kind, count, bytes, text } of stretches) {
      this.#addStretch.run(id, sequence, kind, count, bytes, text, nowNs);
    }
    if (found) this.#loseAccount.run(device, source);
    if (totals === undefined) return;
    const { frames, stored, duplicates, conflicts, refused, skipped, expired = 0 } = totals;
    this.#endSession.run(id, frames, stored, duplicates, conflicts, refused, skipped, expired, nowNs);
    this.#loseAccount.run(device, source);
  }

  expiredLike(origin: Origin, entry: FrameEntry): number | undefined {
    return this.#tombstones.like(origin, entry, (statement, ...values) => this.#ask(statement, ...values));
  }

  hasExpired(frame: Frame, crc32: number): boolean {
    return this.#tombstones.has(frame, crc32, (statement, ...values) => this.#ask(statement, ...values));
  }

  get kept(): KeptRecords {
    return (this.#kept ??= new SqliteKept({
      database: this.#database,
      outcomes: this.#outcomes,
      tombstones: this.#tombstones,
      transaction: (run) => this.#transaction(run),
      handing: this.#handing,
    }));
  }

  get handing(): SqliteHanding {
    return (this.#handing ??= new SqliteHanding(this.#database, this.#outcomes, (run) => this.#transaction(run)));
  }

  #transaction(run: () => void): void {
    this.#begin.run();
    try {
      run();
      this.#commit.run();
    } catch (error) {
      // SQLite has rolled back by itself after some errors, and then says so here; the first error is the one to tell.
      try {
        this.#database.run("ROLLBACK");
      } catch {}
      throw error;
    }
  }

  copyTo(path: string): void {
    // One that was emptied has no tables, and would be copied as such.
    if (readVersion(this.#database) === 0) throw new Error("the catalogue was emptied");
    this.#database.run("VACUUM INTO ?1", [path]);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // An open statement would keep the database after `close`.
    for (const statement of this.#statements) statement.finalize();
    this.#outcomes.close();
    this.#tombstones.close();
    this.#kept?.close();
    this.#handing?.close();
    try {
      // A receiver that ends in good order leaves one file.
      this.#database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // The disk is full or gone: the log stays, and the next receiver reads it.
    }
    this.#database.close();
    closeSync(this.#claim);
  }

  #prepare(sql: string): AnyStatement {
    const statement = this.#database.prepare<unknown, Value[]>(sql);
    this.#statements.push(statement);
    return statement;
  }
}

function storedFrames(rows: unknown[][]): StoredFrame[] {
  return (rows as [string, number, string, number, number, number, number][]).map(
    ([session, sequence, path, number, bytes, crc32, same]) => {
      return { session, sequence, path, number, bytes, crc32, sameCapture: same === 1 };
    },
  );
}

/** The capture time by this machine's clock; null: not known to be another, or none of 64 bits. */
function correctedNs({ capturedNs, clockOffsetNs = 0n }: Frame): bigint | null {
  if (clockOffsetNs === 0n) return null;
  const corrected = capturedNs - clockOffsetNs;
  return BigInt.asIntN(64, corrected) === corrected ? corrected : null;
}

function metadataText(metadata: Metadata | undefined): string | null {
  return metadata === undefined || metadata.size === 0 ? null : JSON.stringify(Object.fromEntries(metadata));
}
