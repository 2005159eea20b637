/**
 * Names that are listed and not settled. None is listed again meanwhile: what is read then is the new file, and may be
 * all there is to send. It is looked at when its frame is settled. Bounded by what a session has ahead.
 */

import type { QuietState } from "./known-files.ts";

/** What was heard of a file since it was listed; `live`: that it appeared, or changed, while we looked on. */
export type News = "nothing" | "changed" | "live";

export class FramesUnderWay {
  readonly #news = new Map<string, News>();
  /** Of those, the states in which files were found to be finished. */
  readonly #quietStates = new Map<string, QuietState>();
  #changed = 0;

  /** How many are to be looked at. */
  get changedFrames(): number {
    return this.#changed;
  }

  listed(name: string): void {
    if (name !== "" && !this.#news.has(name)) this.#news.set(name, "nothing");
  }

  /** Another state of the file was seen. False: it is not under way. */
  change(name: string, live: boolean): boolean {
    const news = this.#news.get(name);
    if (news === undefined) return false;
    if (news === "nothing") this.#changed += 1;
    if (news !== "live") this.#news.set(name, live ? "live" : "changed");
    return true;
  }

  /** The file was found to be finished in this state. */
  quiet(name: string, state: QuietState): void {
    this.#quietStates.set(name, state);
  }

  settled(name: string): News | undefined {
    const news = this.#news.get(name);
    this.#news.delete(name);
    if (news !== undefined && news !== "nothing") this.#changed -= 1;
    return news;
  }

  takeQuietState(name: string): QuietState | undefined {
    const state = this.#quietStates.get(name);
    this.#quietStates.delete(name);
    return state;
  }

  clear(): void {
    this.#news.clear();
    this.#quietStates.clear();
    this.#changed = 0;
  }
}
