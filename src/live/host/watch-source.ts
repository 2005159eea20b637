/**
 * The frames of a sender, for the page: those of a stream as they come from the camera, whatever the link does, and
 * those of files as they are read.
 */
import type { FrameEntry } from "../../frame.ts";
import type { OpenedFrame, Source } from "../../ports.ts";
import type { NewestFrames, NewestSource } from "./newest-frames.ts";

/** A stream's frame, in pieces that are valid during the call. */
export function tellTaken(
  newest: NewestFrames,
  device: string,
  source: string,
  entry: FrameEntry,
  pieces: readonly Uint8Array[],
): void {
  const known = newest.named(device, source);
  if (known === undefined) return;
  const copy = newest.begin(known, entry.bytes);
  let filled = 0;
  for (const piece of copy === undefined ? [] : pieces) {
    copy?.set(piece, filled);
    filled += piece.length;
  }
  newest.taken(known, entry, copy);
}

/** From now on the page is told of frames that are read from `source`. */
export function watchReads(newest: NewestFrames, device: string, source: Source): void {
  const open = source.open.bind(source);
  source.open = (entry) => {
    const opened = open(entry);
    const known = newest.named(device, source.name);
    return known === undefined ? opened : watched(newest, known, entry, opened);
  };
}

function watched(newest: NewestFrames, source: NewestSource, entry: FrameEntry, opened: OpenedFrame): OpenedFrame {
  const { bytes } = opened;
  const copy = newest.begin(source, bytes);
  let filled = 0;
  let isOpen = true;
  return {
    bytes,
    metadata: opened.metadata,
    get notes() {
      return opened.notes;
    },
    read: (into) => {
      const count = opened.read(into);
      copy?.set(into.subarray(0, count), filled);
      filled += count;
      return count;
    },
    close: () => {
      opened.close();
      if (!isOpen) return;
      isOpen = false;
      // What was not read to its end is no picture.
      if (filled === bytes) newest.taken(source, { ...entry, bytes }, copy);
      else newest.release(copy);
    },
  };
}
