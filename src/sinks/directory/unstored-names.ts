/**
 * Names that an offer was looked up for, and the catalogue had no row of: the commit need not look again, which is 5 µs
 * of about 45 per small frame. Only a commit adds rows, and it takes their names out when it decides and again when
 * they are recorded, because an offer may have been looked up in between; so what is in here is true.
 */
import type { Origin } from "../../frame.ts";
import { aheadFramesMax } from "../../limits.ts";

/** Some senders' worth of frames offered ahead. More are forgotten, and looked up again. */
const namesMax = 8 * aheadFramesMax;

export class UnstoredNames {
  readonly #keys = new Set<string>();

  add(key: string): void {
    if (this.#keys.size >= namesMax) this.#keys.clear();
    this.#keys.add(key);
  }

  /** Whether the name is known to have no row; from now on it is not. */
  take(key: string): boolean {
    return this.#keys.delete(key);
  }

  /** Another catalogue may be in place. */
  clear(): void {
    this.#keys.clear();
  }
}

/** One text for a device, a source and a name. */
export function nameKey(origin: Origin, name: string): string {
  return `${origin.device}\0${origin.source}\0${name}`;
}
