import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync } from "node:fs";
import { truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SourceError } from "../../../src/errors.ts";
import type { FrameEntry } from "../../../src/frame.ts";
import type { Listed, ListedFrame, ListedStretch } from "../../../src/ports.ts";
import type { SourceProblem } from "../../../src/sources/files/frame-files.ts";
import { FrameNames } from "../../../src/sources/stream/frame-names.ts";
import type { FrameStore } from "../../../src/sources/stream/frame-store.ts";
import { MemoryStore } from "../../../src/sources/stream/memory-store.ts";
import { Spool } from "../../../src/sources/stream/spool.ts";
import { StreamSource, type StreamSourceOptions } from "../../../src/sources/stream/stream-source.ts";
import { makeSplitter } from "../../../src/splitters/splitter.ts";
import { exifJpegOf, tiffOf } from "../exif-pictures.ts";
import { bytes, chunk, pngSignature } from "../../splitters/images.ts";
import { SimClock } from "../../simulation/sim-clock.ts";
import { canMount, mountSmall } from "../../support/small-disk.ts";

/** A pipe that the test fills. Nothing is given before it is asked for. */
class Pipe {
  readonly #waiting: Uint8Array[] = [];
  #ask: (() => void) | undefined;
  #ended = false;
  cancelled = false;
  /** Bytes that were taken. */
  taken = 0;

  write(text: string | Uint8Array): void {
    this.#waiting.push(Buffer.from(text as string));
    this.#ask?.();
  }

  end(): void {
    this.#ended = true;
    this.#ask?.();
  }

  async read(): Promise<{ value?: Uint8Array }> {
    while (this.#waiting.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#ask = resolve;
      });
    }
    const value = this.#waiting.shift();
    this.taken += value?.length ?? 0;
    return value === undefined ? {} : { value };
  }

  async cancel(): Promise<void> {
    this.cancelled = true;
    this.end();
  }
}

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "framepipe-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const run = "0123abcd";

/** What `frames` frames of four bytes count, and a half. */
function room(frames: number): number {
  return (frames + 0.5) * (4 + 1024);
}

/** A source of frames of four bytes, of which two may be kept. */
function sourceOf(changes: Partial<StreamSourceOptions> = {}) {
  const pipe = new Pipe();
  const clock = new SimClock();
  const problems: SourceProblem[] = [];
  let ready = 0;
  const source = new StreamSource({
    name: "visible",
    path: "-",
    reader: pipe,
    splitter: makeSplitter({ kind: "raw", bytes: 4 }, 4),
    names: new FrameNames("{sequence}-{run}.{extension}", run, "visible"),
    store: new MemoryStore(),
    keptBytesMax: room(2),
    fleeting: true,
    whenFull: "block",
    order: "oldest",
    captured: { kind: "arrival" },
    clock,
    onProblem: (problem) => problems.push(problem),
    ...changes,
  });
  source.onReady = () => ready++;
  return { source, pipe, clock, problems, readyCalls: () => ready };
}

/** Lets the source read what is there. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await Promise.resolve();
}

function isFrame(listed: Listed | ListedStretch): listed is ListedFrame {
  return "name" in listed && !("failure" in listed);
}

/** Frames as their bytes; gaps as what they say. */
function contents(source: StreamSource, listed: readonly (Listed | ListedStretch)[] = []): string[] {
  return listed.map((entry) => {
    if (isFrame(entry)) return read(source, entry);
    return `${"failure" in entry ? entry.failure : entry.stretch} x${entry.count ?? 1}`;
  });
}

/** All that it has by now. */
function listAll(source: StreamSource, max: number): (Listed | ListedStretch)[] {
  const all: (Listed | ListedStretch)[] = [];
  for (let some = source.list(max) ?? []; some.length > 0; some = source.list(max) ?? []) all.push(...some);
  return all;
}

function read(source: StreamSource, entry: FrameEntry): string {
  let opened;
  try {
    opened = source.open(entry);
  } catch (error) {
    if (error instanceof SourceError) return error.reason;
    throw error;
  }
  const buffer = new Uint8Array(3);
  let text = "";
  for (let count = 3; count === 3;) {
    count = opened.read(buffer);
    text += Buffer.from(buffer.subarray(0, count)).toString();
  }
  opened.close();
  return text;
}

const stores: [string, () => FrameStore][] = [
  ["memory", () => new MemoryStore()],
  ["spool", () => new Spool(folder, "spool", () => undefined)],
];

describe.each(stores)("a stream kept in %s", (_, makeStore) => {
  test("gives its frames in order, live, with names and times, and then no more", async () => {
    const { source, pipe, clock } = sourceOf({ store: makeStore(), keptBytesMax: room(20) });
    expect(source.list(10)).toEqual([]);
    pipe.write("aaaabb");
    await settle();
    pipe.write("bbcccc");
    pipe.end();
    await settle();
    const listed = source.list(10) ?? [];
    const capturedNs = clock.wallNs();
    const name = (at: number): string => `0000000${at}-${run}.raw`;
    expect(listed).toEqual([0, 1, 2].map((at) => ({ name: name(at), bytes: 4, capturedNs, live: true })));
    expect(contents(source, listed)).toEqual(["aaaa", "bbbb", "cccc"]);
    expect(source.list(10)).toBeUndefined();
  });

  test("a frame can be read again until it is settled", async () => {
    const { source, pipe } = sourceOf({ store: makeStore() });
    pipe.write("aaaa");
    await settle();
    const [entry] = source.list(1) ?? [];
    if (entry === undefined || !isFrame(entry)) throw new Error("one frame is there");
    expect([read(source, entry), read(source, entry)]).toEqual(["aaaa", "aaaa"]);
    const opened = source.open(entry);
    source.settled(entry, "stored");
    expect(opened.read(new Uint8Array(4))).toBe(4);
    opened.close();
    expect(read(source, entry)).toBe("dropped");
  });

  test("block: the stream is not read while too much is kept, and goes on when it is settled", async () => {
    const { source, pipe } = sourceOf({ store: makeStore() });
    for (const frame of ["aaaa", "bbbb", "cccc", "dddd", "eeee"]) pipe.write(frame);
    await settle();
    expect(pipe.taken).toBe(12);
    const listed = source.list(10) ?? [];
    expect(contents(source, listed)).toEqual(["aaaa", "bbbb", "cccc"]);
    for (const entry of listed) source.settled(entry as ListedFrame, "stored");
    await settle();
    expect(contents(source, source.list(10))).toEqual(["dddd", "eeee"]);
  });

  test("drop-oldest: what waits longest goes, counted before it is listed and as a gap of its own behind", async () => {
    const { source, pipe } = sourceOf({ store: makeStore(), whenFull: "drop-oldest" });
    pipe.write("aaaa");
    await settle();
    const first = source.list(10) ?? [];
    for (const frame of ["bbbb", "cccc", "dddd", "eeee"]) pipe.write(frame);
    await settle();
    expect(contents(source, first)).toEqual(["dropped"]);
    expect(contents(source, source.list(10))).toEqual(["dropped x2"]);
    expect(contents(source, source.list(10))).toEqual(["dddd", "eeee"]);
    expect(source.list(10)).toEqual([]);
  });

  test("newest: the last frame first; only live ones if asked", async () => {
    const { source, pipe } = sourceOf({ store: makeStore(), order: "newest", keptBytesMax: room(20) });
    pipe.write("aaaabbbbcccc");
    await settle();
    expect(contents(source, source.list(2, true))).toEqual(["cccc", "bbbb"]);
    pipe.write("dddd");
    await settle();
    expect(contents(source, source.list(2))).toEqual(["dddd", "aaaa"]);
  });
});

describe("a stream", () => {
  test("what is cut off at its end is told, and its number is a gap", async () => {
    const { source, pipe, problems } = sourceOf();
    pipe.write("aaaabb");
    pipe.end();
    await settle();
    expect(contents(source, source.list(10))).toEqual(["aaaa"]);
    expect(contents(source, source.list(10))).toEqual(["loss x1", "damaged x1"]);
    expect(source.list(10)).toBeUndefined();
    expect(problems).toEqual([]);
  });

  test("stopped while its store is full, it keeps every complete frame that was read", async () => {
    const { source, pipe } = sourceOf();
    pipe.write("aaaabbbbccccddddeeeeff");
    await settle();
    expect(source.heldFrames).toBe(3);
    source.stop();
    expect(contents(source, source.list(10))).toEqual(["aaaa", "bbbb", "cccc", "dddd", "eeee"]);
    // What follows them in the stream nobody knows.
    expect(source.list(10)).toEqual([]);
  });

  test("what is missing keeps its place among the frames that wait, also where some of these are dropped", async () => {
    const options = { splitter: makeSplitter({ kind: "auto" }, 1000), keptBytesMax: 3 * (10 + 1024) };
    const { source, pipe } = sourceOf({ ...options, whenFull: "drop-oldest" });
    const grey = (letter: string): string => `P5 1 1 9 ${letter}`;
    pipe.write(`${grey("a")}${grey("b")}P5 1 2 9 c${grey("d")}${grey("e")}P5 2 2 9 f`);
    pipe.end();
    await settle();
    expect(contents(source, listAll(source, 2))).toEqual([
      "dropped x1",
      grey("b"),
      "loss x1",
      "damaged x1",
      grey("d"),
      grey("e"),
      "loss x1",
      "damaged x1",
    ]);
  });

  test("days without a receiver take no memory for what was lost either", async () => {
    const { source, pipe } = sourceOf({ splitter: makeSplitter({ kind: "auto" }, 1000) });
    for (let at = 0; at < 3000; at++) pipe.write("P5 9 9 9 cut P5 1 1 9 x".slice(0, 13));
    pipe.end();
    for (let turn = 0; turn < 3000; turn++) await settle();
    const all = listAll(source, 99);
    const sum = (counts: readonly number[]): number => counts.reduce((one, other) => one + other, 0);
    const losses = sum(all.map((each) => ("stretch" in each ? each.count : 0)));
    const missing = sum(all.map((each) => ("failure" in each ? (each.count ?? 1) : 0)));
    expect([losses, missing]).toEqual([3000, 3000]);
    expect(all.length).toBe(2000);
  });

  test("text between its frames is said and listed once, then in sums", async () => {
    const png = Buffer.concat([pngSignature, chunk("IHDR", bytes(0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0))]);
    const picture = Buffer.concat([png, chunk("IDAT", bytes(1)), chunk("IEND", bytes())]);
    const splitter = makeSplitter({ kind: "auto" }, 1000);
    const { source, pipe, problems } = sourceOf({ splitter, keptBytesMax: 1e6 });
    for (let at = 0; at < 25; at++) pipe.write(Buffer.concat([Buffer.from("a word "), picture]));
    pipe.end();
    for (let turn = 0; turn < 20; turn++) await settle();
    const listed = listAll(source, 100).map((each) => ("stretch" in each ? `${each.count}: ${each.bytes}` : "frame"));
    const frames = (count: number): string[] => Array<string>(count).fill("frame");
    expect(listed).toEqual(["1: 7", ...frames(9), "9: 63", ...frames(16), "15: 105"]);
    expect(problems.map(({ reason, detail }) => [reason, detail.slice(0, 40)])).toEqual([
      ["skipped", "no picture begins in what is at byte 0: "],
      ["skipped", "10 times by now, 9 since the last: no pi"],
      ["skipped", "25 times by now, 15 since the last: no p"],
    ]);
  });

  test("a length that silence proves needs no more data, and the frame keeps the time at which it came", async () => {
    const splitter = makeSplitter({ kind: "auto" }, 1000);
    const { source, pipe, clock } = sourceOf({ splitter });
    const cameAtNs = clock.wallNs();
    pipe.write("P5\n2 2\n255\naaaa");
    await settle();
    expect(source.list(10)).toEqual([]);
    clock.step();
    await settle();
    expect(source.list(10)).toMatchObject([{ bytes: 15, capturedNs: cameAtNs }]);
    pipe.write("P5\n2 2\n255\nbbb");
    await settle();
    clock.step();
    await settle();
    expect(source.list(10)).toEqual([]);
  });

  test("header: captured is what the part says; without a time, when it came", async () => {
    const splitter = makeSplitter({ kind: "auto" }, 1000);
    const { source, pipe, clock, problems } = sourceOf({ splitter, captured: { kind: "header" } });
    const part = (time: string): string => `--b\r\nContent-Type: image/x-pgm\r\n${time}\r\nP5\n2 2\n255\naaaa\r\n`;
    pipe.write(part("X-Timestamp: 1700000000.123456\r\n") + part(""));
    pipe.end();
    await settle();
    source.list(10);
    expect(source.list(10)?.map((entry) => "capturedNs" in entry && entry.capturedNs)).toEqual([
      1_700_000_000_123_456_000n,
      clock.wallNs(),
    ]);
    expect(problems.map(({ detail }) => detail)).toContain(
      "no X-Timestamp before a frame: the time of its arrival is taken",
    );
  });

  test("exif: captured is what the picture says; fields of its part and its EXIF time travel with it", async () => {
    const splitter = makeSplitter({ kind: "auto" }, 10_000);
    const { source, pipe, clock, problems } = sourceOf({ splitter, captured: { kind: "exif" }, keptBytesMax: 100_000 });
    const part = (fields: string, jpeg: Uint8Array): Buffer =>
      Buffer.concat([Buffer.from(`--b\r\nContent-Type: image/jpeg\r\n${fields}\r\n`), jpeg, Buffer.from("\r\n")]);
    const timed = exifJpegOf(tiffOf({ dateTime: "2026:11:25 10:32:07", offset: "+01:00" }));
    const long = `X-${"long".repeat(15)}`;
    const fields = `X-Exposure:  1/60 \r\nDate: 1\t2\r\nX-Empty:\r\n${long}: 1\r\nContent-Length: ${timed.length}\r\n`;
    pipe.write(Buffer.concat([part(fields, timed), part("", exifJpegOf(undefined))]));
    pipe.end();
    await settle();
    const entries = [...(source.list(10) ?? []), ...(source.list(10) ?? [])].filter((entry) => "capturedNs" in entry);
    expect(entries).toEqual([
      expect.objectContaining({
        capturedNs: BigInt(Date.parse("2026-11-25T09:32:07Z")) * 1_000_000n,
        metadata: new Map([
          ["exif_datetimeoriginal", "2026-11-25T10:32:07+01:00"],
          ["header_x-exposure", "1/60"],
          ["header_date", "1 2"],
        ]),
      }),
      expect.objectContaining({ capturedNs: clock.wallNs() }),
    ]);
    expect("metadata" in (entries[1] ?? {})).toBe(false);
    expect(problems.map(({ detail }) => detail)).toContain("no EXIF time in a frame: the time of its arrival is taken");
  });

  test("one frame larger than all that may be kept gets through", async () => {
    for (const whenFull of ["block", "drop-oldest"] as const) {
      const { source, pipe } = sourceOf({ keptBytesMax: 3, whenFull });
      pipe.write("aaaa");
      await settle();
      expect(contents(source, source.list(10))).toEqual(["aaaa"]);
    }
  });

  test("days without a receiver take no memory for what was dropped, and the gap comes in bounded runs", async () => {
    const { source, pipe } = sourceOf({ whenFull: "drop-oldest" });
    for (let at = 0; at < 10_002; at++) pipe.write("aaaa");
    for (let turn = 0; turn < 3_000; turn++) await settle();
    expect(contents(source, source.list(10))).toEqual(["dropped x4096"]);
    expect(contents(source, source.list(10))).toEqual(["dropped x4096"]);
    expect(contents(source, source.list(10))).toEqual(["dropped x1808"]);
    expect(contents(source, source.list(10))).toEqual(["aaaa", "aaaa"]);
  });

  test("disposing closes the pipe", () => {
    const { source, pipe } = sourceOf();
    source.dispose();
    source.dispose();
    expect(pipe.cancelled).toBe(true);
  });
});

describe("a spool", () => {
  const problems: string[] = [];
  const spool = () => new Spool(folder, "spool", (detail) => problems.push(detail));
  const files = () =>
    readdirSync(join(folder, "spool"))
      .filter((file) => !file.startsWith("."))
      .toSorted();

  test("is sent first by the next run, with its names and times; what is stored is deleted", async () => {
    const names = new FrameNames("{date}/{sequence}-{run}.{extension}", run, "visible");
    const before = sourceOf({ store: spool(), keptBytesMax: room(20), names });
    before.pipe.write("aaaabbbb");
    await settle();
    before.source.dispose();
    // Begun and never finished, as by a kill.
    writeFileSync(join(folder, "spool", ".unfinished"), "cc");

    const after = sourceOf({
      store: spool(),
      keptBytesMax: room(20),
      names: new FrameNames("{sequence}-{run}", "ffffffff", "visible"),
    });
    after.pipe.write("dddd");
    await settle();
    const listed = after.source.list(10) ?? [];
    expect(contents(after.source, listed)).toEqual(["aaaa", "bbbb", "dddd"]);
    const capturedNs = before.clock.wallNs();
    const day = "2026-11-18";
    expect(listed.slice(0, 2)).toEqual([
      { name: `${day}/00000000-${run}.raw`, bytes: 4, capturedNs },
      { name: `${day}/00000001-${run}.raw`, bytes: 4, capturedNs },
    ]);
    for (const entry of listed) after.source.settled(entry as ListedFrame, "stored");
    expect(files()).toEqual([]);
  });

  test("is bounded: the oldest go, those of earlier runs first", async () => {
    const before = sourceOf({ store: spool(), keptBytesMax: room(20) });
    before.pipe.write("aaaabbbb");
    await settle();
    before.source.dispose();
    const names = new FrameNames("{sequence}-{run}", "ffffffff", "visible");
    const { source, pipe } = sourceOf({ store: spool(), whenFull: "drop-oldest", names });
    for (const frame of ["cccc", "dddd", "eeee"]) pipe.write(frame);
    await settle();
    expect(files()).toEqual(["00000001-ffffffff.4", "00000002-ffffffff.4"]);
    expect(contents(source, source.list(10))).toEqual(["dropped x3"]);
    expect(contents(source, source.list(10))).toEqual(["dddd", "eeee"]);
  });

  test("that cannot be written drops the new frame, says why, and keeps the others", async () => {
    const { source, pipe } = sourceOf({ store: spool() });
    pipe.write("aaaa");
    await settle();
    // No file can be made where a directory has its name.
    mkdirSync(join(folder, "spool", ".unfinished"));
    pipe.write("bbbb");
    await settle();
    expect(contents(source, source.list(10))).toEqual(["aaaa"]);
    expect(source.list(10)).toEqual([
      { name: "", failure: "dropped", count: 1, detail: "dropped: the spool cannot be written (EISDIR)" },
    ]);
    rmdirSync(join(folder, "spool", ".unfinished"));
    pipe.write("cccc");
    await settle();
    expect(contents(source, source.list(10))).toEqual(["cccc"]);
  });

  test("whose folder is removed is made again", async () => {
    const { source, pipe } = sourceOf({ store: spool() });
    rmSync(join(folder, "spool"), { recursive: true });
    pipe.write("aaaa");
    await settle();
    expect(contents(source, source.list(10))).toEqual(["aaaa"]);
  });

  test.skipIf(!canMount())(
    "on a full disk older frames make room, and without them the new one is dropped",
    async () => {
      const mounted = join(folder, "small");
      const unmount = mountSmall(mounted, 64 * 1024);
      try {
        const splitter = makeSplitter({ kind: "raw", bytes: 8_000 }, 8_000);
        const store = new Spool(mounted, "visible", (detail) => problems.push(detail));
        const { source, pipe } = sourceOf({ splitter, store, keptBytesMax: 1e9, whenFull: "drop-oldest" });
        for (let at = 0; at < 20; at++) pipe.write(String.fromCharCode(97 + at).repeat(8_000));
        for (let turn = 0; turn < 20; turn++) await settle();
        const [gap] = source.list(100) ?? [];
        const listed = contents(source, source.list(100)).map(([letter]) => letter);
        expect(gap).toMatchObject({ failure: "dropped", count: 20 - listed.length });
        expect(listed.length).toBeGreaterThan(3);
        expect(listed.at(-1)).toBe("t");
        source.dispose();
      } finally {
        unmount();
      }
    },
  );

  test("after a power loss empty and short files are gaps, not frames", async () => {
    const before = sourceOf({ store: spool(), keptBytesMax: room(20) });
    before.pipe.write("aaaabbbbcccc");
    await settle();
    before.source.dispose();
    const [empty = "", short = ""] = files();
    truncateSync(join(folder, "spool", empty), 0);
    truncateSync(join(folder, "spool", short), 3);
    const { source } = sourceOf({ store: spool() });
    expect(contents(source, source.list(10))).toEqual(["dropped x2"]);
    expect(contents(source, source.list(10))).toEqual(["cccc"]);
    expect(files().length).toBe(1);
  });

  test("what the receiver refuses stays under another name and is not sent again", async () => {
    const first = sourceOf({ store: spool() });
    first.pipe.write("aaaa");
    await settle();
    for (const entry of first.source.list(10) ?? []) first.source.settled(entry as ListedFrame, undefined);
    first.source.dispose();
    expect(files()).toEqual([`00000000-${run}.raw.4.refused`]);
    expect(sourceOf({ store: spool() }).source.list(10)).toEqual([]);
  });

  test("keeps notes and metadata behind the bytes of a frame", () => {
    const store = spool();
    const metadata = new Map([
      ["header_x-exposure", "1/60"],
      ["12", 'ä "quoted"'],
    ]);
    const common = { bytes: 4, capturedNs: 1_700_000_000_123_456_000n };
    const noted = { ...common, name: "1.jpg", notes: 6, metadata };
    const plain = { ...common, name: "2.jpg" };
    const other = { ...common, name: "3.jpg", notes: 1 };
    for (const entry of [noted, plain, other]) store.put(entry, [Buffer.from("aaaa")]);
    store.close();

    const next = spool();
    expect(next.leftovers).toEqual({ frames: [noted, plain, other], broken: 0 });
    const opened = next.open(noted);
    const into = new Uint8Array(10);
    expect([opened.bytes, opened.read(into), opened.read(into), into[3]]).toEqual([4, 4, 0, 97]);
    opened.close();
    next.setAside(other);
    expect(next.remove(noted)).toBe(true);
    expect(files()).toEqual(["2.jpg.4", "3.jpg.4.refused"]);
    expect(readFileSync(join(folder, "spool", "3.jpg.4.refused"), "utf8")).toBe("aaaa");
    next.put(noted, [Buffer.from("aaaa")]);
    next.close();
    // As a power loss leaves it: of the right length, and empty.
    const [damaged = ""] = files();
    expect(damaged).toMatch(/^1\.jpg\.4\+\d+$/);
    const zeros = readFileSync(join(folder, "spool", damaged)).fill(0);
    writeFileSync(join(folder, "spool", damaged), zeros);
    const last = spool();
    expect(last.leftovers).toEqual({ frames: [plain], broken: 1 });
    last.close();
  });

  test("belongs to one sender, and is not taken from anybody else", () => {
    const mine = spool();
    expect(() => spool()).toThrow("is in use by another sender");
    mine.close();
    spool().close();
    mkdirSync(join(folder, "photos"));
    writeFileSync(join(folder, "photos", "1.jpg"), "dear");
    expect(() => new Spool(folder, "photos", () => undefined)).toThrow("has files in it and is not a spool");
    // Sources whose names nest have folders that do not.
    const nested = [new Spool(folder, "a", () => undefined), new Spool(folder, "a/b", () => undefined)];
    expect(readdirSync(folder).toSorted()).toEqual(["a", "a%2Fb", "photos", "spool"]);
    for (const store of nested) store.close();
  });

  test("a frame of many pieces is one file", () => {
    const store = spool();
    const pieces = Array.from({ length: 3_000 }, (_, at) => Uint8Array.of(at % 251));
    const entry = { name: "a/b.raw", bytes: 3_000, capturedNs: 1_700_000_000_123_456_000n };
    store.put(entry, [...pieces, new Uint8Array(0)]);
    const path = join(folder, "spool", "a%2Fb.raw.3000");
    expect(statSync(path).size).toBe(3_000);
    store.close();
    const next = spool();
    expect(next.leftovers).toEqual({ frames: [entry], broken: 0 });
    expect([next.remove(entry), next.remove(entry)]).toEqual([true, true]);
    expect(existsSync(path)).toBe(false);
    next.close();
  });
});
