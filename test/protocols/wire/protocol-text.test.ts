/** PROTOCOL.md and the code say the same numbers, and the same bytes. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "../../../src/bytes/checksum.ts";
import { ProtocolCode } from "../../../src/errors.ts";
import { Note } from "../../../src/frame.ts";
import * as limits from "../../../src/limits.ts";
import {
  Feature,
  gapCodes,
  Kind,
  magic,
  noticeCodes,
  outcomeCodes,
  refusalCodes,
  stretchCodes,
  verdictContinue,
  verdictExpired,
  verdictHaveCodes,
  verdictUnknownLast,
  verdictWant,
  version,
  type WireCodes,
} from "../../../src/protocols/wire/constants.ts";
import { type FrameMove, frameMoves, type FrameState } from "../../../src/protocols/frame-states.ts";
import { stateAfter } from "../../../src/protocols/moves.ts";
import { receiverMoves, receiverStates, senderMoves, senderStates } from "../../../src/protocols/wire/states.ts";
import { encoded, putPayload, roundTrips } from "./cases.ts";
import { type Field, layoutOf, walkHead } from "./layout-table.ts";

const text = readFileSync(join(import.meta.dir, "../../../src/protocols/wire/PROTOCOL.md"), "utf8");

function section(number: number): string {
  const start = text.indexOf(`\n## ${number}. `);
  const end = text.indexOf("\n## ", start + 1);
  return text.slice(start, end < 0 ? undefined : end);
}

function rows(of: string): string[][] {
  return of
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("|--"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

/** The table behind a line of section 9: number or range, and the word as the code has it. */
function numbersOf(heading: string): [string, string][] {
  const of = section(9);
  const start = of.indexOf(`${heading}:`);
  expect(start, heading).toBeGreaterThan(0);
  const table = of.slice(start).split("\n\n")[1] ?? "";
  return rows(table)
    .slice(1)
    .map(([number = "", word = ""]) => [number, codeWords[word] ?? word]);
}

/** A public word that the code spells otherwise. */
const codeWords: Readonly<Record<string, string>> = { "too large": "too-large", "shared device": "shared-device" };

/** Every number of the table has its word, the ends of the range the word for the unknown, and beyond there is none. */
function expectCodes(heading: string, codes: WireCodes<string, string>): void {
  const numbers = numbersOf(heading);
  expect(numbers.length).toBeGreaterThan(2);
  const named = new Map(numbers.map(([number, word]) => [Number(number), word]));
  const [, range] = /(\d+ … \d+)/.exec(numbers.at(-1)?.[0] ?? "") ?? [];
  const [from = 0, to = 0] = (range ?? "").split(" … ").map(Number);
  expect(to).toBeGreaterThan(from);
  const unknown = new Set<string | undefined>();
  for (let number = 0; number < 300; number++) {
    const word = codes.word(number);
    if (named.has(number)) expect(word).toBe(named.get(number));
    else if (number < from || number > to) expect(word).toBeUndefined();
    else unknown.add(word);
  }
  expect(unknown.size).toBe(1);
  const [word = ""] = unknown;
  expect(["other", "information", "unknown"]).toContain(word);
}

/** A table of bits, as an object of masks. */
function bitsOf(of: string): Record<string, number> {
  const start = of.indexOf("| bit ");
  const table = of.slice(start, of.indexOf("\n\n", start));
  return Object.fromEntries(
    rows(`\n${table}`)
      .filter(([bit]) => /^\d+$/.test(bit ?? ""))
      .map(([bit, name = ""]) => [
        name.replace(/ (\w)/g, (_, letter: string) => letter.toUpperCase()),
        1 << Number(bit),
      ]),
  );
}

function headOf(message: Uint8Array): Uint8Array {
  return message.subarray(12, 12 + new DataView(message.buffer, message.byteOffset).getUint32(4, true));
}

/** What the table calls as the code does must have the value that was encoded. */
function compare(fields: ReadonlyMap<string, Field>, value: object): void {
  for (const [name, field] of fields) {
    const expected = (value as Record<string, unknown>)[name];
    if (typeof expected !== typeof field || expected instanceof Map) continue;
    expect([name, field]).toEqual([name, expected as Field]);
  }
}

describe("wire/PROTOCOL.md", () => {
  test("kinds", () => {
    const found = rows(section(4).split("\n### ")[0] ?? "")
      .filter(([number]) => /^\d+$/.test(number ?? ""))
      .map(([number, name]) => [name?.toLowerCase(), Number(number)]);
    expect(Object.fromEntries(found)).toEqual(Kind);
  });

  test("codes of REFUSE", () => {
    const found = rows(section(8))
      .filter(([code]) => /^\d+$/.test(code ?? ""))
      .map(([code, name]) => [name, Number(code)]);
    expect(Object.fromEntries(found)).toEqual(ProtocolCode);
  });

  test("limits", () => {
    const found = rows(section(7)).filter(([, value]) => /^\d+$/.test(value ?? ""));
    expect(found.length).toBeGreaterThan(10);
    for (const [name, value] of found) {
      expect([name, (limits as unknown as Record<string, unknown>)[name ?? ""]]).toEqual([name, Number(value)]);
    }
  });

  test("states of both roles", () => {
    const received = section(3).split("What leads from state to state")[0] ?? "";
    const [sender = "", receiver = ""] = received.split("What a **receiver** may receive");
    for (const [of, table] of [
      [sender, senderStates],
      [receiver, receiverStates],
    ] as const) {
      const found = rows(of)
        .filter(([state]) => state !== "state")
        .map(([state, , kinds]) => [state, kinds === "–" ? [] : (kinds ?? "").toLowerCase().split(" ").toSorted()]);
      const expected = Object.entries(table).map(([state, kinds]) => [state, [...kinds].toSorted()]);
      expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
    }
  });

  /** Every (state, move) of a table, and where it leads. */
  const coded = (moves: Readonly<Record<string, Readonly<Record<string, string>>>>): string[] =>
    Object.entries(moves).flatMap(([state, row]) => Object.entries(row).map(([move, to]) => `${state} ${move} ${to}`));

  test("moves of both roles", () => {
    const [, moves = ""] = section(3).split("What leads from state to state");
    const [table = ""] = moves.split("The life of a frame");
    const found = rows(table)
      .slice(1)
      .flatMap(([of = "", state = "", on = "", to = ""]) =>
        on.split(", ").flatMap((move) => {
          // A receiver's session is gone with its connection.
          if (of === "receiver" && move === "gone") return [];
          const states = Object.keys(of === "sender" ? senderMoves : receiverMoves);
          const from = state === "any" ? states.filter((each) => isLeft(of, each, move)) : [state];
          return from.map((each) => `${of} ${each} ${move.toLowerCase()} ${to}`);
        }),
      );
    const expected = [
      ...coded(senderMoves).map((move) => `sender ${move}`),
      ...coded(receiverMoves).map((move) => `receiver ${move}`),
    ];
    expect(found.toSorted()).toEqual(expected.toSorted());
  });

  /** A closed end is told nothing any more, but the connection of a closed sender may still be there. */
  const isLeft = (of: string, state: string, move: string): boolean =>
    state !== "closed" || (of === "sender" && move === "gone");

  test("the life of a frame", () => {
    const [, life = ""] = section(3).split("The life of a frame at its sender");
    const states = Object.keys(frameMoves);
    const before = ["listed", "offered", "doubted", "wanted", "sent"];
    const found = rows(life)
      .slice(1)
      .flatMap(([state = "", on = "", to = ""]) => {
        const from = state.startsWith("any") ? before : state.split(", ");
        return from.map((each) => `${each} ${on.split(":")[0]} ${to}`);
      });
    expect(found.toSorted()).toEqual(coded(frameMoves).toSorted());
    // Whatever else happens in a state is a bug, and found as one.
    const moves = new Set(Object.values(frameMoves).flatMap((row) => Object.keys(row)));
    for (const state of states as FrameState[]) {
      for (const move of moves as Set<FrameMove>) {
        if (frameMoves[state][move] === undefined) expect(() => stateAfter(frameMoves, state, move)).toThrow();
      }
    }
  });

  test("numbers that may grow", () => {
    expectCodes("Outcomes in ACK", outcomeCodes);
    expectCodes("Reasons in REJECT, and of refusal in WANT", refusalCodes);
    expectCodes("Reasons of a GAP", gapCodes);
    expectCodes("Classes of a STRETCH", stretchCodes);
    expectCodes("Notices of the receiver", noticeCodes);
    const verdicts = Object.fromEntries(numbersOf("Verdicts in WANT").map(([number, word]) => [word, number]));
    expect(verdicts).toEqual({
      want: `${verdictWant}`,
      duplicate: `${verdictHaveCodes.number("duplicate")}`,
      stored: `${verdictHaveCodes.number("stored")}`,
      conflict: `${verdictHaveCodes.number("conflict")}`,
      expired: `${verdictExpired}`,
      continue: `${verdictContinue}`,
      unknown: `6 … ${verdictUnknownLast}`,
      refused: "16 … 31",
    });
    expect(bitsOf(section(9))).toEqual(Note);
    expect(bitsOf(section(4))).toEqual(Feature);
    expect(text).toContain("`0xF5`");
    expect(magic).toBe(0xf5);
    expect(text.split("\n", 1)[0]).toBe(`# The wire protocol, version ${version}`);
  });

  for (const { name, bytes, value } of roundTrips) {
    test(`the layout of ${name} is what is sent`, () => {
      const { offsets, fields, entries, end } = walkHead(layoutOf(section(4), name), headOf(bytes));
      expect(offsets.found).toEqual(offsets.said);
      expect(end).toBe(headOf(bytes).length);
      compare(fields, typeof value === "object" ? { ...value, ...(value as { totals?: object }).totals } : {});
      const { entries: offered, verdicts, ranges } = value as Record<string, unknown[] | undefined>;
      const list = offered ?? verdicts ?? ranges ?? [];
      expect(entries.length).toBe(list.length);
      for (const [index, entry] of entries.entries()) compare(entry, list[index] as object);
    });
  }

  test("every kind that has a head has a layout and a message in the table of cases", () => {
    const names = new Set(roundTrips.map(({ name }) => name));
    const without = Object.keys(Kind).filter((kind) => !names.has(kind.toUpperCase()));
    expect(without).toEqual(["farewell"]);
  });

  test("the message in bytes", () => {
    const dump = section(10).split("```")[1] ?? "";
    const hex =
      dump
        .split("\n")
        .map((line) => line.slice(0, 31))
        .join(" ")
        .match(/\b[0-9a-f]{2}\b/g) ?? [];
    const payload = new TextEncoder().encode("hello");
    const capturedNs = BigInt(Date.UTC(2026, 0, 2, 3, 4, 5)) * 1_000_000n;
    const bytes = encoded((w, o) => {
      const metadata = new Map([["lux", "40"]]);
      const at = w.frame({ sourceIndex: 0, sequence: 7, capturedNs, bytes: 5, name: "a/7.jpg", metadata }, 5);
      putPayload(w, o, at, payload, crc32(payload), Note.incomplete);
    });
    expect(hex.join(" ")).toBe(Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" "));
  });

  test("the relations between limits hold", () => {
    expect(limits.checkLimits).not.toThrow();
  });
});
