/** How much a disk may still take. Asking costs a few microseconds, so the answer serves many frames. */
import { SinkError } from "../errors.ts";
import { MiB } from "../limits.ts";
import { sizeText } from "../size-text.ts";
import type { Disk } from "./file-system.ts";

/** An answer is good for this long, and for this many bytes of ours; others write too. */
const answerMs = 500;
const answerBytes = 32 * MiB;

export interface FreeSpaceOptions {
  readonly disk: Pick<Disk, "freeBytes">;
  readonly directory: string;
  /** For messages; the directory unless it is given. */
  readonly place?: string;
  readonly minFreeBytes: number;
  readonly nowMs: () => number;
}

export class FreeSpace {
  readonly #options: FreeSpaceOptions;
  /** Until the disk is asked, it is taken to have room. */
  #freeBytes = Number.POSITIVE_INFINITY;
  #writtenBytes = 0;
  #askedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: FreeSpaceOptions) {
    this.#options = options;
  }

  /** The last answer has served its time: `measure` is due. */
  get stale(): boolean {
    return this.#writtenBytes >= answerBytes || this.#options.nowMs() - this.#askedAtMs >= answerMs;
  }

  /** Asks the disk. Throws what it throws. */
  measure(): void {
    this.#freeBytes = this.#options.disk.freeBytes(this.#options.directory);
    this.#writtenBytes = 0;
    this.#askedAtMs = this.#options.nowMs();
  }

  wrote(bytes: number): void {
    this.#writtenBytes += bytes;
  }

  /**
   * Whether a frame of `bytes`, and `waitingBytes` that came before it, can be written and leave what must stay free:
   * `undefined`, or why not.
   */
  check(bytes: number, waitingBytes = 0): SinkError | undefined {
    const { directory, place = directory, minFreeBytes } = this.#options;
    const freeBytes = this.#freeBytes - this.#writtenBytes;
    if (freeBytes - bytes - waitingBytes >= minFreeBytes) return undefined;
    // The next call asks again: space that somebody makes is used at once.
    this.#askedAtMs = Number.NEGATIVE_INFINITY;
    const free = sizeText(Math.max(0, freeBytes));
    const waiting = waitingBytes > 0 ? `, ${sizeText(waitingBytes)} before it` : "";
    const problem =
      freeBytes < minFreeBytes
        ? `below --min-free ${sizeText(minFreeBytes)}`
        : `too little for a frame of ${sizeText(bytes)}${waiting} and --min-free ${sizeText(minFreeBytes)}`;
    return new SinkError(`${place}: ${free} free, ${problem}`, { retryable: true });
  }
}
