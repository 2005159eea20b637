/**
 * The tables of the catalogue, which its writer, its readers and the migration share. CATALOGUE.md describes them for
 * everybody else: the format is public, so a change of a table is a new version.
 */

/** `PRAGMA user_version` of the tables below. */
export const catalogueVersion = 2;

/** Columns of `frames` that version 1 did not have. They may be null, so they can be added without touching a row. */
export const framesColumnsOf2: readonly string[] = [
  "offered INTEGER",
  "notes TEXT",
  "metadata TEXT",
  "corrected INTEGER",
];

const framesTable = `CREATE TABLE frames (
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
    received INTEGER NOT NULL,
    ${framesColumnsOf2.join(",\n    ")}
  ) STRICT`;

/** With the checksum, so that of ten thousand pictures of one name the equal one is found at once. */
export const framesByName = "CREATE INDEX frames_by_name ON frames (device, source, name, crc32)";

/** So that any range of time is read in order without looking at what is outside of it. */
export const framesByTime: readonly string[] = [
  "CREATE INDEX frames_by_time ON frames (device, source, captured)",
  "CREATE INDEX frames_by_corrected ON frames (device, source, corrected) WHERE corrected IS NOT NULL",
];

/**
 * Of a receiver that removes frames: the oldest of a device, and what a device has. Made when one is started for the
 * first time, so that others do not pay for them.
 */
export const keepingIndexes: readonly string[] = [
  "CREATE INDEX IF NOT EXISTS frames_by_device ON frames (device, id, bytes)",
  "CREATE INDEX IF NOT EXISTS gaps_by_device ON gaps (device, recorded)",
];

/** Of a gateway: what the receiver behind it has. Made when one is started for the first time. */
export const handingTables: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS handed_on (
    session_id INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (session_id, first)
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS ends_handed_on (
    session_id INTEGER PRIMARY KEY,
    recorded INTEGER NOT NULL
  ) STRICT`,
  "CREATE INDEX IF NOT EXISTS frames_by_number ON frames (device, source, session, sequence)",
];

/** A column that some catalogues of this version do not have yet. */
export const viaColumn = "ALTER TABLE sessions ADD COLUMN via TEXT";

const gapsTable = `CREATE TABLE gaps (
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
  ) STRICT`;

/** For whoever steps from gap to gap. Some catalogues of this version do not have it yet. */
export const gapsBySource = "CREATE INDEX IF NOT EXISTS gaps_by_source ON gaps (device, source, recorded)";

/** Those that version 1 did not have. */
export const tablesOf2: readonly string[] = [
  `CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    source TEXT NOT NULL,
    session TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    clock_offset INTEGER,
    account TEXT NOT NULL,
    via TEXT,
    frames INTEGER,
    stored INTEGER,
    duplicates INTEGER,
    conflicts INTEGER,
    refused INTEGER,
    skipped INTEGER,
    expired INTEGER,
    ended INTEGER,
    UNIQUE (device, source, session)
  ) STRICT`,
  `CREATE TABLE outcomes (
    session_id INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (session_id, first)
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE stretches (
    session_id INTEGER NOT NULL,
    following INTEGER NOT NULL,
    class TEXT NOT NULL,
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    detail TEXT NOT NULL,
    recorded INTEGER NOT NULL,
    PRIMARY KEY (session_id, following)
  ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE tombstones (
    id INTEGER PRIMARY KEY,
    frame BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    crc32 INTEGER NOT NULL,
    captured INTEGER NOT NULL,
    expired INTEGER NOT NULL
  ) STRICT`,
  "CREATE INDEX tombstones_by_frame ON tombstones (frame)",
  `CREATE TABLE leaving (
    path TEXT PRIMARY KEY
  ) STRICT, WITHOUT ROWID`,
];

export const catalogueTables: readonly string[] = [framesTable, framesByName, ...framesByTime, gapsTable, ...tablesOf2];
