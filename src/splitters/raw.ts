/** Frames of a fixed size, as `-f rawvideo` writes them. Nothing marks a boundary, so a lost byte cannot be noticed. */
import type { PieceQueue } from "./piece-queue.ts";
import type { Step, Walk } from "./walk.ts";

export class RawWalk implements Walk {
  readonly name = "raw frame";
  readonly extension = "raw";
  readonly padded = false;
  readonly starts: readonly Uint8Array[] = [];
  readonly prefix = undefined;
  readonly detail = "";
  at = 0;
  readonly #frameBytes: number;

  constructor(frameBytes: number) {
    this.#frameBytes = frameBytes;
  }

  get resumeAt(): number {
    return this.at;
  }

  begin(at: number): void {
    this.at = at + this.#frameBytes;
  }

  advance(bytes: PieceQueue): Step {
    return this.at <= bytes.end ? "whole" : "more";
  }
}
