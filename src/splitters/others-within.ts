/**
 * Other pictures within the one at hand: if there is one, that was cut, and the next began. What only a look at every
 * byte would find is looked for where it costs little, or where something is odd (STREAMS.md section 5).
 */
import type { PartHead } from "./part-head.ts";
import type { PieceQueue } from "./piece-queue.ts";
import { Rivals, type Winner } from "./rival.ts";
import type { SecondLooks } from "./second-looks.ts";
import type { StartSearch } from "./start-search.ts";
import type { Region, Walk } from "./walk.ts";

/** Data that pauses within a picture may be another writer's. A camera's picture comes in one go. */
const pauseMs = 10;
/** Claims of up to this size are always searched for a start: it costs less than the frame does. */
const searchedBytesMax = 65_536;

export class OthersWithin {
  readonly #queue: PieceQueue;
  readonly #search: StartSearch;
  readonly #looks: SecondLooks;

  // Of the picture at hand.
  #part: PartHead | undefined;
  #rivals: Rivals | undefined;
  /** Data paused within it. */
  #paused = false;

  // Of the stream.
  /** Pictures of other formats than JPEG were in it. */
  #mixed = false;
  #longestJpegBytes = 0;
  /** Something else than a start follows pictures that are whole: a camera's blob. */
  #blobs = false;

  constructor(queue: PieceQueue, search: StartSearch, looks: SecondLooks) {
    this.#queue = queue;
    this.#search = search;
    this.#looks = looks;
  }

  begin(part: PartHead | undefined): void {
    this.#part = part;
    this.#rivals = undefined;
    this.#paused = false;
  }

  /** A piece came, so long after the one before it. */
  pushed(afterMs: number): void {
    if (afterMs >= pauseMs) this.#paused = true;
  }

  /** A picture was whole. */
  met({ dataAt }: Walk, end: number): void {
    if (dataAt === undefined) this.#mixed = true;
    else this.#longestJpegBytes = Math.max(this.#longestJpegBytes, end - dataAt);
  }

  /** While more is needed: the next picture, if there is one in what this one waits for. */
  rival(walk: Walk): Winner | undefined {
    if (!walk.doubtful && !(this.#paused && walk.at > this.#queue.end)) return undefined;
    // A separator proves none of them: a picture that is cut behind its thumbnail ends with one.
    this.#rivals ??= this.#rivalsIn({ from: walk.resumeAt, to: Infinity }, undefined);
    return this.#rivals.follow(this.#queue);
  }

  /** The next picture, if it is in data that was skipped by a false length. */
  inFalseClaim({ falseClaim }: Walk): Winner | undefined {
    if (falseClaim === undefined) return undefined;
    return this.#rivalsIn(falseClaim, this.#part).follow(this.#queue);
  }

  /** A claim that is proven may still hold a writer that died and one that began again. */
  inClaim({ at, resumeAt }: Walk): boolean {
    if (at - resumeAt > searchedBytesMax && !this.#paused) return false;
    return "walk" in this.#search.findSure(this.#queue, resumeAt, at, true);
  }

  /** Where a picture of another format begins in the data of one that has ended, or in stray bytes before it. */
  inData({ at, dataAt, skipped, suspect }: Walk): number | undefined {
    if (dataAt === undefined) return undefined;
    for (const { from, to } of skipped) {
      const found = this.#search.findSure(this.#queue, from, at, true);
      if ("walk" in found && found.at < to) return found.at;
    }
    const short = at - dataAt <= this.#longestJpegBytes * 1.25;
    if (short && !suspect && !this.#mixed && (this.#blobs || this.#isBoundary(at))) return undefined;
    const found = this.#search.findSure(this.#queue, dataAt, at, true);
    if ("walk" in found) return found.at;
    this.#blobs ||= short && !suspect && !this.#isBoundary(at);
    return undefined;
  }

  /** Whether what follows is what mostly follows a picture, at a glance. */
  #isBoundary(at: number): boolean {
    const queue = this.#queue;
    if (at + 2 > queue.end) return true;
    const two = queue.u16At(at);
    return two === 0xff_d8 || two === 0x0d_0a || two === 0 || this.#search.at(queue, at, queue.end) !== undefined;
  }

  #rivalsIn({ from, to }: Region, part: PartHead | undefined): Rivals {
    return new Rivals(this.#search, this.#looks, { from, to, part });
  }
}
