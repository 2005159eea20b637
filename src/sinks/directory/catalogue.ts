/** The receiver's record of what is stored, as a port. CATALOGUE.md says what is in it. */
import type { DestinationEvent } from "../../events.ts";
import type { Frame, FrameEntry, Gap, Origin, SourceEnd, SourceTotals, Stretch } from "../../frame.ts";
import type { SyncMode } from "../store/sync-mode.ts";
import type { OutcomeRange } from "../../outcome-ranges.ts";
import type { AccountOutcome } from "../../outcomes.ts";

/** A stored frame, as far as it takes to recognise it. */
export interface StoredFrame {
  readonly session: string;
  readonly sequence: number;
  /** Below the directory. */
  readonly path: string;
  /** 1: under its own name; from 2: a conflict, under that numbered name. */
  readonly number: number;
  readonly bytes: number;
  readonly crc32: number;
  /** The time asked for is its capture time, or the one with which it was offered last. */
  readonly sameCapture: boolean;
}

/** A frame to be recorded, with what may have travelled with it. */
export interface FrameRow {
  readonly frame: Frame;
  readonly path: string;
  readonly number: number;
  readonly crc32: number;
  /** When its last byte had arrived, nanoseconds since the epoch by this machine's clock. */
  readonly receivedNs: bigint;
  /** There is a row at its path, whose file was gone: the number of that row has its frame from this one now. */
  readonly replaces?: boolean;
}

/** What became of numbers of a session, `first` and `last` included. */
export interface NumberOutcome {
  readonly origin: Origin;
  readonly first: number;
  readonly last: number;
  readonly outcome: AccountOutcome;
}

/** How many numbers have which outcome. */
export interface Account {
  /** `frames`: those that have one. */
  readonly totals: SourceTotals;
  /** The highest of them; -1: there is none. */
  readonly last: number;
}

/** What a device has in a catalogue. */
export interface DeviceHolding {
  readonly device: string;
  readonly frames: number;
  /** Of the frames. */
  readonly bytes: number;
  readonly gaps: number;
}

export interface OldFrame {
  /** Higher is stored later. */
  readonly id: number;
  readonly device: string;
  readonly path: string;
  readonly bytes: number;
  readonly receivedMs: number;
}

/** One step of removing. */
export interface Expiry {
  readonly frames: readonly OldFrame[];
  /** Of these devices, gaps that were recorded up to then go as well. */
  readonly gapsUpTo: readonly { readonly device: string; readonly recordedMs: number }[];
  /** Paths of earlier steps at which no file is any more, which would survive a power loss. */
  readonly gone: readonly string[];
  /** As `forgetTombstones`, in the same transaction. */
  readonly forget?: TombstoneLimits;
}

/** Undefined: no limit of that kind. */
export interface TombstoneLimits {
  readonly beforeMs: number | undefined;
  readonly max: number | undefined;
}

/** The side of a catalogue that removes: KEEPING.md. Each question is answered by an index. */
export interface KeptRecords {
  /** By reading an entry of an index for each frame. */
  holdings(): DeviceHolding[];
  /** The same of one device. */
  holdingOf(device: string): DeviceHolding;
  /** The frame that was stored last. */
  newest(): { readonly id: number; readonly receivedMs: number } | undefined;
  /** In order of storing, of one device or of all; from `id` on. */
  oldest(max: number, device?: string, id?: number): OldFrame[];
  /**
   * Those at the start of `frames` that may go: what a gateway has not handed on stays, and so does what is behind
   * it.
   */
  mayGo(frames: readonly OldFrame[]): OldFrame[];
  /**
   * One transaction: rows of frames become tombstones, their numbers `expired`, and their paths `leaving`; gaps go, at
   * most `gapsMax` of each device, whose numbers are given back by device.
   */
  expire(expiry: Expiry, nowNs: bigint): ReadonlyMap<string, number>;
  /** Paths whose files have to go, but for those that have a row again. */
  leaving(): string[];
  /** Some tombstones of before `beforeMs`, and of those that are not among the newest `max`. Whether there were any. */
  forgetTombstones(limits: TombstoneLimits): boolean;
  /** Some sessions of which nothing is left and that were last heard of before `beforeMs`. */
  forgetSessions(beforeMs: number): void;
}

/** A session of a source, as a gateway sees it. */
export interface HandingSession {
  readonly id: number;
  readonly origin: Origin;
  /** The sender's clock minus this machine's; 0: they agree, or nothing is known. */
  readonly clockOffsetNs: bigint;
  /** The sender has said that the source is at its end: how many numbers it has. Undefined: it may go on. */
  readonly frames: number | undefined;
}

/** A stored frame that is to be handed on. */
export interface HandingFrame extends FrameEntry {
  readonly sequence: number;
  readonly path: string;
  readonly crc32: number;
}

/** What the receiver behind this one, the upstream, has of numbers of a session. */
export interface HandedNumbers {
  readonly id: number;
  readonly first: number;
  readonly last: number;
  /** There. */
  readonly outcome: AccountOutcome;
  /** They were told as no frames here. Where there are frames by now, these are still to be handed on. */
  readonly asGap: boolean;
}

/** The side of a catalogue that a gateway hands on from. What has no outcome upstream is *due*. */
export interface HandingRecords {
  /** Those whose end is not handed on, the oldest first. */
  sessions(): HandingSession[];
  sessionOf(origin: Origin): HandingSession | undefined;
  /** Some of the numbers that are due, from `from` on, in order, with the outcome that they have here. */
  due(id: number, from: number): OutcomeRange[];
  dueCount(id: number): number;
  /** Behind all that have an outcome. */
  nextNumber(id: number): number;
  /** In order of their numbers, of which one may have several. */
  frames(origin: Origin, first: number, last: number, max: number): HandingFrame[];
  /** Those that have a number from `first` to `last`. */
  gaps(origin: Origin, first: number, last: number): Gap[];
  stretches(session: HandingSession, first: number, last: number): Stretch[];
  /** One transaction. */
  handedOn(numbers: readonly HandedNumbers[]): void;
  /** Numbers by their outcome upstream. */
  totals(id: number): SourceTotals;
  endHandedOn(id: number, nowNs: bigint): void;
}

/** What is recorded together. */
export interface CatalogueBatch {
  readonly frames: readonly FrameRow[];
  readonly gaps: readonly Gap[];
  readonly ends: readonly SourceEnd[];
  /**
   * Of every number in the batch, those of gaps, duplicates and refused frames too, in the order in which they came. A
   * sender may only be told of a number whose outcome is recorded.
   */
  readonly outcomes: readonly NumberOutcome[];
  /** Stored frames whose bytes came again with another capture time, by path. */
  readonly offered?: readonly { readonly path: string; readonly capturedNs: bigint }[];
  readonly stretches?: readonly Stretch[];
  /** Its frames were found as files, of which nothing else is known: their sessions' accounts are `lost`. */
  readonly found?: boolean;
  /** The time of recording. Whoever is named in the batch was seen then. */
  readonly nowNs: bigint;
}

/**
 * One catalogue, opened for writing by the only receiver of a directory. Everything throws what the database throws;
 * then nothing of the batch is recorded, or all of it.
 */
export interface Catalogue {
  /**
   * Runs `run`, whose questions are several times cheaper than by themselves: one look at the log serves
   * all.
   */
  reading<T>(run: () => T): T;
  /** What is stored of this device and source under this name, in any order. */
  find(origin: Origin, name: string, capturedNs: bigint): StoredFrame[];
  /**
   * What is stored of this frame's device and source under its name with these bytes, in any order. Undefined: nothing
   * is stored under that name. Names by the thousand pictures cost no more than others.
   */
  findEqual(frame: Frame, crc32: number): StoredFrame[] | undefined;
  /** What is known of a source and session; undefined if that is not all that happened to it. */
  accountOf(origin: Origin): Account | undefined;
  /** Whether any frame is recorded at this path. */
  holds(path: string): boolean;
  /**
   * One transaction, durable when it returns (unless the sync mode is `never`). A row at the path of an earlier one
   * replaces it; a gap, stretch or end that is repeated replaces its earlier self, and so does an outcome.
   */
  record(batch: CatalogueBatch): void;
  /**
   * The checksum of a frame of this name, size and capture time that was stored and has been removed; undefined: there
   * is no tombstone of one.
   */
  expiredLike(origin: Origin, entry: FrameEntry): number | undefined;
  /** Whether a frame with these bytes was stored under its name and has been removed. */
  hasExpired(frame: Frame, crc32: number): boolean;
  /** What `--keep` and `--keep-size` ask for; nobody asks without them. */
  readonly kept: KeptRecords;
  /** What a gateway asks for. Asked for before anything else is: nothing that is due may be removed. */
  readonly handing: HandingRecords;
  /** Writes all that is in it to a new database, also where its own file has been removed. */
  copyTo(path: string): void;
  /** Releases the catalogue. */
  close(): void;
}

/**
 * Opens the catalogue of a directory that this process has locked; makes it if it is not there. Throws UserError, or
 * what SQLite says of a fault that passes.
 */
export type OpenCatalogue = (
  directory: string,
  sync: SyncMode,
  onEvent: (event: DestinationEvent) => void,
) => Catalogue;

/** Below the directory of a sink: everything that is ours. */
export const ownFolder = ".framepipe";
export const catalogueFile = ".framepipe/catalogue.db";
/** Where one is made that is to take its place. */
export const newCatalogueFile = ".framepipe/catalogue.db.new";
/** SQLite's write-ahead log, a part of the catalogue. */
export const logFile = ".framepipe/catalogue.db-wal";
export const lockFile = ".framepipe/lock";
export const temporaryFolder = ".framepipe/tmp";
/** The start of names, below our own folder, of the lists of paths that files are about to get. */
export const namingPrefix = "naming.";
/** What --verify asks of the receiver that has the directory. */
export const requestsFolder = ".framepipe/requests";
/** What was damaged and had to make room, under the path that it had. */
export const damagedFolder = ".framepipe/damaged";
/** Moved into a folder to see whether files can be, and removed. No frame has such a name. */
export const probeFile = ".framepipe-probe";
/** A smaller file is no catalogue: the head alone of an SQLite database is as long. */
export const catalogueBytesMin = 100;
