/** A text as a QR code for a terminal: two rows in each line, black on white whatever the terminal has. */
import { generate } from "lean-qr";

/** White around it, which cameras need. */
const margin = 2;
const [blackOnWhite, plain] = ["\x1b[30;107m", "\x1b[0m"];

export function qrCode(text: string): string {
  const code = generate(text);
  const lines: string[] = [];
  for (let row = -margin; row < code.size + margin; row += 2) {
    let line = "";
    for (let column = -margin; column < code.size + margin; column += 1) {
      const [upper, lower] = [code.get(column, row), code.get(column, row + 1)];
      line += upper ? (lower ? "\u2588" : "\u2580") : lower ? "\u2584" : " ";
    }
    lines.push(`${blackOnWhite}${line}${plain}`);
  }
  return lines.join("\n");
}
