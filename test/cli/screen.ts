/** A standard stream that keeps what is written, and what a terminal would show of it. */
import type { DataStream, MessageStream } from "../../src/cli/terminal.ts";

export class Screen implements DataStream, MessageStream {
  readonly isTerminal: boolean;
  readonly #columns: number;
  readonly #rows: number;
  readonly writes: string[] = [];
  closed = false;
  /** Takes nothing for now. */
  stalled = false;
  hurried = false;
  describeLost: (messages: number, ms: number) => string = () => "";

  constructor(options: { isTerminal?: boolean; columns?: number; rows?: number } = {}) {
    const { isTerminal = false, columns = 80, rows = 24 } = options;
    this.isTerminal = isTerminal;
    this.#columns = columns;
    this.#rows = rows;
  }

  size(): { columns: number; rows: number } {
    return { columns: this.#columns, rows: this.#rows };
  }

  send(view: Uint8Array): Promise<boolean> {
    return Promise.resolve(this.write(new TextDecoder().decode(view)));
  }

  write(text: string): boolean {
    if (!this.closed && text !== "") this.writes.push(text);
    return !this.closed;
  }

  tryWrite(text: string): boolean {
    return !this.stalled && this.write(text);
  }

  hurry(): void {
    this.hurried = true;
  }

  get text(): string {
    return this.writes.join("");
  }

  /** The lines on the screen. Knows the few control sequences that are used here, and throws on any other. */
  get lines(): string[] {
    const lines = [""];
    let row = 0;
    const parts = this.text.matchAll(/\x1b\[([?\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+/g);
    for (const [part, argument, command] of parts) {
      if (part === "\n") {
        row += 1;
        lines[row] ??= "";
      } else if (command === "A") {
        row -= Number(argument);
        if (row < 0) throw new Error("the cursor left the screen");
      } else if (command === "J") lines.length = row + 1;
      else if (command === "m" || command === "h" || command === "l") continue;
      else if (command !== undefined) throw new Error(`unknown control sequence ${JSON.stringify(part)}`);
      else if (part === "\r") lines[row] = "";
      else lines[row] += part;
    }
    return lines;
  }
}
