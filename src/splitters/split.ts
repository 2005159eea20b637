/** What goes into a splitter and what comes out: types only, so that the splitters and `splitter.ts` can share them. */
import type { Metadata } from "../frame.ts";

/** How a stream is cut into frames, as said by `--format`. */
export type StreamFormat =
  /** Every format that can be told by its start, in any order. */
  | { readonly kind: "auto" }
  | { readonly kind: PictureFormat }
  /** Frames of exactly `bytes` bytes (at least 1) behind each other. */
  | { readonly kind: "raw"; readonly bytes: number };

export type PictureFormat = "jpeg" | "png" | "y4m" | "pnm" | "bmp";

export type Extension = "jpg" | "png" | "y4m" | "pgm" | "ppm" | "bmp" | "raw";

/** STREAMS.md section 3. */
export type StretchKind = "padding" | "multipart" | "other" | LossKind;
export type LossKind = "cut" | "damaged" | "too-large" | "foreign";

export interface SplitFrame {
  readonly kind: "frame";
  /** Behind each other they are the frame, `bytes` in all. They are the holder's for good. */
  readonly pieces: readonly Uint8Array[];
  readonly bytes: number;
  readonly extension: Extension;
  /** Bits of `Note`. */
  readonly notes: number;
  /** When its last byte came, by the time that was given with it. */
  readonly arrivedMs: number;
  /** `X-Timestamp` of its part's head. */
  readonly headerTimeNs: bigint | undefined;
  /** What else stands in it, but for what describes the part itself: pairs of metadata. */
  readonly headerFields: Metadata;
}

/** Bytes that are in no frame. */
export interface SplitStretch {
  readonly kind: "stretch";
  /** Position in the stream. */
  readonly at: number;
  readonly bytes: number;
  readonly of: StretchKind;
  /** A picture was in it. Of a stretch that comes in parts only the first is a loss. */
  readonly loss: boolean;
  /** A line for a person; positions in it count from the first byte of the stream. Costs nothing if it is not said. */
  readonly describe: () => string;
}

export type Split = SplitFrame | SplitStretch;

/**
 * Bytes in, frames out:
 *
 *     push(piece, nowMs), then next(nowMs) until undefined, and again; at last end(), and next until undefined
 *
 * Every byte that was pushed comes out once, in a frame or in a stretch, in stream order. The one exception is the
 * header of a y4m stream: it is in every frame of that stream. Where the pieces are cut makes no difference, but for
 * where an endless stretch is parted. Nothing that is pushed makes it throw.
 */
export interface Splitter {
  /** Takes ownership of `piece`: frames are views of it. Only pieces of under 512 bytes that wait may be copied. */
  push(piece: Uint8Array, nowMs: number): void;
  /** There is no more. */
  end(): void;
  next(nowMs: number): Split | undefined;
  /** When `next` may give something without another piece: a length that silence will prove. */
  readonly dueMs: number | undefined;
  /**
   * Bytes in memory: pushed, not handed out, and not known to be in no frame. After `next` gave undefined these are at
   * most `frameBytesMax` and the few that are looked at together, so one more piece is all that comes on top.
   */
  readonly heldBytes: number;
}
