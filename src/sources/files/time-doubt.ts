/**
 * Where name, size and capture time do not prove that two files are the same picture. A camera without a clock begins
 * again in 1980 and numbers from 1; a copy may give all files one time; raw pictures all have one size. Of such files
 * the bytes are compared, which costs reading each once.
 *
 * It learns from what is listed, which runs ahead of the answers, so that what it has not seen yet is little.
 */
import type { FrameEntry } from "../../frame.ts";

/** Nobody has a digital camera whose clock was right before. */
const clocksFromNs = 946_684_800_000_000_000n; // 2000-01-01

/** So many files with one time, or with one size, did not get it from the moment or the picture. */
const manyFiles = 20;

/** Different sizes and times that are remembered. */
const valuesMax = 4_096;

/** Two compressed pictures are rarely of one size; of any other two that says nothing. */
const compressed = /\.(?:jpe?g|jpe|png|webp|avif|hei[cf]|jxl|jp2|j2k|gif)$/i;

export class TimeDoubt {
  /** As numbers, which are 256 ns apart by now: nobody takes two pictures in that. */
  readonly #times = new Map<number, number>();
  readonly #sizes = new Map<number, number>();

  listed({ bytes, capturedNs }: FrameEntry): void {
    count(this.#times, Number(capturedNs));
    count(this.#sizes, bytes);
  }

  /** Whether the bytes have to be compared. */
  of({ name, bytes, capturedNs }: FrameEntry): boolean {
    if (capturedNs < clocksFromNs) return true;
    if ((this.#times.get(Number(capturedNs)) ?? 0) >= manyFiles) return true;
    return (this.#sizes.get(bytes) ?? 0) >= (compressed.test(name) ? manyFiles : 2);
  }
}

/** What is seen often stays, and if that fills it, nothing new is counted. */
function count(counts: Map<number, number>, value: number): void {
  const before = counts.get(value);
  if (before === undefined && counts.size >= valuesMax) forgetRare(counts);
  if (before !== undefined || counts.size < valuesMax) counts.set(value, (before ?? 0) + 1);
}

function forgetRare(counts: Map<number, number>): void {
  for (const most of [1, manyFiles - 1]) {
    for (const [value, times] of counts) if (times <= most) counts.delete(value);
    if (counts.size <= valuesMax / 2) return;
  }
}
