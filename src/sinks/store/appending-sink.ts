/**
 * What all sinks have in common that can only append whole frames: an archive file, a stream. Here frames are gathered
 * and staged, commits run one after the other, and failures are noted and healed; how bytes are appended is the
 * appender's own.
 *
 *     open -> gathered -> finish: staged -> commit: placed by the index -> appended -> kept in the index -> ack
 *
 * A commit never waits inside a call: a pipe whose reader pauses, or a slow disk, must not keep the receiver from
 * answering its peers.
 *
 * What is staged is not on its disk yet, so room is asked for all of it: else a full disk would be noticed only when a
 * whole window of frames has crossed the network, and again after each of them.
 */
import { dirname } from "node:path";
import { assert, ExitStatus, SinkError, UserError } from "../../errors.ts";
import type { Frame, FrameEntry, Gap, Origin, RefusalReason, SourceEnd, Verdict } from "../../frame.ts";
import { KiB } from "../../limits.ts";
import type { Clock, FrameWriter, Settle, Sink } from "../../ports.ts";
import { describe, errorCode, isExhaustion } from "../../system/errno.ts";
import type { FrameIndex } from "./frame-index.ts";
import { FrameGatherer, type GatheredFrame } from "./gathered-frame.ts";
import { sinkError } from "./storage-error.ts";

/** After a failure the destination is tried again at most this often, as a directory is. */
const healMs = 500;
/** One that fails again and again as soon as it is used looks well when it is not used: it is left alone for longer. */
const healMsMax = 30_000;
/** What an item takes besides its bytes: heads, facts and what fills a block, with a name of common length. */
const itemBytes: number = 4 * KiB;

/** A frame to be appended. Its content is given back by the sink. */
export interface NewFrame {
  readonly kind: "frame";
  readonly frame: Frame;
  /** As the index has placed it. */
  readonly path: string;
  readonly number: number;
  readonly crc32: number;
  /** When its last byte had arrived, by this machine's clock. */
  readonly receivedNs: bigint;
  readonly content: GatheredFrame;
}

export type NewItem =
  | NewFrame
  /** `recordedNs`: when the receiver learned of it. */
  | { readonly kind: "gap"; readonly gap: Gap; readonly recordedNs: bigint }
  | { readonly kind: "end"; readonly end: SourceEnd; readonly recordedNs: bigint };

/** What room is needed for. */
export interface Demand {
  /** The next frame. */
  readonly bytes: number;
  /** What of it goes to a temporary file first: all or nothing. */
  readonly gatheredBytes: number;
  /** All that came before it and is not appended yet. What of it is in temporary files is in these already. */
  readonly waitingBytes: number;
}

/** An archive or stream that is open. All but `append` and `refusal` returns at once. */
export interface Appender {
  /** What it holds. Closed with it. */
  readonly index: FrameIndex;
  /** Why these bytes cannot be part of it; only where frames are appended one by one. Rejects as `append` does. */
  refusal?(content: GatheredFrame): Promise<RefusalReason | undefined>;
  /**
   * Appends these items, in order, and makes them durable. Rejects with what the system said; then `retract` follows.
   */
  append(items: readonly NewItem[]): Promise<void>;
  /** The last `append` does not count. Never throws: what cannot be undone now is undone by `heal`. */
  retract(): void;
  /** Whether there is room for this; throws what shows that it has failed. */
  check(demand: Demand): SinkError | undefined;
  /** So many bytes were written to temporary files. */
  gathered(bytes: number): void;
  /** After a failure: returns if it can be used again, throws why not. False: something else is in its place. */
  heal(): boolean;
  close(): void;
}

export interface AppendingSinkOptions {
  readonly place: string;
  /** Opens the destination; makes it only if `create`. Throws what is wrong with that. */
  readonly open: (create: boolean) => Appender;
  /** Each frame is appended and acknowledged by itself. */
  readonly oneByOne: boolean;
  /** The start of a free name for temporary files. */
  readonly temporaryPath: string;
  /** For frames in progress or staged, in memory. */
  readonly memoryBytesMax: number;
  readonly clock: Pick<Clock, "nowMs" | "wallNs">;
}

interface StagedItem {
  readonly item: Omit<NewFrame, "path" | "number"> | Exclude<NewItem, NewFrame>;
  readonly settle: Settle;
}

type Result = Parameters<Settle>[0];

export class AppendingSink implements Sink {
  readonly #options: AppendingSinkOptions;
  readonly #gatherer: FrameGatherer;
  /** Undefined while a lost one has not come back, and after `dispose`. */
  #appender: Appender | undefined;
  #wasOpen = false;
  #failure: SinkError | undefined;
  /** Not before this is it tried again. */
  #healAtMs = Number.NEGATIVE_INFINITY;
  /** How often it has failed in use since something was appended. */
  #failures = 0;
  /** Of the group that could not be appended: there must be room for it before anything is taken again. */
  #failedBytes = 0;
  #gatheringFailed = false;
  readonly #writers = new Set<GatheringWriter>();
  #staged: StagedItem[] = [];
  #stagedFrames = 0;
  #stagedBytes = 0;
  /** Written of frames that are in progress. */
  #openBytes = 0;
  #committing = false;
  #disposed = false;

  /** Opens the destination, or throws UserError. */
  constructor(options: AppendingSinkOptions) {
    this.#options = options;
    this.#gatherer = new FrameGatherer(options);
    try {
      this.#open();
    } catch (error) {
      // A full disk is no reason not to start: the sender is held until there is room.
      if (isFull(error)) this.#fail("open it", error);
      else if (error instanceof UserError || errorCode(error) === "") throw error;
      else {
        const hints = ["choose another name with --out"];
        throw new UserError(`cannot store in ${this.place}: ${describe(error)}`, hints, ExitStatus.failure);
      }
    }
  }

  #open(): void {
    // What was there once must not be made anew, such as an empty archive at an empty mount point.
    this.#appender = this.#options.open(!this.#wasOpen);
    this.#wasOpen = true;
  }

  get place(): string {
    return this.#options.place;
  }

  get stagedFrames(): number {
    return this.#stagedFrames;
  }

  get stagedBytes(): number {
    return this.#stagedBytes;
  }

  lookup(origin: Origin, entries: readonly FrameEntry[]): Verdict[] {
    const { index } = this.#usable();
    try {
      return index.lookup(origin, entries);
    } catch (error) {
      throw this.#failInUse("look up frames", error);
    }
  }

  open(frame: Frame): FrameWriter | RefusalReason {
    const refusal = this.#usable().index.refusal(frame);
    if (refusal !== undefined) return refusal;
    let content: GatheredFrame;
    try {
      content = this.#gatherer.begin(frame.bytes);
    } catch (error) {
      if (isExhaustion(error)) throw new SinkError(describe(error), { retryable: true, exhausted: true, cause: error });
      throw this.#failGathering(error);
    }
    const inFile = content.memory === undefined;
    const writer = new GatheringWriter({
      content,
      failed: (error) => this.#failGathering(error),
      wrote: (bytes) => {
        this.#openBytes += bytes;
        if (inFile) this.#appender?.gathered(bytes);
      },
      finished: (crc32, settle) => {
        assert(content.bytes === frame.bytes, "a finished frame has all its bytes");
        this.#writers.delete(writer);
        this.#openBytes -= content.bytes;
        const receivedNs = this.#options.clock.wallNs();
        this.#stage({ item: { kind: "frame", frame, crc32, receivedNs, content }, settle }, frame.bytes);
      },
      aborted: (bytes) => {
        this.#writers.delete(writer);
        this.#openBytes -= bytes;
      },
    });
    this.#writers.add(writer);
    return writer;
  }

  gap(gap: Gap, settle: Settle): void {
    this.#stage({ item: { kind: "gap", gap, recordedNs: this.#options.clock.wallNs() }, settle }, 0);
  }

  end(end: SourceEnd, settle: Settle): void {
    this.#stage({ item: { kind: "end", end, recordedNs: this.#options.clock.wallNs() }, settle }, 0);
  }

  #stage(staged: StagedItem, bytes: number): void {
    this.#staged.push(staged);
    this.#stagedFrames += 1;
    this.#stagedBytes += bytes;
  }

  commit(done: (failure: SinkError | undefined) => void): void {
    assert(!this.#committing, "one commit at a time");
    const staged = this.#staged;
    this.#staged = [];
    if (staged.length === 0) return done(undefined);
    this.#committing = true;
    void this.#commitAll(this.#options.oneByOne ? staged.map((item) => [item]) : [staged], done);
  }

  async #commitAll(
    groups: readonly (readonly StagedItem[])[],
    done: (failure: SinkError | undefined) => void,
  ): Promise<void> {
    let failure: SinkError | undefined;
    for (const group of groups) {
      let results: readonly Result[] = [];
      try {
        if (failure === undefined) results = await this.#commitGroup(group);
      } catch (error) {
        failure = this.#failInUse("store frames", error);
        this.#failedBytes = Math.max(this.#failedBytes, roomOf(group));
      }
      for (const { item } of group) if (item.kind === "frame") item.content.discard();
      this.#settle(group, failure, results);
    }
    this.#committing = false;
    if (this.#disposed) this.#close();
    done(failure);
  }

  /** Returns a result for each item, or throws; then none of them is stored. */
  async #commitGroup(group: readonly StagedItem[]): Promise<Result[]> {
    // Behind something that is broken for good nothing may follow: half a frame, or frames out of order.
    if (this.#failure?.retryable === false) throw this.#failure;
    const appender = this.#usable();
    const { index } = appender;
    const results: Result[] = [];
    const items: NewItem[] = [];
    let appending = false;
    try {
      for (const { item } of group) {
        if (item.kind !== "frame") {
          items.push(item);
          results.push("recorded");
          continue;
        }
        const refusal = appender.refusal === undefined ? undefined : await appender.refusal(item.content);
        if (refusal !== undefined) {
          results.push(refusal);
          continue;
        }
        const placement = index.place(item.frame, item.crc32);
        if (placement.kind === "append") items.push({ ...item, path: placement.path, number: placement.number });
        results.push(placement.kind === "refuse" ? placement.reason : placement.outcome);
      }
      appending = items.length > 0;
      if (appending) {
        await appender.append(items);
        this.#failures = 0;
      }
      index.keep();
      return results;
    } catch (error) {
      index.forget();
      if (appending) appender.retract();
      throw error;
    }
  }

  #settle(group: readonly StagedItem[], failure: SinkError | undefined, results: readonly Result[]): void {
    for (const [index, { item, settle }] of group.entries()) {
      this.#stagedFrames -= 1;
      if (item.kind === "frame") this.#stagedBytes -= item.frame.bytes;
      const result = failure ?? results[index];
      assert(result !== undefined, "a commit that went well has a result for every item");
      settle(result);
    }
  }

  ready(bytes: number): SinkError | undefined {
    if (this.#failure !== undefined) this.#heal(bytes);
    if (this.#failure !== undefined) return this.#failure;
    try {
      return this.#usable().check(this.#demand(bytes));
    } catch (error) {
      return this.#fail("look at it", error);
    }
  }

  #demand(bytes: number): Demand {
    const waitingBytes = this.#stagedBytes + this.#stagedFrames * itemBytes + this.#openBytes;
    return {
      bytes,
      gatheredBytes: this.#gatherer.needsFile(bytes) ? bytes : 0,
      // The failed group is sent again, and this frame is one of it.
      waitingBytes: Math.max(waitingBytes, this.#failedBytes - bytes),
    };
  }

  /** Tries whether the destination works again. Not while a commit uses it: that ends first. */
  #heal(bytes: number): void {
    if (this.#committing || this.#failure?.retryable === false) return;
    if (this.#options.clock.nowMs() < this.#healAtMs) return;
    try {
      if (this.#gatheringFailed) this.#probeGathering();
      if (this.#appender?.heal() !== true) {
        this.#appender?.close();
        this.#appender = undefined;
        this.#open();
      }
      const lack = this.#usable().check(this.#demand(bytes));
      if (lack !== undefined) throw lack;
      this.#failure = undefined;
      this.#failedBytes = 0;
    } catch (error) {
      this.#fail("use it again", error);
    }
  }

  #usable(): Appender {
    if (this.#appender === undefined || this.#disposed) {
      throw this.#failure ?? new SinkError(`${this.place} is closed`, { retryable: false });
    }
    return this.#appender;
  }

  /** Notes a failure of the destination and returns it in our own words. */
  #fail(doing: string, error: unknown): SinkError {
    this.#failure = sinkError(this.place, doing, error);
    this.#healAtMs = this.#options.clock.nowMs() + healMs;
    return this.#failure;
  }

  /** Fails while it is used, not while it is only looked at. */
  #failInUse(doing: string, error: unknown): SinkError {
    const failure = this.#fail(doing, error);
    this.#healAtMs += Math.min(healMs * 2 ** this.#failures, healMsMax) - healMs;
    this.#failures += 1;
    return failure;
  }

  /** A temporary file failed, which need not be on the destination's disk. */
  #failGathering(error: unknown): SinkError {
    this.#gatheringFailed = true;
    return this.#failInUse("gather a frame", this.#gatheringError(error));
  }

  #probeGathering(): void {
    try {
      this.#gatherer.probe();
    } catch (error) {
      throw this.#gatheringError(error);
    }
    this.#gatheringFailed = false;
  }

  #gatheringError(error: unknown): SinkError {
    return sinkError(dirname(this.#options.temporaryPath), "gather a frame", error);
  }

  /** What a commit uses is closed when that has ended. */
  dispose(): void {
    this.#disposed = true;
    for (const writer of this.#writers) writer.abort();
    for (const { item } of this.#staged) if (item.kind === "frame") item.content.discard();
    this.#staged = [];
    if (!this.#committing) this.#close();
  }

  #close(): void {
    this.#appender?.close();
    this.#appender = undefined;
  }
}

/** What it takes to append these. */
function roomOf(group: readonly StagedItem[]): number {
  let bytes = group.length * itemBytes;
  for (const { item } of group) if (item.kind === "frame") bytes += item.frame.bytes;
  return bytes;
}

function isFull(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOSPC" || code === "EDQUOT" || code === "SQLITE_FULL";
}

interface GatheringWriterOptions {
  readonly content: GatheredFrame;
  readonly failed: (error: unknown) => SinkError;
  readonly wrote: (bytes: number) => void;
  readonly finished: (crc32: number, settle: Settle) => void;
  /** What had been written of it. */
  readonly aborted: (bytes: number) => void;
}

/** A frame that is being gathered. What is gathered goes on to the staged item, or is discarded. */
class GatheringWriter implements FrameWriter {
  readonly #options: GatheringWriterOptions;
  #open = true;
  #wroteBytes = 0;

  constructor(options: GatheringWriterOptions) {
    this.#options = options;
  }

  write(view: Uint8Array): void {
    try {
      this.#options.content.write(view);
    } catch (error) {
      throw this.#options.failed(error);
    }
    this.#wroteBytes += view.byteLength;
    this.#options.wrote(view.byteLength);
  }

  finish(crc32: number, done: Settle): void {
    assert(this.#open, "a writer finishes once");
    this.#open = false;
    this.#options.finished(crc32, done);
  }

  abort(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#options.aborted(this.#wroteBytes);
    this.#options.content.discard();
  }
}
