/** Finds where a picture may begin, of any format, and whether one does. */
import { type Block, indexOfAll, type PieceQueue } from "./piece-queue.ts";
import type { Glance, Pattern, Walk } from "./walk.ts";

export interface FoundStart {
  readonly at: number;
  readonly walk: Walk;
}

interface WalkPattern extends Pattern {
  readonly walk: Walk;
}

/** Mostly the next picture is near. Where it is not, much is looked through at once. */
const windowBytesFirst = 256;
const windowBytes = 16_384;
/** Those of PNG and y4m. */
const signatureBytes = 8;

/**
 * Looks for each pattern in turn, in a window of the stream that ends where one was found. It remembers the last
 * window: whoever asks again from within it is answered at once.
 */
export class StartSearch {
  readonly #walks: readonly Walk[];
  readonly #patterns: readonly WalkPattern[];
  /** Bytes from a start to the end of its pattern, at most. */
  readonly #reach: number;
  /** In it one start at most is known: the one at its end. */
  #windowFrom = 0;
  #windowTo = 0;
  #found: FoundStart | undefined;

  constructor(walks: readonly Walk[]) {
    this.#walks = walks;
    this.#patterns = walks.flatMap((walk) => walk.patterns.map((pattern) => ({ ...pattern, walk })));
    this.#reach = Math.max(...this.#patterns.map(({ bytes, offset }) => offset + bytes.length));
  }

  /** The picture that begins at a place, as far as a pattern tells. */
  at(bytes: PieceQueue, place: number, to: number): Walk | undefined {
    for (const { bytes: pattern, offset, walk } of this.#patterns) {
      const from = place + offset;
      if (from + pattern.length <= to && bytes.has(pattern, from)) return walk;
    }
    return undefined;
  }

  /**
   * The first place from `from` at which a picture may begin, or how far there is none: less than `to` if something
   * that begins there may become one.
   */
  find(bytes: PieceQueue, from: number, to: number, final: boolean): FoundStart | number {
    for (let at = from; at < to;) {
      const block = bytes.blockAt(at);
      const certain = Math.min(to, block.at + block.bytes.length) - this.#reach + 1;
      // What begins behind it may end in the next block, or is not all here.
      if (at >= certain) {
        const walk = this.at(bytes, at, to);
        if (walk !== undefined) return { at, walk };
        at++;
        continue;
      }
      const found = this.#findWithin(block, at, certain);
      if (found !== undefined) return found;
      at = certain;
    }
    return final ? to : Math.max(from, to - this.#reach + 1);
  }

  #findWithin(block: Block, from: number, to: number): FoundStart | undefined {
    for (let at = from; at < to; at = this.#windowTo) {
      if (at < this.#windowFrom || at >= this.#windowTo) this.#lookThrough(block, at, to);
      if (this.#found !== undefined) return this.#found.at < to ? this.#found : undefined;
    }
    return undefined;
  }

  /** Makes the window that begins at `from`. */
  #lookThrough({ at, bytes }: Block, from: number, to: number): void {
    let length = Math.min(to - from, from === this.#windowTo ? windowBytes : windowBytesFirst);
    let view = bytes.subarray(from - at, from - at + length + this.#reach - 1);
    this.#found = undefined;
    for (const { bytes: pattern, offset, walk } of this.#patterns) {
      const next = indexOfAll(view, pattern, offset) - offset;
      if (next < 0 || next >= length) continue;
      this.#found = { at: from + next, walk };
      length = next;
      view = view.subarray(0, length + this.#reach - 1);
    }
    this.#windowFrom = from;
    this.#windowTo = from + length + (this.#found === undefined ? 0 : 1);
  }

  /** Whether a picture begins at a place. */
  glance(bytes: PieceQueue, at: number, to: number, final: boolean): Glance {
    let answer: Glance = "no";
    for (const walk of this.#walks) {
      const glance = walk.glance(bytes, at, to, final);
      if (glance === "yes") return "yes";
      if (glance === "more") answer = "more";
    }
    return answer;
  }

  /** Whether a signature stands at a place that no data has, whatever became of the header behind it. */
  isSigned(bytes: PieceQueue, at: number): boolean {
    for (const { bytes: pattern, offset } of this.#patterns) {
      if (pattern.length < signatureBytes || offset > 0 || at + pattern.length > bytes.end) continue;
      if (bytes.has(pattern, at)) return true;
    }
    return false;
  }

  /** Whether what ends at `to`, from a place on, may be the beginning of a picture that we can split. */
  isCutStart(bytes: PieceQueue, at: number, to: number): boolean {
    return this.#walks.some((walk) => walk.loss !== "foreign" && walk.glance(bytes, at, to, false) === "more");
  }

  /** The first place from `from` at which a picture begins; or how far none does, or whether that is not yet known. */
  findSure(bytes: PieceQueue, from: number, to: number, final: boolean): FoundStart | { at: number; more: boolean } {
    for (let at = from; ;) {
      const found = this.find(bytes, at, to, final);
      if (typeof found === "number") return { at: found, more: false };
      const glance = found.walk.glance(bytes, found.at, to, final);
      if (glance === "yes") return found;
      if (glance === "more") return { at: found.at, more: true };
      at = found.at + 1;
    }
  }
}
