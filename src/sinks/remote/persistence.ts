/** How a store on another machine is asked: again after pauses that grow, and so much at a time. */
import { SinkError } from "../../errors.ts";
import { TryAgain } from "./remote.ts";

/** A store that is busy for longer holds the senders, and is looked at until it is well. */
const attemptsMax = 6;
const pauseMsFirst = 100;

export interface PersistenceOptions {
  readonly place: string;
  readonly sleep: (ms: number) => Promise<void>;
  /** Between 0 and 1: receivers that failed together must not come back together. */
  readonly random: () => number;
}

/** Asks until there is an answer. Rejects with a SinkError when that is of no use, or has taken too long. */
export async function persist<T>(options: PersistenceOptions, ask: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof TryAgain)) throw error;
      if (attempt === attemptsMax) {
        throw new SinkError(`${options.place}: ${error.message}`, { retryable: true, cause: error });
      }
    }
    await options.sleep(pauseMsFirst * 2 ** (attempt - 1) * (0.5 + options.random()));
  }
}

/** So many at a time, and so many bytes of them in memory; one that is larger goes alone. */
export class Lanes {
  readonly #countMax: number;
  readonly #bytesMax: number;
  #count = 0;
  #bytes = 0;
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = [];

  constructor(countMax: number, bytesMax: number) {
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
  }

  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) {
      await new Promise<void>((resolve) => this.#waiting.push({ bytes, go: resolve }));
    } else this.#take(bytes);
    try {
      return await work();
    } finally {
      this.#count -= 1;
      this.#bytes -= bytes;
      for (let [next] = this.#waiting; next !== undefined && this.#fits(next.bytes); [next] = this.#waiting) {
        this.#waiting.shift();
        this.#take(next.bytes);
        next.go();
      }
    }
  }

  #fits(bytes: number): boolean {
    return this.#count === 0 || (this.#count < this.#countMax && this.#bytes + bytes <= this.#bytesMax);
  }

  #take(bytes: number): void {
    this.#count += 1;
    this.#bytes += bytes;
  }
}
