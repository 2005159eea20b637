/**
 * A store on another machine as a destination:
 *
 *     begin: gathered -> staged: put where nothing is -> commit: when it is there, entered in the ledgers
 *
 * A frame is put as soon as it is whole, and its memory given back when it is there, so that neither the store nor the
 * senders wait for a group to end.
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
  /** Of frames that are staged; those of a path go one after the other. */
  readonly #outcomes = new WeakMap<GatheredFrame, Promise<Result>>();
  readonly #turns = new Map<string, Promise<Result>>();
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
    const known = await this.#lookTogether(origin, entries);
    const verdicts = await Promise.all(
      entries.map((entry, index) => {
        const sequence = firstSequence === undefined ? undefined : firstSequence + index;
        return this.#find(origin, entry, sequence, known);
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

  async #lookTogether({ device, source }: Origin, entries: readonly FrameEntry[]): Promise<Looks> {
    const { lookTogether } = this.#remote;
    if (lookTogether === undefined || entries.length < togetherMin) return noLooks;
    const folder = `${device}/${source}`;
    const paths = entries.map(({ name }) => `${folder}/${name}`);
    return this.#look(() => lookTogether.call(this.#remote, folder, paths));
  }

  /** The first that is held of this name with this size and time. */
  async #find(origin: Origin, entry: FrameEntry, sequence: number | undefined, known: Looks): Promise<Verdict> {
    const frame = { ...entry, origin, sequence: sequence ?? 0 };
    const own = this.#layout.pathOf(frame);
    if (own === undefined) return { kind: "want" };
    for (let number = 1; ; number += 1) {
      const path = numberedPath(own, number);
      const found = known.get(path) ?? (await this.#look(() => this.#remote.look(path)));
      if (found === undefined) return { kind: "want" };
      if (found === "foreign" || !isSameName(found.frame, frame)) continue;
      if (found.frame.bytes !== entry.bytes || found.frame.capturedNs !== entry.capturedNs) continue;
      return { kind: "have", outcome: outcomeFor(found, origin.session, sequence), crc32: found.crc32 };
    }
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

  staged(frame: StagedFrame<GatheredFrame>): void {
    if (this.#failure === undefined) void this.#outcomeOf(frame);
  }

  async commit(items: readonly StagedItem<GatheredFrame>[]): Promise<readonly Result[]> {
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

  /** Nothing of the group is under way any more when it returns. */
  async #putAll(items: readonly StagedItem<GatheredFrame>[]): Promise<Result[]> {
    const outcomes = await Promise.allSettled(
      items.map((item) => (item.kind === "frame" ? this.#outcomeOf(item) : ("recorded" as const))),
    );
    return outcomes.map((outcome) => {
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value;
    });
  }

  /** Of a frame that is put, or is being put; one that failed is put again. */
  #outcomeOf(staged: StagedFrame<GatheredFrame>): Promise<Result> {
    const { draft } = staged;
    let outcome = this.#outcomes.get(draft);
    if (outcome === undefined) {
      const unused = draft.use();
      outcome = this.#putInTurn(staged).finally(unused);
      this.#outcomes.set(draft, outcome);
      outcome.then(
        () => draft.discard(),
        () => this.#outcomes.delete(draft),
      );
    }
    return outcome;
  }

  /** Those of one path one after the other, the rest side by side. */
  async #putInTurn(staged: StagedFrame<GatheredFrame>): Promise<Result> {
    const own = this.#pathOf(staged.frame);
    const before = this.#turns.get(own);
    const turn = (async () => {
      await before?.catch(() => undefined);
      return this.#put(own, staged);
    })();
    this.#turns.set(own, turn);
    try {
      return await turn;
    } catch (error) {
      throw this.#failed(error);
    } finally {
      if (this.#turns.get(own) === turn) this.#turns.delete(own);
    }
  }

  #pathOf(frame: Frame): string {
    const path = this.#layout.pathOf(frame);
    assert(path !== undefined, "a frame that was begun has a path");
    return path;
  }

  #put(own: string, staged: StagedFrame<GatheredFrame>): Promise<Result> {
    return this.#puts.run(staged.frame.bytes, async () => {
      // Another one has failed: what is held is not tried frame by frame.
      this.#requireUsable();
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

type Looks = ReadonlyMap<string, FrameRecord | "foreign">;
const noLooks: Looks = new Map();
/** Offers of fewer are looked for one by one. */
const togetherMin = 8;

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
