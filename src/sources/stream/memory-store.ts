/** Keeps the frames of a stream in memory, as the views that the splitter made. */
import { SourceError } from "../../errors.ts";
import type { FrameEntry } from "../../frame.ts";
import type { OpenedFrame } from "../../ports.ts";
import type { FrameStore, Leftovers } from "./frame-store.ts";

export class MemoryStore implements FrameStore {
  readonly #pieces = new Map<string, readonly Uint8Array[]>();

  readonly leftovers: Leftovers = { frames: [], broken: 0 };

  put(entry: FrameEntry, pieces: readonly Uint8Array[]): "kept" {
    // A view keeps all of its piece of the stream alive: a small frame that was alone in it would take 64 KiB.
    let pinnedBytes = 0;
    for (const [at, { buffer }] of pieces.entries())
      if (buffer !== pieces[at - 1]?.buffer) pinnedBytes += buffer.byteLength;
    this.#pieces.set(entry.name, pinnedBytes > 2 * entry.bytes ? [Buffer.concat(pieces, entry.bytes)] : pieces);
    return "kept";
  }

  open(entry: FrameEntry): OpenedFrame {
    const pieces = this.#pieces.get(entry.name);
    if (pieces === undefined) throw new SourceError("vanished", "no longer kept");
    return new PiecesReader(entry.bytes, pieces);
  }

  remove(entry: FrameEntry): boolean {
    this.#pieces.delete(entry.name);
    return true;
  }

  setAside(entry: FrameEntry): void {
    this.#pieces.delete(entry.name);
  }

  close(): void {
    // Nobody else knows this memory.
  }
}

class PiecesReader implements OpenedFrame {
  readonly bytes: number;
  readonly #pieces: readonly Uint8Array[];
  #piece = 0;
  /** In the current piece. */
  #at = 0;

  constructor(bytes: number, pieces: readonly Uint8Array[]) {
    this.bytes = bytes;
    this.#pieces = pieces;
  }

  read(into: Uint8Array): number {
    let filled = 0;
    for (let piece = this.#pieces[this.#piece]; piece !== undefined && filled < into.length;) {
      const part = piece.subarray(this.#at, this.#at + into.length - filled);
      into.set(part, filled);
      filled += part.length;
      this.#at += part.length;
      if (this.#at === piece.length) {
        piece = this.#pieces[++this.#piece];
        this.#at = 0;
      }
    }
    return filled;
  }

  close(): void {
    // The pieces belong to the store.
  }
}
