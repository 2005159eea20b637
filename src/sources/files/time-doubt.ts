/**
 * Where name, size and capture time do not prove that two files are the same picture. A camera without a clock begins
 * again in 1980 and numbers from 1; a copy may give all files one time; raw pictures all have one size. Of such files
 * the bytes are compared, which costs reading each once.
 *
 * It learns from what is listed, which mostly runs ahead of the answers. What was believed before there were many is
 * remembered, and doubted after all when there are.
 */
import type { FrameEntry } from "../../frame.ts";

/** Nobody has a digital camera whose clock was right before. */
const clocksFromNs = 946_684_800_000_000_000n; // 2000-01-01

/** So many files with one time, or with one size, did not get it from the moment or the picture. */
const manyFiles = 20;
/** Of any two files but compressed ones. */
const manyRaws = 2;

/** Different sizes and times that are remembered. */
const valuesMax = 4_096;

/** Two compressed pictures are rarely of one size; of any other two that says nothing. */
const compressed = /\.(?:jpe?g|jpe|png|webp|avif|hei[cf]|jxl|jp2|j2k|gif)$/i;

export interface BelievedFile {
  readonly entry: FrameEntry;
  /** What the receiver has under its name. */
  readonly crc32: number;
}

interface Seen {
  files: number;
  /** Fewer than `manyFiles`. */
  believed: BelievedFile[] | undefined;
}

export class TimeDoubt {
  /** As numbers, which are 256 ns apart by now: nobody takes two pictures in that. */
  readonly #times = new Map<number, Seen>();
  readonly #sizes = new Map<number, Seen>();

  /** Returns files that were believed, and are not to be any more; a file may come twice. */
  listed({ bytes, capturedNs }: FrameEntry): readonly BelievedFile[] {
    const ofTime = count(this.#times, Number(capturedNs));
    const ofSize = count(this.#sizes, bytes);
    const doubted = ofTime?.files === manyFiles ? takeBelieved(ofTime) : none;
    if (ofSize?.files !== manyRaws && ofSize?.files !== manyFiles) return doubted;
    const alsoDoubted = takeBelieved(ofSize, ofSize.files === manyRaws);
    return doubted.length === 0 ? alsoDoubted : [...doubted, ...alsoDoubted];
  }

  /** Whether the bytes have to be compared. */
  of({ name, bytes, capturedNs }: FrameEntry): boolean {
    if (capturedNs < clocksFromNs) return true;
    if ((this.#times.get(Number(capturedNs))?.files ?? 0) >= manyFiles) return true;
    return (this.#sizes.get(bytes)?.files ?? 0) >= (compressed.test(name) ? manyFiles : manyRaws);
  }

  /** It was not doubted. */
  believed(file: BelievedFile): void {
    for (const seen of [this.#times.get(Number(file.entry.capturedNs)), this.#sizes.get(file.entry.bytes)]) {
      if (seen === undefined) continue;
      seen.believed ??= [];
      // The same file may be asked about again and again.
      if (seen.believed.length < manyFiles) seen.believed.push(file);
    }
  }
}

const none: readonly BelievedFile[] = [];

function takeBelieved(seen: Seen, onlyRaws = false): readonly BelievedFile[] {
  const { believed = [] } = seen;
  seen.believed = onlyRaws ? believed.filter(({ entry }) => compressed.test(entry.name)) : undefined;
  return onlyRaws ? believed.filter(({ entry }) => !compressed.test(entry.name)) : believed;
}

/** What is seen often stays, and if that fills it, nothing new is counted. */
function count(counts: Map<number, Seen>, value: number): Seen | undefined {
  const seen = counts.get(value);
  if (seen !== undefined) {
    seen.files += 1;
    return seen;
  }
  if (counts.size >= valuesMax) forgetRare(counts);
  if (counts.size >= valuesMax) return undefined;
  const first = { files: 1, believed: undefined };
  counts.set(value, first);
  return first;
}

function forgetRare(counts: Map<number, Seen>): void {
  for (const most of [1, manyFiles - 1]) {
    for (const [value, { files }] of counts) if (files <= most) counts.delete(value);
    if (counts.size <= valuesMax / 2) return;
  }
}
