/**
 * A frame's way from its first byte to its ack, whatever it is stored in:
 *
 *     open -> begin -> write* -> finish: staged -> commit: the store makes a group durable -> settle: the ack
 *
 * Commits run one after the other; what is staged meanwhile belongs to the next one. A commit never waits inside a
 * call: a slow disk, a pipe whose reader pauses or a store on another machine must not keep the receiver from answering
 * its peers. A group that fails is tried item by item, if the destination works all the same: a fault of one path is
 * not one of all (DESTINATIONS.md). When the destination fails, everything says so until `ready` has made it usable
 * again.
 */
import { assert, SinkError } from "../../errors.ts";
import type { Frame, FrameEntry, Gap, Origin, RefusalReason, SourceEnd, Stretch, Verdict } from "../../frame.ts";
import { KiB } from "../../limits.ts";
import { nameProblem } from "../../names.ts";
import type { Clock, FrameWriter, Settle, Sink } from "../../ports.ts";
import { sizeText } from "../../size-text.ts";
import { describe, isExhaustion, isFull } from "../../system/errno.ts";
import { Faults } from "./faults.ts";
import { Recovery } from "./recovery.ts";
import { type Progress, StoreWriter } from "./store-writer.ts";
import type { Draft, Result, SpaceRequest, StagedItem, StagedNote, Store, StoreTraits } from "./store.ts";
import type { SyncMode } from "./sync-mode.ts";

/** What an item takes besides its bytes: heads, its row and what fills a block, with a name of common length. */
const itemBytes: number = 4 * KiB;

export interface StoreSinkOptions {
  /** `each`: every item is a group of its own. */
  readonly sync: SyncMode;
  readonly frameBytesMax: number;
  readonly clock: Pick<Clock, "nowMs" | "wallNs">;
}

export class StoreSink<D extends Draft> implements Sink {
  readonly #store: Store<D>;
  readonly #options: StoreSinkOptions;
  readonly #recovery: Recovery;
  readonly #faults: Faults<D>;
  readonly #writers = new Set<StoreWriter<D>>();
  #staged: Staged<D>[] = [];
  #stagedFrames = 0;
  #stagedBytes = 0;
  /** Written of frames that are in progress. */
  #openBytes = 0;
  /** What the largest group that failed since needs: there must be room for it before anything is taken again. */
  #failedBytes = 0;
  #committing = false;
  /** What the commit that runs has to make durable. */
  #inCommit: readonly Staged<D>[] = [];
  #disposed = false;
  /** The last origin whose names were found to be safe. */
  #safeOrigin: Origin | undefined;

  /** Owns the store. */
  constructor(store: Store<D>, options: StoreSinkOptions) {
    this.#store = store;
    this.#options = options;
    this.#recovery = new Recovery(store.place, options.clock, (error) => store.hintsFor?.(error) ?? []);
    this.#faults = new Faults(store);
  }

  get place(): string {
    return this.#store.place;
  }

  get traits(): StoreTraits {
    return this.#store.traits;
  }

  get stagedFrames(): number {
    return this.#stagedFrames;
  }

  get stagedBytes(): number {
    return this.#stagedBytes;
  }

  // ---- offers

  lookup(origin: Origin, entries: readonly FrameEntry[], firstSequence?: number): Verdict[] | Promise<Verdict[]> {
    const verdicts = this.#ask(origin, entries, firstSequence);
    const refusal = (entry: FrameEntry, index: number): RefusalReason | undefined =>
      this.#refusal(origin, entry, (firstSequence ?? 0) + index);
    if (entries.every((entry, index) => refusal(entry, index) === undefined)) return verdicts;
    const withRefusals = (answers: readonly Verdict[]): Verdict[] =>
      answers.map((answer, index) => {
        const reason = refusal(entries[index] as FrameEntry, index);
        return reason === undefined ? answer : { kind: "refuse", reason };
      });
    return verdicts instanceof Promise ? verdicts.then(withRefusals) : withRefusals(verdicts);
  }

  #ask(origin: Origin, entries: readonly FrameEntry[], firstSequence?: number): Verdict[] | Promise<Verdict[]> {
    const failed = (error: unknown): never => {
      throw this.#recovery.useFailed("look up frames", error);
    };
    try {
      const verdicts = this.#usable().lookup(origin, entries, firstSequence);
      return verdicts instanceof Promise ? verdicts.catch(failed) : verdicts;
    } catch (error) {
      return failed(error);
    }
  }

  /** Why a frame is refused by any store, before its bytes. */
  #refusal(origin: Origin, entry: FrameEntry, sequence: number): RefusalReason | undefined {
    if (origin !== this.#safeOrigin) {
      if ((nameProblem(origin.device) ?? nameProblem(origin.source)) !== undefined) return "name";
      this.#safeOrigin = origin;
    }
    if (nameProblem(entry.name) !== undefined) return "name";
    if (this.#store.hasPathFor?.(origin, entry, sequence) === false) return "name";
    return entry.bytes > this.#options.frameBytesMax ? "too-large" : undefined;
  }

  // ---- a frame, from its first byte until it is staged

  open(frame: Frame): FrameWriter | RefusalReason {
    const refusal = this.#refusal(frame.origin, frame, frame.sequence);
    if (refusal !== undefined) return refusal;
    const held = this.#faults.heldFor(frame.origin);
    if (held !== undefined) throw held;
    const draft = this.#begin(frame);
    if (typeof draft === "string") return draft;
    const writer = new StoreWriter(this.#progress, frame, draft);
    this.#writers.add(writer);
    return writer;
  }

  #begin(frame: Frame): D | RefusalReason {
    const store = this.#usable();
    try {
      return store.begin(frame);
    } catch (error) {
      if (isExhaustion(error)) throw new SinkError(describe(error), { retryable: true, exhausted: true, cause: error });
      // Its folder may be full alone; what a store has no room for anywhere, it says by a SinkError.
      const mayBeOfPath = this.#faults.mayBeOfPath(error) || (isFull(error) && store.probe !== undefined);
      if (!mayBeOfPath) throw this.#recovery.useFailed("begin a frame", error);
    }
    try {
      return store.begin(frame);
    } catch (error) {
      throw this.#told(this.#faults.ofFrame(frame, "store frames", error));
    }
  }

  /** Where it is one of the destination, nothing is stored until that is over. */
  #told(fault: SinkError): SinkError {
    return fault.scope === "destination" ? this.#recovery.useFailed("store frames", fault) : fault;
  }

  readonly #progress: Progress<D> = {
    failed: ({ frame }, error) =>
      this.#faults.ofWrite(frame, error) ?? this.#recovery.useFailed("write a frame", error),
    wrote: (bytes) => {
      this.#openBytes += bytes;
    },
    finished: (writer, settle) => {
      this.#release(writer);
      writer.receivedNs = this.#options.clock.wallNs();
      this.#stage(writer, settle, writer.frame.bytes);
    },
    aborted: (writer) => this.#release(writer),
  };

  #release(writer: StoreWriter<D>): void {
    this.#writers.delete(writer);
    this.#openBytes -= writer.wroteBytes;
  }

  gap(gap: Gap, settle: Settle): void {
    this.#stage({ kind: "gap", gap, recordedNs: this.#options.clock.wallNs() }, settle, 0);
  }

  stretch(stretch: Stretch, settle: Settle): void {
    this.#stage({ kind: "stretch", stretch, recordedNs: this.#options.clock.wallNs() }, settle, 0);
  }

  end(end: SourceEnd, settle: Settle): void {
    this.#stage({ kind: "end", end, recordedNs: this.#options.clock.wallNs() }, settle, 0);
  }

  #stage(item: StoreWriter<D> | StagedNote, settle: Settle, bytes: number): void {
    this.#staged.push({ item, settle });
    this.#stagedFrames += 1;
    this.#stagedBytes += bytes;
    if (item.kind === "frame") this.#store.staged?.(item);
  }

  // ---- from staged to stored

  commit(done: (failure: SinkError | undefined) => void, settled?: () => void): void {
    assert(!this.#committing, "one commit at a time");
    const staged = this.#staged;
    this.#staged = [];
    if (staged.length === 0 && !this.expires) return done(undefined);
    this.#committing = true;
    this.#inCommit = staged;
    void this.#commitAll(staged, done, settled);
  }

  async #commitAll(
    staged: Staged<D>[],
    done: (failure: SinkError | undefined) => void,
    settled: (() => void) | undefined,
  ): Promise<void> {
    const oneByOne = this.#options.sync === "each" || this.#store.traits.oneByOne === true;
    const groups = oneByOne ? staged.map((each) => [each]) : [staged];
    let failure: SinkError | undefined;
    for (const group of groups) {
      const items = group.map(({ item }) => item);
      const committed = failure === undefined ? this.#commitGroup(items) : withFailure(items, failure);
      const results = committed instanceof Promise ? await committed : committed;
      failure ??= results.find(concernsAll);
      // From here on the store counts them, or they are gone.
      this.#inCommit = this.#inCommit.slice(group.length);
      this.#settle(group, results);
    }
    if (failure === undefined && this.expires) {
      if (staged.length > 0) settled?.();
      failure = await this.#expire(roomOf(staged.map(({ item }) => item)));
    }
    this.#committing = false;
    if (this.#disposed) this.#store.close();
    done(failure);
  }

  get expires(): boolean {
    const { failure, due } = this.#recovery;
    return !this.#disposed && (failure === undefined || due) && this.#store.expiry?.due === true;
  }

  /** Until as much has gone as has come, so that what is kept does not grow; else a step. */
  async #expire(broughtBytes: number): Promise<SinkError | undefined> {
    let goneBytes = 0;
    try {
      while (this.expires) {
        const bytes = (await this.#store.expiry?.step()) ?? 0;
        goneBytes += bytes;
        if (bytes === 0 || goneBytes >= broughtBytes) break;
      }
    } catch (error) {
      return this.#recovery.useFailed("remove old frames", error);
    }
    return undefined;
  }

  /** One result for each item. Does not reject, but for a bug. */
  #commitGroup(items: readonly StagedItem<D>[]): Results | Promise<Results> {
    // Behind something that is broken for good nothing may follow: half a frame, or frames out of order.
    if (this.#recovery.final) return withFailure(items, this.#recovery.failure);
    const taken = this.#faults.holds ? items.filter((item) => this.#heldFor(item) === undefined) : items;
    let committed: readonly Result[] | Promise<readonly Result[]>;
    try {
      committed = taken.length === 0 ? [] : this.#store.commit(taken);
    } catch (error) {
      return this.#commitEach(items, error);
    }
    const all = (results: readonly Result[]): Results => {
      if (taken.length > 0) this.#recovery.stored();
      if (taken.length === items.length) return results;
      const left = results.values();
      return items.map((item) => this.#heldFor(item) ?? (left.next().value as Result));
    };
    return committed instanceof Promise
      ? committed.then(all, (error: unknown) => this.#commitEach(items, error))
      : all(committed);
  }

  #heldFor(item: StagedItem<D>): SinkError | undefined {
    return item.kind === "frame" ? this.#faults.heldFor(item.frame.origin) : undefined;
  }

  /** The group has failed: if that is no fault of the destination, each item is tried by itself. */
  async #commitEach(items: readonly StagedItem<D>[], error: unknown): Promise<Results> {
    const results: (Result | SinkError)[] = [];
    let failure = this.#unlessUsable(error);
    for (const item of items) {
      const result = failure ?? this.#heldFor(item) ?? (await this.#commitOne(item));
      if (concernsAll(result)) failure = result;
      results.push(result);
    }
    if (failure !== undefined) this.#failedBytes = Math.max(this.#failedBytes, roomOf(items));
    return results;
  }

  async #commitOne(item: StagedItem<D>): Promise<Result | SinkError> {
    try {
      const [result] = await this.#store.commit([item]);
      this.#recovery.stored();
      return result as Result;
    } catch (error) {
      if (error instanceof SinkError && !concernsAll(error)) return error;
      const failure = this.#unlessUsable(error);
      if (failure !== undefined) return failure;
      if (item.kind !== "frame") return this.#recovery.useFailed("record what became of frames", error);
      return this.#told(this.#faults.ofFrame(item.frame, "store frames", error));
    }
  }

  /** After a commit that failed: `undefined` if the destination can be used all the same, else why it cannot. */
  #unlessUsable(error: unknown): SinkError | undefined {
    let reason = error;
    if (this.#faults.mayBeOfPath(error)) {
      try {
        const store = this.#usable();
        store.recover();
        const lack = store.check(this.#request(0));
        if (lack === undefined) return undefined;
        reason = lack;
      } catch (failure) {
        // It may know better than the system what is wrong.
        if (failure instanceof SinkError) reason = failure;
      }
    }
    return this.#recovery.useFailed("store frames", reason);
  }

  #settle(group: readonly Staged<D>[], results: Results): void {
    assert(results.length === group.length, "a commit has a result for every item");
    for (const { item } of group) if (item.kind === "frame") item.draft.discard();
    for (const [index, { item, settle }] of group.entries()) {
      this.#stagedFrames -= 1;
      if (item.kind === "frame") this.#stagedBytes -= item.frame.bytes;
      settle(results[index] as Result | SinkError);
    }
  }

  // ---- whether it can be used

  ready(bytes: number): SinkError | undefined {
    if (this.#recovery.failure === undefined) {
      try {
        return this.#usable().check(this.#request(bytes));
      } catch (error) {
        // Another disk may be mounted there by now.
        this.#recovery.lookFailed("look at it", error, true);
      }
    }
    if (!this.#committing && this.#recovery.due) this.#recover(bytes);
    return this.#recovery.failure;
  }

  #recover(bytes: number): void {
    let lack: SinkError | undefined;
    try {
      const store = this.#usable();
      store.recover();
      lack = store.check(this.#request(bytes));
    } catch (error) {
      this.#recovery.lookFailed("use it", error);
      return;
    }
    if (lack === undefined) {
      this.#recovery.recovered();
      this.#failedBytes = 0;
    }
    // Room that somebody makes is used at once.
    else this.#recovery.lookFailed("use it", lack, true);
  }

  overQuota(device: string, quota: number, bytes: number): SinkError | undefined {
    const store = this.#usable();
    if (store.traits.keepsNothing === true || store.expiry !== undefined) return undefined;
    const told = `${store.place}: ${device} has a quota of ${sizeText(quota)}`;
    if (store.holdingOf === undefined) {
      const hints = ["keep its frames in a directory or an archive, or take the word quota= out of its device file"];
      // Several receivers may write to a store, and it says of none what it has been given.
      return new SinkError(`${told}, and a store does not say what a device has`, { retryable: true, hints });
    }
    let held = store.holdingOf(device);
    for (const { frame } of this.#writers) if (frame.origin.device === device) held += frame.bytes + itemBytes;
    for (const { item } of this.#staged) held += this.#bytesFor(device, item);
    for (const { item } of this.#inCommit) held += this.#bytesFor(device, item);
    if (held + bytes + itemBytes <= quota) return undefined;
    const hints = ["let it have more by the word quota= in its device file"];
    if (store.traits.appendOnly !== true) {
      hints.push("or start the receiver with --keep or --keep-size: then its oldest frames go");
    }
    return new SinkError(`${told}, and ${sizeText(held)}`, { retryable: true, hints });
  }

  /** What an item takes of the quota of `device`. */
  #bytesFor(device: string, item: StagedItem<D>): number {
    if (item.kind === "frame") return item.frame.origin.device === device ? item.frame.bytes + itemBytes : 0;
    return item.kind === "gap" && item.gap.origin.device === device ? itemBytes : 0;
  }

  retry(frame: Frame): SinkError | undefined {
    return this.#faults.retry(frame);
  }

  #request(bytes: number): SpaceRequest {
    const waitingBytes = this.#stagedBytes + this.#stagedFrames * itemBytes + this.#openBytes;
    // The failed group is sent again, and this frame is one of it.
    return { bytes, waitingBytes: Math.max(waitingBytes, this.#failedBytes - bytes) };
  }

  #usable(): Store<D> {
    if (this.#disposed) throw new SinkError(`${this.place} is closed`, { retryable: false });
    return this.#store;
  }

  /** A store that is in use by a commit is closed when that has ended. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const writer of this.#writers) writer.abort();
    for (const { item } of this.#staged) if (item.kind === "frame") item.draft.discard();
    this.#staged = [];
    if (!this.#committing) this.#store.close();
  }
}

interface Staged<D extends Draft> {
  readonly item: StoreWriter<D> | StagedNote;
  readonly settle: Settle;
}

type Results = readonly (Result | SinkError)[];

function concernsAll(result: Result | SinkError): result is SinkError {
  return result instanceof SinkError && result.scope === "destination";
}

function withFailure(items: readonly unknown[], failure: SinkError | undefined): Results {
  return items.map(() => failure as SinkError);
}

/** What it takes to store these. */
function roomOf(items: readonly StagedItem[]): number {
  let bytes = items.length * itemBytes;
  for (const item of items) if (item.kind === "frame") bytes += item.frame.bytes;
  return bytes;
}
