/**
 * Several destinations as one (`--out a --out b`): a frame is acknowledged when every one has stored it.
 *
 * - Each piece of a frame is given to all before `write` returns; a frame that one cannot take is taken by none.
 * - The outcome is the most remarkable one: a failure (that of the frame first, then that of all), else a refusal, else
 *   `expired` if one has removed it, else `conflict` if any says so, else `stored` if any stored it, else `already`.
 *   A frame that one refuses counts as refused, and is named at both ends: it is not stored everywhere. Refused for its
 *   name or size it is in none; refused for what is in it (`format`, which is only known when it is complete), it stays
 *   in the others.
 * - A frame is offered as held only if all hold the same bytes. One that some lack is sent to all, and is stored where
 *   it was lacking.
 * - While one cannot store, or not this source, all wait. A frame that was stored in one and failed in another is sent
 *   again, and is then known in the first.
 * - Views are shown each frame, and have no say in any of this.
 */
import { assert, SinkError } from "../../errors.ts";
import type {
  Frame,
  FrameEntry,
  Gap,
  Origin,
  Outcome,
  RefusalReason,
  SourceEnd,
  StoredOutcome,
  Stretch,
  Verdict,
} from "../../frame.ts";
import { groupBytesMax } from "../../limits.ts";
import type { FrameWriter, Settle, Sink, SinkTraits } from "../../ports.ts";
import type { View } from "./view.ts";

type Result = Parameters<Settle>[0];

interface StagedItem {
  readonly bytes: number;
  /** One of each sink, when its commit is done. */
  readonly results: Result[];
  readonly settle: Settle;
}

export class FanOutSink implements Sink {
  readonly #sinks: readonly Sink[];
  readonly #views: readonly View[];
  readonly traits: SinkTraits;
  #staged: StagedItem[] = [];
  #stagedFrames = 0;
  #stagedBytes = 0;
  #committing = false;

  /** Owns the sinks, of which there is at least one, and the views. */
  constructor(sinks: readonly Sink[], views: readonly View[] = []) {
    assert(sinks.length > 0, "there is a sink");
    this.#sinks = sinks;
    this.#views = views;
    const remotes = sinks.flatMap(({ place, traits: { remote } }) =>
      remote === undefined ? [] : `${place}: ${remote}`,
    );
    this.traits = {
      ...(remotes.length === 0 ? {} : { remote: remotes.join("; ") }),
      appendOnly: sinks.some(({ traits }) => traits.appendOnly === true),
      forgets: sinks.some(({ traits }) => traits.forgets === true),
      countsDevices: sinks.some(({ traits }) => traits.countsDevices === true),
      keepsNothing: sinks.every(({ traits }) => traits.keepsNothing === true),
      groupBytes: Math.min(...sinks.map(({ traits }) => traits.groupBytes ?? groupBytesMax)),
    };
  }

  get place(): string {
    return [...this.#sinks, ...this.#views].map(({ place }) => place).join(", ");
  }

  get stagedFrames(): number {
    return this.#stagedFrames;
  }

  get stagedBytes(): number {
    return this.#stagedBytes;
  }

  get expires(): boolean {
    return this.#sinks.some(({ expires }) => expires === true);
  }

  lookup(origin: Origin, entries: readonly FrameEntry[], firstSequence?: number): Verdict[] | Promise<Verdict[]> {
    const combined = (answers: readonly Verdict[][]): Verdict[] =>
      entries.map((_entry, index) => combinedVerdict(answers.flatMap((verdicts) => verdicts[index] ?? [])));
    const now: Verdict[][] = [];
    const later: Promise<Verdict[]>[] = [];
    try {
      for (const sink of this.#sinks) {
        const verdicts = sink.lookup(origin, entries, firstSequence);
        if (verdicts instanceof Promise) later.push(verdicts);
        else now.push(verdicts);
      }
    } catch (error) {
      // Nobody waits for the others any more.
      for (const verdicts of later) verdicts.catch(() => undefined);
      throw error;
    }
    return later.length === 0 ? combined(now) : Promise.all(later).then((answers) => combined([...now, ...answers]));
  }

  open(frame: Frame): FrameWriter | RefusalReason {
    const writers: FrameWriter[] = [];
    try {
      for (const sink of this.#sinks) {
        const writer = sink.open(frame);
        if (typeof writer === "string") {
          abortAll(writers);
          return writer;
        }
        writers.push(writer);
      }
    } catch (error) {
      abortAll(writers);
      throw error;
    }
    const shown = this.#views.flatMap((view) => view.open(frame) ?? []);
    return {
      write: (view) => {
        for (const writer of writers) writer.write(view);
        for (const each of shown) each.write(view);
      },
      goOn: (same) => {
        for (const writer of writers) writer.goOn(same);
      },
      finish: (crc32, settle) => {
        // If one throws, those before it store the frame all the same, and nobody asks for their results.
        const results: Result[] = [];
        for (const writer of writers) writer.finish(crc32, (result) => results.push(result));
        this.#stage({ bytes: frame.bytes, results, settle });
        for (const each of shown) each.finish(crc32);
      },
      abort: () => abortAll([...writers, ...shown]),
    };
  }

  gap(gap: Gap, settle: Settle): void {
    this.#stageNote((sink, done) => sink.gap(gap, done), settle);
  }

  stretch(stretch: Stretch, settle: Settle): void {
    this.#stageNote((sink, done) => sink.stretch(stretch, done), settle);
  }

  end(end: SourceEnd, settle: Settle): void {
    this.#stageNote((sink, done) => sink.end(end, done), settle);
  }

  #stageNote(stage: (sink: Sink, done: Settle) => void, settle: Settle): void {
    const results: Result[] = [];
    for (const sink of this.#sinks) stage(sink, (result) => results.push(result));
    this.#stage({ bytes: 0, results, settle });
  }

  #stage(item: StagedItem): void {
    this.#staged.push(item);
    this.#stagedFrames += 1;
    this.#stagedBytes += item.bytes;
  }

  commit(done: (failure: SinkError | undefined) => void, settled?: () => void): void {
    assert(!this.#committing, "one commit at a time");
    this.#committing = true;
    const items = this.#staged;
    this.#staged = [];
    const failures: SinkError[] = [];
    let [unsettled, left] = [this.#sinks.length, this.#sinks.length];
    for (const sink of this.#sinks) {
      let isSettled = false;
      // Once for each: where nothing is removed behind it, that is when its commit is done.
      const oneSettled = (): void => {
        if (isSettled) return;
        isSettled = true;
        unsettled -= 1;
        if (unsettled > 0) return;
        this.#settle(items);
        if (left > 0) settled?.();
      };
      sink.commit((failure) => {
        if (failure !== undefined) failures.push(failure);
        left -= 1;
        oneSettled();
        if (left > 0) return;
        this.#committing = false;
        done(failures.find(({ retryable }) => !retryable) ?? failures[0]);
      }, oneSettled);
    }
  }

  #settle(items: readonly StagedItem[]): void {
    for (const { bytes, results, settle } of items) {
      assert(results.length === this.#sinks.length, "every sink has settled what was staged");
      this.#stagedFrames -= 1;
      this.#stagedBytes -= bytes;
      settle(combinedResult(results));
    }
  }

  ready(bytes: number): SinkError | undefined {
    // All are asked, because asking makes each usable again.
    const lacks = this.#sinks.flatMap((sink) => sink.ready(bytes) ?? []);
    return lacks.find(({ retryable }) => !retryable) ?? lacks[0];
  }

  overQuota(device: string, quota: number, bytes: number): SinkError | undefined {
    // The same frames are in all: one that knows what a device has is enough. An archive that keeps more than the
    // directory beside it, from which frames are removed, is to do so.
    const counting = this.#sinks.filter(({ traits }) => traits.countsDevices === true);
    const removing = counting.filter(({ traits }) => traits.appendOnly !== true);
    const asked = [removing, counting, this.#sinks].find((sinks) => sinks.length > 0) ?? [];
    return asked.flatMap((sink) => sink.overQuota?.(device, quota, bytes) ?? [])[0];
  }

  retry(frame: Frame): SinkError | undefined {
    // All are asked, because asking ends the wait in each.
    const [fault] = this.#sinks.flatMap((sink) => sink.retry(frame) ?? []);
    return fault;
  }

  drain(done: () => void): void {
    let left = this.#views.length;
    if (left === 0) return done();
    for (const view of this.#views) {
      view.drain(() => {
        left -= 1;
        if (left === 0) done();
      });
    }
  }

  dispose(): void {
    for (const each of [...this.#sinks, ...this.#views]) each.dispose();
    this.#staged = [];
  }
}

function abortAll(writers: readonly { abort(): void }[]): void {
  for (const writer of writers) writer.abort();
}

function combinedVerdict(verdicts: readonly Verdict[]): Verdict {
  const refused = verdicts.find(({ kind }) => kind === "refuse");
  if (refused !== undefined) return refused;
  const known = verdicts.flatMap((verdict) => (verdict.kind === "have" || verdict.kind === "expired" ? [verdict] : []));
  const [first] = known;
  if (first === undefined || known.length < verdicts.length) return { kind: "want" };
  const { crc32 } = first;
  if (known.some((other) => other.crc32 !== crc32)) return { kind: "want" };
  const held = known.flatMap((verdict) => (verdict.kind === "have" ? [verdict] : []));
  if (held.length < known.length) return { kind: "expired", crc32 };
  return { kind: "have", outcome: combinedOutcome(held.map(({ outcome }) => outcome)), crc32 };
}

function combinedResult(results: readonly Result[]): Result {
  const failures = results.filter((result) => result instanceof SinkError);
  const [failure] = failures.toSorted((one, other) => weightOf(other) - weightOf(one));
  if (failure !== undefined) return failure;
  const totals = results.find((result) => typeof result === "object");
  if (totals !== undefined) return totals;
  const outcomes = results.filter(isOutcome);
  const refusal = results.find((result) => !isOutcome(result));
  if (refusal !== undefined) return refusal;
  // It is not everywhere, so it is no reason to remove the sender's.
  if (outcomes.includes("expired")) return "expired";
  return outcomes.includes("recorded") ? "recorded" : combinedOutcome(outcomes as StoredOutcome[]);
}

/** A frame that one refuses for good is not sent again for the others. */
function weightOf({ scope, retryable }: SinkError): number {
  if (scope === "frame") return retryable ? 0 : 3;
  return scope === "source" ? 1 : 2;
}

function combinedOutcome(outcomes: readonly StoredOutcome[]): StoredOutcome {
  if (outcomes.includes("conflict")) return "conflict";
  return outcomes.includes("stored") ? "stored" : "duplicate";
}

const outcomesKnown: ReadonlySet<string> = new Set<Outcome>(["stored", "duplicate", "conflict", "expired", "recorded"]);

function isOutcome(result: Result): result is Outcome {
  return typeof result === "string" && outcomesKnown.has(result);
}
