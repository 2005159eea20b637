/**
 * Compares what is in a store on another machine with its ledgers: every frame is read and its checksum computed, and
 * every number of a session that has ended must have its outcome. Only reads, works beside running receivers, and
 * holds the ledgers, not the frames.
 *
 * Ledgers are read first. A frame is stored before its ledger says so: what a ledger says must be there afterwards.
 */
import { ExitStatus, SinkError, UserError } from "../../errors.ts";
import { Note, type Origin, sharesTotals } from "../../frame.ts";
import { KiB, MiB } from "../../limits.ts";
import { difference, OutcomeRanges } from "../../outcome-ranges.ts";
import { isLoss } from "../../outcomes.ts";
import { type Finding, nameKey, reportOf, sourceKey, SourceReports, type VerifyReport } from "../store/findings.ts";
import { Layout, layoutDefault } from "../store/layout.ts";
import { numberedPath } from "../store/numbered-path.ts";
import { decodeLedger, Ledger, type LedgerGap } from "./ledger.ts";
import { Lanes, persist } from "./persistence.ts";
import type { Page, Remote } from "./remote.ts";

export interface VerifyRemoteOptions {
  readonly found: (finding: Finding) => void;
  /** Called now and then with what has been checked so far. */
  readonly progress?: (framesDone: number, framesAll: number, bytesDone: number) => void;
  readonly signal?: AbortSignal;
}

const readsMax = 32;
/** Between two reports of progress. */
const progressBytes: number = 32 * MiB;
const frameCostBytes: number = 64 * KiB;

/** Owns the remote. Throws UserError if it cannot be read, or nothing is there to compare. */
export async function verifyRemote(remote: Remote, options: VerifyRemoteOptions): Promise<VerifyReport> {
  const stop = (): void => remote.close();
  options.signal?.addEventListener("abort", stop);
  try {
    return await new RemoteVerification(remote, options).run();
  } catch (error) {
    options.signal?.throwIfAborted();
    throw error instanceof SinkError ? new UserError(error.message, error.hints, ExitStatus.failure) : error;
  } finally {
    options.signal?.removeEventListener("abort", stop);
    remote.close();
  }
}

/** A session of a source, as its ledger and its frames tell it. */
interface Session {
  readonly origin: Origin;
  /** Undefined: there is none. */
  ledger: Ledger | undefined;
  frames: number;
  lastMs: number;
  /** Of the frames that are there. */
  readonly numbers: OutcomeRanges;
}

class RemoteVerification {
  readonly #remote: Remote;
  readonly #options: VerifyRemoteOptions;
  readonly #layout = new Layout(layoutDefault);
  readonly #lanes = new Lanes(readsMax, Number.POSITIVE_INFINITY);
  readonly #sources = new SourceReports();
  readonly #sessions = new Map<string, Session>();
  /** Names of frames that a gap is told of and that are there after all. */
  readonly #gapNames = new Map<string, boolean>();
  #unknown = 0;
  #framesDone = 0;
  #framesListed = 0;
  #bytesDone = 0;
  #untoldBytes = 0;

  constructor(remote: Remote, options: VerifyRemoteOptions) {
    this.#remote = remote;
    this.#options = options;
  }

  async run(): Promise<VerifyReport> {
    await this.#readLedgers((key) => this.#tellUnknown(key));
    await this.#eachOf(
      (from) => this.#remote.listFrames(from),
      (path) => this.#checkFrame(path),
    );
    // A session may have begun since.
    if ([...this.#sessions.values()].some(({ ledger }) => ledger === undefined))
      await this.#readLedgers(() => undefined);
    if (this.#sessions.size === 0 && this.#unknown === 0) throw nothingThere(this.#remote.place);
    for (const session of this.#sessions.values()) this.#checkSession(session);
    this.#checkEnds();
    return reportOf(this.#sources.all, this.#unknown);
  }

  #ask<T>(ask: () => Promise<T>): Promise<T> {
    const patience = { place: this.#remote.place, sleep: Bun.sleep, random: Math.random };
    return this.#lanes.run(0, () => {
      this.#options.signal?.throwIfAborted();
      return persist(patience, ask);
    });
  }

  /** Pages are asked for one by one, what is on them some at a time. */
  async #eachOf(
    list: (from: string | undefined) => Promise<Page>,
    check: (name: string) => Promise<void>,
  ): Promise<void> {
    let from: string | undefined;
    do {
      const next = from;
      const page: Page = await this.#ask(() => list(next));
      this.#framesListed += page.names.length;
      await Promise.all(page.names.map(check));
      from = page.next;
    } while (from !== undefined);
  }

  async #readLedgers(foreign: (key: string) => void): Promise<void> {
    const parts = new Map<string, Ledger>();
    await this.#eachOf(
      (from) => this.#remote.listRecords(from),
      async (key) => {
        const record = await this.#ask(() => this.#remote.readRecord(key));
        const part = record === undefined ? undefined : decodeLedger(record.text);
        if (part !== undefined) parts.set(key, part);
        else if (record !== undefined) foreign(key);
      },
    );
    const number = (key: string): number => Number(/\.(?<part>\d+)\.json$/.exec(key)?.groups?.["part"] ?? 0);
    for (const session of this.#sessions.values()) session.ledger = undefined;
    for (const [, part] of [...parts].toSorted(([one], [other]) => number(one) - number(other))) {
      const session = this.#sessionOf(part.origin);
      session.ledger ??= new Ledger(part.origin);
      session.ledger.enter(part);
      for (const { name } of part.gaps.values()) {
        const key = nameKey(part.origin, name);
        if (name !== "" && !this.#gapNames.has(key)) this.#gapNames.set(key, false);
      }
    }
    this.#framesListed = 0;
  }

  #tellUnknown(path: string): void {
    this.#unknown += 1;
    this.#options.found({ kind: "unknown", path });
  }

  async #checkFrame(path: string): Promise<void> {
    const read = await this.#ask(() => this.#remote.read(path));
    // It was removed since it was listed: its number is missed then.
    if (read === undefined) return;
    this.#tellProgress(read.bytes);
    const { record } = read;
    if (record === "foreign") return this.#tellUnknown(path);
    const own = this.#layout.pathOf(record.frame);
    if (own === undefined || numberedPath(own, record.number) !== path) return this.#tellUnknown(path);
    const { origin, name, sequence, bytes } = record.frame;
    const { device, source } = origin;
    const report = this.#sources.of(origin);
    report.frames += 1;
    report.bytes += read.bytes;
    if (record.number > 1) report.conflicts += 1;
    if (((record.frame.notes ?? 0) & Note.incomplete) !== 0) report.incomplete += 1;
    const session = this.#sessionOf(origin);
    session.frames += 1;
    session.lastMs = Math.max(session.lastMs, Number(record.receivedNs / 1_000_000n));
    session.numbers.enter(sequence, sequence, "stored");
    const key = nameKey(origin, name);
    if (this.#gapNames.has(key)) this.#gapNames.set(key, true);
    if (read.bytes === bytes && read.crc32 === record.crc32) return;
    const detail =
      read.bytes === bytes ? "has other bytes than were stored" : `has ${read.bytes} bytes, stored were ${bytes}`;
    report.changed += 1;
    this.#options.found({ kind: "changed", device, source, name, path, detail, bytes, crc32: record.crc32 });
  }

  #tellProgress(bytes: number): void {
    this.#framesDone += 1;
    this.#bytesDone += bytes;
    this.#untoldBytes += bytes + frameCostBytes;
    if (this.#untoldBytes < progressBytes) return;
    this.#untoldBytes = 0;
    this.#options.progress?.(this.#framesDone, Math.max(this.#framesDone, this.#framesListed), this.#bytesDone);
  }

  #checkSession({ origin, ledger, frames, numbers }: Session): void {
    const report = this.#sources.of(origin);
    if (ledger === undefined) {
      report.unaccounted += frames;
      this.#options.found({ kind: "no-account", ...origin, frames });
      return;
    }
    for (const gap of ledger.gaps.values()) this.#checkGap(ledger, gap);
    const { ranges } = ledger.outcomes;
    const { end } = ledger;
    // Only a session that has ended has told how many there are.
    const all =
      end === undefined || end.frames === 0 ? [] : [{ first: 0, last: end.frames - 1, outcome: "gap" as const }];
    const unaccounted = difference(all, ranges);
    for (const { first, last } of unaccounted) {
      const count = last - first + 1;
      report.unaccounted += count;
      this.#options.found({ kind: "unaccounted", ...origin, firstSequence: first, count });
    }
    const { totals, last } = ledger.account;
    if (end !== undefined && unaccounted.length === 0 && !sharesTotals(end, totals, last)) {
      const { endedMs: _endedMs, ...claimed } = end;
      report.differing += 1;
      this.#options.found({ kind: "totals-differ", ...origin, claimed, found: totals });
    }
    const stored = ranges.filter(({ outcome }) => outcome === "stored" || outcome === "conflict");
    for (const range of difference(stored, numbers.ranges)) {
      const count = range.last - range.first + 1;
      report.unrecorded += count;
      this.#options.found({ kind: "unrecorded", ...origin, firstSequence: range.first, count });
    }
  }

  /** Numbers of a gap may have been stored later, and its frame by a later session. */
  #checkGap(ledger: Ledger, gap: LedgerGap): void {
    const { origin } = ledger;
    const { device, source } = origin;
    if (gap.name !== "" && this.#gapNames.get(nameKey(origin, gap.name)) === true) return;
    const { firstSequence, count: all, reason, name, detail } = gap;
    for (const { first, last, outcome } of ledger.outcomes.among(firstSequence, firstSequence + all - 1)) {
      if (!isLoss(outcome)) continue;
      const count = last - first + 1;
      this.#sources.of(origin).gapFrames += count;
      this.#options.found({ kind: "gap", device, source, name, firstSequence: first, count, reason, detail });
    }
  }

  /** A session that was cut off is of no interest once a later one of its source has ended. */
  #checkEnds(): void {
    const endedMs = new Map<string, number>();
    for (const { origin, ledger } of this.#sessions.values()) {
      if (ledger?.end === undefined) continue;
      const key = sourceKey(origin);
      endedMs.set(key, Math.max(endedMs.get(key) ?? 0, ledger.end.endedMs));
      this.#sources.of(origin).ended = true;
    }
    for (const { origin, ledger, lastMs } of this.#sessions.values()) {
      if (ledger?.end !== undefined || (endedMs.get(sourceKey(origin)) ?? -1) >= lastMs) continue;
      this.#sources.of(origin).ended = false;
      this.#options.found({ kind: "unended", ...origin });
    }
  }

  #sessionOf(origin: Origin): Session {
    const key = `${sourceKey(origin)}\0${origin.session}`;
    let session = this.#sessions.get(key);
    if (session === undefined) {
      session = { origin, ledger: undefined, frames: 0, lastMs: 0, numbers: new OutcomeRanges() };
      this.#sessions.set(key, session);
    }
    return session;
  }
}

function nothingThere(place: string): UserError {
  return new UserError(
    `${place} has neither frames nor ledgers of framepipe`,
    ["compare it with --out of the receiver, and with the variables it was started with"],
    ExitStatus.failure,
  );
}
