/**
 * What leaves next: names of sources, offers, frames, gaps, ends, BYE. It decides by the ledgers and the window, and
 * touches no bytes of frames.
 */
import type { Outbox } from "../../bytes/outbox.ts";
import { assert } from "../../errors.ts";
import type { FrameEntry } from "../../frame.ts";
import { aheadFramesMax, offerEntriesMax, proveBytes } from "../../limits.ts";
import { type FrameRecord, moveFrame, type SendingOrder, type SourceLedger } from "../source-ledger.ts";
import type { AnswerClock } from "./answer-clock.ts";
import type { MessageWriter } from "./message-writer.ts";
import { fullMessageBytes } from "./messages.ts";
import type { OpenFrames } from "./open-frames.ts";
import type { SendWindow } from "./send-window.ts";
import { flushStep, type SenderStep, waitStep } from "./sender-steps.ts";
import type { SenderMove, SenderState } from "./states.ts";

/** How many entries one `list` step asks for; the first ones ask for less, so that the first answer comes soon. */
const listFrames = 256;
const listFramesFirst = 32;
/** Offered frames ahead of the one being sent, below which listing goes before sending. */
const aheadFramesLow = 256;

/** Something was encoded that the driver need not know of: look again. */
const lookAgain = "again";

/** What it goes by of the session, which may end by it. */
export interface ScheduledSession {
  readonly state: SenderState;
  /** The receiver cannot store anything for now. */
  readonly held: boolean;
  /** Both ends of this connection have proven a key. */
  readonly keyed: boolean;
  /** The receiver keeps nothing, and that is not enough. */
  readonly withheld: boolean;
  /** Every source is at its end and settled, and all that was found in it is said. */
  readonly complete: boolean;
  /** Of the states of a connection: `bye`, when that is said. */
  move(move: SenderMove): void;
}

export interface SendSchedulerOptions {
  readonly session: ScheduledSession;
  readonly ledgers: readonly SourceLedger[];
  readonly order: SendingOrder;
  readonly outbox: Outbox;
  readonly writer: MessageWriter;
  readonly window: SendWindow;
  readonly answers: AnswerClock;
  readonly frames: OpenFrames;
}

export class SendScheduler {
  readonly #session: ScheduledSession;
  readonly #ledgers: readonly SourceLedger[];
  readonly #order: SendingOrder;
  readonly #outbox: Outbox;
  readonly #writer: MessageWriter;
  readonly #window: SendWindow;
  readonly #answers: AnswerClock;
  readonly #frames: OpenFrames;
  /** When the window opens by itself; infinite if it is open or waits for the receiver. */
  #windowOpensAtMs = Number.POSITIVE_INFINITY;
  /** When the first source that pauses goes on. */
  #sourceOpensAtMs = Number.POSITIVE_INFINITY;
  #nowMs = 0;
  /** The source whose turn it is. */
  #turn = 0;
  /** Sources whose listing has nothing now, and those that have nothing live. */
  readonly #quiet = new Set<number>();
  readonly #quietLive = new Set<number>();
  /** What is in hand is finished, and nothing new is begun but of fleeting sources. */
  stopping = false;

  constructor({ session, ledgers, order, outbox, writer, window, answers, frames }: SendSchedulerOptions) {
    this.#session = session;
    this.#ledgers = ledgers;
    this.#order = order;
    this.#outbox = outbox;
    this.#writer = writer;
    this.#window = window;
    this.#answers = answers;
    this.#frames = frames;
  }

  /** When to look again though nothing arrives. */
  get opensAtMs(): number {
    return Math.min(this.#windowOpensAtMs, this.#sourceOpensAtMs);
  }

  /** The source may list again after it had nothing. */
  sourceReady(sourceIndex: number): void {
    this.#quiet.delete(sourceIndex);
    this.#quietLive.delete(sourceIndex);
  }

  /** The source has nothing now, or nothing live. */
  listedNothing(sourceIndex: number, liveOnly: boolean): void {
    (liveOnly ? this.#quietLive : this.#quiet).add(sourceIndex);
  }

  /** The next thing to do. Encodes by itself what needs nobody: sources, offers, gaps, ends, BYE. */
  next(nowMs: number): SenderStep {
    const session = this.#session;
    this.#nowMs = nowMs;
    if (session.withheld) {
      if (this.stopping && session.state === "running") this.#endStep();
      return waitStep;
    }
    // Names are for nobody who has not admitted us.
    if (session.keyed && session.state === "greeting") return waitStep;
    // Sources and offers do not wait for the WELCOME, which saves a round trip; frames do, for its limits.
    while (session.state === "running" || session.state === "greeting") {
      const openAtMs = this.#window.openAtMs(this.#outbox.committedBytes, this.#nowMs);
      this.#windowOpensAtMs = openAtMs > this.#nowMs ? openAtMs : Number.POSITIVE_INFINITY;
      // Only the rate has a time; without room in the network offers may go, they are small.
      const paced = openAtMs > this.#nowMs;
      const offersToo = !paced || openAtMs === Number.POSITIVE_INFINITY;
      // Enough for any head, and what is left of it is enough to answer pings while the socket takes nothing.
      if (this.#outbox.room < 2 * fullMessageBytes) return flushStep;
      const step =
        this.#declareStep() ??
        (offersToo ? this.#offerStep(aheadFramesLow, session.state === "greeting") : undefined) ??
        (session.state === "running" && !paced ? this.#frameStep() : undefined) ??
        (offersToo && this.#order === "oldest" ? this.#offerStep(aheadFramesMax, true) : undefined) ??
        (session.state === "running" ? this.#endStep() : undefined) ??
        waitStep;
      if (step !== lookAgain) return step;
    }
    return waitStep;
  }

  /** Names the next source that this connection does not know. */
  #declareStep(): typeof lookAgain | undefined {
    for (const ledger of this.#ledgers) {
      if (ledger.declared) continue;
      this.#writer.source({ sourceIndex: ledger.index, name: ledger.source });
      ledger.declared = true;
      return lookAgain;
    }
    return undefined;
  }

  /** Lists and offers, until `aheadFrames` are offered ahead of the one being sent. */
  #offerStep(aheadFrames: number, idle: boolean): SenderStep | typeof lookAgain | undefined {
    const newest = this.#order === "newest";
    for (const ledger of this.#ledgers) {
      if (this.stopping && !ledger.fleeting) continue;
      if (ledger.offerCursor - ledger.sendCursor >= aheadFrames) {
        const step = newest ? this.#listStep(ledger, true, idle) : undefined;
        if (step !== undefined) return step;
        continue;
      }
      const entries = ledger.nextOffer(offerEntriesMax);
      if (entries.length > 0) {
        this.#offer(ledger, entries);
        return lookAgain;
      }
      const step = this.#listStep(ledger, false, idle);
      if (step !== undefined) return step;
    }
    return undefined;
  }

  /** With the newest first, what is new is listed whatever waits before it. */
  #listStep(ledger: SourceLedger, liveOnly: boolean, idle: boolean): SenderStep | undefined {
    // What is listed must be offered whatever its number, or a lost connection would leave it lying.
    if (ledger.listingDone || ledger.spanFrames > aheadFramesMax) return undefined;
    if ((liveOnly ? this.#quietLive : this.#quiet).has(ledger.index)) return undefined;
    const max = Math.min(listFrames, Math.max(listFramesFirst, ledger.listedFrames));
    return { type: "list", sourceIndex: ledger.index, max, liveOnly, idle };
  }

  #offer(ledger: SourceLedger, entries: readonly FrameEntry[]): void {
    const first = ledger.offerCursor;
    const number = ledger.record(first)?.number ?? first;
    const count = this.#writer.offer(ledger.index, number, entries);
    ledger.offers.push({ first: number, count });
    this.#answers.wrote(this.#nowMs);
    ledger.offerCursor = first + count;
    for (let place = first; place < first + count; place++) {
      const record = ledger.record(place);
      assert(record !== undefined, "an offered frame is in the span");
      moveFrame(record, "offer");
    }
  }

  /** One message of the source whose turn it is: a piece of its open frame, its next frame, or a gap. */
  #frameStep(): SenderStep | typeof lookAgain | undefined {
    const count = this.#ledgers.length;
    this.#sourceOpensAtMs = Number.POSITIVE_INFINITY;
    for (let tried = 0; tried < count; tried++) {
      const ledger = this.#ledgers[this.#turn % count] as SourceLedger;
      this.#turn = (this.#turn + 1) % count;
      if (this.#session.held || ledger.held) continue;
      const stretch = ledger.stretches.next;
      if (stretch !== undefined) {
        stretch.sent = true;
        this.#writer.stretch({ sourceIndex: ledger.index, ...stretch });
        return lookAgain;
      }
      if (ledger.open?.proving !== undefined) {
        const bytes = Math.min(proveBytes, ledger.open.proving.offset - ledger.open.sentBytes);
        return { type: "prove", sourceIndex: ledger.index, bytes };
      }
      if (ledger.open !== undefined) {
        const bytes = this.#frames.pieceBytes(ledger.open);
        if (bytes === undefined) return this.#keepTurn(flushStep);
        return { type: "chunk", sourceIndex: ledger.index, bytes };
      }
      if (this.stopping && !ledger.fleeting) continue;
      const next = ledger.nextToSend();
      if (next === undefined) continue;
      if (next.record.state === "gap") {
        this.#sendGap(ledger, next.place, next.record);
        return lookAgain;
      }
      if (next.record.state === "doubted") {
        const { place, record } = next;
        assert(record.held !== undefined, "a doubted frame is held by the receiver");
        return { type: "compare", sourceIndex: ledger.index, place, entry: record.entry, crc32: record.held.crc32 };
      }
      if (!this.#window.mayBegin) continue;
      if (!ledger.mayBegin(this.#nowMs)) {
        const atMs = ledger.pausedUntilMs;
        if (atMs > this.#nowMs) this.#sourceOpensAtMs = Math.min(this.#sourceOpensAtMs, atMs);
        continue;
      }
      return { type: "open", sourceIndex: ledger.index, entry: next.record.entry };
    }
    return undefined;
  }

  #keepTurn(step: SenderStep): SenderStep {
    this.#turn = (this.#turn + this.#ledgers.length - 1) % this.#ledgers.length;
    return step;
  }

  #sendGap(ledger: SourceLedger, place: number, record: FrameRecord): void {
    assert(record.gapReason !== undefined, "a gap has a reason");
    const { entry, gapReason: reason, gapDetail } = record;
    const isOther = record.held !== undefined;
    const name = isOther ? "" : entry.name;
    const detail = isOther ? `${entry.name}: not what is stored under this name, and lost: ${gapDetail}` : gapDetail;
    const count = ledger.gapSent(place, record);
    this.#answers.wrote(this.#nowMs);
    this.#writer.gap({ sourceIndex: ledger.index, reason, firstSequence: record.number, count, name, detail });
  }

  /** When stopping, a source may stay unfinished, but the frame in hand is finished, and what would be lost is sent. */
  #hasInHand(ledger: SourceLedger): boolean {
    if (ledger.open !== undefined) return true;
    return ledger.fleeting && (ledger.spanFrames > 0 || !this.#quiet.has(ledger.index));
  }

  #endStep(): undefined {
    let open = false;
    for (const ledger of this.#ledgers) {
      if (ledger.complete && ledger.ended === "no" && ledger.stretches.next === undefined) {
        this.#writer.end({ sourceIndex: ledger.index, totals: ledger.totals() });
        ledger.ended = "sent";
        this.#answers.wrote(this.#nowMs);
      }
      if (ledger.ended === "no" && (!this.stopping || this.#hasInHand(ledger))) open = true;
    }
    const session = this.#session;
    if (open || !this.#window.empty) return;
    this.#writer.bye(!session.complete);
    session.move("bye");
    this.#answers.wrote(this.#nowMs);
  }
}
