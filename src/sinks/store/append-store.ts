/**
 * What all stores have in common that can only append whole frames: an archive file, a stream. Frames are gathered,
 * placed by the index, appended; how bytes are appended is the appender's own.
 *
 *     begin: gathered -> commit: placed by the index -> appended -> kept in the index
 *
 * What is gathered is not on the destination's disk yet, so room is asked for all that waits: else a full disk would be
 * noticed only when a whole window of frames has crossed the network, and again after each of them.
 */
import { dirname } from "node:path";
import { ExitStatus, SinkError, UserError } from "../../errors.ts";
import type { DestinationEvent } from "../../events.ts";
import type { Frame, FrameEntry, Origin, RefusalReason, Verdict } from "../../frame.ts";
import { KiB } from "../../limits.ts";
import { describe, errorCode, isExhaustion, isFull, isTooLarge, passesByItself } from "../../system/errno.ts";
import type { FrameIndex } from "./frame-index.ts";
import { FrameGatherer, type GatheredFrame } from "./gathered-frame.ts";
import { sinkError } from "./storage-error.ts";
import type { Result, SpaceRequest, StagedFrame, StagedItem, StagedNote, Store, StoreTraits } from "./store.ts";

/** A frame to be appended, as the index has placed it. */
export interface NewFrame {
  readonly kind: "frame";
  readonly staged: StagedFrame<GatheredFrame>;
  readonly path: string;
  readonly number: number;
}

export type NewItem = NewFrame | StagedNote;

const begun = "a new archive is begun";
const replaced = "another archive is there than before; frames are stored in it from now on";
/** What a frame may take in an archive beside its bytes: heads, facts, an index of its chunk. */
const headBytesMost: number = 64 * KiB;

export interface AppendRequest extends SpaceRequest {
  /** What of the next frame goes to a temporary file first: all or nothing. */
  readonly gatheredBytes: number;
}

/** An archive or stream that is open. All but `append` and `refusal` returns at once. */
export interface Appender {
  /** What it holds. Closed with it. */
  readonly index: FrameIndex;
  /** A group is about to be placed. Throws as `append` rejects; then nothing is appended. */
  prepare?(): void;
  /** Why these bytes cannot be part of it; only where frames are appended one by one. Rejects as `append` does. */
  refusal?(content: GatheredFrame): Promise<RefusalReason | undefined>;
  /**
   * Appends these items, in order, and makes them durable. Rejects with what the system said; then `retract` follows.
   */
  append(items: readonly NewItem[]): Promise<void>;
  /** The last `append` does not count. Never throws: what cannot be undone now is undone by `recover`. */
  retract(): void;
  /** Which file it is, whatever it is called; absent: there is only one. */
  readonly identity?: string | undefined;
  /** Nothing was there. */
  readonly begun?: boolean;
  /** Where the next frame begins, and with it how large a file has to be; absent: there is no such place. */
  readonly end?: number | undefined;
  /** Throws SinkError unless it is in its place; only where there is a file. */
  require?(): void;
  /** As that of a store. */
  check(request: AppendRequest): SinkError | undefined;
  /** So many bytes were written to temporary files. */
  gathered(bytes: number): void;
  /** After a failure: returns if it can be used again, throws why not. False: something else is in its place. */
  recover(): boolean;
  close(): void;
}

export interface AppendStoreOptions {
  readonly place: string;
  readonly traits: StoreTraits;
  /**
   * Opens the destination. Throws what is wrong with that. What was there once must not be made anew, such as an empty
   * archive at an empty mount point.
   */
  readonly open: () => Appender;
  /** The start of a free name for temporary files. */
  readonly temporaryPath: string;
  /** For frames in progress or staged, in memory. */
  readonly memoryBytesMax: number;
  readonly onEvent?: ((event: DestinationEvent) => void) | undefined;
}

export class AppendStore implements Store<GatheredFrame> {
  readonly place: string;
  readonly traits: StoreTraits;
  readonly #options: AppendStoreOptions;
  readonly #gatherer: FrameGatherer;
  /** Or why it is not open: a full disk at the start, or a lost one that has not come back. */
  #appender: Appender | SinkError;
  #wasOpen = false;
  /** Of the one that was open last. */
  #identity: string | undefined;
  #gatheringFailed = false;

  /** Opens the destination, or throws UserError. */
  constructor(options: AppendStoreOptions) {
    this.place = options.place;
    this.traits = options.traits;
    this.#options = options;
    this.#gatherer = new FrameGatherer({
      ...options,
      gathered: (bytes) => this.#opened?.gathered(bytes),
      failed: (error) => this.#gatheringError(error),
    });
    try {
      this.#appender = this.#open();
    } catch (error) {
      // What passes by itself is no reason not to start: the sender is held until then.
      if (error instanceof SinkError) this.#appender = error;
      else if (passesByItself(error)) this.#appender = sinkError(this.place, "open it", error);
      else if (error instanceof UserError || errorCode(error) === "") throw error;
      else {
        const hints = ["choose another name with --out"];
        throw new UserError(`cannot store in ${this.place}: ${describe(error)}`, hints, ExitStatus.failure);
      }
    }
  }

  #open(): Appender {
    const { onEvent, open } = this.#options;
    const appender = open();
    const tell = (what: "begun" | "replaced", detail: string): void =>
      onEvent?.({ event: "destination", place: this.place, what, detail });
    if (!this.#wasOpen && appender.begun === true) tell("begun", begun);
    if (this.#wasOpen && appender.identity !== this.#identity) tell("replaced", replaced);
    this.#wasOpen = true;
    return appender;
  }

  get #opened(): Appender | undefined {
    return this.#appender instanceof Error ? undefined : this.#appender;
  }

  #usable(): Appender {
    if (this.#appender instanceof Error) throw this.#appender;
    return this.#appender;
  }

  lookup(origin: Origin, entries: readonly FrameEntry[], firstSequence?: number): Verdict[] {
    return this.#usable().index.lookup(origin, entries, firstSequence);
  }

  hasPathFor(origin: Origin, entry: FrameEntry, sequence: number): boolean {
    return this.#opened?.index.hasPathFor(origin, entry, sequence) ?? true;
  }

  begin(frame: Frame): GatheredFrame | RefusalReason {
    if (!this.#usable().index.hasPathFor(frame.origin, frame, frame.sequence)) return "name";
    try {
      return this.#gatherer.begin(frame.bytes);
    } catch (error) {
      throw isExhaustion(error) ? error : this.#gatheringError(error);
    }
  }

  async commit(items: readonly StagedItem<GatheredFrame>[]): Promise<readonly Result[]> {
    const appender = this.#usable();
    const { index } = appender;
    const results: Result[] = [];
    const news: NewItem[] = [];
    let appending = false;
    try {
      appender.prepare?.();
      for (const item of items) {
        if (item.kind !== "frame") {
          news.push(item);
          results.push("recorded");
          continue;
        }
        const refusal = appender.refusal === undefined ? undefined : await appender.refusal(item.draft);
        if (refusal !== undefined) {
          results.push(refusal);
          continue;
        }
        const placement = index.place(item.frame, item.crc32);
        if (placement.kind === "append") {
          news.push({ kind: "frame", staged: item, path: placement.path, number: placement.number });
        }
        results.push(placement.kind === "refuse" ? placement.reason : placement.outcome);
      }
      appending = news.length > 0;
      if (appending) await appender.append(news);
      index.keep();
      return results;
    } catch (error) {
      index.forget();
      if (appending) appender.retract();
      // It is one file: a frame can only be too large for it.
      throw isTooLarge(error) ? error : sinkError(this.place, "store frames", error);
    }
  }

  /** Gaps are not counted, which are lines. */
  holdingOf(device: string): number {
    return this.#usable().index.bytesOf(device);
  }

  check(request: SpaceRequest): SinkError | undefined {
    const gatheredBytes = this.#gatherer.needsFile(request.bytes) ? request.bytes : 0;
    return this.#usable().check({ ...request, gatheredBytes });
  }

  recover(): void {
    if (this.#gatheringFailed) this.#probeGathering();
    if (this.#opened?.recover() === true) return;
    this.#identity = this.#opened?.identity ?? this.#identity;
    this.#opened?.close();
    this.#appender = sinkError(this.place, "use it", new Error("it is not open"));
    this.#appender = this.#open();
  }

  placeOf({ name }: Frame): string {
    return `${this.place}: ${name}`;
  }

  /** Whether files may be so large is asked of another file beside the archive, which may be in use. */
  probe({ bytes }: Frame): void {
    const { end } = this.#usable();
    // What no file could hold fits no archive, however empty.
    try {
      if (end !== undefined && this.#gatherer.fits(bytes)) this.#gatherer.stretch(end + bytes + headBytesMost);
    } catch (error) {
      throw isFull(error) ? this.#gatheringError(error) : error;
    }
  }

  /** A temporary file failed, which need not be on the destination's disk. */
  #gatheringError(error: unknown): Error {
    // No fault of the disk: StoreSink judges it.
    if (isTooLarge(error)) return error as Error;
    this.#gatheringFailed = true;
    return sinkError(dirname(this.#options.temporaryPath), "gather a frame", error);
  }

  #probeGathering(): void {
    try {
      this.#gatherer.probe();
    } catch (error) {
      throw this.#gatheringError(error);
    }
    this.#gatheringFailed = false;
  }

  close(): void {
    this.#opened?.close();
  }
}
