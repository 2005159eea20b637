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
import { crc32 } from "../../bytes/checksum.ts";
import { Outbox } from "../../bytes/outbox.ts";
import { assert, ProtocolCode, ProtocolError, protocolCodeName, unreachable } from "../../errors.ts";
import type {
  FrameEntry,
  GapReason,
  HeardOutcome,
  HeardVerdict,
  Metadata,
  Notice,
  RefusalReason,
  StretchClass,
} from "../../frame.ts";
import {
  aheadFramesMax,
  answerSaidMs,
  frameAttemptsMax,
  idleMs,
  offerEntriesMax,
  outboxBytes,
  pingMs,
  proveBytes,
} from "../../limits.ts";
import { type FrameRecord, type OpenFrame, type SendingOrder, SourceLedger } from "../source-ledger.ts";
import { describeAnswer } from "../stranger.ts";
import { AnswerClock } from "./answer-clock.ts";
import { Feature, Kind, type KindName, kindName, magic, version, versionHighest, versionLowest } from "./constants.ts";
import { Liveness } from "./keepalive.ts";
import { MessageReader } from "./message-reader.ts";
import { MessageWriter } from "./message-writer.ts";
import { fullMessageBytes, messageBytesMax, type Refuse, type Welcome } from "./messages.ts";
import { MessageParser } from "./parser.ts";
import { SendWindow } from "./send-window.ts";
import { type SenderState, senderTable } from "./states.ts";

/** How many entries one `list` step asks for; the first ones ask for less, so that the first answer comes soon. */
const listFrames = 256;
const listFramesFirst = 32;
/** Offered frames ahead of the one being sent, below which listing goes before sending. */
const aheadFramesLow = 256;

export type SenderStep =
  /**
   * Ask the source for up to `max` entries; call `listed`, `listedNothing` or `listingDone`. `idle`: there is nothing
   * to send before it; empty the outbox first and look for answers after it.
   */
  | {
      readonly type: "list";
      readonly sourceIndex: number;
      readonly max: number;
      readonly liveOnly: boolean;
      readonly idle: boolean;
    }
  /**
   * The receiver has a frame of this name, size and time: call `compared` with whether it is the same one. The step
   * comes again until then.
   */
  | {
      readonly type: "compare";
      readonly sourceIndex: number;
      readonly sequence: number;
      readonly entry: FrameEntry;
      readonly crc32: number;
    }
  /** Open the frame; call `openFrame` with its size, and go on as it says, or `skipFrame`. */
  | { readonly type: "open"; readonly sourceIndex: number; readonly entry: FrameEntry }
  /** Get `chunkView`, fill all of it from the open frame, call `commitChunk`; or `skipFrame`. */
  | { readonly type: "chunk"; readonly sourceIndex: number; readonly bytes: number }
  /** Read so many bytes of the open frame, which the receiver may have, and call `proved`; or `skipFrame`. */
  | { readonly type: "prove"; readonly sourceIndex: number; readonly bytes: number }
  /** The connection before this one brought a frame further, though nothing may have been settled on it. */
  | { readonly type: "going-on" }
  /** Close the open frame of this source: the receiver does not want its rest. */
  | { readonly type: "close"; readonly sourceIndex: number }
  /** The outbox must be emptied before anything else can be encoded. */
  | { readonly type: "flush" }
  /** Nothing to do until bytes arrive, a source is ready, or `tickAtMs`. */
  | { readonly type: "wait" }
  /** FAREWELL has come: everything is said. */
  | { readonly type: "done" }
  /** `device`: what the receiver calls us. `keepsNothing`: its acks do not mean that anything is stored. */
  | {
      readonly type: "welcomed";
      readonly agent: string;
      readonly device: string;
      /** The receiver's keys as it says, the present one first. */
      readonly pins: readonly string[];
      readonly keepsNothing: boolean;
    }
  /** `outcome` undefined: it is a gap, recorded at the receiver. */
  | {
      readonly type: "settled";
      readonly sourceIndex: number;
      readonly entry: FrameEntry;
      readonly outcome: HeardOutcome | undefined;
      readonly crc32: number | undefined;
    }
  | {
      readonly type: "refused";
      readonly sourceIndex: number;
      readonly entry: FrameEntry;
      readonly reason: RefusalReason;
      readonly text: string;
    }
  /** The receiver does not do what it owes us, for a person; we wait, or go on without. */
  | { readonly type: "waiting"; readonly text: string }
  /** For our user; nothing else follows from it. */
  | { readonly type: "notice"; readonly notice: Notice; readonly text: string }
  /** `sourceIndex` undefined: all sources. */
  | { readonly type: "held"; readonly sourceIndex: number | undefined; readonly text: string }
  | { readonly type: "resumed"; readonly sourceIndex: number | undefined }
  | { readonly type: "source-ended"; readonly sourceIndex: number };

export interface SenderOptions {
  /** 32 hexadecimal digits, new for each run. */
  readonly session: string;
  readonly device: string;
  readonly agent: string;
  readonly sources: readonly { readonly name: string }[];
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
const waitStep: SenderStep = { type: "wait" };
const flushStep: SenderStep = { type: "flush" };
/** Something was encoded that the driver need not know of: look again. */
const lookAgain = "again";

export class SenderSession {
  readonly outbox: Outbox = new Outbox(outboxBytes);
  readonly ledgers: readonly SourceLedger[];
  state: SenderState = "closed";
  /** The receiver cannot store anything for now. */
  held = false;

  readonly #options: SenderOptions;
  readonly #writer = new MessageWriter(this.outbox);
  readonly #reader = new MessageReader();
  #parser = new MessageParser();
  #liveness = new Liveness({ idleMs, pingMs, nowMs: 0 });
  #answers = new AnswerClock(0);
  #connectedAtMs = 0;
  /** Both ends of this connection have proven a key. */
  #keyed = false;
  /** The receiver of this connection keeps nothing, and that is not enough: nothing is sent, no answer believed. */
  #withheld = false;
  /** That progress does not come was said on this connection. */
  #unreportedTold = false;
  /** The largest frame that the receiver takes. */
  frameBytesMax: number = Number.POSITIVE_INFINITY;
  /** Bits of `Feature` that both ends use. */
  #features = 0;
  /** Offers without an answer, oldest first, per source: first sequence number and count. */
  #offers: { first: number; count: number }[][] = [];
  readonly #window: SendWindow;
  /** When the window opens by itself; infinite if it is open or waits for the receiver. */
  #opensAtMs = Number.POSITIVE_INFINITY;
  /** When the first source that pauses goes on. */
  #sourceOpensAtMs = Number.POSITIVE_INFINITY;
  #nowMs = 0;
  /** The source whose turn it is. */
  #turn = 0;
  /** Sources whose listing has nothing now, and those that have nothing live. */
  readonly #quiet = new Set<number>();
  readonly #quietLive = new Set<number>();
  #notices: SenderStep[] = [];
  #noticeAt = 0;
  #chunkAt = 0;
  #stopping = false;
  #failure: ProtocolError | undefined;
  /** Bytes have arrived that may not have been parsed. */
  #arrived = false;
  /** Something has arrived on this connection. */
  #answered = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.ledgers = options.sources.map(({ name }, index) => new SourceLedger(index, name, options.order));
    this.#window = new SendWindow(options.rateMax);
  }

  /**
   * A connection is there. Everything unsettled will be offered again. On one with keys nothing but HELLO is said
   * before WELCOME; with `proof` it asks to join, and for its name.
   */
  connected(nowMs: number, keys?: { readonly proof: Uint8Array }): void {
    assert(this.state === "closed", "connected once per connection");
    this.state = "greeting";
    this.#keyed = keys !== undefined;
    this.#parser = new MessageParser();
    this.#arrived = false;
    this.#answered = false;
    this.#liveness = new Liveness({ idleMs, pingMs, nowMs });
    this.#connectedAtMs = nowMs;
    this.#answers = new AnswerClock(nowMs);
    this.#unreportedTold = false;
    this.#offers = this.ledgers.map(() => []);
    this.#window.connected();
    this.#features = 0;
    this.#withheld = false;
    this.#failure = undefined;
    this.outbox.clear();
    for (const ledger of this.ledgers) ledger.rewind();
    const { session, agent, wallNs } = this.#options;
    const features = this.#featuresAsked;
    const proof = keys?.proof ?? nothing;
    const device = proof.length > 0 ? "" : this.#options.device;
    this.#writer.hello({ features, session, clockNs: wallNs(), device, agent, proof, via: [] });
  }

  /** A frame that could go on in its middle may always begin anew, so we understand the offer. */
  get #featuresAsked(): number {
    const { prompt, digest = false } = this.#options;
    return Feature.resume | (prompt ? Feature.progress : 0) | (digest ? Feature.digest : 0);
  }

  /** The connection is gone. Open frames must be closed by the driver. */
  disconnected(): void {
    this.state = "closed";
    this.outbox.clear();
    for (const ledger of this.ledgers) {
      if (ledger.held) this.#notice({ type: "resumed", sourceIndex: ledger.index });
      ledger.rewind();
    }
    if (this.held) this.#notice({ type: "resumed", sourceIndex: undefined });
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

  /** Finish what is in hand, then say BYE. Nothing new is begun. */
  stop(): void {
    this.#stopping = true;
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
    return Math.min(this.#liveness.tickAtMs, this.#opensAtMs, this.#sourceOpensAtMs);
  }

  /** Time passes. Throws ProtocolError (timeout). */
  tick(nowMs: number): void {
    if (this.state === "closed") return;
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

  /** Called at each ping at least, which is often enough for times of minutes. */
  #checkAnswers(nowMs: number): void {
    // A receiver that holds us has said why.
    const waits = this.held || this.#withheld || this.ledgers.some(({ held }) => held);
    if (waits || !this.#owed) return this.#answers.moved(nowMs);
    if (this.#answers.check(nowMs)) {
      this.#notice({ type: "waiting", text: `the receiver has answered nothing for ${answerSaidMs / 1000} s` });
    }
    if (this.#unreportedTold || !this.#window.unreported(nowMs)) return;
    this.#unreportedTold = true;
    this.#notice({ type: "waiting", text: "the receiver does not report what arrives; sending on without" });
  }

  /** The receiver has something to answer. */
  get #owed(): boolean {
    if (this.state === "closing") return true;
    if (this.state !== "running") return false;
    return !this.#window.empty || this.#offers.some((offers) => offers.length > 0) || this.#unanswered;
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
    this.#quiet.delete(sourceIndex);
    this.#quietLive.delete(sourceIndex);
  }

  /** The next thing to do. Throws ProtocolError when the peer breaks the protocol or refuses us. */
  next(nowMs: number): SenderStep {
    const notice = this.#takeNotice();
    if (notice !== undefined) return notice;
    if (this.state === "closed") return waitStep;
    this.#nowMs = nowMs;
    this.#parse(nowMs);
    return this.#takeNotice() ?? this.#advance();
  }

  listed(sourceIndex: number, entry: FrameEntry, live: boolean): void {
    this.#ledger(sourceIndex).list(entry, live);
  }

  /** Frames that cannot even be read: their numbers become a gap. */
  listedGap(sourceIndex: number, name: string, reason: GapReason, detail: string, count: number): void {
    const ledger = this.#ledger(sourceIndex);
    const entry = { name, bytes: 0, capturedNs: 0n };
    for (let at = 0; at < count; at++) {
      const sequence = ledger.listedFrames;
      ledger.turnIntoGap(sequence, ledger.list(entry, false), reason, detail);
    }
  }

  /** Bytes in no frame, before the next one that is listed. */
  stretch(sourceIndex: number, found: StretchClass, count: number, bytes: number, text: string): void {
    const ledger = this.#ledger(sourceIndex);
    ledger.stretches.add(ledger.listedFrames, found, count, bytes, text);
  }

  /** Nothing now, or nothing live; `sourceReady` will be called. */
  listedNothing(sourceIndex: number, liveOnly: boolean): void {
    (liveOnly ? this.#quietLive : this.#quiet).add(sourceIndex);
  }

  listingDone(sourceIndex: number): void {
    this.#ledger(sourceIndex).listingDone = true;
  }

  /** The frame of the last `compare` step is the one that the receiver has, or has other bytes and will be sent. */
  compared(sourceIndex: number, sequence: number, isSame: boolean): void {
    const ledger = this.#ledger(sourceIndex);
    const record = ledger.record(sequence);
    assert(record?.state === "doubted" && record.held !== undefined, "a frame is compared after a compare step");
    if (isSame) this.#settle(ledger, sequence, record, record.held.outcome, record.held.crc32);
    else record.state = "wanted";
  }

  /**
   * The frame of the last `open` step has `bytes` bytes, and perhaps metadata that was not listed. Returns how many of
   * the bytes to fill in at once, as after a `chunk` step; undefined: there will be one.
   */
  openFrame(sourceIndex: number, bytes: number, metadata?: Metadata): number | undefined {
    const ledger = this.#ledger(sourceIndex);
    const next = ledger.nextToSend();
    assert(next !== undefined && next.record.state === "wanted", "a frame is opened after an open step");
    assert(ledger.open === undefined, "one frame of a source is open at a time");
    next.record.bytes = bytes;
    next.record.state = "sent";
    next.record.windowBytes = 0;
    const { sequence, record } = next;
    // A file of another size is another file.
    const proving = bytes === record.entry.bytes ? record.partial : undefined;
    const known = metadata ?? record.entry.metadata;
    ledger.open = { sequence, record, bytes, metadata: known, proving, begun: false, sentBytes: 0, crc32: 0 };
    this.#window.enter();
    ledger.sentFrames++;
    return proving === undefined ? this.#pieceBytes(ledger.open) : undefined;
  }

  /**
   * The bytes that a `prove` step asked for. False: they are not what the receiver has, and the frame begins at 0: open
   * it again.
   */
  proved(sourceIndex: number, view: Uint8Array): boolean {
    const { open } = this.#ledger(sourceIndex);
    assert(open?.proving !== undefined, "bytes are compared before any is sent");
    open.crc32 = crc32(view, open.crc32);
    open.sentBytes += view.length;
    if (open.sentBytes < open.proving.offset) return true;
    const { record, proving, sentBytes, crc32: found } = open;
    open.proving = undefined;
    if (found !== proving.crc32) {
      open.sentBytes = open.crc32 = 0;
      return false;
    }
    if (sentBytes > record.arrivedBytes) this.#notice({ type: "going-on" });
    record.arrivedBytes = Math.max(record.arrivedBytes, sentBytes);
    return true;
  }

  /** The next piece of a frame; undefined while there is no room for it. */
  #pieceBytes(open: OpenFrame): number | undefined {
    const bytes = Math.min(this.#window.pieceBytes, open.bytes - open.sentBytes);
    return this.outbox.room < fullMessageBytes + messageBytesMax + bytes ? undefined : bytes;
  }

  /** The frame of the last `open` or `chunk` step cannot be read: it becomes a gap. The driver closes it. */
  skipFrame(sourceIndex: number, reason: GapReason, detail: string): void {
    const ledger = this.#ledger(sourceIndex);
    const { open } = ledger;
    if (open !== undefined) {
      this.#leaveWindow(ledger, open.record);
      ledger.open = undefined;
      ledger.turnIntoGap(open.sequence, open.record, reason, detail);
      return;
    }
    const next = ledger.nextToSend();
    assert(next !== undefined, "a frame is skipped after an open step");
    ledger.turnIntoGap(next.sequence, next.record, reason, detail);
  }

  /** The memory that the next piece of the open frame is read into: exactly as long as the step said. */
  chunkView(sourceIndex: number, bytes: number): Uint8Array {
    const { open } = this.#ledger(sourceIndex);
    assert(open !== undefined, "a chunk belongs to an open frame");
    const { sequence, record, metadata, sentBytes, begun } = open;
    const digested = this.digesting && sentBytes + bytes === open.bytes;
    if (!begun) {
      const { name, capturedNs } = record.entry;
      const frame = { sourceIndex, sequence, capturedNs, bytes: open.bytes, offset: sentBytes, name, metadata };
      this.#chunkAt = this.#writer.frame(frame, bytes, digested);
    } else {
      this.#chunkAt = this.#writer.chunk({ sourceIndex, sequence, offset: sentBytes }, bytes, digested);
    }
    return this.outbox.bytes.subarray(this.#chunkAt, this.#chunkAt + bytes);
  }

  /** The last piece of each frame is to be committed with a digest. */
  get digesting(): boolean {
    return (this.#features & Feature.digest) !== 0;
  }

  /**
   * The memory of `chunkView` is filled. With the last piece come the notes on the frame that were not listed, and its
   * digest, if `digesting`. Returns whether the frame is complete, and to be closed.
   */
  commitChunk(sourceIndex: number, bytes: number, notes = 0, digest?: Uint8Array): boolean {
    const ledger = this.#ledger(sourceIndex);
    const { open } = ledger;
    assert(open !== undefined, "a chunk belongs to an open frame");
    open.crc32 = crc32(this.outbox.bytes.subarray(this.#chunkAt, this.#chunkAt + bytes), open.crc32);
    open.sentBytes += bytes;
    open.begun = true;
    open.record.windowBytes += bytes;
    this.#window.handed(bytes, this.#nowMs);
    this.#answers.wrote(this.#nowMs);
    ledger.sentBytes += bytes;
    const last = open.sentBytes === open.bytes;
    if (!last) {
      this.#writer.finishPayload(bytes, undefined);
      return false;
    }
    this.#writer.finishPayload(bytes, open.crc32, notes | (open.record.entry.notes ?? 0), digest);
    open.record.crc32 = open.crc32;
    ledger.open = undefined;
    return true;
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
        this.state = "closed";
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
        return this.#notice({ type: "held", sourceIndex, text });
      }
      case "resume": {
        const sourceIndex = this.#reader.resume(head);
        if (this.#setHeld(sourceIndex, false)) this.#notice({ type: "resumed", sourceIndex });
        return;
      }
      case "ping":
        return this.#writer.pong({ echoNs: this.#reader.ping(head), clockNs: this.#options.wallNs() });
      case "pong":
        return this.#answers.ponged(this.#nowMs);
      case "notice": {
        const { notice, text } = this.#reader.notice(head);
        return this.#notice({ type: "notice", notice, text });
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
        return this.#notice({ type: "source-ended", sourceIndex });
      }
      case "farewell":
        if (this.#unanswered) throw new ProtocolError(ProtocolCode.unexpected, "FAREWELL before all was answered");
        this.state = "closed";
        return this.#notice({ type: "done" });
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
    this.#window.welcomed(welcome, (this.#features & Feature.progress) !== 0);
    this.state = "running";
    const { agent, device, pins, keepsNothing, frameBytesMax } = welcome;
    this.frameBytesMax = frameBytesMax;
    this.#withheld = keepsNothing && this.#options.needsKeeping === true;
    this.#notice({ type: "welcomed", agent, device, pins, keepsNothing });
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
    const offer = this.#offers[want.sourceIndex]?.shift();
    if (offer === undefined || offer.first !== want.firstSequence || offer.count !== want.verdicts.length) {
      throw new ProtocolError(ProtocolCode.malformed, `WANT from ${want.firstSequence} answers no offer`);
    }
    if (this.#withheld) return;
    let sequence = want.firstSequence;
    for (const verdict of want.verdicts) {
      const record = ledger.record(sequence);
      if (record?.state === "offered") this.#judge(ledger, sequence, record, verdict);
      sequence++;
    }
  }

  #judge(ledger: SourceLedger, sequence: number, record: FrameRecord, verdict: HeardVerdict): void {
    switch (verdict.kind) {
      case "want":
        record.state = "wanted";
        record.held = undefined;
        return;
      case "have":
      case "expired": {
        const outcome = verdict.kind === "have" ? verdict.outcome : "expired";
        if (this.#options.compares !== true) return this.#settle(ledger, sequence, record, outcome, verdict.crc32);
        record.held = { outcome, crc32: verdict.crc32 };
        record.state = "doubted";
        if (sequence < ledger.sendCursor) ledger.sendCursor = sequence;
        return;
      }
      case "unknown":
        return this.#settle(ledger, sequence, record, "unknown", undefined);
      case "continue":
        if ((this.#features & Feature.resume) === 0 || verdict.offset > record.entry.bytes) {
          throw new ProtocolError(ProtocolCode.malformed, `frame ${sequence} cannot go on at ${verdict.offset}`);
        }
        record.state = "wanted";
        record.held = undefined;
        record.partial = verdict;
        return;
      case "refuse":
        return this.#refuse(ledger, sequence, record, verdict.reason, "");
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
        const sequence = range.firstSequence + at;
        const record = ledger.record(sequence);
        const isGap = range.outcome === "recorded";
        if (record?.state !== (isGap ? "gap-sent" : "sent") || ledger.open?.record === record) {
          throw new ProtocolError(
            ProtocolCode.unexpected,
            `ACK ${range.outcome} of frame ${sequence} of ${ledger.source}`,
          );
        }
        if (!isGap) this.#leaveWindow(ledger, record);
        this.#settle(ledger, sequence, record, range.outcome, record.crc32);
      }
      ledger.stretches.proven(range.firstSequence + range.count - 1);
    }
  }

  #settle(
    ledger: SourceLedger,
    sequence: number,
    record: FrameRecord,
    outcome: HeardOutcome,
    crc: number | undefined,
  ): void {
    ledger.settle(sequence, record, outcome);
    this.#untrouble(ledger, record);
    const isGap = outcome === "recorded";
    this.#notice({
      type: "settled",
      sourceIndex: ledger.index,
      entry: record.entry,
      outcome: isGap ? undefined : outcome,
      crc32: isGap ? undefined : crc,
    });
  }

  #handleReject(head: Uint8Array): void {
    const { sourceIndex, sequence, reason, again, text } = this.#reader.reject(head);
    const ledger = this.#ledgerOfPeer(sourceIndex);
    const record = ledger.record(sequence);
    // It crossed our word that the frame cannot be sent.
    if (record?.state === "gap" || record?.state === "gap-sent") return;
    if (record?.state !== "sent") {
      throw new ProtocolError(ProtocolCode.unexpected, `REJECT of frame ${sequence} of ${ledger.source}`);
    }
    this.#leaveWindow(ledger, record);
    if (ledger.open?.record === record) {
      ledger.open = undefined;
      this.#notice({ type: "close", sourceIndex });
    }
    if (reason === "checksum") record.damaged++;
    if (!again || record.damaged >= frameAttemptsMax) {
      this.#refuse(ledger, sequence, record, reason, text);
    } else if (ledger.sendAgain(sequence, record, this.#nowMs)) {
      this.#notice({ type: "held", sourceIndex, text: text === "" ? reason : text });
    }
  }

  /** What was wanted again and again is done with. */
  #untrouble(ledger: SourceLedger, record: FrameRecord): void {
    if (ledger.troubled !== record) return;
    ledger.troubled = undefined;
    this.#notice({ type: "resumed", sourceIndex: ledger.index });
  }

  #refuse(ledger: SourceLedger, sequence: number, record: FrameRecord, reason: RefusalReason, text: string): void {
    ledger.turnIntoGap(sequence, record, "refused", text === "" ? reason : text);
    this.#untrouble(ledger, record);
    this.#notice({ type: "refused", sourceIndex: ledger.index, entry: record.entry, reason, text });
  }

  // ---- what leaves

  #advance(): SenderStep {
    if (this.#withheld) {
      if (this.#stopping) this.#endStep();
      return waitStep;
    }
    // Names are for nobody who has not admitted us.
    if (this.#keyed && this.state === "greeting") return waitStep;
    // Sources and offers do not wait for the WELCOME, which saves a round trip; frames do, for its limits.
    while (this.state === "running" || this.state === "greeting") {
      const openAtMs = this.#window.openAtMs(this.outbox.committedBytes, this.#nowMs);
      this.#opensAtMs = openAtMs > this.#nowMs ? openAtMs : Number.POSITIVE_INFINITY;
      // Only the rate has a time; without room in the network offers may go, they are small.
      const paced = openAtMs > this.#nowMs;
      const offersToo = !paced || openAtMs === Number.POSITIVE_INFINITY;
      // Enough for any head, and what is left of it is enough to answer pings while the socket takes nothing.
      if (this.outbox.room < 2 * fullMessageBytes) return flushStep;
      const step =
        this.#declareStep() ??
        (offersToo ? this.#offerStep(aheadFramesLow, this.state === "greeting") : undefined) ??
        (this.state === "running" && !paced ? this.#frameStep() : undefined) ??
        (offersToo && this.#options.order === "oldest" ? this.#offerStep(aheadFramesMax, true) : undefined) ??
        (this.state === "running" ? this.#endStep() : undefined) ??
        waitStep;
      if (step !== lookAgain) return step;
    }
    return waitStep;
  }

  /** Names the next source that this connection does not know. */
  #declareStep(): typeof lookAgain | undefined {
    for (const ledger of this.ledgers) {
      if (ledger.declared) continue;
      this.#writer.source({ sourceIndex: ledger.index, name: ledger.source });
      ledger.declared = true;
      return lookAgain;
    }
    return undefined;
  }

  /** Lists and offers, until `aheadFrames` are offered ahead of the one being sent. */
  #offerStep(aheadFrames: number, idle: boolean): SenderStep | typeof lookAgain | undefined {
    if (this.#stopping) return undefined;
    const newest = this.#options.order === "newest";
    for (const ledger of this.ledgers) {
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
    const count = this.#writer.offer(ledger.index, first, entries);
    this.#offers[ledger.index]?.push({ first, count });
    this.#answers.wrote(this.#nowMs);
    ledger.offerCursor = first + count;
    for (let sequence = first; sequence < first + count; sequence++) {
      const record = ledger.record(sequence);
      assert(record !== undefined, "an offered frame is in the span");
      record.state = "offered";
    }
  }

  /** One message of the source whose turn it is: a piece of its open frame, its next frame, or a gap. */
  #frameStep(): SenderStep | typeof lookAgain | undefined {
    const count = this.ledgers.length;
    this.#sourceOpensAtMs = Number.POSITIVE_INFINITY;
    for (let tried = 0; tried < count; tried++) {
      const ledger = this.ledgers[this.#turn % count] as SourceLedger;
      this.#turn = (this.#turn + 1) % count;
      if (this.held || ledger.held) continue;
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
        const bytes = this.#pieceBytes(ledger.open);
        if (bytes === undefined) return this.#keepTurn(flushStep);
        return { type: "chunk", sourceIndex: ledger.index, bytes };
      }
      if (this.#stopping) continue;
      const next = ledger.nextToSend();
      if (next === undefined) continue;
      if (next.record.state === "gap") {
        this.#sendGap(ledger, next.sequence, next.record);
        return lookAgain;
      }
      if (next.record.state === "doubted") {
        const { sequence, record } = next;
        assert(record.held !== undefined, "a doubted frame is held by the receiver");
        return { type: "compare", sourceIndex: ledger.index, sequence, entry: record.entry, crc32: record.held.crc32 };
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
    this.#turn = (this.#turn + this.ledgers.length - 1) % this.ledgers.length;
    return step;
  }

  #leaveWindow(ledger: SourceLedger, record: FrameRecord): void {
    this.#window.leave(record.windowBytes);
    ledger.sentFrames--;
    record.windowBytes = 0;
  }

  #sendGap(ledger: SourceLedger, sequence: number, record: FrameRecord): void {
    assert(record.gapReason !== undefined, "a gap has a reason");
    const { entry, gapReason: reason, gapDetail } = record;
    const isOther = record.held !== undefined;
    const name = isOther ? "" : entry.name;
    const detail = isOther ? `${entry.name}: not what is stored under this name, and lost: ${gapDetail}` : gapDetail;
    const count = ledger.gapSent(sequence, record);
    this.#answers.wrote(this.#nowMs);
    this.#writer.gap({ sourceIndex: ledger.index, reason, firstSequence: sequence, count, name, detail });
  }

  #endStep(): undefined {
    let open = false;
    for (const ledger of this.ledgers) {
      if (ledger.complete && ledger.ended === "no" && ledger.stretches.next === undefined) {
        this.#writer.end({ sourceIndex: ledger.index, totals: ledger.totals() });
        ledger.ended = "sent";
        this.#answers.wrote(this.#nowMs);
      }
      // When stopping, a source may stay unfinished, but the frame in hand is finished.
      if (ledger.ended === "no" && (!this.#stopping || ledger.open !== undefined)) open = true;
    }
    if (open || !this.#window.empty) return;
    this.#writer.bye(!this.complete);
    this.state = "closing";
    this.#answers.wrote(this.#nowMs);
  }

  #notice(step: SenderStep): void {
    this.#notices.push(step);
  }

  #takeNotice(): SenderStep | undefined {
    const notice = this.#notices[this.#noticeAt];
    if (notice === undefined) return undefined;
    this.#noticeAt++;
    if (this.#noticeAt === this.#notices.length) {
      this.#notices = [];
      this.#noticeAt = 0;
    }
    return notice;
  }

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
