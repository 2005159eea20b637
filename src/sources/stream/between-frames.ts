/**
 * What lies between the frames of a stream until it is listed: frames that will not arrive, and bytes in no frame. Each
 * has its place behind so many frames, however long these wait; so the numbers of gaps say where they were.
 */
import type { GapReason } from "../../frame.ts";
import type { ListedGap, ListedStretch } from "../../ports.ts";

/** So much is told apart, in days without a receiver. */
const itemsMax = 1000;
/** Gaps are listed in runs of at most this many, because each is remembered until it is recorded. */
const runMax = 4096;

export interface Missing {
  readonly failure: GapReason;
  readonly detail: string;
  /** 1 if it is not said. */
  readonly count?: number;
}

interface Item {
  readonly behind: number;
  stretch: ListedStretch | undefined;
  /** Frames that are missing, behind the stretch. */
  missing: Required<Missing> | undefined;
}

export class BetweenFrames {
  /** In order. */
  readonly #items: Item[] = [];

  /** How many frames are missing. */
  get missing(): number {
    return this.#items.reduce((sum, { missing }) => sum + (missing?.count ?? 0), 0);
  }

  /** The first comes behind so many frames. */
  get firstBehind(): number {
    return this.#items[0]?.behind ?? Infinity;
  }

  /** Behind the first `behind` frames of the stream, and what is there already. */
  add(behind: number, missing: Missing | undefined, stretch?: ListedStretch): void {
    const item: Item = { behind, stretch, missing: missing && { count: 1, ...missing } };
    const items = this.#items;
    let at = items.length;
    while (at > 0 && (items[at - 1] as Item).behind > behind) at--;
    const before = items[at - 1];
    if (before !== undefined && isSame(before, item)) join(before, item);
    else {
      const alike = items.length < itemsMax ? undefined : items.findLast((each) => isAlike(each, item));
      if (alike === undefined) items.splice(at, 0, item);
      else join(alike, item);
    }
  }

  /** The first, if it comes behind no more than `passed` frames. */
  take(passed: number): (ListedGap | ListedStretch)[] {
    const [item] = this.#items;
    if (item === undefined || item.behind > passed) return [];
    const { stretch, missing } = item;
    const listed: (ListedGap | ListedStretch)[] = stretch === undefined ? [] : [stretch];
    item.stretch = undefined;
    if (missing === undefined) this.#items.shift();
    else {
      const count = Math.min(missing.count, runMax);
      listed.push({ name: "", failure: missing.failure, detail: missing.detail, count });
      item.missing = { ...missing, count: missing.count - count };
      if (count === missing.count) this.#items.shift();
    }
    return listed;
  }
}

/** They need not be told apart. */
function isSame(one: Item, other: Item): boolean {
  if (one.stretch !== undefined || other.stretch !== undefined) return false;
  return one.missing?.failure === other.missing?.failure && one.missing?.detail === other.missing?.detail;
}

function isAlike(one: Item, other: Item): boolean {
  return one.stretch?.stretch === other.stretch?.stretch && one.missing?.failure === other.missing?.failure;
}

function join(into: Item, { stretch, missing }: Item): void {
  if (into.missing !== undefined && missing !== undefined) {
    into.missing = { ...into.missing, count: into.missing.count + missing.count };
  }
  if (into.stretch !== undefined && stretch !== undefined) {
    const [count, bytes] = [into.stretch.count + stretch.count, into.stretch.bytes + stretch.bytes];
    into.stretch = { ...stretch, count, bytes };
  }
}
