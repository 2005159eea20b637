/**
 * Looks for the next picture of a stream. A start of a format that we split counts wherever it is found. Of one that we
 * cannot split a short signature counts only where a picture may begin: behind a frame, padding or the head of a part.
 */
import type { Account } from "./account.ts";
import type { ForeignWalk } from "./foreign.ts";
import { partHeadBytesMax } from "./part-head.ts";
import type { PieceQueue } from "./piece-queue.ts";
import type { FoundStart, StartSearch } from "./start-search.ts";
import { isPadding } from "./stretch.ts";

/** What a start may begin with that padding may be, too: three zeros, or FF. */
const paddedStartBytes = 3;
const wholeHead = /^\s*(?:[\x21-\x7e]{1,72}\r?\n)?(?:[A-Za-z][A-Za-z0-9-]{0,63}:[^\r\n]*\r?\n)+\r?\n/;

export class Seeker {
  readonly #search: StartSearch;
  readonly #foreign: ForeignWalk;

  constructor(search: StartSearch, foreign: ForeignWalk) {
    this.#search = search;
    this.#foreign = foreign;
  }

  /** The next start from `seekAt`, or how far there is none. */
  find(queue: PieceQueue, account: Account, seekAt: number): FoundStart | number {
    // Mostly the next picture begins where the last ended.
    const here = this.#search.at(queue, seekAt, queue.end);
    if (here !== undefined) return here;
    const { plain } = account;
    const first = plain ? queue.skip(isPadding, seekAt, queue.end) : seekAt;
    const from = Math.max(seekAt, first - paddedStartBytes);
    const ours = this.#search.find(queue, from, queue.end, queue.ended);
    const behindPadding = plain ? [seekAt, from, first - 1, first] : [];
    const places = [...behindPadding, ...placesBehindHead(queue, account, Math.max(seekAt, first))];
    const foreign = this.#foreignStart(queue, seekAt, places);
    return foreign !== undefined && placeOf(foreign) < placeOf(ours) ? foreign : ours;
  }

  #foreignStart(queue: PieceQueue, seekAt: number, places: readonly number[]): FoundStart | number | undefined {
    const { end, ended } = queue;
    for (const at of places) {
      if (at < seekAt || at >= end) continue;
      const glance = this.#foreign.glance(queue, at, end, ended);
      if (glance === "yes") return { at, walk: this.#foreign };
      if (glance === "more") return at;
    }
    return undefined;
  }
}

function placesBehindHead(queue: PieceQueue, account: Account, seekAt: number): number[] {
  const from = account.reportedTo;
  if (account.lost || from < queue.start || seekAt > from + partHeadBytesMax) return [];
  const [text] = wholeHead.exec(queue.textAt(from, Math.min(queue.end, from + partHeadBytesMax))) ?? [];
  return text === undefined ? [] : [from + text.length];
}

export function placeOf(found: FoundStart | number): number {
  return typeof found === "number" ? found : found.at;
}
