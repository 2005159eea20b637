/**
 * What may go to standard output and standard error, and in which form. Standard output carries data alone. Standard
 * error carries messages: plain lines, coloured on a terminal, or JSON lines with `--json`. The progress display lives
 * below the messages; both are written here, in one write each time, so that neither can tear the other.
 */
import type { Clock } from "../ports.ts";
import { formatCount, formatDuration, printable } from "./format.ts";
import { MessageBudget } from "./message-budget.ts";
import type { Level, Report } from "./report.ts";

/** Standard output. */
export interface DataStream {
  readonly isTerminal: boolean;
  /**
   * Writes everything before it returns. False: the reader has gone and nothing more can be said. Throws UserError if
   * data cannot be written for another reason.
   */
  write(text: string): boolean;
  /**
   * The same of bytes, without keeping the program from anything else meanwhile. Resolves to false when the reader has
   * gone.
   */
  send(view: Uint8Array): Promise<boolean>;
}

/** Standard error. Never waits and never throws: what cannot be written is kept for a while, or dropped and counted. */
export interface MessageStream {
  readonly isTerminal: boolean;
  /** The terminal's columns and rows now; 80 by 24 where there is none. */
  size(): { readonly columns: number; readonly rows: number };
  write(text: string): void;
  /** What is of use only now. False: nothing of it was written. */
  tryWrite(text: string): boolean;
  /** What to say of messages that were dropped, over so many milliseconds: a line with its end. */
  describeLost: (messages: number, ms: number) => string;
  /** The program is to end soon. */
  hurry(): void;
}

/** The reader of standard output has closed it (`| head`): nothing is left to do, and nobody to tell. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

export interface TerminalOptions {
  readonly stdout: DataStream;
  readonly stderr: MessageStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly clock: Clock;
}

export class Terminal {
  readonly #options: TerminalOptions;
  readonly #colours: boolean;
  /** The display's lines, as they stand at the bottom of the terminal. */
  #shownLines: readonly string[] = [];
  readonly #budget: MessageBudget;

  constructor(options: TerminalOptions) {
    this.#options = options;
    const { stderr, env, clock } = options;
    this.#budget = new MessageBudget({ clock, say: (report) => this.#say(report) });
    stderr.describeLost = (messages, ms) => this.#lost(messages, ms);
    const unwanted = (env["NO_COLOR"] ?? "") !== "" || env["TERM"] === "dumb";
    this.#colours = stderr.isTerminal && !unwanted;
  }

  get json(): boolean {
    return this.#options.json;
  }

  get quiet(): boolean {
    return this.#options.quiet;
  }

  get verbose(): boolean {
    return this.#options.verbose;
  }

  /** Whether a display that is drawn over and over makes sense. */
  get interactive(): boolean {
    const { stderr, env, json, quiet } = this.#options;
    return stderr.isTerminal && env["TERM"] !== "dumb" && !json && !quiet;
  }

  size(): { readonly columns: number; readonly rows: number } {
    return this.#options.stderr.size();
  }

  report(report: Report): void {
    if (!this.#wanted(report.level)) return;
    if (this.#options.json) this.#options.stderr.write(this.#jsonLine(report.event));
    else if (report.level === "detail") this.#say(report);
    else this.#budget.report(report);
  }

  /** Says what was only counted. To be called before the last words. */
  sumUp(): void {
    this.#budget.sumUp();
  }

  /** The program has been told to end: whoever reads the messages is not waited for as long as otherwise. */
  hurry(): void {
    this.#options.stderr.hurry();
  }

  /** `error:` and `hint:` lines. */
  error(message: string, hints: readonly string[] = []): void {
    this.report({ level: "error", event: errorEvent(message, hints), text: message, hints });
  }

  info(text: string, event: { readonly event: string }): void {
    this.report({ level: "info", event, text });
  }

  /** One line of data on standard output. Throws OutputClosed. */
  data(text: string): void {
    const { stdout, stderr } = this.#options;
    // Both may be the same terminal: the display steps aside.
    const shown = stdout.isTerminal ? this.#shownLines : [];
    if (shown.length > 0) stderr.write(eraseLines(shown.length));
    if (!stdout.write(`${text}\n`)) throw new OutputClosed("standard output is closed");
    if (shown.length > 0) stderr.write(drawnLines(shown));
  }

  /** Whether a person would see what is written as data. */
  get dataIsShown(): boolean {
    return this.#options.stdout.isTerminal;
  }

  /** Data on standard output, as it is. Throws OutputClosed. */
  async send(view: Uint8Array): Promise<void> {
    if (!(await this.#options.stdout.send(view))) throw new OutputClosed("standard output is closed");
  }

  /** Puts `lines` in the place of the last ones at the bottom of the terminal. No lines: removes them. */
  draw(lines: readonly string[]): void {
    const { stderr } = this.#options;
    if (stderr.tryWrite(eraseLines(this.#shownLines.length) + drawnLines(lines))) this.#shownLines = lines;
  }

  #wanted(level: Level): boolean {
    const { json, quiet, verbose } = this.#options;
    if (level === "error" || level === "warning" || level === "frame") return true;
    if (quiet) return false;
    // A program that reads the lines picks its own; it is spared nothing.
    return level === "info" || verbose || json;
  }

  #say({ level, text, hints = [] }: Report): void {
    const first = level === "error" ? `${this.#paint(red, "error:")} ${printable(text)}` : printable(text);
    const lines = [level === "warning" || level === "frame" ? this.#paint(yellow, first) : first];
    for (const hint of hints) lines.push(`${this.#paint(cyan, "hint:")} ${printable(hint)}`);
    const said = `${lines.join("\n")}\n`;
    this.#options.stderr.write(eraseLines(this.#shownLines.length) + said + drawnLines(this.#shownLines));
  }

  #paint(colour: number, text: string): string {
    return this.#colours ? `\x1b[${colour}m${text}\x1b[0m` : text;
  }

  #lost(messages: number, ms: number): string {
    const text = `${formatCount(messages)} messages could not be written here in ${formatDuration(ms)}`;
    if (!this.#options.json) return `${this.#paint(yellow, text)}\n`;
    return this.#jsonLine({ event: "dropped", messages, seconds: Math.round(ms) / 1000 });
  }

  #jsonLine(event: Report["event"]): string {
    const time = new Date(Number(this.#options.clock.wallNs() / 1_000_000n)).toISOString();
    return `${toJson({ time, ...event })}\n`;
  }
}

const red = 31;
const yellow = 33;
const cyan = 36;

/** What `--json` says of an error. */
export function errorEvent(
  message: string,
  hints: readonly string[],
): { event: "error"; message: string; hints: readonly string[] } {
  return { event: "error", message, hints };
}

/** JSON in one line. A bigint becomes a number where that is exact, and a string of digits otherwise. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item !== "bigint") return item;
    const number = Number(item);
    return Number.isSafeInteger(number) ? number : String(item);
  });
}

/** The cursor rests below the display: so many lines up, and everything from there on is cleared. */
function eraseLines(count: number): string {
  return count === 0 ? "" : `\x1b[${count}A\r\x1b[J`;
}

/** Without line wrapping: a terminal that was just made narrower must not turn one line into two. */
function drawnLines(lines: readonly string[]): string {
  return lines.length === 0 ? "" : `\x1b[?7l${lines.join("\n")}\x1b[?7h\n`;
}
