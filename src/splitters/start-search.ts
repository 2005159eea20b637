/** Finds where a picture may begin, of any format, and whether one does. */
import type { PieceQueue } from "./piece-queue.ts";
import type { Glance, Walk } from "./walk.ts";

export interface FoundStart {
  readonly at: number;
  readonly walk: Walk;
}

export class StartSearch {
  readonly #walks: readonly Walk[];
  /** Whether some pattern begins with a byte, and with two. All are looked for in one pass. */
  readonly #isFirst = new Uint8Array(256);
  readonly #isPair = new Uint8Array(65_536);
  /** Bytes from a start to the end of its pattern, at most. */
  readonly #reach: number;

  constructor(walks: readonly Walk[]) {
    this.#walks = walks;
    const patterns = walks.flatMap((walk) => walk.patterns);
    for (const { bytes } of patterns) {
      const [first = 0, second = 0] = bytes;
      this.#isFirst[first] = 1;
      this.#isPair[(first << 8) | second] = 1;
    }
    this.#reach = Math.max(...patterns.map(({ bytes, offset }) => offset + bytes.length));
  }

  /** The picture that begins at a place, as far as a pattern tells. */
  at(bytes: PieceQueue, place: number, to: number): FoundStart | undefined {
    for (const walk of this.#walks) {
      for (const { bytes: pattern, offset } of walk.patterns) {
        const from = place + offset;
        if (from + pattern.length <= to && bytes.has(pattern, from)) return { at: place, walk };
      }
    }
    return undefined;
  }

  /**
   * The first place from `from` at which a pattern stands, or how far there is none: less than `to` if something that
   * begins there may become one.
   */
  find(bytes: PieceQueue, from: number, to: number, final: boolean): FoundStart | number {
    const [isFirst, isPair] = [this.#isFirst, this.#isPair];
    for (let at = from; at < to;) {
      const view = bytes.viewFrom(at, to);
      for (let index = 0; index < view.length; index++) {
        const first = view[index] as number;
        if (isFirst[first] === 0) continue;
        const second = view[index + 1];
        if (second !== undefined && isPair[(first << 8) | second] === 0) continue;
        const found = this.#match(bytes, at + index, from, to);
        if (found !== undefined) return found;
      }
      at += view.length;
    }
    return final ? to : Math.max(from, to - this.#reach + 1);
  }

  /** A pattern that begins at `at`, of a start that is not before `from`. */
  #match(bytes: PieceQueue, at: number, from: number, to: number): FoundStart | undefined {
    const first = bytes.byteAt(at);
    for (const walk of this.#walks) {
      for (const { bytes: pattern, offset } of walk.patterns) {
        if (pattern[0] !== first || at - offset < from || at + pattern.length > to) continue;
        if (bytes.has(pattern, at)) return { at: at - offset, walk };
      }
    }
    return undefined;
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

  /** Whether what the stream ends with, from a place on, may be the beginning of a picture that we can split. */
  isCutStart(bytes: PieceQueue, at: number): boolean {
    return this.#walks.some((walk) => walk.loss !== "foreign" && walk.glance(bytes, at, bytes.end, false) === "more");
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
