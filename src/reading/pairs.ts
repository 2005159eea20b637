/**
 * Which frames of two sources were taken at the same moment (READING.md, Pairs): those of which each is the other's
 * nearest. Two such frames are neighbours when both streams are laid into one by time, because what lay between them
 * would be nearer to one of them. So the two heads are enough to decide, with the frame before and behind each.
 */

/** Taken at `timeNs`, nanoseconds since the epoch. */
export interface Timed {
  readonly timeNs: bigint;
}

/** A frame of each source, or one that is in no pair. */
export type Match<Frame> =
  | { readonly first: Frame; readonly second: Frame }
  | { readonly first: Frame; readonly second?: never }
  | { readonly first?: never; readonly second: Frame };

/**
 * Every frame of two streams, each in the order of time, once: with its partner, if there is one at most `withinNs`
 * away. Pairs come in the order of time.
 */
export function* pairsOf<Frame extends Timed>(
  first: Iterable<Frame>,
  second: Iterable<Frame>,
  withinNs: bigint,
): Generator<Match<Frame>, void> {
  const sides = [new Moments(first), new Moments(second)] as const;
  // Twice: to the first frame, and that to the head.
  for (const side of [0, 0, 1, 1] as const) yield* sides[side].goOn(side);
  for (;;) {
    const [a, b] = [sides[0].head, sides[1].head];
    if (a === undefined && b === undefined) return;
    const early = b === undefined || (a !== undefined && a.timeNs <= b.timeNs) ? 0 : 1;
    const [earlier, later] = early === 0 ? sides : [sides[1], sides[0]];
    if (earlier.isNearest(later, withinNs)) {
      yield { first: a as Frame, second: b as Frame };
      yield* sides[0].goOn(0);
      yield* sides[1].goOn(1);
    } else {
      yield alone(early, earlier.head as Frame);
      yield* earlier.goOn(early);
    }
  }
}

function alone<Frame>(side: 0 | 1, frame: Frame): Match<Frame> {
  return side === 0 ? { first: frame } : { second: frame };
}

/** One stream, of each moment its first frame; and what lies before and behind the head. */
class Moments<Frame extends Timed> {
  readonly #frames: Iterator<Frame>;
  #previousNs: bigint | undefined;
  #next: Frame | undefined;
  head: Frame | undefined;

  constructor(frames: Iterable<Frame>) {
    this.#frames = frames[Symbol.iterator]();
  }

  /** Whether this head, the earlier one, and that of `later` are at most so far apart, and each the other's nearest. */
  isNearest(later: Moments<Frame>, withinNs: bigint): boolean {
    const [mine, other] = [this.head, later.head];
    if (mine === undefined || other === undefined) return false;
    const apartNs = other.timeNs - mine.timeNs;
    if (apartNs > withinNs) return false;
    // Of two that are equally near the earlier one counts, so what came before wins and what comes behind does not.
    const before = later.#previousNs;
    if (before !== undefined && mine.timeNs - before <= apartNs) return false;
    const behind = this.#next?.timeNs;
    return behind === undefined || (behind > other.timeNs && behind - other.timeNs >= apartNs);
  }

  /** The next moment becomes the head; its further frames are in no pair. */
  *goOn(side: 0 | 1): Generator<Match<Frame>, void> {
    this.#previousNs = this.head?.timeNs;
    this.head = this.#next;
    for (;;) {
      const { done, value } = this.#frames.next();
      this.#next = done === true ? undefined : value;
      if (this.#next === undefined || this.#next.timeNs !== this.head?.timeNs) return;
      yield alone(side, this.#next);
    }
  }
}
