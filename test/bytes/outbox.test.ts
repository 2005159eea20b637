import { describe, expect, test } from "bun:test";
import { Outbox } from "../../src/bytes/outbox.ts";
import { Random } from "../support/random.ts";

describe("the outbox", () => {
  test("any reserves, commits and releases give the bytes in order, within the limit", () => {
    for (let seed = 0; seed < 200; seed++) {
      const random = new Random(seed);
      const limit = 1000;
      const outbox = new Outbox(limit, random.chance(0.5) ? 16 : limit);
      let written = 0;
      let released = 0;
      for (let step = 0; step < 300; step++) {
        const length = random.int(300);
        expect(outbox.room).toBe(limit - (written - released));
        if (length <= outbox.room) {
          const at = outbox.reserve(length);
          const used = random.int(length + 1);
          for (let offset = 0; offset < used; offset++) outbox.bytes[at + offset] = (written + offset) % 251;
          outbox.commit(used);
          written += used;
        }
        expect(outbox.bytes.length).toBeLessThanOrEqual(limit);
        outbox.view().forEach((byte, at) => {
          if (byte !== (released + at) % 251) throw new Error(`seed ${seed}: byte ${released + at}`);
        });
        const gone = random.int(outbox.byteLength + 1);
        outbox.release(gone);
        released += gone;
        expect(outbox.byteLength).toBe(written - released);
      }
    }
  });

  test("more than its room is a bug of the caller", () => {
    const outbox = new Outbox(10);
    outbox.commit(outbox.reserve(6) + 6);
    expect(() => outbox.reserve(5)).toThrow("outbox reserve within its room");
  });

  test("clear forgets what waits", () => {
    const outbox = new Outbox(10);
    outbox.reserve(6);
    outbox.commit(6);
    outbox.clear();
    expect(outbox.byteLength).toBe(0);
    expect(outbox.room).toBe(10);
  });
});
