/**
 * What the page may be shown of the frames that pass: of each source the facts of the newest one, and its bytes if
 * somebody has asked for them before they came. Nobody looking, no byte is copied and nothing is kept.
 */
import type { Frame, GapReason, Origin } from "../../frame.ts";
import { MiB } from "../../limits.ts";
import { formatTime } from "../../times.ts";
import { pictureBytesMax } from "../picture-bytes.ts";
import type { WatchFrame } from "../../ports.ts";
import type { FrameFacts, Legs, SourceKey } from "../page-api.ts";
import { sourceKey } from "../source-key.ts";
import { type Onlooker, WatchedWriter } from "./watched-writer.ts";
import { RateWindow, type Rates } from "./rate-window.ts";

/** As many as the figures count one by one. */
const sourcesMax = 1024;
/** Of frames on their way in, of all sources together; what is beyond it is not shown. */
const copiedBytesMax: number = 64 * MiB;
/** A frame that was taken before the newest is shown only when nothing newer has come for so long. */
const supersededMs = 10_000;
const rateSlots = 10;
const rateSlotMs = 1000;
/** Legs of the way that the medians are of. */
const legsMax = 64;
const legsMs = 10_000;
const msNs = 1e6;

export interface NewestOptions {
  readonly nowMs: () => number;
  readonly wallNs: () => bigint;
  /** The bytes of a wanted frame are there: `take` gives them. Called inside the calls that store. */
  readonly onWanted: () => void;
}

/** The newest frame of a source. */
export interface Newest {
  readonly facts: FrameFacts;
  readonly serial: number;
  /** Undefined: nobody had asked for it, or it is too large. */
  readonly bytes: Uint8Array | undefined;
}

interface Leg {
  readonly atMs: number;
  readonly sentMs: number | undefined;
  readonly storedMs: number;
}

export class NewestSource {
  readonly key: SourceKey;
  readonly device: string;
  readonly source: string;
  /** The next frame that begins is to be copied. */
  wanted = false;
  newest: Newest | undefined;
  readonly gaps: Map<GapReason, number> = new Map<GapReason, number>();
  readonly #rate: RateWindow;
  readonly #legs: Leg[] = [];
  #newestNs = 0n;
  #newestAtMs = Number.NEGATIVE_INFINITY;

  constructor({ device, source }: Pick<Origin, "device" | "source">, nowMs: number) {
    this.key = sourceKey(device, source);
    this.device = device;
    this.source = source;
    this.#rate = new RateWindow(rateSlots, rateSlotMs, nowMs);
  }

  rates(nowMs: number): Rates {
    return this.#rate.at(nowMs);
  }

  /** Medians of the last moments. */
  legs(nowMs: number): Legs {
    const recent = this.#legs.filter(({ atMs }) => nowMs - atMs <= legsMs);
    const sent = median(recent.flatMap(({ sentMs }) => sentMs ?? []));
    const stored = median(recent.map(({ storedMs }) => storedMs));
    return { ...(sent === undefined ? {} : { sent }), ...(stored === undefined ? {} : { stored }) };
  }

  /** A frame came and was stored. Returns whether it is the newest. */
  enter(
    frame: Frame,
    receivedNs: bigint,
    storedNs: bigint,
    nowMs: number,
    serial: number,
    bytes?: Uint8Array,
  ): boolean {
    this.#rate.add(nowMs, frame.bytes);
    const { origin, capturedNs, clockOffsetNs, sequence, name } = frame;
    const correctedNs = clockOffsetNs === undefined ? capturedNs : capturedNs - clockOffsetNs;
    const sentMs = clockOffsetNs === undefined ? undefined : Number(receivedNs - correctedNs) / msNs;
    if (this.#legs.length >= legsMax) this.#legs.shift();
    this.#legs.push({ atMs: nowMs, sentMs, storedMs: Number(storedNs - receivedNs) / msNs });
    if (capturedNs < this.#newestNs && nowMs - this.#newestAtMs < supersededMs) return false;
    this.#newestNs = capturedNs;
    this.#newestAtMs = nowMs;
    const isCorrected = correctedNs !== capturedNs;
    this.newest = {
      serial,
      bytes,
      facts: {
        key: this.key,
        session: origin.session,
        sequence,
        name,
        bytes: frame.bytes,
        captured: formatTime(capturedNs),
        ...(isCorrected ? { corrected: formatTime(correctedNs) } : {}),
        received: formatTime(receivedNs),
        stored: formatTime(storedNs),
      },
    };
    return true;
  }
}

function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

export class NewestFrames implements Onlooker<NewestSource> {
  readonly #options: NewestOptions;
  readonly #byOrigin = new WeakMap<Origin, NewestSource>();
  readonly #byKey = new Map<SourceKey, NewestSource>();
  readonly #wantedUnseen = new Set<SourceKey>();
  #serial = 0;
  #copiedBytes = 0;
  /** Of all frames that were stored. */
  storedBytes = 0;

  constructor(options: NewestOptions) {
    this.#options = options;
  }

  get sources(): Iterable<NewestSource> {
    return this.#byKey.values();
  }

  find(key: SourceKey): NewestSource | undefined {
    return this.#byKey.get(key);
  }

  /** The next frame of this source is to be shown, perhaps of one that has sent nothing yet. */
  want(key: SourceKey): void {
    const source = this.#byKey.get(key);
    if (source !== undefined) source.wanted = true;
    else if (this.#wantedUnseen.size < sourcesMax) this.#wantedUnseen.add(key);
  }

  /** Nobody is there to be shown anything. */
  forgetWants(): void {
    this.#wantedUnseen.clear();
    for (const source of this.#byKey.values()) source.wanted = false;
  }

  /** Undefined: there are too many. */
  of(origin: Origin): NewestSource | undefined {
    let found = this.#byOrigin.get(origin);
    if (found === undefined) {
      const key = sourceKey(origin.device, origin.source);
      found = this.#byKey.get(key);
      if (found === undefined) {
        if (this.#byKey.size >= sourcesMax) return undefined;
        this.#byKey.set(key, (found = new NewestSource(origin, this.#options.nowMs())));
        found.wanted = this.#wantedUnseen.delete(key);
      }
      this.#byOrigin.set(origin, found);
    }
    return found;
  }

  /** For the receiver: looks on at a frame that begins. */
  readonly watchFrame: WatchFrame = (frame, writer) => {
    const source = this.of(frame.origin);
    return source === undefined ? writer : new WatchedWriter(this, source, this.#options.wallNs, frame, writer);
  };

  /** Frames that will not arrive. */
  lost(origin: Pick<Origin, "device" | "source">, reason: GapReason, count: number): void {
    const source = this.#byKey.get(sourceKey(origin.device, origin.source));
    source?.gaps.set(reason, (source.gaps.get(reason) ?? 0) + count);
  }

  /** Memory for the bytes of a frame that begins, if they are wanted and there is room. */
  begin(source: NewestSource, bytes: number): Uint8Array | undefined {
    if (!source.wanted || bytes > pictureBytesMax || this.#copiedBytes + bytes > copiedBytesMax) return undefined;
    this.#copiedBytes += bytes;
    return new Uint8Array(bytes);
  }

  /** The memory is not needed any more: the frame was shown, or is not to be. */
  release(bytes: Uint8Array | undefined): void {
    if (bytes !== undefined) this.#copiedBytes -= bytes.length;
  }

  stored(source: NewestSource, frame: Frame, receivedNs: bigint, bytes: Uint8Array | undefined): void {
    const { nowMs, wallNs, onWanted } = this.#options;
    this.storedBytes += frame.bytes;
    const before = source.newest?.bytes;
    // Who wanted it may have been given another one meanwhile.
    const kept = source.wanted ? bytes : undefined;
    const isNewest = source.enter(frame, receivedNs, wallNs(), nowMs(), (this.#serial += 1), kept);
    this.release(isNewest ? before : bytes);
    if (!isNewest) return;
    if (kept === undefined) this.release(bytes);
    if (source.wanted && (kept !== undefined || frame.bytes > pictureBytesMax)) onWanted();
  }

  /** Takes the newest frame, if somebody wants it and it can be shown, or never can. */
  take(source: NewestSource): Newest | undefined {
    const { newest } = source;
    if (newest === undefined || !source.wanted) return undefined;
    if (newest.bytes === undefined && newest.facts.bytes <= pictureBytesMax) return undefined;
    source.wanted = false;
    source.newest = { ...newest, bytes: undefined };
    this.release(newest.bytes);
    return newest;
  }
}
