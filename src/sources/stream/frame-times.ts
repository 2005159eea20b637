/** When the frames of a stream were captured, and what their part's head and EXIF data say of them. */
import type { FrameEntry } from "../../frame.ts";
import type { Clock } from "../../ports.ts";
import type { SplitFrame } from "../../splitters/splitter.ts";
import { type Captured, isCapturedNs } from "../captured.ts";
import { exifMetadata, exifTimeNs, exifTimeOf, type PictureBytes } from "../exif.ts";

export class FrameTimes {
  readonly #captured: Captured;
  readonly #clock: Clock;
  readonly #untimed: (detail: string) => void;
  /**
   * When the pieces came that frames may still be in, by the splitter's time and by the clock on the wall: a time that
   * is counted back from now would differ from frame to frame.
   */
  readonly #arrivals: { readonly ms: number; readonly ns: bigint }[] = [];

  /** `untimed`: a frame does not say what was asked for. */
  constructor(captured: Captured, clock: Clock, untimed: (detail: string) => void) {
    this.#captured = captured;
    this.#clock = clock;
    this.#untimed = untimed;
  }

  /** A piece of the stream came. `isFirst`: nothing of what came before can be in a frame. */
  arrived(nowMs: number, isFirst: boolean): void {
    if (isFirst) this.#arrivals.length = 0;
    this.#arrivals.push({ ms: nowMs, ns: this.#clock.wallNs() });
  }

  /** In the order in which frames come. */
  of(frame: SplitFrame): Pick<FrameEntry, "capturedNs" | "metadata"> {
    const exif = exifTimeOf(new Pieces(frame));
    const arrivalNs = this.#arrivalNs(frame.arrivedMs);
    const { kind } = this.#captured;
    let capturedNs: bigint | undefined;
    if (kind === "header") capturedNs = frame.headerTimeNs;
    if (kind === "exif") capturedNs = exif && exifTimeNs(exif);
    if (capturedNs === undefined || !isCapturedNs(capturedNs)) {
      if (kind === "header") this.#untimed("no X-Timestamp before a frame: the time of its arrival is taken");
      if (kind === "exif") this.#untimed("no EXIF time in a frame: the time of its arrival is taken");
      capturedNs = arrivalNs;
    }
    const pairs = [...(exif === undefined ? [] : exifMetadata(exif)), ...frame.headerFields];
    return pairs.length === 0 ? { capturedNs } : { capturedNs, metadata: new Map(pairs) };
  }

  #arrivalNs(arrivedMs: number): bigint {
    const arrivals = this.#arrivals;
    while ((arrivals[1]?.ms ?? Infinity) <= arrivedMs) arrivals.shift();
    return ((arrivals[0]?.ns ?? this.#clock.wallNs()) / 1_000n) * 1_000n;
  }
}

class Pieces implements PictureBytes {
  readonly bytes: number;
  readonly #pieces: readonly Uint8Array[];

  constructor({ pieces, bytes }: SplitFrame) {
    this.#pieces = pieces;
    this.bytes = bytes;
  }

  at(position: number): number {
    let left = position;
    for (const piece of this.#pieces) {
      if (left < piece.length) return piece[left] as number;
      left -= piece.length;
    }
    return 0;
  }

  text(position: number, length: number): string {
    let text = "";
    for (let at = position; at < position + length; at += 1) text += String.fromCharCode(this.at(at));
    return text;
  }
}
