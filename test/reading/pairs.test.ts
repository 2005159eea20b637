/** Pairs against what their definition says, frame by frame, over all of both streams. */
import { describe, expect, test } from "bun:test";
import { array, assert, integer, property } from "fast-check";
import { pairsOf, type Timed } from "../../src/reading/pairs.ts";

interface Frame extends Timed {
  readonly id: string;
}

function framesAt(side: string, times: readonly number[]): Frame[] {
  return times.toSorted((a, b) => a - b).map((time, at) => ({ id: `${side}${at}`, timeNs: BigInt(time) }));
}

function distance(a: Frame, b: Frame): bigint {
  return a.timeNs < b.timeNs ? b.timeNs - a.timeNs : a.timeNs - b.timeNs;
}

/** Of two that are equally near, and of several with one time, the first. */
function nearest(of: Frame, among: readonly Frame[]): Frame | undefined {
  let best = among[0];
  for (const frame of among) if (best !== undefined && distance(of, frame) < distance(of, best)) best = frame;
  return best;
}

function defined(a: readonly Frame[], b: readonly Frame[], withinNs: bigint): string[] {
  return a.flatMap((first) => {
    const second = nearest(first, b);
    if (second === undefined || distance(first, second) > withinNs) return [];
    return nearest(second, a) === first ? [`${first.id} ${second.id}`] : [];
  });
}

function found(a: Iterable<Frame>, b: Iterable<Frame>, withinNs: bigint): { pairs: string[]; unpaired: string[] } {
  const [pairs, unpaired]: [string[], string[]] = [[], []];
  for (const { first, second } of pairsOf(a, b, withinNs)) {
    if (first !== undefined && second !== undefined) pairs.push(`${first.id} ${second.id}`);
    else unpaired.push((first ?? second).id);
  }
  return { pairs, unpaired };
}

const times = array(integer({ min: -40, max: 40 }), { maxLength: 30 });
const within = integer({ min: 0, max: 20 }).map(BigInt);

describe("pairs", () => {
  test("are the frames of which each is the other's nearest, and every other frame is in none", () => {
    assert(
      property(times, times, within, (timesOfA, timesOfB, withinNs) => {
        const [a, b] = [framesAt("a", timesOfA), framesAt("b", timesOfB)];
        const { pairs, unpaired } = found(a, b, withinNs);
        expect(pairs).toEqual(defined(a, b, withinNs));
        const paired = pairs.flatMap((pair) => pair.split(" "));
        expect([...paired, ...unpaired].toSorted()).toEqual([...a, ...b].map(({ id }) => id).toSorted());
      }),
      { numRuns: 3000 },
    );
  });

  test("are the same whichever source is first", () => {
    assert(
      property(times, times, within, (timesOfA, timesOfB, withinNs) => {
        const [a, b] = [framesAt("a", timesOfA), framesAt("b", timesOfB)];
        const turned = found(b, a, withinNs).pairs.map((pair) => pair.split(" ").toReversed().join(" "));
        expect(turned).toEqual(found(a, b, withinNs).pairs);
      }),
    );
  });

  test("of two cameras that are a little apart are all frames; the faster one's others are in none", () => {
    const visible = framesAt(
      "v",
      Array.from({ length: 90 }, (_, at) => at * 33),
    );
    const infrared = framesAt(
      "i",
      Array.from({ length: 30 }, (_, at) => at * 99 + 5),
    );
    const { pairs, unpaired } = found(visible, infrared, 20n);
    expect(pairs).toEqual(Array.from({ length: 30 }, (_, at) => `v${at * 3} i${at}`));
    expect(unpaired).toHaveLength(60);
  });

  test("are found with two frames of each stream in hand", () => {
    const pulled = { a: 0, b: 0 };
    function* endless(side: "a" | "b", offset: number): Generator<Frame, void> {
      for (;;) {
        yield { id: `${side}${pulled[side]}`, timeNs: BigInt(100 * pulled[side] + offset) };
        pulled[side] += 1;
      }
    }
    let count = 0;
    for (const { first, second } of pairsOf(endless("a", 0), endless("b", 7), 20n)) {
      expect([first?.id, second?.id]).toEqual([`a${count}`, `b${count}`]);
      count += 1;
      expect(Math.max(pulled.a, pulled.b) - count).toBeLessThanOrEqual(1);
      if (count === 50) break;
    }
    expect(count).toBe(50);
  });
});
