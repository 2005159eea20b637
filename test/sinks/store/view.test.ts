/** A destination that is shown the frames beside one that keeps them: never waited for, and what it lacks is said. */
import { afterEach, describe, expect, test } from "bun:test";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SinkError } from "../../../src/errors.ts";
import type { ViewEvent } from "../../../src/events.ts";
import { MiB } from "../../../src/limits.ts";
import type { Sink } from "../../../src/ports.ts";
import { openStdoutStore } from "../../../src/sinks/stdout/stdout-store.ts";
import { FanOutSink } from "../../../src/sinks/store/fan-out-sink.ts";
import { indexCacheBytesMax } from "../../../src/sinks/store/frame-index.ts";
import type { Draft, Result as StoreResult, StagedItem } from "../../../src/sinks/store/store.ts";
import { View } from "../../../src/sinks/store/view.ts";
import { MemoryStore } from "../../../src/sinks/testing/memory-store.ts";
import { Random } from "../../support/random.ts";
import { MemorySink } from "../memory-sink.ts";
import { LaterStore } from "../stores/later-store.ts";
import { commit, frameOf, openWriter, type Result, sinkOf, stage, store } from "../suite.ts";

/** Shows a frame when the test reads it. */
class ReadStore extends LaterStore<Draft> {
  readonly shown: MemoryStore;
  #read: (() => void) | undefined;
  closed = false;

  constructor() {
    const shown = new MemoryStore({ oneByOne: true });
    super(shown, { after: () => () => undefined, random: new Random(1), delayMsMax: 0 });
    this.shown = shown;
  }

  override commit(items: readonly StagedItem<Draft>[]): Promise<readonly StoreResult[]> {
    return new Promise((resolve, reject) => {
      this.#read = () => {
        this.#read = undefined;
        try {
          resolve(this.shown.commit(items as Parameters<MemoryStore["commit"]>[0]));
        } catch (error) {
          reject(error);
        }
      };
    });
  }

  /** The reader takes the next frames. */
  async read(frames = 1): Promise<void> {
    for (let left = frames; left > 0; left -= 1) {
      this.#read?.();
      // What follows from it goes through a few promises.
      for (let turn = 0; turn < 10; turn += 1) await undefined;
    }
  }

  override close(): void {
    this.closed = true;
  }
}

interface Shown {
  readonly sink: Sink;
  readonly keeper: MemorySink;
  readonly view: View;
  readonly events: ViewEvent[];
  readonly said: () => string[];
}

function show(viewed: Sink): Shown {
  const events: ViewEvent[] = [];
  const keeper = new MemorySink({ frameBytesMax: 64 * MiB });
  const view = new View(viewed, (event) => void events.push(event));
  const sink = new FanOutSink([keeper], [view]);
  return { sink, keeper, view, events, said: () => events.map(({ event }) => event) };
}

/** So fast that whatever has failed is tried again at once. */
function fastClock(): { readonly nowMs: () => number; readonly wallNs: () => bigint } {
  let nowMs = 0;
  return { nowMs: () => (nowMs += 40_000), wallNs: () => 1n };
}

function showRead(): Shown & { readonly reader: ReadStore } {
  const reader = new ReadStore();
  return { reader, ...show(sinkOf(reader, { frameBytesMax: 64 * MiB, clock: fastClock() })) };
}

/** What the keeper has taken is there at once, whatever the view does. */
async function send(sink: Sink, name: string, content = "picture"): Promise<void> {
  expect(await store(sink, frameOf(name, content), content)).toBe("stored");
}

const waitingFrames = 256;
const gone = new SinkError("its reader has gone", { retryable: false });
const full = new SinkError("memory: broken for a test", { retryable: true });

describe("a view whose reader is slow", () => {
  test("leaves frames out, counts them, and says it once each way; the others have every frame", async () => {
    const { sink, keeper, reader, events, said } = showRead();
    for (let index = 0; index < waitingFrames; index += 1) await send(sink, `${index}.jpg`);
    expect(said()).toEqual([]);
    for (let index = 0; index < 100; index += 1) await send(sink, `behind ${index}.jpg`);
    expect(events).toEqual([{ event: "view-behind", place: "memory" }]);
    await reader.read(waitingFrames);
    await send(sink, "again.jpg");
    await reader.read();
    expect(events.slice(1)).toEqual([{ event: "view-resumed", place: "memory", skippedFrames: 100 }]);
    expect(keeper.frames.size).toBe(waitingFrames + 100 + 1);
    expect(reader.shown.frames.size).toBe(waitingFrames + 1);
    expect(reader.shown.frames.has("rig/visible/again.jpg")).toBe(true);
  });

  test("does not say it anew with every other frame: it catches up by half first", async () => {
    const { sink, keeper, reader, events, said } = showRead();
    const count = 2000;
    for (let index = 0; index < count; index += 1) {
      await send(sink, `${index}.jpg`);
      if (index % 2 === 0) await reader.read();
    }
    await reader.read(waitingFrames);
    await send(sink, "last.jpg");
    await reader.read();
    expect(said().length).toBeLessThan(20);
    expect(said()).toEqual(said().map((_, index) => (index % 2 === 0 ? "view-behind" : "view-resumed")));
    const skipped = events.reduce((sum, event) => sum + (event.event === "view-resumed" ? event.skippedFrames : 0), 0);
    expect(skipped).toBeGreaterThan(count / 3);
    expect(reader.shown.frames.size).toBe(count + 1 - skipped);
    expect(keeper.frames.size).toBe(count + 1);
  });

  test("has a bounded number of bytes waiting, and one frame more of any size", async () => {
    const { sink, reader, keeper, said } = showRead();
    const [large, six] = ["x".repeat(20 * MiB), "x".repeat(6 * MiB)];
    await send(sink, "small.jpg");
    await send(sink, "large.jpg", large);
    expect(said()).toEqual([]);
    await send(sink, "behind.jpg");
    expect(said()).toEqual(["view-behind"]);
    await reader.read(2);
    for (const name of ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]) await send(sink, name, six);
    expect(said()).toEqual(["view-behind", "view-resumed", "view-behind"]);
    await reader.read(3);
    const shown = [...reader.shown.frames.values()].map(({ frame }) => frame.name);
    expect(shown).toEqual(["small.jpg", "large.jpg", "1.jpg", "2.jpg", "3.jpg"]);
    expect(keeper.frames.size).toBe(7);
  });

  test("is not waited for by a commit, by what waits to be stored, or at the end", async () => {
    const { sink, reader, said } = showRead();
    await send(sink, "1.jpg");
    expect([sink.stagedFrames, sink.stagedBytes, sink.ready(1)]).toEqual([0, 0, undefined]);
    expect(reader.shown.frames.size).toBe(0);
    sink.dispose();
    expect(reader.closed).toBe(false);
    reader.shown.failure = full;
    await reader.read();
    expect([reader.closed, said()]).toEqual([true, ["view-ended"]]);
  });

  test("is shown what it took before the receiver ends, and then says nothing", async () => {
    const { sink, reader, said } = showRead();
    await send(sink, "1.jpg");
    let drained = 0;
    sink.drain?.(() => (drained += 1));
    expect(drained).toBe(0);
    await reader.read();
    expect([drained, reader.shown.frames.size]).toEqual([1, 1]);
    sink.dispose();
    expect([drained, said()]).toEqual([1, []]);
  });
});

describe("a view whose reader has gone", () => {
  test("is ended once, and the others go on", async () => {
    const { sink, keeper, reader, events } = showRead();
    const writer = openWriter(sink, frameOf("open.jpg", "picture"));
    await send(sink, "1.jpg");
    await send(sink, "2.jpg");
    reader.shown.failure = gone;
    await reader.read();
    expect(events).toEqual([{ event: "view-ended", place: "memory", reason: "its reader has gone" }]);
    expect(reader.closed).toBe(true);
    const results: Result[] = [];
    writer.write(Buffer.from("picture"));
    writer.finish(0, (result) => results.push(result));
    stage(sink, frameOf("3.jpg", "picture"), "picture", results);
    expect(await commit(sink)).toBeUndefined();
    expect(results).toEqual(["stored", "stored"]);
    expect(keeper.frames.size).toBe(4);
    expect([sink.ready(1), events.length]).toEqual([undefined, 1]);
  });

  test("in the middle of a frame, and told so by the stream itself", async () => {
    const { sink, view, reader, keeper, events } = showRead();
    await send(sink, "1.jpg");
    const writer = openWriter(sink, frameOf("2.jpg", "picture"));
    view.end("its reader has closed it");
    writer.write(Buffer.from("pic"));
    writer.abort();
    await send(sink, "3.jpg");
    reader.shown.failure = gone;
    await reader.read();
    expect(events).toEqual([{ event: "view-ended", place: "memory", reason: "its reader has closed it" }]);
    expect(keeper.frames.size).toBe(2);
  });
});

describe("a view that fails", () => {
  test("while a frame is written: that frame is left out, and counted", async () => {
    const { sink, keeper, reader, events } = showRead();
    const writer = openWriter(sink, frameOf("1.jpg", "picture"));
    writer.write(Buffer.from("pic"));
    reader.shown.failure = full;
    writer.write(Buffer.from("ture"));
    const results: Result[] = [];
    writer.finish(0, (result) => results.push(result));
    expect(await commit(sink)).toBeUndefined();
    expect([results, keeper.frames.size]).toEqual([["stored"], 1]);
    expect(events).toEqual([{ event: "view-behind", place: "memory" }]);
    reader.shown.failure = undefined;
    await send(sink, "2.jpg");
    await reader.read();
    expect([...reader.shown.frames.keys()]).toEqual(["rig/visible/2.jpg"]);
    expect(events.slice(1)).toEqual([{ event: "view-resumed", place: "memory", skippedFrames: 1 }]);
  });

  test("in a commit: its frames are left out, and counted", async () => {
    const { sink, keeper, reader, events } = showRead();
    for (const name of ["1.jpg", "2.jpg", "3.jpg"]) await send(sink, name);
    reader.shown.failure = full;
    await reader.read(3);
    expect([events.length, sink.ready(1), keeper.frames.size]).toEqual([1, undefined, 3]);
    reader.shown.failure = undefined;
    await send(sink, "4.jpg");
    await reader.read();
    expect([...reader.shown.frames.keys()]).toEqual(["rig/visible/4.jpg"]);
    expect(events.slice(1)).toEqual([{ event: "view-resumed", place: "memory", skippedFrames: 3 }]);
  });
});

describe("standard output as a view", () => {
  const parent = mkdtempSync(join(tmpdir(), "framepipe-"));
  const output = join(parent, "output");
  const temporaryDirectory = join(parent, "temporary");
  afterEach(() => rmSync(parent, { recursive: true, force: true }));

  test("whose disk for temporary files fails is shown nothing until that is back; the others have all", async () => {
    mkdirSync(parent, { recursive: true });
    const descriptor = openSync(output, "w");
    const clock = fastClock();
    const options = { isTerminal: false, minFreeBytes: 0, memoryBytesMax: 0, cacheBytes: indexCacheBytesMax };
    const onClosed = (): void => {};
    const stdout = openStdoutStore({ ...options, descriptor, temporaryDirectory, onClosed, clock });
    const { sink, keeper, events } = show(sinkOf(stdout, { clock }));
    for (const name of ["1.jpg", "2.jpg"]) await send(sink, name, name);
    expect(events).toEqual([{ event: "view-behind", place: "-" }]);
    mkdirSync(temporaryDirectory);
    for (const name of ["3.jpg", "4.jpg"]) await send(sink, name, name);
    expect(events.slice(1)).toEqual([{ event: "view-resumed", place: "-", skippedFrames: 2 }]);
    while (readFileSync(output, "utf8") !== "3.jpg4.jpg") await Bun.sleep(5);
    expect(keeper.frames.size).toBe(4);
    sink.dispose();
    closeSync(descriptor);
  });
});
