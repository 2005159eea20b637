/**
 * Where the frames of a stream are kept until they are settled: in memory, or in a spool on disk. A stream cannot be
 * read twice, so a frame is kept for as long as the receiver may want it again.
 */
import type { FrameEntry } from "../../frame.ts";
import type { OpenedFrame } from "../../ports.ts";

export interface Leftovers {
  /** The oldest first. */
  readonly frames: readonly FrameEntry[];
  /** Frames that a power loss left incomplete. */
  readonly broken: number;
}

export interface FrameStore {
  /** What an earlier run left. */
  readonly leftovers: Leftovers;
  /**
   * Keeps a frame, and then its pieces are the store's alone; or there is no room for it, which older ones could make.
   * Throws SourceError: it cannot be kept.
   */
  put(entry: FrameEntry, pieces: readonly Uint8Array[]): "kept" | "full";
  /** Throws SourceError. */
  open(entry: FrameEntry): OpenedFrame;
  /** Forgets a frame; an open one can be read to its end. False: its room is not free; the store has said why. */
  remove(entry: FrameEntry): boolean;
  /** The receiver will not take this frame. A spool leaves it to whoever looks, and does not send it again. */
  setAside(entry: FrameEntry): void;
  /** Releases what is shared with other processes. Open frames can still be read. */
  close(): void;
}
