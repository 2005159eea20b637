/**
 * A short run of the simulation, and proof that it finds broken rules: each is broken on purpose and must be caught.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { CutFrames } from "../../src/pipeline/cut-frames.ts";
import type { FrameWriter, Sink } from "../../src/ports.ts";
import { SourceLedger } from "../../src/protocols/source-ledger.ts";
import { MessageParser } from "../../src/protocols/wire/parser.ts";
import { WireReceiver } from "../../src/protocols/wire/receiver.ts";
import { DirectoryStore } from "../../src/sinks/directory/directory-store.ts";
import { AppendStore } from "../../src/sinks/store/append-store.ts";
import { Faults } from "../../src/sinks/store/faults.ts";
import type { Draft } from "../../src/sinks/store/store.ts";
import { LaterStore } from "../sinks/stores/later-store.ts";
import { storeKinds, type StoreKind } from "./destinations.ts";
import { SimCatalogue } from "./sim-disk.ts";
import { SimSource } from "./sim-source.ts";
import { type SimulationOptions, type SimulationReport, simulate } from "./simulation.ts";

// Only a run that hangs reaches this: a machine that does something else as well takes eight times as long.
const timeoutMs = 600_000;

test(
  "200 seeds: every frame stored exactly once, whatever happens",
  () => {
    const sums = {
      connections: 0,
      receiverCrashes: 0,
      senderCrashes: 0,
      powerLosses: 0,
      fullDisks: 0,
      deniedFolders: 0,
      tooLarge: 0,
      damagedPieces: 0,
      withdrawals: 0,
      intrusions: 0,
      lostAnswers: 0,
    };
    const runs = new Map<StoreKind, number>(storeKinds.map((kind) => [kind, 0]));
    for (let seed = 1; seed <= 200; seed++) {
      const report = simulate({ seed });
      runs.set(report.store, (runs.get(report.store) ?? 0) + 1);
      for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += report[key];
    }
    // A simulation in which nothing goes wrong would be green as well.
    for (const [what, count] of Object.entries(sums)) expect([what, count > 10]).toEqual([what, true]);
    for (const [kind, count] of runs) expect([kind, count >= 5]).toEqual([kind, true]);
  },
  timeoutMs,
);

test.each(storeKinds)("the same seed is the same run, with %s", (store) => {
  const lines = (seed: number): string[] => {
    const log: string[] = [];
    simulate({ seed, store, log: (line) => log.push(line) });
    return log;
  };
  expect(lines(7)).toEqual(lines(7));
  expect(lines(7)).not.toEqual(lines(8));
});

/** Runs seeds until one fails, and gives its message. */
function firstFailure(options: Omit<SimulationOptions, "seed">, seeds = 150): string {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      simulate({ ...options, seed });
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }
  return "no failure";
}

/** The sink with other behaviour in places. */
function altered(sink: Sink, changes: Partial<Sink>): Sink {
  const same: Sink = {
    place: sink.place,
    traits: sink.traits,
    lookup: (...words) => sink.lookup(...words),
    open: (frame) => sink.open(frame),
    gap: (gap, done) => sink.gap(gap, done),
    stretch: (stretch, done) => sink.stretch(stretch, done),
    end: (end, done) => sink.end(end, done),
    get stagedFrames() {
      return sink.stagedFrames;
    },
    get stagedBytes() {
      return sink.stagedBytes;
    },
    commit: (done) => sink.commit(done),
    ready: (bytes) => sink.ready(bytes),
    retry: (frame) => sink.retry(frame),
    dispose: () => sink.dispose(),
  };
  return Object.assign(same, changes);
}

/** Says of each frame that it is stored when it is staged, instead of after the commit. */
function acknowledgesEarly(sink: Sink): Sink {
  return altered(sink, {
    open: (frame) => {
      const writer = sink.open(frame);
      if (typeof writer === "string") return writer;
      return {
        write: (view) => writer.write(view),
        abort: () => writer.abort(),
        goOn: (same) => writer.goOn(same),
        finish: (crc32, done) => {
          writer.finish(crc32, () => undefined);
          done("stored");
        },
      };
    },
  });
}

/** Answers offers without entering in the account what is there. */
function answersOnly(sink: Sink): Sink {
  return altered(sink, { lookup: (origin, entries) => sink.lookup(origin, entries) });
}

describe("a broken rule is caught", () => {
  const { rewind } = SourceLedger.prototype;
  const { commit } = DirectoryStore.prototype;
  const { next } = MessageParser.prototype;
  const { confirms } = SimSource.prototype;
  const { answer, flushAcks } = WireReceiver.prototype;
  const { commit: append } = AppendStore.prototype;
  const { commit: commitLater } = LaterStore.prototype;
  const { totals } = SourceLedger.prototype;
  const { keep } = CutFrames.prototype;
  const { accountOf } = SimCatalogue.prototype;
  const { mayBeOfPath } = Faults.prototype;
  const { probe } = DirectoryStore.prototype;
  afterEach(() => {
    Faults.prototype.mayBeOfPath = mayBeOfPath;
    DirectoryStore.prototype.probe = probe;
    Object.assign(WireReceiver.prototype, { answer, flushAcks });
    AppendStore.prototype.commit = append;
    LaterStore.prototype.commit = commitLater;
    SourceLedger.prototype.rewind = rewind;
    DirectoryStore.prototype.commit = commit;
    MessageParser.prototype.next = next;
    SourceLedger.prototype.totals = totals;
    CutFrames.prototype.keep = keep;
    SimCatalogue.prototype.accountOf = accountOf;
    SimSource.prototype.confirms = confirms;
  });

  /** One frame more than there was, and it was stored. */
  function boast(): void {
    SourceLedger.prototype.totals = function (this: SourceLedger): ReturnType<typeof totals> {
      const truth = totals.call(this);
      return { ...truth, frames: truth.frames + 1, stored: truth.stored + 1 };
    };
  }

  test("what there is of a frame, and a byte more", () => {
    CutFrames.prototype.keep = function (this: CutFrames, cut): void {
      cut.writer.write(new Uint8Array(1));
      keep.call(this, cut);
    };
    expect(firstFailure({ store: "directory" }, 600)).toContain("a finished frame has all its bytes");
  }, 120_000);

  test("what there is of a frame, written to another", () => {
    const writers: FrameWriter[] = [];
    CutFrames.prototype.keep = function (this: CutFrames, cut): void {
      // The file of the one before, with the name, offset and checksum of this one.
      writers.push(cut.writer);
      keep.call(this, { ...cut, writer: writers.at(-2) ?? cut.writer });
    };
    expect(firstFailure({ store: "directory" }, 600)).not.toBe("no failure");
  }, 120_000);

  test("an END that lies, by the receiver", () => {
    boast();
    expect(firstFailure({ store: "directory" })).toContain("the receiver does not share the totals of");
  }, 120_000);

  test("an END that lies to a receiver that believes it", () => {
    boast();
    SimCatalogue.prototype.accountOf = () => undefined as never;
    expect(firstFailure({ store: "directory" })).toContain("totals of source");
  }, 120_000);

  test("ack before the commit", () => {
    expect(firstFailure({ store: "directory", wrapSink: acknowledgesEarly })).toContain(
      "was acknowledged and would not survive a power loss",
    );
  }, 120_000);

  test("the window forgotten on reconnect", () => {
    SourceLedger.prototype.rewind = function (this: SourceLedger): void {
      for (let sequence = this.base; sequence < this.listedFrames; sequence++) {
        const record = this.record(sequence);
        if (record?.state === "sent") this.settle(sequence, record, "stored");
      }
      rewind.call(this);
    };
    expect(firstFailure({})).toMatch(/missing at the end|totals of/);
  }, 120_000);

  test("the names given before the files are flushed", () => {
    expect(firstFailure({ store: "directory", lie: "sync" })).toMatch(
      /would not survive|with other bytes|that are not the frame's/,
    );
  }, 120_000);

  test("the folders not flushed", () => {
    expect(firstFailure({ store: "directory", lie: "syncDirectories" })).toContain(
      "was acknowledged and would not survive a power loss",
    );
  }, 120_000);

  test("rows that are not flushed", () => {
    expect(firstFailure({ store: "directory", lie: "catalogue" })).toContain("was acknowledged without a row");
  }, 120_000);

  test("name, size and time taken for proof", () => {
    SimSource.prototype.confirms = () => true;
    expect(firstFailure({})).toMatch(/with other bytes|would not survive|missing at the end/);
  }, 120_000);

  test("files that do not have their capture time", () => {
    expect(firstFailure({ lie: "times" })).toContain("does not have its capture time");
  }, 120_000);

  test("a group that fails and is acknowledged all the same", () => {
    DirectoryStore.prototype.commit = async function (this: DirectoryStore, items): ReturnType<typeof commit> {
      try {
        return await commit.call(this, items);
      } catch {
        return items.map(({ kind }) => (kind === "frame" ? "stored" : "recorded"));
      }
    };
    expect(firstFailure({ store: "directory" }, 600)).not.toBe("no failure");
  }, 120_000);

  test("a fault of one path that everybody waits for", () => {
    Faults.prototype.mayBeOfPath = () => false;
    expect(firstFailure({ store: "directory" })).toContain("not finished after");
  }, 120_000);

  test("a fault of one path for which its frames are refused", () => {
    DirectoryStore.prototype.probe = () => undefined;
    expect(firstFailure({ store: "directory" })).toMatch(/missing at the end|totals of/);
  }, 120_000);

  test("a fault of one path that is acknowledged", () => {
    DirectoryStore.prototype.commit = async function (this: DirectoryStore, items): ReturnType<typeof commit> {
      if (items.length > 1) return commit.call(this, items);
      return commit.call(this, items).catch(() => ["stored" as const]);
    };
    expect(firstFailure({ store: "directory" })).toMatch(/would not survive a power loss|missing at the end/);
  }, 120_000);

  test.each(["tar", "mcap"] as const)(
    "a .%s file that is not flushed",
    (store) => {
      expect(firstFailure({ store, lie: "sync" })).toMatch(/would not survive a power loss|the recorded end of/);
    },
    120_000,
  );

  test.each(["tar", "mcap"] as const)(
    "a group of a .%s file that fails and is acknowledged all the same",
    (store) => {
      AppendStore.prototype.commit = async function (this: AppendStore, items): ReturnType<typeof append> {
        try {
          return await append.call(this, items);
        } catch {
          return items.map(({ kind }) => (kind === "frame" ? "stored" : "recorded"));
        }
      };
      expect(firstFailure({ store }, 600)).toMatch(/would not survive a power loss|the recorded end of/);
    },
    120_000,
  );

  test("a commit that is reported before the destination has said that it is done", () => {
    LaterStore.prototype.commit = function (this: LaterStore<Draft>, items): ReturnType<typeof commitLater> {
      void commitLater.call(this, items).catch(() => undefined);
      return Promise.resolve(items.map(({ kind }) => (kind === "frame" ? "stored" : "recorded")));
    };
    const store = "later directory";
    expect(firstFailure({ store })).toContain("was acknowledged and would not survive a power loss");
  }, 120_000);

  test("offers that are answered in another order", () => {
    const answers = new Map<WireReceiver<unknown>, (() => void)[]>();
    WireReceiver.prototype.answer = function (this: WireReceiver<unknown>, ...words): void {
      const waiting = answers.get(this) ?? [];
      answers.set(this, waiting);
      // Those that are given at the same time, the last one first.
      waiting.unshift(() => answer.apply(this, words));
    };
    WireReceiver.prototype.flushAcks = function (this: WireReceiver<unknown>): void {
      for (const give of answers.get(this)?.splice(0) ?? []) give();
      flushAcks.call(this);
    };
    expect(firstFailure({ store: "later directory" })).toMatch(/for no good reason: .*answers no offer/);
  }, 120_000);

  test("an answer to an offer that is not entered in the account", () => {
    expect(firstFailure({ wrapSink: answersOnly })).toMatch(/the account of|share the totals of/);
  }, 120_000);

  test("an offer that is not answered", () => {
    // A run that hangs instead of failing has virtual patience, so the test does not hang.
    MessageParser.prototype.next = function (this: MessageParser): ReturnType<typeof next> {
      const found = next.call(this);
      return found === "message" && this.kind === 6 ? next.call(this) : found;
    };
    expect(firstFailure({}, 20)).toMatch(/not finished|answers no offer|no answer to what was sent/);
  }, 120_000);
});

test("a report says what happened", () => {
  const report: SimulationReport = simulate({ seed: 3 });
  expect(report.seed).toBe(3);
  expect(report.virtualMs).toBeGreaterThan(0);
});
