/** `/dev/null`: takes every frame, keeps none. For measuring everything but the disk. */
import { assert, type SinkError } from "../../errors.ts";
import type { Frame, FrameEntry, Gap, Origin, RefusalReason, SourceEnd, Verdict } from "../../frame.ts";
import type { FrameWriter, Settle, Sink } from "../../ports.ts";
import { CommitQueue } from "../store/commit-queue.ts";
import { refusalOf } from "../store/duplicates.ts";

export class NullSink implements Sink {
  readonly place = "/dev/null";
  readonly #frameBytesMax: number;
  readonly #queue = new CommitQueue();

  constructor(options: { readonly frameBytesMax: number }) {
    this.#frameBytesMax = options.frameBytesMax;
  }

  get stagedFrames(): number {
    return this.#queue.count;
  }

  get stagedBytes(): number {
    return this.#queue.bytes;
  }

  lookup(origin: Origin, entries: readonly FrameEntry[]): Verdict[] {
    return entries.map((entry) => {
      const reason = refusalOf(origin, entry, this.#frameBytesMax);
      return reason === undefined ? { kind: "want" } : { kind: "refuse", reason };
    });
  }

  open(frame: Frame): FrameWriter | RefusalReason {
    const reason = refusalOf(frame.origin, frame, this.#frameBytesMax);
    if (reason !== undefined) return reason;
    let bytes = 0;
    return {
      write: (view) => {
        bytes += view.byteLength;
      },
      finish: (_crc32, done) => {
        assert(bytes === frame.bytes, "a finished frame has all its bytes");
        this.#queue.stage(bytes, () => "stored", done);
      },
      abort: () => {},
    };
  }

  gap(_gap: Gap, done: Settle): void {
    this.#queue.stage(0, () => "recorded", done);
  }

  end(_end: SourceEnd, done: Settle): void {
    this.#queue.stage(0, () => "recorded", done);
  }

  commit(done: (failure: SinkError | undefined) => void): void {
    this.#queue.commit(undefined, done);
  }

  ready(): undefined {
    return undefined;
  }

  dispose(): void {
    this.#queue.clear();
  }
}
