/** PROTOCOL.md and the code say the same numbers. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "../../../src/bytes/checksum.ts";
import { ProtocolCode } from "../../../src/errors.ts";
import * as limits from "../../../src/limits.ts";
import {
  gapCodes,
  Kind,
  magic,
  outcomeCodes,
  refusalCodes,
  verdictHaveCodes,
} from "../../../src/protocols/wire/constants.ts";
import { receiverStates, senderStates } from "../../../src/protocols/wire/states.ts";
import { encoded, putPayload } from "./cases.ts";

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

describe("wire/PROTOCOL.md", () => {
  test("kinds", () => {
    const found = rows(section(4))
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
    const [sender = "", receiver = ""] = section(3).split("What a **receiver** may receive");
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

  test("numbers of reasons, outcomes and verdicts in the text", () => {
    const of = section(4);
    for (const [word, number] of [
      ["unreadable", 1],
      ["vanished", 2],
      ["changing", 3],
      ["refused", 4],
      ["dropped", 5],
    ] as const) {
      expect(of).toContain(`${number} ${word}`);
      expect(gapCodes.number(word)).toBe(number);
    }
    for (const [word, number] of [
      ["stored", 1],
      ["already", 2],
      ["conflict", 3],
      ["recorded", 4],
    ] as const) {
      expect(of).toContain(`${number} ${word}`);
      expect(outcomeCodes.number(word)).toBe(number);
    }
    for (const [word, shown, number] of [
      ["name", "name", 16],
      ["too-large", "too large", 17],
      ["checksum", "checksum", 18],
      ["link", "link", 19],
      ["storage", "storage", 20],
    ] as const) {
      expect(of).toContain(`${number} ${shown}`);
      expect(refusalCodes.number(word)).toBe(number);
    }
    for (const [word, number] of [
      ["already", 1],
      ["stored", 2],
      ["conflict", 3],
    ] as const) {
      expect(of).toContain(`${number} ${word}`);
      expect(verdictHaveCodes.number(word)).toBe(number);
    }
    expect(text).toContain("`0xF5`");
    expect(magic).toBe(0xf5);
  });

  test("the message in bytes", () => {
    const dump = section(9).split("```")[1] ?? "";
    const hex =
      dump
        .split("\n")
        .map((line) => line.slice(0, 31))
        .join(" ")
        .match(/\b[0-9a-f]{2}\b/g) ?? [];
    const payload = new TextEncoder().encode("hello");
    const capturedNs = BigInt(Date.UTC(2026, 0, 2, 3, 4, 5)) * 1_000_000n;
    const bytes = encoded((w, o) => {
      const at = w.frame({ sourceIndex: 0, sequence: 7, capturedNs, bytes: 5, crc32: 0, name: "a/7.jpg" }, 5);
      putPayload(w, o, at, payload, crc32(payload));
    });
    expect(hex.join(" ")).toBe(Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" "));
  });

  test("the relations between limits hold", () => {
    expect(limits.checkLimits).not.toThrow();
  });
});
