/**
 * A start within what a frame claims and is not here yet. The frame may have been cut: then the rival is the next one,
 * and need not wait until the claim is over. It wins when it is whole and another start follows it: a thumbnail is
 * whole, but the rest of its picture follows it.
 */
import type { PieceQueue } from "./piece-queue.ts";
import { whatFollows } from "./proof.ts";
import type { SecondLooks } from "./second-looks.ts";
import type { StartSearch } from "./start-search.ts";
import type { Walk } from "./walk.ts";

export class Rivals {
  readonly #search: StartSearch;
  readonly #looks: SecondLooks;
  /** No rival begins before it. */
  #from: number;
  #walk: Walk | undefined;
  #startAt = 0;
  #walkedBytes = 0;
  /** It has ended, and what follows is not here. */
  #ended = false;
  /** The first start that there was. */
  #firstAt: number | undefined;

  constructor(search: StartSearch, from: number, looks: SecondLooks) {
    this.#search = search;
    this.#from = from;
    this.#looks = looks;
  }

  /** Where the winner begins, and where the first start was that did not win. What is looked at may be again. */
  follow(bytes: PieceQueue): { winnerAt: number; firstAt: number } | undefined {
    for (;;) {
      const walk = this.#walk ?? this.#begin(bytes);
      if (walk === undefined) return undefined;
      const step = this.#ended ? "whole" : walk.advance(bytes, bytes.end, false);
      if (step === "more") return this.#afford(walk, bytes);
      // Without an end it may be a thumbnail that was cut with its picture.
      if (step === "open") this.#from = walk.at;
      else if (step !== "none" && step !== "foreign") {
        const following = whatFollows(bytes, this.#search, { at: walk.at, between: "line break", part: undefined });
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
    if (this.#from >= bytes.end) return undefined;
    const found = this.#search.findSure(bytes, this.#from, bytes.end, false);
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
