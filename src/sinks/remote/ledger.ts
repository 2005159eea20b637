/**
 * The account of one source in one session, as it is kept beside the frames in a store on another machine: one outcome
 * for each number, gaps with their reasons, stretches, and what the sender said at the end. STORES.md is its format.
 *
 * Any receiver may write it: what one enters is put together with what is there, in any order, with the same result.
 * A ledger is a row of *parts*, so that what is written with each group stays small however long a session is.
 */
import type { Gap, Origin, SourceTotals, Stretch } from "../../frame.ts";
import { OutcomeRanges } from "../../outcome-ranges.ts";
import { type AccountOutcome, noOutcomes, totalsOf } from "../../outcomes.ts";

export type LedgerGap = Omit<Gap, "origin">;
export type LedgerStretch = Omit<Stretch, "origin">;
/** `endedMs`: when the receiver was told, by its clock. */
export type LedgerEnd = SourceTotals & { readonly endedMs: number };

/** A ledger, a part of one, or what is to be entered into one. */
export class Ledger {
  readonly origin: Origin;
  readonly outcomes: OutcomeRanges = new OutcomeRanges();
  /** By their first number, and by the number of what follows. */
  readonly gaps: Map<number, LedgerGap> = new Map<number, LedgerGap>();
  readonly stretches: Map<number, LedgerStretch> = new Map<number, LedgerStretch>();
  /** What the sender said at the end. */
  end: LedgerEnd | undefined;

  constructor(origin: Origin) {
    this.origin = origin;
  }

  enterGap({ origin: _origin, ...gap }: Gap): void {
    this.gaps.set(gap.firstSequence, gap);
  }

  enterStretch({ origin: _origin, ...stretch }: Stretch): void {
    this.stretches.set(stretch.sequence, stretch);
  }

  /** What `other` says is later. */
  enter({ outcomes, gaps, stretches, end }: Ledger): void {
    for (const { first, last, outcome } of outcomes.ranges) this.outcomes.enter(first, last, outcome);
    for (const [at, gap] of gaps) this.gaps.set(at, gap);
    for (const [at, stretch] of stretches) this.stretches.set(at, stretch);
    this.end = end ?? this.end;
  }

  /** What became of the numbers, counted, and the highest that has an outcome. */
  get account(): { readonly totals: SourceTotals; readonly last: number } {
    const counts = noOutcomes();
    for (const { first, last, outcome } of this.outcomes.ranges) counts[outcome] += last - first + 1;
    return { totals: totalsOf(counts), last: this.outcomes.ranges.at(-1)?.last ?? -1 };
  }

  encode(): string {
    const { device, source, session } = this.origin;
    const outcomes = this.outcomes.ranges.map(({ first, last, outcome }) => [first, last, outcome]);
    const gaps = [...this.gaps.values()];
    const stretches = [...this.stretches.values()];
    const end = this.end === undefined ? {} : { end: this.end };
    return `${JSON.stringify({ framepipe: 1, device, source, session, outcomes, gaps, stretches, ...end })}\n`;
  }
}

/** Undefined: it is none, or one of a later version. */
export function decodeLedger(text: string): Ledger | undefined {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { framepipe, device, source, session, outcomes, gaps, stretches, end } = (found ?? {}) as Record<
    string,
    unknown
  >;
  if (framepipe !== 1 || !isText(device) || !isText(source) || !isText(session)) return undefined;
  if (!Array.isArray(outcomes) || !Array.isArray(gaps) || !Array.isArray(stretches)) return undefined;
  if (!outcomes.every(isRange) || !gaps.every(isGap) || !stretches.every(isStretch)) return undefined;
  if (end !== undefined && !isEnd(end)) return undefined;
  const part = new Ledger({ device, source, session });
  for (const [first, last, outcome] of outcomes) part.outcomes.enter(first, last, outcome);
  for (const gap of gaps) part.gaps.set(gap.firstSequence, gap);
  for (const stretch of stretches) part.stretches.set(stretch.sequence, stretch);
  part.end = end;
  return part;
}

const words: ReadonlySet<string> = new Set(Object.keys(noOutcomes()));

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isRange(value: unknown): value is [number, number, AccountOutcome] {
  if (!Array.isArray(value) || value.length !== 3) return false;
  const [first, last, outcome] = value as unknown[];
  return isCount(first) && isCount(last) && first <= last && isText(outcome) && words.has(outcome);
}

function isGap(value: unknown): value is LedgerGap {
  const { firstSequence, count, reason, name, detail } = (value ?? {}) as Partial<LedgerGap>;
  return isCount(firstSequence) && isCount(count) && isText(reason) && isText(name) && isText(detail);
}

function isStretch(value: unknown): value is LedgerStretch {
  const { sequence, count, bytes, text, class: kind } = (value ?? {}) as Partial<LedgerStretch>;
  return isCount(sequence) && isCount(count) && isCount(bytes) && isText(text) && isText(kind);
}

function isEnd(value: unknown): value is LedgerEnd {
  const end = (value ?? {}) as Partial<LedgerEnd>;
  const { frames, stored, duplicates, conflicts, refused, skipped, expired = 0, endedMs } = end;
  return [frames, stored, duplicates, conflicts, refused, skipped, expired, endedMs].every(isCount);
}
