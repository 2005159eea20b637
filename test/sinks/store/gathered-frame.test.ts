import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FrameGatherer, gatheredBytesMax, type GatheredFrame } from "../../../src/sinks/store/gathered-frame.ts";
import { Random } from "../../support/random.ts";

let dir = "";
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "framepipe-"));
});
afterAll(() => rmSync(dir, { recursive: true }));

const newGatherer = (memoryBytesMax = gatheredBytesMax): FrameGatherer =>
  new FrameGatherer({
    temporaryPath: join(dir, ".x."),
    memoryBytesMax,
    gathered: () => {},
    failed: (error) => error as Error,
  });
const MiB = 2 ** 20;

async function bytesOf(frame: GatheredFrame): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  // A piece is only valid until the next.
  for await (const piece of frame.pieces()) pieces.push(piece.slice());
  return Buffer.concat(pieces);
}

test.each([0, 1, 100_000, 8 * MiB, 8 * MiB + 1])(
  "a frame of %p bytes is given back as it was written",
  async (bytes) => {
    const random = new Random(bytes);
    const content = Buffer.alloc(bytes, random.bytes(4099));
    const frame = newGatherer().begin(bytes);
    const buffer = new Uint8Array(512 * 1024);
    for (let start = 0; start < bytes;) {
      // The parser's chunk is used for something else afterwards.
      const view = buffer.subarray(0, 1 + random.int(buffer.byteLength - 1));
      const count = content.copy(view, 0, start);
      frame.write(view.subarray(0, count));
      view.fill(0);
      start += count;
    }
    expect(frame.bytes).toBe(bytes);
    expect(frame.memory === undefined).toBe(bytes > 8 * MiB);
    for (let time = 0; time < 2; time += 1) expect(Buffer.compare(await bytesOf(frame), content)).toBe(0);
    if (frame.memory !== undefined) expect(Buffer.compare(frame.memory, content)).toBe(0);
    frame.discard();
    frame.discard();
  },
);

test("together, frames in memory are bounded; what was discarded makes room", async () => {
  const gatherer = newGatherer();
  const frames = Array.from({ length: 40 }, () => gatherer.begin(MiB));
  expect(frames.filter(({ memory }) => memory !== undefined).length).toBe(16);
  for (const [index, frame] of frames.entries()) frame.write(new Uint8Array(MiB).fill(index));
  expect((await bytesOf(frames[39] as GatheredFrame))[MiB - 1]).toBe(39);
  frames[3]?.discard();
  frames[3]?.discard();
  const [first, second] = [gatherer.begin(MiB), gatherer.begin(MiB)];
  expect([first.memory === undefined, second.memory === undefined]).toEqual([false, true]);
  for (const frame of [...frames, first, second]) frame.discard();
  expect(gatherer.begin(8 * MiB).memory).toBeDefined();
});

test("a sink that shares the memory with others takes its part of it", () => {
  const gatherer = newGatherer(4 * MiB);
  expect(gatherer.needsFile(5 * MiB)).toBe(true);
  const frames = Array.from({ length: 6 }, () => gatherer.begin(MiB));
  expect(frames.filter(({ memory }) => memory !== undefined).length).toBe(4);
  expect(gatherer.needsFile(1)).toBe(true);
  for (const frame of frames) frame.discard();
  expect(gatherer.needsFile(1)).toBe(false);
});

test("its file has no name, so that nothing is left of it", () => {
  const frame = newGatherer().begin(9 * MiB);
  frame.write(new Uint8Array(10));
  expect(readdirSync(dir)).toEqual([]);
  frame.discard();
});

test("buffers are used again, and never show what was in them", async () => {
  const gatherer = newGatherer();
  const random = new Random(5);
  const open: { frame: GatheredFrame; content: Uint8Array }[] = [];
  for (let round = 0; round < 150; round += 1) {
    const content = random.bytes(random.chance(0.1) ? random.int(300_000) : random.int(6_000));
    const frame = gatherer.begin(content.byteLength);
    frame.write(content);
    open.push({ frame, content });
    if (random.chance(0.6)) {
      const [taken] = open.splice(random.int(open.length), 1);
      expect(Buffer.compare(await bytesOf(taken?.frame as GatheredFrame), taken?.content ?? content)).toBe(0);
      taken?.frame.discard();
    }
  }
  for (const { frame, content } of open) expect(Buffer.compare(frame.memory ?? new Uint8Array(0), content)).toBe(0);
});

test("a frame that is in use is given up when it is not", () => {
  const gatherer = newGatherer(100_000);
  const frame = gatherer.begin(5000);
  frame.write(Buffer.alloc(5000, 1));
  const unused = frame.use();
  frame.discard();
  expect(frame.memory?.[4999]).toBe(1);
  // Its buffer is nobody else's meanwhile.
  const other = gatherer.begin(5000);
  other.write(Buffer.alloc(5000, 2));
  expect(frame.memory?.[0]).toBe(1);
  unused();
  expect(frame.bytes).toBe(0);
});
