/**
 * What is to be said of a stream again and again: bytes in no frame, notes on frames. The first of each kind is said
 * and listed at once, later ones are counted and told in sums, each time there are ten times as many and at the end.
 * So a stream with text between all its pictures costs some lines and rows, not one for each frame.
 */

export interface Remark {
  readonly kind: string;
  /** How many are summed up. */
  readonly count: number;
  readonly bytes: number;
  /** Of the last of them. */
  readonly detail: string;
  /** How many there were since the beginning. */
  readonly total: number;
}

interface Sum {
  count: number;
  bytes: number;
  describe: () => string;
  total: number;
  /** With so many in all they are told. */
  nextTotal: number;
}

const growth = 10;

export class Remarks {
  readonly #tell: (remark: Remark) => void;
  readonly #sums = new Map<string, Sum>();

  constructor(tell: (remark: Remark) => void) {
    this.#tell = tell;
  }

  add(kind: string, bytes: number, describe: () => string): void {
    const sum = this.#sums.get(kind) ?? { count: 0, bytes: 0, describe, total: 0, nextTotal: 1 };
    this.#sums.set(kind, sum);
    sum.count += 1;
    sum.total += 1;
    sum.bytes += bytes;
    sum.describe = describe;
    if (sum.total < sum.nextTotal) return;
    sum.nextTotal *= growth;
    this.#flush(kind, sum);
  }

  /** Tells what was only counted. */
  end(): void {
    for (const [kind, sum] of this.#sums) if (sum.count > 0) this.#flush(kind, sum);
  }

  #flush(kind: string, sum: Sum): void {
    const { count, bytes, describe, total } = sum;
    sum.count = sum.bytes = 0;
    this.#tell({ kind, count, bytes, detail: describe(), total });
  }
}
