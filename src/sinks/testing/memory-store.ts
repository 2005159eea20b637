/** Keeps frames in memory, by the same rules as a directory. For tests: what it does is plain to see. */
import type { SinkError } from "../../errors.ts";
import type { Frame, FrameEntry, Gap, Origin, SourceEnd, StoredOutcome, Stretch, Verdict } from "../../frame.ts";
import { rowBytes } from "../../limits.ts";
import { outcomeOf } from "../store/duplicates.ts";
import { Layout, layoutDefault } from "../store/layout.ts";
import { numberedPath } from "../store/numbered-path.ts";
import type { Draft, Result, StagedFrame, StagedItem, Store, StoreTraits } from "../store/store.ts";

/** A frame as it was stored. */
export interface MemoryFrame {
  readonly frame: Frame;
  readonly path: string;
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly crc32: number;
}

class Pieces implements Draft {
  readonly views: Uint8Array[] = [];
  readonly #store: MemoryStore;
  bytes = 0;

  constructor(store: MemoryStore) {
    this.#store = store;
  }

  write(view: Uint8Array): void {
    if (this.#store.failure !== undefined) throw this.#store.failure;
    this.views.push(view.slice());
    this.bytes += view.byteLength;
  }

  discard(): void {}
}

export class MemoryStore implements Store<Pieces> {
  readonly place = "memory";
  readonly traits: StoreTraits;
  /** What is stored, by path. Outlives `close`. */
  readonly frames: Map<string, MemoryFrame> = new Map();
  readonly gaps: Gap[] = [];
  readonly stretches: Stretch[] = [];
  readonly ends: SourceEnd[] = [];
  /** Set by a test: the destination is unusable, and says this. */
  failure: SinkError | undefined;
  /** Set by a test: what storing a frame fails with, for a fault of its path or for one of its own. */
  pathFault: ((frame: Frame) => Error | undefined) | undefined;
  frameFault: ((frame: Frame) => Error | undefined) | undefined;
  readonly #layout = new Layout(layoutDefault);

  constructor(traits: StoreTraits = {}) {
    this.traits = traits;
  }

  lookup(origin: Origin, entries: readonly FrameEntry[], firstSequence?: number): Verdict[] {
    return entries.map((entry, index) => {
      const sequence = firstSequence === undefined ? undefined : firstSequence + index;
      const equal = this.#versions(origin, entry.name).filter(
        ({ frame }) => frame.bytes === entry.bytes && frame.capturedNs === entry.capturedNs,
      );
      const stored = equal.findLast(({ frame }) => frame.origin.session === origin.session) ?? equal.at(-1);
      if (stored === undefined) return { kind: "want" };
      return { kind: "have", outcome: outcomeFor(stored, { session: origin.session, sequence }), crc32: stored.crc32 };
    });
  }

  begin(): Pieces {
    if (this.failure !== undefined) throw this.failure;
    return new Pieces(this);
  }

  commit(items: readonly StagedItem<Pieces>[]): Result[] {
    if (this.failure !== undefined) throw this.failure;
    // All or nothing, as in any store.
    for (const item of items) if (item.kind === "frame") this.#refuseFaulty(item.frame);
    return items.map((item) => {
      if (item.kind === "frame") return this.#put(item);
      if (item.kind === "gap") this.gaps.push(item.gap);
      else if (item.kind === "stretch") this.stretches.push(item.stretch);
      else this.ends.push(item.end);
      return "recorded";
    });
  }

  #refuseFaulty(frame: Frame): void {
    const fault = this.pathFault?.(frame) ?? this.frameFault?.(frame);
    if (fault !== undefined) throw fault;
  }

  probe(frame: Frame): void {
    const fault = this.pathFault?.(frame);
    if (fault !== undefined) throw fault;
  }

  placeOf(frame: Frame): string {
    return `memory/${this.#layout.pathOf(frame)}`;
  }

  #put({ frame, draft, crc32 }: StagedFrame<Pieces>): Result {
    const same = this.#versions(frame.origin, frame.name).find(
      (stored) => stored.frame.bytes === frame.bytes && stored.crc32 === crc32,
    );
    if (same !== undefined) return outcomeFor(same, { session: frame.origin.session, sequence: frame.sequence });
    const own = this.#layout.pathOf(frame);
    if (own === undefined) return "name";
    let number = 1;
    while (this.frames.has(numberedPath(own, number))) number += 1;
    const path = numberedPath(own, number);
    this.frames.set(path, { frame, path, number, bytes: Buffer.concat(draft.views), crc32 });
    return number === 1 ? "stored" : "conflict";
  }

  #versions({ device, source }: Origin, name: string): MemoryFrame[] {
    return [...this.frames.values()].filter(
      ({ frame }) => frame.origin.device === device && frame.origin.source === source && frame.name === name,
    );
  }

  holdingOf(device: string): number {
    const own = [...this.frames.values()].filter(({ frame }) => frame.origin.device === device);
    const gaps = this.gaps.filter(({ origin }) => origin.device === device).length;
    return own.reduce((sum, { bytes }) => sum + bytes.length, 0) + (own.length + gaps) * rowBytes;
  }

  check(): SinkError | undefined {
    return this.failure;
  }

  recover(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  close(): void {}
}

function outcomeFor(stored: MemoryFrame, asking: Parameters<typeof outcomeOf>[1]): StoredOutcome {
  const { origin, sequence } = stored.frame;
  return outcomeOf({ session: origin.session, sequence, number: stored.number }, asking);
}
