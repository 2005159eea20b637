/** src/protocols/lockstep/PROTOCOL.md and the code say the same. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as limits from "../../../src/limits.ts";
import { selfEndingExtensions } from "../../../src/protocols/lockstep/messages.ts";
import { clientMoves, serverMoves } from "../../../src/protocols/lockstep/states.ts";
import { stateAfter } from "../../../src/protocols/moves.ts";

const text = readFileSync(join(import.meta.dir, "../../../src/protocols/lockstep/PROTOCOL.md"), "utf8");

/** The rows of the first table of a section, without its two lines of heading. */
function table(section: string): string[][] {
  const body = text.split(/^## /m).find((part) => part.startsWith(section)) ?? "";
  const rows = body.split("\n").filter((line) => line.startsWith("|"));
  return rows.slice(2).map((row) =>
    row
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

for (const { section, moves } of [
  { section: "3.", moves: serverMoves },
  { section: "4.", moves: clientMoves },
]) {
  test(`state table of section ${section}`, () => {
    const coded = Object.entries(moves).flatMap(([state, row]) =>
      Object.entries(row).map(([move, to]) => [state, move, String(to)]),
    );
    expect(table(section)).toEqual(coded);
    const reached = new Set(coded.map(([, , to]) => to));
    expect(Object.keys(moves).filter((state) => !reached.has(state))).toEqual(["opening", "failed"]);
  });
}

test("a move that is not in the table is a bug", () => {
  expect(stateAfter(serverMoves, "payload", "last-byte")).toBe("storing");
  expect(() => stateAfter(serverMoves, "payload", "final-ok")).toThrow("in the table");
});

test("limits of section 7", () => {
  const rows = table("7.");
  expect(rows.length).toBeGreaterThan(5);
  for (const [, value, name] of rows) {
    const found: unknown = Reflect.get(limits, (name ?? "").replaceAll("`", ""));
    expect(`${name} ${found}`).toBe(`${name} ${Number.parseInt(value ?? "", 10)}`);
  }
});

test("extensions of section 3", () => {
  const lines = text.split("\n").filter((each) => each.includes("`.jpg "));
  expect(lines.map((line) => line.slice(line.indexOf("`") + 1, line.lastIndexOf("`")).split(" "))).toEqual([
    [...selfEndingExtensions],
  ]);
});
