/**
 * The files of a directory that its catalogue does not know, in the order in which they came to be, as their times of
 * change tell it: what is kept goes in the order of storing. They are put in order in a database of their own, because
 * there may be millions.
 */
import { Database } from "bun:sqlite";
import { lstatSync, opendirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Catalogue, newCatalogueFile } from "./catalogue.ts";

export class FoundFiles {
  readonly #directory: string;
  readonly #catalogue: Pick<Catalogue, "holds" | "kept">;
  readonly #path: string;
  readonly #database: Database;

  /** Throws what SQLite says. */
  constructor(directory: string, catalogue: Pick<Catalogue, "holds" | "kept">) {
    this.#directory = directory;
    this.#catalogue = catalogue;
    this.#path = resolve(directory, `${newCatalogueFile}-found`);
    rmSync(this.#path, { force: true });
    this.#database = new Database(this.#path, { create: true });
    // It is for this run alone.
    for (const pragma of ["journal_mode = OFF", "synchronous = OFF"]) this.#database.run(`PRAGMA ${pragma}`);
    this.#database.run(
      "CREATE TABLE found (changed INTEGER, path TEXT, PRIMARY KEY (changed, path)) STRICT, WITHOUT ROWID",
    );
    // Never to be ended: a transaction for each file costs more than reading the file.
    this.#database.run("BEGIN");
  }

  /** Whether the catalogue has a row for it, or had one and the file is about to be removed. */
  #isKnown(path: string): boolean {
    return this.#catalogue.holds(path) || this.#catalogue.kept.leaving().includes(path);
  }

  /** Looks at every name below the directory, and lets `turn` decide after each whether it is somebody else's. */
  async look(turn: () => Promise<void> | undefined): Promise<void> {
    const folders: string[] = [""];
    const add = this.#database.prepare<unknown, [bigint, string]>("INSERT INTO found VALUES (?1, ?2)");
    try {
      for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
        for (const { path, isFolder } of entriesOf(this.#directory, folder)) {
          if (isFolder) folders.push(`${path}/`);
          else if (!this.#isKnown(path)) {
            const status = lstatSync(join(this.#directory, path), { bigint: true, throwIfNoEntry: false });
            if (status !== undefined) add.run(status.ctimeNs, path);
          }
          await turn();
        }
      }
    } finally {
      add.finalize();
    }
  }

  /** Paths below the directory, but for those that have become known since. */
  *inOrder(): Generator<string> {
    const statement = this.#database.prepare<{ path: string }, []>("SELECT path FROM found ORDER BY changed, path");
    try {
      for (const { path } of statement.iterate()) if (!this.#isKnown(path)) yield path;
    } finally {
      statement.finalize();
    }
  }

  close(): void {
    this.#database.close();
    rmSync(this.#path, { force: true });
  }
}

/** `folder`: empty, or ending in `/`. Nothing of one that may not be read, or is gone. */
function* entriesOf(directory: string, folder: string): Generator<{ path: string; isFolder: boolean }> {
  let entries: ReturnType<typeof opendirSync>;
  try {
    entries = opendirSync(join(directory, folder));
  } catch {
    return;
  }
  try {
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      const path = folder + entry.name;
      // What is ours, and what is hidden, is no frame; nor is what ext4 keeps at the top of a disk.
      if (!entry.name.startsWith(".") && path !== "lost+found") yield { path, isFolder: entry.isDirectory() };
    }
  } finally {
    entries.closeSync();
  }
}
