/**
 * `--name`: how frames of a stream are called, which come without names. A template is text with fields in braces:
 *
 * | field | meaning |
 * |---|---|
 * | `{date}` | day of capture, UTC: `2026-11-23` |
 * | `{time}` | time of capture, UTC, to the millisecond: `20261123T143005.123Z` |
 * | `{sequence}` | number of the frame in its stream from 0, eight digits or more: `00000042` |
 * | `{run}` | eight hexadecimal digits, new for each run of the sender |
 * | `{source}` | the name of the source |
 * | `{extension}` | `jpg`, `png`, `y4m` or `raw` |
 *
 * `{run}` and `{sequence}` are required: a device without a battery for its clock takes pictures at the same "time"
 * after each start, so the time alone would let two runs give two frames one name.
 */
import { UserError } from "../../errors.ts";
import { nameProblem } from "../../names.ts";

export const frameNameDefault = "{date}/{time}-{sequence}-{run}.{extension}";

const fields = ["date", "time", "sequence", "run", "source", "extension"] as const;
type Field = (typeof fields)[number];

export class FrameNames {
  /** Text and fields in turns, beginning with text. */
  readonly #parts: readonly string[];
  readonly #run: string;
  readonly #source: string;

  /** `run`: eight hexadecimal digits. Throws UserError (usage) for a template that cannot give good names. */
  constructor(template: string, run: string, source: string) {
    this.#source = source;
    this.#parts = template.split(/\{([^{}]*)\}/);
    this.#run = run;
    const used = this.#parts.filter((_, at) => at % 2 === 1);
    const unknown = used.find((field) => !fields.includes(field as Field));
    const known = fields.map((field) => `{${field}}`).join(" ");
    if (unknown !== undefined)
      throw new UserError(`--name: there is no field {${unknown}}`, [`the fields are ${known}`]);
    for (const field of ["sequence", "run"]) {
      if (used.includes(field)) continue;
      const why = "without it two frames, of this run or of two runs, could have the same name";
      throw new UserError(`--name needs the field {${field}}`, [why, `for example ${frameNameDefault}`]);
    }
    const problem = nameProblem(this.name(0n, 0, "jpg"));
    if (problem !== undefined)
      throw new UserError(`--name does not make a safe name: ${problem}`, [`the fields are ${known}`]);
  }

  name(capturedNs: bigint, sequence: number, extension: string): string {
    const iso = new Date(Number(capturedNs / 1_000_000n)).toISOString();
    const values: Record<Field, string> = {
      date: iso.slice(0, 10),
      time: iso.replace(/[-:]/g, ""),
      sequence: String(sequence).padStart(8, "0"),
      run: this.#run,
      source: this.#source,
      extension,
    };
    return this.#parts.map((part, at) => (at % 2 === 0 ? part : values[part as Field])).join("");
  }
}
