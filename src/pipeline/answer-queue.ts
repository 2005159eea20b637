/**
 * Answers to offers, in the order of the offers of each source, also where the sink answers later and in another order.
 * A sink that answers at once is answered from at once: nothing is queued and no promise is made.
 */
import { SinkError } from "../errors.ts";
import type { FrameEntry, Origin, Verdict } from "../frame.ts";
import { lookupMs } from "../limits.ts";
import type { Clock, Sink } from "../ports.ts";

export interface Offer {
  readonly sourceIndex: number;
  readonly origin: Origin;
  readonly firstSequence: number;
  readonly entries: readonly FrameEntry[];
}

export interface AnswerQueueOptions {
  readonly sink: Pick<Sink, "lookup" | "place">;
  readonly clock: Pick<Clock, "after">;
  /** The next answer of its source. */
  readonly answer: (offer: Offer, verdicts: readonly Verdict[]) => void;
  /** Some of what was waited for has been answered. */
  readonly answered: () => void;
  /** The sink could not answer: the offers wait until `askAgain`. */
  readonly failed: (error: SinkError) => void;
}

/** Offers of all sources that wait at a time; more are not read. One has at most 512 entries. */
const waitingMax = 64;

interface WaitingOffer {
  readonly offer: Offer;
  verdicts: readonly Verdict[] | undefined;
  /** Which question is the one that counts; 0 while none is under way. */
  question: number;
  /** Of the question that was asked last. */
  stopClock: (() => void) | undefined;
}

export class AnswerQueue {
  readonly #options: AnswerQueueOptions;
  /** By source index; a source without waiting offers is not there. */
  readonly #waiting = new Map<number, WaitingOffer[]>();
  #count = 0;
  #questions = 0;
  #closed = false;

  constructor(options: AnswerQueueOptions) {
    this.#options = options;
  }

  /** No more offers can be taken for now. */
  get full(): boolean {
    return this.#count >= waitingMax;
  }

  /** Throws SinkError if the sink says at once that it cannot answer; then the offer is still the caller's. */
  take(offer: Offer): void {
    const verdicts = this.#options.sink.lookup(offer.origin, offer.entries, offer.firstSequence);
    const before = this.#waiting.get(offer.sourceIndex);
    if (before === undefined && !(verdicts instanceof Promise)) return this.#options.answer(offer, verdicts);
    const waiting: WaitingOffer = { offer, verdicts: undefined, question: 0, stopClock: undefined };
    if (before === undefined) this.#waiting.set(offer.sourceIndex, [waiting]);
    else before.push(waiting);
    this.#count += 1;
    if (verdicts instanceof Promise) void this.#await(waiting, verdicts);
    else waiting.verdicts = verdicts;
  }

  /** After a failure: what was not answered is asked again. */
  askAgain(): void {
    for (const queue of this.#waiting.values()) {
      for (const waiting of queue) {
        if (waiting.verdicts !== undefined || waiting.question !== 0) continue;
        const { origin, entries, firstSequence } = waiting.offer;
        try {
          const verdicts = this.#options.sink.lookup(origin, entries, firstSequence);
          if (verdicts instanceof Promise) void this.#await(waiting, verdicts);
          else waiting.verdicts = verdicts;
        } catch (error) {
          if (!(error instanceof SinkError)) throw error;
          return this.#options.failed(error);
        }
      }
    }
    this.#answerInOrder();
  }

  async #await(waiting: WaitingOffer, verdicts: Promise<Verdict[]>): Promise<void> {
    const { sink, clock, failed } = this.#options;
    const question = (waiting.question = ++this.#questions);
    const isAnswer = (): boolean => {
      if (this.#closed || waiting.question !== question) return false;
      waiting.question = 0;
      return true;
    };
    const stopClock = clock.after(lookupMs, () => {
      if (!isAnswer()) return;
      failed(new SinkError(`${sink.place}: no answer in ${lookupMs / 1000} s`, { retryable: true }));
    });
    waiting.stopClock = stopClock;
    try {
      const found = await verdicts;
      if (!isAnswer()) return;
      waiting.verdicts = found;
      this.#answerInOrder();
    } catch (error) {
      // Anything else is a bug, and stops the program as one.
      if (!(error instanceof SinkError)) throw error;
      if (isAnswer()) failed(error);
    } finally {
      stopClock();
    }
  }

  #answerInOrder(): void {
    const before = this.#count;
    for (const [sourceIndex, queue] of this.#waiting) {
      while (queue[0]?.verdicts !== undefined) {
        const [first] = queue.splice(0, 1);
        this.#count -= 1;
        if (first?.verdicts !== undefined) this.#options.answer(first.offer, first.verdicts);
      }
      if (queue.length === 0) this.#waiting.delete(sourceIndex);
    }
    if (this.#count < before) this.#options.answered();
  }

  /** The connection is gone: nobody is answered any more. */
  close(): void {
    this.#closed = true;
    for (const queue of this.#waiting.values()) for (const { stopClock } of queue) stopClock?.();
    this.#waiting.clear();
    this.#count = 0;
  }
}
