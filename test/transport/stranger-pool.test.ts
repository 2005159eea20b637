/** Who has a place at the door, who loses it, and who is sent away. */
import { describe, expect, test } from "bun:test";
import { addressGroup } from "../../src/address.ts";
import { type Place, StrangerPool } from "../../src/transport/stranger-pool.ts";

function open({ placesMax = 8, perAddressMax = 4 } = {}): {
  pool: StrangerPool;
  enter: (address: string, name?: string) => Place | undefined;
  evicted: string[];
  pass: (ms: number) => void;
} {
  let nowMs = 0;
  const evicted: string[] = [];
  const pool = new StrangerPool({ placesMax, perAddressMax, nowMs: () => nowMs });
  return {
    pool,
    enter: (address, name = address) => pool.enter(address, () => void evicted.push(name)),
    evicted,
    pass: (ms) => {
      nowMs += ms;
    },
  };
}

describe("the pool of strangers", () => {
  test("the oldest of the busiest address goes when it is full", () => {
    const { enter, evicted, pass, pool } = open();
    enter("10.0.0.1", "lone");
    for (let at = 0; at < 4; at++) enter("10.0.0.2", `second ${at}`);
    for (let at = 0; at < 3; at++) enter("10.0.0.3", `third ${at}`);
    pass(1000);
    expect(enter("10.0.0.4")).toBeDefined();
    expect(enter("10.0.0.5")).toBeDefined();
    expect(evicted).toEqual(["second 0", "second 1"]);
    expect(pool.places).toBe(8);
  });

  test("one address has its share and no more: its own oldest goes", () => {
    const { enter, evicted, pass, pool } = open({ placesMax: 100 });
    for (let at = 0; at < 4; at++) enter("10.0.0.2", `${at}`);
    enter("10.0.0.3", "other");
    pass(1000);
    expect(enter("10.0.0.2", "4")).toBeDefined();
    expect(evicted).toEqual(["0"]);
    expect(pool.places).toBe(5);
  });

  test("a flood of one address is sent away while its earlier ones are young", () => {
    const { enter, evicted, pass } = open();
    for (let at = 0; at < 4; at++) expect(enter("10.0.0.2")).toBeDefined();
    for (let at = 0; at < 100; at++) expect(enter("10.0.0.2")).toBeUndefined();
    pass(249);
    expect(enter("10.0.0.2")).toBeUndefined();
    pass(1);
    expect(enter("10.0.0.2")).toBeDefined();
    expect(evicted).toHaveLength(1);
  });

  test("a flood of few addresses keeps no other one out, however young its own are", () => {
    const { enter, evicted } = open();
    for (let at = 0; at < 4; at++) enter("10.0.0.2", "flood");
    for (let at = 0; at < 4; at++) enter("10.0.0.3", "flood");
    expect(enter("10.0.0.9", "device")).toBeDefined();
    for (let at = 0; at < 50; at++) enter("10.0.0.2", "flood");
    for (let at = 0; at < 50; at++) enter("10.0.0.3", "flood");
    expect(evicted).not.toContain("device");
    expect(evicted).not.toEqual([]);
  });

  test("where nobody has more than the others, who just came is not sent away", () => {
    const { enter, evicted, pass } = open();
    for (let at = 0; at < 8; at++) enter(`10.0.0.${at}`);
    expect(enter("10.0.1.1")).toBeUndefined();
    pass(250);
    expect(enter("10.0.1.1")).toBeDefined();
    expect(evicted).toEqual(["10.0.0.0"]);
  });

  test("addresses say nothing behind a balancer", () => {
    const { enter, pool } = open({ perAddressMax: 0 });
    for (let at = 0; at < 8; at++) expect(enter("10.0.0.2")).toBeDefined();
    expect(pool.places).toBe(8);
  });

  test("who is admitted, or gone, has no place any more, once", () => {
    const { enter, pool, pass } = open();
    const place = enter("10.0.0.2");
    const other = enter("10.0.0.2");
    if (place === undefined || other === undefined) throw new Error("there is room");
    pool.leave(place);
    pool.leave(place);
    expect(pool.places).toBe(1);
    pass(1000);
    pool.leave(other);
    expect(pool.places).toBe(0);
  });
});

test("whose an address is", () => {
  expect(addressGroup("10.0.0.1")).toBe("10.0.0.1");
  expect(addressGroup("::ffff:10.0.0.1")).toBe("10.0.0.1");
  expect(addressGroup("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1:2");
  expect(addressGroup("2001:DB8:1:2::")).toBe("2001:db8:1:2");
  expect(addressGroup("2001:0db8:1::7")).toBe("2001:db8:1:0");
  expect(addressGroup("2001:db8::1:2:3:4:5")).toBe("2001:db8:0:1");
  expect(addressGroup("fe80::1%eth0")).toBe("fe80:0:0:0");
  expect(addressGroup("::1")).toBe("0:0:0:0");
});
