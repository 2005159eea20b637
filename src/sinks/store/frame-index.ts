/**
 * Which frames a sink holds that can only append (an archive file, a stream), and what becomes of one more: the rules
 * of promise 3 of ARCHITECTURE.md in one place.
 *
 *     place each frame of a group -> append what is new -> keep (or forget, if appending failed)
 *
 * What is placed and not yet kept is seen by later frames of its group, never by `lookup`: a sender must not hear that
 * a frame is stored before it is. The index is an SQLite database for this run only. For an archive it is a file
 * without a name beside it, because a day of frames at 30 a second is two and a half million, and 250 bytes each would
 * not fit the memory that is promised; it is built anew from the archive when that is opened. For a stream, which
 * remembers some frames only, it is in memory, and a name of any length is known by a checksum of fixed length.
 */
import { Database, type Statement } from "bun:sqlite";
import { unlinkSync } from "node:fs";
import type { Frame, FrameEntry, HeldFrame, Origin, RefusalReason, StoredOutcome, Verdict } from "../../frame.ts";
import { KiB, MiB, rowBytes } from "../../limits.ts";
import { outcomeOf } from "./duplicates.ts";
import type { Layout } from "./layout.ts";
import { freeNumber, numberedPath } from "./numbered-path.ts";
import { TextFilter } from "./text-filter.ts";

/** The database's own memory, of all sinks together; half as much again goes into the filters before it. */
export const indexCacheBytesMax: number = 8 * MiB;
const filterBytesMin: number = 4 * KiB;

/** What is to be done with a frame: appended at `path`, or nothing, because it is held or cannot be. */
export type Placement =
  | {
      readonly kind: "append";
      readonly path: string;
      readonly number: number;
      readonly outcome: "stored" | "conflict";
    }
  | { readonly kind: "held"; readonly outcome: StoredOutcome }
  | { readonly kind: "refuse"; readonly reason: RefusalReason };

export interface FrameIndexOptions {
  /** Where the database may be, a name that is free; undefined: in memory. */
  readonly file: string | undefined;
  /** Gives the paths; undefined: frames have none. */
  readonly layout: Layout | undefined;
  /** This sink's part of `indexCacheBytesMax`. */
  readonly cacheBytes: number;
  /** The newest so many are remembered; undefined: all. */
  readonly framesMax?: number;
}

type Value = string | number | bigint | null;
type AnyStatement = Statement<unknown, Value[]>;

/** Everything but `hasPathFor` and `forget` throws what the database throws, such as SQLITE_FULL. */
export class FrameIndex {
  readonly #options: FrameIndexOptions;
  readonly #database: Database;
  /** Only where an open file keeps its name. */
  readonly #leftFile: string | undefined;
  readonly #statements: AnyStatement[] = [];
  readonly #offered: AnyStatement;
  readonly #equal: AnyStatement;
  readonly #named: AnyStatement;
  readonly #atPath: AnyStatement;
  readonly #addRow: AnyStatement;
  readonly #trim: AnyStatement;
  readonly #last: AnyStatement;
  readonly #removeBehind: AnyStatement;
  /** Keys and paths of all rows: what is not in it need not be looked for. */
  readonly #known: TextFilter;
  /** Placed and not yet kept, in that order. */
  #pending: { readonly held: HeldFrame; readonly key: string }[] = [];
  readonly #pendingByKey = new Map<string, HeldFrame[]>();
  readonly #pendingPaths = new Set<string>();
  /** By device, of all rows: bytes, and `rowBytes` for each. */
  readonly #devices = new Map<string, number>();
  #closed = false;

  constructor(options: FrameIndexOptions) {
    this.#options = options;
    const { file } = options;
    this.#known = new TextFilter(2 ** Math.ceil(Math.log2(Math.max(filterBytesMin, options.cacheBytes / 2))));
    this.#database = new Database(file ?? ":memory:", { create: true, readwrite: true });
    try {
      // The file is nobody else's and does not outlive the process: no journal on the disk, no syncs.
      this.#database.run("PRAGMA locking_mode = EXCLUSIVE");
      this.#database.run("PRAGMA journal_mode = MEMORY");
      this.#database.run("PRAGMA synchronous = OFF");
      this.#database.run(`PRAGMA cache_size = -${Math.max(1, Math.floor(options.cacheBytes / KiB))}`);
      this.#database.run(
        `CREATE TABLE held (id INTEGER PRIMARY KEY, key TEXT, bytes INTEGER, crc32 INTEGER, captured INTEGER,
         number INTEGER, session TEXT, sequence INTEGER, path TEXT) STRICT`,
      );
      this.#database.run("CREATE INDEX held_by_key ON held (key, bytes, crc32)");
      if (options.layout !== undefined) this.#database.run("CREATE INDEX held_by_path ON held (path)");
    } catch (error) {
      this.#database.close();
      remove(file);
      throw error;
    }
    this.#leftFile = remove(file) ? undefined : file;
    // Nanoseconds do not fit a number, so times are compared inside SQLite and never read back here.
    this.#offered = this.#prepare(
      "SELECT session, sequence, number, crc32 FROM held WHERE key = ?1 AND bytes = ?2 AND captured = ?3 ORDER BY id",
    );
    this.#equal = this.#prepare(
      "SELECT session, sequence, number FROM held WHERE key = ?1 AND bytes = ?2 AND crc32 = ?3 LIMIT 1",
    );
    this.#named = this.#prepare("SELECT 1 FROM held WHERE key = ?1 LIMIT 1");
    this.#atPath = this.#prepare("SELECT 1 FROM held WHERE path = ?1 LIMIT 1");
    this.#addRow = this.#prepare(
      `INSERT INTO held (key, bytes, crc32, captured, number, session, sequence, path)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)`,
    );
    this.#trim = this.#prepare("DELETE FROM held WHERE id <= (SELECT max(id) FROM held) - ?1");
    this.#last = this.#prepare("SELECT max(id) FROM held");
    this.#removeBehind = this.#prepare("DELETE FROM held WHERE id > ?1 RETURNING key, bytes");
  }

  /** What is held of these offers, one verdict each, in order. */
  lookup(origin: Origin, entries: readonly FrameEntry[], firstSequence?: number): Verdict[] {
    return entries.map((entry, index) =>
      this.#find(origin, entry, firstSequence === undefined ? undefined : firstSequence + index),
    );
  }

  #find(origin: Origin, entry: FrameEntry, sequence: number | undefined): Verdict {
    const key = this.#keyOf(origin, entry.name);
    if (!this.#known.mayHave(key)) return { kind: "want" };
    const rows = this.#offered.values(key, entry.bytes, entry.capturedNs) as [string, number, number, number][];
    // Of several, the one that this very session stored is the one it asks about; else the one that came last.
    const row = rows.findLast(([session]) => session === origin.session) ?? rows.at(-1);
    if (row === undefined) return { kind: "want" };
    const [session, stored, number, crc32] = row;
    const outcome = outcomeOf({ session, sequence: stored, number }, { session: origin.session, sequence });
    return { kind: "have", outcome, crc32 };
  }

  /** Whether the layout has a safe path for this frame. */
  hasPathFor(origin: Origin, entry: FrameEntry, sequence: number): boolean {
    return this.#options.layout?.hasPathFor(origin, entry, sequence) ?? true;
  }

  /** Decides about one frame of a group, whose bytes have this checksum. */
  place(frame: Frame, crc32: number): Placement {
    const { origin, bytes } = frame;
    const asking = { session: origin.session, sequence: frame.sequence };
    const key = this.#keyOf(origin, frame.name);
    const mates = this.#pendingByKey.get(key);
    const mate = mates?.find((held) => held.frame.bytes === bytes && held.crc32 === crc32);
    if (mate !== undefined) {
      const { origin: storing, sequence } = mate.frame;
      const stored = { session: storing.session, sequence, number: mate.number };
      return { kind: "held", outcome: outcomeOf(stored, asking) };
    }
    if (this.#known.mayHave(key)) {
      const [equal] = this.#equal.values(key, bytes, crc32) as [string, number, number][];
      if (equal !== undefined) {
        const [session, sequence, number] = equal;
        return { kind: "held", outcome: outcomeOf({ session, sequence, number }, asking) };
      }
    }
    const free = this.#freePath(frame, key, mates !== undefined);
    if (free === undefined) return { kind: "refuse", reason: "name" };
    const { path, number } = free;
    this.#add({ frame, path, number, crc32 }, key);
    return { kind: "append", path, number, outcome: number === 1 ? "stored" : "conflict" };
  }

  /** A stream has no use for the name itself, and 100,000 of the longest would take 800 MiB. */
  #keyOf(origin: Origin, name: string): string {
    const key = nameKey(origin, name);
    return this.#options.layout === undefined ? nameDigest(key) : key;
  }

  #freePath(frame: Frame, key: string, hasMates: boolean): { path: string; number: number } | undefined {
    const { layout } = this.#options;
    // Nothing tells two frames of a stream apart, so the numbers of a name need not go on.
    if (layout === undefined) return { path: "", number: hasMates || this.#has(this.#named, key) ? 2 : 1 };
    const own = layout.pathOf(frame);
    if (own === undefined) return undefined;
    const number = freeNumber((one) => {
      const path = numberedPath(own, one);
      return this.#pendingPaths.has(path) || this.#has(this.#atPath, path);
    });
    return { path: numberedPath(own, number), number };
  }

  /** Of a key or a path. */
  #has(statement: AnyStatement, text: string): boolean {
    return this.#known.mayHave(text) && statement.values(text).length > 0;
  }

  /** Adds what is found in the archive, as if placed: `keep` has to follow, after some thousands at most. */
  restore(held: HeldFrame): void {
    this.#add(held, this.#keyOf(held.frame.origin, held.frame.name));
  }

  #add(held: HeldFrame, key: string): void {
    this.#pending.push({ held, key });
    const mates = this.#pendingByKey.get(key);
    if (mates === undefined) this.#pendingByKey.set(key, [held]);
    else mates.push(held);
    if (this.#options.layout !== undefined) this.#pendingPaths.add(held.path);
  }

  /** What was placed is in the archive. If this throws, none of it is in the index, and `forget` is due. */
  keep(): void {
    if (this.#pending.length === 0) return;
    this.#database.transaction(() => this.#insert())();
    if (this.#options.layout !== undefined) {
      for (const { held } of this.#pending) this.#count(held.frame.origin.device, held.frame.bytes + rowBytes);
    }
    this.forget();
  }

  #insert(): void {
    const { framesMax, layout } = this.#options;
    for (const { held, key } of this.#pending) {
      const { frame, path, number, crc32 } = held;
      const { origin, bytes, capturedNs } = frame;
      this.#known.add(key);
      if (layout !== undefined) this.#known.add(path);
      this.#addRow.run(key, bytes, crc32, capturedNs, number, origin.session, frame.sequence, path);
    }
    if (framesMax !== undefined) this.#trim.run(framesMax);
  }

  /** How many rows there have been: for `takeBack`. */
  get rows(): number {
    const [[last] = []] = this.#last.values() as [number | null][];
    return last ?? 0;
  }

  /** Nothing counts that was placed or restored since there were so many. */
  takeBack(rows: number): void {
    this.forget();
    for (const [key, bytes] of this.#removeBehind.values(rows) as [string, number][]) {
      this.#count(key.slice(0, key.indexOf("\0")), -bytes - rowBytes);
    }
  }

  /** What a device has: its frames, and `rowBytes` for each. */
  bytesOf(device: string): number {
    return this.#devices.get(device) ?? 0;
  }

  #count(device: string, bytes: number): void {
    this.#devices.set(device, (this.#devices.get(device) ?? 0) + bytes);
  }

  /** What was placed and not kept is not in the archive. */
  forget(): void {
    this.#pending = [];
    this.#pendingByKey.clear();
    this.#pendingPaths.clear();
  }

  /** May be called more than once. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const statement of this.#statements) statement.finalize();
    this.#database.close();
    remove(this.#leftFile);
  }

  #prepare(sql: string): AnyStatement {
    const statement = this.#database.prepare<unknown, Value[]>(sql);
    this.#statements.push(statement);
    return statement;
  }
}

/** 128 bits that nobody can make equal for two names. */
function nameDigest(key: string): string {
  return Bun.CryptoHasher.hash("sha256", key, "base64").slice(0, 22);
}

/** False: some systems let no open file lose its name. */
function remove(file: string | undefined): boolean {
  if (file === undefined) return true;
  try {
    unlinkSync(file);
    return true;
  } catch {
    return false;
  }
}

/** One text for a device, a source and a name. */
function nameKey(origin: Origin, name: string): string {
  return `${origin.device}\0${origin.source}\0${name}`;
}
