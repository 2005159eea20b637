/**
 * The picture at hand, from its start to the verdict: it is walked, and its end proven or found to be false. STREAMS.md
 * section 4 has the states. One object for all pictures of a stream, one after the other.
 */
import { Note } from "../frame.ts";
import { OthersWithin } from "./others-within.ts";
import { beforeLastSeparator, type PartHead, partHeadBefore, partHeadBytesMax } from "./part-head.ts";
import type { PieceQueue } from "./piece-queue.ts";
import { silenceMs, whatFollows } from "./proof.ts";
import type { Winner } from "./rival.ts";
import type { SecondLooks } from "./second-looks.ts";
import type { LossKind } from "./split.ts";
import type { StartSearch } from "./start-search.ts";
import type { Step, Walk } from "./walk.ts";

const junkFollows = "what follows is no start of a picture";

/**
 * - `more`: what is here does not tell
 * - `again`: ask once more
 * - `frame`: it ends before `end`
 * - `within`: it is whole and ends before `end`, and belongs to a lost picture
 * - `none`: it is none, or lost; `loss`, `resumeAt` and `doubtTo` say more
 */
export type Verdict = "more" | "again" | "frame" | "within" | "none";

export interface Loss {
  readonly of: LossKind;
  readonly detail: string;
}

interface PictureOptions {
  readonly queue: PieceQueue;
  readonly search: StartSearch;
  readonly looks: SecondLooks;
  readonly frameBytesMax: number;
}

export class Picture {
  readonly #queue: PieceQueue;
  readonly #search: StartSearch;
  readonly #frameBytesMax: number;

  walk!: Walk;
  startAt = 0;
  part: PartHead | undefined;
  /** Bits of `Note`, beside those of its walk. */
  notes = 0;
  /** When silence may prove its end. */
  dueMs: number | undefined;

  // What goes with the verdict.
  end = 0;
  loss: Loss | undefined;
  /** From where the next start is to be looked for. */
  resumeAt = 0;
  /** Up to where pictures are in doubt now, if that has changed: a lost one claims to reach so far. */
  doubtTo: number | undefined;

  /** It begins in what a lost one claims: it is a picture only if what follows proves it. */
  #doubted = false;
  /** Where its part ends, as long as that may be true; nothing behind it is its own if that is proven. */
  #partEnd: number | undefined;
  #partProven = false;
  readonly #others: OthersWithin;
  #pushedMs = 0;
  #nowMs = 0;
  /** What its walk said last, if that was an end. */
  #ending: Step | undefined;
  /** Its claim is false: no start lies between the claim's beginning and here. */
  #resolvedTo: number | undefined;

  constructor({ queue, search, looks, frameBytesMax }: PictureOptions) {
    this.#queue = queue;
    this.#search = search;
    this.#others = new OthersWithin(queue, search, looks);
    this.#frameBytesMax = frameBytesMax;
  }

  begin(walk: Walk, at: number, part: PartHead | undefined, doubted: boolean): void {
    walk.begin(at);
    this.walk = walk;
    this.startAt = at;
    this.part = part;
    this.notes = 0;
    this.dueMs = undefined;
    this.#doubted = doubted;
    this.#partEnd = part?.contentBytes === undefined ? undefined : at + part.contentBytes;
    this.#partProven = false;
    this.#others.begin(part);
    this.#ending = undefined;
    this.#resolvedTo = undefined;
  }

  /** A piece came. */
  pushed(nowMs: number): void {
    this.#others.pushed(nowMs - this.#pushedMs);
    this.#pushedMs = nowMs;
  }

  advance(nowMs: number): Verdict {
    this.#nowMs = nowMs;
    this.dueMs = undefined;
    if (this.#resolvedTo !== undefined) return this.#resolve(this.#resolvedTo);
    const { walk } = this;
    const { end, ended } = this.#queue;
    const partEnd = this.#partEnd;
    const to = partEnd === undefined ? end : Math.min(end, partEnd);
    const final = this.#partProven || (ended && to === end);
    const step = this.#ending ?? walk.advance(this.#queue, to, final);
    if (step === "more") {
      if (this.#isTooLarge()) return this.#tooLarge();
      if (to === partEnd) return this.#judgePart(partEnd);
      const rival = this.#others.rival(walk);
      return rival === undefined ? "more" : this.#loseTo(rival);
    }
    this.#ending = step;
    if (step === "none") return this.#none(walk.loss, walk.detail, walk.resumeAt);
    if (step === "foreign") return this.#foreign();
    if (this.#isTooLarge()) return this.#tooLarge();
    if (step === "claimed") return this.#proveClaim();
    const next = this.#others.inFalseClaim(walk);
    if (next !== undefined) return this.#loseTo(next);
    const other = this.#others.inData(walk);
    if (other !== undefined) return this.#endBefore(other);
    return step === "open" ? this.#close() : this.#doubted ? this.#proveWithin() : this.#frame(walk.at);
  }

  // ---- walked

  #isTooLarge(): boolean {
    const { walk, startAt } = this;
    return walk.at - startAt + (walk.prefix?.length ?? 0) > this.#frameBytesMax;
  }

  #tooLarge(): Verdict {
    return this.#none("too-large", `more than ${this.#frameBytesMax} bytes`, this.walk.resumeAt);
  }

  #foreign(): Verdict {
    const { walk } = this;
    return this.#none("foreign", walk.detail, walk.resumeAt, Infinity);
  }

  #endBefore(other: number): Verdict {
    if (!this.walk.endBefore(other)) {
      return this.#none("cut", "the next picture begins before its data", this.startAt + 1, other);
    }
    return this.#doubted ? this.#within(this.walk.at) : this.#frame(other);
  }

  /** All that its part's length gives is here, and not its end. */
  #judgePart(partEnd: number): Verdict {
    const following = this.#following(partEnd, false);
    if (following === undefined) return "more";
    if (following) this.#partProven = true;
    else this.#partEnd = undefined;
    return "again";
  }

  #loseTo({ winnerAt, firstAt }: Winner): Verdict {
    const { walk } = this;
    // What comes before the winner may be a preview, if there was a picture to have one.
    const doubtTo = walk.began && walk.openLengths.length === 0 ? winnerAt : 0;
    return this.#none("cut", "the next picture begins before its end", firstAt, doubtTo);
  }

  // ---- proven

  /** Whether a start, a separator, the end or silence follows. Undefined: it is not known yet. */
  #following(at: number, padded: boolean): boolean | undefined {
    const between = padded ? "padding" : "line break";
    const following = whatFollows(this.#queue, this.#search, { at, between, part: this.part });
    if (following === "proof") return true;
    if (following === "other") return false;
    if (following === "more") return undefined;
    const dueMs = this.#pushedMs + silenceMs;
    if (this.#nowMs >= dueMs) return true;
    this.dueMs = dueMs;
    return undefined;
  }

  #proveWithin(): Verdict {
    const { at } = this.walk;
    const following = this.#following(at, true);
    if (following === undefined) return "more";
    return following ? this.#frame(at) : this.#within(at);
  }

  #proveClaim(): Verdict {
    const { walk } = this;
    // There will be no more, so the claim is false.
    const following = walk.at > this.#end ? false : this.#following(walk.at, false);
    if (following === undefined) return "more";
    if (following && !this.#others.inClaim(walk)) return this.#frame(walk.at);
    this.#resolvedTo = walk.resumeAt;
    return "again";
  }

  /** Nothing behind it is its own. */
  get #end(): number {
    return this.#partProven ? (this.#partEnd as number) : this.#queue.end;
  }

  /** The claim is false, or not proven. What lies up to the next start tells whether another length is true. */
  #resolve(resolvedTo: number): Verdict {
    const { walk } = this;
    const end = this.#end;
    const from = walk.resumeAt;
    const farthest = Math.min(from + Math.max(...walk.openLengths), this.startAt + this.#frameBytesMax);
    const to = Math.min(end, farthest + partHeadBytesMax);
    const final = to === end && (this.#partProven || this.#queue.ended);
    const found = this.#search.findSure(this.#queue, resolvedTo, to, final);
    if (walk.certain && !this.#doubted && found.at >= walk.at) {
      this.notes = Note.unprovenLength;
      return this.#frame(walk.at);
    }
    // A start follows that was cut by the next.
    if ("walk" in found && found.at > walk.at && this.#search.isCutStart(this.#queue, walk.at, found.at)) {
      return this.#frame(walk.at);
    }
    const at = "walk" in found ? found.at : final ? end : undefined;
    if (at !== undefined && walk.openLengths.includes(at - from) && at - from !== walk.at - from) {
      walk.learn(at - from);
      return this.#frame(at);
    }
    if ("walk" in found) {
      const detail = found.at < walk.at ? "the next picture begins before its end" : junkFollows;
      return this.#none("cut", detail, found.at, 0);
    }
    if (final && walk.at > end) return this.#none("cut", "the stream ends before its end", found.at, 0);
    if (final || to > farthest + partHeadBytesMax - 1) {
      // What may still begin in the claim is not passed over.
      return this.#none("cut", junkFollows, Math.min(walk.at, end, found.at), 0);
    }
    this.#resolvedTo = found.at;
    return "more";
  }

  /** There is no end marker, and a start follows, or nothing. */
  #close(): Verdict {
    const { walk, startAt, part } = this;
    const { end, ended } = this.#queue;
    // A thumbnail that was cut with its picture.
    if (this.#doubted) return this.#within(walk.at);
    if (this.#partEnd !== undefined && walk.at < this.#partEnd) {
      return this.#none("cut", `it ends before its Content-Length of ${part?.contentBytes} bytes`, walk.resumeAt);
    }
    const following = this.#partProven ? true : this.#following(walk.at, true);
    if (following === undefined) return "more";
    if (!following) return walk.retreat(this.#queue) ? "again" : this.#none("damaged", walk.detail, walk.resumeAt);
    const head = partHeadBefore(this.#queue, startAt, walk.at);
    const atEnd = ended && walk.at === end && part !== undefined && !this.#partProven;
    const textAt = atEnd ? beforeLastSeparator(this.#queue, startAt, end, part) : walk.at;
    return this.#frame(head?.from ?? textAt);
  }

  // ---- judged

  #frame(end: number): "frame" {
    this.#others.met(this.walk, end);
    this.end = end;
    return "frame";
  }

  #within(end: number): "within" {
    this.end = end;
    return "within";
  }

  /** `doubtTo`: mostly as far as it claims. Claims of data alone are proven by what follows, and have no previews. */
  #none(of: LossKind, detail: string, resumeAt: number, doubtTo?: number): "none" {
    const { walk } = this;
    const lost = walk.began && !this.#doubted;
    this.loss = lost ? { of, detail } : undefined;
    this.resumeAt = resumeAt;
    this.doubtTo = doubtTo ?? (!lost ? undefined : walk.openLengths.length === 0 ? walk.at : 0);
    return "none";
  }
}
