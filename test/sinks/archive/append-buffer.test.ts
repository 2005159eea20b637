import { describe, expect, test } from "bun:test";
import { crc32 } from "../../../src/bytes/checksum.ts";
import { AppendBuffer } from "../../../src/sinks/archive/append-buffer.ts";
import { Random } from "../../support/random.ts";

const KiB = 1024;

/** Takes what is written, and forgets nothing of it: views are used again. */
class SomeFile {
  readonly bytes = Buffer.alloc(16 * KiB * KiB);
  end = 0;
  writes = 0;

  write(views: readonly Uint8Array[], position: number): void {
    this.writes += 1;
    let at = position;
    for (const view of views) {
      this.bytes.set(view, at);
      at += view.byteLength;
    }
    this.end = Math.max(this.end, at);
  }
}

const sizes = [0, 1, 512, 2_000, 16 * KiB, 16 * KiB + 1, 100_000, 300_000];

describe.each([1, 2, 3, 4])("seed %p", (seed) => {
  test("the file gets all bytes in order, and so does whoever listens", () => {
    const random = new Random(seed);
    const file = new SomeFile();
    const buffer = new AppendBuffer(file as never);
    const start = random.int(1000);
    buffer.begin(start);
    let heard = 0;
    buffer.onView = (view) => {
      heard = crc32(view, heard);
    };
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for (let count = 0; count < 100; count += 1) {
      const part = random.bytes(random.pick(sizes));
      expect(buffer.position).toBe(start + bytes);
      if (part.byteLength < 4 * KiB && random.chance(0.5)) buffer.reserve(part.byteLength).set(part);
      else buffer.put(part);
      parts.push(part);
      bytes += part.byteLength;
      if (random.chance(0.05)) buffer.flush();
      if (random.chance(0.05)) buffer.settle();
    }
    buffer.flush();
    const all = Buffer.concat(parts);
    expect(file.end).toBe(start + bytes);
    expect(file.bytes.subarray(start, file.end).equals(all)).toBe(true);
    expect(heard).toBe(crc32(all));
  });
});

test("small things share a write, and what was not written is forgotten by the next beginning", () => {
  const file = new SomeFile();
  const buffer = new AppendBuffer(file as never);
  buffer.begin(0);
  for (let count = 0; count < 50; count += 1) buffer.put(new Uint8Array(2_000).fill(count));
  expect(file.writes).toBe(0);
  buffer.flush();
  expect([file.writes, file.end]).toEqual([1, 100_000]);
  buffer.put(new Uint8Array(100).fill(7));
  buffer.begin(10);
  buffer.put(new Uint8Array(5).fill(9));
  buffer.flush();
  expect([file.writes, file.end, buffer.position, file.bytes[10], file.bytes[15]]).toEqual([2, 100_000, 15, 9, 0]);
});
