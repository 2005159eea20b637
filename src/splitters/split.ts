/** What goes into a splitter and what comes out: types only, so that the splitters and `splitter.ts` can share them. */

/** How a stream is cut into frames, as said by `--format`. */
export type StreamFormat =
  /** JPEG, PNG or y4m: the first whole frame decides for the rest of the stream. */
  | { readonly kind: "auto" }
  | { readonly kind: "jpeg" }
  | { readonly kind: "png" }
  | { readonly kind: "y4m" }
  /** Frames of exactly `bytes` bytes (at least 1) behind each other. */
  | { readonly kind: "raw"; readonly bytes: number };

export type Extension = "jpg" | "png" | "y4m" | "raw";

/**
 * Why a stretch of the stream is in no frame. All but `padding` are a loss that somebody wants to hear of.
 * - `padding`: what belongs between images and carries none: zeros, white space, a doubled end of image, the head of a
 *   multipart part (`--boundary`, `Content-type: …`)
 * - `garbage`: no frame begins in it
 * - `truncated`: a frame that ends too early, because the next one begins or the stream ends
 * - `damaged`: a frame that breaks its format's rules
 * - `too-large`: a frame of more than `frameBytesMax`
 */
export type SkipReason = "padding" | "garbage" | "truncated" | "damaged" | "too-large";

export type Split =
  /** `pieces` behind each other are the frame, `bytes` in all. They are the holder's for good. */
  | {
      readonly kind: "frame";
      readonly pieces: readonly Uint8Array[];
      readonly bytes: number;
      readonly extension: Extension;
    }
  /** `detail` is a line for a person; positions in it count from the first byte of the stream. */
  | { readonly kind: "skipped"; readonly bytes: number; readonly reason: SkipReason; readonly detail: string };

/**
 * Bytes in, frames out:
 *
 *     push(piece), then next() until undefined, and again; at last end(), and next() until undefined
 *
 * Every byte that was pushed comes out once, in a frame or in a skipped stretch, in stream order. The one exception is
 * the header of a y4m stream: it is in every frame of that stream, and nowhere else. Where the pieces are cut makes no
 * difference, but for where an endless stretch without a frame is parted. Nothing that is pushed makes it throw.
 */
export interface Splitter {
  /** Takes ownership of `piece`: frames are views of it. Only pieces of under 512 bytes that wait may be copied. */
  push(piece: Uint8Array): void;
  /** There is no more. What is incomplete will be skipped as truncated. */
  end(): void;
  next(): Split | undefined;
  /**
   * Bytes in memory: pushed, not handed out, and not known to be skipped. After `next` gave undefined these are at most
   * `frameBytesMax` and the few that are looked at together, so one more piece is all that comes on top.
   */
  readonly heldBytes: number;
}
