/**
 * A destination that is shown the frames beside those that keep them: a player on standard output, while a directory
 * keeps everything. It is never waited for: when it is slower than the frames come, some are left out, which is said;
 * when its reader has gone, the others go on.
 */
import { SinkError } from "../../errors.ts";
import type { ViewEvent } from "../../events.ts";
import type { Frame } from "../../frame.ts";
import { MiB } from "../../limits.ts";
import type { FrameWriter, Sink } from "../../ports.ts";

/** What may wait for it, and one frame more, of any size: large ones wait in temporary files. */
const waitingBytesMax: number = 16 * MiB;
const waitingFramesMax = 256;
/**
 * Once behind, it is shown nothing until no more than this share of that waits: else a reader that is a little too slow
 * would lack every other frame, and each of them would be said.
 */
const caughtUpShare = 0.5;

/** A frame that is shown, or as much of it as the view takes. Never throws. */
export interface ShownFrame {
  write(view: Uint8Array): void;
  finish(crc32: number): void;
  abort(): void;
}

export class View {
  readonly #sink: Sink;
  readonly #onEvent: (event: ViewEvent) => void;
  #skippedFrames = 0;
  #committing = false;
  #ended = false;
  /** Called when nothing waits for it any more. */
  #onIdle: (() => void) | undefined;

  /** Owns the sink. */
  constructor(sink: Sink, onEvent: (event: ViewEvent) => void) {
    this.#sink = sink;
    this.#onEvent = onEvent;
  }

  get place(): string {
    return this.#sink.place;
  }

  /** Undefined: this frame is left out. */
  open(frame: Frame): ShownFrame | undefined {
    if (this.#ended) return undefined;
    const writer = this.#begin(frame);
    if (writer === undefined) return this.#leaveOut();
    if (this.#skippedFrames > 0) {
      this.#onEvent({ event: "view-resumed", place: this.place, skippedFrames: this.#skippedFrames });
      this.#skippedFrames = 0;
    }
    return this.#shown(writer);
  }

  #leaveOut(): undefined {
    if (this.#ended) return;
    this.#skippedFrames += 1;
    if (this.#skippedFrames === 1) this.#onEvent({ event: "view-behind", place: this.place });
  }

  #begin(frame: Frame): FrameWriter | undefined {
    const { stagedFrames, stagedBytes } = this.#sink;
    const share = this.#skippedFrames > 0 ? caughtUpShare : 1;
    if (stagedFrames >= share * waitingFramesMax) return undefined;
    if (stagedBytes > share * waitingBytesMax) return undefined;
    try {
      if (this.#sink.ready(frame.bytes) !== undefined) return undefined;
      const writer = this.#sink.open(frame);
      // What no sink takes is said by those that keep frames.
      return typeof writer === "string" ? undefined : writer;
    } catch {
      // It is asked again with the next frame.
      return undefined;
    }
  }

  #shown(writer: FrameWriter): ShownFrame {
    let broken = false;
    const attempt = (step: () => void): void => {
      if (broken || this.#ended) return;
      try {
        step();
      } catch {
        broken = true;
        writer.abort();
        this.#leaveOut();
      }
    };
    return {
      write: (view) => attempt(() => writer.write(view)),
      finish: (crc32) => {
        attempt(() => {
          writer.finish(crc32, (result) => {
            const failed = result instanceof SinkError && (result.retryable || result.scope === "frame");
            if (failed || result === "format") this.#leaveOut();
          });
        });
        this.#commit();
      },
      abort: () => writer.abort(),
    };
  }

  #commit(): void {
    if (this.#committing || this.#ended || this.#sink.stagedFrames === 0) return;
    this.#committing = true;
    this.#sink.commit((failure) => {
      this.#committing = false;
      if (failure !== undefined && !failure.retryable) this.end(failure.message);
      else this.#commit();
      if (this.#idle) this.#onIdle?.();
    });
  }

  get #idle(): boolean {
    return this.#ended || (!this.#committing && this.#sink.stagedFrames === 0);
  }

  /** No frames come any more: `done` is called, once, when it was shown those that it took. */
  drain(done: () => void): void {
    this.#onIdle = () => {
      this.#onIdle = undefined;
      done();
    };
    this.#commit();
    if (this.#idle) this.#onIdle();
  }

  /** Frames that were never shown, whether it had taken them or not. Said at the end, if there are any. */
  #reportUnshown(): void {
    const frames = this.#skippedFrames + this.#sink.stagedFrames;
    if (frames === 0) return;
    this.#onEvent({ event: "view-ended", place: this.place, reason: `not shown at its end: ${frames} of the frames` });
  }

  /** Nothing is shown any more. */
  end(reason: string): void {
    if (this.#ended) return;
    this.#onEvent({ event: "view-ended", place: this.place, reason });
    this.#ended = true;
    this.dispose();
  }

  dispose(): void {
    if (!this.#ended) this.#reportUnshown();
    this.#ended = true;
    this.#sink.dispose();
    this.#onIdle?.();
  }
}
