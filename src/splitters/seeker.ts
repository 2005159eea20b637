/**
 * Looks for the next picture of a stream. A start of a format that we split counts wherever it is found. Of one that we
 * cannot split a short signature counts only where a picture may begin: behind a frame, padding or the head of a part.
 */
import { isText, paddingEnd } from "./byte-kinds.ts";
import type { Account } from "./account.ts";
import type { ForeignWalk } from "./foreign.ts";
import { partHeadBytesMax } from "./part-head.ts";
import type { PieceQueue } from "./piece-queue.ts";
import type { FoundStart, StartSearch } from "./start-search.ts";

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
    const { plain } = account;
    const first = plain ? paddingEnd(queue, seekAt, queue.end) : seekAt;
    const behindHead = placeBehindHead(queue, account, Math.max(seekAt, first));
    const walk = behindHead === undefined ? undefined : this.#search.at(queue, behindHead, queue.end);
    if (walk !== undefined) return { at: behindHead as number, walk };
    const from = Math.max(seekAt, first - paddedStartBytes);
    const ours = this.#search.find(queue, from, queue.end, queue.ended);
    const places = plain ? [seekAt, from, first - 1, first] : [];
    if (behindHead !== undefined) places.push(behindHead);
    return this.#foreignStart(queue, seekAt, placeOf(ours), places) ?? ours;
  }

  /** Looks at those of the places that lie from `from` to below `limit`. */
  #foreignStart(
    queue: PieceQueue,
    from: number,
    limit: number,
    places: readonly number[],
  ): FoundStart | number | undefined {
    const { end, ended } = queue;
    for (const at of places) {
      if (at < from || at >= limit) continue;
      const glance = this.#foreign.glance(queue, at, end, ended);
      if (glance === "yes") return { at, walk: this.#foreign };
      if (glance === "more") return at;
    }
    return undefined;
  }
}

function placeBehindHead(queue: PieceQueue, account: Account, seekAt: number): number | undefined {
  const from = account.reportedTo;
  if (account.lost || from < queue.start || seekAt > from + partHeadBytesMax) return undefined;
  if (isText[queue.byteAt(from)] === 0) return undefined;
  const [text] = wholeHead.exec(queue.textAt(from, Math.min(queue.end, from + partHeadBytesMax))) ?? [];
  return text === undefined || from + text.length < seekAt ? undefined : from + text.length;
}

function placeOf(found: FoundStart | number): number {
  return typeof found === "number" ? found : found.at;
}
