/** The picture of an invitation: what stands on the terminal is the code, with white around it. */
import { expect, test } from "bun:test";
import { generate } from "lean-qr";
import { qrCode } from "../../src/cli/qr-code.ts";
import { invitations } from "../security/vectors.ts";

test.each(["a", invitations[0]?.line ?? ""])("%s", (text) => {
  const lines = qrCode(text).split("\n");
  const rows = lines.map((line) => {
    const [, drawn = ""] = /^\x1b\[30;107m([ ▀▄█]*)\x1b\[0m$/.exec(line) ?? [];
    return drawn;
  });
  const code = generate(text);
  const columns = code.size + 4;
  expect(rows.map((row) => row.length)).toEqual(rows.map(() => columns));
  expect(2 * rows.length).toBeGreaterThanOrEqual(columns);
  const isBlack = (column: number, row: number): boolean => {
    const mark = rows[Math.floor(row / 2)]?.charAt(column) ?? "";
    return mark === "█" || mark === (row % 2 === 0 ? "▀" : "▄");
  };
  for (let row = 0; row < 2 * rows.length; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      // Outside of the code it gives white.
      expect([column, row, isBlack(column, row)]).toEqual([column, row, code.get(column - 2, row - 2)]);
    }
  }
  // It fits a terminal of 100 columns and 30 rows.
  expect(columns).toBeLessThanOrEqual(60);
});
