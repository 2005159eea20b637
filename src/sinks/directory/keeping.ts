/**
 * Removes the oldest frames of a directory, a step at a time: KEEPING.md says which, when, and in which order of
 * steps, so that a crash between any two of them leaves an account that holds.
 */
import type { DestinationEvent } from "../../events.ts";
import { rowBytes } from "../../limits.ts";
import type { Clock } from "../../ports.ts";
import type { Expiry } from "../store/store.ts";
import type { Catalogue, CatalogueBatch, OldFrame, TombstoneLimits } from "./catalogue.ts";
import { ClockBelief, countBefore, isCredible } from "./clock-belief.ts";
import { LeavingFiles, type LeavingFilesOptions } from "./leaving-files.ts";
import { type Giver, nextGiver } from "./shares.ts";

const stepFramesMax = 256;
/** A tombstone with its part of the index. */
const tombstoneBytes = 96;
const tombstonesShare = 0.01;
const tombstonesKeep = 10;
/** How often it is looked whether something has become too old: a hundredth of the age, within these. */
const ageLookMsMin = 500;
const ageLookMsMax = 60_000;

export interface KeepRules {
  /** `--keep`, milliseconds. */
  readonly keepMs: number | undefined;
  /** `--keep-size`. */
  readonly keepBytes: number | undefined;
  /** What a device may have: `quota=` in its device file. */
  readonly quotaOf: (device: string) => number | undefined;
}

export interface KeepingOptions extends LeavingFilesOptions {
  readonly rules: KeepRules;
  readonly clock: Pick<Clock, "nowMs" | "wallNs">;
  readonly onEvent?: ((event: DestinationEvent) => void) | undefined;
}

export class Keeping implements Expiry {
  readonly #options: KeepingOptions;
  readonly #files: LeavingFiles;
  #catalogue: Catalogue | undefined;
  /** By device, as KEEPING.md counts it. */
  readonly #holdings = new Map<string, number>();
  #totalBytes = 0;
  /** Gaps there are, by device: only an upper bound, because one that is told again is counted again. */
  readonly #gaps = new Map<string, number>();
  #belief: ClockBelief | undefined;
  #doubtTold = false;
  /** Since when this run has stored frames, and the last one before. */
  #runSinceMs = 0;
  #idBefore = 0;
  #looksAtMs = Number.NEGATIVE_INFINITY;
  /** Paths at which no file is any more, still in the catalogue's list of those that leave. */
  #gone: string[] = [];
  /** That they are gone would survive a power loss. */
  #flushed = true;
  /** Who gives next, until somebody has more or less. */
  #giverKnown: { readonly giver: Giver | undefined } | undefined;

  constructor(options: KeepingOptions) {
    this.#options = options;
    this.#files = new LeavingFiles(options, (detail) => this.#tell("not-removed", detail));
  }

  /** The catalogue has been opened, perhaps again. `isAnother`: than the one before. */
  opened(catalogue: Catalogue, isAnother: boolean): void {
    const { kept } = catalogue;
    this.#catalogue = catalogue;
    this.#holdings.clear();
    this.#gaps.clear();
    this.#totalBytes = 0;
    this.#giverKnown = undefined;
    for (const { device, frames, bytes, gaps } of kept.holdings()) {
      this.#add(device, bytes + (frames + gaps) * rowBytes);
      this.#gaps.set(device, gaps);
    }
    if (this.#belief === undefined || isAnother) {
      const newest = kept.newest();
      this.#runSinceMs = this.#options.clock.nowMs();
      this.#idBefore = newest?.id ?? 0;
      this.#belief = new ClockBelief(this.#wallMs, this.#runSinceMs, newest?.receivedMs);
    }
    // What was begun by a receiver that was killed.
    this.#gone = kept.leaving().filter((path) => catalogue.holds(path) || this.#files.remove(path));
    this.#flushed = false;
  }

  /** A receiver that ends in good order leaves nothing to be done. */
  close(): void {
    try {
      if (this.#flushed) this.#catalogue?.kept.expire({ frames: [], gapsUpTo: [], gone: this.#gone }, 0n);
    } catch {
      // The next one does it.
    }
    this.#gone = [];
    this.#catalogue = undefined;
  }

  #add(device: string, bytes: number): void {
    this.#giverKnown = undefined;
    this.#holdings.set(device, (this.#holdings.get(device) ?? 0) + bytes);
    this.#totalBytes += bytes;
  }

  recorded({ frames, gaps }: CatalogueBatch): void {
    const nowMs = this.#options.clock.nowMs();
    for (const { frame, replaces } of frames) {
      const { device } = frame.origin;
      if (replaces !== true) this.#add(device, frame.bytes + rowBytes);
      const offsetMs = frame.clockOffsetNs === undefined ? undefined : Number(frame.clockOffsetNs / 1_000_000n);
      this.#belief?.stored(device, offsetMs, this.#wallMs, nowMs);
    }
    for (const { origin } of gaps) {
      this.#add(origin.device, rowBytes);
      this.#gaps.set(origin.device, (this.#gaps.get(origin.device) ?? 0) + 1);
    }
  }

  get due(): boolean {
    return this.#options.clock.nowMs() >= this.#looksAtMs || this.#giver !== undefined;
  }

  get #giver(): Giver | undefined {
    if (this.#giverKnown === undefined) {
      const holdings = [...this.#holdings].map(([device, bytes]) => ({ device, bytes }));
      this.#giverKnown = { giver: nextGiver(holdings, this.#options.rules) };
    }
    return this.#giverKnown.giver;
  }

  async step(): Promise<number> {
    const catalogue = this.#catalogue;
    if (catalogue === undefined) return 0;
    const { frames, gapsUpTo } = this.#next(catalogue);
    const hasWork = frames.length > 0 || gapsUpTo.length > 0 || this.#gone.length > 0;
    const before = this.#totalBytes;
    if (hasWork) await this.#remove(catalogue, frames, gapsUpTo);
    else catalogue.kept.forgetTombstones(this.#tombstoneLimits);
    this.#forgetSessions(catalogue);
    return before - this.#totalBytes;
  }

  /** What goes in this step: by size, or else by age. */
  #next({ kept }: Catalogue): { frames: OldFrame[]; gapsUpTo: { device: string; recordedMs: number }[] } {
    const giver = this.#giver;
    if (giver !== undefined) {
      const { device } = giver;
      const frames: OldFrame[] = [];
      let left = giver.bytes;
      for (const frame of kept.oldest(stepFramesMax, device)) {
        if (left <= 0) break;
        frames.push(frame);
        left -= frame.bytes + rowBytes;
      }
      const going = kept.mayGo(frames);
      if (going.length < frames.length) this.#wait();
      if (going.length === 0 && frames.length > 0) return { frames: [], gapsUpTo: [] };
      // Gaps of the time of these frames go with them; where there are no frames, the oldest.
      const recordedMs = going.at(-1)?.receivedMs ?? Number.POSITIVE_INFINITY;
      return { frames: going, gapsUpTo: [{ device, recordedMs }] };
    }
    // Quotas may have been changed.
    this.#giverKnown = undefined;
    const limitMs = this.#ageLimitMs();
    if (limitMs === undefined) return { frames: [], gapsUpTo: [] };
    const page = kept.oldest(stepFramesMax);
    const frames = kept.mayGo(this.#olderThan(page, limitMs, (id) => kept.oldest(1, undefined, id)[0]));
    const gapsUpTo = [...this.#gaps].flatMap(([device, count]) => (count > 0 ? { device, recordedMs: limitMs } : []));
    if (frames.length < stepFramesMax) this.#lookLater();
    return { frames, gapsUpTo };
  }

  /** What would go next is not handed on: nothing goes until something is stored, or for a while. */
  #wait(): void {
    this.#giverKnown = { giver: undefined };
    this.#looksAtMs = this.#options.clock.nowMs() + ageLookMsMin;
  }

  #lookLater(): void {
    const { keepMs = Number.POSITIVE_INFINITY } = this.#options.rules;
    this.#looksAtMs = this.#options.clock.nowMs() + Math.min(ageLookMsMax, Math.max(ageLookMsMin, keepMs / 100));
  }

  /** What arrived before goes; undefined: the clock does not tell. */
  #ageLimitMs(): number | undefined {
    const { rules, clock } = this.#options;
    const wallMs = this.#wallMs;
    if (rules.keepMs === undefined || this.#belief?.believes(wallMs, clock.nowMs()) !== true) {
      if (rules.keepMs !== undefined) this.#tellDoubt(true);
      this.#lookLater();
      return undefined;
    }
    this.#tellDoubt(false);
    return wallMs - rules.keepMs;
  }

  #olderThan(page: readonly OldFrame[], limitMs: number, from: (id: number) => OldFrame | undefined): OldFrame[] {
    const { clock, rules } = this.#options;
    const wallMs = this.#wallMs;
    let count = countBefore(page, limitMs, wallMs);
    const [last] = page.slice(-1);
    if (count === 0 && page.length === stepFramesMax && last !== undefined && !isCredible(last, wallMs)) {
      // None of them says when it came: it was before a frame far behind them that does.
      for (let ahead = stepFramesMax; count === 0; ahead *= 2) {
        const found = from(last.id + ahead);
        if (found === undefined) break;
        if (countBefore([found], limitMs, wallMs) > 0) count = page.length;
      }
    }
    // What this run has stored is not older than the run.
    const isOldRun = clock.nowMs() - this.#runSinceMs >= (rules.keepMs ?? 0);
    return page.slice(0, count).filter(({ id }) => isOldRun || id <= this.#idBefore);
  }

  async #remove(
    catalogue: Catalogue,
    frames: readonly OldFrame[],
    gapsUpTo: readonly { device: string; recordedMs: number }[],
  ): Promise<void> {
    const { clock } = this.#options;
    await this.#flush();
    const gone = this.#gone;
    const gaps = catalogue.kept.expire({ frames, gapsUpTo, gone, forget: this.#tombstoneLimits }, clock.wallNs());
    this.#gone = [];
    for (const { device, bytes } of frames) this.#add(device, -bytes - rowBytes);
    for (const [device, count] of gaps) {
      this.#add(device, -count * rowBytes);
      this.#gaps.set(device, (this.#gaps.get(device) ?? 0) - count);
    }
    this.#settleEmpty(catalogue, gapsUpTo, gaps);
    const removed = frames.map(({ path }) => path).filter((path) => this.#files.remove(path));
    this.#gone = removed;
    this.#flushed = false;
    await this.#flush();
    this.#files.removeFolders(removed);
  }

  /** What was removed stays so, also after a power loss. */
  async #flush(): Promise<void> {
    if (!this.#flushed) await this.#files.flush();
    this.#flushed = true;
  }

  /** What is only an upper bound is counted anew where nothing was found. */
  #settleEmpty(
    catalogue: Catalogue,
    gapsUpTo: readonly { device: string; recordedMs: number }[],
    found: ReadonlyMap<string, number>,
  ): void {
    for (const { device, recordedMs } of gapsUpTo) {
      if (recordedMs !== Number.POSITIVE_INFINITY || (found.get(device) ?? 0) > 0) continue;
      // No frames and no gaps: it has nothing.
      if (catalogue.kept.oldest(1, device).length > 0) continue;
      this.#totalBytes -= this.#holdings.get(device) ?? 0;
      this.#holdings.delete(device);
      this.#gaps.delete(device);
    }
  }

  get #tombstoneLimits(): TombstoneLimits {
    const { keepMs, keepBytes } = this.#options.rules;
    const wallMs = this.#wallMs;
    const isBelieved = keepMs !== undefined && this.#belief?.believes(wallMs, this.#options.clock.nowMs()) === true;
    return {
      beforeMs: isBelieved ? wallMs - tombstonesKeep * keepMs : undefined,
      max: keepBytes === undefined ? undefined : Math.floor((keepBytes * tombstonesShare) / tombstoneBytes),
    };
  }

  #forgetSessions({ kept }: Catalogue): void {
    const [oldest] = kept.oldest(1);
    if (oldest !== undefined && isCredible(oldest, this.#wallMs)) kept.forgetSessions(oldest.receivedMs);
  }

  #tellDoubt(doubted: boolean): void {
    if (doubted === this.#doubtTold) return;
    this.#doubtTold = doubted;
    if (!doubted) return this.#tell("age-believed", "the clock is believed again: frames are removed for their age");
    const now = new Date(this.#wallMs).toISOString();
    this.#tell(
      "age-doubted",
      `no frame is removed for its age: its clock says ${now}, a day or more off the newest frame or what it was`,
      ["it goes on by itself if the clock is right: when two devices of that time have sent, or after a day"],
    );
  }

  #tell(what: DestinationEvent["what"], detail: string, hints?: readonly string[]): void {
    const { directory: place, onEvent } = this.#options;
    onEvent?.({ event: "destination", place, what, detail, ...(hints === undefined ? {} : { hints }) });
  }

  get #wallMs(): number {
    return Number(this.#options.clock.wallNs() / 1_000_000n);
  }
}
