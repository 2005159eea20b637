import { describe, expect, test } from "bun:test";
import { agedFrames } from "../../src/limits.ts";
import { SourceLedger } from "../../src/protocols/source-ledger.ts";

function entry(name: string) {
  return { name, bytes: 10, capturedNs: 0n };
}

/** A source with `backlog` offered and wanted frames, then as many live ones. */
function ledgerOf(order: "oldest" | "newest", backlog: number, live: number): SourceLedger {
  const ledger = new SourceLedger(0, { name: "visible" }, order);
  for (let at = 0; at < backlog; at++) ledger.list(entry(`b${at}`), false).state = "wanted";
  for (let at = 0; at < live; at++) {
    ledger.list(entry(`l${at}`), true);
  }
  return ledger;
}

/** Sends everything that may be sent, settling nothing; returns the names in order. */
function sendAll(ledger: SourceLedger, max = 100): string[] {
  const names: string[] = [];
  for (let next = ledger.nextToSend(); next !== undefined && names.length < max; next = ledger.nextToSend()) {
    names.push(next.record.entry.name);
    next.record.state = "sent";
  }
  return names;
}

describe("the order of sending", () => {
  test("oldest: as they were listed", () => {
    expect(sendAll(ledgerOf("oldest", 2, 3))).toEqual(["b0", "b1", "l0", "l1", "l2"]);
  });

  test("newest: live ones first, the newest of them first, then the backlog as it was listed", () => {
    const ledger = ledgerOf("newest", 3, 2);
    expect(sendAll(ledger, 3)).toEqual(["l1", "l0", "b0"]);
    ledger.list(entry("l2"), true);
    expect(sendAll(ledger)).toEqual(["l2", "b1", "b2"]);
  });

  test("newest: a source lists in sending order, and what it lists later goes first", () => {
    const ledger = ledgerOf("newest", 0, 0);
    for (const names of [
      ["l2", "l1"],
      ["l4", "l3"],
    ]) {
      for (const name of names) ledger.list(entry(name), true);
    }
    expect(sendAll(ledger)).toEqual(["l4", "l3", "l2", "l1"]);
  });

  test("newest: what a listing had no room for is older than it, and what came since is newer", () => {
    const ledger = ledgerOf("newest", 0, 0);
    const at = (time: number) => ({ ...entry(`at ${time}`), capturedNs: BigInt(time) });
    for (const times of [
      [5, 4],
      [7, 3, 2],
      [6, 1],
    ]) {
      for (const time of times) ledger.list(at(time), true);
    }
    expect(sendAll(ledger)).toEqual([7, 6, 5, 4, 3, 2, 1].map((time) => `at ${time}`));
  });

  test("newest: live frames do not wait for the answer to an offer", () => {
    const ledger = ledgerOf("newest", 0, 0);
    ledger.list(entry("asked"), false);
    ledger.list(entry("live"), true);
    expect(sendAll(ledger)).toEqual(["live"]);
  });

  test("newest: a frame far behind has its turn, so the records of a source stay bounded", () => {
    const ledger = ledgerOf("newest", 2, 0);
    for (let at = 0; at < 3 * agedFrames; at++) {
      const place = ledger.listedFrames;
      ledger.list(entry(`l${at}`), true);
      const next = ledger.nextToSend();
      expect(next).toBeDefined();
      if (next === undefined) return;
      next.record.state = "sent";
      ledger.settle(next.place, next.record, "stored");
      expect(ledger.spanFrames).toBeLessThanOrEqual(agedFrames);
      if (at < agedFrames - 3) expect(next.place).toBe(place);
    }
  });

  test("newest: after a lost connection everything is offered again, in order", () => {
    const ledger = ledgerOf("newest", 1, 2);
    sendAll(ledger, 1);
    ledger.rewind();
    expect(sendAll(ledger)).toEqual([]);
    expect(ledger.nextOffer(10).map(({ name }) => name)).toEqual(["b0", "l0", "l1"]);
  });

  test("newest: a live frame that cannot be read is told as a gap in its turn", () => {
    const ledger = ledgerOf("newest", 0, 2);
    const next = ledger.nextToSend();
    if (next === undefined) throw new Error("two frames are ready");
    ledger.turnIntoGap(next.place, next.record, "vanished", "gone");
    expect(ledger.nextToSend()).toEqual({ place: 1, record: next.record });
  });
});

describe("gaps", () => {
  test("nameless ones in a row with one reason are told as one", () => {
    const ledger = new SourceLedger(0, { name: "visible" }, "oldest");
    const gap = (name: string, detail: string): void => {
      const sequence = ledger.listedFrames;
      ledger.turnIntoGap(sequence, ledger.list(entry(name), false), "dropped", detail);
    };
    for (let at = 0; at < 5; at++) gap("", "too slow");
    gap("", "the spool is full");
    gap("named.jpg", "the spool is full");
    const sent = (sequence: number): number => {
      const record = ledger.record(sequence);
      if (record === undefined) throw new Error("it was listed above");
      return ledger.gapSent(sequence, record);
    };
    expect([sent(0), sent(5), sent(6)]).toEqual([5, 1, 1]);
    // The receiver may know of the first five: told again they are five, although more of the kind have come.
    for (let at = 0; at < 2; at++) gap("", "too slow");
    ledger.rewind();
    expect([sent(0), sent(5), sent(6), sent(7)]).toEqual([5, 1, 1, 2]);
  });
});
