/**
 * What the page may be shown of the frames that pass: of each source the facts of the newest one, and its bytes if
 * somebody has asked for them before they came. Nobody looking, no byte is copied and nothing is kept.
 */
import type { Frame, FrameEntry, GapReason, Origin } from "../../frame.ts";
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
  /** So many of the next frames that begin are to be shown. */
  wanted = 0;
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

  /** A frame came. Returns whether it is the newest. */
  enter(
    { entry, session, sequence, clockOffsetNs, receivedNs, storedNs }: Passed,
    now: Moment,
    bytes?: Uint8Array,
  ): boolean {
    const { nowMs } = now;
    const { capturedNs, name } = entry;
    this.#rate.add(nowMs, entry.bytes);
    const correctedNs = clockOffsetNs === undefined ? capturedNs : capturedNs - clockOffsetNs;
    if (storedNs !== undefined) {
      const sentMs = clockOffsetNs === undefined ? undefined : Number(receivedNs - correctedNs) / msNs;
      if (this.#legs.length >= legsMax) this.#legs.shift();
      this.#legs.push({ atMs: nowMs, sentMs, storedMs: Number(storedNs - receivedNs) / msNs });
    }
    if (capturedNs < this.#newestNs && nowMs - this.#newestAtMs < supersededMs) return false;
    const before = this.newest;
    // Read again, or sent again, it is no other picture.
    const isSame = before !== undefined && before.facts.name === name && this.#newestNs === capturedNs;
    this.#newestNs = capturedNs;
    this.#newestAtMs = nowMs;
    this.newest = {
      serial: isSame ? before.serial : now.serial,
      bytes,
      facts: {
        key: this.key,
        ...(session === undefined ? {} : { session }),
        ...(sequence === undefined ? {} : { sequence }),
        name,
        bytes: entry.bytes,
        captured: formatTime(capturedNs),
        ...(correctedNs === capturedNs ? {} : { corrected: formatTime(correctedNs) }),
        received: formatTime(receivedNs),
        ...(storedNs === undefined ? {} : { stored: formatTime(storedNs) }),
      },
    };
    return true;
  }
}

/** A frame that came by. */
interface Passed {
  readonly entry: FrameEntry;
  /** The sender does not know yet. */
  readonly session?: string;
  readonly sequence?: number;
  readonly clockOffsetNs?: bigint | undefined;
  readonly receivedNs: bigint;
  /** At a receiver. */
  readonly storedNs?: bigint;
}

interface Moment {
  readonly nowMs: number;
  readonly serial: number;
}

function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

export class NewestFrames implements Onlooker<NewestSource> {
  readonly #options: NewestOptions;
  readonly #byOrigin = new WeakMap<Origin, NewestSource>();
  readonly #byKey = new Map<SourceKey, NewestSource>();
  readonly #wantedUnseen = new Map<SourceKey, number>();
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

  /** The next frames of this source are to be shown, perhaps of one that has sent nothing yet. */
  want(key: SourceKey, frames: number): void {
    const source = this.#byKey.get(key);
    if (source !== undefined) source.wanted = frames;
    else if (this.#wantedUnseen.size < sourcesMax) this.#wantedUnseen.set(key, frames);
  }

  /** Nobody is there to be shown anything. */
  forgetWants(): void {
    this.#wantedUnseen.clear();
    for (const source of this.#byKey.values()) source.wanted = 0;
  }

  /** Undefined: there are too many. */
  of(origin: Origin): NewestSource | undefined {
    let found = this.#byOrigin.get(origin);
    if (found === undefined) {
      found = this.named(origin.device, origin.source);
      if (found !== undefined) this.#byOrigin.set(origin, found);
    }
    return found;
  }

  /** The same by name. */
  named(device: string, source: string): NewestSource | undefined {
    const key = sourceKey(device, source);
    let found = this.#byKey.get(key);
    if (found === undefined && this.#byKey.size < sourcesMax) {
      this.#byKey.set(key, (found = new NewestSource({ device, source }, this.#options.nowMs())));
      found.wanted = this.#wantedUnseen.get(key) ?? 0;
      this.#wantedUnseen.delete(key);
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
    if (source.wanted === 0 || bytes > pictureBytesMax || this.#copiedBytes + bytes > copiedBytesMax) return undefined;
    this.#copiedBytes += bytes;
    return new Uint8Array(bytes);
  }

  /** The memory is not needed any more: the frame was shown, or is not to be. */
  release(bytes: Uint8Array | undefined): void {
    if (bytes !== undefined) this.#copiedBytes -= bytes.length;
  }

  stored(source: NewestSource, frame: Frame, receivedNs: bigint, bytes: Uint8Array | undefined): void {
    this.storedBytes += frame.bytes;
    const { origin, sequence, clockOffsetNs } = frame;
    const storedNs = this.#options.wallNs();
    const { session } = origin;
    this.#passed(source, { entry: frame, session, sequence, clockOffsetNs, receivedNs, storedNs }, bytes);
  }

  /** For the sender: a frame was taken from a camera, or read. */
  taken(source: NewestSource, entry: FrameEntry, bytes: Uint8Array | undefined): void {
    this.#passed(source, { entry, receivedNs: this.#options.wallNs() }, bytes);
  }

  #passed(source: NewestSource, passed: Passed, bytes: Uint8Array | undefined): void {
    const { nowMs, onWanted } = this.#options;
    const before = source.newest?.bytes;
    // Who wanted it may have been given another one meanwhile.
    const kept = source.wanted > 0 ? bytes : undefined;
    const isNewest = source.enter(passed, { nowMs: nowMs(), serial: (this.#serial += 1) }, kept);
    this.release(isNewest ? before : bytes);
    if (!isNewest) return;
    if (kept === undefined) this.release(bytes);
    if (source.wanted > 0 && (kept !== undefined || passed.entry.bytes > pictureBytesMax)) onWanted();
  }

  /** Takes the newest frame, if somebody wants it and it can be shown, or never can. */
  take(source: NewestSource): Newest | undefined {
    const { newest } = source;
    if (newest === undefined || source.wanted === 0) return undefined;
    if (newest.bytes === undefined && newest.facts.bytes <= pictureBytesMax) return undefined;
    source.wanted -= 1;
    source.newest = { ...newest, bytes: undefined };
    this.release(newest.bytes);
    return newest;
  }
}
