/**
 * The receiver's record of what is stored, as a port, and the format that both its writer and its readers know.
 * CATALOGUE.md describes it for everybody else: it is public, so a change of a table is a new version.
 */
import type { Frame, Gap, Origin, SourceEnd } from "../../frame.ts";
import type { SyncMode } from "../store/sync-mode.ts";

/** A stored frame, as far as it takes to recognise it. */
export interface StoredFrame {
  readonly session: string;
  /** Below the directory. */
  readonly path: string;
  /** 1: under its own name; from 2: a conflict, under that numbered name. */
  readonly number: number;
  readonly bytes: number;
  readonly crc32: number;
  /** Its capture time is the one asked for. */
  readonly sameCapture: boolean;
}

/** A frame to be recorded. */
export interface FrameRow {
  readonly frame: Frame;
  readonly path: string;
  readonly number: number;
  readonly crc32: number;
  /** When its last byte had arrived, nanoseconds since the epoch by this machine's clock. */
  readonly receivedNs: bigint;
}

/** What is recorded together. */
export interface CatalogueBatch {
  readonly frames: readonly FrameRow[];
  readonly gaps: readonly Gap[];
  readonly ends: readonly SourceEnd[];
  /** The time of recording, for gaps and ends. */
  readonly nowNs: bigint;
}

/**
 * One catalogue, opened for writing by the only receiver of a directory. Everything throws what the database throws;
 * then nothing of the batch is recorded, or all of it.
 */
export interface Catalogue {
  /**
   * Runs `run`, whose `find` and `holds` are several times cheaper than by themselves: one look at the log serves
   * all.
   */
  reading<T>(run: () => T): T;
  /** What is stored of this device and source under this name, in any order. */
  find(origin: Origin, name: string, capturedNs: bigint): StoredFrame[];
  /** Whether any frame is recorded at this path. */
  holds(path: string): boolean;
  /**
   * One transaction, durable when it returns (unless the sync mode is `never`). A row at the path of an earlier one
   * replaces it; a gap or end that is repeated replaces its earlier self.
   */
  record(batch: CatalogueBatch): void;
  /** Releases the catalogue and the directory. */
  close(): void;
}

/** Takes the directory for this process and opens its catalogue, or throws UserError. */
export type OpenCatalogue = (directory: string, sync: SyncMode) => Catalogue;

/** Below the directory of a sink: everything that is ours. */
export const ownFolder = ".framepipe";
export const catalogueFile = ".framepipe/catalogue.db";
export const lockFile = ".framepipe/lock";
export const temporaryFolder = ".framepipe/tmp";

/** `PRAGMA user_version` of the tables below. */
export const catalogueVersion = 1;

export const catalogueTables: readonly string[] = [
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
  `CREATE INDEX frames_by_name ON frames (device, source, name)`,
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
