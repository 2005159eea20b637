/**
 * The engine of all splitters but raw: looks for the start of a picture, lets the walk of its format find its end, has
 * it proven, and accounts for every byte. STREAMS.md section 4 has its states.
 *
 *     handed out | in no frame, gone | held
 *                ^ reportedTo        ^ #seekAt: where the next start is looked for, or the picture at hand begins
 *
 * While a picture is walked it is kept whole, because what looked like one may turn out to be none, with the true next
 * one within it. While a start is looked for only the last kilobyte is kept.
 */
import { MiB } from "../limits.ts";
import { Account } from "./account.ts";
import { ForeignWalk } from "./foreign.ts";
import { beforeLastSeparator, noFields, type PartHead, partHeadBefore, partHeadBytesMax } from "./part-head.ts";
import { PieceQueue } from "./piece-queue.ts";
import { silenceMs, whatFollows } from "./proof.ts";
import { Rivals } from "./rival.ts";
import type { Split, Splitter } from "./split.ts";
import { placeOf, Seeker } from "./seeker.ts";
import { type FoundStart, StartSearch } from "./start-search.ts";
import type { Step, Walk } from "./walk.ts";

/**
 * What may be looked at again after pictures that were none: so many times the stream, and a little. A stream made of
 * starts that each claim megabytes would be walked once for every start.
 */
const retriedTimes = 8;
const retriedBytesFree: number = 16 * MiB;
/** Data that pauses within a picture may be another writer's. A camera's picture comes in one go. */
const pauseMs = 10;
/** Claims of up to this size are always searched for a start: it costs less than the frame does. */
const searchedBytesMax = 65_536;

export interface StreamSplitterOptions {
  readonly walks: readonly Walk[];
  /** Pictures of this one only are frames. */
  readonly only?: Walk | undefined;
  readonly frameBytesMax: number;
}

/** What is known of the picture at hand besides its walk. */
interface Candidate {
  readonly walk: Walk;
  readonly startAt: number;
  readonly part: PartHead | undefined;
  /** Where its part ends, as long as that may be true. */
  partEnd: number;
  /** Nothing behind `partEnd` is its own: that is proven. */
  partProven: boolean;
  rivals: Rivals | undefined;
  /** Data paused within it. */
  paused: boolean;
  /** What its walk said last, if that was an end. */
  ending: Step | undefined;
  /** Its claim is false: no start lies between the claim's beginning and here. */
  resolvedTo: number | undefined;
}

export class StreamSplitter implements Splitter {
  readonly #queue = new PieceQueue();
  readonly #account = new Account();
  readonly #options: StreamSplitterOptions;
  readonly #search: StartSearch;
  readonly #seeker: Seeker;
  /** Pictures of other formats than JPEG were in the stream. */
  #mixed = false;
  #longestJpegBytes = 0;
  #candidate: Candidate | undefined;
  #seekAt = 0;
  /** Up to here a picture is one only if what follows proves it: a lost one claims to reach so far. */
  #doubtTo = 0;
  #retriedBytes = 0;
  #pushedMs = 0;
  #nowMs = 0;
  dueMs: number | undefined;

  constructor(options: StreamSplitterOptions) {
    this.#options = options;
    const foreign = new ForeignWalk();
    this.#search = new StartSearch([...options.walks, foreign]);
    this.#seeker = new Seeker(this.#search, foreign);
  }

  get heldBytes(): number {
    return this.#queue.end - Math.max(this.#queue.start, this.#seekAt);
  }

  push(piece: Uint8Array, nowMs: number): void {
    const candidate = this.#candidate;
    if (candidate !== undefined && nowMs - this.#pushedMs >= pauseMs) candidate.paused = true;
    this.#pushedMs = nowMs;
    this.#queue.push(piece, nowMs);
  }

  end(): void {
    this.#queue.finish();
  }

  next(nowMs: number): Split | undefined {
    this.#nowMs = nowMs;
    this.dueMs = undefined;
    for (;;) {
      const split = this.#account.take();
      if (split !== undefined) return split;
      const candidate = this.#candidate ?? this.#seek();
      if (candidate === undefined) {
        if (!this.#queue.ended || this.#seekAt < this.#queue.end) return this.#account.take();
        this.#account.close(this.#seekAt);
        return this.#account.take();
      }
      if (!this.#walk(candidate)) return undefined;
    }
  }

  // ---- seek

  /** Goes to the next start. Undefined: it is not here yet. */
  #seek(): Candidate | undefined {
    if (this.#seekAt === this.#queue.end) return undefined;
    const found = this.#seeker.find(this.#queue, this.#account, this.#seekAt);
    const at = placeOf(found);
    this.#skipTo(at);
    return typeof found === "number" ? undefined : this.#begin(found);
  }

  #skipTo(at: number): void {
    const queue = this.#queue;
    this.#account.skip(queue, this.#seekAt, at);
    this.#seekAt = at;
    queue.discard(Math.max(queue.start, Math.min(at, this.#account.reportedTo), at - partHeadBytesMax));
  }

  #begin({ at, walk }: FoundStart): Candidate {
    const queue = this.#queue;
    walk.begin(at);
    const low = Math.max(queue.start, this.#account.reportedTo);
    const part = partHeadBefore(queue, low, at);
    if (part?.from === this.#account.reportedTo) this.#account.headOnly();
    const partEnd = part?.contentBytes === undefined ? Infinity : at + part.contentBytes;
    const rest = { rivals: undefined, paused: false, resolvedTo: undefined, ending: undefined };
    this.#candidate = { walk, startAt: at, part, partEnd, partProven: false, ...rest };
    return this.#candidate;
  }

  // ---- walk

  /** Goes on with the picture at hand. False: more is needed. */
  #walk(candidate: Candidate): boolean {
    const { walk, startAt, partEnd } = candidate;
    if (candidate.resolvedTo !== undefined) return this.#resolve(candidate);
    const { end, ended } = this.#queue;
    const to = Math.min(end, partEnd);
    const final = candidate.partProven || (ended && to === end);
    const step = candidate.ending ?? walk.advance(this.#queue, to, final);
    candidate.ending = step === "more" ? undefined : step;
    if (step !== "none" && step !== "foreign" && this.#isTooLarge(candidate)) {
      const detail = `more than ${this.#options.frameBytesMax} bytes`;
      return this.#giveUp(candidate, walk.began ? { of: "too-large", detail } : undefined, walk.resumeAt);
    }
    if (step === "whole" || step === "open") {
      const other = this.#otherWithin(walk);
      if (other !== undefined) {
        if (!walk.endBefore(other)) {
          const detail = "the next picture begins before its data";
          this.#giveUp(candidate, { of: "cut", detail }, startAt + 1);
          this.#doubtTo = other;
          return true;
        }
        return startAt >= this.#doubtTo ? this.#take(candidate, other) : this.#passOver(candidate);
      }
    }
    switch (step) {
      case "more":
        return to === partEnd ? this.#judgePart(candidate) : this.#followRivals(candidate);
      case "whole":
        return startAt >= this.#doubtTo ? this.#take(candidate, walk.at) : this.#prove(candidate, true);
      case "claimed":
        return this.#prove(candidate, false);
      case "open":
        return this.#close(candidate);
      case "none":
        return this.#giveUp(candidate, walk.began ? { of: walk.loss, detail: walk.detail } : undefined, walk.resumeAt);
      case "foreign":
        this.#giveUp(candidate, { of: "foreign", detail: walk.detail }, walk.resumeAt);
        this.#doubtTo = Infinity;
        return true;
    }
  }

  /** Where a picture of another format begins in the data of this one, which was cut. */
  #otherWithin({ at, dataAt, suspect }: Walk): number | undefined {
    if (dataAt === undefined) return undefined;
    const usual = !this.#mixed && at - dataAt <= this.#longestJpegBytes * 1.25 && this.#isBoundary(at);
    if (usual && !suspect) return undefined;
    const found = this.#search.findSure(this.#queue, dataAt, at, true);
    return "walk" in found ? found.at : undefined;
  }

  /** Whether what follows is what mostly follows a picture, at a glance. */
  #isBoundary(at: number): boolean {
    const queue = this.#queue;
    if (at + 2 > queue.end) return true;
    const two = queue.u16At(at);
    return two === 0xff_d8 || two === 0x0d_0a || two === 0 || this.#search.at(queue, at, queue.end) !== undefined;
  }

  #isTooLarge({ walk, startAt }: Candidate): boolean {
    return walk.at - startAt + (walk.prefix?.length ?? 0) > this.#options.frameBytesMax;
  }

  /** All that its part's length gives is here, and not its end. */
  #judgePart(candidate: Candidate): boolean {
    const following = this.#following(candidate.partEnd, candidate.part, false);
    if (following === undefined) return false;
    if (following) candidate.partProven = true;
    else candidate.partEnd = Infinity;
    return true;
  }

  #followRivals(candidate: Candidate): boolean {
    const { walk } = candidate;
    if (!walk.doubtful && !(candidate.paused && walk.at > this.#queue.end)) return false;
    candidate.rivals ??= new Rivals(this.#search, walk.resumeAt);
    const found = candidate.rivals.follow(this.#queue, (count) => this.#mayLookAgain(count));
    if (found === undefined) return false;
    const detail = "the next picture begins before its end";
    this.#giveUp(candidate, walk.began ? { of: "cut", detail } : undefined, found.firstAt);
    // What comes before the winner may be a preview, if there was a picture to have one.
    this.#doubtTo = walk.began && walk.openLengths.length === 0 ? found.winnerAt : 0;
    return true;
  }

  // ---- prove

  /** Whether a start, a separator, the end or silence follows. Undefined: it is not known yet. */
  #following(at: number, part: PartHead | undefined, padded: boolean): boolean | undefined {
    const following = whatFollows(this.#queue, this.#search, { at, padded, part });
    if (following === "proof") return true;
    if (following === "other") return false;
    if (following === "more") return undefined;
    const dueMs = this.#pushedMs + silenceMs;
    if (this.#nowMs >= dueMs) return true;
    this.dueMs = dueMs;
    return undefined;
  }

  #prove(candidate: Candidate, ownEnd: boolean): boolean {
    const { walk, part } = candidate;
    const following = this.#following(walk.at, part, ownEnd);
    if (following === undefined) return false;
    if (ownEnd && !following) return this.#passOver(candidate);
    if (!ownEnd && (!following || this.#holdsStart(candidate))) candidate.resolvedTo = walk.resumeAt;
    else this.#take(candidate, walk.at);
    return true;
  }

  /** A picture within a lost one, and the rest of that follows it: a preview. */
  #passOver({ walk, startAt }: Candidate): true {
    this.#candidate = undefined;
    this.#seekAt = startAt;
    this.#skipTo(walk.at);
    return true;
  }

  /** A claim that is proven may still hold a writer that died and one that began again. */
  #holdsStart({ walk, paused }: Candidate): boolean {
    if (walk.at - walk.resumeAt > searchedBytesMax && !paused) return false;
    return "walk" in this.#search.findSure(this.#queue, walk.resumeAt, walk.at, true);
  }

  /** The claim is false. What lies up to the next start tells whether another length is true. */
  #resolve(candidate: Candidate): boolean {
    const { walk, resolvedTo = walk.resumeAt } = candidate;
    const { end, ended } = this.#queue;
    const from = walk.resumeAt;
    const farthest = from + Math.max(...walk.openLengths);
    const to = Math.min(end, farthest + partHeadBytesMax);
    const final = ended && to === end;
    const found = this.#search.findSure(this.#queue, resolvedTo, to, final);
    const at = "walk" in found ? found.at : final ? end : undefined;
    if (at !== undefined && walk.openLengths.includes(at - from) && at - from !== walk.at - from) {
      walk.learn(at - from);
      return this.#take(candidate, at);
    }
    if ("walk" in found) return this.#giveUpAt(candidate, "the next picture begins before its end", found.at);
    if (final || to > farthest + partHeadBytesMax - 1) {
      return this.#giveUpAt(candidate, "what follows is no start of a picture", Math.min(walk.at, end));
    }
    candidate.resolvedTo = found.at;
    return false;
  }

  #giveUpAt(candidate: Candidate, detail: string, at: number): true {
    this.#giveUp(candidate, { of: "cut", detail }, at);
    this.#doubtTo = 0;
    return true;
  }

  // ---- the end

  /** There is no end marker, and a start follows, or nothing. */
  #close(candidate: Candidate): boolean {
    const { walk, startAt, part, partEnd } = candidate;
    const { end, ended } = this.#queue;
    // Within a lost picture: a thumbnail that was cut with it.
    if (startAt < this.#doubtTo) return this.#passOver(candidate);
    if (partEnd !== Infinity && walk.at < partEnd) {
      const detail = `it ends before its Content-Length of ${part?.contentBytes} bytes`;
      return this.#giveUp(candidate, { of: "cut", detail }, walk.resumeAt);
    }
    const following = candidate.partProven ? true : this.#following(walk.at, part, true);
    if (following === undefined) return false;
    if (!following) return this.#giveUp(candidate, { of: "damaged", detail: walk.detail }, walk.resumeAt);
    const head = partHeadBefore(this.#queue, startAt, walk.at);
    const atEnd = ended && walk.at === end && part !== undefined && !candidate.partProven;
    const textAt = atEnd ? beforeLastSeparator(this.#queue, startAt, end, part) : walk.at;
    return this.#take(candidate, head?.from ?? textAt);
  }

  #take(candidate: Candidate, end: number): true {
    const { walk, startAt, part } = candidate;
    const queue = this.#queue;
    const { only } = this.#options;
    this.#candidate = undefined;
    this.#doubtTo = 0;
    if (only !== undefined && walk !== only) {
      this.#account.beginLoss(
        startAt,
        "foreign",
        `a ${walk.name} at byte ${startAt}, where ${only.name} was asked for`,
      );
      this.#seekAt = startAt;
      this.#skipTo(end);
      return true;
    }
    const { prefix, extension, notes } = walk;
    if (walk.dataAt === undefined) this.#mixed = true;
    else this.#longestJpegBytes = Math.max(this.#longestJpegBytes, end - walk.dataAt);
    const pieces = queue.views(startAt, end);
    if (prefix !== undefined) pieces.unshift(prefix);
    const bytes = end - startAt + (prefix?.length ?? 0);
    const arrivedMs = queue.arrivedMsAt(end - 1);
    const head = { headerTimeNs: part?.timeNs, headerFields: part?.fields ?? noFields };
    const frame = { kind: "frame", pieces, bytes, extension, notes, arrivedMs, ...head } as const;
    this.#account.frame(startAt, frame, end);
    this.#seekAt = end;
    queue.discard(end);
    return true;
  }

  /** The picture at hand is none, or lost. The next start is looked for from `resumeAt`. */
  #giveUp(
    { walk, startAt }: Candidate,
    loss: { readonly of: Walk["loss"]; readonly detail: string } | undefined,
    resumeAt: number,
  ): true {
    this.#candidate = undefined;
    const { end } = this.#queue;
    if (loss !== undefined && startAt >= this.#doubtTo) {
      this.#account.beginLoss(startAt, loss.of, `the ${walk.name} at byte ${startAt}: ${loss.detail}`);
      // Claims of data alone are proven by what follows anyway, and have no previews in them.
      this.#doubtTo = walk.openLengths.length === 0 ? walk.at : 0;
    }
    const walkedTo = Math.min(walk.at, end);
    // A walk that fails at its first byte must not begin there again.
    const from = Math.min(Math.max(resumeAt, startAt + 1), end);
    this.#seekAt = startAt;
    this.#skipTo(this.#mayLookAgain(Math.max(0, walkedTo - from)) ? from : Math.max(from, walkedTo));
    return true;
  }

  #mayLookAgain(count: number): boolean {
    const retried = this.#retriedBytes + count;
    if (retried > retriedTimes * this.#queue.end + retriedBytesFree) return false;
    this.#retriedBytes = retried;
    return true;
  }
}
