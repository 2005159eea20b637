/** A real directory for the directory sink, with the levers that its tests pull. */
import { Database } from "bun:sqlite";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sink } from "../../../src/ports.ts";
import type { Catalogue } from "../../../src/sinks/directory/catalogue.ts";
import { catalogueFile, ownFolder, temporaryFolder } from "../../../src/sinks/directory/catalogue.ts";
import { DirectoryStore, type DirectoryStoreOptions } from "../../../src/sinks/directory/directory-store.ts";
import { lockDirectory, openSqliteCatalogue } from "../../../src/sinks/directory/sqlite-catalogue.ts";
import { Layout, layoutDefault } from "../../../src/sinks/store/layout.ts";
import type { StoreSinkOptions } from "../../../src/sinks/store/store-sink.ts";
import { type Disk, nodeDisk } from "../../../src/system/file-system.ts";
import { sinkOf, type SinkPlace } from "../suite.ts";

/** Of the store and of its sink. */
export type DirectoryOptions = Partial<DirectoryStoreOptions & StoreSinkOptions>;

export class DirectoryPlace implements SinkPlace {
  readonly parent: string = mkdtempSync(join(tmpdir(), "framepipe-"));
  readonly directory: string = join(this.parent, "captures");
  readonly #options: DirectoryOptions;
  /** Virtual, so that nothing waits for healing and free space. */
  nowMs = 0;
  #broken = false;
  #brokenPath = false;

  constructor(options: DirectoryOptions = {}) {
    this.#options = options;
  }

  open(changes: DirectoryOptions = {}): Sink {
    const options = this.options(changes);
    return sinkOf(this.openStore(options), options);
  }

  openStore(options: DirectoryStoreOptions): DirectoryStore {
    return new DirectoryStore(options);
  }

  options(changes: DirectoryOptions = {}): DirectoryStoreOptions & Partial<StoreSinkOptions> {
    return {
      directory: this.directory,
      layout: new Layout(layoutDefault),
      sync: "batch" as const,
      minFreeBytes: 0,
      disk: this.#disk,
      clock: { nowMs: () => (this.nowMs += 10), wallNs: () => 1_800_000_000_000_000_001n },
      takeLock: lockDirectory,
      openCatalogue: (...words: Parameters<typeof openSqliteCatalogue>) =>
        this.#breakable(openSqliteCatalogue(...words)),
      ...this.#options,
      ...changes,
    };
  }

  readonly #disk: Disk = {
    ...nodeDisk,
    renameNew: (from, to) => {
      if (this.#brokenPath && to.includes("/infrared/")) throw Object.assign(new Error("no"), { code: "EACCES" });
      return nodeDisk.renameNew(from, to);
    },
  };

  stored(): Map<string, string> {
    return new Map(
      readdirSync(this.directory, { recursive: true, encoding: "utf8" })
        .filter((path) => !path.startsWith(ownFolder) && statSync(join(this.directory, path)).isFile())
        .map((path) => [path, readFileSync(join(this.directory, path), "utf8")]),
    );
  }

  temporaryFiles(): string[] {
    return readdirSync(join(this.directory, temporaryFolder));
  }

  /** Rows of the catalogue, read by a connection of its own. */
  query(sql: string): unknown[] {
    const database = new Database(join(this.directory, catalogueFile), { readonly: true });
    const statement = database.prepare(sql);
    try {
      return statement.values();
    } finally {
      statement.finalize();
      database.close();
    }
  }

  breakCommits(broken: boolean): void {
    this.#broken = broken;
  }

  breakPath(broken: boolean): void {
    this.#brokenPath = broken;
  }

  recordedGaps(): number {
    return this.query("SELECT * FROM gaps").length;
  }

  recordedStretches(): number {
    return this.query("SELECT * FROM stretches").length;
  }

  recordedEnds(): number {
    return this.query("SELECT * FROM sessions WHERE ended IS NOT NULL").length;
  }

  remove(): void {
    rmSync(this.parent, { recursive: true, force: true });
  }

  #breakable(catalogue: Catalogue): Catalogue {
    return {
      reading: (run) => catalogue.reading(run),
      find: (origin, name, capturedNs) => catalogue.find(origin, name, capturedNs),
      findEqual: (frame, crc32) => catalogue.findEqual(frame, crc32),
      accountOf: (origin) => catalogue.accountOf(origin),
      holds: (path) => catalogue.holds(path),
      record: (batch) => {
        if (this.#broken) throw Object.assign(new Error("broken for a test"), { code: "SQLITE_FULL" });
        catalogue.record(batch);
      },
      expiredLike: (origin, entry) => catalogue.expiredLike(origin, entry),
      hasExpired: (frame, crc32) => catalogue.hasExpired(frame, crc32),
      get kept() {
        return catalogue.kept;
      },
      get handing() {
        return catalogue.handing;
      },
      copyTo: (path) => catalogue.copyTo(path),
      close: () => catalogue.close(),
    };
  }
}
