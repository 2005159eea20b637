/** Keeps frames in memory, by the same rules as a directory. For tests: what it does is plain to see. */
import { assert, type SinkError } from "../../errors.ts";
import type {
  Frame,
  FrameEntry,
  Gap,
  Origin,
  Outcome,
  RefusalReason,
  SourceEnd,
  StoredOutcome,
  Verdict,
} from "../../frame.ts";
import type { FrameWriter, Settle, Sink } from "../../ports.ts";
import { CommitQueue } from "../store/commit-queue.ts";
import { refusalOf } from "../store/duplicates.ts";
import { Layout, layoutDefault, numberedPath } from "../store/layout.ts";

/** A frame as it was stored. */
export interface MemoryFrame {
  readonly frame: Frame;
  readonly path: string;
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly crc32: number;
}

export class MemorySink implements Sink {
  readonly place = "memory";
  /** What is stored, by path. Outlives `dispose`. */
  readonly frames: Map<string, MemoryFrame> = new Map();
  readonly gaps: Gap[] = [];
  readonly ends: SourceEnd[] = [];
  /** Set by a test: the destination is unusable, and says this. */
  failure: SinkError | undefined;
  readonly #layout = new Layout(layoutDefault);
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
      if (reason !== undefined) return { kind: "refuse", reason };
      const equal = this.#versions(origin, entry.name).filter(
        ({ frame }) => frame.bytes === entry.bytes && frame.capturedNs === entry.capturedNs,
      );
      const stored = equal.find(({ frame }) => frame.origin.session === origin.session) ?? equal[0];
      if (stored === undefined) return { kind: "want" };
      return { kind: "have", outcome: outcomeOf(stored, origin.session), crc32: stored.crc32 };
    });
  }

  open(frame: Frame): FrameWriter | RefusalReason {
    if (this.failure !== undefined) throw this.failure;
    const reason = refusalOf(frame.origin, frame, this.#frameBytesMax);
    if (reason !== undefined) return reason;
    const pieces: Uint8Array[] = [];
    return {
      write: (view) => {
        if (this.failure !== undefined) throw this.failure;
        pieces.push(view.slice());
      },
      finish: (crc32, done) => {
        const bytes = Buffer.concat(pieces);
        assert(bytes.byteLength === frame.bytes, "a finished frame has all its bytes");
        this.#queue.stage(bytes.byteLength, () => this.#store(frame, bytes, crc32), done);
      },
      abort: () => {},
    };
  }

  gap(gap: Gap, done: Settle): void {
    const store = (): Outcome => {
      this.gaps.push(gap);
      return "recorded";
    };
    this.#queue.stage(0, store, done);
  }

  end(end: SourceEnd, done: Settle): void {
    const store = (): Outcome => {
      this.ends.push(end);
      return "recorded";
    };
    this.#queue.stage(0, store, done);
  }

  commit(done: (failure: SinkError | undefined) => void): void {
    this.#queue.commit(this.failure, done);
  }

  ready(): SinkError | undefined {
    return this.failure;
  }

  dispose(): void {
    this.#queue.clear();
  }

  #versions({ device, source }: Origin, name: string): MemoryFrame[] {
    return [...this.frames.values()].filter(
      ({ frame }) => frame.origin.device === device && frame.origin.source === source && frame.name === name,
    );
  }

  #store(frame: Frame, bytes: Uint8Array, crc32: number): Outcome | RefusalReason {
    const same = this.#versions(frame.origin, frame.name).find(
      (stored) => stored.frame.bytes === frame.bytes && stored.crc32 === crc32,
    );
    if (same !== undefined) return outcomeOf(same, frame.origin.session);
    const own = this.#layout.pathOf(frame);
    if (own === undefined) return "name";
    let number = 1;
    while (this.frames.has(numberedPath(own, number))) number += 1;
    const path = numberedPath(own, number);
    this.frames.set(path, { frame, path, number, bytes, crc32 });
    return number === 1 ? "stored" : "conflict";
  }
}

function outcomeOf(stored: MemoryFrame, asking: string): StoredOutcome {
  if (stored.frame.origin.session !== asking) return "already";
  return stored.number === 1 ? "stored" : "conflict";
}
