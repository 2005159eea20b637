/** Where a frame goes below the directory: the `--layout` template. */
import { UserError } from "../../errors.ts";
import type { Frame, FrameEntry, Origin } from "../../frame.ts";
import { segmentBytesMax } from "../../limits.ts";
import { pathProblem } from "../../names.ts";
import { fieldList, Template } from "../../template.ts";

export const layoutDefault = "{device}/{source}/{name}";

const fields = ["device", "source", "name", "session", "sequence", "date", "hour"] as const;
type Field = (typeof fields)[number];

/** The most that a field takes that is not one of the sender's names: a session. */
const fieldBytesMax = 32;

const fieldPatterns: Readonly<Record<Field, string>> = {
  device: "[^/]+",
  source: "[^/]+",
  name: ".+",
  session: "[0-9a-f]{32}",
  sequence: "\\d+",
  date: "\\d{4,}-\\d\\d-\\d\\d",
  hour: "\\d\\d",
};

export interface PathFields {
  readonly device: string;
  readonly source: string;
  readonly name: string;
}

/** A parsed template. */
export class Layout {
  readonly template: string;
  readonly #parsed: Template<Field>;
  #pattern: RegExp | undefined;
  /** How often the fields are there that may be long, and what all the rest takes at most. */
  readonly #uses: { readonly name: number; readonly device: number; readonly source: number };
  readonly #ownBytesMax: number;
  // Frames come in order of time, so the last hour's texts serve nearly all of them.
  #hourIndex = Number.NaN;
  #date = "";
  #hour = "";

  /** Throws UserError for a template that cannot give each frame a safe path of its own. */
  constructor(template: string) {
    this.template = template;
    const count = (text: string): number => template.split(text).length - 1;
    const uses = (this.#uses = { name: count("{name}"), device: count("{device}"), source: count("{source}") });
    const others = count("{") - uses.name - uses.device - uses.source;
    this.#ownBytesMax = Buffer.byteLength(template) + others * fieldBytesMax;
    const parsed = new Template(template, fields);
    this.#parsed = parsed;
    const unknown = parsed.unknownField ?? parsed.strayBrace;
    if (unknown !== undefined) throw layoutError(template, `${unknown} is not a field`);
    if (!parsed.uses("name") && !parsed.uses("sequence")) {
      throw layoutError(template, "needs {name} or {sequence}, or all frames would have one path");
    }
    const origin = { device: "d", source: "s", session: "0".repeat(32) };
    const problem = pathProblem(this.#fill({ origin, name: "n", sequence: 0, bytes: 0, capturedNs: 0n }));
    if (problem !== undefined) throw layoutError(template, `does not give a safe path: ${problem}`);
  }

  /** Whose frame it is can be told from a path. */
  get isReadable(): boolean {
    return (["device", "source", "name"] as const).every((field) => this.#parsed.uses(field));
  }

  /**
   * Whose frame lies at `path`, as far as the path says it: device and source are taken for one segment each.
   * Undefined: the layout gives nobody such a path.
   */
  read(path: string): PathFields | undefined {
    this.#pattern ??= this.#parsed.pattern((field) => fieldPatterns[field]);
    const { device, source, name } = this.#pattern.exec(path)?.groups ?? {};
    if (device === undefined || source === undefined || name === undefined) return undefined;
    return pathProblem(path) === undefined ? { device, source, name } : undefined;
  }

  /** The frame's path below the directory, or `undefined` if that would not be a safe one. */
  pathOf(frame: Frame): string | undefined {
    const path = this.#fill(frame);
    return pathProblem(path) === undefined ? path : undefined;
  }

  /**
   * Whether `pathOf` gives one to a frame whose own names are safe. Names of common length cost next to nothing, so
   * that each offer can be asked: what has no path need not be sent.
   */
  hasPathFor(origin: Origin, entry: FrameEntry, sequence: number): boolean {
    const { name, device, source } = this.#uses;
    const characters = name * entry.name.length + device * origin.device.length + source * origin.source.length;
    // A character takes three bytes at most, and nothing is too long that fits in one segment.
    if (this.#ownBytesMax + 3 * characters <= segmentBytesMax) return true;
    return this.pathOf({ ...entry, origin, sequence }) !== undefined;
  }

  #fill(frame: Frame): string {
    return this.#parsed.fill((field) => this.#value(field, frame));
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

function layoutError(template: string, problem: string): UserError {
  return new UserError(`--layout '${template}': ${problem}`, [
    `the fields are ${fieldList(fields)}`,
    `for instance --layout '{device}/{source}/{date}/{name}'`,
  ]);
}
