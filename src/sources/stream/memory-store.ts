/**
 * Keeps the frames of a stream in memory, as the views that the splitter made. What is no longer kept is given back at
 * once, not left to the collector: a large frame must not wait there while the next one comes in.
 */
import { SourceError } from "../../errors.ts";
import type { FrameEntry } from "../../frame.ts";
import type { OpenedFrame } from "../../ports.ts";
import type { FrameStore, Leftovers } from "./frame-store.ts";
import { giveBack } from "./pieces.ts";

export class MemoryStore implements FrameStore {
  readonly #frames = new Map<string, KeptFrame>();

  readonly leftovers: Leftovers = { frames: [], broken: 0 };

  put(entry: FrameEntry, pieces: readonly Uint8Array[]): "kept" {
    // A view keeps all of its piece of the stream alive: a small frame that was alone in it would take 64 KiB.
    let pinnedBytes = 0;
    for (const [at, { buffer }] of pieces.entries())
      if (buffer !== pieces[at - 1]?.buffer) pinnedBytes += buffer.byteLength;
    const kept = pinnedBytes > 2 * entry.bytes ? [Buffer.concat(pieces, entry.bytes)] : pieces;
    this.#frames.set(entry.name, new KeptFrame(kept));
    return "kept";
  }

  open(entry: FrameEntry): OpenedFrame {
    const frame = this.#frames.get(entry.name);
    if (frame === undefined) throw new SourceError("vanished", "no longer kept");
    return new PiecesReader(entry.bytes, frame);
  }

  remove(entry: FrameEntry): boolean {
    this.#frames.get(entry.name)?.remove();
    this.#frames.delete(entry.name);
    return true;
  }

  setAside(entry: FrameEntry): void {
    this.remove(entry);
  }

  close(): void {
    // Nobody else knows this memory.
  }
}

class KeptFrame {
  readonly pieces: readonly Uint8Array[];
  #readers = 0;
  #removed = false;

  constructor(pieces: readonly Uint8Array[]) {
    this.pieces = pieces;
  }

  open(): void {
    this.#readers++;
  }

  close(): void {
    this.#readers--;
    this.#giveBack();
  }

  remove(): void {
    this.#removed = true;
    this.#giveBack();
  }

  #giveBack(): void {
    if (this.#removed && this.#readers === 0) giveBack(this.pieces);
  }
}

class PiecesReader implements OpenedFrame {
  readonly bytes: number;
  readonly #frame: KeptFrame;
  #open = true;
  #piece = 0;
  /** In the current piece. */
  #at = 0;

  constructor(bytes: number, frame: KeptFrame) {
    this.bytes = bytes;
    this.#frame = frame;
    frame.open();
  }

  read(into: Uint8Array): number {
    const { pieces } = this.#frame;
    let filled = 0;
    for (let piece = pieces[this.#piece]; piece !== undefined && filled < into.length;) {
      const part = piece.subarray(this.#at, this.#at + into.length - filled);
      into.set(part, filled);
      filled += part.length;
      this.#at += part.length;
      if (this.#at === piece.length) {
        piece = pieces[++this.#piece];
        this.#at = 0;
      }
    }
    return filled;
  }

  close(): void {
    if (this.#open) this.#frame.close();
    this.#open = false;
  }
}
