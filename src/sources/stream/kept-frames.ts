/**
 * Which frames of a stream are in the store, the oldest first, and which of them were not listed.
 *
 * Invariant: `#unlisted` from `#next` on has those that were not listed, in the order of `#frames`.
 */
import { assert } from "../../errors.ts";
import type { FrameEntry } from "../../frame.ts";
import type { ListedFrame } from "../../ports.ts";

/** What a frame takes beside its bytes: its name, its entry here and in the ledger, or a block of the disk. */
const frameOverheadBytes = 1024;
/** At half a kilobyte of memory for each, wherever their bytes are. */
const framesMax = 1_000_000;

export class KeptFrames {
  readonly #bytesMax: number;
  readonly #frames = new Map<string, ListedFrame>();
  #bytes = 0;
  #added = 0;
  #unlisted: ListedFrame[] = [];
  #next = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get size(): number {
    return this.#frames.size;
  }

  get unlisted(): number {
    return this.#unlisted.length - this.#next;
  }

  /** How many frames there were so far. */
  get added(): number {
    return this.#added;
  }

  /** How many of them were listed, or never will be: if the oldest are listed first, the first ones. */
  get passed(): number {
    return this.#added - this.unlisted;
  }

  get full(): boolean {
    return this.#bytes > this.#bytesMax || this.#frames.size > framesMax;
  }

  get oldest(): ListedFrame | undefined {
    const [oldest] = this.#frames.values();
    return oldest;
  }

  has({ name }: FrameEntry): boolean {
    return this.#frames.has(name);
  }

  add(entry: ListedFrame): void {
    this.#frames.set(entry.name, entry);
    this.#bytes += entry.bytes + frameOverheadBytes;
    this.#unlisted.push(entry);
    this.#added++;
  }

  /** The next to be listed, at most `max`. With `liveOnly` until there is one that is not. */
  list(max: number, order: "oldest" | "newest", liveOnly: boolean): ListedFrame[] {
    const listed: ListedFrame[] = [];
    while (listed.length < max && this.unlisted > 0) {
      const entry = order === "newest" ? this.#unlisted.at(-1) : this.#unlisted[this.#next];
      if (entry === undefined || (liveOnly && entry.live !== true)) break;
      if (order === "newest") this.#unlisted.pop();
      else this.#next++;
      listed.push(entry);
    }
    this.#compact();
    return listed;
  }

  forget(entry: FrameEntry): void {
    this.#frames.delete(entry.name);
    this.#bytes -= entry.bytes + frameOverheadBytes;
    assert(this.#bytes >= 0, "what is forgotten was kept");
  }

  /** Forgets the oldest; whether it was not listed, and never will be. */
  forgetOldest(oldest: ListedFrame): boolean {
    this.forget(oldest);
    if (this.#unlisted[this.#next] !== oldest) return false;
    this.#next++;
    this.#compact();
    return true;
  }

  #compact(): void {
    if (this.#next < 1024 && this.#next < this.#unlisted.length) return;
    this.#unlisted.splice(0, this.#next);
    this.#next = 0;
  }
}
