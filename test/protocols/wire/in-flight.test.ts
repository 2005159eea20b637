/** A link in numbers: it takes bytes at a rate, delivers them half a round trip later; reports take the other half. */
import { describe, expect, test } from "bun:test";
import { flightBytesMin, pieceBytesMin, progressMs } from "../../../src/limits.ts";
import { Flight } from "../../../src/protocols/wire/in-flight.ts";
import { TokenBucket } from "../../../src/protocols/wire/token-bucket.ts";

const packets = 8;

interface Link {
  /** Bytes per millisecond. */
  rate: number;
  readonly roundTripMs: number;
}

/** Sends as much as the flight lets through for `forMs`; returns what arrived and the longest wait in the link. */
function drive(flight: Flight, link: Link, fromMs: number, forMs: number, handed = { bytes: 0, arrived: 0 }) {
  const arrivals: { atMs: number; total: number }[] = [];
  const reports: { atMs: number; total: number }[] = [];
  let freeAtMs = fromMs;
  let waitMaxMs = 0;
  let reportedAtMs = fromMs;
  const arrivedBefore = handed.arrived;
  for (let nowMs = fromMs; nowMs < fromMs + forMs; nowMs++) {
    for (let next = arrivals[0]; next !== undefined && next.atMs <= nowMs; next = arrivals[0]) {
      handed.arrived = next.total;
      arrivals.shift();
    }
    if (nowMs - reportedAtMs >= progressMs) {
      reports.push({ atMs: nowMs + link.roundTripMs / 2, total: handed.arrived });
      reportedAtMs = nowMs;
    }
    for (let next = reports[0]; next !== undefined && next.atMs <= nowMs; next = reports[0]) {
      expect(flight.arrived(next.total, nowMs)).toBe(true);
      reports.shift();
    }
    while (flight.open) {
      const piece = flight.pieceBytes;
      flight.handed(piece, nowMs);
      handed.bytes += piece;
      const beginsAtMs = Math.max(nowMs, freeAtMs);
      waitMaxMs = nowMs - fromMs > forMs / 2 ? Math.max(waitMaxMs, beginsAtMs - nowMs) : 0;
      // Packets arrive one by one, not a piece at once.
      for (let part = 1; part <= packets; part++) {
        const atMs = beginsAtMs + (piece / link.rate) * (part / packets) + link.roundTripMs / 2;
        arrivals.push({ atMs, total: handed.bytes - piece + Math.floor((piece * part) / packets) });
      }
      freeAtMs = beginsAtMs + piece / link.rate;
    }
  }
  return { arrivedBytes: handed.arrived - arrivedBefore, waitMaxMs };
}

const links = [
  { name: "1 Mbit/s, 200 ms", rate: 125, roundTripMs: 200, share: 0.8 },
  { name: "20 Mbit/s, 100 ms", rate: 2_500, roundTripMs: 100, share: 0.9 },
  { name: "100 Mbit/s, 1 ms", rate: 12_500, roundTripMs: 1, share: 0.9 },
  { name: "1 Gbit/s, 100 ms", rate: 125_000, roundTripMs: 100, share: 0.85 },
  { name: "10 Gbit/s, 1 ms", rate: 1_250_000, roundTripMs: 1, share: 0.9 },
];

describe("what is under way", () => {
  for (const { name, share, ...link } of links) {
    test(`fills a link of ${name} and little more`, () => {
      const forMs = 40_000;
      const { arrivedBytes, waitMaxMs } = drive(new Flight(), { ...link }, 0, forMs);
      expect(arrivedBytes / (link.rate * forMs)).toBeGreaterThan(share);
      // Right after the link was let run dry a whole flight is handed over at once. The least flight alone takes half a
      // second at 1 Mbit/s.
      expect(waitMaxMs).toBeLessThan(1.5 * link.roundTripMs + 60 + flightBytesMin / link.rate);
    });
  }

  test("follows a link that becomes slower, and faster", () => {
    const flight = new Flight();
    const link: Link = { rate: 12_500, roundTripMs: 40 };
    const handed = { bytes: 0, arrived: 0 };
    drive(flight, link, 0, 10_000, handed);
    // Each leg begins with an empty link, as after a reconnect; only the estimate is carried over.
    link.rate = 1_250;
    handed.arrived = handed.bytes;
    flight.arrived(handed.bytes, 10_000);
    expect(drive(flight, link, 10_001, 20_000, handed).waitMaxMs).toBeLessThan(200);
    link.rate = 12_500;
    handed.arrived = handed.bytes;
    flight.arrived(handed.bytes, 30_001);
    expect(drive(flight, link, 30_002, 20_000, handed).arrivedBytes).toBeGreaterThan(0.8 * 12_500 * 20_000);
  });

  test("pieces are small on a slow link", () => {
    const slow = new Flight();
    drive(slow, { rate: 125, roundTripMs: 50 }, 0, 5_000);
    expect(slow.pieceBytes).toBe(pieceBytesMin);
    const fast = new Flight();
    drive(fast, { rate: 125_000, roundTripMs: 10 }, 0, 5_000);
    expect(fast.pieceBytes).toBe(256 * 1024);
  });

  test("a camera that sends little does not make the link seem slow", () => {
    const flight = new Flight();
    drive(flight, { rate: 12_500, roundTripMs: 20 }, 0, 5_000);
    const before = flight.rate;
    let total = flight.bytes === 0 ? 0 : -1;
    expect(total).not.toBe(0);
    total = 0;
    const quiet = new Flight();
    for (let nowMs = 0; nowMs < 10_000; nowMs += 33) {
      quiet.handed(20_000, nowMs);
      total += 20_000;
      expect(quiet.arrived(total, nowMs + 21)).toBe(true);
      expect(quiet.open).toBe(true);
    }
    expect(before).toBeGreaterThan(11_000);
    expect(quiet.limitBytes).toBeGreaterThanOrEqual(flightBytesMin);
  });

  test("more than was sent is not believed", () => {
    const flight = new Flight();
    flight.handed(10, 0);
    expect(flight.arrived(11, 1)).toBe(false);
    expect(flight.arrived(10, 1)).toBe(true);
    expect(flight.arrived(10, 2)).toBe(true);
  });
});

test("a token bucket lets through its rate, and a short burst after a pause", () => {
  const bucket = new TokenBucket(1_000, 0);
  let sent = 0;
  let nowMs = 0;
  while (nowMs < 10_000) {
    const openAtMs = bucket.openAtMs(nowMs);
    if (openAtMs > nowMs) {
      nowMs = openAtMs;
      continue;
    }
    bucket.spend(5_000, nowMs);
    sent += 5_000;
  }
  expect(sent).toBeGreaterThan(9_990_000);
  expect(sent).toBeLessThan(10_060_000);
  // A minute of silence is not saved up.
  nowMs += 60_000;
  for (sent = 0; bucket.openAtMs(nowMs) <= nowMs; sent += 5_000) bucket.spend(5_000, nowMs);
  expect(sent).toBeLessThanOrEqual(55_000);
});
