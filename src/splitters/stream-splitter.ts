/**
 * The engine of all splitters: looks for the start of a frame, lets the walk of that format find its end, and accounts
 * for every byte.
 *
 *     handed out | not reported, gone | held
 *                ^ #reportedTo        ^ queue.start = #seekAt, or the start of the frame at hand
 *
 * While a frame is walked it is kept whole, because what looked like a frame may turn out to be none, with the true
 * next one within it. While a start is looked for nothing is kept. A stretch between two frames is reported once, when
 * its end is known; only an endless one is reported in parts, so that a person whose stream is no such stream is told.
 */
import { MiB } from "../limits.ts";
import { PieceQueue } from "./piece-queue.ts";
import type { SkipReason, Split, Splitter } from "./split.ts";
import { Gap } from "./stretch.ts";
import type { Walk } from "./walk.ts";

/** The first part of a stretch that has no end; each further part is twice as long, until there is a frame. */
const stretchBytesFirst: number = MiB;

/**
 * What may be looked at again after frames that were none: so many times the stream, and a little. A stream made of
 * starts that each claim megabytes would be walked once for every start.
 */
const retriedTimes = 8;
const retriedBytesFree: number = 16 * MiB;

/** Why bytes are skipped. */
interface Cause {
  readonly reason: SkipReason;
  readonly detail: string;
}

/** Common between the frames of some streams, so it costs no text. */
const padding: Cause = { reason: "padding", detail: "padding between images" };

export class StreamSplitter implements Splitter {
  readonly #queue = new PieceQueue();
  readonly #frameBytesMax: number;
  /** Formats that the stream may be of; one, once a whole frame was seen. */
  #walks: readonly Walk[];
  /** Of the frame at hand. */
  #walk: Walk | undefined;
  /** Everything before this position was handed out. */
  #reportedTo = 0;
  /** No frame starts from `#reportedTo` to here. */
  #seekAt = 0;
  /** Undefined: what is skipped just lies between frames, and `#gap` says what it is. */
  #cause: Cause | undefined;
  #gap = new Gap();
  #stretchBytesMax = stretchBytesFirst;
  #retriedBytes = 0;

  constructor(walks: readonly Walk[], frameBytesMax: number) {
    this.#walks = walks;
    this.#frameBytesMax = frameBytesMax;
  }

  get heldBytes(): number {
    return this.#queue.end - this.#queue.start;
  }

  push(piece: Uint8Array): void {
    this.#queue.push(piece);
  }

  end(): void {
    this.#queue.finish();
  }

  next(): Split | undefined {
    const queue = this.#queue;
    for (;;) {
      const walk = this.#walk ?? this.#findStart();
      const skipped = this.#takeSkipped();
      if (skipped !== undefined || walk === undefined) return skipped;
      const step = walk.advance(queue);
      const frameBytes = walk.at - this.#seekAt + (walk.prefix?.length ?? 0);
      if (step === "damaged" || step === "truncated") {
        this.#giveUp(walk, step, walk.detail);
      } else if (step === "preamble") {
        this.#goBehind(walk);
      } else if (frameBytes > this.#frameBytesMax) {
        this.#giveUp(walk, "too-large", `more than ${this.#frameBytesMax} bytes`);
      } else if (step === "whole") {
        return this.#takeFrame(walk);
      } else if (queue.ended) {
        this.#giveUp(walk, "truncated", "the stream ends before its end");
      } else {
        return undefined;
      }
    }
  }

  /** Goes to the next start of a frame. Undefined: it is not here yet. */
  #findStart(): Walk | undefined {
    const queue = this.#queue;
    queue.discard(this.#seekAt);
    if (this.#seekAt === queue.end) return undefined;
    let at = queue.end;
    let startBytes = 0;
    let found: Walk | undefined;
    for (const walk of this.#walks) {
      if (walk.starts.length === 0) return this.#begin(walk, this.#seekAt);
      for (const start of walk.starts) {
        const startAt = queue.find(start, this.#seekAt, at);
        if (startAt === at) continue;
        at = startAt;
        startBytes = start.length;
        found = walk;
      }
    }
    for (const view of queue.views(this.#seekAt, at)) this.#gap.add(view);
    queue.discard(at);
    this.#seekAt = at;
    // Only the beginning of the start may be here.
    return found === undefined || at + startBytes > queue.end ? undefined : this.#begin(found, at);
  }

  #begin(walk: Walk, at: number): Walk {
    walk.begin(at);
    this.#walk = walk;
    return walk;
  }

  /** The stretch before the frame at hand, or one that is long enough, or the last. */
  #takeSkipped(): Split | undefined {
    const bytes = this.#seekAt - this.#reportedTo;
    const endless = this.#cause?.reason !== "too-large" && bytes >= this.#stretchBytesMax;
    const atEnd = this.#queue.ended && this.#seekAt === this.#queue.end;
    if (bytes === 0 || (this.#walk === undefined && !endless && !atEnd)) return undefined;
    const { reason, detail } = this.#cause ?? this.#judgeGap();
    if (this.#walk === undefined) this.#stretchBytesMax *= 2;
    this.#reportedTo = this.#seekAt;
    this.#cause = undefined;
    this.#gap = new Gap();
    return { kind: "skipped", bytes, reason, detail };
  }

  #judgeGap(): Cause {
    if (this.#gap.plain && this.#walks.some((walk) => walk.padded)) return padding;
    const names = this.#walks.map((walk) => walk.name).join(" or ");
    const detail = `no ${names} begins in what is at byte ${this.#reportedTo}: ${this.#gap.beginning()}`;
    return { reason: "garbage", detail };
  }

  /** Skips the frame at hand up to the next start. */
  #giveUp(walk: Walk, reason: SkipReason, detail: string): void {
    this.#cause = { reason, detail: `the ${walk.name} at byte ${this.#seekAt}: ${detail}` };
    this.#walk = undefined;
    const { end } = this.#queue;
    const walkedTo = Math.min(walk.at, end);
    const resumeAt = Math.min(walk.resumeAt, end);
    const retried = this.#retriedBytes + Math.max(0, walkedTo - resumeAt);
    const affordable = retried <= retriedTimes * end + retriedBytesFree;
    this.#seekAt = affordable ? resumeAt : walkedTo;
    if (affordable) this.#retriedBytes = retried;
  }

  #takeFrame(walk: Walk): Split {
    const pieces = this.#queue.views(this.#seekAt, walk.at);
    let bytes = walk.at - this.#seekAt;
    if (walk.prefix !== undefined) {
      pieces.unshift(walk.prefix);
      bytes += walk.prefix.length;
    }
    this.#goBehind(walk);
    if (this.#walks.length > 1) this.#walks = [walk];
    this.#stretchBytesMax = stretchBytesFirst;
    return { kind: "frame", pieces, bytes, extension: walk.extension };
  }

  /** What the walk went over is done with. */
  #goBehind(walk: Walk): void {
    this.#queue.discard(walk.at);
    this.#seekAt = walk.at;
    this.#reportedTo = walk.at;
    this.#walk = undefined;
  }
}
