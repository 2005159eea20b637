/**
 * One source of one session, as a gateway hands it on: its frames, gaps and stretches by their numbers, read from the
 * catalogue and the files as the upstream takes them.
 *
 *     due in the catalogue -> listed -> settled upstream -> handed on in the catalogue
 *
 * Numbers are listed in their order as far as they have an outcome; a number that gets one later is listed then. In
 * memory is what was listed and is not settled, which the sender bounds.
 */
import { closeSync, readSync } from "node:fs";
import { crc32 } from "../../bytes/checksum.ts";
import { SourceError } from "../../errors.ts";
import type { FrameEntry, HeardOutcome, SourceTotals } from "../../frame.ts";
import { difference, OutcomeRanges, type OutcomeRange } from "../../outcome-ranges.ts";
import { type AccountOutcome, isLoss, outcomeOfGap } from "../../outcomes.ts";
import type { Fate, Listed, ListedFrame, ListedStretch, OpenedFrame, Source } from "../../ports.ts";
import type { HandingFrame, HandingRecords, HandingSession } from "./catalogue.ts";
import { fileMissing, otherBytes } from "./stored-file.ts";

/** As many numbers of one gap at a time, each of which is remembered until it is settled. */
const gapNumbersMax = 4096;

export interface BacklogSourceOptions {
  /** As it is now: its end may have come. */
  readonly session: () => HandingSession;
  readonly records: () => HandingRecords | undefined;
  /** Its handle, or what is wrong with the file. */
  readonly openFile: (path: string, bytes: number) => number | string;
  /** Numbers from here on are new: the upstream is not asked whether it has them. */
  readonly newFrom: number;
  /** To be written down soon. */
  readonly settled: (first: number, outcome: AccountOutcome, asGap: boolean) => void;
  /** All that was settled is written down; false: it cannot be now. */
  readonly writtenDown: () => boolean;
  readonly ended: () => void;
}

/** What a number was listed as, and what else has that number: frames that were sent under it with other bytes. */
interface UnderWay {
  readonly asGap: boolean;
  readonly more: HandingFrame[];
}

interface BacklogEntry extends ListedFrame {
  readonly path: string;
  readonly crc32: number;
}

export class BacklogSource implements Source {
  readonly name: string;
  readonly live = true;
  onReady?: () => void;
  readonly #options: BacklogSourceOptions;
  readonly #underWay = new Map<number, UnderWay>();
  /** Of numbers that have several frames, the next. */
  #again: BacklogEntry[] = [];
  /** What is due before it was listed. */
  #cursor = 0;
  /** The highest number that was listed. */
  #highest = -1;
  #over = false;

  constructor(options: BacklogSourceOptions) {
    this.#options = options;
    this.name = options.session().origin.source;
  }

  /** Numbers from `first` on have another outcome, or the source has its end. */
  changed(first: number): void {
    this.#cursor = Math.min(this.#cursor, first);
    this.onReady?.();
  }

  get isUnderWay(): boolean {
    return this.#underWay.size > 0;
  }

  list(max: number): (Listed | ListedStretch)[] | undefined {
    const records = this.#options.records();
    if (this.#over) return undefined;
    if (records === undefined) return [];
    if (this.#again.length > 0) return this.#again.splice(0);
    // What was settled and is not written down would be due.
    if (this.#cursor <= this.#highest && !this.#options.writtenDown()) return [];
    const listed = this.#due(records, max);
    return listed.length > 0 ? listed : this.#atEnd(records, max);
  }

  #due(records: HandingRecords, max: number): (Listed | ListedStretch)[] {
    const { id } = this.#options.session();
    const listed: (Listed | ListedStretch)[] = [];
    for (const range of this.#notUnderWay(records.due(id, this.#cursor))) {
      if (listed.length >= max) break;
      if (!this.#take(records, range, max - listed.length, listed)) break;
    }
    return listed;
  }

  #notUnderWay(due: readonly OutcomeRange[]): readonly OutcomeRange[] {
    if (this.#underWay.size === 0 || (due[0]?.first ?? Number.POSITIVE_INFINITY) > this.#highest) return due;
    const numbers = new OutcomeRanges();
    for (const number of [...this.#underWay.keys()].toSorted((one, other) => one - other)) {
      numbers.enter(number, number, "stored");
    }
    return difference(due, numbers.ranges);
  }

  /** Lists what there is of a range; false: there is more of it than room. */
  #take(records: HandingRecords, range: OutcomeRange, max: number, listed: (Listed | ListedStretch)[]): boolean {
    if (isStored(range.outcome)) return this.#takeFrames(records, range, max, listed);
    if (isLoss(range.outcome)) return this.#takeGaps(records, range, max, listed);
    const count = Math.min(range.last - range.first + 1, gapNumbersMax);
    const failure = range.outcome === "expired" ? "expired" : "duplicate";
    this.#listGap(range.first, count, { name: "", failure, detail: "" }, listed);
    return range.first + count > range.last;
  }

  #takeFrames(
    records: HandingRecords,
    { first, last }: OutcomeRange,
    max: number,
    listed: (Listed | ListedStretch)[],
  ): boolean {
    const { origin, frames: ended } = this.#options.session();
    const rows = records.frames(origin, first, last, max);
    const full = rows.length === max;
    const end = full ? (rows.at(-1)?.sequence ?? last) : last;
    const stretches = this.#stretches(records, first, end);
    let next = first;
    for (const row of rows) {
      if (ended !== undefined) this.#listLost(next, row.sequence - 1, listed);
      const before = this.#underWay.get(row.sequence);
      if (before !== undefined) {
        before.more.push(row);
        continue;
      }
      while ((stretches[0]?.sequence ?? end + 1) <= row.sequence) listed.push(...stretches.splice(0, 1));
      this.#underWay.set(row.sequence, { asGap: false, more: [] });
      listed.push(this.#entryOf(row));
      this.#listedTo(row.sequence);
      next = row.sequence + 1;
    }
    if (ended !== undefined && !full) this.#listLost(next, last, listed);
    // The page may have ended between two frames of one number.
    if (full) this.#complete(records, end);
    this.#listedTo(end);
    return !full;
  }

  /** All frames of the last number of a page. */
  #complete(records: HandingRecords, number: number): void {
    const under = this.#underWay.get(number);
    if (under === undefined) return;
    const rows = records.frames(this.#options.session().origin, number, number, gapNumbersMax);
    under.more.splice(0, under.more.length, ...rows.slice(1));
  }

  #takeGaps(
    records: HandingRecords,
    { first, last, outcome }: OutcomeRange,
    max: number,
    listed: (Listed | ListedStretch)[],
  ): boolean {
    const { origin, frames: ended } = this.#options.session();
    const until = listed.length + max;
    let next = first;
    for (const gap of records.gaps(origin, first, last)) {
      if (listed.length >= until) return false;
      const from = Math.max(first, gap.firstSequence);
      const to = Math.min(last, gap.firstSequence + gap.count - 1, from + gapNumbersMax - 1);
      const { name, reason: failure, detail } = gap;
      listed.push(...this.#stretches(records, from, to));
      this.#listGap(from, to - from + 1, { name, failure, detail }, listed);
      if (to < Math.min(last, gap.firstSequence + gap.count - 1)) return false;
      next = to + 1;
    }
    if (next > last) return true;
    // Refused, and the sender has not said so: it does, or the source comes to its end.
    if (ended === undefined) {
      this.#listedTo(last);
      return true;
    }
    const to = Math.min(last, next + gapNumbersMax - 1);
    const failure = outcome === "refused" ? "refused" : "other";
    this.#listGap(next, to - next + 1, { name: "", failure, detail: "its gateway does not know why" }, listed);
    return to === last;
  }

  /** Frames that are stored by the account and have no row: they cannot be handed on. */
  #listLost(first: number, last: number, listed: (Listed | ListedStretch)[]): void {
    if (first > last) return;
    const count = Math.min(last - first + 1, gapNumbersMax);
    this.#listGap(first, count, { name: "", failure: "vanished", detail: "it has no row at a gateway" }, listed);
  }

  #listGap(
    sequence: number,
    count: number,
    gap: Pick<Exclude<Listed, ListedFrame>, "name" | "failure" | "detail">,
    listed: (Listed | ListedStretch)[],
  ): void {
    for (let at = 0; at < count; at += 1) this.#underWay.set(sequence + at, { asGap: true, more: [] });
    listed.push({ ...gap, sequence, count });
    this.#listedTo(sequence + count - 1);
  }

  #listedTo(number: number): void {
    this.#cursor = number + 1;
    this.#highest = Math.max(this.#highest, number);
  }

  #stretches(records: HandingRecords, first: number, last: number): Required<ListedStretch>[] {
    return records
      .stretches(this.#options.session(), first, last)
      .map(({ sequence, class: stretch, count, bytes, text }) => ({ stretch, sequence, count, bytes, text }));
  }

  /** Nothing is due: the end, if it has come, when all that was listed is settled and written down. */
  #atEnd(records: HandingRecords, max: number): (Listed | ListedStretch)[] | undefined {
    const { id, frames } = this.#options.session();
    if (frames === undefined || this.#underWay.size > 0 || !this.#options.writtenDown()) return [];
    if (records.due(id, 0).length > 0) {
      // What was passed over, because it might still have come.
      this.#cursor = 0;
      return this.#due(records, max);
    }
    this.#over = true;
    const behind = this.#stretches(records, frames, Number.MAX_SAFE_INTEGER);
    return behind.length > 0 ? behind : undefined;
  }

  #entryOf({ sequence, name, bytes, capturedNs, notes, metadata, path, crc32: checksum }: HandingFrame): BacklogEntry {
    const entry = { name, bytes, capturedNs, sequence, path, crc32: checksum };
    return {
      ...entry,
      ...(notes === undefined ? {} : { notes }),
      ...(metadata === undefined ? {} : { metadata }),
      ...(sequence >= this.#options.newFrom ? { live: true as const } : {}),
    };
  }

  open(entry: FrameEntry): OpenedFrame {
    const { path, bytes, crc32: checksum } = entry as BacklogEntry;
    const handle = this.#options.openFile(path, bytes);
    if (typeof handle === "number") return new StoredFrame(handle, bytes, checksum);
    const words = `${path} at a gateway ${handle}`;
    throw new SourceError(handle === fileMissing ? "vanished" : "unreadable", words);
  }

  /** The checksum is known: nothing is read for it. */
  confirms(entry: FrameEntry, checksum: number): boolean {
    return (entry as BacklogEntry).crc32 === checksum;
  }

  settled(_entry: FrameEntry, outcome: HeardOutcome | undefined, _crc32: number | undefined, fate?: Fate): void {
    if (fate === undefined) return;
    const { sequence, gapReason = "other" } = fate;
    const under = this.#underWay.get(sequence);
    const next = under?.more.shift();
    if (under === undefined) return;
    if (next !== undefined) {
      this.#again.push(this.#entryOf(next));
      this.onReady?.();
      return;
    }
    this.#underWay.delete(sequence);
    const there = outcome === "unknown" || outcome === "recorded" ? "duplicate" : outcome;
    this.#options.settled(sequence, there ?? outcomeOfGap(gapReason), under.asGap);
    if (this.#underWay.size === 0) this.onReady?.();
  }

  totals(): SourceTotals {
    const { id, frames = 0 } = this.#options.session();
    const records = this.#options.records();
    const totals = records?.totals(id) ?? { frames, stored: 0, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };
    // As many as the sender has said, also where that was not true.
    return { ...totals, frames };
  }

  ended(): void {
    this.#options.ended();
  }

  dispose(): void {
    this.#over = true;
  }
}

function isStored(outcome: AccountOutcome): boolean {
  return outcome === "stored" || outcome === "conflict";
}

/** A stored file on its way. Other bytes than were stored are never handed on as the frame. */
class StoredFrame implements OpenedFrame {
  readonly bytes: number;
  readonly #handle: number;
  readonly #expected: number;
  #checksum = 0;
  #done = 0;

  constructor(handle: number, bytes: number, expected: number) {
    this.#handle = handle;
    this.bytes = bytes;
    this.#expected = expected;
  }

  read(into: Uint8Array): number {
    let filled = 0;
    try {
      while (filled < into.length) {
        const count = readSync(this.#handle, into, filled, into.length - filled, this.#done + filled);
        if (count === 0) break;
        filled += count;
      }
    } catch (error) {
      throw new SourceError("unreadable", "its file at a gateway cannot be read", { cause: error });
    }
    this.#checksum = crc32(into.subarray(0, filled), this.#checksum);
    this.#done += filled;
    if (this.#done < this.bytes || this.#checksum === this.#expected) return filled;
    throw new SourceError("unreadable", `its file at a gateway ${otherBytes}`);
  }

  close(): void {
    closeSync(this.#handle);
  }
}
