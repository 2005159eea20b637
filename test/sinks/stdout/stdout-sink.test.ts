/** The stdout sink with real pipes: a named one, whose write end stands for standard output. */
import { afterEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "../../../src/bytes/checksum.ts";
import { SinkError } from "../../../src/errors.ts";
import type { Sink } from "../../../src/ports.ts";
import { openStdoutStore, type StdoutStoreOptions } from "../../../src/sinks/stdout/stdout-store.ts";
import { FanOutSink } from "../../../src/sinks/store/fan-out-sink.ts";
import { indexCacheBytesMax } from "../../../src/sinks/store/frame-index.ts";
import { gatheredBytesMax } from "../../../src/sinks/store/gathered-frame.ts";
import type { StoreSinkOptions } from "../../../src/sinks/store/store-sink.ts";
import { Random } from "../../support/random.ts";
import { canMount, mountSmall } from "../../support/small-disk.ts";
import { MemorySink } from "../memory-sink.ts";
import { type Result, commit, frameBytesMax, frameOf, openWriter, sinkOf, sinkSuite, store } from "../suite.ts";

class Pipe {
  readonly dir: string = mkdtempSync(join(tmpdir(), "framepipe-"));
  readonly path: string = join(this.dir, "pipe");
  closedCount = 0;
  #nowMs = 0;
  readonly #handles: number[] = [];
  #read = "";

  constructor() {
    const made = Bun.spawnSync(["mkfifo", this.path]);
    if (!made.success) throw new Error(String(made.stderr));
  }

  /** A sink that writes to `path`: the pipe, or another file. */
  open(changes: Partial<StdoutStoreOptions & StoreSinkOptions> & { path?: string; flags?: number } = {}): Sink {
    const descriptor = openSync(changes.path ?? this.path, changes.flags ?? constants.O_WRONLY);
    this.#handles.push(descriptor);
    const options = {
      descriptor,
      isTerminal: false,
      frameBytesMax,
      minFreeBytes: 0,
      memoryBytesMax: gatheredBytesMax,
      cacheBytes: indexCacheBytesMax,
      onClosed: () => (this.closedCount += 1),
      clock: { nowMs: () => (this.#nowMs += 1000), wallNs: () => 1n },
      ...changes,
    };
    return sinkOf(openStdoutStore(options), options);
  }

  /** Reads what is in the pipe, which has room for 64 KiB, and holds it open. */
  attach(): () => string {
    const handle = openSync(this.path, constants.O_RDWR | constants.O_NONBLOCK);
    this.#handles.push(handle);
    const buffer = Buffer.alloc(65_536);
    return () => {
      try {
        for (;;) this.#read += buffer.toString("latin1", 0, readSync(handle, buffer));
      } catch {
        return this.#read;
      }
    };
  }

  /** A program that reads the pipe, as soon as somebody has it open for writing. */
  reader(command: string): { readonly output: Promise<string> } {
    const child = Bun.spawn(["sh", "-c", `(${command}) < "$0"`, this.path], { stdout: "pipe" });
    return { output: new Response(child.stdout).text() };
  }

  /** As the end of the program does. */
  closeWriters(): void {
    for (const handle of this.#handles.splice(0)) closeSync(handle);
  }

  remove(): void {
    this.closeWriters();
    rmSync(this.dir, { recursive: true });
  }
}

const unused = (): never => {
  throw new Error("a stream is not asked for it");
};

sinkSuite("stdout", "while open", () => {
  const pipe = new Pipe();
  const read = pipe.attach();
  return {
    open: () => pipe.open(),
    stored: () => new Map([["-", read()]]),
    breakCommits: unused,
    recordedGaps: unused,
    recordedStretches: unused,
    recordedEnds: unused,
    remove: () => pipe.remove(),
  };
});

const pipes: Pipe[] = [];
function makePipe(): Pipe {
  const pipe = new Pipe();
  pipes.push(pipe);
  return pipe;
}
afterEach(() => {
  for (const pipe of pipes.splice(0)) pipe.remove();
});

/** Stages frames of these contents, `0.jpg` and on. */
function stageAll(sink: Sink, contents: readonly Uint8Array[]): Result[] {
  const results: Result[] = [];
  for (const [index, content] of contents.entries()) {
    const writer = openWriter(sink, frameOf(`${index}.jpg`, "", { bytes: content.byteLength }));
    writer.write(content);
    writer.finish(crc32(content), (result) => results.push(result));
  }
  return results;
}

const sha256 = (bytes: Uint8Array): string => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

describe("stdout sink", () => {
  test("a reader that pauses holds up nothing but the frames, and gets every byte", async () => {
    const pipe = makePipe();
    const contents = [300_000, 0, 9_000_000, 100].map((bytes) => Buffer.alloc(bytes, new Random(bytes).bytes(1009)));
    const reader = pipe.reader("sleep 0.5; sha256sum");
    const sink = pipe.open({ frameBytesMax: 20_000_000 });
    const results = stageAll(sink, contents);
    let ticks = 0;
    const ticking = setInterval(() => (ticks += 1), 10);
    const done = commit(sink);
    await Bun.sleep(300);
    expect(ticks).toBeGreaterThan(10);
    // The first is larger than the pipe: it was not handed over, so nothing is acknowledged.
    expect(results).toEqual([]);
    expect([sink.stagedFrames, sink.stagedBytes]).toEqual([4, 9_300_100]);
    expect(await done).toBeUndefined();
    clearInterval(ticking);
    expect(results).toEqual(["stored", "stored", "stored", "stored"]);
    pipe.closeWriters();
    expect(await reader.output).toStartWith(sha256(Buffer.concat(contents)));
    expect(pipe.closedCount).toBe(0);
    sink.dispose();
  });

  test("a full pipe that does not block is waited for", async () => {
    const pipe = makePipe();
    const contents = [400_000, 300_000].map((bytes) => Buffer.alloc(bytes, new Random(bytes).bytes(1009)));
    const reader = pipe.reader("sleep 0.2; sha256sum");
    // Only open for writing can it be opened so, and a reader is there only after that.
    closeSync(openSync(pipe.path, constants.O_WRONLY));
    const sink = pipe.open({ flags: constants.O_WRONLY | constants.O_NONBLOCK, frameBytesMax: 1_000_000 });
    const results = stageAll(sink, contents);
    expect(await commit(sink)).toBeUndefined();
    expect(results).toEqual(["stored", "stored"]);
    pipe.closeWriters();
    expect(await reader.output).toStartWith(sha256(Buffer.concat(contents)));
    sink.dispose();
  });

  test("a reader that goes away is told once; what it was not given is not acknowledged", async () => {
    const pipe = makePipe();
    const reader = pipe.reader("head -c 1000 | wc -c");
    const sink = pipe.open({ frameBytesMax: 1_000_000 });
    const results = stageAll(sink, [Buffer.alloc(500), Buffer.alloc(400_000), Buffer.alloc(10)]);
    const failure = await commit(sink);
    expect((await reader.output).trim()).toBe("1000");
    expect(failure).toBeInstanceOf(SinkError);
    expect(failure?.retryable).toBe(false);
    expect(failure?.message).toBe("standard output was closed by its reader");
    expect(results).toEqual(["stored", failure, failure] as Result[]);
    expect(pipe.closedCount).toBe(1);
    // Nothing heals that.
    expect(sink.ready(1)).toBe(failure as SinkError);
    sink.dispose();
  });

  test("nothing but a new run knows nothing: a frame is written again", async () => {
    const pipe = makePipe();
    const read = pipe.attach();
    for (let run = 0; run < 2; run += 1) {
      const sink = pipe.open();
      expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
      expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
      sink.dispose();
    }
    expect(read()).toBe("oneone");
  });

  test("a terminal is refused", () => {
    expect(() => makePipe().open({ path: "/dev/null", isTerminal: true })).toThrow(
      "--out -: standard output is a terminal, and frames would garble it",
    );
  });

  test("a folder for temporary files that is not there is named, and waited for", async () => {
    const pipe = makePipe();
    const read = pipe.attach();
    const temporaryDirectory = join(pipe.dir, "later");
    const sink = pipe.open({ temporaryDirectory, frameBytesMax: 20_000_000 });
    const large = frameOf("1.raw", "", { bytes: 9_000_000 });
    expect(() => sink.open(large)).toThrow(
      `${temporaryDirectory}: cannot gather a frame: the directory is gone (ENOENT)`,
    );
    for (let call = 0; call < 3; call += 1) expect(sink.ready(1)?.message).toContain(temporaryDirectory);
    mkdirSync(temporaryDirectory);
    expect(sink.ready(9_000_000)).toBeUndefined();
    openWriter(sink, large).abort();
    expect(await store(sink, frameOf("1.jpg", "one"), "one")).toBe("stored");
    expect(read()).toBe("one");
    sink.dispose();
  });

  test("one that fails whenever it is used is left alone for longer and longer", async () => {
    const pipe = makePipe();
    let nowMs = 0;
    const path = "/dev/full";
    const sink = pipe.open({ path, clock: { nowMs: () => nowMs, wallNs: () => 1n } });
    const waits: number[] = [];
    for (let round = 0; round < 8; round += 1) {
      expect(((await store(sink, frameOf("1.jpg", "one"), "one")) as SinkError).retryable).toBe(true);
      const startMs = nowMs;
      while (sink.ready(1) !== undefined) nowMs += 500;
      waits.push(nowMs - startMs);
    }
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    sink.dispose();
  });

  const minFreeBytes = Number.MAX_SAFE_INTEGER;

  test("--min-free holds for the folder of temporary files", () => {
    const pipe = makePipe();
    const toPipe = pipe.open({ flags: constants.O_RDWR, minFreeBytes });
    expect(toPipe.ready(1)).toBeUndefined();
    expect(toPipe.ready(9_000_000)?.message).toContain("below --min-free");
    toPipe.dispose();
  });

  test.skipIf(process.platform !== "linux")("--min-free holds for a file", () => {
    const pipe = makePipe();
    const path = join(pipe.dir, "stream");
    writeFileSync(path, "");
    const toFile = pipe.open({ path, minFreeBytes });
    expect(toFile.ready(1)?.message).toMatch(/^standard output: .* free, below --min-free /);
    toFile.dispose();
  });

  test.skipIf(!canMount())("into a file, on a full disk: whole frames only, and more when there is room", async () => {
    const pipe = makePipe();
    const dir = join(pipe.dir, "disk");
    const unmount = mountSmall(dir, 1_000_000);
    try {
      const path = join(dir, "stream");
      const filler = join(dir, "filler");
      for (const append of [0, constants.O_APPEND]) {
        writeFileSync(path, "");
        writeFileSync(filler, Buffer.alloc(500_000));
        const sink = pipe.open({ path, frameBytesMax: 1_000_000, flags: constants.O_WRONLY | append });
        await store(sink, frameOf("1.jpg", "one"), "one");
        const content = "x".repeat(600_000);
        const failure = await store(sink, frameOf("2.jpg", content), content);
        expect((failure as SinkError).message).toBe("-: cannot store frames: the disk is full (ENOSPC)");
        expect((failure as SinkError).retryable).toBe(true);
        expect(readFileSync(path, "utf8")).toBe("one");
        rmSync(filler);
        expect(sink.ready(1)).toBeUndefined();
        expect(await store(sink, frameOf("2.jpg", content), content)).toBe("stored");
        expect(await store(sink, frameOf("3.jpg", "three"), "three")).toBe("stored");
        expect(readFileSync(path, "utf8")).toBe(`one${content}three`);
        sink.dispose();
        pipe.closeWriters();
      }
    } finally {
      unmount();
    }
  });
});

describe("stdout sink: y4m", () => {
  const header = "YUV4MPEG2 W2 H2 F25:1 Ip A1:1 C420jpeg\n";
  const picture = (letter: string): string => `FRAME\n${letter.repeat(6)}`;

  test("frames that are files become one stream; what does not fit it is refused, and the stream goes on", async () => {
    const pipe = makePipe();
    const read = pipe.attach();
    const sink = pipe.open();
    const frames = [
      [header + picture("a"), "stored"],
      [header + picture("b"), "stored"],
      ["a JPEG", "format"],
      ["", "stored"],
      [header.replace("W2", "W4") + picture("bb"), "format"],
      ["YUV4MPEG2 no end", "format"],
      [header + picture("c"), "stored"],
    ] as const;
    for (const [index, [content, expected]] of frames.entries()) {
      expect(await store(sink, frameOf(`${index}.y4m`, content), content)).toBe(expected);
    }
    expect(read()).toBe(`${header}${picture("a")}${picture("b")}${picture("c")}`);
    expect([sink.ready(1), pipe.closedCount]).toEqual([undefined, 0]);
    sink.dispose();
  });

  test("a y4m frame is refused by any other stream", async () => {
    const pipe = makePipe();
    const read = pipe.attach();
    const sink = pipe.open({ frameBytesMax: 20_000_000 });
    const large = header + "x".repeat(9_000_000);
    for (const [name, content, expected] of [
      ["0", "", "stored"],
      ["1", "a JPEG", "stored"],
      ["2", header + picture("a"), "format"],
      ["3", large, "format"],
      ["4", "a PNG", "stored"],
    ] as const) {
      expect(await store(sink, frameOf(name, content), content), name).toBe(expected);
    }
    expect(read()).toBe("a JPEGa PNG");
    sink.dispose();
  });

  test("what one of several destinations refuses stays in the others", async () => {
    const pipe = makePipe();
    const read = pipe.attach();
    const memory = new MemorySink({ frameBytesMax });
    const sink = new FanOutSink([memory, pipe.open()]);
    const results: Result[] = [];
    for (const content of [header + picture("a"), "a JPEG"]) {
      results.push(await store(sink, frameOf(content.slice(0, 3), content), content));
    }
    expect(results).toEqual(["stored", "format"]);
    expect(read()).toBe(header + picture("a"));
    expect(memory.frames.size).toBe(2);
    sink.dispose();
  });

  test.skipIf(Bun.which("ffmpeg") === null)("ffmpeg's stream, cut into files, comes out as it was", async () => {
    const pipe = makePipe();
    const size = "64x48";
    const made = Bun.spawnSync(
      `ffmpeg -v error -f lavfi -i testsrc=size=${size}:rate=10 -frames:v 5 -pix_fmt yuv420p -f yuv4mpegpipe -`.split(
        " ",
      ),
    );
    const stream = made.stdout;
    const headerBytes = stream.indexOf(0x0a) + 1;
    const frameBytes = (stream.byteLength - headerBytes) / 5;
    const contents = Array.from({ length: 5 }, (_, index) => {
      const start = headerBytes + index * frameBytes;
      return Buffer.concat([stream.subarray(0, headerBytes), stream.subarray(start, start + frameBytes)]);
    });
    const reader = pipe.reader("sha256sum");
    const sink = pipe.open();
    expect(stageAll(sink, contents)).toEqual([]);
    expect(await commit(sink)).toBeUndefined();
    sink.dispose();
    pipe.closeWriters();
    expect(await reader.output).toStartWith(sha256(stream));
  });
});
