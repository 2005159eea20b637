/**
 * What the sources have, on its way into the session: listings, comparisons, and bytes of frames, each read straight
 * to where it leaves from. What cannot be read becomes a gap, and the user is told.
 */
import { SourceError } from "../errors.ts";
import type { SenderEvent } from "../events.ts";
import type { FrameEntry, GapReason, RefusalReason } from "../frame.ts";
import type { Clock, OpenedFrame, Source } from "../ports.ts";
import type { SenderSession } from "../protocols/wire/sender.ts";

/** After a comparison that took longer, whoever else waits has a turn. */
const compareSliceMs = 5;

export interface SourceFeedOptions {
  readonly sources: readonly Source[];
  readonly clock: Pick<Clock, "nowMs">;
  /** A larger frame is not sent, and becomes a gap. */
  readonly frameBytesMax?: number | undefined;
  readonly onEvent: (event: SenderEvent) => void;
}

export class SourceFeed {
  readonly #options: SourceFeedOptions;
  readonly #session: SenderSession;
  /** By source. */
  readonly #opened = new Map<number, OpenedFrame>();

  constructor(options: SourceFeedOptions, session: SenderSession) {
    this.#options = options;
    this.#session = session;
  }

  /** Lists everything that the source has. */
  listAll(sourceIndex: number): void {
    while (this.list(sourceIndex, Number.POSITIVE_INFINITY, false));
  }

  /** Lists what the source has next. False: it has nothing more now. */
  list(sourceIndex: number, max: number, liveOnly: boolean): boolean {
    const listed = this.#options.sources[sourceIndex]?.list(max, liveOnly);
    if (listed === undefined) {
      this.#session.listingDone(sourceIndex);
      return false;
    }
    if (listed.length === 0) {
      this.#session.listedNothing(sourceIndex, liveOnly);
      return false;
    }
    for (const entry of listed) {
      if ("failure" in entry) {
        const { name, failure, detail, count = 1, sequence } = entry;
        this.#session.listedGap(sourceIndex, name, failure, detail, count, sequence);
        // A gap that is handed on was told when it came.
        if (sequence !== undefined) continue;
        if (failure === "refused") this.refused(sourceIndex, name, "too-large", detail, count);
        else this.#skipped(sourceIndex, name, failure, detail, count);
      } else if ("stretch" in entry) {
        const { stretch, count, bytes, text, sequence } = entry;
        this.#session.stretch(sourceIndex, stretch, count, bytes, text, sequence);
      } else {
        this.#session.listed(sourceIndex, entry, entry.live === true, entry.sequence);
      }
    }
    return true;
  }

  /** False: a large file takes its time, and the link must have its turn. */
  compare(sourceIndex: number, place: number, entry: FrameEntry, crc32: number): boolean {
    const { clock, sources } = this.#options;
    const startMs = clock.nowMs();
    const source = sources[sourceIndex];
    const isSame = source?.confirms === undefined ? true : source.confirms(entry, crc32);
    if (isSame !== undefined) this.#session.compared(sourceIndex, place, isSame);
    return isSame !== undefined && clock.nowMs() - startMs < compareSliceMs;
  }

  open(sourceIndex: number, entry: Parameters<Source["open"]>[0]): void {
    let opened: OpenedFrame | undefined;
    try {
      opened = this.#options.sources[sourceIndex]?.open(entry);
      if (opened === undefined) return;
      this.#opened.set(sourceIndex, opened);
    } catch (error) {
      this.#skip(sourceIndex, entry.name, error);
      return;
    }
    const tooLarge =
      sizeProblem(opened.bytes, this.#options.frameBytesMax, "sender") ??
      sizeProblem(opened.bytes, this.#session.frameBytesMax, "receiver");
    if (tooLarge !== undefined) {
      this.close(sourceIndex);
      this.#session.frames.skip(sourceIndex, "refused", tooLarge);
      this.refused(sourceIndex, entry.name, "too-large", tooLarge);
      return;
    }
    const bytes = this.#session.frames.open(sourceIndex, opened.bytes, opened.metadata);
    if (bytes !== undefined) this.chunk(sourceIndex, bytes);
  }

  chunk(sourceIndex: number, bytes: number): void {
    const opened = this.#opened.get(sourceIndex);
    try {
      const taken = opened?.read(this.#session.frames.chunkView(sourceIndex, bytes)) ?? 0;
      if (taken < bytes) throw new SourceError("changing", "shorter than it was when it was opened");
    } catch (error) {
      this.#skip(sourceIndex, this.#session.ledgers[sourceIndex]?.open?.record.entry.name ?? "", error);
      return;
    }
    if (this.#session.frames.commitChunk(sourceIndex, bytes, opened?.notes)) this.close(sourceIndex);
  }

  /** The start of a frame that the receiver may have is read and compared, and not sent. */
  prove(sourceIndex: number, bytes: number): void {
    const entry = this.#session.ledgers[sourceIndex]?.open?.record.entry;
    const source = this.#options.sources[sourceIndex];
    if (entry === undefined || source === undefined) return;
    try {
      const view = new Uint8Array(bytes);
      const taken = this.#opened.get(sourceIndex)?.read(view) ?? 0;
      if (taken < bytes) throw new SourceError("changing", "shorter than it was when it was opened");
      if (this.#session.frames.proved(sourceIndex, view)) return;
      this.close(sourceIndex);
      const again = source.open(entry);
      this.#opened.set(sourceIndex, again);
      if (again.bytes !== entry.bytes) throw new SourceError("changing", "has another size than before");
    } catch (error) {
      this.#skip(sourceIndex, entry.name, error);
    }
  }

  #skip(sourceIndex: number, name: string, error: unknown): void {
    if (!(error instanceof SourceError)) throw error;
    this.close(sourceIndex);
    this.#session.frames.skip(sourceIndex, error.reason, error.message);
    this.#skipped(sourceIndex, name, error.reason, error.message, 1);
  }

  #skipped(sourceIndex: number, name: string, reason: GapReason, detail: string, count: number): void {
    this.#options.onEvent({ event: "skipped", source: this.#name(sourceIndex), name, count, reason, detail });
  }

  refused(sourceIndex: number, name: string, reason: RefusalReason, detail: string, count = 1): void {
    this.#options.onEvent({ event: "refused", source: this.#name(sourceIndex), name, count, reason, detail });
  }

  /** The frame that is open of this source will not be read on. */
  close(sourceIndex: number): void {
    this.#opened.get(sourceIndex)?.close();
    this.#opened.delete(sourceIndex);
  }

  closeAll(): void {
    for (const opened of this.#opened.values()) opened.close();
    this.#opened.clear();
  }

  #name(sourceIndex: number): string {
    return this.#options.sources[sourceIndex]?.name ?? "";
  }
}

/** Why a frame of this size is not sent, if it is not. Both ends show it, so it says whose limit that is. */
export function sizeProblem(
  bytes: number,
  frameBytesMax: number | undefined,
  whose: "sender" | "receiver",
): string | undefined {
  if (frameBytesMax === undefined || bytes <= frameBytesMax) return undefined;
  return `${bytes} bytes, limit ${frameBytesMax} (--max-frame of the ${whose})`;
}
