/**
 * The engine of all splitters but raw: looks for the start of a picture, has it judged (picture.ts), hands it out, and
 * accounts for every byte. STREAMS.md section 4 has its states.
 *
 *     handed out | in no frame, gone | held
 *                ^ reportedTo        ^ #seekAt: where the next start is looked for, or the picture at hand begins
 *
 * While a picture is walked it is kept whole, because what looked like one may turn out to be none, with the true next
 * one within it. While a start is looked for only the last kilobyte is kept.
 */
import { Account } from "./account.ts";
import { ForeignWalk } from "./foreign.ts";
import { noFields, partHeadBefore, partHeadBytesMax } from "./part-head.ts";
import { Picture } from "./picture.ts";
import { PieceQueue } from "./piece-queue.ts";
import { SecondLooks } from "./second-looks.ts";
import { Seeker } from "./seeker.ts";
import type { Split, Splitter } from "./split.ts";
import { StartSearch } from "./start-search.ts";
import type { Walk } from "./walk.ts";

export interface StreamSplitterOptions {
  readonly walks: readonly Walk[];
  /** Pictures of this one only are frames. */
  readonly only?: Walk | undefined;
  readonly frameBytesMax: number;
}

export class StreamSplitter implements Splitter {
  readonly #queue = new PieceQueue();
  readonly #looks = new SecondLooks(this.#queue);
  readonly #account = new Account();
  readonly #only: Walk | undefined;
  readonly #search: StartSearch;
  readonly #seeker: Seeker;
  /** One for all pictures of the stream. */
  readonly #picture: Picture;
  /** There is a picture at hand. */
  #walking = false;
  #seekAt = 0;
  /** Up to here pictures are in doubt. */
  #doubtTo = 0;

  constructor({ walks, only, frameBytesMax }: StreamSplitterOptions) {
    const foreign = new ForeignWalk();
    this.#only = only;
    this.#search = new StartSearch([...walks, foreign]);
    this.#seeker = new Seeker(this.#search, foreign);
    this.#picture = new Picture({ queue: this.#queue, search: this.#search, looks: this.#looks, frameBytesMax });
  }

  get heldBytes(): number {
    return this.#queue.end - Math.max(this.#queue.start, this.#seekAt);
  }

  get dueMs(): number | undefined {
    return this.#walking ? this.#picture.dueMs : undefined;
  }

  push(piece: Uint8Array, nowMs: number): void {
    this.#picture.pushed(nowMs);
    this.#queue.push(piece, nowMs);
  }

  end(): void {
    this.#queue.finish();
  }

  next(nowMs: number): Split | undefined {
    for (;;) {
      const split = this.#account.take();
      if (split !== undefined) return split;
      if (this.#walking || this.#seek()) {
        if (!this.#judge(nowMs)) return undefined;
      } else {
        if (this.#queue.ended && this.#seekAt === this.#queue.end) this.#account.close(this.#seekAt);
        return this.#account.take();
      }
    }
  }

  // ---- seek

  /** Goes to the next start. False: it is not here yet. */
  #seek(): boolean {
    const queue = this.#queue;
    if (this.#seekAt === queue.end) return false;
    // Mostly the next picture begins where the last ended.
    const walk = this.#search.at(queue, this.#seekAt, queue.end);
    if (walk !== undefined) return this.#begin(walk, this.#seekAt);
    const found = this.#seeker.find(queue, this.#account, this.#seekAt);
    if (typeof found === "number") {
      this.#skipTo(found);
      return false;
    }
    return this.#begin(found.walk, found.at);
  }

  #skipTo(at: number, isHead = false): void {
    if (at === this.#seekAt) return;
    const queue = this.#queue;
    this.#account.skip(queue, this.#seekAt, at, isHead);
    this.#seekAt = at;
    queue.discard(Math.max(queue.start, Math.min(at, this.#account.reportedTo), at - partHeadBytesMax));
  }

  #begin(walk: Walk, at: number): true {
    const { reportedTo } = this.#account;
    const part = partHeadBefore(this.#queue, Math.max(this.#queue.start, reportedTo), at);
    this.#skipTo(at, part?.from === reportedTo);
    this.#picture.begin(walk, at, part, at < this.#doubtTo);
    this.#walking = true;
    return true;
  }

  // ---- judge

  /** Goes on with the picture at hand. False: more is needed. */
  #judge(nowMs: number): boolean {
    const picture = this.#picture;
    const verdict = picture.advance(nowMs);
    if (verdict === "more") return false;
    if (verdict === "frame") {
      if (this.#only === undefined || picture.walk === this.#only) this.#handOut(picture);
      else this.#leaveOut(picture, this.#only);
    } else if (verdict === "within") {
      this.#walking = false;
      this.#skipTo(picture.end);
    } else if (verdict === "none") this.#giveUp(picture);
    return true;
  }

  #handOut({ walk, startAt, end, part, notes }: Picture): void {
    const queue = this.#queue;
    this.#walking = false;
    this.#doubtTo = 0;
    const { prefix, extension } = walk;
    const pieces = queue.views(startAt, end);
    if (prefix !== undefined) pieces.unshift(prefix);
    const bytes = end - startAt + (prefix?.length ?? 0);
    const arrivedMs = queue.arrivedMsAt(end - 1);
    this.#account.frame(
      startAt,
      {
        kind: "frame",
        pieces,
        bytes,
        extension,
        notes: notes | walk.notes,
        arrivedMs,
        headerTimeNs: part?.timeNs,
        headerFields: part?.fields ?? noFields,
      },
      end,
    );
    this.#seekAt = end;
    queue.discard(end);
  }

  /** It is of another format than the one that was asked for. */
  #leaveOut({ walk, startAt, end }: Picture, only: Walk): void {
    this.#walking = false;
    this.#doubtTo = 0;
    const detail = `a ${walk.name} at byte ${startAt}, where ${only.name} was asked for`;
    this.#account.beginLoss(startAt, "foreign", detail);
    this.#skipTo(end);
  }

  /** The picture at hand is none, or lost. */
  #giveUp({ walk, startAt, loss, resumeAt, doubtTo }: Picture): void {
    this.#walking = false;
    if (loss !== undefined) {
      this.#account.beginLoss(startAt, loss.of, `the ${walk.name} at byte ${startAt}: ${loss.detail}`);
    }
    if (doubtTo !== undefined) this.#doubtTo = doubtTo;
    const { end } = this.#queue;
    const walkedTo = Math.min(walk.at, end);
    // A walk that fails at its first byte must not begin there again.
    const from = Math.min(Math.max(resumeAt, startAt + 1), end);
    this.#skipTo(this.#looks.spend(walkedTo - from) ? from : Math.max(from, walkedTo));
  }
}
