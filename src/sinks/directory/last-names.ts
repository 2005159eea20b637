/**
 * The last name of each source that is stored, in SQLite's order of texts, which is that of their bytes in UTF-8. Most
 * cameras count upwards or name frames by the time, so what arrives is behind it, and need not be looked for: a look is
 * 3 µs of about 33 per small frame, and 0.1 ms of a live one, whose code is in no cache.
 */
import type { Origin } from "../../frame.ts";

/** Sources remembered. More are asked for again. */
const sourcesMax = 4096;

/** Texts are ordered here by units of UTF-16. Up to this unit it is the order of bytes in UTF-8 as well. */
const unordered = /[\ud800-\uffff]/;

export class LastNames {
  /** By device and source. Undefined: a name whose order is not known here, so nothing is known to be behind it. */
  readonly #names = new Map<string, Map<string, string | undefined>>();
  #sources = 0;
  readonly #ask: (origin: Origin) => string | undefined;

  /** `ask` looks up the last name of a source; undefined: nothing of it is stored. */
  constructor(ask: (origin: Origin) => string | undefined) {
    this.#ask = ask;
  }

  /** Whether every stored name of the source is before `name`. False may also mean that it is not known. */
  isBefore(origin: Origin, name: string): boolean {
    let names = this.#names.get(origin.device);
    let last = names?.get(origin.source);
    if (last === undefined && names?.has(origin.source) !== true) {
      last = ordered(this.#ask(origin) ?? "");
      if (this.#sources >= sourcesMax) {
        this.#names.clear();
        this.#sources = 0;
        names = undefined;
      }
      if (names === undefined) this.#names.set(origin.device, (names = new Map()));
      names.set(origin.source, last);
      this.#sources += 1;
    }
    return last !== undefined && last < name;
  }

  /** A frame of this name is stored now. */
  stored(origin: Origin, name: string): void {
    const names = this.#names.get(origin.device);
    const last = names?.get(origin.source);
    if (last !== undefined && last < name) names?.set(origin.source, ordered(name));
  }
}

function ordered(name: string): string | undefined {
  return unordered.test(name) ? undefined : name;
}
