import { describe, expect, test } from "bun:test";
import type { FrameEntry } from "../../../src/frame.ts";
import { MemoryStore } from "../../../src/sources/stream/memory-store.ts";

const entry: FrameEntry = { name: "a.y4m", bytes: 3010, capturedNs: 0n };
/** A header that other frames have as well, two whole pieces, and a part of one. */
function pieces(): Uint8Array[] {
  return [new Uint8Array(10).fill(1), new Uint8Array(1000).fill(2), new Uint8Array(2000).fill(3).subarray(0, 2000)];
}
const sizes = (views: readonly Uint8Array[]): number[] => views.map(({ buffer }) => buffer.byteLength);

describe("a frame in memory", () => {
  test("gives its memory back when it is no longer kept, but for what others may have", () => {
    const store = new MemoryStore();
    const kept = [...pieces(), new Uint8Array(50).subarray(0, 20)];
    store.put({ ...entry, bytes: 3030 }, kept);
    expect(sizes(kept)).toEqual([10, 1000, 2000, 50]);
    store.remove(entry);
    expect(sizes(kept)).toEqual([10, 0, 0, 50]);
  });

  test("can be read to its end by whoever has opened it", () => {
    const store = new MemoryStore();
    const kept = pieces();
    store.put(entry, kept);
    const [one, other] = [store.open(entry), store.open(entry)];
    const into = new Uint8Array(4000);
    expect(one.read(into.subarray(0, 5))).toBe(5);
    store.remove(entry);
    one.close();
    one.close();
    expect(other.read(into)).toBe(3010);
    expect(into[9]).toBe(1);
    expect(into[3009]).toBe(3);
    expect(sizes(kept)).toEqual([10, 1000, 2000]);
    other.close();
    expect(sizes(kept)).toEqual([10, 0, 0]);
    expect(() => store.open(entry)).toThrow("no longer kept");
  });
});
