/**
 * Frames from a stream: standard input or a named pipe. A splitter cuts them out, a store keeps them until they are
 * settled. Captured is when a frame's last byte came, or what a multipart head says.
 *
 * When the store is full there are two ways. `block`: the stream is not read, so whoever writes it waits.
 * `drop-oldest`: the frame that has waited longest is forgotten and its number becomes a gap. What was listed already
 * is told as a gap when its turn comes; what was not is only counted, so an outage of days takes no memory.
 *
 * Stopping ends the reading: what has been read can still be sent, what is in the pipe is its writer's matter.
 */
import { SourceError } from "../../errors.ts";
import type { FrameEntry, Outcome } from "../../frame.ts";
import { describeNotes } from "../../notes.ts";
import type { Clock, Listed, ListedFrame, ListedStretch, OpenedFrame, Source } from "../../ports.ts";
import type { Split, SplitFrame, Splitter, SplitStretch } from "../../splitters/splitter.ts";
import type { Captured } from "../captured.ts";
import { errorText } from "../files/file-errors.ts";
import type { SourceProblem } from "../files/frame-files.ts";
import { type Remark, Remarks } from "../remarks.ts";
import { BetweenFrames, type Missing } from "./between-frames.ts";
import type { FrameNames } from "./frame-names.ts";
import type { FrameStore } from "./frame-store.ts";
import { FrameTimes } from "./frame-times.ts";
import { KeptFrames } from "./kept-frames.ts";

/** What is needed of a `ReadableStreamDefaultReader`. Each piece is a new one. */
export interface StreamReader {
  /** Without a value: the stream has ended. */
  read(): Promise<{ readonly value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
  /** Only of a stream without an end, and only before `cancel`: nothing waits to be read. */
  isIdle?(): boolean;
}

export interface StreamSourceOptions {
  readonly name: string;
  /** For messages: `-` or the path. */
  readonly path: string;
  readonly reader: StreamReader;
  readonly splitter: Splitter;
  readonly names: FrameNames;
  readonly store: FrameStore;
  /** Bytes of frames in the store above which it is full. One frame is always kept, however large. */
  readonly keptBytesMax: number;
  /** What is in the store is lost when this process ends. */
  readonly fleeting: boolean;
  readonly whenFull: "block" | "drop-oldest";
  /** Which of the unlisted frames is listed first. */
  readonly order: "oldest" | "newest";
  readonly captured: Captured;
  /** What to say when the stream has ended, if its writer may come back. */
  readonly endHint?: string | undefined;
  readonly clock: Clock;
  /** A frame is there, whatever becomes of it; its pieces are valid during the call. */
  readonly onFrame?: ((entry: FrameEntry, pieces: readonly Uint8Array[]) => void) | undefined;
  readonly onProblem: (problem: SourceProblem) => void;
}

/** A stream is taken apart in slices of this length. */
const sliceMs = 10;
const tooSlow = "dropped: the link was slower than the camera";
const noSpace = "dropped: no space left in the spool";

export class StreamSource implements Source {
  readonly name: string;
  readonly live = true;
  onReady?: () => void;
  readonly #options: StreamSourceOptions;
  readonly #kept: KeptFrames;
  readonly #between = new BetweenFrames();
  readonly #remarks = new Remarks((remark) => this.#remark(remark));
  #cancelTimer: (() => void) | undefined;
  /** What a timer began to take. */
  #taking: Promise<void> | undefined;
  readonly #times: FrameTimes;
  /** Frames that the stream has given, for their names. */
  #frames = 0;
  /** The stream has ended. */
  #over = false;
  #stopped = false;
  #wake: (() => void) | undefined;

  constructor(options: StreamSourceOptions) {
    const { captured, clock } = options;
    this.name = options.name;
    this.#options = options;
    this.#kept = new KeptFrames(options.keptBytesMax);
    this.#times = new FrameTimes(captured, clock, (detail) => this.#remarks.add("timeless", 0, () => detail));
    const { frames, broken } = options.store.leftovers;
    for (const entry of frames) this.#kept.add(entry);
    const detail = "dropped: left incomplete by a power loss";
    if (broken > 0) this.#between.add(0, { failure: "dropped", detail, count: broken });
    void this.#read();
  }

  get unlistedFrames(): number | undefined {
    return this.#over ? this.#kept.unlisted + this.#between.missing : undefined;
  }

  get heldFrames(): number | undefined {
    return this.#options.fleeting ? this.#kept.size : undefined;
  }

  list(max: number, liveOnly = false): (Listed | ListedStretch)[] | undefined {
    const { order } = this.#options;
    const { passed } = this.#kept;
    // Out of order nothing has a place.
    const between = this.#between.take(order === "newest" ? Infinity : passed);
    if (between.length > 0) return between;
    const listed = this.#kept.list(Math.min(max, this.#between.firstBehind - passed), order, liveOnly);
    return this.#over && this.#kept.unlisted === 0 && listed.length === 0 ? undefined : listed;
  }

  open(entry: FrameEntry): OpenedFrame {
    if (!this.#kept.has(entry)) throw new SourceError("dropped", tooSlow);
    return this.#options.store.open(entry);
  }

  settled(entry: FrameEntry, outcome: Outcome | undefined): void {
    if (!this.#kept.has(entry)) return;
    const { store } = this.#options;
    if (outcome === undefined) store.setAside(entry);
    else store.remove(entry);
    this.#kept.forget(entry);
    this.#wakeIfRoom();
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    const { reader } = this.#options;
    const isEnd = reader.isIdle?.() === true;
    if (isEnd) this.#options.splitter.end();
    this.#giveAll();
    this.#over ||= isEnd;
    this.#wake?.();
    this.#cancelTimer?.();
    this.#remarks.end();
    // Whoever writes the stream learns of it by a closed pipe.
    reader.cancel().catch(() => undefined);
  }

  /** Frames that are complete, whether there is room for them or not. */
  #giveAll(): void {
    const { splitter, clock } = this.#options;
    for (let split = splitter.next(clock.nowMs()); split !== undefined; split = splitter.next(clock.nowMs())) {
      this.#give(split);
    }
  }

  dispose(): void {
    this.stop();
    this.#options.store.close();
  }

  // ---- what comes in

  async #read(): Promise<void> {
    const { reader, splitter, onProblem, path } = this.#options;
    try {
      for (;;) {
        const { value } = await reader.read();
        this.#cancelTimer?.();
        await this.#taking;
        if (this.#stopped) return;
        if (value === undefined) break;
        this.#arrived(splitter, value);
        await this.#take();
      }
    } catch (error) {
      if (this.#stopped) return;
      onProblem({ source: this.name, path, reason: "unreadable", detail: `the stream ended: ${errorText(error)}` });
    }
    splitter.end();
    await this.#take();
    if (this.#stopped) return;
    this.#remarks.end();
    this.#sayEnd();
    this.#over = true;
    this.onReady?.();
  }

  #arrived(splitter: Splitter, piece: Uint8Array): void {
    const ms = this.#options.clock.nowMs();
    this.#times.arrived(ms, splitter.heldBytes === 0);
    splitter.push(piece, ms);
  }

  #sayEnd(): void {
    const { onProblem, path, endHint: hint } = this.#options;
    const about = { source: this.name, path };
    if (this.#frames === 0 && this.#kept.size === 0 && this.#between.missing === 0) {
      const formats = "the formats are those of --format; raw frames have to be asked for";
      onProblem({ ...about, reason: "empty", detail: "the stream ended without a frame", hint: hint ?? formats });
    } else if (hint !== undefined) {
      onProblem({ ...about, reason: "ended", detail: "its writer has closed the pipe", hint });
    }
  }

  /** Takes what the splitter has, and waits while there is no room for more. */
  async #take(): Promise<void> {
    const { splitter, whenFull, clock } = this.#options;
    let sinceMs = clock.nowMs();
    for (;;) {
      const split = this.#stopped ? undefined : splitter.next(clock.nowMs());
      if (split === undefined) break;
      this.#give(split);
      if (whenFull === "block") await this.#room();
      if (clock.nowMs() - sinceMs < sliceMs) continue;
      // The rest of the program has its turn, however much there is in the stream.
      await new Promise<void>((resolve) => void clock.after(0, resolve));
      sinceMs = clock.nowMs();
    }
    const { dueMs } = splitter;
    if (dueMs === undefined || this.#stopped) return;
    // Silence proves a length.
    this.#cancelTimer = clock.after(Math.max(0, dueMs - clock.nowMs()), () => {
      this.#taking = this.#take();
    });
  }

  async #room(): Promise<void> {
    while (this.#kept.full && !this.#stopped) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #give(split: Split): void {
    if (split.kind === "stretch") this.#stretch(split);
    else this.#add(split);
  }

  #add(frame: SplitFrame): void {
    const { pieces, bytes, extension, notes } = frame;
    const { names, store, whenFull } = this.#options;
    const times = this.#times.of(frame);
    const name = names.name(times.capturedNs, this.#frames++, extension);
    const entry: ListedFrame = { name, bytes, ...times, live: true, ...(notes === 0 ? {} : { notes }) };
    if (notes !== 0) this.#remarks.add("noted", bytes, () => `${describeNotes(notes)}: ${name}`);
    this.#options.onFrame?.(entry, pieces);
    try {
      // A full disk: older frames make room for newer ones.
      while (store.put(entry, pieces) === "full") {
        if (!this.#dropOldest(noSpace)) throw new SourceError("dropped", noSpace);
      }
      this.#kept.add(entry);
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      this.#between.add(this.#kept.added, { failure: "dropped", detail: error.message });
    }
    if (whenFull === "drop-oldest") while (this.#kept.full && this.#dropOldest(tooSlow));
    this.onReady?.();
  }

  #stretch({ of, loss, bytes, describe }: SplitStretch): void {
    if (!loss) return this.#remarks.add(of, bytes, describe);
    const detail = describe();
    const missing: Missing = { failure: of === "too-large" ? "refused" : "damaged", detail };
    this.#between.add(this.#kept.added, missing, { stretch: "loss", count: 1, bytes, text: detail });
    this.onReady?.();
  }

  #remark({ kind, count, bytes, detail, total }: Remark): void {
    const { onProblem, path } = this.#options;
    const about = { source: this.name, path };
    const isStretch = kind !== "noted" && kind !== "timeless";
    if (isStretch) {
      this.#between.add(this.#kept.added, undefined, { stretch: "information", count, bytes, text: detail });
      this.onReady?.();
    }
    const reason = isStretch ? "skipped" : "noted";
    if (total === 1) onProblem({ ...about, reason, detail: isStretch ? `${detail} (${bytes} bytes)` : detail });
    else if (count > 0)
      onProblem({ ...about, reason, detail: `${total} times by now, ${count} since the last: ${detail}` });
  }

  // ---- room

  /** Forgets the frame that has waited longest, unless it is the only one. */
  #dropOldest(why: string): boolean {
    const { oldest } = this.#kept;
    // The last one that is there would only make room for itself.
    if (oldest === undefined || (this.#kept.size === 1 && why === tooSlow)) return false;
    if (!this.#options.store.remove(oldest)) return false;
    const behind = this.#kept.passed;
    if (this.#kept.forgetOldest(oldest)) this.#between.add(behind, { failure: "dropped", detail: why });
    this.#wakeIfRoom();
    return true;
  }

  #wakeIfRoom(): void {
    if (this.#kept.full) return;
    this.#wake?.();
    this.#wake = undefined;
  }
}
