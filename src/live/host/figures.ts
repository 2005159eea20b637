/** Figures for the page (page-api.ts), from what the display shows and what passed by. */
import { statfsSync } from "node:fs";
import type { OriginProgress, SourceProgress } from "../../events.ts";
import { noOutcomes, type OutcomeCounts } from "../../outcomes.ts";
import type { SourceFigures, SpaceFigures } from "../page-api.ts";
import { sourceKey } from "../source-key.ts";
import type { NewestFrames, NewestSource } from "./newest-frames.ts";

const dayMs = 86_400_000;

/** What is known of a source by the frames that passed. */
function seen(source: NewestSource | undefined, nowMs: number): Partial<SourceFigures> & Pick<SourceFigures, "gaps"> {
  if (source === undefined) return { gaps: {} };
  const { newest, gaps } = source;
  const { captured, corrected, received, stored } = newest?.facts ?? {};
  const legs = source.legs(nowMs);
  const taken = corrected ?? captured;
  const behind = stored === undefined || taken === undefined ? undefined : Date.parse(stored) - Date.parse(taken);
  return {
    ...source.rates(nowMs),
    ...(captured === undefined ? {} : { captured }),
    ...(received === undefined ? {} : { received }),
    ...(stored === undefined ? {} : { stored }),
    ...(behind === undefined ? {} : { behindSeconds: behind / 1000 }),
    ...(Object.keys(legs).length === 0 ? {} : { legs }),
    gaps: Object.fromEntries(gaps),
  };
}

const noRates = { framesPerSecond: 0, bytesPerSecond: 0 };

/** At a receiver, by device and source. */
export function receiverSources(
  progress: Iterable<OriginProgress>,
  newest: NewestFrames,
  nowMs: number,
): SourceFigures[] {
  return [...progress].map(({ device, source, frames, storedBytes }) => {
    const key = sourceKey(device, source);
    return { key, device, source, frames, bytes: storedBytes, ...noRates, ...seen(newest.find(key), nowMs) };
  });
}

/** At a sender, whose device may be named by the receiver only: then it is empty. */
export function senderSources(
  device: string,
  progress: readonly SourceProgress[],
  newest: NewestFrames,
  nowMs: number,
): SourceFigures[] {
  return progress.map((of) => {
    const { source, listedFrames, settledFrames, listedBytes, settledBytes, sentBytes } = of;
    const key = sourceKey(device, source);
    return {
      key,
      device,
      source,
      frames: outcomesOf(of),
      bytes: sentBytes,
      ...noRates,
      backlogFrames: listedFrames - settledFrames,
      backlogBytes: listedBytes - settledBytes,
      ...seen(newest.find(key), nowMs),
    };
  });
}

function outcomesOf(of: SourceProgress): OutcomeCounts {
  return {
    ...noOutcomes(),
    stored: of.storedFrames,
    duplicate: of.duplicateFrames,
    conflict: of.conflictFrames,
    refused: of.refusedFrames,
    gap: of.skippedFrames,
  };
}

export interface SpaceOptions {
  readonly directory: string;
  readonly minFreeBytes: number;
  /** Old frames go, so that it is never full. */
  readonly keeps: boolean;
}

/** How full it is, and for how long there is room. It remembers what was stored a while ago. */
export class SpaceWatch {
  readonly #options: SpaceOptions;
  /** What had been stored when, the oldest first. */
  readonly #looks: { readonly atMs: number; readonly storedBytes: number }[] = [];

  constructor(options: SpaceOptions) {
    this.#options = options;
  }

  /** Undefined: it cannot be asked now. */
  at(nowMs: number, storedBytes: number): SpaceFigures | undefined {
    const { directory, minFreeBytes, keeps } = this.#options;
    let status: ReturnType<typeof statfsSync>;
    try {
      status = statfsSync(directory);
    } catch {
      return undefined;
    }
    const freeBytes = status.bavail * status.bsize;
    const space = { freeBytes, totalBytes: status.blocks * status.bsize };
    const last = this.#looks.at(-1);
    if (last === undefined || nowMs - last.atMs >= lookMs) this.#looks.push({ atMs: nowMs, storedBytes });
    while (nowMs - (this.#looks[1]?.atMs ?? nowMs) >= looksMs) this.#looks.shift();
    const [first = { atMs: nowMs, storedBytes }] = this.#looks;
    const bytesPerMs = (storedBytes - first.storedBytes) / Math.max(1, nowMs - first.atMs);
    if (keeps || bytesPerMs <= 0) return space;
    return { ...space, daysLeft: Math.max(0, freeBytes - minFreeBytes) / bytesPerMs / dayMs };
  }
}

/** The rate is that of so long, looked at now and then. */
const looksMs = 600_000;
const lookMs = 10_000;
