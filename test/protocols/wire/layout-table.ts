/**
 * Reads the layout tables of PROTOCOL.md section 4, and a head by such a table: a decoder that knows nothing but the
 * text.
 */

export type Field = number | bigint | string | Uint8Array | string[];

interface Row {
  /** `4`, `+8`, or `…` for the end of the field before. */
  readonly offset: string;
  readonly type: string;
  readonly name: string;
}

export interface Walked {
  /** Offsets as the table says them and as they came out, of the fields that have one. */
  readonly offsets: { readonly said: string[]; readonly found: string[] };
  readonly fields: ReadonlyMap<string, Field>;
  readonly entries: readonly ReadonlyMap<string, Field>[];
  /** Where the last field ends. */
  readonly end: number;
}

export function layoutOf(section: string, kind: string): readonly Row[] {
  const start = section.indexOf(`\n### ${kind}\n`);
  if (start < 0) throw new Error(`no layout of ${kind}`);
  const table = section.slice(section.indexOf("\n| offset", start), section.length).split("\n\n")[0] ?? "";
  return table
    .split("\n")
    .filter((line) => /^\| (?:\d|\+|…)/.test(line))
    .map((line) => {
      const [, offset = "", type = "", name = ""] = line.split("|").map((cell) => cell.trim());
      return { offset, type, name };
    });
}

export function walkHead(rows: readonly Row[], head: Uint8Array): Walked {
  const cursor = new Cursor(head);
  const offsets = { said: [] as string[], found: [] as string[] };
  const fields = new Map<string, Field>();
  for (const row of rows.filter(({ offset }) => !offset.startsWith("+"))) {
    if (row.offset !== "…") {
      offsets.said.push(row.offset);
      offsets.found.push(`${cursor.at}`);
    }
    fields.set(row.name, cursor.read(row.type, fields));
  }
  const perEntry = rows.filter(({ offset }) => offset.startsWith("+"));
  const entries: Map<string, Field>[] = [];
  for (let left = perEntry.length === 0 ? 0 : Number(fields.get("count")); left > 0; left--) {
    const entry = new Map<string, Field>();
    const start = cursor.at;
    for (const row of perEntry) {
      offsets.said.push(row.offset);
      offsets.found.push(`+${cursor.at - start}`);
      entry.set(row.name, cursor.read(row.type, entry));
    }
    entries.push(entry);
  }
  return { offsets, fields, entries, end: cursor.at };
}

class Cursor {
  readonly #view: DataView;
  at = 0;

  constructor(head: Uint8Array) {
    this.#view = new DataView(head.buffer, head.byteOffset, head.length);
  }

  /** `before`: the fields of the same entry, because one of them says whether there is another. */
  read(type: string, before: ReadonlyMap<string, Field>): Field {
    const condition = /^(\w+), only with (\w+) (\d+)$/.exec(type);
    if (condition !== null) {
      const [, of = "", field = "", value = ""] = condition;
      return before.get(field) === Number(value) ? this.read(of, before) : "";
    }
    const fixed = /^(\d+) bytes$/.exec(type);
    if (fixed !== null) return this.#bytes(Number(fixed[1])).toHex();
    switch (type) {
      case "u8":
        return this.#view.getUint8(this.#advance(1));
      case "u16":
        return this.#view.getUint16(this.#advance(2), true);
      case "u32":
        return this.#view.getUint32(this.#advance(4), true);
      case "u64":
        return Number(this.#view.getBigUint64(this.#advance(8), true));
      case "i64":
        return this.#view.getBigInt64(this.#advance(8), true);
      case "text":
        return new TextDecoder().decode(this.#bytes(this.#view.getUint16(this.#advance(2), true)));
      case "bytes":
        return this.#bytes(this.#view.getUint16(this.#advance(2), true));
      case "texts":
        return Array.from({ length: this.#view.getUint8(this.#advance(1)) }, () => this.read("text", before) as string);
      default:
        throw new Error(`the text has a type that it does not explain: ${type}`);
    }
  }

  #bytes(length: number): Uint8Array {
    const at = this.#advance(length);
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, length).slice();
  }

  #advance(length: number): number {
    const { at } = this;
    this.at += length;
    return at;
  }
}
