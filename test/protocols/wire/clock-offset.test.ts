/** How far the sender's clock is off: from exchanges of any delay, and in a conversation. */
import { describe, expect, test } from "bun:test";
import { pingMs } from "../../../src/limits.ts";
import { ClockOffset } from "../../../src/protocols/wire/clock-offset.ts";
import { Random } from "../../support/random.ts";
import { SessionPair } from "./pair.ts";

const msNs = 1_000_000n;
const startNs = 1_795_000_000_000n * msNs;

/** As a system gives it: whole milliseconds. */
function clockAt(ns: bigint): bigint {
  return (ns / msNs) * msNs;
}

describe("the offset of a clock", () => {
  function exchange(offset: ClockOffset, sentNs: bigint, offsetNs: bigint, thereNs: bigint, backNs: bigint): void {
    offset.pinged(clockAt(sentNs));
    const peerNs = clockAt(sentNs + thereNs + offsetNs);
    offset.ponged(clockAt(sentNs), peerNs, clockAt(sentNs + thereNs + backNs));
  }

  test("is wrong by half of the shortest exchange at most, whatever lay between", () => {
    for (let seed = 0; seed < 300; seed += 1) {
      const random = new Random(seed);
      const offset = new ClockOffset();
      const trueNs = BigInt(random.int(2e9) - 1e9) * BigInt(random.pick([1, 1000, 1_000_000]));
      let shortestNs = 2n ** 62n;
      for (let at = 0; at < 20; at += 1) {
        const [thereNs, backNs] = [BigInt(random.int(5e8)), BigInt(random.int(random.pick([1e6, 5e8])))];
        if (thereNs + backNs < shortestNs) shortestNs = thereNs + backNs;
        exchange(offset, startNs + BigInt(at) * 1000n * msNs, trueNs, thereNs, backNs);
        const wrongNs = (offset.offsetNs ?? 2n ** 62n) - trueNs;
        // Of equal clocks it says that they are; of others the middle. Drift widens what is known by 2 ms in 20 s.
        const boundNs = (offset.offsetNs === 0n ? shortestNs : shortestNs / 2n) + 4n * msNs;
        expect(wrongNs < 0n ? -wrongNs : wrongNs).toBeLessThanOrEqual(boundNs);
      }
    }
  });

  test("is nothing where the clocks agree as far as can be seen", () => {
    const offset = new ClockOffset();
    exchange(offset, startNs, 3n * msNs, 4n * msNs, 4n * msNs);
    expect(offset.offsetNs).toBe(0n);
    exchange(offset, startNs + 1000n * msNs, 3n * msNs, 0n, 0n);
    expect(offset.offsetNs).toBe(3n * msNs);
  });

  test("follows a clock that is set, and stays with the better measurement otherwise", () => {
    const offset = new ClockOffset();
    exchange(offset, startNs, -50_000n * msNs, 0n, 0n);
    exchange(offset, startNs + 1000n * msNs, -50_000n * msNs, 300n * msNs, 0n);
    expect(offset.offsetNs).toBe(-50_000n * msNs);
    exchange(offset, startNs + 2000n * msNs, 7000n * msNs, 300n * msNs, 300n * msNs);
    expect(offset.offsetNs).toBe(7000n * msNs);
  });

  test("is believed anew when the clocks had time to drift", () => {
    const offset = new ClockOffset();
    exchange(offset, startNs, 5000n * msNs, 0n, 0n);
    exchange(offset, startNs + 1000n * msNs, 5015n * msNs, 20n * msNs, 20n * msNs);
    expect(offset.offsetNs).toBe(5000n * msNs);
    exchange(offset, startNs + 6n * 3_600_000n * msNs, 5015n * msNs, 20n * msNs, 20n * msNs);
    expect(offset.offsetNs).toBe(5015n * msNs);
  });

  test("is not measured by an echo of what was never said, by a clock that went back, or beyond 64 bits", () => {
    const offset = new ClockOffset();
    offset.ponged(startNs, startNs + 9000n * msNs, startNs);
    offset.pinged(startNs);
    offset.ponged(startNs + 1n, startNs, startNs);
    offset.ponged(startNs, startNs, startNs - msNs);
    offset.ponged(startNs, -(2n ** 63n), startNs);
    expect(offset.offsetNs).toBeUndefined();
    offset.pinged(startNs);
    offset.ponged(startNs, startNs - 40n * msNs, startNs);
    offset.ponged(startNs, startNs + 1000n * msNs, startNs);
    expect(offset.offsetNs).toBe(-40n * msNs);
  });
});

describe("in a conversation", () => {
  const frames = { visible: { "1.jpg": new Uint8Array(5), "2.jpg": new Uint8Array(5) } };
  const offsetsOf = (pair: SessionPair): unknown[] =>
    pair.events.flatMap((event) => (event.type === "frame" ? [event.incoming.frame.clockOffsetNs] : []));

  test("the first frame has the offset already, ahead or behind", () => {
    for (const offsetNs of [86_400_000n * msNs, -1_795_000_000_000n * msNs, 0n]) {
      const pair = new SessionPair({ frames, clockOffsetNs: () => offsetNs });
      pair.run();
      expect(offsetsOf(pair)).toEqual([offsetNs, offsetNs]);
    }
  });

  test("each ping asks again, and sees that the clock was set", () => {
    let offsetNs = 0n;
    const pair = new SessionPair({
      frames,
      clockOffsetNs: () => offsetNs,
      verdict: (_, name) => (name === "2.jpg" ? { kind: "want" } : { kind: "have", outcome: "stored", crc32: 0 }),
      onFrame: ({ frame }, { receiver }) => {
        if (offsetNs === 0n) receiver.hold("full", 0);
        else expect(frame.clockOffsetNs).toBe(offsetNs);
      },
      onFrameEnd: (incoming, { receiver }) => {
        if (offsetNs === 0n) receiver.reject(incoming, "storage", "full", true);
        else receiver.settle(incoming.sourceIndex, incoming.frame.sequence, "stored");
      },
    });
    pair.run();
    offsetNs = -5000n * msNs;
    pair.nowMs += pingMs;
    pair.receiver.tick(pair.nowMs);
    pair.run();
    pair.receiver.resume(0);
    pair.run();
    expect(offsetsOf(pair)).toEqual([0n, offsetNs]);
    expect(pair.done).toBe(true);
  });
});
