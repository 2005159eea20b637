import { describe, expect, test } from "bun:test";
import { ByteRing } from "../../src/bytes/ring.ts";
import { ringBytesMax, ringChunksMax } from "../../src/limits.ts";
import { Random } from "../support/random.ts";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe("the ring", () => {
  test("passes views of the very chunks it was given", () => {
    const ring = new ByteRing();
    const chunk = new Uint8Array(1000);
    ring.push(chunk);
    const view = ring.take(600);
    expect(view.buffer).toBe(chunk.buffer);
    expect(view.length).toBe(600);
    expect(ring.take(600).length).toBe(400);
    expect(ring.joinedBytes).toBe(0);
  });

  test("joins only what straddles", () => {
    const ring = new ByteRing();
    ring.push(new Uint8Array(1000).fill(1));
    ring.push(new Uint8Array(1000).fill(2));
    ring.skip(994);
    expect([...(ring.tryView(12) ?? [])]).toEqual([1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
    expect(ring.joinedBytes).toBe(12);
    expect(ring.byteLength).toBe(1006);
    ring.skip(12);
    expect(ring.take(5000).length).toBe(994);
  });

  test("releases a chunk that is taken to its end, and not before", () => {
    const ring = new ByteRing();
    const chunks = [1, 2, 3].map((value) => new Uint8Array(20_000).fill(value));
    for (const chunk of chunks) ring.push(chunk);
    const lengths = (): number[] => chunks.map((chunk) => chunk.length);
    ring.skip(19_990);
    ring.tryView(20);
    ring.skip(20);
    ring.release();
    // Its end was joined with the beginning of the second, so nobody needs it.
    expect(lengths()).toEqual([0, 20_000, 20_000]);
    const view = ring.take(30_000);
    expect([view.length, view[0], lengths()[1]]).toEqual([19_990, 2, 20_000]);
    ring.take(1);
    ring.release();
    expect([view.length, ...lengths()]).toEqual([0, 0, 0, 20_000]);
    expect(ring.byteLength).toBe(19_999);
    expect(ring.take(20_000).every((byte) => byte === 3)).toBe(true);
  });

  test("a chunk that is part of other memory is left alone", () => {
    const ring = new ByteRing();
    const memory = new Uint8Array(100_000);
    ring.push(memory.subarray(10_000, 90_000));
    ring.take(80_000);
    ring.release();
    expect(memory.length).toBe(100_000);
  });

  test("gives nothing while too little is here", () => {
    const ring = new ByteRing();
    expect(ring.tryView(1)).toBeUndefined();
    ring.push(bytes(1, 2));
    expect(ring.tryView(3)).toBeUndefined();
    expect(ring.joinedBytes).toBe(0);
  });

  test("gathers crumbs, so that a peer cannot make it keep an object per byte", () => {
    const ring = new ByteRing();
    for (let at = 0; at < 100_000; at++) ring.push(bytes(at & 0xff));
    expect(ring.byteLength).toBe(100_000);
    expect(ring.full).toBe(false);
    for (let at = 0; at < 100_000; at++) if (ring.take(1)[0] !== (at & 0xff)) throw new Error(`byte ${at}`);
  });

  test("a view of a crumb keeps its bytes while more are gathered", () => {
    const ring = new ByteRing();
    ring.push(bytes(1));
    ring.push(bytes(2));
    ring.push(bytes(3));
    const view = ring.tryView(3);
    ring.push(bytes(4));
    expect([...(view ?? [])]).toEqual([1, 2, 3]);
    expect([...(ring.tryView(4) ?? [])]).toEqual([1, 2, 3, 4]);
  });

  test("is full at its limit of bytes, and of chunks", () => {
    const large = new ByteRing();
    large.push(new Uint8Array(ringBytesMax - 1));
    expect(large.full).toBe(false);
    large.push(bytes(1));
    expect(large.full).toBe(true);
    large.skip(1);
    expect(large.full).toBe(false);
    const many = new ByteRing();
    for (let at = 0; at < ringChunksMax; at++) many.push(new Uint8Array(600));
    expect(many.full).toBe(true);
  });

  test("any pushes, views, takes and skips give the bytes in order", () => {
    for (let seed = 0; seed < 300; seed++) {
      const random = new Random(seed);
      const ring = new ByteRing();
      let pushed = 0;
      let taken = 0;
      for (let step = 0; step < 200; step++) {
        if (random.chance(0.5)) {
          const chunk = new Uint8Array(random.chance(0.5) ? random.int(5) : random.int(900));
          for (let at = 0; at < chunk.length; at++) chunk[at] = (pushed + at) % 251;
          ring.push(chunk);
          pushed += chunk.length;
        }
        const length = random.int(700);
        const view = ring.tryView(length);
        expect(view === undefined).toBe(pushed - taken < length);
        view?.forEach((byte, at) => {
          if (byte !== (taken + at) % 251) throw new Error(`seed ${seed}: view at ${taken + at}`);
        });
        if (pushed > taken && random.chance(0.7)) {
          const piece = ring.take(1 + random.int(800));
          piece.forEach((byte, at) => {
            if (byte !== (taken + at) % 251) throw new Error(`seed ${seed}: take at ${taken + at}`);
          });
          taken += piece.length;
        }
        if (pushed > taken) expect(ring.byteAt(pushed - taken - 1)).toBe((pushed - 1) % 251);
        expect(ring.byteLength).toBe(pushed - taken);
      }
    }
  });
});
