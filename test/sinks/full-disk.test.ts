/** Sinks that stage frames in memory, on a disk that fills up: they say so before the frames are sent, not after. */
import { afterEach, describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "../../src/bytes/checksum.ts";
import { KiB, MiB } from "../../src/limits.ts";
import type { Sink } from "../../src/ports.ts";
import { openNodeArchiveFile } from "../../src/sinks/archive/archive-file.ts";
import { openMcapStore } from "../../src/sinks/mcap/mcap-store.ts";
import { openStdoutStore } from "../../src/sinks/stdout/stdout-store.ts";
import { indexCacheBytesMax } from "../../src/sinks/store/frame-index.ts";
import { gatheredBytesMax } from "../../src/sinks/store/gathered-frame.ts";
import { Layout, layoutDefault } from "../../src/sinks/store/layout.ts";
import { openTarStore } from "../../src/sinks/tar/tar-store.ts";
import { canMount, mountSmall } from "../support/small-disk.ts";
import { commit, frameOf, openWriter, type Result, sinkOf } from "./suite.ts";

const diskBytes = 12 * MiB;
const minFreeBytes = 2 * MiB;

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) cleanUp();
});

function makeDisk(): string {
  const parent = mkdtempSync(join(tmpdir(), "framepipe-"));
  cleanUps.push(() => rmSync(parent, { recursive: true }));
  cleanUps.push(mountSmall(join(parent, "disk"), diskBytes));
  return join(parent, "disk");
}

const kinds = ["tar", "mcap", "stdout"] as const;

function openOn(disk: string, kind: (typeof kinds)[number]): Sink {
  let nowMs = 0;
  const shared = {
    frameBytesMax: 100 * MiB,
    minFreeBytes,
    memoryBytesMax: gatheredBytesMax,
    cacheBytes: indexCacheBytesMax,
    clock: { nowMs: () => (nowMs += 100), wallNs: () => 1n },
    sync: "batch",
  } as const;
  if (kind === "stdout") {
    const descriptor = openSync(join(disk, "stream"), "w");
    cleanUps.push(() => closeSync(descriptor));
    const stream = { ...shared, descriptor, isTerminal: false, temporaryDirectory: disk, onClosed: () => {} };
    return sinkOf(openStdoutStore(stream), shared);
  }
  const layout = new Layout(layoutDefault);
  const file = {
    ...shared,
    path: join(disk, `day.${kind}`),
    layout,
    openFile: openNodeArchiveFile,
  };
  return sinkOf(kind === "tar" ? openTarStore(file) : openMcapStore(file), shared);
}

/** Stages frames as a hub does, until the sink is not ready for another. Returns how many. */
function stageUntilFull(sink: Sink, bytes: number, results: Result[], framesMax = 10_000): number {
  const content = new Uint8Array(bytes).fill(7);
  for (let count = 0; count < framesMax; count += 1) {
    if (sink.ready(bytes) !== undefined) return count;
    const writer = openWriter(sink, frameOf(`${bytes}-${count}.jpg`, "", { bytes }));
    writer.write(content);
    writer.finish(crc32(content), (result) => results.push(result));
  }
  throw new Error("it never said that it is full");
}

describe.skipIf(!canMount()).each(kinds)("%s on a disk that fills up", (kind) => {
  test.each([500, 100_000, 4 * MiB])("frames of %p bytes that it was ready for are stored", async (bytes) => {
    const disk = makeDisk();
    const sink = openOn(disk, kind);
    const results: Result[] = [];
    const count = stageUntilFull(sink, bytes, results);
    expect(count).toBeGreaterThan(0);
    expect(await commit(sink)).toBeUndefined();
    expect(results).toEqual(Array<Result>(count).fill("stored"));
    sink.dispose();
  });

  test("frames in progress count with what there is of them", () => {
    const disk = makeDisk();
    const sink = openOn(disk, kind);
    const writer = openWriter(sink, frameOf("1.jpg", "", { bytes: 6 * MiB }));
    expect(sink.ready(6 * MiB)).toBeUndefined();
    writer.write(new Uint8Array(5 * MiB));
    expect(sink.ready(6 * MiB)?.message).toContain(
      "too little for a frame of 6 MiB, 5 MiB before it and --min-free 2 MiB",
    );
    writer.abort();
    expect(sink.ready(6 * MiB)).toBeUndefined();
    sink.dispose();
  });

  test("a frame that goes through a file on the same disk needs its room twice", () => {
    const disk = makeDisk();
    const sink = openOn(disk, kind);
    // In a file, and 9 MiB of the 10 that may be used.
    const [fits, large] = kind === "stdout" ? [9 * MiB, 11 * MiB] : [4 * MiB, 9 * MiB];
    expect(sink.ready(fits)).toBeUndefined();
    expect(sink.ready(large)?.message).toContain("too little for a frame");
    sink.dispose();
  });

  test("after a commit that failed there must be room for all of it", async () => {
    const disk = makeDisk();
    const sink = openOn(disk, kind);
    const results: Result[] = [];
    const content = new Uint8Array(MiB);
    for (let count = 0; count < 6; count += 1) {
      const writer = openWriter(sink, frameOf(`${count}.jpg`, "", { bytes: MiB }));
      writer.write(content.fill(count));
      writer.finish(crc32(content), (result) => results.push(result));
    }
    // Somebody else fills the disk meanwhile. Standard output takes frame by frame.
    const filler = join(disk, "filler");
    writeFileSync(filler, new Uint8Array(kind === "stdout" ? 11.5 * MiB : 8 * MiB));
    expect((await commit(sink))?.message).toContain("the disk is full");
    for (let call = 0; call < 20; call += 1) expect(sink.ready(64 * KiB)).toBeDefined();
    // Room for one more of 64 KiB, and not for what failed.
    if (kind !== "stdout") {
      writeFileSync(filler, new Uint8Array(5 * MiB));
      for (let call = 0; call < 20; call += 1) expect(sink.ready(64 * KiB)?.message).toContain("too little");
    }
    rmSync(filler);
    for (let call = 0; call < 20 && sink.ready(64 * KiB) !== undefined; call += 1);
    expect(sink.ready(64 * KiB)).toBeUndefined();
    sink.dispose();
  });
});
