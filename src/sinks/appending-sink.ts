/**
 * What all sinks have in common that can only append whole frames: an archive file, a stream. Here frames are gathered
 * and staged, commits run one after the other, and failures are noted and healed; how bytes are appended is the
 * appender's own.
 *
 *     open -> gathered -> finish: staged -> commit: placed by the index -> appended -> kept in the index -> ack
 *
 * A commit never waits inside a call: a pipe whose reader pauses, or a slow disk, must not keep the receiver from
 * answering its peers.
 */
import { assert, ExitStatus, SinkError, UserError } from "../errors.ts";
import type { Frame, FrameEntry, Gap, Origin, RefusalReason, SourceEnd, Verdict } from "../frame.ts";
import type { Clock, FrameWriter, Settle, Sink } from "../ports.ts";
import { errorCode } from "./directory/disk.ts";
import { describe, isExhaustion, sinkError } from "./directory/storage-error.ts";
import type { FrameIndex } from "./frame-index.ts";
import { FrameGatherer, type GatheredFrame } from "./gathered-frame.ts";

/** After a failure the destination is tried again at most this often, as a directory is. */
const healMs = 500;

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

/** An archive or stream that is open. All but `append` returns at once. */
export interface Appender {
  /** What it holds. Closed with it. */
  readonly index: FrameIndex;
  /**
   * Appends these items, in order, and makes them durable. Rejects with what the system said; then `retract` follows.
   */
  append(items: readonly NewItem[]): Promise<void>;
  /** The last `append` does not count. Never throws: what cannot be undone now is undone by `heal`. */
  retract(): void;
  /** Whether `bytes` more can be appended now; throws what shows that it has failed. */
  check(bytes: number): SinkError | undefined;
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
  #failedAtMs = Number.NEGATIVE_INFINITY;
  readonly #writers = new Set<GatheringWriter>();
  #staged: StagedItem[] = [];
  #stagedFrames = 0;
  #stagedBytes = 0;
  #committing = false;

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
      throw this.#fail("look up frames", error);
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
      throw this.#fail("begin a frame", error);
    }
    const writer = new GatheringWriter({
      content,
      failed: (error) => this.#fail("write a frame", error),
      finished: (crc32, settle) => {
        assert(content.bytes === frame.bytes, "a finished frame has all its bytes");
        this.#writers.delete(writer);
        const receivedNs = this.#options.clock.wallNs();
        this.#stage({ item: { kind: "frame", frame, crc32, receivedNs, content }, settle }, frame.bytes);
      },
      aborted: () => this.#writers.delete(writer),
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
        failure = this.#fail("store frames", error);
      }
      for (const { item } of group) if (item.kind === "frame") item.content.discard();
      this.#settle(group, failure, results);
    }
    this.#committing = false;
    done(failure);
  }

  /** Returns a result for each item, or throws; then none of them is stored. */
  async #commitGroup(group: readonly StagedItem[]): Promise<Result[]> {
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
        const placement = index.place(item.frame, item.crc32);
        if (placement.kind === "append") items.push({ ...item, path: placement.path, number: placement.number });
        results.push(placement.kind === "refuse" ? placement.reason : placement.outcome);
      }
      appending = items.length > 0;
      if (appending) await appender.append(items);
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
    if (this.#failure !== undefined) this.#heal();
    if (this.#failure !== undefined) return this.#failure;
    try {
      return this.#usable().check(bytes);
    } catch (error) {
      return this.#fail("look at it", error);
    }
  }

  /** Tries whether the destination works again. Not while a commit uses it: that ends first. */
  #heal(): void {
    const { clock } = this.#options;
    if (this.#committing || this.#failure?.retryable === false || clock.nowMs() - this.#failedAtMs < healMs) return;
    try {
      if (this.#appender?.heal() !== true) {
        this.#appender?.close();
        this.#appender = undefined;
        this.#open();
      }
      this.#failure = undefined;
    } catch (error) {
      this.#fail("use it again", error);
    }
  }

  #usable(): Appender {
    if (this.#appender === undefined) {
      throw this.#failure ?? new SinkError(`${this.place} is closed`, { retryable: false });
    }
    return this.#appender;
  }

  /** Notes a failure of the destination and returns it in our own words. */
  #fail(doing: string, error: unknown): SinkError {
    this.#failure = sinkError(this.place, doing, error);
    this.#failedAtMs = this.#options.clock.nowMs();
    return this.#failure;
  }

  dispose(): void {
    for (const writer of this.#writers) writer.abort();
    for (const { item } of this.#staged) if (item.kind === "frame") item.content.discard();
    this.#staged = [];
    this.#appender?.close();
    this.#appender = undefined;
  }
}

function isFull(error: unknown): boolean {
  const code = errorCode(error);
  return code === "ENOSPC" || code === "EDQUOT" || code === "SQLITE_FULL";
}

interface GatheringWriterOptions {
  readonly content: GatheredFrame;
  readonly failed: (error: unknown) => SinkError;
  readonly finished: (crc32: number, settle: Settle) => void;
  readonly aborted: () => void;
}

/** A frame that is being gathered. What is gathered goes on to the staged item, or is discarded. */
class GatheringWriter implements FrameWriter {
  readonly #options: GatheringWriterOptions;
  #open = true;

  constructor(options: GatheringWriterOptions) {
    this.#options = options;
  }

  write(view: Uint8Array): void {
    try {
      this.#options.content.write(view);
    } catch (error) {
      throw this.#options.failed(error);
    }
  }

  finish(crc32: number, done: Settle): void {
    assert(this.#open, "a writer finishes once");
    this.#open = false;
    this.#options.finished(crc32, done);
  }

  abort(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#options.content.discard();
    this.#options.aborted();
  }
}
