/** How far one source is, and how fast: counters of a pipeline, and their rates over the last few seconds. */
import type { OriginProgress, SourceProgress } from "../events.ts";
import type { SourceTotals } from "../frame.ts";
import { totalsOf } from "../outcomes.ts";

/** Rates are those of this last stretch of time: long enough to be steady, short enough to show a stall. */
export const rateWindowMs = 5_000;

/** Where one source, or one device's source, stands. */
export interface Standing {
  readonly name: string;
  /** Of a sender's source: that nothing is left to do for. Of a device's source: that were stored. */
  readonly frames: number;
  /** What else became of frames of a device's source. */
  readonly others?: Omit<SourceTotals, "frames" | "stored">;
  readonly bytes: number;
  /** Payload bytes that went over the link. */
  readonly linkBytes: number;
  /** What there is in all, as far as it is known; undefined where nobody knows. */
  readonly listed: { readonly frames: number; readonly bytes: number; readonly complete: boolean } | undefined;
}

export function standingOfSource(progress: SourceProgress): Standing {
  return {
    name: progress.source,
    frames: progress.settledFrames,
    bytes: progress.settledBytes,
    linkBytes: progress.sentBytes,
    listed: { frames: progress.listedFrames, bytes: progress.listedBytes, complete: progress.listingDone },
  };
}

export function standingOfOrigin(progress: OriginProgress): Standing {
  const { frames: _, stored, ...others } = totalsOf(progress.frames);
  return {
    name: `${progress.device}/${progress.source}`,
    frames: stored + others.conflicts,
    others,
    bytes: progress.storedBytes,
    linkBytes: progress.receivedBytes,
    listed: undefined,
  };
}

/** A standing and how fast it changes. Rates are per second. */
export interface Pace extends Standing {
  readonly frameRate: number;
  readonly linkByteRate: number;
  /** Undefined: nobody can say. */
  readonly leftMs: number | undefined;
}

interface Sample {
  readonly ms: number;
  readonly frames: number;
  readonly bytes: number;
  readonly linkBytes: number;
}

/** Turns standings into paces by remembering those of the last few seconds. */
export class PaceMeter {
  #samples: Sample[] = [];

  measure(nowMs: number, standing: Standing): Pace {
    const { frames, bytes, linkBytes } = standing;
    // The oldest sample that is kept is the last one at or before the window's start.
    const inside = this.#samples.findIndex((sample) => sample.ms > nowMs - rateWindowMs);
    const from = inside === -1 ? this.#samples.length - 1 : inside - 1;
    if (from > 0) this.#samples.splice(0, from);
    const oldest = this.#samples[0];
    this.#samples.push({ ms: nowMs, frames, bytes, linkBytes });
    if (oldest === undefined || nowMs <= oldest.ms)
      return { ...standing, frameRate: 0, linkByteRate: 0, leftMs: undefined };
    const seconds = (nowMs - oldest.ms) / 1000;
    const frameRate = (frames - oldest.frames) / seconds;
    const linkByteRate = (linkBytes - oldest.linkBytes) / seconds;
    return {
      ...standing,
      frameRate,
      linkByteRate,
      leftMs: timeLeftMs(standing, frameRate, (bytes - oldest.bytes) / seconds),
    };
  }
}

function timeLeftMs({ frames, bytes, listed }: Standing, frameRate: number, byteRate: number): number | undefined {
  if (listed === undefined || !listed.complete) return undefined;
  if (frames >= listed.frames) return 0;
  // Bytes tell it better than frames, unless what is left has none.
  const [left, rate] = listed.bytes > bytes ? [listed.bytes - bytes, byteRate] : [listed.frames - frames, frameRate];
  return rate > 0 ? (left / rate) * 1000 : undefined;
}

function sumOfOthers(paces: readonly Pace[]): Pick<Standing, "others"> {
  if (paces.every(({ others }) => others === undefined)) return {};
  const sums = { duplicates: 0, conflicts: 0, refused: 0, skipped: 0, expired: 0 };
  const keys = Object.keys(sums) as (keyof typeof sums)[];
  for (const { others } of paces) for (const key of keys) sums[key] += others?.[key] ?? 0;
  return { others: sums };
}

/** Several as one. */
export function sumOfPaces(name: string, paces: readonly Pace[]): Pace {
  const total = (value: (pace: Pace) => number): number => paces.reduce((all, pace) => all + value(pace), 0);
  const known = paces.every(({ listed }) => listed !== undefined);
  const left = paces.map((pace) => pace.leftMs);
  return {
    name,
    frames: total((pace) => pace.frames),
    ...sumOfOthers(paces),
    bytes: total((pace) => pace.bytes),
    linkBytes: total((pace) => pace.linkBytes),
    listed: known
      ? {
          frames: total(({ listed }) => listed?.frames ?? 0),
          bytes: total(({ listed }) => listed?.bytes ?? 0),
          complete: paces.every(({ listed }) => listed?.complete === true),
        }
      : undefined,
    frameRate: total((pace) => pace.frameRate),
    linkByteRate: total((pace) => pace.linkByteRate),
    leftMs: left.every((ms) => ms !== undefined) ? Math.max(...left) : undefined,
  };
}
