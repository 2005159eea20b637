/**
 * What one connection's session hands out, on its way into the sink: offers and frames, gaps, stretches and ends. What
 * the sink says of them goes back into the session, into the account, and to the user.
 *
 * A fault is met here by whose it is: of a frame, it is refused; of its source, that one is held; of the destination,
 * everybody waits, or this connection alone where only its frame finds no room. `take` throws what is to come again.
 */
import { assert, ProtocolCode, ProtocolError, SinkError, unreachable } from "../errors.ts";
import type { Gap, Origin, RefusalReason, SourceEnd, Stretch, Verdict } from "../frame.ts";
import { rowBytes } from "../limits.ts";
import type { Clock, FrameWriter, Settle, Sink, WatchFrame } from "../ports.ts";
import type { IncomingFrame, ReceivingEvent, ReceivingSession } from "../protocols/receiver-session.ts";
import { AnswerQueue, type Offer } from "./answer-queue.ts";
import type { CutFrames } from "./cut-frames.ts";
import type { FrameReports } from "./frame-reports.ts";
import type { KeyAccount } from "./key-account.ts";
import type { LoneHold } from "./lone-hold.ts";
import { type SourceHolds, sourceKey } from "./source-holds.ts";

type Event = Exclude<ReceivingEvent<FrameWriter>, { readonly type: "hello" | "bye" }>;
type Incoming = IncomingFrame<FrameWriter>;

export interface FrameIntakeOptions {
  readonly receiving: ReceivingSession<FrameWriter>;
  readonly sink: Sink;
  readonly clock: Clock;
  readonly frameBytesMax: number;
  readonly cutFrames: CutFrames;
  readonly sourceHolds: SourceHolds;
  readonly reports: FrameReports;
  readonly watchFrame: WatchFrame | undefined;
  /** Of the key that the peer has proven, if any. */
  readonly account: () => KeyAccount | undefined;
  /** A frame of this origin was stored. */
  readonly onStored: (origin: Origin) => void;
  readonly loneHold: LoneHold;
  /** The destination failed, and no event is kept that would meet it again. */
  readonly hold: (failure: SinkError) => void;
  /** Offers were answered that others wait behind. */
  readonly onAnswered: () => void;
  /** The conversation cannot go on. */
  readonly breakOff: (error: ProtocolError) => void;
}

export class FrameIntake {
  readonly #options: FrameIntakeOptions;
  readonly #receiving: ReceivingSession<FrameWriter>;
  readonly #reports: FrameReports;
  readonly #answers: AnswerQueue;
  /** Held sources of which the peer was told, by key: their numbers on this connection. */
  readonly #heldSources = new Map<string, number>();
  #stopped = false;
  /** Items staged in the sink and not yet reported. */
  stagedCount = 0;
  /** A source has ended: what is staged is not to wait for more. */
  ending = false;

  constructor(options: FrameIntakeOptions) {
    this.#options = options;
    const { receiving, reports, sink, clock, onAnswered, hold } = options;
    this.#receiving = receiving;
    this.#reports = reports;
    this.#answers = new AnswerQueue({
      sink,
      clock,
      answer: (offer, verdicts) => this.#answer(offer, verdicts),
      answered: onAnswered,
      failed: hold,
    });
  }

  /** No more offers can be taken for now. */
  get full(): boolean {
    return this.#answers.full;
  }

  /** Of its frames that have begun and not ended. */
  get openBytes(): number {
    let bytes = 0;
    for (const { frame, writer } of this.#receiving.openFrames()) if (writer !== undefined) bytes += frame.bytes;
    return bytes;
  }

  /** The frame that waits belongs to a source that is held. */
  waitsForSource(event: { readonly type: string; readonly incoming?: Incoming } | undefined): boolean {
    if (event?.type !== "frame" || event.incoming === undefined) return false;
    return this.#options.sourceHolds.reasonFor(event.incoming.frame.origin) !== undefined;
  }

  /** Throws SinkError when the event has to wait for the destination, or for its source. */
  take(event: Event): void {
    switch (event.type) {
      case "offer":
        this.#tellSourceHold(event.sourceIndex, event.origin);
        return this.#answers.take(event);
      case "frame":
        this.#open(event.incoming);
        this.#options.account()?.spend(rowBytes);
        return;
      case "payload":
        return this.#write(event.incoming, event.view);
      case "frame-end":
        return this.#finish(event.incoming, event.crc32);
      case "frame-lost":
        event.incoming.writer?.abort();
        event.incoming.writer = undefined;
        if (event.reason === "checksum") {
          this.#reports.rejected(event.incoming.frame, "checksum", "its bytes arrived damaged");
        }
        return;
      case "gap":
        return this.#gap(event.sourceIndex, event.gap);
      case "stretch":
        return this.#stretch(event.stretch);
      case "end":
        return this.#end(event.sourceIndex, event.end);
      default:
        unreachable(event);
    }
  }

  /** What could not be answered is asked again. */
  askAgain(): void {
    this.#answers.askAgain();
  }

  /** Frames of this source may be taken again. */
  releaseSource(key: string): void {
    const sourceIndex = this.#heldSources.get(key);
    this.#heldSources.delete(key);
    if (sourceIndex !== undefined && !this.#stopped) this.#receiving.resume(sourceIndex);
  }

  /** The connection is over. What had arrived of frames is kept for the next one, or given up. */
  stop(): void {
    this.#stopped = true;
    this.#answers.close();
    for (const incoming of this.#receiving.openFrames()) {
      const { frame, writer, receivedBytes: bytes, crc32 } = incoming;
      incoming.writer = undefined;
      if (writer === undefined) continue;
      if (crc32 === undefined || this.#receiving.resumes !== true) writer.abort();
      else this.#options.cutFrames.keep({ frame, writer, bytes, crc32 });
    }
  }

  // ---- offers

  #answer({ origin, entries, sourceIndex, firstSequence }: Offer, verdicts: readonly Verdict[]): void {
    for (const [index, verdict] of verdicts.entries()) {
      const entry = entries[index];
      if (entry === undefined) continue;
      if (verdict.kind === "have" || verdict.kind === "expired") {
        const outcome = verdict.kind === "have" ? verdict.outcome : "expired";
        this.#reports.present(origin, firstSequence + index, outcome, entry.bytes);
      } else if (verdict.kind === "refuse") {
        const frame = { ...entry, origin, sequence: firstSequence + index };
        this.#reports.rejected(frame, verdict.reason, this.#reports.refusalText(frame, verdict.reason));
      }
    }
    if (this.#receiving.resumes !== true) return this.#receiving.answer(sourceIndex, firstSequence, verdicts);
    const answers = verdicts.map((verdict, index) => {
      const entry = entries[index];
      if (verdict.kind !== "want" || entry === undefined) return verdict;
      const cut = this.#options.cutFrames.find(origin, firstSequence + index, entry);
      return cut === undefined ? verdict : ({ kind: "continue", offset: cut.bytes, crc32: cut.crc32 } as const);
    });
    this.#receiving.answer(sourceIndex, firstSequence, answers);
  }

  // ---- frames

  #open(incoming: Incoming): void {
    const { sink, frameBytesMax, cutFrames, loneHold } = this.#options;
    const receiving = this.#receiving;
    // A frame that will be refused anyway must not make everybody wait for the space it claims.
    const notReady = incoming.frame.bytes <= frameBytesMax ? sink.ready(incoming.frame.bytes) : undefined;
    if (notReady !== undefined) {
      if (notReady.retryable && sink.ready(0) === undefined) loneHold.begin(notReady);
      throw notReady;
    }
    if (this.#options.account()?.mayBegin(incoming.frame.bytes) === false) {
      return receiving.reject(incoming, "storage", "too many large frames of this device are in progress", true);
    }
    // Also where it begins at 0: then what there was of it is not needed.
    const cut = cutFrames.take(incoming.frame, incoming.offset);
    if (cut !== undefined) {
      cut.writer.goOn(incoming.frame);
      incoming.writer = cut.writer;
      return;
    }
    if (incoming.offset > 0) return receiving.reject(incoming, "storage", "what was here of it is gone", true);
    loneHold.requireQuota(incoming.frame.bytes);
    let writer: FrameWriter | RefusalReason;
    try {
      writer = sink.open(incoming.frame);
    } catch (error) {
      if (!(error instanceof SinkError) || error.scope === "destination") throw error;
      // What cannot be told that its source is held waits with its frame.
      const waits = error.scope === "source" && receiving.holdsSources !== true;
      if (waits && this.#options.sourceHolds.hold(incoming.frame, error)) throw error;
      return this.#rejectFor(incoming, error);
    }
    if (typeof writer === "string") return this.#refuse(incoming, writer);
    const { watchFrame } = this.#options;
    incoming.writer = watchFrame === undefined ? writer : watchFrame(incoming.frame, writer);
  }

  #write(incoming: Incoming, view: Uint8Array): void {
    this.#reports.received(incoming.frame.origin, view.length);
    this.#options.account()?.spend(view.length);
    try {
      incoming.writer?.write(view);
    } catch (error) {
      this.#fail(incoming, error);
    }
  }

  #finish(incoming: Incoming, crc32: number): void {
    try {
      incoming.writer?.finish(crc32, this.#settle(incoming));
      this.stagedCount++;
    } catch (error) {
      this.#fail(incoming, error);
    }
  }

  #settle(incoming: Incoming): Settle {
    return (result) => {
      this.stagedCount--;
      const { frame, sourceIndex } = incoming;
      assert(typeof result === "string" || result instanceof SinkError, "only ends have totals");
      if (result instanceof SinkError) return this.#rejectFor(incoming, result);
      switch (result) {
        case "stored":
        case "conflict":
          this.#options.onStored(frame.origin);
          this.#reports.stored(frame, result);
          break;
        case "duplicate":
        case "expired":
          this.#reports.present(frame.origin, frame.sequence, result);
          break;
        case "recorded":
          break;
        default:
          return this.#refuse(incoming, result);
      }
      if (!this.#stopped) this.#receiving.settle(sourceIndex, frame.sequence, result);
    };
  }

  /** It cannot be stored, now or later, as it is. */
  #refuse(incoming: Incoming, reason: RefusalReason): void {
    const detail = this.#reports.refusalText(incoming.frame, reason);
    if (!this.#stopped) this.#receiving.reject(incoming, reason, detail, false);
    this.#reports.rejected(incoming.frame, reason, detail);
  }

  /** A write failed in the middle: where that is no fault of the frame, everybody waits, and it is sent again. */
  #fail(incoming: Incoming, error: unknown): void {
    if (!(error instanceof SinkError)) throw error;
    if (error.scope !== "destination") return this.#rejectFor(incoming, error);
    incoming.writer?.abort();
    incoming.writer = undefined;
    this.#receiving.reject(incoming, "storage", error.message, true);
    this.#options.hold(error);
  }

  /** A frame could not be stored, for a fault of its own or of its source: others are. */
  #rejectFor(incoming: Incoming, fault: SinkError): void {
    const { frame, sourceIndex } = incoming;
    incoming.writer?.abort();
    incoming.writer = undefined;
    // Only a fault of its own is the last word on a frame: a destination that is gone for good is not.
    const isLast = fault.scope === "frame" && !fault.retryable;
    if (!this.#stopped) this.#receiving.reject(incoming, "storage", fault.message, !isLast);
    if (fault.scope === "source") {
      this.#options.sourceHolds.hold(frame, fault);
      this.#tellSourceHold(sourceIndex, frame.origin);
    } else if (isLast) this.#reports.rejected(frame, "storage", fault.message);
  }

  /** Once, when the hold is met: what is on its way of the source is rejected one by one. */
  #tellSourceHold(sourceIndex: number, origin: Origin): void {
    const reason = this.#options.sourceHolds.reasonFor(origin);
    if (reason === undefined || this.#stopped) return;
    const key = sourceKey(origin);
    if (this.#heldSources.has(key)) return;
    this.#heldSources.set(key, sourceIndex);
    this.#receiving.hold(reason.message, sourceIndex);
  }

  // ---- what is recorded

  #gap(sourceIndex: number, gap: Gap): void {
    const { sink, loneHold, cutFrames } = this.#options;
    loneHold.requireQuota(0);
    this.#options.account()?.spendRow();
    cutFrames.drop(gap.origin, gap.firstSequence);
    sink.gap(gap, (result) => {
      this.stagedCount--;
      if (result !== "recorded") return this.#options.breakOff(storageFailed);
      this.#reports.gap(gap);
      this.#receiving.settle(sourceIndex, gap.firstSequence, result, gap.count);
    });
    this.stagedCount++;
  }

  #stretch(stretch: Stretch): void {
    this.#options.account()?.spendRow();
    this.#reports.stretch(stretch);
    this.#options.sink.stretch(stretch, (result) => {
      this.stagedCount--;
      // It has no answer: what comes behind it must not get one either.
      if (result !== "recorded") this.#options.breakOff(storageFailed);
    });
    this.stagedCount++;
  }

  #end(sourceIndex: number, end: SourceEnd): void {
    // Also of what an earlier connection of the session was told.
    if (end.totals.refused + end.totals.skipped > 0) this.#reports.incomplete = true;
    this.#options.sink.end(end, (result) => {
      this.stagedCount--;
      const account = typeof result === "object" && !(result instanceof SinkError) ? result : undefined;
      if (result !== "recorded" && account === undefined) return this.#options.breakOff(storageFailed);
      this.#reports.ended(end, account);
      this.#receiving.confirmEnd(sourceIndex, account);
    });
    this.stagedCount++;
    this.ending = true;
  }
}

/** A gap or an end could not be recorded: the sender says it again on its next connection. */
const storageFailed = new ProtocolError(ProtocolCode.stopping, "the destination failed; say it again");
