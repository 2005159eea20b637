/**
 * A start within what a frame claims and is not here yet. The frame may have been cut: then the rival is the next one,
 * and need not wait until the claim is over. It wins when it is whole and another start follows it: a thumbnail is
 * whole, but the rest of its picture follows it.
 */
import type { PartHead } from "./part-head.ts";
import type { PieceQueue } from "./piece-queue.ts";
import { whatFollows } from "./proof.ts";
import type { SecondLooks } from "./second-looks.ts";
import type { StartSearch } from "./start-search.ts";
import type { Walk } from "./walk.ts";

export interface RivalPlace {
  readonly from: number;
  readonly to: number;
  readonly part: PartHead | undefined;
}

export interface Winner {
  readonly winnerAt: number;
  /** The first start that did not win. */
  readonly firstAt: number;
}

export class Rivals {
  readonly #search: StartSearch;
  readonly #looks: SecondLooks;
  /** Rivals lie from here to `#to`. */
  #from: number;
  readonly #to: number;
  /** That of the frame. */
  readonly #part: PartHead | undefined;
  #walk: Walk | undefined;
  #startAt = 0;
  #walkedBytes = 0;
  /** It has ended, and what follows is not here. */
  #ended = false;
  /** The first start that there was. */
  #firstAt: number | undefined;

  constructor(search: StartSearch, looks: SecondLooks, { from, to, part }: RivalPlace) {
    this.#search = search;
    this.#from = from;
    this.#to = to;
    this.#part = part;
    this.#looks = looks;
  }

  /** What is looked at may be looked at again. */
  follow(bytes: PieceQueue): Winner | undefined {
    for (;;) {
      const walk = this.#walk ?? this.#begin(bytes);
      if (walk === undefined) return undefined;
      const allHere = this.#to <= bytes.end;
      const step = this.#ended ? "whole" : walk.advance(bytes, Math.min(bytes.end, this.#to), allHere);
      if (step === "more") return this.#afford(walk, bytes);
      // Without an end it may be a thumbnail that was cut with its picture.
      if (step === "open") this.#from = allHere ? this.#startAt + 1 : walk.at;
      else if (step !== "none" && step !== "foreign" && walk.at <= bytes.end) {
        const following = whatFollows(bytes, this.#search, { at: walk.at, between: "line break", part: this.#part });
        if (following === "proof") return { winnerAt: this.#startAt, firstAt: this.#firstAt ?? this.#startAt };
        this.#ended = true;
        if (following !== "other") return this.#afford(walk, bytes);
        // What has an end of its own is known; a claim that is false may span anything.
        this.#from = walk.openLengths.length === 0 ? walk.at : walk.resumeAt;
      } else this.#from = Math.max(this.#startAt + 1, Math.min(walk.resumeAt, bytes.end));
      if (!this.#looks.spend(walk.at - this.#startAt)) this.#from = Infinity;
      this.#walk = undefined;
    }
  }

  #begin(bytes: PieceQueue): Walk | undefined {
    const to = Math.min(bytes.end, this.#to);
    if (this.#from >= to) return undefined;
    const found = this.#search.findSure(bytes, this.#from, to, false);
    this.#from = found.at;
    if (!("walk" in found)) return undefined;
    const walk = found.walk.another();
    walk.begin(found.at);
    this.#ended = false;
    this.#startAt = found.at;
    this.#firstAt ??= found.at;
    this.#walk = walk;
    return walk;
  }

  /** One that claims without end is left alone. */
  #afford(walk: Walk, bytes: PieceQueue): undefined {
    const walked = Math.min(walk.at, bytes.end) - this.#startAt;
    if (walked > this.#walkedBytes && !this.#looks.spend(walked - this.#walkedBytes)) {
      this.#from = Infinity;
      this.#walk = undefined;
    }
    this.#walkedBytes = Math.max(0, walked);
    return undefined;
  }
}
