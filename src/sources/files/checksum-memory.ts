/**
 * Checksums of files that the receiver has acknowledged, so that those which must be compared are not read for it: by
 * inode, change time and size, in a small database that a user's senders share. Whoever changes a file changes its
 * ctime, which no program can set back; where that does not hold (mount-identity.ts), nothing is remembered.
 *
 * It is only ever a short cut: if it cannot be read or written, that is said once, and bytes are read. Nothing in it
 * outlives the boot, so it need not survive a power loss and is never flushed.
 */
import { Database, type Statement } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "../../ports.ts";
import { describe } from "../../system/errno.ts";
import { type MountIdentity, mountIdentityOf } from "../../system/mount-identity.ts";
import type { FileState } from "./opened-file.ts";

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

interface Waiting {
  readonly mount: number;
  readonly state: FileState;
  readonly crc32: number;
}

export class ChecksumMemory {
  readonly #options: ChecksumMemoryOptions;
  #database: Database | undefined;
  #find: Statement<{ crc32: number }, Value[]> | undefined;
  #add: Statement<unknown, Value[]> | undefined;
  #failed = false;
  #files = 0;
  readonly #waiting: Waiting[] = [];
  /** By folder: which mount it is on, when that was looked at, and its number in the database. */
  readonly #mounts = new Map<string, { atMs: number; identity: MountIdentity | undefined; id: number | undefined }>();

  constructor(options: ChecksumMemoryOptions) {
    this.#options = options;
  }

  /** Whether a file that was read just now, in this state, can be known by it later. */
  isSettled({ changedMs }: FileState): boolean {
    return Math.abs(Number(this.#options.clock.wallNs() / 1_000n) / 1_000 - changedMs) > settledMs;
  }

  /** The checksum of a file below the folder `root`. */
  find(root: string, state: FileState): number | undefined {
    return this.#attempt(() => {
      const mount = this.#mountOf(root, state);
      if (mount === undefined) return undefined;
      this.#flush();
      const { fileNumber, changedMs, bytes } = state;
      return this.#find?.get(mount, fileNumber, changedMs, bytes)?.crc32;
    });
  }

  /** A file below `root` whose bytes have this checksum in this state, and are acknowledged. */
  remember(root: string, state: FileState, crc32: number): void {
    this.#attempt(() => {
      const mount = this.#mountOf(root, state);
      if (mount === undefined) return;
      this.#waiting.push({ mount, state, crc32 });
      if (this.#waiting.length >= batchFiles) this.#flush();
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
      this.#waiting.length = 0;
      this.#options.onProblem(
        `${this.#options.path}: checksums are not remembered, files are read: ${describe(error)}`,
      );
      return undefined;
    }
  }

  /** The mount's number in the database; undefined: its files cannot be known again, or this is not one of them. */
  #mountOf(root: string, { device }: FileState): number | undefined {
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
    database.run(
      "CREATE TABLE IF NOT EXISTS mounts (id INTEGER PRIMARY KEY, boot TEXT, mount TEXT, UNIQUE (boot, mount))",
    );
    database.run(
      `CREATE TABLE IF NOT EXISTS files (mount INTEGER, inode INTEGER, changed REAL, bytes INTEGER, crc32 INTEGER,
       PRIMARY KEY (mount, inode)) WITHOUT ROWID`,
    );
    this.#find = database.prepare(
      "SELECT crc32 FROM files WHERE mount = ?1 AND inode = ?2 AND changed = ?3 AND bytes = ?4",
    );
    this.#add = database.prepare("INSERT OR REPLACE INTO files VALUES (?1, ?2, ?3, ?4, ?5)");
    return database;
  }

  #flush(): void {
    const database = this.#database;
    if (database === undefined || this.#waiting.length === 0) return;
    const batch = this.#waiting.splice(0);
    if (this.#files + batch.length > filesMax) {
      database.run("DELETE FROM files WHERE inode % 2 = 0");
      this.#files /= 2;
    }
    this.#files += batch.length;
    database.transaction(() => {
      for (const { mount, state, crc32 } of batch) {
        this.#add?.run(mount, state.fileNumber, state.changedMs, state.bytes, crc32);
      }
    })();
  }
}
