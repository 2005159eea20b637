/** Frames of a fixed size, as `-f rawvideo` writes them. Nothing marks a boundary, so a lost byte cannot be noticed. */
import { noFields } from "./part-head.ts";
import { PieceQueue } from "./piece-queue.ts";
import type { Split, Splitter } from "./split.ts";

export class RawSplitter implements Splitter {
  readonly dueMs = undefined;
  readonly #queue = new PieceQueue();
  readonly #frameBytes: number;

  constructor(frameBytes: number) {
    this.#frameBytes = frameBytes;
  }

  get heldBytes(): number {
    return this.#queue.end - this.#queue.start;
  }

  push(piece: Uint8Array, nowMs: number): void {
    this.#queue.push(piece, nowMs);
  }

  end(): void {
    this.#queue.finish();
  }

  next(): Split | undefined {
    const queue = this.#queue;
    const at = queue.start;
    const end = at + this.#frameBytes;
    if (end <= queue.end) {
      const arrivedMs = queue.arrivedMsAt(end - 1);
      const pieces = queue.views(at, end);
      queue.discard(end);
      const bytes = this.#frameBytes;
      return {
        kind: "frame",
        pieces,
        bytes,
        extension: "raw",
        notes: 0,
        arrivedMs,
        headerTimeNs: undefined,
        headerFields: noFields,
      };
    }
    const bytes = queue.end - at;
    if (!queue.ended || bytes === 0) return undefined;
    queue.discard(queue.end);
    const detail = `the raw frame at byte ${at}: the stream ends before its end`;
    return { kind: "stretch", at, bytes, of: "cut", loss: true, describe: () => detail };
  }
}
