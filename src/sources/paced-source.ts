/**
 * `--fps`: a source that gives its frames at a steady rate, as a camera would: to replay a directory. A late frame is
 * made up for; a long pause, while the receiver was not there, is not.
 */
import type { FrameEntry, HeardOutcome } from "../frame.ts";
import type { Clock, Listed, ListedStretch, OpenedFrame, Source } from "../ports.ts";

const madeUpMs = 100;

export class PacedSource implements Source {
  readonly name: string;
  readonly live = true;
  onReady?: () => void;
  readonly confirms?: (entry: FrameEntry, crc32: number) => boolean | undefined;
  readonly #source: Source;
  readonly #clock: Clock;
  readonly #intervalMs: number;
  /** When the next frame is due. */
  #dueAtMs: number;
  #cancelTimer: (() => void) | undefined;

  /** `framesPerSecond` above 0. */
  constructor(source: Source, framesPerSecond: number, clock: Clock) {
    this.name = source.name;
    this.#source = source;
    this.#clock = clock;
    this.#intervalMs = 1000 / framesPerSecond;
    this.#dueAtMs = clock.nowMs();
    source.onReady = () => this.onReady?.();
    if (source.confirms !== undefined) this.confirms = source.confirms.bind(source);
  }

  list(max: number, liveOnly?: boolean): (Listed | ListedStretch)[] | undefined {
    const nowMs = this.#clock.nowMs();
    const all: (Listed | ListedStretch)[] = [];
    for (; all.length < max && this.#dueAtMs <= nowMs;) {
      const listed = this.#source.list(1, liveOnly);
      if (listed === undefined) return all.length === 0 ? undefined : all;
      if (listed.length === 0) return all;
      all.push(...listed);
      this.#dueAtMs = Math.max(this.#dueAtMs + this.#intervalMs, nowMs - madeUpMs);
    }
    if (all.length === 0) this.#wait(nowMs);
    return all;
  }

  #wait(nowMs: number): void {
    this.#cancelTimer?.();
    this.#cancelTimer = this.#clock.after(Math.max(1, this.#dueAtMs - nowMs), () => this.onReady?.());
  }

  open(entry: FrameEntry): OpenedFrame {
    return this.#source.open(entry);
  }

  settled(entry: FrameEntry, outcome: HeardOutcome | undefined, crc32: number | undefined): void {
    this.#source.settled(entry, outcome, crc32);
  }

  dispose(): void {
    this.#cancelTimer?.();
    this.#source.dispose();
  }
}
