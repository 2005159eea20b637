/**
 * Checksums of files that the receiver has acknowledged, and what a look into them has found, so that those which must
 * be compared are not read for it: by inode, change time and size, in a small database that a user's senders share.
 * Whoever changes a file changes its ctime, which no program can set back; where that does not hold
 * (mount-identity.ts), nothing is remembered.
 *
 * It is only ever a short cut: if it cannot be read or written, that is said once, and bytes are read. Nothing in it
 * outlives the boot, so it need not survive a power loss and is never flushed.
 */
import { Database, type Statement } from "bun:sqlite";
import { existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { type FrameEntry, Note } from "../../frame.ts";
import type { Clock } from "../../ports.ts";
import { describe } from "../../system/errno.ts";
import { type MountIdentity, mountIdentityOf } from "../../system/mount-identity.ts";
import { exifTimeKey } from "../exif.ts";
import type { FileState } from "./opened-file.ts";

/** Of the tables. Others are thrown away: they are only ever a short cut. */
const version = 1;
/** About 40 bytes each. Beyond it half of them are forgotten. */
const filesMax = 1_000_000;
/** What waits is written together. */
const batchFiles = 512;
const busyMs = 200;
/** A folder may become another mount at any time. */
const mountLookMs = 1_000;
/** File systems stamp changes every few milliseconds: what changed just now may change again with the same time. */
const settledMs = 1_000;

type Value = string | number;

export interface ChecksumMemoryOptions {
  /** The database. It and its folder are made when there is something to remember. */
  readonly path: string;
  readonly clock: Pick<Clock, "nowMs" | "wallNs">;
  /** Called once, if it cannot be used. */
  readonly onProblem: (text: string) => void;
}

/** What is known of a file in a state, besides its checksum. */
export interface FileLook {
  /** When its picture was taken, by its EXIF data; empty: it has none. Undefined: it was not complete. */
  readonly taken: string | undefined;
}

/** What the look at a file has found, which is listed like this. */
export function lookOf({ notes = 0, metadata }: FrameEntry): FileLook {
  return { taken: (notes & Note.incomplete) !== 0 ? undefined : (metadata?.get(exifTimeKey) ?? "") };
}

/** By what a file is known again. */
type MemoryKey = Pick<FileState, "bytes" | "fileNumber" | "changedMs" | "device">;

interface Remembered extends FileLook {
  readonly crc32: number;
}

interface Waiting extends Remembered {
  readonly mount: number;
  readonly state: FileState;
}

export class ChecksumMemory {
  readonly #options: ChecksumMemoryOptions;
  #database: Database | undefined;
  #find: Statement<{ crc32: number; taken: string | null }, Value[]> | undefined;
  #add: Statement<unknown, (Value | null)[]> | undefined;
  #failed = false;
  /** Nothing was ever remembered: there is no database, and none is made for asking. */
  #isEmpty: boolean;
  #files = 0;
  /** By mount and inode. */
  readonly #waiting = new Map<string, Waiting>();
  /** By folder: which mount it is on, when that was looked at, and its number in the database. */
  readonly #mounts = new Map<string, { atMs: number; identity: MountIdentity | undefined; id: number | undefined }>();

  constructor(options: ChecksumMemoryOptions) {
    this.#options = options;
    this.#isEmpty = !existsSync(options.path);
  }

  /** Whether a file that was read just now, in this state, can be known by it later. */
  isSettled({ changedMs }: FileState): boolean {
    return Math.abs(Number(this.#options.clock.wallNs() / 1_000n) / 1_000 - changedMs) > settledMs;
  }

  /** What is known of a file below the folder `root`. */
  find(root: string, state: MemoryKey): Remembered | undefined {
    if (this.#isEmpty) return undefined;
    return this.#attempt(() => {
      const mount = this.#mountOf(root, state);
      if (mount === undefined) return undefined;
      const { fileNumber, changedMs, bytes } = state;
      const waiting = this.#waiting.get(`${mount}/${fileNumber}`);
      if (waiting?.state.changedMs === changedMs && waiting.state.bytes === bytes) return waiting;
      const found = this.#find?.get(mount, fileNumber, changedMs, bytes);
      return found ? { crc32: found.crc32, taken: found.taken ?? undefined } : undefined;
    });
  }

  /** A file below `root` whose bytes have this checksum in this state, and are acknowledged. */
  remember(root: string, state: FileState, known: Remembered): void {
    this.#isEmpty = false;
    this.#attempt(() => {
      const mount = this.#mountOf(root, state);
      if (mount === undefined) return;
      this.#waiting.set(`${mount}/${state.fileNumber}`, { mount, state, ...known });
      if (this.#waiting.size >= batchFiles) this.#flush();
    });
  }

  close(): void {
    this.#attempt(() => this.#flush());
    this.#find?.finalize();
    this.#add?.finalize();
    this.#database?.close();
    this.#database = undefined;
    this.#failed = true;
  }

  #attempt<Result>(run: () => Result): Result | undefined {
    if (this.#failed) return undefined;
    try {
      return run();
    } catch (error) {
      this.#failed = true;
      this.#waiting.clear();
      this.#options.onProblem(
        `${this.#options.path}: checksums are not remembered, files are read: ${describe(error)}`,
      );
      return undefined;
    }
  }

  /** The mount's number in the database; undefined: its files cannot be known again, or this is not one of them. */
  #mountOf(root: string, { device }: MemoryKey): number | undefined {
    const nowMs = this.#options.clock.nowMs();
    let known = this.#mounts.get(root);
    if (known === undefined || nowMs - known.atMs >= mountLookMs) {
      const identity = mountIdentityOf(root);
      const same = known !== undefined && known.identity?.mount === identity?.mount;
      known = { atMs: nowMs, identity, id: same ? known?.id : undefined };
      this.#mounts.set(root, known);
    }
    const { identity } = known;
    if (identity === undefined || identity.device !== device) return undefined;
    known.id ??= this.#numberOf(identity);
    return known.id;
  }

  #numberOf({ boot, mount }: MountIdentity): number {
    const database = (this.#database ??= this.#open());
    database.run("DELETE FROM files WHERE mount IN (SELECT id FROM mounts WHERE boot <> ?1)", [boot]);
    database.run("DELETE FROM mounts WHERE boot <> ?1", [boot]);
    database.run("INSERT OR IGNORE INTO mounts (boot, mount) VALUES (?1, ?2)", [boot, mount]);
    const statement = database.query<{ id: number }, string[]>("SELECT id FROM mounts WHERE boot = ?1 AND mount = ?2");
    this.#files = database.query<{ files: number }, []>("SELECT count(*) AS files FROM files").get()?.files ?? 0;
    return statement.get(boot, mount)?.id ?? 0;
  }

  #open(): Database {
    const { path } = this.#options;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const database = new Database(path, { create: true });
    database.run(`PRAGMA busy_timeout = ${busyMs}`);
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = OFF");
    database.run("PRAGMA cache_size = -8192");
    database.transaction(() => makeTables(database)).immediate();
    this.#find = database.prepare(
      "SELECT crc32, taken FROM files WHERE mount = ?1 AND inode = ?2 AND changed = ?3 AND bytes = ?4",
    );
    this.#add = database.prepare("INSERT OR REPLACE INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    return database;
  }

  #flush(): void {
    const database = this.#database;
    if (database === undefined || this.#waiting.size === 0) return;
    const batch = [...this.#waiting.values()];
    this.#waiting.clear();
    if (this.#files + batch.length > filesMax) {
      database.run("DELETE FROM files WHERE inode % 2 = 0");
      this.#files /= 2;
    }
    this.#files += batch.length;
    database.transaction(() => {
      for (const { mount, state, crc32, taken = null } of batch) {
        this.#add?.run(mount, state.fileNumber, state.changedMs, state.bytes, crc32, taken);
      }
    })();
  }
}

/** Of another version they are made anew. */
function makeTables(database: Database): void {
  const [{ user_version: found } = { user_version: 0 }] = database
    .query<{ user_version: number }, []>("PRAGMA user_version")
    .all();
  if (found === version) return;
  database.run("DROP TABLE IF EXISTS mounts");
  database.run("DROP TABLE IF EXISTS files");
  database.run("CREATE TABLE mounts (id INTEGER PRIMARY KEY, boot TEXT, mount TEXT, UNIQUE (boot, mount))");
  database.run(
    `CREATE TABLE files (mount INTEGER, inode INTEGER, changed REAL, bytes INTEGER, crc32 INTEGER, taken TEXT,
     PRIMARY KEY (mount, inode)) WITHOUT ROWID`,
  );
  database.run(`PRAGMA user_version = ${version}`);
}
