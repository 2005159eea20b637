/**
 * A store on another machine as a destination:
 *
 *     begin: gathered -> commit: each frame put where nothing is -> what became of each entered in the ledgers
 *
 * It is the remote store that keeps frames single, so any number of receivers may use one. Where something is in a
 * frame's place, or an answer was lost, a look at what is there tells: the same bytes are the same frame, others make
 * it a conflict. Nothing is told to a sender before the ledger of its source has it.
 *
 * Its failures are those of the destination: there are no paths of which one could fail.
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assert, SinkError } from "../../errors.ts";
import {
  type Frame,
  type FrameEntry,
  type Origin,
  type RefusalReason,
  sharesTotals,
  type Verdict,
} from "../../frame.ts";
import { MiB } from "../../limits.ts";
import { accountOutcomeOf, isLoss } from "../../outcomes.ts";
import { outcomeOf } from "../store/duplicates.ts";
import { FrameGatherer, type GatheredFrame } from "../store/gathered-frame.ts";
import { Layout, layoutDefault } from "../store/layout.ts";
import { numberedPath } from "../store/numbered-path.ts";
import { sinkError } from "../store/storage-error.ts";
import type { Result, StagedFrame, StagedItem, Store, StoreTraits } from "../store/store.ts";
import { type FrameRecord, isSameFrame, isSameName } from "./frame-record.ts";
import { Ledger } from "./ledger.ts";
import { Ledgers } from "./ledgers.ts";
import { Lanes, persist } from "./persistence.ts";
import type { Remote } from "./remote.ts";

/** Frames on their way at a time: more made no store faster, and took memory. Looks have lanes of their own. */
const putsMax = 32;
const looksMax = 32;
/** Bytes of frames on their way that are in memory as a whole; a frame that is larger goes alone. */
const putBytesMax: number = 32 * MiB;
/** Versions of one name that are looked at. */
const triesMax = 10_000;

export interface RemoteStoreOptions {
  readonly remote: Remote;
  /** It must have been used by a receiver before. */
  readonly mustExist: boolean;
  /** This store's part of `gatheredBytesMax`. */
  readonly memoryBytesMax: number;
  readonly sleep: (ms: number) => Promise<void>;
  readonly random: () => number;
}

export class RemoteStore implements Store<GatheredFrame> {
  readonly traits: StoreTraits;
  readonly #remote: Remote;
  readonly #options: RemoteStoreOptions;
  readonly #layout = new Layout(layoutDefault);
  readonly #gatherer: FrameGatherer;
  readonly #ledgers: Ledgers;
  readonly #puts = new Lanes(putsMax, putBytesMax);
  readonly #looks = new Lanes(looksMax, Number.POSITIVE_INFINITY);
  /** Sources, in a session, of which the store held nothing when the session's first frames were offered. */
  readonly #fresh = new Map<string, Promise<boolean>>();
  /** Why it cannot be used. Undefined: it has proven what it has to do, and has not failed since. */
  #failure: SinkError | undefined;
  #proving: Promise<void> | undefined;

  constructor(options: RemoteStoreOptions) {
    const { remote, memoryBytesMax } = options;
    this.#options = options;
    this.#remote = remote;
    this.traits = { remote: remote.ackMeans };
    this.#failure = new SinkError(`${remote.place}: not reached yet`, { retryable: true });
    this.#gatherer = new FrameGatherer({
      temporaryPath: join(tmpdir(), `framepipe-${crypto.randomUUID()}-`),
      memoryBytesMax,
      gathered: () => undefined,
      failed: (error) => sinkError(tmpdir(), "gather a frame", error),
    });
    this.#ledgers = new Ledgers({
      place: remote.place,
      readRecord: (key) => this.#look(() => remote.readRecord(key)),
      writeRecord: (key, text, version) => this.#persist(() => remote.writeRecord(key, text, version)),
    });
  }

  get place(): string {
    return this.#remote.place;
  }

  /** Proves it, or is held with the reason. Throws what waiting does not cure. */
  async start(): Promise<void> {
    await this.#prove();
    if (this.#failure?.retryable === false) throw this.#failure;
  }

  #persist<T>(ask: () => Promise<T>): Promise<T> {
    return persist({ ...this.#options, place: this.place }, ask);
  }

  #look<T>(ask: () => Promise<T>): Promise<T> {
    return this.#looks.run(0, () => this.#persist(ask));
  }

  // ---- offers

  async lookup(origin: Origin, entries: readonly FrameEntry[], firstSequence?: number): Promise<Verdict[]> {
    this.#requireUsable();
    if (await this.#isFresh(origin)) return entries.map(() => ({ kind: "want" }));
    const verdicts = await Promise.all(
      entries.map((entry, index) => {
        const sequence = firstSequence === undefined ? undefined : firstSequence + index;
        return this.#find(origin, entry, sequence);
      }),
    );
    if (firstSequence !== undefined) await this.#enterHeld(origin, verdicts, firstSequence);
    return verdicts;
  }

  /** To want a frame that is there costs its way here, no more, so this need not be true for long. */
  #isFresh(origin: Origin): Promise<boolean> {
    const key = `${origin.device}\0${origin.source}\0${origin.session}`;
    let fresh = this.#fresh.get(key);
    if (fresh === undefined) {
      const folder = `${origin.device}/${origin.source}/`;
      fresh = this.#look(() => this.#remote.hasFramesIn(folder)).then((holds) => !holds);
      fresh.catch(() => this.#fresh.delete(key));
      this.#fresh.set(key, fresh);
      const [oldest] = this.#fresh.keys();
      if (this.#fresh.size > freshMax && oldest !== undefined) this.#fresh.delete(oldest);
    }
    return fresh;
  }

  /** What is held of this name with this size and time; of several the one that this session has stored. */
  async #find(origin: Origin, entry: FrameEntry, sequence: number | undefined): Promise<Verdict> {
    const frame = { ...entry, origin, sequence: sequence ?? 0 };
    const own = this.#layout.pathOf(frame);
    if (own === undefined) return { kind: "want" };
    let held: FrameRecord | undefined;
    for (let number = 1; ; number += 1) {
      const found = await this.#look(() => this.#remote.look(numberedPath(own, number)));
      if (found === undefined) break;
      if (found === "foreign" || !isSameName(found.frame, frame)) continue;
      if (found.frame.bytes !== entry.bytes || found.frame.capturedNs !== entry.capturedNs) continue;
      if (held?.frame.origin.session !== origin.session) held = found;
    }
    if (held === undefined) return { kind: "want" };
    return { kind: "have", outcome: outcomeFor(held, origin.session, sequence), crc32: held.crc32 };
  }

  async #enterHeld(origin: Origin, verdicts: readonly Verdict[], firstSequence: number): Promise<void> {
    const change = new Ledger(origin);
    for (const [index, verdict] of verdicts.entries()) {
      const number = firstSequence + index;
      if (verdict.kind === "have") change.outcomes.enter(number, number, verdict.outcome);
    }
    if (change.outcomes.ranges.length > 0) await this.#ledgers.enter(change);
  }

  hasPathFor(origin: Origin, entry: FrameEntry, sequence: number): boolean {
    const path = this.#layout.pathOf({ ...entry, origin, sequence });
    return path !== undefined && this.#remote.hasPath(path) && this.#remote.hasLedger(origin);
  }

  // ---- frames

  begin(frame: Frame): GatheredFrame | RefusalReason {
    this.#requireUsable();
    if (!this.hasPathFor(frame.origin, frame, frame.sequence)) return "name";
    const refusal = this.#remote.refusal(frame.bytes);
    if (refusal !== undefined) throw refusal;
    return this.#gatherer.begin(frame.bytes);
  }

  async commit(items: readonly StagedItem<GatheredFrame>[]): Promise<readonly Result[]> {
    this.#requireUsable();
    try {
      const results = await this.#putAll(items);
      const changes = changesOf(items, results);
      await Promise.all(changes.map((change) => this.#ledgers.enter(change)));
      await this.#compareEnds(items, results);
      return results;
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Those of one path one after the other, the rest side by side. Nothing is under way any more when it returns. */
  async #putAll(items: readonly StagedItem<GatheredFrame>[]): Promise<Result[]> {
    const results: Result[] = items.map(() => "recorded");
    const byPath = new Map<string, number[]>();
    for (const [index, item] of items.entries()) {
      if (item.kind !== "frame") continue;
      const path = this.#pathOf(item.frame);
      const same = byPath.get(path);
      if (same === undefined) byPath.set(path, [index]);
      else same.push(index);
    }
    let failure: unknown;
    const put = async (path: string, indexes: readonly number[]): Promise<void> => {
      for (const index of indexes) {
        const item = items[index] as StagedFrame<GatheredFrame>;
        if (failure === undefined) results[index] = await this.#put(path, item);
      }
    };
    const note = (error: unknown): void => void (failure ??= error ?? new Error("failed"));
    await Promise.all([...byPath].map(([path, indexes]) => put(path, indexes).catch(note)));
    if (failure !== undefined) throw failure;
    return results;
  }

  #pathOf(frame: Frame): string {
    const path = this.#layout.pathOf(frame);
    assert(path !== undefined, "a frame that was begun has a path");
    return path;
  }

  #put(own: string, staged: StagedFrame<GatheredFrame>): Promise<Result> {
    return this.#puts.run(staged.frame.bytes, async () => {
      const { frame, crc32, receivedNs } = staged;
      const bytes = await bytesOf(staged.draft);
      for (let number = 1, tries = 0; tries < triesMax; tries += 1) {
        const path = numberedPath(own, number);
        // Most names are new, so the first is not asked for. A frame of many versions is not sent once for each.
        const found = tries === 0 ? undefined : await this.#look(() => this.#remote.look(path));
        if (found === undefined) {
          const record: FrameRecord = { frame, number, crc32, receivedNs };
          const put = await this.#persist(() => this.#remote.put(path, record, bytes));
          if (put === "stored") return number === 1 ? "stored" : "conflict";
        } else if (found !== "foreign" && isSameFrame(found, frame, crc32)) {
          return outcomeFor(found, frame.origin.session, frame.sequence);
        } else number += 1;
      }
      throw new SinkError(`${this.place}: ${own} has too many versions`, { scope: "frame", retryable: false });
    });
  }

  async #compareEnds(items: readonly StagedItem[], results: Result[]): Promise<void> {
    for (const [index, item] of items.entries()) {
      if (item.kind !== "end") continue;
      const { account } = await this.#ledgers.read(item.end.origin);
      if (!sharesTotals(item.end.totals, account.totals, account.last)) results[index] = account.totals;
    }
  }

  // ---- whether it can be used

  #requireUsable(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** A frame's own failure is told of it alone. */
  #failed(error: unknown): SinkError {
    const failure = sinkError(this.place, "store frames", error);
    if (failure.scope === "destination") this.#failure = failure;
    return failure;
  }

  check(): SinkError | undefined {
    if (this.#failure?.retryable === true) void this.#prove();
    return this.#failure;
  }

  recover(): void {
    const failure = this.check();
    if (failure !== undefined) throw failure;
  }

  /** Never rejects. */
  #prove(): Promise<void> {
    this.#proving ??= this.#look(() => this.#remote.prove(this.#options.mustExist))
      .then(
        () => void (this.#failure = undefined),
        (error: unknown) => void this.#failed(error),
      )
      .finally(() => void (this.#proving = undefined));
    return this.#proving;
  }

  /** A store on another machine has no path that could fail by itself: what concerns one frame says so. */
  probe(): void {}

  placeOf({ name }: Frame): string {
    return `${this.place}: ${name}`;
  }

  close(): void {
    this.#remote.close();
  }
}

/** Sessions that are remembered as new to a source. */
const freshMax = 4096;

function outcomeFor({ frame, number }: FrameRecord, session: string, sequence: number | undefined) {
  return outcomeOf({ session: frame.origin.session, sequence: frame.sequence, number }, { session, sequence });
}

async function bytesOf(draft: GatheredFrame): Promise<Uint8Array> {
  if (draft.memory !== undefined) return draft.memory;
  const bytes = new Uint8Array(draft.bytes);
  let done = 0;
  for await (const piece of draft.pieces()) {
    bytes.set(piece, done);
    done += piece.byteLength;
  }
  return bytes;
}

/** What a group says of each of its sessions. */
function changesOf(items: readonly StagedItem[], results: readonly Result[]): Ledger[] {
  const changes = new Map<string, Ledger>();
  const changeOf = (origin: Origin): Ledger => {
    const key = `${origin.device}\0${origin.source}\0${origin.session}`;
    let change = changes.get(key);
    if (change === undefined) changes.set(key, (change = new Ledger(origin)));
    return change;
  };
  for (const [index, item] of items.entries()) {
    const result = results[index] as Result;
    if (item.kind === "frame") {
      const { origin, sequence } = item.frame;
      assert(typeof result === "string", "a frame has an outcome");
      changeOf(origin).outcomes.enter(sequence, sequence, accountOutcomeOf(result));
    } else if (item.kind === "gap") {
      const { origin, firstSequence, count } = item.gap;
      const change = changeOf(origin);
      const outcome = accountOutcomeOf("recorded", item.gap);
      if (isLoss(outcome)) change.enterGap(item.gap);
      change.outcomes.enter(firstSequence, firstSequence + count - 1, outcome);
    } else if (item.kind === "stretch") changeOf(item.stretch.origin).enterStretch(item.stretch);
    else changeOf(item.end.origin).end = { ...item.end.totals, endedMs: Number(item.recordedNs / 1_000_000n) };
  }
  return [...changes.values()];
}
