/** What the engine asks of a format: how a frame may begin, and where the one at hand ends. */
import type { PieceQueue } from "./piece-queue.ts";
import type { Extension, LossKind } from "./split.ts";

/**
 * - `more`: what is here does not tell
 * - `whole`: the frame ends before `at`, as its own end marker says
 * - `claimed`: it ends before `at`, as its header says; or there is not so much, and never will be
 * - `open`: it ends before `at` without an end marker, if a start follows, or nothing
 * - `none`: it is no frame; `detail` says why, and `began` whether one is lost
 * - `foreign`: a picture begins that cannot be split
 */
export type Step = "more" | "whole" | "claimed" | "open" | "none" | "foreign";

/** Whether a picture begins at a place. */
export type Glance = "yes" | "no" | "more";

/** How a start is found: `bytes`, which stand `offset` bytes behind it. */
export interface Pattern {
  readonly bytes: Uint8Array;
  readonly offset: number;
}

/** From one position to before another. */
export interface Region {
  readonly from: number;
  readonly to: number;
}

const noRegions: readonly Region[] = [];

/**
 * Walks along one frame at a time. It keeps positions in the stream and never bytes, so it can stop anywhere and go on
 * when more is here; what it has gone over it does not look at again.
 *
 * `to` is the end of what may be looked at. `final`: nothing behind it belongs to the frame; then `more` is no answer.
 */
export interface Walk {
  /** For messages. */
  readonly name: string;
  readonly extension: Extension;
  readonly patterns: readonly Pattern[];
  /** Goes before the bytes of the frame when it is handed out. */
  readonly prefix: Uint8Array | undefined;
  /** How far the frame reaches: what has been walked, or what it claims, which may not be here yet. */
  readonly at: number;
  /** If this is no frame: from where the next start is to be looked for. Before it nothing is claimed, but known. */
  readonly resumeAt: number;
  /** If this is no frame: one was there, and is lost. */
  readonly began: boolean;
  readonly loss: LossKind;
  readonly detail: string;
  readonly notes: number;
  /** Where data begins that is looked through for an end, not counted; another picture may begin in it. */
  readonly dataAt: number | undefined;
  /** There is something in this data that does not belong there. */
  readonly suspect: boolean;
  /** Out of step: starts in what it waits for are to be followed as well. */
  readonly doubtful: boolean;
  /** Data that was skipped by a length that proved false: it may hold the next pictures, or thumbnails. */
  readonly falseClaim: Region | undefined;
  /** Stray bytes that were passed over: another picture may begin in them. */
  readonly skipped: readonly Region[];
  /** Lengths from `resumeAt` that the header leaves open, if its claim is false. */
  readonly openLengths: readonly number[];
  /** Every decoder shows the picture that the header claims, whatever follows it. */
  readonly certain: boolean;
  /** A good look at a place where a pattern was found, or could be. */
  glance(bytes: PieceQueue, at: number, to: number, final: boolean): Glance;
  /** A pattern was found for this position. */
  begin(at: number): void;
  /** Goes on. May be called again after `more` only. */
  advance(bytes: PieceQueue, to: number, final: boolean): Step;
  /** The frame was `length` long, one of `openLengths`. */
  learn(length: number): void;
  /** Another picture begins at `at`, in this one's data: it has no end. False: nor has it a picture before. */
  endBefore(at: number): boolean;
  /** What follows `at` does not prove an open end: goes back to where it may be as well. False: nowhere. */
  retreat(bytes: PieceQueue): boolean;
  /** Another walk that knows what this one has learnt of the stream. */
  another(): Walk;
}

/** What most formats have in common. */
export abstract class BasicWalk implements Walk {
  abstract readonly name: string;
  abstract readonly extension: Extension;
  abstract readonly patterns: readonly Pattern[];
  prefix: Uint8Array | undefined = undefined;
  at = 0;
  resumeAt = 0;
  began = false;
  loss: LossKind = "damaged";
  detail = "";
  notes = 0;
  dataAt: number | undefined = undefined;
  suspect = false;
  doubtful = false;
  falseClaim: Region | undefined = undefined;
  skipped: readonly Region[] = noRegions;
  openLengths: readonly number[] = [];
  certain = false;

  begin(at: number): void {
    this.at = at;
    this.resumeAt = at + 1;
    this.began = false;
    this.loss = "damaged";
    this.detail = "";
    this.notes = 0;
    this.dataAt = undefined;
    this.suspect = false;
    this.doubtful = false;
    this.falseClaim = undefined;
    this.skipped = noRegions;
    this.openLengths = [];
    this.certain = false;
  }

  abstract glance(bytes: PieceQueue, at: number, to: number, final: boolean): Glance;
  abstract advance(bytes: PieceQueue, to: number, final: boolean): Step;
  abstract another(): Walk;

  learn(_length: number): void {
    // Nothing of this frame tells about the next.
  }

  endBefore(_at: number): boolean {
    return false;
  }

  retreat(_bytes: PieceQueue): boolean {
    return false;
  }

  protected none(detail: string, loss: LossKind = "damaged"): "none" {
    this.detail = detail;
    this.loss = loss;
    return "none";
  }

  /** More is needed, and there will be none. */
  protected wait(final: boolean): "more" | "none" {
    return final ? this.none("the stream ends before its end", "cut") : "more";
  }
}
