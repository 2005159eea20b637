/** Frames and pairs near a moment: what is seen by somebody who steps through a recording. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { frameAt, framesNear, type Near, pairsNear } from "../../src/reading/near.ts";
import { ownFolder } from "../../src/sinks/directory/catalogue.ts";
import { FrameQuery } from "../../src/sinks/directory/frame-query.ts";
import { openSqliteCatalogue } from "../../src/sinks/directory/sqlite-catalogue.ts";

const session = "0".repeat(32);
const [visible, infrared] = [
  { device: "rig", source: "vis" },
  { device: "rig", source: "ir" },
];
let directory: string;
let query: FrameQuery;

/** `vis` at 0, 10, 20, … 990 ns; `ir` at 3, 43, 83, …, and three at 500. */
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "framepipe-"));
  mkdirSync(join(directory, ownFolder));
  const catalogue = openSqliteCatalogue(directory, "never");
  const all = [
    ...Array.from({ length: 100 }, (_value, at) => ["vis", 10 * at] as const),
    ...Array.from({ length: 25 }, (_value, at) => ["ir", 40 * at + 3] as const),
    ...[500, 500, 500].map((at) => ["ir", at] as const),
  ];
  const frames = all.map(([source, atNs], sequence) => ({
    frame: {
      origin: { device: "rig", source, session },
      sequence,
      name: String(sequence),
      bytes: 1,
      capturedNs: BigInt(atNs),
    },
    path: `${source}/${sequence}`,
    number: 1,
    crc32: 0,
    receivedNs: 0n,
  }));
  catalogue.record({ frames, gaps: [], ends: [], outcomes: [], nowNs: 1n });
  catalogue.close();
  query = new FrameQuery(directory);
});
afterAll(() => {
  query.close();
  rmSync(directory, { recursive: true });
});

function near(at: number | undefined, before: number, after: number, id?: number): Near {
  return { at: at === undefined ? undefined : { timeNs: BigInt(at), id }, before, after, clock: "sender" };
}

function times(of: Near, source = visible): number[] {
  return framesNear(query, source, of).map(({ timeNs }) => Number(timeNs));
}

test("a frame's neighbours, at any place, and the newest", () => {
  expect(times(near(45, 2, 3))).toEqual([30, 40, 50, 60, 70]);
  expect(times(near(50, 1, 1))).toEqual([40, 50]);
  expect(times(near(50, 1, 1, 6))).toEqual([40, 60]);
  expect(times(near(-5, 3, 1))).toEqual([0]);
  expect(times(near(5000, 1, 3))).toEqual([990]);
  expect(times(near(undefined, 2, 2))).toEqual([980, 990]);
  // One by one through frames of one moment, forwards and back.
  const ids = framesNear(query, infrared, near(500, 0, 3)).map(({ id }) => id);
  expect(ids).toHaveLength(3);
  const [first = 0, second = 0, third = 0] = ids;
  const idsNear = (id: number): number[] => framesNear(query, infrared, near(500, 1, 1, id)).map((row) => row.id);
  expect(idsNear(second)).toEqual([first, third]);
  expect([idsNear(first)[1], idsNear(third)[0]]).toEqual([second, second]);
});

test("the frame at a moment is the nearest, the earlier of two", () => {
  const at = (moment: number): number => Number(frameAt(query, visible, BigInt(moment), "sender")?.timeNs);
  expect([at(-100), at(0), at(4), at(5), at(6), at(994), at(9999)]).toEqual([0, 0, 0, 0, 10, 990, 990]);
  expect(frameAt(query, { device: "rig", source: "no" }, 5n, "sender")).toBeUndefined();
});

test("pairs around a moment are those of the whole recording", () => {
  const pairs = (of: Near, withinNs = 4n): [number, number][] =>
    pairsNear(query, [visible, infrared], withinNs, of).map(([one, other]) => [
      Number(one.timeNs),
      Number(other.timeNs),
    ]);
  const all = pairs(near(0, 0, 500));
  // At 500 the one of the three that was stored first, and 480 and 520 as everywhere.
  expect(all).toHaveLength(26);
  expect(all.slice(0, 2)).toEqual([
    [0, 3],
    [40, 43],
  ]);
  for (const at of [0, 1, 79, 80, 81, 500, 983, 5000]) {
    const before = all.filter(([time]) => time < at);
    const after = all.filter(([time]) => time >= at);
    expect(pairs(near(at, 3, 2))).toEqual([...before.slice(-3), ...after.slice(0, 2)]);
  }
  // At 42 the infrared one of 43 is near to 50, and nearer to what was before.
  expect(pairs(near(42, 0, 1), 8n)).toEqual([[80, 83]]);
  expect(pairs(near(undefined, 1, 0))).toEqual(all.slice(-1));
});
