/** Sequence numbers that were counted. Those that follow each other are one range, so most sets are a single one. */

/** Beyond it the lowest are forgotten, and would be counted again: only a peer that leaves out numbers gets there. */
const rangesMax = 4096;

export class NumberSet {
  /** In order; no two touch. */
  readonly #ranges: { first: number; last: number }[] = [];

  has(number: number): boolean {
    const at = this.#endingFrom(number);
    const range = this.#ranges[at];
    return range !== undefined && range.first <= number;
  }

  /** The first range that does not end before `number`. */
  #endingFrom(number: number): number {
    const ranges = this.#ranges;
    let [from, to] = [0, ranges.length];
    const end = ranges.at(-1);
    if (end === undefined || number > end.last) from = to;
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((ranges[middle] as { last: number }).last < number) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  /** False: it was there. */
  add(number: number): boolean {
    const ranges = this.#ranges;
    const from = this.#endingFrom(number);
    // The first that does not end before it, and the one before that.
    const [before, after] = [ranges[from - 1], ranges[from]];
    if (after !== undefined && after.first <= number) return false;
    const joins = after !== undefined && after.first === number + 1;
    if (before !== undefined && before.last === number - 1) {
      before.last = joins ? after.last : number;
      if (joins) ranges.splice(from, 1);
    } else if (joins) after.first = number;
    else ranges.splice(from, 0, { first: number, last: number });
    if (ranges.length > rangesMax) ranges.shift();
    return true;
  }
}
