/** What sinks that hold nothing on a disk have in common: staged items are settled together, at once, by the commit. */
import { assert, type SinkError } from "../../errors.ts";
import type { Outcome, RefusalReason } from "../../frame.ts";
import type { Settle } from "../../ports.ts";

interface QueuedItem {
  readonly bytes: number;
  readonly store: () => Outcome | RefusalReason;
  readonly settle: Settle;
}

export class CommitQueue {
  #items: QueuedItem[] = [];
  #count = 0;
  #bytes = 0;
  #committing = false;

  /** Staged and not yet reported. */
  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** `store` runs in the commit and says how it went. */
  stage(bytes: number, store: () => Outcome | RefusalReason, settle: Settle): void {
    this.#items.push({ bytes, store, settle });
    this.#count += 1;
    this.#bytes += bytes;
  }

  /** Settles all staged items, with `failure` if there is one, then calls `done`. */
  commit(failure: SinkError | undefined, done: (failure: SinkError | undefined) => void): void {
    assert(!this.#committing, "one commit at a time");
    this.#committing = true;
    const items = this.#items;
    this.#items = [];
    const results = items.map((item) => failure ?? item.store());
    for (const [index, item] of items.entries()) {
      this.#count -= 1;
      this.#bytes -= item.bytes;
      const result = results[index];
      assert(result !== undefined, "every item has a result");
      item.settle(result);
    }
    this.#committing = false;
    done(failure);
  }

  clear(): void {
    this.#items = [];
    this.#count = 0;
    this.#bytes = 0;
  }
}
