/** `--captured`: where capture times come from. Each kind of source takes what it has, else its own default. */
import { UserError } from "../errors.ts";
import { isDay } from "../times.ts";

export type Captured =
  /** Of a file, when it was modified; of a frame of a stream, when its last byte came. */
  | { readonly kind: "auto" }
  | { readonly kind: "mtime" | "arrival" | "header" | "exif" }
  | { readonly kind: "name"; readonly pattern: TimePattern };

/** 1677 … 2262: what the wire and the catalogue can hold. File systems can hold more, and cameras lose their clocks. */
const [capturedNsMin, capturedNsMax] = [-(2n ** 63n), 2n ** 63n - 1n];

export function isCapturedNs(ns: bigint): boolean {
  return ns >= capturedNsMin && ns <= capturedNsMax;
}

export function clampCaptured(ns: bigint): bigint {
  if (ns < capturedNsMin) return capturedNsMin;
  return ns > capturedNsMax ? capturedNsMax : ns;
}

/** As `strftime` has them, but for `%f`, which is Python's, and may have fewer digits here. */
const fields: Readonly<Record<string, string>> = {
  Y: "(?<Y>\\d{4})",
  m: "(?<m>0[1-9]|1[0-2])",
  d: "(?<d>0[1-9]|[12]\\d|3[01])",
  H: "(?<H>[01]\\d|2[0-3])",
  M: "(?<M>[0-5]\\d)",
  S: "(?<S>[0-5]\\d)",
  f: "(?<f>\\d{1,9})",
  s: "(?<s>\\d{10})",
  z: "(?<z>Z|[+-]\\d\\d:?\\d\\d)",
};
const timeFields = "%Y %m %d %H %M %S %f (fraction of a second) %z (offset from UTC), or %s (seconds since 1970)";

const hint = `the fields are ${timeFields}; for example name:IMG_%Y%m%d_%H%M%S`;

/** A time that is somewhere in the name of a file: `IMG_%Y%m%d_%H%M%S`. What is not said is 0, the offset local. */
export class TimePattern {
  /** Compared with the path below the input; else with the file's name in its folder. */
  readonly #wholePath: boolean;
  readonly #pattern: RegExp;

  /** Throws UserError (usage). */
  constructor(text: string) {
    this.#wholePath = text.includes("/");
    const used = new Set<string>();
    const source = text.replaceAll(/%(.?)|[^%]+/gs, (piece, field?: string) => {
      if (field === undefined) return RegExp.escape(piece);
      if (field === "%") return "%";
      const known = fields[field];
      if (known === undefined) throw new UserError(`--captured: there is no field ${piece}`, [hint]);
      if (used.has(field)) throw new UserError(`--captured: ${piece} occurs twice`, [hint]);
      used.add(field);
      return known;
    });
    const isComplete = used.has("s") || ["Y", "m", "d"].every((field) => used.has(field));
    if (!isComplete) throw new UserError("--captured: the pattern makes no day: it needs %Y, %m and %d, or %s", [hint]);
    this.#pattern = new RegExp(source, "s");
  }

  /** Nanoseconds since the epoch; undefined: there is no such time in it. */
  timeIn(path: string): bigint | undefined {
    const found = this.#pattern.exec(this.#wholePath ? path : path.slice(path.lastIndexOf("/") + 1))?.groups;
    if (found === undefined) return undefined;
    const { Y, m, d, H = "00", M = "00", S = "00", f = "", s, z = "" } = found;
    if (Y !== undefined && m !== undefined && d !== undefined && !isDay(Y, m, d)) return undefined;
    const offset = z.replace(/^([+-]\d\d):?/, "$1:");
    const ms = s === undefined ? Date.parse(`${Y}-${m}-${d}T${H}:${M}:${S}${offset}`) : Number(s) * 1000;
    return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + BigInt(f.padEnd(9, "0"));
  }
}
