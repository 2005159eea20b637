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
import { fieldList, Template } from "../../template.ts";

export const frameNameDefault = "{date}/{time}-{sequence}-{run}.{extension}";

const fields = ["date", "time", "sequence", "run", "source", "extension"] as const;
type Field = (typeof fields)[number];

export class FrameNames {
  readonly #template: Template<Field>;
  readonly #run: string;
  readonly #source: string;

  /** `run`: eight hexadecimal digits. Throws UserError (usage) for a template that cannot give good names. */
  constructor(template: string, run: string, source: string) {
    this.#source = source;
    this.#run = run;
    const parsed = new Template(template, fields);
    this.#template = parsed;
    const known = `the fields are ${fieldList(fields)}`;
    if (parsed.unknownField !== undefined)
      throw new UserError(`--name: there is no field ${parsed.unknownField}`, [known]);
    for (const field of ["sequence", "run"] as const) {
      if (parsed.uses(field)) continue;
      const why = "without it two frames, of this run or of two runs, could have the same name";
      throw new UserError(`--name needs the field {${field}}`, [why, `for example ${frameNameDefault}`]);
    }
    const problem = nameProblem(this.name(0n, 0, "jpg"));
    if (problem !== undefined) throw new UserError(`--name does not make a safe name: ${problem}`, [known]);
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
    return this.#template.fill((field) => values[field]);
  }
}
