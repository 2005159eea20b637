/** What the receiver has by name, size and time: believed where that is proof, and compared where it is not. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "../../../src/bytes/checksum.ts";
import type { FrameEntry } from "../../../src/frame.ts";
import { MiB } from "../../../src/limits.ts";
import type { Listed, Source } from "../../../src/ports.ts";
import {
  DirectorySource,
  type DirectorySourceOptions,
  type SourceProblem,
} from "../../../src/sources/directory/directory-source.ts";
import { WatchedDirectory } from "../../../src/sources/watch/watched-directory.ts";
import { systemClock } from "../../../src/system/system-clock.ts";
import { SimClock } from "../../simulation/sim-clock.ts";
import { jpegOf } from "./pictures.ts";

let root = "";
let problems: SourceProblem[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-"));
  problems = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const [here, there] = [crc32(Buffer.from("here")), crc32(Buffer.from("other bytes"))];

function listed(time: number, options: Partial<DirectorySourceOptions> = {}): [DirectorySource, FrameEntry] {
  const path = join(root, "1.jpg");
  writeFileSync(path, "here");
  utimesSync(path, time, time);
  const onProblem = (problem: SourceProblem): void => void problems.push(problem);
  const source = new DirectorySource({ name: "visible", root, clock: systemClock, onProblem, ...options });
  const entry = { name: "1.jpg", bytes: 4, capturedNs: BigInt(time) * 1_000_000_000n };
  return [source, entry];
}

test("a sane time is believed, a clock that was never set is not", () => {
  const [sane, entry] = listed(1_764_000_000);
  expect([sane.confirms(entry, here), sane.confirms(entry, there)]).toEqual([true, true]);
  const [lost, old] = listed(315_532_800);
  expect([lost.confirms(old, here), lost.confirms(old, there)]).toEqual([true, false]);
});

test("with compareAlways nothing is believed", () => {
  const [source, entry] = listed(1_764_000_000, { compareAlways: true });
  expect([source.confirms(entry, here), source.confirms(entry, there)]).toEqual([true, false]);
});

test("what will be deleted is compared first, and not read again for it", () => {
  const [source, entry] = listed(1_764_000_000, { deleteSent: true });
  expect([source.confirms(entry, there), source.confirms(entry, here)]).toEqual([false, true]);
  source.settled(entry, "duplicate", here);
  expect(existsSync(join(root, "1.jpg"))).toBe(false);
  expect(problems).toEqual([]);
});

test("a file that is gone is not asked for again; one that cannot be read is named", () => {
  const [source, entry] = listed(0);
  unlinkSync(join(root, "1.jpg"));
  expect(source.confirms(entry, there)).toBe(true);
  expect(problems).toEqual([]);
});

describe("a large file is compared piece by piece", () => {
  const bytes = 9 * MiB + 5;
  const content = Buffer.alloc(bytes, 7);

  function large(): [DirectorySource, FrameEntry] {
    const [source, entry] = listed(0);
    writeFileSync(join(root, "1.jpg"), content);
    return [source, { ...entry, bytes }];
  }

  function answers(source: DirectorySource, entry: FrameEntry, checksum: number): (boolean | undefined)[] {
    const all: (boolean | undefined)[] = [];
    while (all.at(-1) === undefined && all.length < 9) all.push(source.confirms(entry, checksum));
    return all;
  }

  test("and is the same, or not", () => {
    const [source, entry] = large();
    expect(answers(source, entry, crc32(content))).toEqual([undefined, undefined, true]);
    expect(answers(source, entry, there)).toEqual([undefined, undefined, false]);
  });

  test("what changes meanwhile is sent, and nobody goes on with what was read of another file, or before", () => {
    const [source, entry] = large();
    expect(source.confirms(entry, there)).toBeUndefined();
    appendFileSync(join(root, "1.jpg"), "more");
    expect(answers(source, entry, crc32(content))).toEqual([undefined, false]);
    writeFileSync(join(root, "1.jpg"), content);
    expect(source.confirms(entry, there)).toBeUndefined();
    source.open(entry).close();
    expect(answers(source, entry, crc32(content))).toEqual([undefined, undefined, true]);
    expect(source.confirms(entry, there)).toBeUndefined();
    writeFileSync(join(root, "2.jpg"), "here");
    expect(source.confirms({ ...entry, name: "2.jpg", bytes: 4 }, here)).toBe(true);
    expect(answers(source, entry, crc32(content))).toEqual([undefined, undefined, true]);
  });

  test("nothing stays open", () => {
    const [source, entry] = large();
    const before = readdirSync("/proc/self/fd").length;
    expect(source.confirms(entry, there)).toBeUndefined();
    source.dispose();
    expect(readdirSync("/proc/self/fd").length).toBe(before);
  });
});

describe("what was believed before its time was seen to prove nothing", () => {
  const time = 1_764_000_000;

  function put(name: string, content: string | Uint8Array): FrameEntry {
    writeFileSync(join(root, name), content);
    utimesSync(join(root, name), time, time);
    return { name, bytes: content.length, capturedNs: BigInt(time) * 1_000_000_000n };
  }

  function names(all: readonly Listed[] | undefined): string[] {
    return (all ?? []).map((one) => ("live" in one ? `${one.name} again` : one.name));
  }

  const kinds: [string, (clock: SimClock) => Source][] = [
    ["a directory", (clock) => new DirectorySource({ name: "visible", root, clock })],
    ["a watched one", (clock) => new WatchedDirectory({ name: "visible", root, clock })],
  ];

  /** The bytes of the first of two are those that the receiver has, or others. */
  test.each(kinds)("%s: is compared, and sent if it is another picture", (_kind, open) => {
    for (const isSame of [true, false]) {
      const clock = new SimClock();
      // Of a raw file nothing but silence tells that it is finished.
      const [first, second] = ["1.raw", "2.raw"].map((name) => put(name, isSame ? "here" : "this"));
      const source = open(clock);
      const list = (max: number): string[] => names(source.list(max) as Listed[] | undefined);
      expect(list(9)).toEqual([]);
      clock.pass(2_500);
      expect(list(1)).toEqual(["1.raw"]);
      expect(source.confirms?.(first as FrameEntry, here)).toBe(true);
      source.settled(first as FrameEntry, "duplicate", here);
      expect(list(1)).toEqual(["2.raw"]);
      expect(source.confirms?.(second as FrameEntry, here)).toBe(isSame);
      const later: string[] = [];
      for (let pass = 0; pass < 9; pass += 1) {
        later.push(...list(9));
        clock.pass(500);
      }
      expect(later).toEqual(isSame ? [] : ["1.raw again"]);
      source.dispose();
    }
  });

  test.each(kinds)("%s: twenty files of one time, of which the first were believed one by one", (_kind, open) => {
    const clock = new SimClock();
    const files = Array.from({ length: 20 }, (_, at) => ({ name: `${at}.jpg`, content: jpegOf(`${at}`, 100 + at) }));
    const entries = files.map(({ name, content }) => put(name, content));
    const source = open(clock);
    if (source.live === true) source.list(0);
    clock.pass(2_500);
    // The receiver has others under some names.
    const has = files.map(({ content }, at) => (at % 5 === 0 ? there : crc32(content)));
    for (const [at, entry] of entries.entries()) {
      expect(names(source.list(1) as Listed[])).toEqual([entry.name]);
      expect(source.confirms?.(entry, has[at] ?? 0)).toBe(true);
      source.settled(entry, "duplicate", has[at]);
    }
    // As a session does it: until there is nothing, and again when the source says so.
    const later: string[] = [];
    source.onReady = () => {
      let batch = source.list(9) as Listed[] | undefined;
      for (; batch !== undefined && batch.length > 0; batch = source.list(9) as Listed[] | undefined)
        later.push(...names(batch));
    };
    source.onReady();
    clock.pass(5_000);
    expect(later).toEqual(["0.jpg again", "5.jpg again", "10.jpg again", "15.jpg again"]);
    source.dispose();
  });
});
