/** One frame on its way into a store, from its first byte until it is staged. */
import { assert, type SinkError } from "../../errors.ts";
import type { Frame } from "../../frame.ts";
import type { FrameWriter, Settle } from "../../ports.ts";
import type { Draft, StagedFrame } from "./store.ts";

/** What a sink is told by its writers. */
export interface Progress<D extends Draft> {
  failed(writer: StoreWriter<D>, error: unknown): SinkError;
  wrote(bytes: number): void;
  finished(writer: StoreWriter<D>, settle: Settle): void;
  aborted(writer: StoreWriter<D>): void;
}

/** A frame in progress; once it is finished, the item that is staged. */
export class StoreWriter<D extends Draft> implements FrameWriter, StagedFrame<D> {
  readonly kind = "frame";
  frame: Frame;
  readonly draft: D;
  crc32 = 0;
  receivedNs = 0n;
  wroteBytes = 0;
  readonly #progress: Progress<D>;
  #open = true;

  constructor(progress: Progress<D>, frame: Frame, draft: D) {
    this.#progress = progress;
    this.frame = frame;
    this.draft = draft;
  }

  write(view: Uint8Array): void {
    try {
      this.draft.write(view);
    } catch (error) {
      throw this.#progress.failed(this, error);
    }
    this.wroteBytes += view.byteLength;
    this.#progress.wrote(view.byteLength);
  }

  goOn(frame: Frame): void {
    assert(this.#open && frame.bytes === this.frame.bytes, "a frame that goes on is the same frame");
    this.frame = frame;
  }

  finish(crc32: number, done: Settle): void {
    assert(this.#open, "a writer finishes once");
    assert(this.draft.bytes === this.frame.bytes, "a finished frame has all its bytes");
    this.#open = false;
    this.crc32 = crc32;
    this.#progress.finished(this, done);
  }

  abort(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#progress.aborted(this);
    this.draft.discard();
  }
}
