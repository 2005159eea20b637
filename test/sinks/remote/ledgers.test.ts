/** The account of a session beside the frames: many receivers write it, in parts, and it reads as one. */
import { expect, test } from "bun:test";
import type { SourceTotals } from "../../../src/frame.ts";
import { decodeLedger, Ledger } from "../../../src/sinks/remote/ledger.ts";
import { ledgerFolder, Ledgers } from "../../../src/sinks/remote/ledgers.ts";
import { session, someGap, someStretch } from "../suite.ts";

const origin = { device: "rig/7", source: "visible", session };
const key = `${ledgerFolder}rig%2F7/visible/${session}`;

/** Records as a store keeps them, and what happens between a reader's reading and its writing. */
class Records {
  readonly place = "records";
  readonly texts = new Map<string, { text: string; version: string }>();
  writes = 0;
  beforeWrite: () => void = () => undefined;

  readRecord(name: string) {
    return Promise.resolve(this.texts.get(name));
  }

  async writeRecord(name: string, text: string, version: string | undefined): Promise<string | undefined> {
    await Bun.sleep(0);
    this.beforeWrite();
    if (this.texts.get(name)?.version !== version) return undefined;
    this.writes += 1;
    this.texts.set(name, { text, version: `${this.writes}` });
    return `${this.writes}`;
  }
}

function stored(first: number, last = first): Ledger {
  const change = new Ledger(origin);
  change.outcomes.enter(first, last, "stored");
  return change;
}

test("two receivers write one ledger, in turns and at once, and nothing of either is lost", async () => {
  const records = new Records();
  const [one, other] = [new Ledgers(records), new Ledgers(records)];
  await one.enter(stored(0));
  await other.enter(stored(1));
  await one.enter(stored(2));
  await Promise.all(Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? one : other).enter(stored(3 + index))));
  expect((await one.read(origin)).outcomes.ranges).toEqual([{ first: 0, last: 42, outcome: "stored" }]);
  expect([...records.texts.keys()]).toEqual([`${key}.1.json`]);
});

test("what is entered while a ledger is written goes together with the next writing", async () => {
  const records = new Records();
  const ledgers = new Ledgers(records);
  await Promise.all(Array.from({ length: 20 }, (_, index) => ledgers.enter(stored(index))));
  expect(records.writes).toBeLessThanOrEqual(2);
  expect((await ledgers.read(origin)).account).toMatchObject({ last: 19, totals: { frames: 20, stored: 20 } });
});

test("a writing that fails is told to those whose it was, and the next one is tried", async () => {
  const records = new Records();
  const ledgers = new Ledgers(records);
  records.beforeWrite = () => {
    throw new Error("no answer");
  };
  await expect(ledgers.enter(stored(0))).rejects.toThrow("no answer");
  records.beforeWrite = () => undefined;
  await ledgers.enter(stored(1));
  expect((await ledgers.read(origin)).outcomes.ranges).toEqual([{ first: 1, last: 1, outcome: "stored" }]);
});

test("a ledger grows in parts, which any receiver goes on with", async () => {
  const records = new Records();
  for (let index = 0; index < 30; index += 1) {
    const change = new Ledger(origin);
    change.outcomes.enter(2 * index, 2 * index, "stored");
    change.enterGap({ ...someGap, firstSequence: 2 * index + 1, count: 1, detail: "x".repeat(100) });
    change.outcomes.enter(2 * index + 1, 2 * index + 1, "gap");
    await new Ledgers(records, 1000).enter(change);
  }
  expect(records.texts.size).toBeGreaterThan(3);
  expect([...records.texts.values()].every(({ text }) => text.length < 2000)).toBe(true);
  const whole = await new Ledgers(records, 1000).read(origin);
  expect(whole.account).toMatchObject({ last: 59, totals: { frames: 60, stored: 30, skipped: 30 } });
  expect(whole.gaps.size).toBe(30);
});

test("what is written is read again as it was; what is no ledger is none", () => {
  const ledger = stored(0, 3);
  ledger.enterGap(someGap);
  ledger.enterStretch(someStretch);
  const totals: SourceTotals = { frames: 6, stored: 4, duplicates: 0, conflicts: 0, refused: 0, skipped: 2 };
  ledger.end = { ...totals, endedMs: 1_800_000_000_000 };
  expect(decodeLedger(ledger.encode())).toEqual(ledger);
  const good = JSON.parse(ledger.encode()) as Record<string, unknown>;
  for (const bad of [
    "",
    "null",
    "[]",
    "{}",
    JSON.stringify({ ...good, framepipe: 2 }),
    JSON.stringify({ ...good, device: 7 }),
    JSON.stringify({ ...good, outcomes: [[3, 1, "stored"]] }),
    JSON.stringify({ ...good, outcomes: [[0, 1, "constructor"]] }),
    JSON.stringify({ ...good, outcomes: [[0, 2 ** 60, "stored"]] }),
    JSON.stringify({ ...good, gaps: [{ ...someGap, count: -1 }] }),
    JSON.stringify({ ...good, stretches: [null] }),
    JSON.stringify({ ...good, end: { frames: 1 } }),
  ]) {
    expect(decodeLedger(bad)).toBeUndefined();
  }
});
