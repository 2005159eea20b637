/**
 * Any store as it is where it has to be asked over a network: it answers later, in any order, and some questions never.
 * What it does is the inner store's; when, comes from the seed and the clock that are given, so it runs in real time
 * and in virtual time.
 */
import type { SinkError } from "../../../src/errors.ts";
import type { Frame, FrameEntry, Origin, RefusalReason, Verdict } from "../../../src/frame.ts";
import type { Clock } from "../../../src/ports.ts";
import type { Draft, Result, SpaceRequest, StagedItem, Store, StoreTraits } from "../../../src/sinks/store/store.ts";
import type { Random } from "../../support/random.ts";

export interface LaterOptions {
  readonly after: Clock["after"];
  readonly random: Random;
  /** Of the way there, and of the way back. */
  readonly delayMsMax: number;
  /** Probabilities: that a look-up is never answered, and that the answer to any question is lost on its way back. */
  readonly silence?: number;
  readonly loss?: number;
}

export class LaterStore<D extends Draft> implements Store<D> {
  readonly #store: Store<D>;
  readonly #options: LaterOptions;
  #closed = false;
  /** Answers that came never, or got lost. */
  lostAnswers = 0;

  /** Owns the store. */
  constructor(store: Store<D>, options: LaterOptions) {
    this.#store = store;
    this.#options = options;
  }

  get place(): string {
    return this.#store.place;
  }

  get traits(): StoreTraits {
    return { ...this.#store.traits, remote: "it answers later" };
  }

  lookup(origin: Origin, entries: readonly FrameEntry[], firstSequence?: number): Promise<Verdict[]> {
    const { random, silence = 0 } = this.#options;
    if (random.chance(silence)) {
      this.lostAnswers += 1;
      return new Promise(() => undefined);
    }
    return this.#later(() => this.#store.lookup(origin, entries, firstSequence));
  }

  begin(frame: Frame): D | RefusalReason {
    return this.#store.begin(frame);
  }

  commit(items: readonly StagedItem<D>[]): Promise<readonly Result[]> {
    return this.#later(() => this.#store.commit(items));
  }

  /** The question takes its way, then what it asks for is done, then the answer takes its way. */
  async #later<T>(run: () => T | Promise<T>): Promise<T> {
    await this.#pass();
    // Nobody is there any more.
    if (this.#closed) return new Promise(() => undefined);
    const answer = await settled(run);
    await this.#pass();
    const { random, loss = 0 } = this.#options;
    if (random.chance(loss)) {
      this.lostAnswers += 1;
      throw Object.assign(new Error("the answer was lost"), { code: "ECONNRESET" });
    }
    return answer();
  }

  #pass(): Promise<void> {
    const { after, random, delayMsMax } = this.#options;
    return new Promise((resolve) => void after(random.next() * delayMsMax, resolve));
  }

  check(request: SpaceRequest): SinkError | undefined {
    return this.#store.check(request);
  }

  recover(): void {
    this.#store.recover();
  }

  close(): void {
    this.#closed = true;
    this.#store.close();
  }
}

/** What came of it, to be given back or thrown when the answer arrives. */
async function settled<T>(run: () => T | Promise<T>): Promise<() => T> {
  try {
    const value = await run();
    return () => value;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}
