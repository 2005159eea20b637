/** Parameters of a query, or what is wrong with them. */
import { parseDuration } from "../../quantities.ts";
import { parseTime } from "../../times.ts";
import type { SourceKey } from "../page-api.ts";
import { Wrong } from "./answer.ts";

const countMax = 500;
const durationMaxMs = 3_600_000;
/** What a catalogue can hold, with room for sums. */
const [firstNs, lastNs] = [-(2n ** 62n), 2n ** 63n - 2n ** 60n];

export class Parameters {
  readonly #query: URLSearchParams;

  /** Throws Wrong for a parameter that is not `known`: it was misspelt, and something else would be answered. */
  constructor(query: URLSearchParams, known: readonly string[]) {
    this.#query = query;
    const strange = [...query.keys()].find((name) => !known.includes(name) && name !== "ticket");
    if (strange !== undefined) throw new Wrong(400, `no such parameter: there are ${known.join(", ")}`);
  }

  time(name: string): bigint | undefined {
    const text = this.#query.get(name);
    if (text === null) return undefined;
    const time = parseTime(text, new Date());
    if (time === undefined || time < firstNs || time > lastNs)
      throw new Wrong(400, `${name}: a time such as 2026-11-25T10:32:07.120Z`);
    return time;
  }

  count(name: string, fallback: number): number {
    const text = this.#query.get(name) ?? String(fallback);
    if (!/^\d{1,3}$/.test(text) || Number(text) > countMax) throw new Wrong(400, `${name}: 0 to ${countMax}`);
    return Number(text);
  }

  id(name: string): number | undefined {
    const text = this.#query.get(name);
    if (text === null) return undefined;
    if (!/^\d{1,15}$/.test(text)) throw new Wrong(400, `${name}: a number`);
    return Number(text);
  }

  duration(name: string, fallbackMs: number): bigint {
    const text = this.#query.get(name);
    const ms = text === null ? fallbackMs : parseDuration(text);
    if (ms === undefined || ms > durationMaxMs) throw new Wrong(400, `${name}: a duration such as 20ms, up to 1h`);
    return BigInt(ms) * 1_000_000n;
  }

  word<Word extends string>(name: string, words: readonly [Word, ...Word[]]): Word {
    const text = this.#query.get(name) ?? words[0];
    const found = words.find((word) => word === text);
    if (found === undefined) throw new Wrong(400, `${name}: ${words.join(", ")}`);
    return found;
  }

  keys(name: string): readonly SourceKey[] {
    return this.#query.getAll(name);
  }

  key(name: string): SourceKey {
    const key = this.#query.get(name);
    if (key === null) throw new Wrong(400, `${name}: which source?`);
    return key;
  }
}
