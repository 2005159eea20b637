/** What every sink must do, whatever it stores to. Each implementation runs it through a short factory. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { crc32 } from "../../src/bytes/checksum.ts";
import { SinkError } from "../../src/errors.ts";
import type {
  Frame,
  FrameEntry,
  Gap,
  Origin,
  Outcome,
  RefusalReason,
  SourceEnd,
  SourceTotals,
  Stretch,
  Verdict,
} from "../../src/frame.ts";
import type { FrameWriter, Sink } from "../../src/ports.ts";
import { StoreSink, type StoreSinkOptions } from "../../src/sinks/store/store-sink.ts";
import type { Draft, Store } from "../../src/sinks/store/store.ts";

export const frameBytesMax = 10_000;

/** A place for frames, with which sinks are opened one after the other. */
export interface SinkPlace {
  open(): Sink | Promise<Sink>;
  /** A frame may be there as soon as it is staged, though nobody is told so before the commit. */
  readonly storesEarly?: boolean;
  /** Everything under a final name, by path below the destination. Of a stream: all of it, under any name. */
  stored(): Map<string, string> | Promise<Map<string, string>>;
  /** Makes commits of the open sink fail, or work again. */
  breakCommits(broken: boolean): void;
  /** Makes the path of every frame of the source `infrared` fail, or work again. Absent: frames have no paths. */
  breakPath?(broken: boolean): void;
  recordedGaps(): number | Promise<number>;
  recordedStretches(): number | Promise<number>;
  recordedEnds(): number | Promise<number>;
  remove(): void | Promise<void>;
}

export const session: string = "a".repeat(32);
export const otherSession: string = "b".repeat(32);

export function frameOf(name: string, content: string, changes: Partial<Frame> = {}): Frame {
  const origin: Origin = { device: "rig", source: "visible", session };
  return {
    origin,
    name,
    sequence: 0,
    bytes: Buffer.byteLength(content),
    capturedNs: 1_700_000_000_123_456_789n,
    ...changes,
  };
}

export function inSession(other: string): Partial<Frame> {
  return { origin: { device: "rig", source: "visible", session: other } };
}

/** The sink of a store, as a receiver has it. */
export function sinkOf<D extends Draft>(destination: Store<D>, changes: Partial<StoreSinkOptions> = {}): StoreSink<D> {
  const clock = { nowMs: () => performance.now(), wallNs: () => 1_800_000_000_000_000_001n };
  return new StoreSink(destination, { sync: "batch", frameBytesMax, clock, ...changes });
}

/** What a sink says of offers, at once or later. */
export async function ask(sink: Sink, origin: Origin, entries: readonly FrameEntry[]): Promise<Verdict[]> {
  return sink.lookup(origin, entries);
}

/** The same of a sink that has to ask nobody: it makes no promise. */
export function lookupNow(
  sink: Sink,
  origin: Origin,
  entries: readonly FrameEntry[],
  firstSequence?: number,
): Verdict[] {
  const verdicts = sink.lookup(origin, entries, firstSequence);
  if (verdicts instanceof Promise) throw new Error(`${sink.place} answers later`);
  return verdicts;
}

export type Result = Outcome | RefusalReason | SourceTotals | SinkError;

/** Opens a frame that must be taken. */
export function openWriter(sink: Sink, frame: Frame): FrameWriter {
  const writer = sink.open(frame);
  if (typeof writer === "string") throw new Error(`${frame.name} was refused: ${writer}`);
  return writer;
}

/** Writes a frame in two pieces and stages it; `results` gets its result at its place in the order of settling. */
export function stage(sink: Sink, frame: Frame, content: string, results: Result[] = []): Result[] {
  const bytes = Buffer.from(content);
  const writer = openWriter(sink, frame);
  writer.write(bytes.subarray(0, 3));
  if (bytes.byteLength > 3) writer.write(bytes.subarray(3));
  writer.finish(crc32(bytes), (result) => results.push(result));
  return results;
}

export function commit(sink: Sink): Promise<SinkError | undefined> {
  return new Promise((resolve) => sink.commit(resolve));
}

/** Stores one frame by itself and returns its result. */
export async function store(sink: Sink, frame: Frame, content: string): Promise<Result> {
  const results = stage(sink, frame, content);
  await commit(sink);
  const [result] = results;
  if (result === undefined || results.length !== 1) throw new Error("a commit settles each frame once");
  return result;
}

/** An end is recorded as well where a sink keeps account and does not share its totals. */
function word(result: Result): string {
  return typeof result === "object" && !(result instanceof Error) ? "recorded" : String(result);
}

export const someGap: Gap = {
  origin: { device: "rig", source: "visible", session },
  firstSequence: 4,
  count: 2,
  reason: "vanished",
  name: "lost.jpg",
  detail: "it was there before",
};

export const someStretch: Stretch = {
  origin: { device: "rig", source: "visible", session },
  sequence: 6,
  class: "information",
  count: 3,
  bytes: 4096,
  text: "padding between images",
};

export const someEnd: SourceEnd = {
  origin: { device: "rig", source: "visible", session },
  totals: { frames: 9, stored: 4, duplicates: 3, conflicts: 0, refused: 0, skipped: 2 },
};

/**
 * `keeps`: the sink holds what it stores, for good or, as a stream, while it is open. One that discards passes the
 * first half. `hasPaths`: places have a `breakPath`.
 */
export function sinkSuite(
  label: string,
  keeps: boolean | "while open",
  makePlace: () => SinkPlace | Promise<SinkPlace>,
  hasPaths = false,
): void {
  describe(`${label}: the rules of every sink`, () => {
    let place: SinkPlace;
    let sink: Sink;

    beforeEach(async () => {
      place = await makePlace();
      sink = await place.open();
    });

    afterEach(async () => {
      sink.dispose();
      await place.remove();
    });

    // In the order of staging, in which a stream has them.
    const expectStored = async (expected: Record<string, string>): Promise<void> => {
      if (!keeps) return;
      const stored = await place.stored();
      if (keeps === true) expect(Object.fromEntries(stored)).toEqual(expected);
      else expect([...stored.values()].join("")).toBe(Object.values(expected).join(""));
    };

    test("stores a frame when it is committed, not before", async () => {
      const results = stage(sink, frameOf("1.jpg", "picture"), "picture");
      expect(results).toEqual([]);
      expect([sink.stagedFrames, sink.stagedBytes]).toEqual([1, 7]);
      if (place.storesEarly !== true) await expectStored({});
      expect(await commit(sink)).toBeUndefined();
      expect(results).toEqual(["stored"]);
      expect([sink.stagedFrames, sink.stagedBytes]).toEqual([0, 0]);
      await expectStored({ "rig/visible/1.jpg": "picture" });
    });

    test("stores frames in folders, empty ones, and those of several sources written in turns", async () => {
      const results: Result[] = [];
      const infrared = { origin: { device: "rig", source: "infrared/left", session } };
      const writers = [
        openWriter(sink, frameOf("day/1.jpg", "abcd")),
        openWriter(sink, frameOf("1.png", "efgh", infrared)),
      ];
      for (const [index, text] of ["ab", "ef", "cd", "gh"].entries()) writers[index % 2]?.write(Buffer.from(text));
      writers[1]?.finish(crc32(Buffer.from("efgh")), (result) => results.push(result));
      writers[0]?.finish(crc32(Buffer.from("abcd")), (result) => results.push(result));
      stage(sink, frameOf("empty.jpg", ""), "", results);
      await commit(sink);
      expect(results).toEqual(["stored", "stored", "stored"]);
      await expectStored({
        "rig/infrared/left/1.png": "efgh",
        "rig/visible/day/1.jpg": "abcd",
        "rig/visible/empty.jpg": "",
      });
    });

    test("a commit with nothing staged is done at once", () => {
      let done = false;
      sink.commit((failure) => (done = failure === undefined));
      expect(done).toBe(true);
    });

    test("settles in the order of staging, gaps and ends among the frames, and then the commit", async () => {
      const order: string[] = [];
      const note = (what: string) => (result: Result) => void order.push(`${what} ${word(result)}`);
      for (const name of ["1.jpg", "2.jpg"]) {
        const writer = openWriter(sink, frameOf(name, name));
        writer.write(Buffer.from(name));
        writer.finish(crc32(Buffer.from(name)), note(name));
        sink.gap(someGap, note("gap"));
      }
      sink.end(someEnd, note("end"));
      expect(sink.stagedFrames).toBe(5);
      await new Promise<void>((resolve) =>
        sink.commit(() => {
          order.push("done");
          resolve();
        }),
      );
      expect(order).toEqual(["1.jpg stored", "gap recorded", "2.jpg stored", "gap recorded", "end recorded", "done"]);
    });

    test("what is staged during a commit belongs to the next, even from within a settle", async () => {
      const later: Result[] = [];
      const first = openWriter(sink, frameOf("1.jpg", "one"));
      first.write(Buffer.from("one"));
      first.finish(crc32(Buffer.from("one")), () => stage(sink, frameOf("3.jpg", "three"), "three", later));
      const done = commit(sink);
      stage(sink, frameOf("2.jpg", "two"), "two", later);
      await done;
      expect(later).toEqual(later.length === 0 ? [] : ["stored"]);
      await commit(sink);
      expect(later).toEqual(["stored", "stored"]);
      await expectStored({ "rig/visible/1.jpg": "one", "rig/visible/2.jpg": "two", "rig/visible/3.jpg": "three" });
    });

    test("done may start the next commit", async () => {
      const results = stage(sink, frameOf("1.jpg", "one"), "one");
      await new Promise<void>((resolve) =>
        sink.commit(() => {
          stage(sink, frameOf("2.jpg", "two"), "two", results);
          sink.commit(() => resolve());
        }),
      );
      expect(results).toEqual(["stored", "stored"]);
    });

    test("an aborted frame leaves nothing", async () => {
      const writer = openWriter(sink, frameOf("1.jpg", "picture"));
      writer.write(Buffer.from("pic"));
      writer.abort();
      writer.abort();
      await commit(sink);
      await expectStored({});
      expect(await store(sink, frameOf("1.jpg", "picture"), "picture")).toBe("stored");
    });

    test("refuses unsafe names and frames that are too large, offered or sent, one by one", async () => {
      const offers = [
        frameOf("../x", "a"),
        frameOf("/etc/x", "a"),
        frameOf("a//b", "a"),
        frameOf("", "a"),
        frameOf(".framepipe/catalogue.db", "a"),
        frameOf("large.jpg", "a", { bytes: frameBytesMax + 1 }),
        frameOf("good.jpg", "a"),
      ];
      const name = { kind: "refuse", reason: "name" } as const;
      const expected = [
        name,
        name,
        name,
        name,
        name,
        { kind: "refuse", reason: "too-large" },
        { kind: "want" },
      ] as const;
      const [first] = offers;
      if (first === undefined) throw new Error("offers are listed above");
      expect(await ask(sink, first.origin, offers)).toEqual([...expected]);
      expect(offers.slice(0, 6).map((frame): unknown => sink.open(frame))).toEqual([
        ...Array<string>(5).fill("name"),
        "too-large",
      ]);
      const hostile = { device: "../..", source: "visible", session };
      expect(await ask(sink, hostile, [frameOf("1.jpg", "a")])).toEqual([name]);
      expect(sink.open(frameOf("1.jpg", "a", { origin: hostile }))).toBe("name");
      expect(await store(sink, frameOf("good.jpg", "a"), "a")).toBe("stored");
      expect(await store(sink, frameOf("full.jpg", "x".repeat(frameBytesMax)), "x".repeat(frameBytesMax))).toBe(
        "stored",
      );
    });

    test("is ready when all is well, and can be disposed of more than once", () => {
      expect(sink.ready(1)).toBeUndefined();
      sink.dispose();
      sink.dispose();
    });

    if (!keeps) return;

    test("the same frame again is stored once: `stored` to its own session, `already` to others", async () => {
      expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
      expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
      expect(await store(sink, frameOf("1.jpg", "one", inSession(otherSession)), "one")).toBe("duplicate");
      expect(await store(sink, frameOf("1.jpg", "one", { sequence: 7 }), "one")).toBe("duplicate");
      await expectStored({ "rig/visible/1.jpg": "one" });
    });

    test("the same frame twice in one commit is stored once", async () => {
      const results = stage(sink, frameOf("1.jpg", "one"), "one");
      stage(sink, frameOf("1.jpg", "one"), "one", results);
      stage(sink, frameOf("1.jpg", "one", inSession(otherSession)), "one", results);
      await commit(sink);
      expect(results).toEqual(["stored", "stored", "duplicate"]);
      await expectStored({ "rig/visible/1.jpg": "one" });
    });

    test("other bytes under the same name are stored beside it, once each", async () => {
      expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
      expect(await store(sink, frameOf("1.jpg", "two"), "two")).toBe("conflict");
      const results = stage(sink, frameOf("1.jpg", "three"), "three");
      stage(sink, frameOf("1.jpg", "four"), "four", results);
      stage(sink, frameOf("1.jpg", "three"), "three", results);
      stage(sink, frameOf("1.jpg", "two", inSession(otherSession)), "two", results);
      await commit(sink);
      expect(results).toEqual(["conflict", "conflict", "conflict", "duplicate"]);
      await expectStored({
        "rig/visible/1.jpg": "one",
        "rig/visible/1~2.jpg": "two",
        "rig/visible/1~3.jpg": "three",
        "rig/visible/1~4.jpg": "four",
      });
    });

    test("knows of an offer what it holds: size and capture time must be equal", async () => {
      await store(sink, frameOf("1.jpg", "one"), "one");
      await store(sink, frameOf("2.jpg", "old"), "old");
      await store(sink, frameOf("2.jpg", "newer", { capturedNs: 5n }), "newer");
      const offers = [
        frameOf("1.jpg", "one"),
        frameOf("1.jpg", "longer"),
        frameOf("1.jpg", "one", { capturedNs: 1_700_000_000_123_456_790n }),
        frameOf("2.jpg", "newer", { capturedNs: 5n }),
        frameOf("3.jpg", "one"),
      ];
      const have = (outcome: string, content: string) => ({
        kind: "have",
        outcome,
        crc32: crc32(Buffer.from(content)),
      });
      const want = { kind: "want" };
      const askIn = (asking: string): Promise<unknown[]> =>
        ask(sink, { device: "rig", source: "visible", session: asking }, offers);
      expect(await askIn(session)).toEqual([have("stored", "one"), want, want, have("conflict", "newer"), want]);
      expect(await askIn(otherSession)).toEqual([
        have("duplicate", "one"),
        want,
        want,
        have("duplicate", "newer"),
        want,
      ]);
      expect(await ask(sink, { device: "rig", source: "infrared", session }, offers.slice(0, 1))).toEqual([
        { kind: "want" },
      ]);
    });

    if (keeps !== true) return;

    test("sources whose paths meet share no file", async () => {
      const deep = { origin: { device: "rig", source: "visible/day", session } };
      const results = stage(sink, frameOf("day/1.jpg", "one"), "one");
      stage(sink, frameOf("1.jpg", "one", deep), "one", results);
      await commit(sink);
      expect(results).toEqual(["stored", "conflict"]);
      await expectStored({ "rig/visible/day/1.jpg": "one", "rig/visible/day/1~2.jpg": "one" });
    });

    test("knows what it holds after it was closed and opened again", async () => {
      await store(sink, frameOf("1.jpg", "one"), "one");
      stage(sink, frameOf("2.jpg", "two"), "two");
      openWriter(sink, frameOf("3.jpg", "three")).write(Buffer.from("th"));
      sink.dispose();
      sink = await place.open();
      expect(sink.stagedFrames).toBe(0);
      const offers = [frameOf("1.jpg", "one"), frameOf("2.jpg", "two"), frameOf("3.jpg", "three")];
      const found = (await ask(sink, { device: "rig", source: "visible", session }, offers)).map(({ kind }) => kind);
      if (place.storesEarly === true) found[1] = "want";
      expect(found).toEqual(["have", "want", "want"]);
      if (place.storesEarly !== true) await expectStored({ "rig/visible/1.jpg": "one" });
      expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
    });

    test("records gaps, stretches and ends", async () => {
      const recorded = (): Promise<number[]> =>
        Promise.all([place.recordedGaps(), place.recordedStretches(), place.recordedEnds()]);
      const results: Result[] = [];
      sink.gap(someGap, (result) => results.push(result));
      sink.stretch(someStretch, (result) => results.push(result));
      sink.end(someEnd, (result) => results.push(result));
      expect(await recorded()).toEqual([0, 0, 0]);
      await commit(sink);
      expect(results.map(word)).toEqual(["recorded", "recorded", "recorded"]);
      expect(await recorded()).toEqual([1, 1, 1]);
    });

    test.if(hasPaths)("a fault of one path is told to its frames, and all others are stored", async () => {
      place.breakPath?.(true);
      const infrared = { origin: { device: "rig", source: "infrared", session } };
      const results = stage(sink, frameOf("1.jpg", "one"), "one");
      stage(sink, frameOf("2.jpg", "two", infrared), "two", results);
      stage(sink, frameOf("3.jpg", "three", infrared), "three", results);
      sink.gap(someGap, (result) => results.push(result));
      stage(sink, frameOf("4.jpg", "four"), "four", results);
      expect(await commit(sink)).toBeUndefined();
      const fault = results[1];
      expect(fault).toMatchObject({ scope: "source", retryable: true });
      expect(results).toEqual(["stored", fault, fault, "recorded", "stored"] as Result[]);
      expect(sink.ready(1)).toBeUndefined();
      await expectStored({ "rig/visible/1.jpg": "one", "rig/visible/4.jpg": "four" });
      expect(await place.recordedGaps()).toBe(1);

      place.breakPath?.(false);
      expect(sink.retry(frameOf("2.jpg", "two", infrared))).toBeUndefined();
      expect(await store(sink, frameOf("2.jpg", "two", infrared), "two")).toBe("stored");
    });

    test("a failed commit is told to each of its items, and the frames can be sent again", async () => {
      const results = stage(sink, frameOf("1.jpg", "one"), "one");
      sink.gap(someGap, (result) => results.push(result));
      stage(sink, frameOf("2.jpg", "two"), "two", results);
      place.breakCommits(true);
      const failure = await commit(sink);
      expect(failure).toBeInstanceOf(SinkError);
      expect(failure?.retryable).toBe(true);
      expect(results).toEqual([failure, failure, failure] as Result[]);
      expect(sink.ready(1)).toBeInstanceOf(SinkError);
      expect([sink.stagedFrames, sink.stagedBytes]).toEqual([0, 0]);

      place.breakCommits(false);
      while (sink.ready(1) !== undefined) await Bun.sleep(20);
      expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
      expect(await store(sink, frameOf("2.jpg", "two"), "two")).toBe("stored");
      await expectStored({ "rig/visible/1.jpg": "one", "rig/visible/2.jpg": "two" });
    });
  });
}
