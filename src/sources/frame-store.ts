/**
 * Where the frames of a stream are kept until they are settled: in memory, or in a spool on disk. A stream cannot be
 * read twice, so a frame is kept for as long as the receiver may want it again.
 */
import type { FrameEntry } from "../frame.ts";
import type { OpenedFrame } from "../ports.ts";

export interface FrameStore {
  /** What an earlier run left, the oldest first. Called once, before anything else. */
  leftovers(): FrameEntry[];
  /** Keeps a frame. Throws SourceError: it cannot; nothing is left of it. */
  put(entry: FrameEntry, pieces: readonly Uint8Array[]): void;
  /** Throws SourceError. */
  open(entry: FrameEntry): OpenedFrame;
  /** Forgets a frame. An open one can be read to its end. */
  remove(entry: FrameEntry): void;
}
