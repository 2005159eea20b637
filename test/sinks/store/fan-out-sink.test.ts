/** Several sinks as one: the suite, and what happens when they do not agree. */
import { afterEach, describe, expect, test } from "bun:test";
import { crc32 } from "../../../src/bytes/checksum.ts";
import { SinkError } from "../../../src/errors.ts";
import type { Verdict } from "../../../src/frame.ts";
import type { Sink } from "../../../src/ports.ts";
import { NullStore } from "../../../src/sinks/null/null-store.ts";
import { FanOutSink } from "../../../src/sinks/store/fan-out-sink.ts";
import { DirectoryPlace } from "../directory/directory-place.ts";
import { MemorySink } from "../memory-sink.ts";
import {
  type Result,
  commit,
  frameBytesMax,
  frameOf,
  inSession,
  lookupNow,
  openWriter,
  otherSession,
  session,
  sinkOf,
  sinkSuite,
  someEnd,
  someGap,
  stage,
  store,
} from "../suite.ts";
import { TarPlace } from "../tar/tar-place.ts";

const broken = new SinkError("memory: broken for a test", { retryable: true });

// One of the two commits later than the other, and either of them fails.
for (const failing of ["directory", "tar"] as const) {
  sinkSuite(`a directory and an archive, the ${failing} fails`, true, () => {
    const directory = new DirectoryPlace();
    const tar = new TarPlace();
    return {
      open: () => new FanOutSink([directory.open(), tar.open()]),
      stored: () => {
        const stored = directory.stored();
        expect(Object.fromEntries(tar.stored())).toEqual(Object.fromEntries(stored));
        return stored;
      },
      breakCommits: (isBroken) => (failing === "tar" ? tar : directory).breakCommits(isBroken),
      recordedGaps: () => {
        expect(tar.recordedGaps()).toBe(directory.recordedGaps());
        return tar.recordedGaps();
      },
      recordedStretches: () => {
        expect(tar.recordedStretches()).toBe(directory.recordedStretches());
        return tar.recordedStretches();
      },
      recordedEnds: () => {
        expect(tar.recordedEnds()).toBe(directory.recordedEnds());
        return tar.recordedEnds();
      },
      remove: () => {
        directory.remove();
        tar.remove();
      },
    };
  });
}

sinkSuite("one that keeps and one that does not", false, () => {
  const unused = (): never => {
    throw new Error("not asked for");
  };
  return {
    open: () => new FanOutSink([new MemorySink({ frameBytesMax }), sinkOf(new NullStore())]),
    stored: unused,
    breakCommits: unused,
    recordedGaps: unused,
    recordedStretches: unused,
    recordedEnds: unused,
    remove: () => {},
  };
});

const origin = { device: "rig", source: "visible", session };
const sinks: Sink[] = [];
afterEach(() => {
  for (const sink of sinks.splice(0)) sink.dispose();
});

function makePair(): { first: MemorySink; second: MemorySink; both: FanOutSink } {
  const [first, second] = [new MemorySink({ frameBytesMax }), new MemorySink({ frameBytesMax })];
  const both = new FanOutSink([first, second]);
  sinks.push(both);
  return { first, second, both };
}

const contentsOf = ({ frames }: MemorySink): string[] =>
  [...frames.values()].map(({ bytes }) => Buffer.from(bytes).toString());

describe("fan-out", () => {
  test("a frame that one has and another lacks is sent, and stored where it was lacking", async () => {
    const { first, second, both } = makePair();
    await store(first, frameOf("1.jpg", "one"), "one");
    await store(second, frameOf("2.jpg", "two", inSession(otherSession)), "two");
    const offers = [frameOf("1.jpg", "one"), frameOf("2.jpg", "two")];
    expect(lookupNow(both, origin, offers)).toEqual([{ kind: "want" }, { kind: "want" }]);
    const results = stage(both, frameOf("1.jpg", "one", inSession(otherSession)), "one");
    stage(both, frameOf("2.jpg", "two"), "two", results);
    await commit(both);
    // Already in one, now in both.
    expect(results).toEqual(["stored", "stored"]);
    expect([first, second].map(contentsOf)).toEqual([
      ["one", "two"],
      ["two", "one"],
    ]);
    expect(lookupNow(both, origin, offers).map(({ kind }) => kind)).toEqual(["have", "have"]);
    expect(await store(both, frameOf("1.jpg", "one", inSession("c".repeat(32))), "one")).toBe("duplicate");
  });

  test("each learns the numbers of what is offered", () => {
    const { first, second, both } = makePair();
    const asked: unknown[] = [];
    for (const sink of [first, second]) {
      sink.lookup = (...[, , firstSequence]: Parameters<Sink["lookup"]>) => {
        asked.push(firstSequence);
        return [];
      };
    }
    both.lookup(origin, [frameOf("1.jpg", "one")], 7);
    expect(asked).toEqual([7, 7]);
  });

  test("what they hold under one name need not be the same: a conflict in any is one", async () => {
    const { first, second, both } = makePair();
    await store(first, frameOf("1.jpg", "one"), "one");
    await store(second, frameOf("1.jpg", "two"), "two");
    expect(lookupNow(both, origin, [frameOf("1.jpg", "one")])).toEqual([{ kind: "want" }]);
    expect(await store(both, frameOf("1.jpg", "one", inSession(otherSession)), "one")).toBe("conflict");
    expect([first, second].map(contentsOf)).toEqual([["one"], ["two", "one"]]);
    const conflict = { kind: "have", outcome: "conflict", crc32: crc32(Buffer.from("one")) };
    const asking = { ...origin, session: otherSession };
    expect(lookupNow(both, asking, [frameOf("1.jpg", "one")])).toEqual([conflict] as Verdict[]);
  });

  test("a frame that failed in one is sent again, and known in the other", async () => {
    const { first, second, both } = makePair();
    const results = stage(both, frameOf("1.jpg", "one"), "one");
    both.gap(someGap, (result) => results.push(result));
    second.failure = broken;
    expect(await commit(both)).toBe(broken);
    expect(results).toEqual([broken, broken]);
    expect([first, second].map(contentsOf)).toEqual([["one"], []]);
    expect(both.ready(1)).toBe(broken);
    expect(lookupNow(both, origin, [frameOf("1.jpg", "one")])).toEqual([{ kind: "want" }]);
    second.failure = undefined;
    expect(both.ready(1)).toBeUndefined();
    expect(await store(both, frameOf("1.jpg", "one"), "one")).toBe("stored");
    expect([first, second].map(contentsOf)).toEqual([["one"], ["one"]]);
  });

  test("what cannot be begun or written in one is begun in none", async () => {
    const { first, second, both } = makePair();
    second.failure = broken;
    expect(() => both.open(frameOf("1.jpg", "one"))).toThrow(broken);
    second.failure = undefined;
    const writer = openWriter(both, frameOf("1.jpg", "one"));
    second.failure = broken;
    expect(() => writer.write(Buffer.from("one"))).toThrow(broken);
    writer.abort();
    second.failure = undefined;
    expect(both.stagedFrames).toBe(0);
    await commit(both);
    expect([first, second].map(contentsOf)).toEqual([[], []]);
  });

  test("nothing is left in those before the one that cannot begin a frame", () => {
    const place = new DirectoryPlace();
    try {
      const second = new MemorySink({ frameBytesMax: 2 });
      const both = new FanOutSink([place.open(), second]);
      expect(both.open(frameOf("1.jpg", "one"))).toBe("too-large");
      second.failure = broken;
      expect(() => both.open(frameOf("1.jpg", "1"))).toThrow(broken);
      expect(place.temporaryFiles()).toEqual([]);
      both.dispose();
    } finally {
      place.remove();
    }
  });

  test("a refusal of one is the answer of all", async () => {
    const first = new MemorySink({ frameBytesMax });
    const small = new MemorySink({ frameBytesMax: 2 });
    const both = new FanOutSink([first, small]);
    sinks.push(both);
    expect(both.open(frameOf("1.jpg", "one"))).toBe("too-large");
    expect(lookupNow(both, origin, [frameOf("1.jpg", "one")])).toEqual([{ kind: "refuse", reason: "too-large" }]);
    await commit(both);
    expect(first.frames.size).toBe(0);
  });

  test("the failure that nothing heals is the one that is told", async () => {
    const { first, second, both } = makePair();
    const hopeless = new SinkError("gone for good", { retryable: false });
    stage(both, frameOf("1.jpg", "one"), "one");
    [first.failure, second.failure] = [broken, hopeless];
    expect(await commit(both)).toBe(hopeless);
    expect(both.ready(1)).toBe(hopeless);
  });

  test("nothing is told before the slowest is done", async () => {
    const quick = new MemorySink({ frameBytesMax });
    const slow = new MemorySink({ frameBytesMax });
    const { promise: waiting, resolve: goOn } = Promise.withResolvers<void>();
    const slowCommit = slow.commit.bind(slow);
    slow.commit = async (done) => {
      await waiting;
      slowCommit(done);
    };
    const both = new FanOutSink([quick, slow]);
    sinks.push(both);
    const results: Result[] = stage(both, frameOf("1.jpg", "one"), "one");
    both.end(someEnd, (result) => results.push(result));
    const done = commit(both);
    await Bun.sleep(5);
    expect(quick.frames.size).toBe(1);
    expect([results, both.stagedFrames, both.stagedBytes]).toEqual([[], 2, 3]);
    goOn();
    await done;
    expect([results, both.stagedFrames, both.stagedBytes]).toEqual([["stored", "recorded"], 0, 0]);
  });

  test("is called by all its places", () => {
    const sink = new FanOutSink([new MemorySink({ frameBytesMax }), sinkOf(new NullStore())]);
    expect(sink.place).toBe("memory, /dev/null");
  });
});

describe("where one of several removes frames", () => {
  const frame = frameOf("1.jpg", "one");
  const expired: Verdict = { kind: "expired", crc32: crc32(Buffer.from("one")) };

  /** What the second says of a frame that the first has. */
  async function withSecond(verdict: Verdict): Promise<{ first: MemorySink; sink: FanOutSink }> {
    const [first, second] = [new MemorySink({ frameBytesMax }), new MemorySink({ frameBytesMax })];
    await store(first, frame, "one");
    second.store.lookup = () => [verdict];
    second.store.commit = (items) => items.map(() => "expired");
    return { first, sink: new FanOutSink([first, second]) };
  }

  test("what it has removed is expired, whatever the others have of it", async () => {
    const { sink } = await withSecond(expired);
    expect(lookupNow(sink, frame.origin, [frame])).toEqual([expired]);
    expect(await store(sink, frame, "one")).toBe("expired");
    expect(await store(sink, frameOf("2.jpg", "two"), "two")).toBe("expired");
  });

  test("it is sent if another lacks it, or has other bytes", async () => {
    const { sink } = await withSecond({ ...expired, crc32: 1 });
    expect(lookupNow(sink, frame.origin, [frame])).toEqual([{ kind: "want" }]);
    const lacking = new FanOutSink([sink, new MemorySink({ frameBytesMax })]);
    expect(lookupNow(lacking, frame.origin, [frame])).toEqual([{ kind: "want" }]);
  });

  test("a commit with nothing staged removes, and one is due as long as one of them has something", async () => {
    let due = 2;
    const first = new MemorySink({ frameBytesMax });
    const step = (): Promise<number> => Promise.resolve(due-- > 0 ? 1 : 0);
    Object.defineProperty(first.store, "expiry", {
      value: {
        get due() {
          return due > 0;
        },
        step,
      },
    });
    const sink = new FanOutSink([first, new MemorySink({ frameBytesMax })]);
    expect(sink.expires).toBe(true);
    for (let left = 1; left >= 0; left -= 1) {
      expect(await commit(sink)).toBeUndefined();
      expect(due).toBe(left);
    }
    expect(sink.expires).toBe(false);
  });

  test("a step that fails holds the destination, and is tried again after a pause", async () => {
    const memory = new MemorySink({ frameBytesMax });
    const full = Object.assign(new Error("full"), { code: "SQLITE_FULL" });
    Object.defineProperty(memory.store, "expiry", { value: { due: true, step: () => Promise.reject(full) } });
    const failure = await commit(memory);
    expect(failure).toBeInstanceOf(SinkError);
    expect(failure?.message).toContain("cannot remove old frames");
  });

  test("a quota is asked of one that counts, and of none that keeps nothing", async () => {
    const counting = new DirectoryPlace();
    const tar = new TarPlace();
    const sink = new FanOutSink([tar.open(), counting.open()]);
    await store(sink, frame, "one");
    expect(sink.overQuota("rig", 2 * 4096 + 6, 3)).toBeUndefined();
    expect(sink.overQuota("rig", 2 * 4096 + 5, 3)?.message).toContain("rig has a quota");
    expect(sink.overQuota("other", 4096 + 3, 3)).toBeUndefined();
    // What is being committed counts as well.
    stage(sink, frameOf("2.jpg", "two", { sequence: 1 }), "two");
    const committed = commit(sink);
    expect(sink.overQuota("rig", 3 * 4096 + 9, 3)).toBeUndefined();
    expect(sink.overQuota("rig", 3 * 4096 + 8, 3)).toBeDefined();
    await committed;
    expect(sink.overQuota("rig", 3 * 4096 + 9, 3)).toBeUndefined();
    sink.dispose();
    // An archive counts what it is found to hold, and what a set of them does.
    const archive = tar.open();
    expect(archive.overQuota?.("rig", 3 * 4096 + 9, 3)).toBeUndefined();
    const over = archive.overQuota?.("rig", 3 * 4096 + 8, 3);
    expect([over?.message.includes("rig has a quota"), over?.hints.length]).toEqual([true, 1]);
    archive.dispose();
    // Beside a directory from which frames are removed, it keeps what it has.
    const keep = { keepMs: undefined, keepBytes: 1e9, quotaOf: () => 1 };
    const both = new FanOutSink([tar.open(), counting.open({ keep })]);
    expect(both.overQuota("rig", 1, 3)).toBeUndefined();
    both.dispose();
    expect(sinkOf(new NullStore()).overQuota("rig", 1, 3)).toBeUndefined();
    tar.remove();
    counting.remove();
  });
});
