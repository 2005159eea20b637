/**
 * The MCAP sink and a receiver that dies. A run stores frames, and at random moments the file is copied as a crash
 * would leave it:
 * - killed: all that was written until then is there, the last write in part;
 * - without power: all that was flushed is there, and of each later write all, its beginning, some pages, or nothing.
 * Each copy is then read by a plain reader (killed only: nothing else can be promised), and by the next receiver, which
 * goes on with it. All that was acknowledged before the crash must be there, and nothing that is not whole.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ArchiveFile, ArchiveFileState } from "../../../src/archive-formats/archive-file.ts";
import { crc32 } from "../../../src/bytes/checksum.ts";
import type { Frame } from "../../../src/frame.ts";
import { MiB } from "../../../src/limits.ts";
import type { Sink } from "../../../src/ports.ts";
import { type OpenArchiveFile, openNodeArchiveFile } from "../../../src/sinks/archive/archive-file.ts";
import { openMcapStore } from "../../../src/sinks/mcap/mcap-store.ts";
import { indexCacheBytesMax } from "../../../src/sinks/store/frame-index.ts";
import { gatheredBytesMax } from "../../../src/sinks/store/gathered-frame.ts";
import { Layout, layoutDefault } from "../../../src/sinks/store/layout.ts";
import type { SyncMode } from "../../../src/sinks/store/sync-mode.ts";
import { Random } from "../../support/random.ts";
import { commit, lookupNow, openWriter, session, sinkOf, someGap } from "../suite.ts";
import { readIndexed, readPictures } from "./mcap-place.ts";

/** Of frames; a chunk has room for a few. The last is larger than one write, and rare. */
const sizes = [0, 1, 50, 500, 3_000, 9_000, 20_000, 1_100_000];
const chunkBytesMax = 16_000;
const pageBytes = 4096;

interface Picture {
  readonly frame: Frame;
  readonly bytes: Uint8Array;
}

interface Snapshot {
  readonly kind: "kill" | "power";
  readonly content: Uint8Array;
  readonly acknowledged: readonly Picture[];
}

interface Write {
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** A file that takes snapshots of itself. */
class WatchedFile implements ArchiveFile {
  readonly #file: ArchiveFile;
  readonly #random: Random;
  readonly #snapshot: (kind: "kill" | "power", content: Uint8Array) => void;
  /** Content at the last flush. What was there before the first write had been flushed by whoever wrote it. */
  #flushed: Uint8Array | undefined;
  #later: Write[] = [];
  /** The device never gets what it is told to flush, and says that it has. */
  readonly #lies: boolean;

  constructor(
    file: ArchiveFile,
    random: Random,
    lies: boolean,
    snapshot: (kind: "kill" | "power", content: Uint8Array) => void,
  ) {
    this.#file = file;
    this.#random = random;
    this.#lies = lies;
    this.#snapshot = snapshot;
  }

  get path(): string {
    return this.#file.path;
  }

  get identity(): string {
    return this.#file.identity;
  }

  get bytes(): number {
    return this.#file.bytes;
  }

  read(into: Uint8Array, position: number): number {
    return this.#file.read(into, position);
  }

  write(views: readonly Uint8Array[], position: number): void {
    const bytes = Buffer.concat(views);
    this.#flushed ??= readFileSync(this.path);
    if (this.#random.chance(0.3)) {
      // A signal ends a write between two pages of memory, so what is small is written or not.
      const count = bytes.byteLength < 64 ? bytes.byteLength : this.#random.int(bytes.byteLength + 1);
      this.#snapshot("kill", overwritten(readFileSync(this.path), { position, bytes: bytes.subarray(0, count) }));
    }
    this.#file.write(views, position);
    this.#later.push({ position, bytes });
    if (this.#random.chance(0.2)) this.#losePower();
  }

  #losePower(): void {
    let content = this.#flushed ?? readFileSync(this.path);
    for (const { position, bytes } of this.#later) {
      const fate = this.#random.pick(["all", "some", "pages", "nothing"]);
      if (fate === "all") content = overwritten(content, { position, bytes });
      if (fate === "some") {
        content = overwritten(content, { position, bytes: bytes.subarray(0, this.#random.int(bytes.byteLength + 1)) });
      }
      if (fate === "pages") content = this.#overwrittenByPages(content, { position, bytes });
    }
    this.#snapshot("power", content);
  }

  /** Every page reaches the device by itself. New room without content reads as zeros; what is written over stays. */
  #overwrittenByPages(content: Uint8Array, { position, bytes }: Write): Uint8Array {
    let result = content;
    for (let at = 0; at < bytes.byteLength; at += pageBytes) {
      const page = { position: position + at, bytes: bytes.subarray(at, at + pageBytes) };
      if (this.#random.chance(0.8)) result = overwritten(result, page);
      else if (page.position >= result.byteLength) {
        result = overwritten(result, { ...page, bytes: new Uint8Array(page.bytes.byteLength) });
      }
    }
    return result;
  }

  probe(bytes: number, position: number): void {
    this.#file.probe(bytes, position);
  }

  resize(bytes: number): void {
    this.#file.resize(bytes);
    this.#flushed = this.#flushed?.slice(0, bytes);
  }

  async sync(): Promise<void> {
    if (this.#random.chance(0.3)) this.#losePower();
    await this.#file.sync();
    if (this.#lies) return;
    this.#flushed = readFileSync(this.path);
    this.#later = [];
  }

  syncNow(): void {
    this.#file.syncNow();
    if (this.#lies) return;
    this.#flushed = readFileSync(this.path);
    this.#later = [];
  }

  look(): ArchiveFileState {
    return this.#file.look();
  }

  size(): number {
    return this.#file.size();
  }

  freeBytes(): number {
    return this.#file.freeBytes();
  }

  close(): void {
    this.#file.close();
  }
}

function overwritten(content: Uint8Array, { position, bytes }: Write): Uint8Array {
  if (bytes.byteLength === 0) return content;
  const result = new Uint8Array(Math.max(content.byteLength, position + bytes.byteLength));
  result.set(content);
  result.set(bytes, position);
  return result;
}

class CrashRun {
  readonly #random: Random;
  readonly #sync: SyncMode;
  readonly #lies: boolean;
  readonly #path: string;
  readonly snapshots: Snapshot[] = [];
  #acknowledged: readonly Picture[] = [];
  #sequence = 0;

  constructor(folder: string, seed: number, sync: SyncMode, lies = false) {
    this.#random = new Random(seed);
    this.#sync = sync;
    this.#lies = lies;
    this.#path = join(folder, `${seed}.mcap`);
  }

  async run(): Promise<void> {
    for (let life = 0; life < 3; life += 1) {
      const sink = this.#open(this.#path, (path, create) => this.#watched(openNodeArchiveFile(path, create)));
      for (let group = this.#random.int(5); group >= 0; group -= 1) {
        for (let count = this.#random.int(6); count >= 0; count -= 1) this.#stageOne(sink);
        if (this.#random.chance(0.3)) sink.gap(someGap, () => {});
        expect(await commit(sink)).toBeUndefined();
      }
      sink.dispose();
    }
    await this.#check(this.#path, this.#acknowledged, this.#acknowledged.length);
  }

  #watched(file: ArchiveFile): ArchiveFile {
    return new WatchedFile(file, this.#random, this.#lies, (kind, content) => {
      if (this.#random.chance(0.4)) this.snapshots.push({ kind, content, acknowledged: this.#acknowledged });
    });
  }

  #open(path: string, openFile: OpenArchiveFile): Sink {
    const options = {
      path,
      layout: new Layout(layoutDefault),
      sync: this.#sync,
      frameBytesMax: 8 * MiB,
      minFreeBytes: 0,
      memoryBytesMax: gatheredBytesMax,
      cacheBytes: indexCacheBytesMax,
      openFile,
      clock: { nowMs: () => 0, wallNs: () => 5n },
      chunkBytesMax,
    };
    return sinkOf(openMcapStore(options), options);
  }

  #stageOne(sink: Sink): void {
    const sequence = (this.#sequence += 1);
    const bytes = Buffer.alloc(
      this.#random.pick(this.#random.chance(0.05) ? sizes : sizes.slice(0, -1)),
      this.#random.bytes(97),
    );
    if (this.#random.chance(0.7)) bytes.write("\xff\xd8\xff", "latin1");
    const origin = { device: "rig", source: this.#random.pick(["visible", "infrared", "depth"]), session };
    const capturedNs = BigInt(this.#random.int(1e9));
    const frame = { origin, name: `${sequence}.jpg`, sequence, bytes: bytes.byteLength, capturedNs };
    const writer = openWriter(sink, frame);
    writer.write(bytes);
    writer.finish(crc32(bytes), (result) => {
      if (result !== "stored") throw new Error(`${frame.name} became ${String(result)}`);
      this.#acknowledged = [...this.#acknowledged, { frame, bytes }];
    });
  }

  /** The next receiver finds what was acknowledged, goes on, and leaves a file that all readers open. */
  async recover({ kind, content, acknowledged }: Snapshot): Promise<void> {
    const path = `${this.#path}.copy.mcap`;
    writeFileSync(path, content);
    if (kind === "kill") checkPictures(path, acknowledged);
    const sink = this.#open(path, openNodeArchiveFile);
    for (const { frame, bytes } of acknowledged) {
      const [verdict] = lookupNow(sink, frame.origin, [frame]);
      expect(verdict).toEqual({ kind: "have", outcome: "stored", crc32: crc32(bytes) });
    }
    checkPictures(path, acknowledged);
    const before = this.#acknowledged;
    this.#acknowledged = acknowledged;
    this.#stageOne(sink);
    this.#stageOne(sink);
    expect(await commit(sink)).toBeUndefined();
    sink.dispose();
    await this.#check(path, this.#acknowledged);
    this.#acknowledged = before;
    rmSync(path);
  }

  async #check(path: string, pictures: readonly Picture[], exactly?: number): Promise<void> {
    const stored = checkPictures(path, pictures);
    if (exactly !== undefined) expect(stored).toBe(exactly);
    const { messages, channels } = await readIndexed(path);
    const facts = messages.filter(({ channelId }) => channels.get(channelId)?.topic === "/framepipe/frames");
    expect(facts.length).toBe(stored);
  }
}

/** A plain reader finds these and perhaps more, whole, and no error. Returns how many there are. */
function checkPictures(path: string, pictures: readonly Picture[]): number {
  const found = readPictures(path);
  for (const { frame, bytes } of pictures) {
    const picture = found.get(`rig/${frame.origin.source}/${frame.name}`);
    if (picture === undefined) throw new Error(`${frame.name} was acknowledged and is not there`);
    if (Buffer.compare(picture.bytes, bytes) !== 0) throw new Error(`${frame.name} has other bytes`);
  }
  return found.size;
}

async function runSeeds(
  seeds: number,
  sync: SyncMode,
  options: { readonly kinds?: readonly string[]; readonly lies?: boolean } = {},
): Promise<{ violation: string | undefined; crashes: number }> {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-"));
  let crashes = 0;
  try {
    for (let seed = 1; seed <= seeds; seed += 1) {
      const run = new CrashRun(folder, seed, sync, options.lies);

      try {
        await run.run();
        for (const snapshot of run.snapshots) {
          if (options.kinds?.includes(snapshot.kind) === false) continue;
          crashes += 1;

          await run.recover(snapshot);
        }
      } catch (error) {
        return { violation: `seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`, crashes };
      }
    }
    return { violation: undefined, crashes };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("mcap sink that dies", () => {
  for (const sync of ["batch", "each"] as const) {
    test(`--sync ${sync}: all that was acknowledged is there and whole, killed or without power`, async () => {
      const { violation, crashes } = await runSeeds(sync === "batch" ? 12 : 6, sync);
      expect(violation).toBeUndefined();
      expect(crashes).toBeGreaterThan(50);
    });
  }

  test("--sync never: the same, as long as only the process dies", async () => {
    const { violation, crashes } = await runSeeds(10, "never", { kinds: ["kill"] });
    expect(violation).toBeUndefined();
    expect(crashes).toBeGreaterThan(10);
  });

  test("a device that flushes nothing is found out", async () => {
    expect((await runSeeds(12, "batch", { lies: true })).violation).toBeDefined();
  });
});
