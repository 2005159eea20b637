/**
 * Frames whose connection was cut: what had arrived of them waits here, in the writers that it was written to, for the
 * next connection of their session. So a large frame arrives over a link that never lasts as long as it takes.
 *
 * Bounded in frames, bytes and time, for each device and in all; what is over that is forgotten, oldest first, and sent
 * anew. Nothing here has a final name, and nothing survives the process: what a disk had of it could not be trusted.
 */
import type { Frame, FrameEntry, Origin } from "../frame.ts";
import { cutBytesMax, cutBytesMin, cutFramesMax, cutKeptMs, cutShare } from "../limits.ts";
import type { Clock, FrameWriter } from "../ports.ts";

/** What there is of a frame. */
export interface CutFrame {
  readonly frame: Frame;
  readonly writer: FrameWriter;
  /** How many of its bytes the writer has, and their checksum. */
  readonly bytes: number;
  readonly crc32: number;
}

interface KeptFrame extends CutFrame {
  readonly atMs: number;
}

export class CutFrames {
  readonly #clock: Pick<Clock, "nowMs" | "after">;
  /** The oldest first. */
  readonly #kept = new Map<string, KeptFrame>();
  #clockRuns = false;

  constructor(clock: Pick<Clock, "nowMs" | "after">) {
    this.#clock = clock;
  }

  /** Takes over the writer, and gives it up where that is more than may be kept. */
  keep(cut: CutFrame): void {
    const { origin, sequence } = cut.frame;
    this.drop(origin, sequence);
    if (cut.bytes < cutBytesMin) return cut.writer.abort();
    this.#kept.set(keyOf(origin, sequence), { ...cut, atMs: this.#clock.nowMs() });
    this.#limit(({ frame }) => frame.origin.device === origin.device, 1 / cutShare);
    this.#limit(() => true, 1);
    this.#runClock();
  }

  /** Of those that are counted, the oldest go until the rest are within a part of what may be kept. */
  #limit(counts: (kept: KeptFrame) => boolean, part: number): void {
    const counted = [...this.#kept.values()].filter(counts);
    let frames = counted.length;
    let bytes = counted.reduce((sum, kept) => sum + kept.bytes, 0);
    for (const kept of counted) {
      if (frames <= cutFramesMax * part && bytes <= cutBytesMax * part) return;
      frames -= 1;
      bytes -= kept.bytes;
      this.drop(kept.frame.origin, kept.frame.sequence);
    }
  }

  /** What there is of an offered frame; undefined if nothing, or if it is not the same frame. */
  find(origin: Origin, sequence: number, entry: FrameEntry): CutFrame | undefined {
    // Asked for each frame, and nearly always empty.
    if (this.#kept.size === 0) return undefined;
    const kept = this.#kept.get(keyOf(origin, sequence));
    return kept !== undefined && isSame(kept.frame, entry) ? kept : undefined;
  }

  /** The frame begins again, at `bytes`: what there is of it, which is the caller's from now on. */
  take(frame: Frame, bytes: number): CutFrame | undefined {
    const kept = this.find(frame.origin, frame.sequence, frame);
    if (kept?.bytes === bytes) {
      this.#kept.delete(keyOf(frame.origin, frame.sequence));
      return kept;
    }
    this.drop(frame.origin, frame.sequence);
    return undefined;
  }

  /** It will not go on. */
  drop(origin: Origin, sequence: number): void {
    if (this.#kept.size === 0) return;
    const key = keyOf(origin, sequence);
    this.#kept.get(key)?.writer.abort();
    this.#kept.delete(key);
  }

  /** Those of a session that is over; without one, all. */
  clear(of?: Pick<Origin, "device" | "session">): void {
    for (const { frame } of this.#kept.values()) {
      const { device, session } = frame.origin;
      if (of === undefined || (session === of.session && device === of.device)) this.drop(frame.origin, frame.sequence);
    }
  }

  #runClock(): void {
    const [oldest] = this.#kept.values();
    if (this.#clockRuns || oldest === undefined) return;
    this.#clockRuns = true;
    this.#clock.after(oldest.atMs + cutKeptMs - this.#clock.nowMs(), () => {
      this.#clockRuns = false;
      const endedMs = this.#clock.nowMs() - cutKeptMs;
      for (const { frame, atMs } of this.#kept.values()) {
        if (atMs <= endedMs) this.drop(frame.origin, frame.sequence);
      }
      this.#runClock();
    });
  }
}

function keyOf({ device, source, session }: Origin, sequence: number): string {
  return `${session}\0${device}\0${source}\0${sequence}`;
}

function isSame(one: FrameEntry, other: FrameEntry): boolean {
  return one.name === other.name && one.bytes === other.bytes && one.capturedNs === other.capturedNs;
}
