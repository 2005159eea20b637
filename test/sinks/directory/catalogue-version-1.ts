/** Catalogues as 0.1.0 made them, for what has to become of them. */
import { Database } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { catalogueFile, ownFolder } from "../../../src/sinks/directory/catalogue.ts";

const tables = [
  `CREATE TABLE frames (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    source TEXT NOT NULL,
    session TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL UNIQUE,
    number INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    crc32 INTEGER NOT NULL,
    captured INTEGER NOT NULL,
    received INTEGER NOT NULL
  ) STRICT`,
  "CREATE INDEX frames_by_name ON frames (device, source, name)",
  `CREATE TABLE gaps (
    device TEXT NOT NULL,
    source TEXT NOT NULL,
    session TEXT NOT NULL,
    first_sequence INTEGER NOT NULL,
    count INTEGER NOT NULL,
    reason TEXT NOT NULL,
    name TEXT NOT NULL,
    detail TEXT NOT NULL,
    recorded INTEGER NOT NULL,
    PRIMARY KEY (device, source, session, first_sequence)
  ) STRICT`,
  `CREATE TABLE sources (
    device TEXT NOT NULL,
    source TEXT NOT NULL,
    session TEXT NOT NULL,
    frames INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    already INTEGER NOT NULL,
    conflicts INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    PRIMARY KEY (device, source, session)
  ) STRICT`,
];

/** What a row has that a test does not care for. */
const values = { device: "rig", source: "visible", session: "a".repeat(32), number: 1, crc32: 7, bytes: 3 };

type Cells = Readonly<Record<string, string | number | bigint>>;

export interface Version1 {
  readonly frames?: readonly Cells[];
  readonly gaps?: readonly Cells[];
  readonly sources?: readonly Cells[];
}

/** Makes the catalogue of `directory`, which may have its log as a receiver that was killed leaves it. */
export function makeVersion1(directory: string, { frames = [], gaps = [], sources = [] }: Version1): void {
  mkdirSync(join(directory, ownFolder), { recursive: true });
  const database = new Database(join(directory, catalogueFile), { create: true });
  database.run("PRAGMA journal_mode = WAL");
  database.transaction(() => {
    for (const table of tables) database.run(table);
    for (const cells of frames) {
      const name = `${String(cells["sequence"])}.jpg`;
      const path = `${String(cells["device"] ?? values.device)}/visible/${name}`;
      insert(database, "frames", { ...values, name, path, captured: 5, received: 100, ...cells });
    }
    const { device, source, session } = values;
    for (const cells of gaps) {
      insert(database, "gaps", { device, source, session, count: 1, name: "", detail: "", recorded: 100, ...cells });
    }
    const none = { frames: 0, stored: 0, already: 0, conflicts: 0, refused: 0, skipped: 0 };
    for (const cells of sources)
      insert(database, "sources", { device, source, session, ...none, ended: 100, ...cells });
    database.run("PRAGMA user_version = 1");
  })();
  database.close();
}

function insert(database: Database, table: string, cells: Cells): void {
  const names = Object.keys(cells);
  database.run(
    `INSERT INTO ${table} (${names.join(", ")}) VALUES (${names.map(() => "?").join(", ")})`,
    Object.values(cells),
  );
}
