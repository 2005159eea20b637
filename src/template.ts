/** Text with fields in braces, `{date}/{name}`: parsed once, filled for each frame. */

export class Template<Field extends string> {
  /** The first `{...}` that is no field. */
  readonly unknownField: string | undefined;
  /** A brace that stands alone; it is text. */
  readonly strayBrace: string | undefined;
  readonly #used: ReadonlySet<Field>;
  /** Texts, and between each two of them a field: `#fields[0]` is behind `#texts[0]`. */
  readonly #texts: readonly string[];
  readonly #fields: readonly Field[];

  constructor(template: string, fields: readonly Field[]) {
    const pieces = template.split(/\{([^{}]*)\}/);
    this.#texts = pieces.filter((_, at) => at % 2 === 0);
    this.#fields = pieces.filter((_, at) => at % 2 === 1) as Field[];
    this.#used = new Set(this.#fields);
    const unknown = this.#fields.find((field) => !fields.includes(field));
    this.unknownField = unknown === undefined ? undefined : `{${unknown}}`;
    this.strayBrace = /[{}]/.exec(this.#texts.join(""))?.[0];
  }

  uses(field: Field): boolean {
    return this.#used.has(field);
  }

  /**
   * What a filled template looks like, with a group for each field that is there for the first time: `date_local` for
   * `date:local`.
   */
  pattern(patternOf: (field: Field) => string): RegExp {
    const met = new Set<Field>();
    const groups = this.#fields.map((field) => {
      const group = field.replace(":", "_");
      if (met.has(field)) return `\\k<${group}>`;
      met.add(field);
      return `(?<${group}>${patternOf(field)})`;
    });
    const texts = this.#texts.map((text) => RegExp.escape(text));
    return new RegExp(`^${texts.map((text, at) => text + (groups[at] ?? "")).join("")}$`, "s");
  }

  fill(valueOf: (field: Field) => string): string {
    let filled = this.#texts[0] as string;
    for (let at = 0; at < this.#fields.length; at += 1) {
      filled += valueOf(this.#fields[at] as Field) + (this.#texts[at + 1] as string);
    }
    return filled;
  }
}

/** The fields as they are written, for a hint. */
export function fieldList(fields: readonly string[]): string {
  return fields.map((field) => `{${field}}`).join(" ");
}
