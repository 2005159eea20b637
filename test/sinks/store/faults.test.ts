/** Whose fault it is that something cannot be stored: of the destination, of a source, or of a frame. */
import { beforeEach, describe, expect, test } from "bun:test";
import { crc32 } from "../../../src/bytes/checksum.ts";
import { SinkError } from "../../../src/errors.ts";
import type { Frame } from "../../../src/frame.ts";
import { frameAttemptsMax, heldSourcesMax } from "../../../src/limits.ts";
import { FanOutSink } from "../../../src/sinks/store/fan-out-sink.ts";
import { MemorySink } from "../memory-sink.ts";
import { commit, frameOf, openWriter, type Result, someEnd, someGap, stage } from "../suite.ts";

const failed = (code: string): Error => Object.assign(new Error(`${code}, said the system`), { code });
const infrared = { origin: { device: "rig", source: "infrared", session: "a".repeat(32) } };
const isInfrared = ({ origin }: Frame): boolean => origin.source === "infrared";

let sink: MemorySink;
beforeEach(() => {
  sink = new MemorySink({ frameBytesMax: 1e6 });
});

function stageAll(...frames: readonly Frame[]): Result[] {
  const results: Result[] = [];
  for (const frame of frames) stage(sink, frame, frame.name, results);
  return results;
}

const named = (name: string, changes: Partial<Frame> = {}): Frame => frameOf(name, name, changes);

describe("a fault of a path", () => {
  test("is one of its source: all others of the group are stored, and it is told with path and reason", async () => {
    sink.store.pathFault = (frame) => (isInfrared(frame) ? failed("EACCES") : undefined);
    const results = stageAll(named("1.jpg"), named("1.png", infrared), named("2.jpg"), named("2.png", infrared));
    sink.end(someEnd, (result) => results.push(result));
    expect(await commit(sink)).toBeUndefined();
    const fault = results[1];
    expect(results).toEqual(["stored", fault, "stored", fault, "recorded"] as Result[]);
    expect(fault).toMatchObject({
      scope: "source",
      retryable: true,
      message: "memory/rig/infrared/1.png: cannot store frames: permission denied (EACCES)",
    });
    expect([...sink.frames.keys()]).toEqual(["rig/visible/1.jpg", "rig/visible/2.jpg"]);
    expect(sink.ready(1)).toBeUndefined();
  });

  test("is not tried again for each frame, and ends when its path works", async () => {
    let tries = 0;
    sink.store.pathFault = (frame) => {
      if (!isInfrared(frame)) return undefined;
      tries += 1;
      return failed("EXDEV");
    };
    const frame = named("1.png", infrared);
    stageAll(frame);
    const waiting = openWriter(sink, named("2.png", infrared));
    await commit(sink);
    const triesBefore = tries;
    expect(() => sink.open(named("3.png", infrared))).toThrow("(EXDEV)");
    waiting.write(Buffer.from("2.png"));
    const results: Result[] = [];
    waiting.finish(crc32(Buffer.from("2.png")), (result) => results.push(result));
    stage(sink, named("2.jpg"), "2.jpg", results);
    await commit(sink);
    expect(results).toEqual([expect.objectContaining({ scope: "source" }), "stored"]);
    expect(tries).toBe(triesBefore);
    expect(sink.retry(frame)?.message).toContain("rig/infrared/1.png: cannot store frames: it is on another file");
    sink.store.pathFault = undefined;
    expect(sink.retry(frame)).toBeUndefined();
    const again = stageAll(frame);
    await commit(sink);
    expect(again).toEqual(["stored"]);
  });

  test("that is met before any byte is the same", () => {
    const { begin } = sink.store;
    sink.store.begin = function (this: MemorySink["store"]): ReturnType<typeof begin> {
      throw failed("EACCES");
    };
    sink.store.pathFault = () => failed("EACCES");
    expect(() => sink.open(named("1.jpg"))).toThrow(
      expect.objectContaining({ scope: "source", message: expect.stringContaining("memory/rig/visible/1.jpg") }),
    );
    expect(sink.ready(1)).toBeUndefined();
  });

  test("is remembered of so many sources only", async () => {
    sink.store.pathFault = (frame) => (frame.origin.source === "visible" ? undefined : failed("EACCES"));
    for (let at = 0; at <= heldSourcesMax; at += 1) {
      const origin = { ...infrared.origin, source: `s${at}` };
      const results = stageAll(named("1.jpg", { origin }));
      await commit(sink);
      expect(results).toEqual([expect.objectContaining({ scope: "source" })]);
    }
    const open = (at: number): unknown =>
      sink.open(named("2.jpg", { origin: { ...infrared.origin, source: `s${at}` } }));
    expect(() => open(0)).toThrow("(EACCES)");
    expect(open(heldSourcesMax)).toBeInstanceOf(Object);
  });
});

describe("a fault of a frame", () => {
  test.each([
    ["EIO", "the disk reports an input/output error (EIO)"],
    // Its folder is there.
    ["ENOENT", "its file system does not take the name (ENOENT)"],
  ])("refuses that frame, and nothing else: %s", async (code, why) => {
    sink.store.frameFault = ({ name }) => (name === "2.jpg" ? failed(code) : undefined);
    const results = stageAll(named("1.jpg"), named("2.jpg"), named("3.jpg"));
    expect(await commit(sink)).toBeUndefined();
    expect(results[1]).toMatchObject({
      scope: "frame",
      retryable: false,
      message: `memory/rig/visible/2.jpg: cannot store it: ${why}`,
    });
    expect([results[0], results[2]]).toEqual(["stored", "stored"]);
  });

  test("that comes once is none", async () => {
    let times = 0;
    sink.store.frameFault = () => ((times += 1) === 1 ? failed("EIO") : undefined);
    const results = stageAll(named("1.jpg"), named("2.jpg"));
    await commit(sink);
    expect(results).toEqual(["stored", "stored"]);
  });

  test("while its bytes are written has it sent again, a few times", () => {
    const { begin } = sink.store;
    let broken = 0;
    sink.store.begin = function (this: MemorySink["store"]): ReturnType<typeof begin> {
      const draft = begin.call(this);
      const write = draft.write.bind(draft);
      // The probe writes its own bytes, which are zeros.
      draft.write = (view) => {
        if (view[0] === 0) return write(view);
        broken += 1;
        throw failed("EIO");
      };
      return draft;
    };
    const faults: unknown[] = [];
    for (let time = 0; time < frameAttemptsMax + 1; time += 1) {
      const writer = openWriter(sink, named("1.jpg", { sequence: time === frameAttemptsMax ? 1 : 0 }));
      try {
        writer.write(Buffer.from("1.jpg"));
      } catch (error) {
        faults.push(error);
      }
      writer.abort();
    }
    expect(faults.map((fault) => [(fault as SinkError).scope, (fault as SinkError).retryable])).toEqual([
      ["frame", true],
      ["frame", true],
      ["frame", false],
      ["frame", true],
    ]);
    expect(broken).toBe(frameAttemptsMax + 1);
    expect(sink.ready(1)).toBeUndefined();
  });

  test("that is too large for a file is refused at once", () => {
    const { begin } = sink.store;
    sink.store.begin = function (this: MemorySink["store"]): ReturnType<typeof begin> {
      const draft = begin.call(this);
      draft.write = () => {
        throw failed("EFBIG");
      };
      return draft;
    };
    const writer = openWriter(sink, named("1.jpg"));
    expect(() => writer.write(Buffer.from("1.jpg"))).toThrow(
      expect.objectContaining({ scope: "frame", retryable: false }),
    );
  });
});

describe("a fault of the destination", () => {
  test.each(["ENOSPC", "EDQUOT", "SQLITE_BUSY", "EMFILE"])("is what says %s, whatever else works", async (code) => {
    sink.store.frameFault = ({ name }) => (name === "2.jpg" ? failed(code) : undefined);
    const results = stageAll(named("1.jpg"), named("2.jpg"));
    const failure = await commit(sink);
    expect(failure).toMatchObject({ scope: "destination", retryable: true });
    expect(results).toEqual([failure, failure] as Result[]);
  });

  test("ends what is tried one by one: what was stored by then is stored", async () => {
    const { commit: commitAll } = sink.store;
    let calls = 0;
    sink.store.commit = function (this: MemorySink["store"], items): ReturnType<typeof commitAll> {
      calls += 1;
      if (calls === 1) throw failed("EIO");
      if (calls === 3) this.failure = new SinkError("memory: is gone", { retryable: true });
      return commitAll.call(this, items);
    };
    const results = stageAll(named("1.jpg"), named("2.jpg"), named("3.jpg"));
    const failure = await commit(sink);
    expect(failure?.message).toBe("memory: is gone");
    expect(results).toEqual(["stored", failure, failure] as Result[]);
    expect(sink.ready(1)).toBe(failure as SinkError);
  });

  test("is what keeps a gap or an end from being recorded", async () => {
    const { commit: commitAll } = sink.store;
    sink.store.commit = function (this: MemorySink["store"], items): ReturnType<typeof commitAll> {
      if (items.some(({ kind }) => kind === "gap")) throw failed("EIO");
      return commitAll.call(this, items);
    };
    const results = stageAll(named("1.jpg"));
    sink.gap(someGap, (result) => results.push(result));
    const failure = await commit(sink);
    expect(failure).toMatchObject({ scope: "destination" });
    expect(results).toEqual(["stored", failure] as Result[]);
  });

  test("is every failure of a store that cannot try a path", async () => {
    Object.assign(sink.store, { probe: undefined });
    sink.store.frameFault = ({ name }) => (name === "2.jpg" ? failed("EIO") : undefined);
    const results = stageAll(named("1.jpg"), named("2.jpg"));
    const failure = await commit(sink);
    expect(results).toEqual([failure, failure] as Result[]);
  });
});

test("of several destinations each may hold a source, or refuse a frame, for all of them", async () => {
  const other = new MemorySink({ frameBytesMax: 1e6 });
  const both = new FanOutSink([sink, other]);
  other.store.pathFault = (frame) => (isInfrared(frame) ? failed("EACCES") : undefined);
  sink.store.frameFault = ({ name }) => (name === "2.png" || name === "2.jpg" ? failed("EIO") : undefined);
  const results: Result[] = [];
  for (const frame of [named("1.jpg"), named("2.jpg"), named("1.png", infrared), named("2.png", infrared)]) {
    stage(both, frame, frame.name, results);
  }
  expect(await commit(both)).toBeUndefined();
  expect(results.map((result) => (result instanceof SinkError ? result.scope : result))).toEqual([
    "stored",
    "frame",
    "source",
    "frame",
  ]);
  const frame = named("1.png", infrared);
  expect(both.retry(frame)).toMatchObject({ scope: "source" });
  other.store.pathFault = undefined;
  expect(both.retry(frame)).toBeUndefined();
  expect(stage(both, frame, "1.png")).toEqual([]);
});
