/** Frames and pairs as lines: of columns, or of JSON. No file is looked at. */
import { KiB } from "../limits.ts";
import type { StoredRow } from "../sinks/directory/frame-query.ts";
import { formatTime } from "../times.ts";
import type { Form, Output, Taken } from "./form.ts";
import { sourceText } from "./selection.ts";

/** Lines are written together, but none waits for long where they come slowly: reading never waits for more. */
const writeCharacters: number = 64 * KiB;

export class Lines implements Form {
  readonly #output: Output;
  readonly #lineOf: (taken: Taken) => string;
  #text = "";

  constructor(output: Output, lineOf: (taken: Taken) => string) {
    this.#output = output;
    this.#lineOf = lineOf;
  }

  async put(taken: Taken): Promise<undefined> {
    this.#text += `${this.#lineOf(taken)}\n`;
    if (this.#text.length >= writeCharacters) await this.end();
    return undefined;
  }

  async end(): Promise<void> {
    const text = this.#text;
    this.#text = "";
    if (text !== "") await this.#output(Buffer.from(text));
  }
}

export function listLine([first, second]: Taken): string {
  const time = formatTime(first.timeNs);
  const columns =
    second === undefined
      ? [time, sourceText(first), first.bytes, first.path]
      : [time, differenceMs(first, second), first.path, second.path];
  return columns.map((column) => withoutControls(String(column))).join("\t");
}

export function jsonLine([first, second]: Taken): string {
  if (second === undefined) return JSON.stringify(frameJson(first));
  return JSON.stringify({ differenceMs: differenceMs(first, second), frames: [frameJson(first), frameJson(second)] });
}

export function differenceMs(first: StoredRow, second: StoredRow): number {
  return Number(second.timeNs - first.timeNs) / 1e6;
}

/** A row as the JSON of READING.md. */
export function frameJson(row: StoredRow): Record<string, unknown> {
  const { device, source, session, sequence, name, path, number, bytes, crc32, notes, metadata } = row;
  return {
    captured: formatTime(row.timeNs),
    device,
    source,
    session,
    sequence,
    name,
    path,
    number,
    bytes,
    crc32,
    received: formatTime(row.receivedNs),
    ...(notes === null ? {} : { notes: notes.split(",") }),
    ...(metadata === null ? {} : { metadata: parsedOr(metadata) }),
  };
}

/** The catalogue may be anybody's. */
function parsedOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Names that are stored have none; but a line is a line, whatever a catalogue says. */
function withoutControls(text: string): string {
  return text.replace(/\p{Cc}/gu, "\u{fffd}");
}
