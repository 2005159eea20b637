/** What the engine asks of a format: how a frame may begin, and where the one at hand ends. */
import type { PieceQueue } from "./piece-queue.ts";
import type { Extension } from "./split.ts";

/**
 * - `more`: what is here does not tell
 * - `whole`: the frame ends before `at`
 * - `preamble`: what ends before `at` is no frame, but the walk has learnt from it
 * - `truncated`, `damaged`: it is no frame; `detail` says why
 */
export type Step = "more" | "whole" | "preamble" | "truncated" | "damaged";

/**
 * Walks along one frame at a time. It keeps positions in the stream and never bytes, so it can stop anywhere and go on
 * when more is here; what it has gone over it does not look at again.
 */
export interface Walk {
  /** For messages. */
  readonly name: string;
  readonly extension: Extension;
  /** What a frame or a preamble may begin with, the likeliest first. None: a frame begins wherever one may. */
  readonly starts: readonly Uint8Array[];
  /** Streams of this format may hold padding between frames; where they may not, it is the rest of a broken frame. */
  readonly padded: boolean;
  /** Goes before every frame that is handed out. */
  readonly prefix: Uint8Array | undefined;
  /** How far the frame reaches: what has been walked, or what it claims, which may not be here yet. */
  readonly at: number;
  /** If this is no frame: from where the next start is to be looked for. */
  readonly resumeAt: number;
  readonly detail: string;
  /** One of `starts` was found at this position. */
  begin(at: number): void;
  /** Goes on. May be called again after `more` only. */
  advance(bytes: PieceQueue): Step;
}
