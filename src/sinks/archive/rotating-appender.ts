/**
 * Appends to a set of archives, one of which is open: ROTATION.md. What is in all of them is in one index, so that a
 * frame is known whichever of them it is in. A single archive is a set of one.
 */
import type { SinkError } from "../../errors.ts";
import type { DestinationEvent } from "../../events.ts";
import type { Clock } from "../../ports.ts";
import type { Appender, AppendRequest, NewItem } from "../store/append-store.ts";
import type { FrameIndex } from "../store/frame-index.ts";
import { archiveGone } from "./archive-file.ts";
import type { Archives, Period } from "./archive-set.ts";

/** What an archive is opened with, beside what all have in common. */
export interface OpenArchive {
  readonly path: string;
  readonly create: boolean;
  /** Of all of them, not closed with one. Asked for when the file could be opened, beside which it is made. */
  readonly index: () => FrameIndex;
  /** What is in it is in the index already. */
  readonly known: boolean;
}

export interface RotationOptions {
  readonly archives: Archives;
  /** The archive that was open last must still be there, or its disk is not. Undefined: none was. */
  readonly last: string | undefined;
  readonly openIndex: () => FrameIndex;
  readonly openArchive: (archive: OpenArchive) => Appender;
  readonly clock: Pick<Clock, "wallNs">;
  /** Another archive is open from now on. */
  readonly onOpen: (path: string) => void;
  readonly onEvent?: ((event: DestinationEvent) => void) | undefined;
}

export class RotatingAppender implements Appender {
  readonly #options: RotationOptions;
  #index: FrameIndex | undefined;
  #open: Appender;
  #period: Period;
  /** Archives whose frames are in the index. */
  readonly #known = new Set<string>();
  #appending = false;

  constructor(options: RotationOptions) {
    const { archives, last, openArchive } = options;
    this.#options = options;
    const paths = archives.paths();
    this.#period = archives.periodAt(this.#nowMs);
    const { path: now } = this.#period;
    if (last !== undefined && last !== now && !paths.includes(last)) throw archiveGone(last);
    try {
      for (const path of paths) {
        if (path === now) continue;
        // What a crash has left at its end is cut off, and it is closed.
        openArchive({ path, create: false, index: this.#openIndex, known: false }).close();
        this.#known.add(path);
      }
      this.#open = openArchive({ path: now, create: last !== now, index: this.#openIndex, known: false });
    } catch (error) {
      this.#index?.close();
      throw error;
    }
    this.#opened();
  }

  readonly #openIndex = (): FrameIndex => (this.#index ??= this.#options.openIndex());

  get index(): FrameIndex {
    return this.#openIndex();
  }

  get #nowMs(): number {
    return Number(this.#options.clock.wallNs() / 1_000_000n);
  }

  #opened(): void {
    this.#known.add(this.#period.path);
    this.#options.onOpen(this.#period.path);
  }

  get identity(): string | undefined {
    return this.#open.identity;
  }

  get begun(): boolean {
    return this.#known.size === 1 && this.#open.begun === true;
  }

  get end(): number | undefined {
    return this.#open.end;
  }

  prepare(): void {
    this.#rotate();
  }

  /** Opens the archive of this moment, and only then closes the one before. */
  #rotate(): void {
    const { fromMs, untilMs, path: before } = this.#period;
    if (untilMs === Number.POSITIVE_INFINITY) return;
    const nowMs = this.#nowMs;
    if (nowMs >= fromMs && nowMs < untilMs) return;
    const { archives, openArchive, onEvent } = this.#options;
    const period = archives.periodAt(nowMs);
    if (period.path !== before) {
      // Where the one before is gone, the next would be made on whatever disk is there instead.
      this.#open.require?.();
      const known = this.#known.has(period.path);
      const next = openArchive({ path: period.path, create: true, index: this.#openIndex, known });
      this.#open.close();
      this.#open = next;
    }
    this.#period = period;
    if (period.path === before) return;
    this.#opened();
    const detail = `it is closed; frames are stored in ${period.path} from now on`;
    onEvent?.({ event: "destination", place: before, what: "rotated", detail });
  }

  async append(items: readonly NewItem[]): Promise<void> {
    this.#appending = true;
    try {
      await this.#open.append(items);
    } finally {
      this.#appending = false;
    }
  }

  retract(): void {
    this.#open.retract();
  }

  check(request: AppendRequest): SinkError | undefined {
    // A day that is over is closed although nothing comes.
    if (!this.#appending) this.#rotate();
    return this.#open.check(request);
  }

  gathered(bytes: number): void {
    this.#open.gathered(bytes);
  }

  recover(): boolean {
    return this.#open.recover();
  }

  close(): void {
    this.#open.close();
    this.#index?.close();
  }
}
