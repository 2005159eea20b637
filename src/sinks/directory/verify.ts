/**
 * Compares a directory with its catalogue: every row's file is read and its checksum computed, every file is looked
 * up, and every number of a session that has ended must have its outcome. Only reads, works beside a running receiver
 * and on what a killed one left, and holds a page of rows, not the catalogue.
 *
 * A receiver may be storing meanwhile, so a difference is told only if it is still one when it is looked at again.
 */
import { closeSync, lstatSync, opendirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { sharesTotals } from "../../frame.ts";
import { KiB, MiB } from "../../limits.ts";
import { errorCode } from "../../system/errno.ts";
import { checksumToEnd, nodeDisk } from "../../system/file-system.ts";
import { CatalogueReader, type FullSession, type GapRow, type ReadFrame } from "./catalogue-reader.ts";
import { namingPrefix, ownFolder, probeFile } from "./catalogue.ts";
import { difference, type OutcomeRange, OutcomeRanges } from "../../outcome-ranges.ts";
import { noOutcomes, totalsOf } from "../../outcomes.ts";
import { type Finding, reportOf, SourceReports, type VerifyReport } from "../store/findings.ts";
import { wasBeingNamed } from "./naming-list.ts";
import { catalogueError } from "./sqlite-catalogue.ts";
import { type FileProblem, fileMissing, openStoredFile, otherBytes, readingProblem } from "./stored-file.ts";

export interface VerifyOptions {
  readonly directory: string;
  /** Called for each finding, as it is found. */
  readonly found: (finding: Finding) => void;
  /** Called for each file that holds what was stored, with its SHA-256 in hexadecimal; absent: that is not computed. */
  readonly sound?: ((path: string, sha256: string) => void) | undefined;
  /** Called now and then with what has been checked so far. */
  readonly progress?: (framesDone: number, framesAll: number, bytesDone: number) => void;
  /** Ends the check early, by throwing the signal's reason. */
  readonly signal?: AbortSignal;
  /** How long a file that is only just there may take to get its row. */
  readonly settleMs?: number;
}

const pageRows = 500;
/** Between two turns for the rest of the program. */
const turnBytes = 32 * MiB;
/** What opening a file costs, in bytes that could have been read. */
const fileBytes = 64 * KiB;
/** Unknown files looked at together, once their rows have had time to come. */
const unknownMax = 10_000;
/** A file older than this is no commit under way. */
const youngMs = 60_000;
const settleMsDefault = 2_000;

/** Throws UserError if there is no catalogue to compare with. */
export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  const reader = new CatalogueReader(options.directory);
  try {
    return await new Verification(reader, options).run();
  } catch (error) {
    throw catalogueError(options.directory, error);
  } finally {
    reader.close();
  }
}

interface SessionSeen {
  readonly device: string;
  readonly source: string;
  readonly session: string;
  lastMs: number;
  /** Of its rows. */
  lastId: number;
  frames: number;
  /** The numbers of its rows. */
  readonly numbers: OutcomeRanges;
}

class Verification {
  readonly #reader: CatalogueReader;
  readonly #options: VerifyOptions;
  readonly #sources = new SourceReports();
  readonly #sessions = new Map<string, SessionSeen>();
  /** Of the rows of frames, the last that was read. */
  #lastId = 0;
  #unknown = 0;
  #unconfirmed = 0;
  #unknownPaths: string[] = [];
  #unknownYoung = false;
  #framesDone = 0;
  #bytesDone = 0;
  #turnBytesLeft = turnBytes;

  constructor(reader: CatalogueReader, options: VerifyOptions) {
    this.#reader = reader;
    this.#options = options;
  }

  async run(): Promise<VerifyReport> {
    await this.#turn();
    await this.#checkFrames();
    await this.#checkFolder("");
    await this.#settleUnknown();
    await this.#checkGaps();
    await this.#checkAccounts();
    this.#checkSessions(this.#tellLostAccounts());
    return reportOf(this.#sources.all, this.#unknown, { unconfirmed: this.#unconfirmed });
  }

  async #checkFrames(): Promise<void> {
    const framesAll = this.#reader.countFrames();
    for (;;) {
      // Each page is a read of its own: one long read would keep the receiver from tidying up its log.
      const page = this.#reader.framesAfter(this.#lastId, pageRows);
      if (page.length === 0) return;
      for (const row of page) {
        this.#lastId = row.id;
        this.#checkFrame(row);
        this.#framesDone += 1;
        this.#bytesDone += row.bytes;
        this.#turnBytesLeft -= row.bytes + fileBytes;
        if (this.#turnBytesLeft > 0) continue;
        this.#options.progress?.(this.#framesDone, Math.max(framesAll, this.#framesDone), this.#bytesDone);
        await this.#turn();
      }
    }
  }

  #checkFrame(row: ReadFrame): void {
    const { device, source, name, path, bytes, crc32 } = row;
    const report = this.#sources.of({ device, source });
    report.frames += 1;
    report.bytes += bytes;
    if (row.number > 1) report.conflicts += 1;
    report.incomplete += row.incomplete;
    const seen = this.#see(row);
    seen.lastMs = Math.max(seen.lastMs, row.receivedMs);

    const problem = this.#problemOf(row);
    // A frame whose file was missing may have been stored again, with a row that is not this one.
    if (problem === undefined || !this.#reader.hasFrame(row.id)) return;
    if (problem === fileMissing) {
      report.missing += 1;
      this.#options.found({ kind: "missing", device, source, name, path });
    } else {
      report.changed += 1;
      this.#options.found({ kind: "changed", device, source, name, path, detail: problem, bytes, crc32 });
    }
  }

  #see({ id, device, source, session, sequence }: ReadFrame): SessionSeen {
    const key = `${device}\0${source}\0${session}`;
    let seen = this.#sessions.get(key);
    if (seen === undefined) {
      seen = { device, source, session, lastMs: 0, lastId: 0, frames: 0, numbers: new OutcomeRanges() };
      this.#sessions.set(key, seen);
    }
    seen.frames += 1;
    seen.lastId = id;
    seen.numbers.enter(sequence, sequence, "stored");
    return seen;
  }

  /** `missing`, or how the file differs from its row; `undefined` if it does not. */
  #problemOf({ path, bytes, crc32 }: ReadFrame): FileProblem | undefined {
    const handle = openStoredFile(this.#options.directory, path, bytes);
    if (typeof handle === "string") return handle;
    try {
      return this.#holds(handle, path, crc32) ? undefined : otherBytes;
    } catch (error) {
      return readingProblem(error);
    } finally {
      closeSync(handle);
    }
  }

  #holds(handle: number, path: string, crc32: number): boolean {
    const { sound } = this.#options;
    if (sound === undefined) return checksumToEnd(handle) === crc32;
    const hasher = new Bun.CryptoHasher("sha256");
    const holds = checksumToEnd(handle, (view) => void hasher.update(view)) === crc32;
    if (holds) sound(path, hasher.digest("hex"));
    return holds;
  }

  /** Looks up every file below `folder`, which is a path below the directory, empty or ending in `/`. */
  async #checkFolder(folder: string): Promise<void> {
    let entries: ReturnType<typeof opendirSync>;
    try {
      entries = opendirSync(join(this.#options.directory, folder));
    } catch (error) {
      if (errorCode(error) !== "ENOENT") this.#tellUnknown(folder.slice(0, -1));
      return;
    }
    let files: string[] = [];
    try {
      for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
        const path = folder + entry.name;
        // What we keep ourselves, and what ext4 keeps at the top of a disk.
        if (folder === "" && (entry.name === ownFolder || entry.name === "lost+found")) continue;
        if (entry.name === probeFile) continue;
        if (entry.isDirectory()) await this.#checkFolder(`${path}/`);
        else files.push(path);
        if (files.length < pageRows) continue;
        await this.#checkFiles(files);
        files = [];
      }
    } finally {
      entries.closeSync();
    }
    await this.#checkFiles(files);
  }

  async #checkFiles(paths: readonly string[]): Promise<void> {
    for (const path of this.#reader.unknownOf(paths)) {
      this.#unknownPaths.push(path);
      const status = lstatSync(join(this.#options.directory, path), { throwIfNoEntry: false });
      if (status !== undefined && Date.now() - status.ctimeMs < youngMs) this.#unknownYoung = true;
    }
    if (this.#unknownPaths.length >= unknownMax) await this.#settleUnknown();
    await this.#turn();
  }

  /** A receiver names files before it records them: a row that comes within the time of a commit is soon enough. */
  async #settleUnknown(): Promise<void> {
    if (this.#unknownYoung) await Bun.sleep(this.#options.settleMs ?? settleMsDefault);
    // Read first: what is not in them by now and gets its name meanwhile, has its row as soon.
    const isBeingNamed = wasBeingNamed(this.#namingLists());
    for (const path of this.#reader.unknownOf(this.#unknownPaths)) {
      if (nodeDisk.look(join(this.#options.directory, path)) === "absent") continue;
      if (!isBeingNamed(path)) this.#tellUnknown(path);
      else {
        this.#unconfirmed += 1;
        this.#options.found({ kind: "unconfirmed", path });
      }
    }
    this.#unknownPaths = [];
    this.#unknownYoung = false;
  }

  #namingLists(): Uint8Array[] {
    if (this.#unknownPaths.length === 0) return [];
    const folder = join(this.#options.directory, ownFolder);
    return readdirSync(folder).flatMap((name) => {
      if (!name.startsWith(namingPrefix)) return [];
      try {
        return [readFileSync(join(folder, name))];
      } catch {
        // A later one has taken its place.
        return [];
      }
    });
  }

  #tellUnknown(path: string): void {
    this.#unknown += 1;
    this.#options.found({ kind: "unknown", path });
  }

  async #checkGaps(): Promise<void> {
    let last: GapRow | undefined;
    for (;;) {
      const page = this.#reader.openGapsAfter(last?.rowid ?? 0, pageRows);
      if (page.length === 0) return;
      for (const row of page) {
        last = row;
        const { device, source, name, firstSequence, count, reason, detail } = row;
        this.#sources.of({ device, source }).gapFrames += count;
        this.#options.found({ kind: "gap", device, source, name, firstSequence, count, reason, detail });
      }
      await this.#turn();
    }
  }

  async #checkAccounts(): Promise<void> {
    for (const { device, source, session, frames, lastId } of this.#sessions.values()) {
      // A session goes with the last of its frames.
      if (this.#reader.hasSession(device, source, session) || !this.#reader.hasFrame(lastId)) continue;
      this.#sources.of({ device, source }).unaccounted += frames;
      this.#options.found({ kind: "no-account", device, source, session, frames });
    }
    for (let lastId = 0; ;) {
      const page = this.#reader.fullSessionsAfter(lastId, pageRows);
      if (page.length === 0) return;
      for (const session of page) {
        lastId = session.id;
        await this.#checkAccount(session);
      }
    }
  }

  async #checkAccount({ id, totals, ...of }: FullSession): Promise<void> {
    const report = this.#sources.of(of);
    // Only a session that has ended has told how many there are: before, numbers are on their way, and not in order.
    const frames = totals?.frames ?? 0;
    const before = report.unaccounted;
    const unaccounted = (firstSequence: number, end: number): void => {
      const count = Math.min(end, frames) - firstSequence;
      if (count <= 0) return;
      report.unaccounted += count;
      this.#options.found({ kind: "unaccounted", ...of, firstSequence, count });
    };
    const counts = noOutcomes();
    const stored = new OutcomeRanges();
    let next = 0;
    for (;;) {
      const page = this.#reader.accountedFrom(id, next, pageRows);
      if (page.length === 0) break;
      for (const { first, last, outcome } of page) {
        unaccounted(next, first);
        next = last + 1;
        counts[outcome] += next - first;
        if (outcome === "stored" || outcome === "conflict") stored.enter(first, last, "stored");
      }
      await this.#turn();
    }
    unaccounted(next, frames);
    const account = totalsOf(counts);
    // Where numbers have no outcome, totals cannot be shared.
    if (totals !== undefined && report.unaccounted === before && !sharesTotals(totals, account, next - 1)) {
      report.differing += 1;
      this.#options.found({ kind: "totals-differ", ...of, claimed: totals, found: account });
    }
    await this.#checkStored(of, stored);
  }

  /** Each number that a session stored has its row. */
  async #checkStored(of: Omit<FullSession, "id" | "totals">, stored: OutcomeRanges): Promise<void> {
    const withoutRow = (): OutcomeRange[] => {
      const numbers = this.#sessions.get(`${of.device}\0${of.source}\0${of.session}`)?.numbers.ranges ?? [];
      return difference(stored.ranges, numbers);
    };
    // It may have been stored since the rows were read.
    if (withoutRow().length > 0) await this.#readNewRows();
    for (const { first, last } of withoutRow()) {
      const count = last - first + 1;
      this.#sources.of(of).unrecorded += count;
      this.#options.found({ kind: "unrecorded", ...of, firstSequence: first, count });
    }
  }

  async #readNewRows(): Promise<void> {
    for (;;) {
      const page = this.#reader.framesAfter(this.#lastId, pageRows);
      if (page.length === 0) return;
      for (const row of page) {
        this.#lastId = row.id;
        this.#see(row);
      }
      await this.#turn();
    }
  }

  /** Of which sessions it is not known any more what did not arrive: device, source and session. */
  #tellLostAccounts(): Set<string> {
    const lost = this.#reader.lostSessions();
    for (const { device, source, session } of lost) {
      const frames = this.#sessions.get(`${device}\0${source}\0${session}`)?.frames ?? 0;
      this.#sources.of({ device, source }).lostAccounts += 1;
      this.#options.found({ kind: "account-lost", device, source, session, frames });
    }
    return new Set(lost.map(({ device, source, session }) => `${device}\0${source}\0${session}`));
  }

  /** A session that was cut off is of no interest once a later one of its source has ended, nor is one of `lost`. */
  #checkSessions(lost: ReadonlySet<string>): void {
    const endedMs = this.#reader.lastEnds();
    for (const { device, source } of endedMs.values()) this.#sources.of({ device, source }).ended = true;
    for (const { device, source, session, lastMs } of this.#sessions.values()) {
      const end = endedMs.get(`${device}\0${source}`);
      if (end !== undefined && end.endedMs >= lastMs) continue;
      if (lost.has(`${device}\0${source}\0${session}`)) continue;
      this.#sources.of({ device, source }).ended = false;
      this.#options.found({ kind: "unended", device, source, session });
    }
  }

  /** Lets signals and timers have their turn. */
  async #turn(): Promise<void> {
    this.#turnBytesLeft = turnBytes;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#options.signal?.throwIfAborted();
  }
}
