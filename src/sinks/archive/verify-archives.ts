/**
 * Compares what is in an archive, or in all of a set, with what it says itself: the bytes of every frame with their
 * checksum, and the numbers of every session that has ended with what is there of them. Only reads, works beside a
 * running receiver and on what a killed one left, and holds the sessions, not the frames.
 *
 * What follows the last whole group was never acknowledged, and is no difference.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { basename } from "node:path";
import type { ArchiveFile } from "../../archive-formats/archive-file.ts";
import { crc32 } from "../../bytes/checksum.ts";
import { ExitStatus, UserError } from "../../errors.ts";
import type { GapReason, HeldFrame, Origin, SourceTotals } from "../../frame.ts";
import { KiB, MiB } from "../../limits.ts";
import { difference, OutcomeRanges } from "../../outcome-ranges.ts";
import { describe, errorCode } from "../../system/errno.ts";
import { type Finding, nameKey, reportOf, sourceKey, SourceReports, type VerifyReport } from "../store/findings.ts";
import { archivesAt, isArchiveSet } from "./archive-set.ts";

/** What is in an archive, whatever its format. `at`: where its bytes begin. */
export type ArchiveEntry =
  | { readonly kind: "frame"; readonly held: HeldFrame; readonly at: number }
  /** Another program's. */
  | { readonly kind: "stranger"; readonly path: string }
  | { readonly kind: "gap"; readonly gap: ToldGap }
  | { readonly kind: "end"; readonly origin: Origin; readonly totals: SourceTotals };

export type ReadableFile = Pick<ArchiveFile, "bytes" | "read">;

/**
 * Reads an archive of one format. Throws UserError for what is none of ours. Returns where it is damaged; undefined:
 * nowhere.
 */
export type ReadArchive = (path: string, file: ReadableFile) => Generator<ArchiveEntry, number | undefined>;

export interface ToldGap {
  readonly origin: Origin;
  readonly firstSequence: number;
  readonly count: number;
  readonly reason: GapReason;
  readonly name: string;
  readonly detail: string;
}

export interface VerifyArchivesOptions {
  /** As the user wrote it. */
  readonly directory: string;
  readonly found: (finding: Finding) => void;
  /** Called now and then with what has been checked so far. */
  readonly progress?: (framesDone: number, framesAll: number, bytesDone: number) => void;
  readonly signal?: AbortSignal;
}

const pieceBytes: number = 256 * KiB;
const progressBytes: number = 32 * MiB;
const frameCostBytes: number = 64 * KiB;

/** What is there of a session. */
interface Session {
  readonly origin: Origin;
  readonly numbers: OutcomeRanges;
  readonly gaps: Map<number, ToldGap>;
  totals: SourceTotals | undefined;
  /** How many sessions of its source were heard of before it. */
  readonly order: number;
}

/** Throws UserError if there is nothing to compare, or it is none of ours. */
export async function verifyArchives(reading: ReadArchive, options: VerifyArchivesOptions): Promise<VerifyReport> {
  return new Verification(reading, options).run();
}

class Verification {
  readonly #reading: ReadArchive;
  readonly #options: VerifyArchivesOptions;
  readonly #sources = new SourceReports();
  readonly #sessions = new Map<string, Session>();
  #unknown = 0;
  #damaged = 0;
  #bytesDone = 0;
  #framesDone = 0;
  #untoldBytes = 0;
  readonly #buffer = new Uint8Array(pieceBytes);

  constructor(reading: ReadArchive, options: VerifyArchivesOptions) {
    this.#reading = reading;
    this.#options = options;
  }

  async run(): Promise<VerifyReport> {
    const { directory } = this.#options;
    const set = archivesAt(directory).paths();
    if (set.length === 0 && isArchiveSet(directory)) throw nothingThere(directory);
    const paths = set.length === 0 ? [directory] : set;
    for (const path of paths) await this.#checkArchive(path);
    const stored = await this.#storedNames(paths);
    for (const session of this.#sessions.values()) this.#checkSession(session, stored);
    this.#checkEnds();
    return reportOf(this.#sources.all, this.#unknown, { damaged: this.#damaged });
  }

  async #checkArchive(path: string): Promise<void> {
    const archive = basename(path);
    const damagedAt = await this.#read(path, (entry, file) => {
      switch (entry.kind) {
        case "frame":
          return this.#checkFrame(archive, file, entry.held, entry.at);
        case "stranger":
          this.#unknown += 1;
          return this.#options.found({ kind: "unknown", path: `${archive}: ${entry.path}` });
        case "gap":
          return void this.#sessionOf(entry.gap.origin).gaps.set(entry.gap.firstSequence, entry.gap);
        case "end":
          this.#sessionOf(entry.origin).totals = entry.totals;
      }
    });
    if (damagedAt === undefined) return;
    this.#damaged += 1;
    const detail = `is damaged at byte ${damagedAt}; frames stand behind that, which were not compared`;
    this.#options.found({ kind: "damaged", path: archive, detail });
  }

  /** Where it is damaged. */
  async #read(path: string, take: (entry: ArchiveEntry, file: ReadableFile) => void): Promise<number | undefined> {
    const file = openToRead(path);
    try {
      const entries = this.#reading(path, file);
      let turnBytesLeft = 0;
      for (;;) {
        if (turnBytesLeft <= 0) {
          // Signals and the display have their turn.
          await new Promise<void>((next) => setImmediate(next));
          this.#options.signal?.throwIfAborted();
          turnBytesLeft = progressBytes;
        }
        const next = entries.next();
        if (next.done === true) return next.value;
        take(next.value, file);
        turnBytesLeft -= frameCostBytes + (next.value.kind === "frame" ? next.value.held.frame.bytes : 0);
      }
    } finally {
      file.close();
    }
  }

  #checkFrame(archive: string, file: ReadableFile, held: HeldFrame, at: number): void {
    const { frame, path, number } = held;
    const { origin, name, sequence, bytes } = frame;
    const { device, source } = origin;
    const report = this.#sources.of(origin);
    report.frames += 1;
    report.bytes += bytes;
    if (number > 1) report.conflicts += 1;
    this.#sessionOf(origin).numbers.enter(sequence, sequence, "stored");
    this.#tellProgress(bytes);
    if (this.#checksum(file, at, bytes) === held.crc32) return;
    report.changed += 1;
    const of = { device, source, name, path: `${archive}: ${path}`, bytes, crc32: held.crc32 };
    this.#options.found({ kind: "changed", ...of, detail: "has other bytes than were stored" });
  }

  #checksum(file: ReadableFile, from: number, bytes: number): number {
    let value = 0;
    for (let done = 0; done < bytes;) {
      const piece = this.#buffer.subarray(0, Math.min(pieceBytes, bytes - done));
      if (file.read(piece, from + done) < piece.byteLength) return Number.NaN;
      value = crc32(piece, value);
      done += piece.byteLength;
    }
    return value;
  }

  #tellProgress(bytes: number): void {
    this.#framesDone += 1;
    this.#bytesDone += bytes;
    this.#untoldBytes += bytes + frameCostBytes;
    if (this.#untoldBytes < progressBytes) return;
    this.#untoldBytes = 0;
    this.#options.progress?.(this.#framesDone, this.#framesDone, this.#bytesDone);
  }

  /** Of the frames that gaps name, those that are there after all, whoever brought them. */
  async #storedNames(paths: readonly string[]): Promise<ReadonlySet<string>> {
    const stored = new Set<string>();
    const asked = new Set<string>();
    for (const { origin, gaps } of this.#sessions.values()) {
      for (const { name } of gaps.values()) if (name !== "") asked.add(nameKey(origin, name));
    }
    if (asked.size === 0) return stored;
    for (const path of paths) {
      await this.#read(path, (entry) => {
        if (entry.kind !== "frame") return;
        const key = nameKey(entry.held.frame.origin, entry.held.frame.name);
        if (asked.has(key)) stored.add(key);
      });
    }
    return stored;
  }

  #checkSession({ origin, numbers, gaps, totals }: Session, stored: ReadonlySet<string>): void {
    const report = this.#sources.of(origin);
    const { device, source } = origin;
    const covered = new OutcomeRanges();
    for (const { first, last } of numbers.ranges) covered.enter(first, last, "stored");
    for (const { firstSequence, count: all, reason, name, detail } of gaps.values()) {
      const range = { first: firstSequence, last: firstSequence + all - 1, outcome: "stored" as const };
      // Gaps may overlap: each number is in one.
      const open = difference([range], covered.ranges);
      covered.enter(range.first, range.last, "stored");
      if (name !== "" && stored.has(nameKey(origin, name))) continue;
      for (const { first, last } of open) {
        const count = last - first + 1;
        report.gapFrames += count;
        this.#options.found({ kind: "gap", device, source, name, firstSequence: first, count, reason, detail });
      }
    }
    if (totals === undefined || totals.frames === 0) return;
    const holes = difference([{ first: 0, last: totals.frames - 1, outcome: "stored" }], covered.ranges);
    // An archive does not say which numbers had been stored before; only how many there may be.
    let allowed = totals.duplicates + totals.refused + (totals.expired ?? 0);
    for (const { first, last } of holes) {
      const count = Math.max(0, last - first + 1 - allowed);
      allowed = Math.max(0, allowed - (last - first + 1));
      if (count === 0) continue;
      report.unaccounted += count;
      this.#options.found({ kind: "unaccounted", ...origin, firstSequence: last - count + 1, count });
    }
  }

  /** A session that was cut off is of no interest once a later one of its source has ended. */
  #checkEnds(): void {
    const ended = new Map<string, number>();
    for (const { origin, totals, order } of this.#sessions.values()) {
      if (totals === undefined) continue;
      ended.set(sourceKey(origin), Math.max(order, ended.get(sourceKey(origin)) ?? -1));
      this.#sources.of(origin).ended = true;
    }
    for (const { origin, totals, order } of this.#sessions.values()) {
      if (totals !== undefined || (ended.get(sourceKey(origin)) ?? -1) >= order) continue;
      this.#sources.of(origin).ended = false;
      this.#options.found({ kind: "unended", ...origin });
    }
  }

  #sessionOf(origin: Origin): Session {
    const key = `${sourceKey(origin)}\0${origin.session}`;
    let session = this.#sessions.get(key);
    if (session === undefined) {
      const order = this.#sessions.size;
      session = { origin, numbers: new OutcomeRanges(), gaps: new Map(), totals: undefined, order };
      this.#sessions.set(key, session);
    }
    return session;
  }
}

interface OpenedFile extends ReadableFile {
  close(): void;
}

/** Throws UserError. */
function openToRead(path: string): OpenedFile {
  let handle: number;
  try {
    handle = openSync(path, "r");
  } catch (error) {
    const what = describe(error, { ENOENT: "there is no such file" });
    throw new UserError(`cannot read ${path}: ${what}`, [readHint(error)], ExitStatus.failure);
  }
  return {
    bytes: fstatSync(handle).size,
    read: (into, position) => {
      let done = 0;
      while (done < into.byteLength) {
        const count = readSync(handle, into, done, into.byteLength - done, position + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    },
    close: () => closeSync(handle),
  };
}

function readHint(error: unknown): string {
  return errorCode(error) === "ENOENT"
    ? "give the archive as in --out of the receiver; of a set its template, in quotes: 'day-{date}.tar'"
    : "give this user the right to read it";
}

function nothingThere(place: string): UserError {
  return new UserError(`there is no archive ${place}`, ["compare it with --out of the receiver"], ExitStatus.failure);
}
