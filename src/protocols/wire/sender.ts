/**
 * The sender's engine: PROTOCOL.md from the side that has frames, without any I/O. The driver owns the loop:
 *
 *     connected -> { receive(bytes)  next() until "wait" or "flush" }* -> disconnected -> connected ...
 *
 * Each step tells the driver one thing to do (list entries, open a frame, fill a chunk) or one thing that happened.
 * Messages are encoded into `outbox`, file bytes are read straight behind their head, so a frame leaves in one write.
 * What is not settled survives a lost connection here; nothing else does.
 *
 * Invariant: the window holds what was sent of the frames that are open or sent; a frame is settled exactly once.
 */
import { Outbox } from "../../bytes/outbox.ts";
import { assert, ProtocolCode, ProtocolError, protocolCodeName, unreachable } from "../../errors.ts";
import type { FrameEntry, GapReason, HeardVerdict, SequenceNumber, StretchClass } from "../../frame.ts";
import { answerSaidMs, frameAttemptsMax, idleMs, outboxBytes, pingMs } from "../../limits.ts";
import { type FrameRecord, type LedgerSource, moveFrame, type SendingOrder, SourceLedger } from "../source-ledger.ts";
import { stateAfter } from "../moves.ts";
import { describeAnswer } from "../stranger.ts";
import { AnswerClock } from "./answer-clock.ts";
import { Feature, Kind, type KindName, kindName, magic, version, versionHighest, versionLowest } from "./constants.ts";
import { Liveness } from "./keepalive.ts";
import { MessageReader } from "./message-reader.ts";
import { MessageWriter } from "./message-writer.ts";
import { messageBytesMax, type Refuse, type Welcome } from "./messages.ts";
import { MessageParser } from "./parser.ts";
import { SendWindow } from "./send-window.ts";
import { type ScheduledSession, SendScheduler } from "./send-scheduler.ts";
import { type SenderStep, waitStep } from "./sender-steps.ts";
import { Settlement } from "./settlement.ts";
import { type SenderMove, senderMoves, type SenderState, senderTable } from "./states.ts";
import { Notices } from "./notices.ts";
import { OpenFrames } from "./open-frames.ts";

export interface SenderOptions {
  /** 32 hexadecimal digits, new for each run. */
  readonly session: string;
  readonly device: string;
  readonly agent: string;
  readonly sources: readonly LedgerSource[];
  /** Keys of the gateways that the frames came through. Absent: they are our own. */
  readonly via?: readonly string[];
  readonly order: SendingOrder;
  /**
   * Keep what is under way in the network short, so that a new frame arrives soon. Costs a little throughput where
   * the link is faster than the progress reports.
   */
  readonly prompt: boolean;
  /** The driver gives a digest with the last piece of each frame, if the receiver compares it. */
  readonly digest?: boolean;
  /** The driver compares what the receiver says it has. Absent: that is believed by name, size and capture time. */
  readonly compares?: boolean;
  /** Frames go to a receiver that keeps them, and to no other: what is acknowledged is removed here. */
  readonly needsKeeping?: boolean;
  /** Cap on the link, in bytes per millisecond. */
  readonly rateMax: number | undefined;
  readonly wallNs: () => bigint;
}

const nothing = new Uint8Array(0);

export class SenderSession implements ScheduledSession {
  readonly outbox: Outbox = new Outbox(outboxBytes);
  readonly ledgers: readonly SourceLedger[];
  /** Those whose bytes are on their way. */
  readonly frames: OpenFrames;
  state: SenderState = "closed";
  /** The receiver cannot store anything for now. */
  held = false;
  /** Both ends of this connection have proven a key. */
  keyed = false;
  /** The receiver of this connection keeps nothing, and that is not enough: nothing is sent, no answer believed. */
  withheld = false;

  readonly #options: SenderOptions;
  readonly #writer = new MessageWriter(this.outbox);
  readonly #reader = new MessageReader();
  #parser = new MessageParser();
  #liveness = new Liveness({ idleMs, pingMs, nowMs: 0 });
  readonly #answers = new AnswerClock();
  #connectedAtMs = 0;
  #tickedAtMs = 0;
  /** That progress does not come was said on this connection. */
  #unreportedTold = false;
  /** The largest frame that the receiver takes. */
  frameBytesMax: number = Number.POSITIVE_INFINITY;
  /** Bits of `Feature` that both ends use. */
  #features = 0;
  readonly #window: SendWindow;
  readonly #notices = new Notices();
  readonly #settlement: Settlement;
  readonly #scheduler: SendScheduler;
  #nowMs = 0;
  #failure: ProtocolError | undefined;
  /** Bytes have arrived that may not have been parsed. */
  #arrived = false;
  /** Something has arrived on this connection. */
  #answered = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.ledgers = options.sources.map((source, index) => new SourceLedger(index, source, options.order));
    this.#window = new SendWindow(options.rateMax);
    this.#settlement = new Settlement(this.#window, this.#notices);
    const parts = {
      ledgers: this.ledgers,
      outbox: this.outbox,
      writer: this.#writer,
      window: this.#window,
      answers: this.#answers,
      settlement: this.#settlement,
      notices: this.#notices,
    };
    this.frames = new OpenFrames(parts);
    this.#scheduler = new SendScheduler({ ...parts, session: this, order: options.order, frames: this.frames });
  }

  /**
   * A connection is there. Everything unsettled will be offered again. On one with keys nothing but HELLO is said
   * before WELCOME; with `proof` it asks to join, and for its name.
   */
  connected(nowMs: number, keys?: { readonly proof: Uint8Array }): void {
    this.move("connected");
    this.keyed = keys !== undefined;
    this.#parser = new MessageParser();
    this.#arrived = false;
    this.#answered = false;
    this.#liveness = new Liveness({ idleMs, pingMs, nowMs });
    this.#connectedAtMs = this.#tickedAtMs = nowMs;
    this.#answers.connected(nowMs);
    this.#unreportedTold = false;
    this.#window.connected();
    this.#features = 0;
    this.frames.digesting = false;
    this.withheld = false;
    this.#failure = undefined;
    this.outbox.clear();
    for (const ledger of this.ledgers) ledger.rewind();
    const { session, agent, wallNs } = this.#options;
    const features = this.#featuresAsked;
    const proof = keys?.proof ?? nothing;
    // Who joins does it for itself.
    const isJoin = proof.length > 0;
    const [device, via] = isJoin ? ["", []] : [this.#options.device, this.#options.via ?? []];
    this.#writer.hello({ features, session, clockNs: wallNs(), device, agent, proof, via });
  }

  /** Of this connection. */
  move(move: SenderMove): void {
    this.state = stateAfter(senderMoves, this.state, move);
  }

  /** A frame that could go on in its middle may always begin anew, so we understand the offer. */
  get #featuresAsked(): number {
    const { prompt, digest = false } = this.#options;
    return Feature.resume | (prompt ? Feature.progress : 0) | (digest ? Feature.digest : 0);
  }

  /** The connection is gone. Open frames must be closed by the driver. */
  disconnected(): void {
    this.move("gone");
    this.outbox.clear();
    for (const ledger of this.ledgers) {
      if (ledger.held) this.#notices.add({ type: "resumed", sourceIndex: ledger.index });
      ledger.rewind();
    }
    if (this.held) this.#notices.add({ type: "resumed", sourceIndex: undefined });
    this.held = false;
  }

  /** Takes ownership of `chunk`. */
  receive(chunk: Uint8Array, nowMs: number): void {
    this.#liveness.received(nowMs);
    const first = this.#answered ? magic : chunk[0];
    this.#answered ||= chunk.length > 0;
    // Said by the bytes themselves, before the parser looks for a header in them.
    if (first !== undefined && first !== magic) {
      this.#failure = new ProtocolError(ProtocolCode.malformed, describeAnswer(chunk), "stranger");
    }
    this.#parser.push(chunk);
    this.#arrived = true;
  }

  /** Unparsed bytes are at their limit: pause the link. */
  get full(): boolean {
    return this.#parser.full;
  }

  /** Finish what is in hand, then say BYE. Nothing new is begun but of `fleeting` sources, whose rest is sent. */
  stop(fleeting: readonly number[] = []): void {
    for (const sourceIndex of fleeting) this.#ledger(sourceIndex).fleeting = true;
    this.#scheduler.stopping = true;
  }

  /** What has been listed of a source and not been sent becomes a gap. */
  giveUp(sourceIndex: number, detail: string): void {
    this.#ledger(sourceIndex).giveUp(detail);
  }

  /** Frames handed to the network and not yet acknowledged, and frames listed behind them. */
  get unsettledFrames(): number {
    return this.ledgers.reduce((sum, ledger) => sum + ledger.listedFrames - ledger.settledFrames, 0);
  }

  /** Every source is at its end and settled, and all that was found in it is said. */
  get complete(): boolean {
    for (const { complete, stretches } of this.ledgers) if (!complete || stretches.next !== undefined) return false;
    return true;
  }

  get tickAtMs(): number {
    return Math.min(this.#liveness.tickAtMs, this.#scheduler.opensAtMs, this.#tickedAtMs + pingMs);
  }

  /** Time passes. Throws ProtocolError (timeout). */
  tick(nowMs: number): void {
    if (this.state === "closed") return;
    this.#tickedAtMs = nowMs;
    if (this.state === "greeting" && nowMs - this.#connectedAtMs >= idleMs) {
      throw new ProtocolError(ProtocolCode.timeout, `no welcome in ${idleMs / 1000} s`);
    }
    this.#liveness.check(nowMs);
    this.#checkAnswers(nowMs);
    if (!this.#liveness.pingDue(nowMs)) return;
    if (this.outbox.room >= messageBytesMax) {
      this.#writer.ping(this.#options.wallNs());
      this.#answers.pinged();
    }
    this.#liveness.sent(nowMs);
  }

  /** Called every `pingMs`, whatever the receiver says meanwhile. */
  #checkAnswers(nowMs: number): void {
    // A receiver that holds us has said why.
    const waits = this.held || this.withheld || this.ledgers.some(({ held }) => held);
    if (waits || !this.#owed) return this.#answers.moved(nowMs);
    if (this.#answers.check(nowMs)) {
      this.#notices.add({ type: "waiting", text: `the receiver has answered nothing for ${answerSaidMs / 1000} s` });
    }
    if (this.#unreportedTold || !this.#window.unreported(nowMs)) return;
    this.#unreportedTold = true;
    this.#notices.add({ type: "waiting", text: "the receiver does not report what arrives; sending on without" });
  }

  /** The receiver has something to answer. */
  get #owed(): boolean {
    if (this.state === "closing") return true;
    if (this.state !== "running") return false;
    return !this.#window.empty || this.#unansweredOffers || this.#unanswered;
  }

  get #unansweredOffers(): boolean {
    return this.ledgers.some(({ offers }) => offers.length > 0);
  }

  /** Of what may still wait for its answer when BYE is said. */
  get #unanswered(): boolean {
    return this.ledgers.some(({ sentGaps, ended }) => sentGaps > 0 || ended === "sent");
  }

  /** The socket took bytes. */
  sent(nowMs: number): void {
    this.#liveness.sent(nowMs);
  }

  /** The source may list again after it had nothing. */
  sourceReady(sourceIndex: number): void {
    this.#scheduler.sourceReady(sourceIndex);
  }

  /** The next thing to do. Throws ProtocolError when the peer breaks the protocol or refuses us. */
  next(nowMs: number): SenderStep {
    const notice = this.#notices.take();
    if (notice !== undefined) return notice;
    if (this.state === "closed") return waitStep;
    this.#nowMs = this.frames.nowMs = nowMs;
    this.#parse(nowMs);
    return this.#notices.take() ?? this.#scheduler.next(nowMs);
  }

  listed(sourceIndex: number, entry: FrameEntry, live: boolean, number?: SequenceNumber): void {
    this.#ledger(sourceIndex).list(entry, live, number);
  }

  /** Frames that cannot even be read: their numbers become a gap. */
  listedGap(
    sourceIndex: number,
    name: string,
    reason: GapReason,
    detail: string,
    count: number,
    first?: SequenceNumber,
  ): void {
    const ledger = this.#ledger(sourceIndex);
    const entry = { name, bytes: 0, capturedNs: 0n };
    for (let at = 0; at < count; at++) {
      const place = ledger.listedFrames;
      const record = ledger.list(entry, false, first === undefined ? undefined : first + at);
      ledger.turnIntoGap(place, record, reason, detail);
    }
  }

  /** Bytes in no frame, before the next one that is listed. */
  stretch(
    sourceIndex: number,
    found: StretchClass,
    count: number,
    bytes: number,
    text: string,
    number?: SequenceNumber,
  ): void {
    const ledger = this.#ledger(sourceIndex);
    ledger.stretches.add(number ?? ledger.listedFrames, found, count, bytes, text);
  }

  /** Nothing now, or nothing live; `sourceReady` will be called. */
  listedNothing(sourceIndex: number, liveOnly: boolean): void {
    this.#scheduler.listedNothing(sourceIndex, liveOnly);
  }

  listingDone(sourceIndex: number): void {
    this.#ledger(sourceIndex).listingDone = true;
  }

  /** The frame of the last `compare` step is the one that the receiver has, or has other bytes and will be sent. */
  compared(sourceIndex: number, place: number, isSame: boolean): void {
    const ledger = this.#ledger(sourceIndex);
    const record = ledger.record(place);
    assert(record?.held !== undefined, "a frame is compared after a compare step");
    if (isSame) this.#settlement.settle(ledger, place, record, record.held.outcome, record.held.crc32);
    else moveFrame(record, "differ");
  }

  // ---- what arrives

  #parse(nowMs: number): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#arrived) return;
    try {
      // An answer may have to be written for each message, so there must be room for it.
      while (this.outbox.room >= messageBytesMax) {
        if (this.#parser.next() === "more") {
          this.#liveness.inHead(this.#parser.inHead, nowMs);
          this.#arrived = false;
          return;
        }
        this.#liveness.inHead(false, nowMs);
        const { kind } = this.#parser;
        senderTable.check(this.state, kind);
        if (kind !== Kind.ping && kind !== Kind.pong) this.#answers.moved(nowMs);
        this.#handle(kindName(kind) as KindName, this.#parser.head);
        if (this.state === "closed") return;
      }
    } catch (error) {
      if (error instanceof ProtocolError) this.#failure = error;
      throw error;
    }
  }

  #handle(kind: KindName, head: Uint8Array): void {
    switch (kind) {
      case "welcome":
        return this.#handleWelcome(this.#reader.welcome(head));
      case "refuse": {
        this.move("refuse");
        throw refusal(this.#reader.refuse(head));
      }
      case "want":
        return this.#handleWant(head);
      case "ack":
        return this.#handleAck(head);
      case "reject":
        return this.#handleReject(head);
      case "hold": {
        const { sourceIndex, text } = this.#reader.hold(head);
        this.#setHeld(sourceIndex, true);
        return this.#notices.add({ type: "held", sourceIndex, text });
      }
      case "resume": {
        const sourceIndex = this.#reader.resume(head);
        if (this.#setHeld(sourceIndex, false)) this.#notices.add({ type: "resumed", sourceIndex });
        return;
      }
      case "ping":
        return this.#writer.pong({ echoNs: this.#reader.ping(head), clockNs: this.#options.wallNs() });
      case "pong":
        return this.#answers.ponged(this.#nowMs);
      case "notice": {
        const { notice, text } = this.#reader.notice(head);
        return this.#notices.add({ type: "notice", notice, text });
      }
      case "progress":
        return this.#window.arrived(this.#reader.progress(head), this.#nowMs);
      case "ended": {
        const { sourceIndex, account } = this.#reader.ended(head);
        const ledger = this.#ledgerOfPeer(sourceIndex);
        if (ledger.ended !== "sent")
          throw new ProtocolError(ProtocolCode.unexpected, `ENDED for source ${sourceIndex}`);
        ledger.ended = "confirmed";
        ledger.stretches.proven(Number.POSITIVE_INFINITY);
        ledger.disputedBy = account;
        return this.#notices.add({ type: "source-ended", sourceIndex });
      }
      case "farewell":
        if (this.#unanswered) throw new ProtocolError(ProtocolCode.unexpected, "FAREWELL before all was answered");
        this.move("farewell");
        return this.#notices.add({ type: "done" });
      case "hello":
      case "source":
      case "offer":
      case "frame":
      case "chunk":
      case "gap":
      case "stretch":
      case "end":
      case "bye":
        throw new ProtocolError(ProtocolCode.unexpected, `${kind.toUpperCase()} sent to a sender`);
      default:
        unreachable(kind);
    }
  }

  #handleWelcome(welcome: Welcome): void {
    this.#features = welcome.features & this.#featuresAsked;
    this.frames.digesting = (this.#features & Feature.digest) !== 0;
    this.#window.welcomed(welcome, (this.#features & Feature.progress) !== 0);
    this.move("welcome");
    const { agent, device, pins, keepsNothing, frameBytesMax } = welcome;
    this.frameBytesMax = frameBytesMax;
    this.withheld = keepsNothing && this.#options.needsKeeping === true;
    this.#notices.add({ type: "welcomed", agent, device, pins, keepsNothing });
  }

  /** One source, or all (undefined). Returns whether that was otherwise before. */
  #setHeld(sourceIndex: number | undefined, held: boolean): boolean {
    const holder = sourceIndex === undefined ? this : this.#ledgerOfPeer(sourceIndex);
    const before = holder.held;
    holder.held = held;
    return before !== held;
  }

  #handleWant(head: Uint8Array): void {
    const want = this.#reader.want(head);
    const ledger = this.#ledgerOfPeer(want.sourceIndex);
    const offer = ledger.offers.shift();
    if (offer === undefined || offer.first !== want.firstSequence || offer.count !== want.verdicts.length) {
      throw new ProtocolError(ProtocolCode.malformed, `WANT from ${want.firstSequence} answers no offer`);
    }
    if (this.withheld) return;
    let number = want.firstSequence;
    for (const verdict of want.verdicts) {
      const place = ledger.placeOf(number++);
      const record = ledger.record(place);
      if (record?.state === "offered") this.#judge(ledger, place, record, verdict);
    }
  }

  #judge(ledger: SourceLedger, place: number, record: FrameRecord, verdict: HeardVerdict): void {
    switch (verdict.kind) {
      case "want":
        moveFrame(record, "want");
        record.held = undefined;
        return;
      case "have":
      case "expired": {
        const outcome = verdict.kind === "have" ? verdict.outcome : "expired";
        if (this.#options.compares !== true)
          return this.#settlement.settle(ledger, place, record, outcome, verdict.crc32);
        record.held = { outcome, crc32: verdict.crc32 };
        moveFrame(record, "have");
        if (place < ledger.sendCursor) ledger.sendCursor = place;
        return;
      }
      case "unknown":
        return this.#settlement.settle(ledger, place, record, "unknown", undefined);
      case "continue":
        if ((this.#features & Feature.resume) === 0 || verdict.offset > record.entry.bytes) {
          throw new ProtocolError(ProtocolCode.malformed, `frame ${record.number} cannot go on at ${verdict.offset}`);
        }
        moveFrame(record, "want");
        record.held = undefined;
        record.partial = verdict;
        return;
      case "refuse":
        return this.#settlement.refuse(ledger, place, record, verdict.reason, "");
      default:
        unreachable(verdict);
    }
  }

  #handleAck(head: Uint8Array): void {
    const ack = this.#reader.ack(head);
    const ledger = this.#ledgerOfPeer(ack.sourceIndex);
    this.#window.arrived(ack.receivedBytes, this.#nowMs);
    for (const range of ack.ranges) {
      for (let at = 0; at < range.count; at++) {
        const number = range.firstSequence + at;
        const place = ledger.placeOf(number);
        const record = ledger.record(place);
        const isGap = range.outcome === "recorded";
        if (record?.state !== (isGap ? "gap-sent" : "sent") || ledger.open?.record === record) {
          throw new ProtocolError(
            ProtocolCode.unexpected,
            `ACK ${range.outcome} of frame ${number} of ${ledger.source}`,
          );
        }
        if (!isGap) this.#settlement.leaveWindow(ledger, record);
        this.#settlement.settle(ledger, place, record, range.outcome, record.crc32);
      }
      ledger.stretches.proven(range.firstSequence + range.count - 1);
    }
  }

  #handleReject(head: Uint8Array): void {
    const { sourceIndex, sequence: number, reason, again, text } = this.#reader.reject(head);
    const ledger = this.#ledgerOfPeer(sourceIndex);
    const place = ledger.placeOf(number);
    const record = ledger.record(place);
    // It crossed our word that the frame cannot be sent.
    if (record?.state === "gap" || record?.state === "gap-sent") return;
    if (record?.state !== "sent") {
      throw new ProtocolError(ProtocolCode.unexpected, `REJECT of frame ${number} of ${ledger.source}`);
    }
    this.#settlement.leaveWindow(ledger, record);
    if (ledger.open?.record === record) {
      ledger.open = undefined;
      this.#notices.add({ type: "close", sourceIndex });
    }
    if (reason === "checksum") record.damaged++;
    if (!again || record.damaged >= frameAttemptsMax) {
      this.#settlement.refuse(ledger, place, record, reason, text);
    } else if (ledger.sendAgain(place, record, this.#nowMs)) {
      this.#notices.add({ type: "held", sourceIndex, text: text === "" ? reason : text });
    }
  }

  // ---- what leaves

  #ledger(sourceIndex: number): SourceLedger {
    const ledger = this.ledgers[sourceIndex];
    assert(ledger !== undefined, "a source index of ours");
    return ledger;
  }

  #ledgerOfPeer(sourceIndex: number): SourceLedger {
    const ledger = this.ledgers[sourceIndex];
    if (ledger === undefined) throw new ProtocolError(ProtocolCode.malformed, `source ${sourceIndex} was never named`);
    return ledger;
  }
}

/** What a REFUSE means for us. */
function refusal(refuse: Refuse): ProtocolError {
  let { code, text } = refuse;
  if (code === ProtocolCode.version) {
    const { versionLowest: lowest, versionHighest: highest } = refuse;
    const spoken = lowest === highest ? `${lowest}` : `${lowest} to ${highest}`;
    // A receiver that speaks our version and refuses it was sent a damaged header: that is no reason to give up.
    if (lowest <= versionHighest && highest >= versionLowest) code = ProtocolCode.damaged;
    else if (highest >= versionLowest) text += ` (it speaks ${spoken})`;
    // One that is older than this one cannot know what would help.
    else text = `update the receiver to framepipe 0.2 or newer: it speaks version ${spoken}, the sender ${version}`;
  }
  return new ProtocolError(code, `${protocolCodeName(code)}: ${text}`, "refused");
}
