import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { assert as check, array, oneof, property, string } from "fast-check";
import type { Origin } from "../../../src/frame.ts";
import { LastNames } from "../../../src/sinks/directory/last-names.ts";

const origin: Origin = { device: "d", source: "s", session: "0".repeat(32) };

/** Letters on both sides of where the orders of UTF-16 and UTF-8 part. */
const name = string({ unit: "grapheme", minLength: 1, maxLength: 3 });
const awkward = string({ unit: oneof(...["a", "\ud7ff", "\ue000", "\uffee", "😀"].map(constantText)), minLength: 1 });

function constantText(text: string) {
  return string({ maxLength: 0 }).map(() => text);
}

test("what it calls later is later for SQLite, whatever was stored before and since", () => {
  const database = new Database(":memory:");
  database.run("CREATE TABLE frames (name TEXT NOT NULL)");
  const add = database.prepare("INSERT INTO frames VALUES (?1)");
  const later = database.prepare<{ later: number }, [string]>(
    "SELECT coalesce(max(name) < ?1, 1) AS later FROM frames",
  );
  const last = database.prepare<{ name: string | null }, []>("SELECT max(name) AS name FROM frames");
  let called = 0;
  check(
    property(array(oneof(name, awkward), { maxLength: 3 }), array(oneof(name, awkward)), (before, since) => {
      database.run("DELETE FROM frames");
      for (const text of before) add.run(text);
      const names = new LastNames(() => last.get()?.name ?? undefined);
      for (const text of since) {
        const found = later.get(text)?.later;
        const behind = names.isBefore(origin, text);
        if (behind) called += 1;
        if (behind && found !== 1) throw new Error(`${JSON.stringify(text)} is not behind all`);
        add.run(text);
        names.stored(origin, text);
      }
    }),
    { numRuns: 2000 },
  );
  expect(called).toBeGreaterThan(100);
});

test("each source has its own last name, asked for once; more than it remembers are asked for again", () => {
  const asked: string[] = [];
  const names = new LastNames(({ device, source }) => {
    asked.push(`${device}/${source}`);
    return source === "old" ? "5" : undefined;
  });
  const from = (device: string, source: string): Origin => ({ ...origin, device, source });
  expect(names.isBefore(from("a", "old"), "6")).toBe(true);
  expect(names.isBefore(from("a", "old"), "5")).toBe(false);
  expect(names.isBefore(from("a", "old"), "10")).toBe(false);
  expect(names.isBefore(from("a", "new"), "1")).toBe(true);
  expect(names.isBefore(from("b", "new"), "1")).toBe(true);
  names.stored(from("a", "new"), "3");
  names.stored(from("a", "new"), "2");
  expect(names.isBefore(from("a", "new"), "3")).toBe(false);
  expect(names.isBefore(from("b", "new"), "3")).toBe(true);
  expect(asked).toEqual(["a/old", "a/new", "b/new"]);
  for (let at = 0; at < 5000; at += 1) names.isBefore(from("c", String(at)), "1");
  expect(names.isBefore(from("a", "old"), "5")).toBe(false);
  expect(asked.at(-1)).toBe("a/old");
});

test("a last name whose order is not known leaves every name to be looked for", () => {
  const names = new LastNames(() => "\ue000");
  expect(names.isBefore(origin, "😀")).toBe(false);
  names.stored(origin, "\uffee");
  expect(names.isBefore(origin, "\uffef")).toBe(false);
});
