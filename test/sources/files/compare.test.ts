/** What the receiver has by name, size and time: believed where that is proof, and compared where it is not. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "../../../src/bytes/checksum.ts";
import type { FrameEntry } from "../../../src/frame.ts";
import {
  DirectorySource,
  type DirectorySourceOptions,
  type SourceProblem,
} from "../../../src/sources/directory/directory-source.ts";
import { systemClock } from "../../../src/system/system-clock.ts";

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
