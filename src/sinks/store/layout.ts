/**
 * Where a frame goes below the directory: the `--layout` template, parsed once, and the numbered names for frames whose
 * own name is taken.
 */
import { UserError } from "../../errors.ts";
import type { Frame } from "../../frame.ts";
import { nameBytesMax, segmentBytesMax } from "../../limits.ts";
import { nameProblem } from "../../names.ts";

export const layoutDefault = "{device}/{source}/{name}";

const fields = ["device", "source", "name", "session", "sequence", "date", "hour"] as const;
type Field = (typeof fields)[number];
type Part = { readonly text: string } | { readonly field: Field };

/** A parsed template. */
export class Layout {
  readonly template: string;
  readonly #parts: readonly Part[];
  // Frames come in order of time, so the last hour's texts serve nearly all of them.
  #hourIndex = Number.NaN;
  #date = "";
  #hour = "";

  /** Throws UserError for a template that cannot give each frame a safe path of its own. */
  constructor(template: string) {
    this.template = template;
    this.#parts = parseTemplate(template);
    const used = new Set(this.#parts.map((part) => ("field" in part ? part.field : "")));
    if (!used.has("name") && !used.has("sequence")) {
      throw layoutError(template, "needs {name} or {sequence}, or all frames would have one path");
    }
    const origin = { device: "d", source: "s", session: "0".repeat(32) };
    const problem = nameProblem(this.#fill({ origin, name: "n", sequence: 0, bytes: 0, capturedNs: 0n }));
    if (problem !== undefined) throw layoutError(template, `does not give a safe path: ${problem}`);
  }

  /** The frame's path below the directory, or `undefined` if that would not be a safe one. */
  pathOf(frame: Frame): string | undefined {
    const path = this.#fill(frame);
    return nameProblem(path) === undefined ? path : undefined;
  }

  #fill(frame: Frame): string {
    let path = "";
    for (const part of this.#parts) path += "text" in part ? part.text : this.#value(part.field, frame);
    return path;
  }

  #value(field: Field, frame: Frame): string {
    switch (field) {
      case "device":
        return frame.origin.device;
      case "source":
        return frame.origin.source;
      case "session":
        return frame.origin.session;
      case "name":
        return frame.name;
      case "sequence":
        return String(frame.sequence);
      case "date":
        this.#setHour(frame.capturedNs);
        return this.#date;
      case "hour":
        this.#setHour(frame.capturedNs);
        return this.#hour;
    }
  }

  #setHour(capturedNs: bigint): void {
    const hourIndex = Math.floor(Number(capturedNs) / 3.6e12);
    if (hourIndex === this.#hourIndex) return;
    this.#hourIndex = hourIndex;
    const text = new Date(hourIndex * 3_600_000).toISOString();
    const end = text.indexOf("T");
    this.#date = text.slice(0, end);
    this.#hour = text.slice(end + 1, end + 3);
  }
}

function parseTemplate(template: string): Part[] {
  const parts: Part[] = [];
  for (const [piece] of template.matchAll(/\{[^{}]*\}|[^{}]+|[{}]/g)) {
    if (!piece.startsWith("{") && piece !== "}") {
      parts.push({ text: piece });
      continue;
    }
    const field = fields.find((known) => piece === `{${known}}`);
    if (field === undefined) throw layoutError(template, `${piece} is not a field`);
    parts.push({ field });
  }
  return parts;
}

function layoutError(template: string, problem: string): UserError {
  return new UserError(`--layout '${template}': ${problem}`, [
    `the fields are ${fields.map((field) => `{${field}}`).join(" ")}`,
    `for instance --layout '{device}/{source}/{date}/{name}'`,
  ]);
}

/**
 * The path of the `number`th frame of one name: `17.jpg`, `17~2.jpg`, `17~3.jpg`. A last segment or path that would
 * become too long loses characters before the number.
 */
export function numberedPath(path: string, number: number): string {
  if (number === 1) return path;
  const segmentStart = path.lastIndexOf("/") + 1;
  const segment = path.slice(segmentStart);
  const dot = segment.lastIndexOf(".");
  // A long "extension" is no extension: cutting before it would leave nothing of the name.
  const stemEnd = dot > 0 && segment.length - dot <= 16 ? dot : segment.length;
  const tail = `~${number}${segment.slice(stemEnd)}`;
  const folder = path.slice(0, segmentStart);
  const stemBytesMax = Math.min(segmentBytesMax, nameBytesMax - Buffer.byteLength(folder)) - Buffer.byteLength(tail);
  return folder + firstBytes(segment.slice(0, stemEnd), stemBytesMax) + tail;
}

/** As many whole characters of `text` as fit in `bytesMax`. */
function firstBytes(text: string, bytesMax: number): string {
  if (Buffer.byteLength(text) <= bytesMax) return text;
  let kept = "";
  let bytes = 0;
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > bytesMax) break;
    kept += character;
  }
  return kept;
}
