/**
 * One outcome for each sequence number of a source and session, kept as ranges: a million frames that were stored in
 * order are one range. Ranges are in order, never overlap, and two that touch have different outcomes; so an account
 * can be written down in one way only. What is entered later stands, but nothing else undoes that this session has
 * stored a frame. That a frame was lost or refused does undo `duplicate`: that was believed by name, size and time, and
 * who says otherwise has compared.
 *
 * So entering is associative: what a group says of a number can be summed up before it is entered.
 */
import { type AccountOutcome, isOwn } from "./outcomes.ts";

/** Both ends belong to it. */
export interface OutcomeRange {
  readonly first: number;
  readonly last: number;
  readonly outcome: AccountOutcome;
}

/** Those parts of `range`, in order, of which `known`, in order, does not say that this session has stored them. */
function othersOf(known: readonly OutcomeRange[], range: OutcomeRange): OutcomeRange[] {
  const parts: OutcomeRange[] = [];
  let { first } = range;
  for (const each of known) {
    if (!isOwn(each.outcome) || each.last < first || each.first > range.last) continue;
    if (each.first > first) parts.push({ ...range, first, last: each.first - 1 });
    first = each.last + 1;
  }
  if (first <= range.last) parts.push({ ...range, first });
  return parts;
}

/**
 * What takes the place of `known` when `range` is entered. `known` are ranges of one account in order, at least all
 * that overlap or touch `range`; those that stay as they are come back as the same objects.
 */
export function enterRange(known: readonly OutcomeRange[], range: OutcomeRange): OutcomeRange[] {
  if (isOwn(range.outcome)) return put(known, range);
  return othersOf(known, range).reduce<OutcomeRange[]>((ranges, part) => put(ranges, part), [...known]);
}

/** The same, whatever `known` says. */
export function put(known: readonly OutcomeRange[], range: OutcomeRange): OutcomeRange[] {
  const before: OutcomeRange[] = [];
  const after: OutcomeRange[] = [];
  let { first, last } = range;
  for (const each of known) {
    const touches = each.first <= range.last + 1 && each.last >= range.first - 1;
    if (touches && each.outcome === range.outcome) {
      first = Math.min(first, each.first);
      last = Math.max(last, each.last);
      continue;
    }
    if (each.first < range.first) before.push(each.last < range.first ? each : { ...each, last: range.first - 1 });
    if (each.last > range.last) after.push(each.first > range.last ? each : { ...each, first: range.last + 1 });
  }
  return [...before, { first, last, outcome: range.outcome }, ...after];
}

/** An account in memory. Numbers that come in order cost next to nothing, any others a binary search. */
export class OutcomeRanges {
  readonly #ranges: { first: number; last: number; outcome: AccountOutcome }[] = [];

  /** Valid until the next `enter`. */
  get ranges(): readonly OutcomeRange[] {
    return this.#ranges;
  }

  enter(first: number, last: number, outcome: AccountOutcome): void {
    const end = this.#ranges.at(-1);
    if (end === undefined || first > end.last) {
      if (end !== undefined && end.outcome === outcome && first === end.last + 1) end.last = last;
      else this.#ranges.push({ first, last, outcome });
      return;
    }
    const from = this.#indexOf((range) => range.last >= first - 1);
    const to = this.#indexOf((range) => range.first > last + 1);
    this.#ranges.splice(from, to - from, ...enterRange(this.#ranges.slice(from, to), { first, last, outcome }));
  }

  /** What is known of the numbers from `first` to `last`, in order. */
  among(first: number, last: number): OutcomeRange[] {
    if (first > (this.#ranges.at(-1)?.last ?? -1)) return [];
    const from = this.#indexOf((range) => range.last >= first);
    const to = this.#indexOf((range) => range.first > last);
    return this.#ranges.slice(from, to).map((range) => {
      return { ...range, first: Math.max(first, range.first), last: Math.min(last, range.last) };
    });
  }

  clear(): void {
    this.#ranges.length = 0;
  }

  /** Forgets the lowest numbers, but for so many ranges. */
  keepHighest(count: number): void {
    if (this.#ranges.length > count) this.#ranges.splice(0, this.#ranges.length - count);
  }

  /** The first range for which `holds`, which holds for all behind it. */
  #indexOf(holds: (range: OutcomeRange) => boolean): number {
    let [from, to] = [0, this.#ranges.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (holds(this.#ranges[middle] as OutcomeRange)) to = middle;
      else from = middle + 1;
    }
    return from;
  }
}

/** The numbers of `ranges` that are in none of `others`; both in order. */
export function difference(ranges: readonly OutcomeRange[], others: readonly OutcomeRange[]): OutcomeRange[] {
  const left: OutcomeRange[] = [];
  let index = 0;
  for (const range of ranges) {
    let { first } = range;
    while (index < others.length && (others[index] as OutcomeRange).last < first) index += 1;
    for (let at = index; at < others.length; at += 1) {
      const other = others[at] as OutcomeRange;
      if (other.first > range.last) break;
      if (other.first > first) left.push({ ...range, first, last: other.first - 1 });
      first = other.last + 1;
    }
    if (first <= range.last) left.push({ ...range, first });
  }
  return left;
}
