/**
 * What the sender knows of one source: a sliding span of frames from the lowest that is not settled to the last that
 * was listed, and counters over all of them.
 *
 *     settled ... | base ... sendCursor ... offerCursor ... | not listed yet
 *
 * Frames are sent in that order; with `newest`, live ones go before all others and the newest of them first, but one
 * that has fallen far behind has its turn.
 *
 * The states of a frame are in frame-states.ts.
 *
 * A frame's *place* is its position among those that were listed, and mostly its number as well. Who hands on frames
 * lists them with the numbers that they came with.
 */
import { assert } from "../errors.ts";
import type {
  FrameEntry,
  GapReason,
  HeardOutcome,
  Metadata,
  SequenceNumber,
  SourceTotals,
  StoredOutcome,
} from "../frame.ts";
import { againFirstMs, againLastMs, againQuietMax, agedFrames } from "../limits.ts";
import { compareNatural } from "../names.ts";
import { type FrameMove, frameMoves, type FrameState } from "./frame-states.ts";
import { stateAfter } from "./moves.ts";
import { StretchLog } from "./stretch-log.ts";

/** Which unsent frame goes first. */
export type SendingOrder = "oldest" | "newest";

/** A frame that is at the receiver, or was, as a verdict tells of it. */
export interface HeldCopy {
  readonly outcome: StoredOutcome | "expired";
  readonly crc32: number;
}

export interface FrameRecord {
  entry: FrameEntry;
  /** What it is called on the wire. */
  readonly number: SequenceNumber;
  state: FrameState;
  /** How often the receiver found it damaged. */
  damaged: number;
  /** How often the receiver wanted it again, for whatever reason. */
  again: number;
  /** Size as sent; the listed size before that. */
  bytes: number;
  /** What of it was sent on this connection and counts into the window. */
  windowBytes: number;
  crc32: number | undefined;
  /** What the receiver has of this name, size and time: while it is doubted, and if that is another frame. */
  held: HeldCopy | undefined;
  /** What the receiver says it has of it, on this connection. */
  partial: PartialFrame | undefined;
  /** As much of it is known to have arrived, on connections that are gone. */
  arrivedBytes: number;
  gapReason: GapReason | undefined;
  gapDetail: string;
  /** As how many frames the gap was told that begins here; 0: it was told with an earlier one; undefined: not yet. */
  gapCount: number | undefined;
}

/** What happens to a frame. */
export function moveFrame(record: FrameRecord, move: FrameMove): void {
  record.state = stateAfter(frameMoves, record.state, move);
}

/** The start of a frame. */
export interface PartialFrame {
  readonly offset: number;
  readonly crc32: number;
}

/** The frame whose bytes are on their way. */
export interface OpenFrame {
  readonly place: number;
  readonly record: FrameRecord;
  readonly bytes: number;
  readonly metadata: Metadata | undefined;
  /** To be compared with what the receiver has, before anything is sent; undefined: it begins at 0, or is compared. */
  proving: PartialFrame | undefined;
  /** FRAME was sent. */
  begun: boolean;
  /** Where what comes next begins in the frame; what comes before is sent, or read and there. */
  sentBytes: number;
  crc32: number;
}

interface NumberedRecord {
  readonly place: number;
  readonly record: FrameRecord;
}

function isNewer(one: FrameEntry, other: FrameEntry): boolean {
  if (one.capturedNs !== other.capturedNs) return one.capturedNs > other.capturedNs;
  return compareNatural(one.name, other.name) > 0;
}

/** `totals`: over all runs; absent: what is counted here is all. */
export interface LedgerSource {
  readonly name: string;
  totals?(): SourceTotals;
}

export class SourceLedger {
  readonly source: string;
  readonly index: number;
  /** Named on the present connection. */
  declared = false;
  /** END was sent on the present connection, or ENDED has come. */
  ended: "no" | "sent" | "confirmed" = "no";
  /** What the receiver has of this source, if it does not share our totals. */
  disputedBy: SourceTotals | undefined;
  open: OpenFrame | undefined;
  /** The receiver can store nothing of this source for now. */
  held = false;
  /** What it has is lost when the process ends, so it is sent although the run is stopping. */
  fleeting = false;
  /** A frame was wanted again: nothing is begun before this time, which a lost connection does not change. */
  pausedUntilMs: number = Number.NEGATIVE_INFINITY;
  /** Then one frame at a time, until one of them is settled. */
  probing = false;
  /** The frame that is wanted again and again, once that has been said. */
  troubled: FrameRecord | undefined;
  /** Sent or being sent on this connection, and not answered. */
  sentFrames = 0;
  /** Offers of this connection without an answer, oldest first: first sequence number and count. */
  readonly offers: { readonly first: number; readonly count: number }[] = [];
  /** Gaps in the same state as those frames, by their numbers. */
  sentGaps = 0;
  readonly stretches: StretchLog = new StretchLog();

  // Counters, read by the progress display (events.ts SourceProgress).
  listedFrames = 0;
  listedBytes = 0;
  listingDone = false;
  settledFrames = 0;
  settledBytes = 0;
  storedFrames = 0;
  duplicateFrames = 0;
  conflictFrames = 0;
  expiredFrames = 0;
  refusedFrames = 0;
  skippedFrames = 0;
  sentBytes = 0;

  readonly #order: SendingOrder;
  readonly #source: LedgerSource;
  /** With `newest`: the live frames that may not have been sent, the newest last. */
  readonly #fresh: NumberedRecord[] = [];
  #records: FrameRecord[] = [];
  /** Places of what is not settled by its number, where these may differ. */
  #places: Map<SequenceNumber, number> | undefined;
  /** Place of `#records[#first]`. */
  #base = 0;
  #first = 0;
  /** No frame below is to be offered. */
  offerCursor = 0;
  /** No frame below is to be sent. */
  sendCursor = 0;

  constructor(index: number, source: LedgerSource, order: SendingOrder) {
    this.index = index;
    this.source = source.name;
    this.#source = source;
    this.#order = order;
  }

  /** Frames listed and not settled, including settled ones that wait for an earlier one. */
  get spanFrames(): number {
    return this.listedFrames - this.#base;
  }

  get base(): number {
    return this.#base;
  }

  /** Everything that was listed is settled and there will be no more. */
  get complete(): boolean {
    return this.listingDone && this.#base === this.listedFrames;
  }

  /** Not everything of it is at the receiver, or the receiver says so. */
  get lossy(): boolean {
    return this.refusedFrames + this.skippedFrames > 0 || this.disputedBy !== undefined;
  }

  /** Appends a frame; its number is the count so far if it has none. A live one needs no offer, the first time. */
  list(entry: FrameEntry, live: boolean, number?: SequenceNumber): FrameRecord {
    if (number !== undefined) (this.#places ??= new Map()).set(number, this.listedFrames);
    const record: FrameRecord = {
      entry,
      number: number ?? this.listedFrames,
      state: live ? "wanted" : "listed",
      damaged: 0,
      again: 0,
      bytes: entry.bytes,
      windowBytes: 0,
      crc32: undefined,
      held: undefined,
      partial: undefined,
      arrivedBytes: 0,
      gapReason: undefined,
      gapDetail: "",
      gapCount: undefined,
    };
    this.#records.push(record);
    if (live && this.#order === "newest") this.#addFresh({ place: this.listedFrames, record });
    this.listedFrames++;
    this.listedBytes += entry.bytes;
    return record;
  }

  /**
   * A source lists the newest that it has first, and what there was no room for in the next listing, perhaps behind
   * what is newer still. So the time decides, and where it is the same, the name.
   */
  #addFresh(frame: NumberedRecord): void {
    let [from, to] = [0, this.#fresh.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (isNewer((this.#fresh[middle] as NumberedRecord).record.entry, frame.record.entry)) to = middle;
      else from = middle + 1;
    }
    this.#fresh.splice(from, 0, frame);
  }

  /** Undefined outside the span: settled long ago, or never listed. */
  record(place: number): FrameRecord | undefined {
    if (place < this.#base) return undefined;
    return this.#records[this.#first + place - this.#base];
  }

  /** The place of a number that is not settled. Of any other, one that has no record. */
  placeOf(number: SequenceNumber): number {
    return this.#places === undefined ? number : (this.#places.get(number) ?? -1);
  }

  /** The frame will not arrive. It is sent as a gap when its turn comes. */
  turnIntoGap(place: number, record: FrameRecord, reason: GapReason, detail: string): void {
    moveFrame(record, "fail");
    record.gapReason = reason;
    record.gapDetail = detail;
    if (place < this.sendCursor) this.sendCursor = place;
  }

  /** What has not been sent will not be. Nameless, so that one message tells of all of them. */
  giveUp(detail: string): void {
    for (let place = this.#base; place < this.listedFrames; place++) {
      const record = this.record(place);
      if (record?.state !== "listed" && record?.state !== "wanted") continue;
      record.entry = { ...record.entry, name: "" };
      this.turnIntoGap(place, record, "dropped", detail);
    }
  }

  /** After a pause, which grows each time. Returns whether it is time to say so: once for each such frame. */
  sendAgain(place: number, record: FrameRecord, nowMs: number): boolean {
    moveFrame(record, "again");
    record.partial = undefined;
    if (place < this.sendCursor) this.sendCursor = place;
    const pauseMs = Math.min(againLastMs, againFirstMs * 2 ** record.again);
    record.again++;
    this.pausedUntilMs = Math.max(this.pausedUntilMs, nowMs + pauseMs);
    this.probing = true;
    if (record.again < againQuietMax || this.troubled !== undefined) return false;
    this.troubled = record;
    return true;
  }

  /** Whether a frame may be begun. */
  mayBegin(nowMs: number): boolean {
    return nowMs >= this.pausedUntilMs && (!this.probing || this.sentFrames === 0);
  }

  settle(place: number, record: FrameRecord, outcome: HeardOutcome): void {
    if (record.state === "gap-sent") this.sentGaps--;
    else this.probing = false;
    moveFrame(record, "settle");
    this.settledFrames++;
    this.settledBytes += record.bytes;
    if (outcome === "stored") this.storedFrames++;
    else if (outcome === "duplicate" || outcome === "unknown") this.duplicateFrames++;
    else if (outcome === "conflict") this.conflictFrames++;
    else if (outcome === "expired") this.expiredFrames++;
    else if (record.gapReason === "refused") this.refusedFrames++;
    else if (record.gapReason === "duplicate") this.duplicateFrames++;
    else if (record.gapReason === "expired") this.expiredFrames++;
    else this.skippedFrames++;
    this.#places?.delete(record.number);
    if (place === this.#base) this.#slide();
  }

  #slide(): void {
    while (this.#first < this.#records.length && this.#records[this.#first]?.state === "settled") {
      this.#first++;
      this.#base++;
    }
    if (this.#first === this.#records.length) {
      this.#records.length = 0;
      this.#first = 0;
    } else if (this.#first >= 1024 && this.#first * 2 >= this.#records.length) {
      this.#records.splice(0, this.#first);
      this.#first = 0;
    }
    if (this.offerCursor < this.#base) this.offerCursor = this.#base;
    if (this.sendCursor < this.#base) this.sendCursor = this.#base;
  }

  /** The connection is gone: everything that is not settled starts over. */
  rewind(): void {
    this.declared = false;
    if (this.ended === "sent") this.ended = "no";
    this.open = undefined;
    this.held = false;
    this.sentFrames = 0;
    this.sentGaps = 0;
    this.offers.length = 0;
    this.stretches.rewind();
    this.#fresh.length = 0;
    this.offerCursor = this.#base;
    this.sendCursor = this.#base;
    for (let at = this.#first; at < this.#records.length; at++) {
      const record = this.#records[at];
      if (record === undefined || record.state === "settled") continue;
      moveFrame(record, "cut");
      record.partial = undefined;
    }
  }

  /** The next frames to offer: a run of consecutive listed ones. Moves the cursor past those that need no offer. */
  nextOffer(max: number): FrameEntry[] {
    const entries: FrameEntry[] = [];
    while (this.offerCursor < this.listedFrames && this.record(this.offerCursor)?.state !== "listed")
      this.offerCursor++;
    const number = this.record(this.offerCursor)?.number ?? 0;
    for (let place = this.offerCursor; entries.length < max; place++) {
      const record = this.record(place);
      if (record?.state !== "listed" || record.number !== number + entries.length) break;
      entries.push(record.entry);
    }
    return entries;
  }

  /** The next frame or gap to send, or frame to compare. In order, it stops at a frame whose answer has not come. */
  nextToSend(): NumberedRecord | undefined {
    return (this.spanFrames < agedFrames ? this.#freshest() : undefined) ?? this.#nextInOrder();
  }

  #freshest(): NumberedRecord | undefined {
    for (let last = this.#fresh.at(-1); last !== undefined; last = this.#fresh.at(-1)) {
      const { state } = last.record;
      if (state === "wanted" || state === "gap") return last;
      this.#fresh.pop();
    }
    return undefined;
  }

  #nextInOrder(): NumberedRecord | undefined {
    for (; this.sendCursor < this.listedFrames; this.sendCursor++) {
      const record = this.record(this.sendCursor);
      if (record === undefined) continue;
      const { state } = record;
      if (state === "wanted" || state === "doubted" || state === "gap") return { place: this.sendCursor, record };
      if (state === "listed" || state === "offered") return undefined;
    }
    return undefined;
  }

  /**
   * The gap that begins at `place` is sent, together with those behind it that have the same reason and no name to
   * lose. Returns how many frames that are. Sent again, it has the same bounds: the receiver knows it by its first.
   */
  gapSent(place: number, first: FrameRecord): number {
    const count = first.gapCount ?? this.#gapRun(place, first);
    for (let at = 0; at < count; at++) {
      const record = this.record(place + at);
      assert(record !== undefined, "a run of gaps is settled together");
      moveFrame(record, "tell");
      this.sentGaps++;
      record.gapCount = at === 0 ? count : 0;
    }
    return count;
  }

  #gapRun(place: number, first: FrameRecord): number {
    let count = 1;
    if (first.entry.name !== "") return count;
    for (; ; count++) {
      const record = this.record(place + count);
      if (record?.state !== "gap" || record.gapCount !== undefined || record.entry.name !== "") return count;
      if (record.number !== first.number + count) return count;
      if (record.gapReason !== first.gapReason || record.gapDetail !== first.gapDetail) return count;
    }
  }

  totals(): SourceTotals {
    const ofAllRuns = this.#source.totals?.();
    if (ofAllRuns !== undefined) return ofAllRuns;
    const totals = {
      frames: this.listedFrames,
      stored: this.storedFrames,
      duplicates: this.duplicateFrames,
      conflicts: this.conflictFrames,
      refused: this.refusedFrames,
      skipped: this.skippedFrames,
    };
    return this.expiredFrames === 0 ? totals : { ...totals, expired: this.expiredFrames };
  }
}
