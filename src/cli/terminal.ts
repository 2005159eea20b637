/**
 * What may go to standard output and standard error, and in which form. Standard output carries data alone. Standard
 * error carries messages: plain lines, coloured on a terminal, or JSON lines with `--json`. The progress display lives
 * below the messages; both are written here, in one write each time, so that neither can tear the other.
 *
 * Writes are synchronous: whatever ends the program, everything said before is out.
 */
import { fstatSync, statSync, writeSync } from "node:fs";
import { devNull } from "node:os";
import { ExitStatus, UserError } from "../errors.ts";
import { errorCode } from "../system/errno.ts";
import { formatCount, printable } from "./format.ts";

/**
 * - `error`: something ends or cannot be used; `error:` and `hint:` lines, always shown
 * - `warning`: something is not as it should be, and the rest goes on; always shown
 * - `frame`: the same of one frame: always counted, and the first ones are shown
 * - `info`: what a person wants to know; not with `--quiet`
 * - `detail`: per connection; only with `--verbose`
 */
export type Level = "error" | "warning" | "frame" | "info" | "detail";

/** Something to say, for a person (`text`, `hints`) and for a machine (`event`, an object that becomes a JSON line). */
export interface Report {
  readonly level: Level;
  readonly event: { readonly event: string } & Readonly<Record<string, unknown>>;
  readonly text: string;
  readonly hints?: readonly string[] | undefined;
}

/** A standard stream. */
export interface Output {
  readonly isTerminal: boolean;
  /** The terminal's columns and rows now; 80 by 24 where there is none. */
  size(): { readonly columns: number; readonly rows: number };
  /**
   * Writes everything before it returns. False: the reader has gone and nothing more can be said. Throws UserError if
   * data cannot be written for another reason; messages are then lost in silence, for there is nowhere to complain.
   */
  write(text: string): boolean;
}

/** The reader of standard output has closed it (`| head`): nothing is left to do, and nobody to tell. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

/** Frames that are named one by one. A source that is refused as a whole must not bury everything else. */
export const frameLinesMax = 20;

export interface TerminalOptions {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** For the `time` of JSON lines, milliseconds since the epoch. */
  readonly wallMs: () => number;
}

export class Terminal {
  readonly #options: TerminalOptions;
  readonly #colours: boolean;
  /** The display's lines, as they stand at the bottom of the terminal. */
  #shownLines: readonly string[] = [];
  #frameReports = 0;

  constructor(options: TerminalOptions) {
    this.#options = options;
    const { stderr, env } = options;
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
    if (report.level === "frame") this.#frameReports += 1;
    if (!this.#wanted(report.level)) return;
    if (this.#options.json) this.#writeJson(report.event);
    else if (report.level !== "frame" || this.#frameReports <= frameLinesMax) this.#say(report);
  }

  /** Says how many frames were not named one by one, if there are any, and begins to name them again. */
  reportUnnamedFrames(): void {
    const unnamed = this.#frameReports - frameLinesMax;
    this.#frameReports = 0;
    if (unnamed <= 0 || this.#options.json) return;
    const text = `and ${formatCount(unnamed)} more; --json names every one`;
    this.report({ level: "warning", event: { event: "unnamed" }, text });
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

  /** Puts `lines` in the place of the last ones at the bottom of the terminal. No lines: removes them. */
  draw(lines: readonly string[]): void {
    this.#options.stderr.write(eraseLines(this.#shownLines.length) + drawnLines(lines));
    this.#shownLines = lines;
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

  #writeJson(event: { readonly event: string }): void {
    const time = new Date(this.#options.wallMs()).toISOString();
    this.#options.stderr.write(`${toJson({ time, ...event })}\n`);
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

/**
 * Whether a standard stream is a terminal. `node:tty` brings streams and sockets with it, which is 4 of the 16 ms that
 * the program starts in, so it is only asked about what may be one.
 */
export function isTerminal(descriptor: 0 | 1 | 2): boolean {
  try {
    const status = fstatSync(descriptor);
    if (!status.isCharacterDevice()) return false;
    if (status.rdev === statSync(devNull, { throwIfNoEntry: false })?.rdev) return false;
  } catch {
    return false;
  }
  return process.getBuiltinModule("node:tty").isatty(descriptor);
}

const outputHint = "if it goes to a file: is the disk full?";

/** Standard output (1) or standard error (2). */
export class StandardOutput implements Output {
  readonly isTerminal: boolean;
  readonly #descriptor: 1 | 2;
  #closed = false;

  constructor(descriptor: 1 | 2) {
    this.#descriptor = descriptor;
    this.isTerminal = isTerminal(descriptor);
  }

  size(): { readonly columns: number; readonly rows: number } {
    const stream = this.#descriptor === 1 ? process.stdout : process.stderr;
    if (!this.isTerminal || !("getWindowSize" in stream)) return { columns: 80, rows: 24 };
    const [columns, rows] = stream.getWindowSize();
    // A serial console says 0 by 0.
    return { columns: columns || 80, rows: rows || 24 };
  }

  write(text: string): boolean {
    const bytes = Buffer.from(text);
    let written = 0;
    while (written < bytes.length && !this.#closed) {
      try {
        written += writeSync(this.#descriptor, bytes, written, bytes.length - written);
      } catch (error) {
        // Whoever shares the pipe has made it non-blocking and the reader is slow: wait, as a blocking write would.
        const code = errorCode(error);
        if (code === "EAGAIN") Bun.sleepSync(1);
        else if (code === "EPIPE" || this.#descriptor === 2) this.#closed = true;
        else throw new UserError(`cannot write to standard output (${code})`, [outputHint], ExitStatus.failure);
      }
    }
    return !this.#closed;
  }
}
