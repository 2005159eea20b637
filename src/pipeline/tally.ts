/**
 * What a receiver has told its senders, counted once. It is fed where an answer goes out, and everything that says how
 * much there was reads it: the display, the events and the last line. The catalogue enters the same outcomes of the
 * same numbers (outcome-ranges.ts), so all of them say the same of a run.
 *
 * A frame may be committed and its ack lost with the connection; then it comes again, and its number says that it is
 * counted. The last word stands: what was "already there" and is stored beside it after all is a conflict.
 */
import type { OriginProgress } from "../events.ts";
import type { Origin } from "../frame.ts";
import { aheadFramesMax } from "../limits.ts";
import { type OutcomeRange, OutcomeRanges } from "../outcome-ranges.ts";
import { type AccountOutcome, noOutcomes, type OutcomeCounts } from "../outcomes.ts";

/** Devices and sources that are counted one by one: more than anybody watches, few enough to be kept for months. */
const originsMax = 1024;
/**
 * Ranges of a source in a session: as many as it has frames that can still come again, or less if it has many sources.
 * Beyond it the lowest are forgotten, and would be counted again; only a peer that leaves out numbers gets there.
 */
const rangesMax = aheadFramesMax;
const rangesOfSessionMax = 8 * rangesMax;
const rangesMin = 256;
/** Sessions whose end was said and may be said again, because the word on it was lost. */
const endedMax = 256;

/** How much a session stored, over all its connections. */
export interface SessionSum {
  readonly frames: OutcomeCounts;
  storedBytes: number;
}

export class Tally {
  /** Per device and source. */
  readonly origins: Map<string, OriginProgress> = new Map<string, OriginProgress>();
  /** Of all origins beyond the limit together. */
  #others: OriginProgress | undefined;
  readonly #sessions = new Map<string, { readonly sum: SessionSum; readonly sources: Map<string, SourceTally> }>();
  readonly #ended = new Map<string, SessionSum>();

  /** That of a source in a session. `sessionKey` tells sessions of different devices apart. */
  of(sessionKey: string, origin: Origin): SourceTally {
    const { sum, sources } = this.#session(sessionKey);
    let tally = sources.get(origin.source);
    if (tally === undefined) {
      const share = (): number =>
        Math.max(rangesMin, Math.min(rangesMax, Math.floor(rangesOfSessionMax / sources.size)));
      sources.set(origin.source, (tally = new SourceTally(this.#progressOf(origin), sum, share)));
    }
    return tally;
  }

  sumOf(sessionKey: string): SessionSum {
    return this.#sessions.get(sessionKey)?.sum ?? this.#ended.get(sessionKey) ?? nothing();
  }

  /** The session is over: its numbers do not come again. */
  end(sessionKey: string): void {
    const sum = this.sumOf(sessionKey);
    this.forget(sessionKey);
    this.#ended.delete(sessionKey);
    this.#ended.set(sessionKey, sum);
    for (const oldest of this.#ended.keys().take(Math.max(0, this.#ended.size - endedMax))) this.#ended.delete(oldest);
  }

  /** There are too many sessions. */
  forget(sessionKey: string): void {
    this.#sessions.delete(sessionKey);
  }

  #session(key: string): { readonly sum: SessionSum; readonly sources: Map<string, SourceTally> } {
    let session = this.#sessions.get(key);
    if (session === undefined) {
      session = { sum: this.sumOf(key), sources: new Map() };
      this.#sessions.set(key, session);
    }
    return session;
  }

  #progressOf({ device, source }: Origin): OriginProgress {
    const key = `${device}\n${source}`;
    let progress = this.origins.get(key) ?? (this.origins.size >= originsMax ? this.#others : undefined);
    if (progress === undefined) {
      const rest = this.origins.size === originsMax - 1;
      const whose = rest ? { device: "others", source: "" } : { device, source };
      progress = { ...whose, frames: noOutcomes(), storedBytes: 0, receivedBytes: 0 };
      this.origins.set(key, progress);
      if (rest) this.#others = progress;
    }
    return progress;
  }
}

export class SourceTally {
  readonly progress: OriginProgress;
  readonly #sums: readonly [OriginProgress, SessionSum];
  readonly #outcomes = new OutcomeRanges();
  readonly #rangesMax: () => number;

  constructor(progress: OriginProgress, session: SessionSum, mayKeep: () => number) {
    this.progress = progress;
    this.#sums = [progress, session];
    this.#rangesMax = mayKeep;
  }

  /**
   * The answer for `count` numbers from `first` on; `bytes` is the size of the frame, if it is one. Returns for how
   * many of them it is news.
   */
  enter(first: number, count: number, outcome: AccountOutcome, bytes = 0): number {
    const last = first + count - 1;
    const before = this.#outcomes.among(first, last);
    this.#outcomes.enter(first, last, outcome);
    const after = this.#outcomes.among(first, last);
    this.#outcomes.keepHighest(this.#rangesMax());
    const isStored = before.some(hasBytes);
    for (const sum of this.#sums) {
      for (const range of before) sum.frames[range.outcome] -= numbersIn(range);
      for (const range of after) sum.frames[range.outcome] += numbersIn(range);
      if (!isStored && after.some(hasBytes)) sum.storedBytes += bytes;
    }
    return countOf(after, outcome) - countOf(before, outcome);
  }
}

function numbersIn({ first, last }: OutcomeRange): number {
  return last - first + 1;
}

function countOf(ranges: readonly OutcomeRange[], outcome: AccountOutcome): number {
  return ranges.reduce((sum, range) => sum + (range.outcome === outcome ? numbersIn(range) : 0), 0);
}

function nothing(): SessionSum {
  return { frames: noOutcomes(), storedBytes: 0 };
}

function hasBytes({ outcome }: OutcomeRange): boolean {
  return outcome === "stored" || outcome === "conflict";
}
