/** Where times prove something, and where they do not. */
import { expect, test } from "bun:test";
import { TimeDoubt } from "../../../src/sources/files/time-doubt.ts";

const now = 1_764_000_000_000_000_000n;
const entry = (name: string, bytes: number, capturedNs: bigint) => ({ name, bytes, capturedNs });

function doubts(...entries: ReturnType<typeof entry>[]): boolean[] {
  const doubt = new TimeDoubt();
  for (const each of entries) doubt.listed(each);
  return entries.map((each) => doubt.of(each));
}

test("a clock that was never set proves nothing", () => {
  const [from1980, before2000] = [315_532_800_000_000_000n, 946_684_799_999_999_999n];
  expect(doubts(entry("1.jpg", 1, 0n), entry("2.jpg", 2, from1980), entry("3.jpg", 3, before2000))).toEqual([
    true,
    true,
    true,
  ]);
  expect(doubts(entry("4.jpg", 4, before2000 + 1n))).toEqual([false]);
});

test("one time for twenty files proves nothing, for nineteen it may be a burst", () => {
  const files = (count: number) => Array.from({ length: count }, (_, at) => entry(`${at}.jpg`, 1000 + at, now));
  expect(doubts(...files(20)).every((each) => each)).toBe(true);
  expect(doubts(...files(19)).some((each) => each)).toBe(false);
});

test("raw files of one size are doubted, compressed ones when it is no chance any more", () => {
  const files = (count: number, extension: string) =>
    Array.from({ length: count }, (_, at) => entry(`${at}${extension}`, 163_840, now + BigInt(at) * 1_000_000n));
  expect(doubts(...files(2, ".raw"))).toEqual([true, true]);
  expect(doubts(...files(2, ""))).toEqual([true, true]);
  expect(doubts(...files(19, ".JPG")).some((each) => each)).toBe(false);
  expect(doubts(...files(20, ".jpg")).every((each) => each)).toBe(true);
  expect(doubts(entry("1.raw", 1, now), entry("2.raw", 2, now + 1n))).toEqual([false, false]);
});

test("what was believed before there were many is doubted after all, once", () => {
  const doubt = new TimeDoubt();
  const one = (name: string, bytes: number, capturedNs: bigint): string[] => {
    const each = entry(name, bytes, capturedNs);
    const doubted = doubt.listed(each).map((file) => file.entry.name);
    if (!doubt.of(each)) doubt.believed({ entry: each, crc32: 1 });
    return doubted;
  };
  const raws = ["1.raw", "2.raw", "3.raw"].map((name, at) => one(name, 163_840, now + BigInt(at) * 1_000_000n));
  expect(raws).toEqual([[], ["1.raw"], []]);
  const names = Array.from({ length: 25 }, (_, at) => `${at}.jpg`);
  const oneTime = names.map((name, at) => one(name, 1000 + at, now + 999_000_000n));
  expect(oneTime.flatMap((doubted) => doubted)).toEqual(names.slice(0, 19));
  expect(oneTime[19]).toHaveLength(19);
  const oneSize = names.map((name, at) => one(name, 77, now + BigInt(at) * 1_000_000_000_000n));
  expect(oneSize[19]?.toSorted()).toEqual(names.slice(0, 19).toSorted());
});

test("what is seen often is remembered among many others", () => {
  const doubt = new TimeDoubt();
  for (let at = 0; at < 200_000; at += 1) {
    doubt.listed(entry(`${at}.jpg`, at, now + BigInt(at) * 1_000_000n));
    if (at % 10_000 < 20) doubt.listed(entry(`${at}.raw`, 99_999_999, now - 1n - BigInt(at)));
  }
  expect(doubt.of(entry("1.raw", 99_999_999, now - 5n))).toBe(true);
  expect(doubt.of(entry("1.jpg", 5, now + 5_000_000n))).toBe(false);
});
