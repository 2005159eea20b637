/** Where a frame goes below the directory: the `--layout` template. */
import { UserError } from "../../errors.ts";
import type { Frame } from "../../frame.ts";
import { nameProblem } from "../../names.ts";
import { fieldList, Template } from "../../template.ts";

export const layoutDefault = "{device}/{source}/{name}";

const fields = ["device", "source", "name", "session", "sequence", "date", "hour"] as const;
type Field = (typeof fields)[number];

/** A parsed template. */
export class Layout {
  readonly template: string;
  readonly #parsed: Template<Field>;
  // Frames come in order of time, so the last hour's texts serve nearly all of them.
  #hourIndex = Number.NaN;
  #date = "";
  #hour = "";

  /** Throws UserError for a template that cannot give each frame a safe path of its own. */
  constructor(template: string) {
    this.template = template;
    const parsed = new Template(template, fields);
    this.#parsed = parsed;
    const unknown = parsed.unknownField ?? parsed.strayBrace;
    if (unknown !== undefined) throw layoutError(template, `${unknown} is not a field`);
    if (!parsed.uses("name") && !parsed.uses("sequence")) {
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
