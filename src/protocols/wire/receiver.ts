/**
 * The receiver's engine for one connection: PROTOCOL.md from the side that stores, without any I/O. Bytes in, events
 * out (receiver-session.ts); what the driver decides is encoded into `outbox`. Nothing here survives the connection:
 * what was received is known to the sink, and what was not is offered again.
 */
import { crc32 } from "../../bytes/checksum.ts";
import { Outbox } from "../../bytes/outbox.ts";
import { assert, ProtocolCode, ProtocolError, unreachable } from "../../errors.ts";
import type { Frame, Metadata, Notice, Origin, Outcome, RefusalReason, SourceTotals, Verdict } from "../../frame.ts";
import {
  ackRangesMax,
  handshakeMs,
  idleMs,
  openFramesMax,
  pingMs,
  progressMs,
  sourcesMax,
  windowBytesMax,
  windowFramesMax,
} from "../../limits.ts";
import type { Admitted, IncomingFrame, ReceivingEvent, ReceivingSession } from "../receiver-session.ts";
import { ClockOffset } from "./clock-offset.ts";
import { Feature, flagLast, type KindName, kindName, version } from "./constants.ts";
import { Liveness } from "./keepalive.ts";
import { MessageReader } from "./message-reader.ts";
import { MessageWriter } from "./message-writer.ts";
import { type AckRange, type ChunkHead, type FrameHead, fullMessageBytes, messageBytesMax } from "./messages.ts";
import { MessageParser } from "./parser.ts";
import { stateAfter } from "../moves.ts";
import { type ReceiverMove, receiverMoves, type ReceiverState, receiverTable } from "./states.ts";

export interface ReceiverOptions {
  readonly agent: string;
  readonly frameBytesMax: number;
  /** Nothing is stored: the sender must not take acks for more. */
  readonly keepsNothing?: boolean;
  /** The driver answers with `continue` where a part of a frame is there. */
  readonly resume?: boolean;
  /** The driver compares digests, and rejects frames for them. */
  readonly digest?: boolean;
  /** The peer has proven a key, and the driver knows what that is called. */
  readonly keyed?: boolean;
  readonly wallNs: () => bigint;
  /** When the connection was accepted: the handshake's time runs from then. */
  readonly nowMs: number;
}

/** A frame in progress. */
interface Incoming<Writer> extends IncomingFrame<Writer> {
  readonly frame: IncomingFrame["frame"] & { notes?: number };
  /** Of the bytes so far. */
  crc32: number;
}

/** Has what not every frame has. */
type BegunFrame = Frame & { metadata?: Metadata; clockOffsetNs?: bigint };

/** What the receiver has of a frame that is cut. */
interface PartialFrame {
  readonly offset: number;
  readonly crc32: number;
}

/** A source as named on this connection. */
interface IncomingSource<Writer> {
  readonly origin: Origin;
  incoming: Incoming<Writer> | undefined;
  /** The frame that was rejected in progress: the rest of it may be on its way until the next frame begins. */
  passedOver: number | undefined;
  /** Frames that may go on at an offset, by number; made with the first of them. */
  partials: Map<number, PartialFrame> | undefined;
  /** Settled and not yet told, in ranges. */
  ranges: AckRange[];
}

const nothing = new Uint8Array(0);

/** Answers are small but an offer's answer and its acks are not: room for some heads, grown when needed. */
const outboxBytesMax = 16 * fullMessageBytes;

export class WireReceiver<Writer> implements ReceivingSession<Writer> {
  readonly outbox: Outbox = new Outbox(outboxBytesMax, 4096);
  state: ReceiverState = "fresh";
  reading = true;

  readonly #options: ReceiverOptions;
  readonly #writer = new MessageWriter(this.outbox);
  readonly #reader = new MessageReader();
  readonly #parser = new MessageParser();
  readonly #liveness: Liveness;
  readonly #sources = new Map<number, IncomingSource<Writer>>();
  /** The source whose payload the parser is in; undefined: it is passed over. */
  #payloadOf: IncomingSource<Writer> | undefined;
  #payloadLast = false;
  #payloadCrc = 0;
  #payloadDigest: Uint8Array | undefined;
  #session = "";
  #device = "";
  #admitted: Admitted | undefined;
  #via: Pick<Origin, "via"> = {};
  #receivedBytes = 0;
  /** Bits of `Feature` that both ends use. */
  #features = 0;
  #reportedBytes = 0;
  #reportedAtMs = 0;
  /** Events that one message leads to beyond the first. */
  readonly #pending: ReceivingEvent<Writer>[] = [];
  /** Answers that found no room. */
  readonly #deferred: (() => void)[] = [];
  #failure: ProtocolError | undefined;
  readonly #clockOffset = new ClockOffset();
  /** The PING that is to prove that the peer lives. */
  #probe: { readonly clockNs: bigint; readonly alive: () => void } | undefined;

  /** When a complete HELLO must be here; undefined once it is. */
  #handshakeAtMs: number | undefined;

  constructor(options: ReceiverOptions) {
    this.#options = options;
    this.#liveness = new Liveness({ idleMs, pingMs, nowMs: options.nowMs });
    this.#handshakeAtMs = options.nowMs + handshakeMs;
    this.#parser.greeting = true;
  }

  readonly holdsSources = true;

  get resumes(): boolean {
    return (this.#features & Feature.resume) !== 0;
  }

  get full(): boolean {
    return this.#parser.full;
  }

  push(chunk: Uint8Array, nowMs: number): void {
    this.#liveness.received(nowMs);
    this.#parser.push(chunk);
  }

  get tickAtMs(): number {
    const reportAtMs = this.#reportDue ? this.#reportedAtMs + progressMs : Number.POSITIVE_INFINITY;
    return Math.min(this.#liveness.tickAtMs, this.#handshakeAtMs ?? Number.POSITIVE_INFINITY, reportAtMs);
  }

  tick(nowMs: number): void {
    if (this.state === "closed") return;
    if (this.#handshakeAtMs !== undefined && nowMs >= this.#handshakeAtMs) {
      throw new ProtocolError(ProtocolCode.timeout, `no complete greeting in ${handshakeMs / 1000} s`);
    }
    this.#report(nowMs);
    if (this.reading) this.#liveness.check(nowMs);
    else this.#liveness.excuse(nowMs);
    if (!this.#liveness.pingDue(nowMs)) return;
    if (this.state !== "fresh" && this.outbox.room >= messageBytesMax) this.#ping(this.#options.wallNs());
    this.#liveness.sent(nowMs);
  }

  next(nowMs: number): ReceivingEvent<Writer> | undefined {
    for (let pending = this.#pending.shift(); pending !== undefined; pending = this.#pending.shift()) {
      // The driver may have rejected the frame meanwhile.
      if (pending.type !== "frame-end" || pending.incoming.writer !== undefined) return pending;
    }
    if (this.#failure !== undefined) throw this.#failure;
    if (this.state === "closed") return undefined;
    try {
      return this.#parse(nowMs);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#failure = error.code === ProtocolCode.version ? otherVersion(this.#parser.version) : error;
      throw this.#failure;
    }
  }

  #parse(nowMs: number): ReceivingEvent<Writer> | undefined {
    // A peer that does not read its answers is not read from: room for the largest of them must be free.
    while (this.#deferred.length === 0 && this.outbox.room >= fullMessageBytes) {
      if (this.#pending.length > 0) return this.next(nowMs);
      const found = this.#parser.next();
      if (found === "more") {
        this.#liveness.inHead(this.#parser.inHead, nowMs);
        this.#report(nowMs);
        return undefined;
      }
      if (found === "message") this.#liveness.inHead(false, nowMs);
      const event = found === "message" ? this.#message() : this.#payload();
      if (event !== undefined) return event;
    }
    return undefined;
  }

  #message(): ReceivingEvent<Writer> | undefined {
    const { kind, head } = this.#parser;
    receiverTable.check(this.state, kind);
    const name = kindName(kind) as KindName;
    switch (name) {
      case "hello": {
        const hello = this.#reader.hello(head);
        if (hello.device === "" && this.#options.keyed !== true) {
          throw new ProtocolError(ProtocolCode.unauthorized, "no device name, and no key that would say it");
        }
        this.#handshakeAtMs = undefined;
        this.#parser.greeting = false;
        this.#session = hello.session;
        this.#device = hello.device;
        const { resume = false, digest = false } = this.#options;
        const ours = Feature.progress | (resume ? Feature.resume : 0) | (digest ? Feature.digest : 0);
        this.#features = hello.features & ours;
        const { session, device, proof, via } = hello;
        return { type: "hello", session, device, proof, via };
      }
      case "source": {
        const { sourceIndex, name: source } = this.#reader.source(head);
        if (this.#sources.has(sourceIndex) || this.#sources.size >= sourcesMax) {
          throw new ProtocolError(ProtocolCode.malformed, `source ${sourceIndex} named twice`);
        }
        const problem = this.#admitted?.sourceProblem(source);
        if (problem !== undefined) throw new ProtocolError(ProtocolCode.unauthorized, problem);
        const origin: Origin = { device: this.#device, source, session: this.#session, ...this.#via };
        this.#sources.set(sourceIndex, {
          origin,
          incoming: undefined,
          passedOver: undefined,
          partials: undefined,
          ranges: [],
        });
        return undefined;
      }
      case "offer": {
        const { sourceIndex, firstSequence, entries } = this.#reader.offer(head);
        const { origin } = this.#source(sourceIndex);
        return { type: "offer", sourceIndex, origin, firstSequence, entries };
      }
      case "frame":
        return this.#beginFrame(head);
      case "chunk":
        return this.#continueFrame(head);
      case "gap": {
        const { sourceIndex, ...message } = this.#reader.gap(head);
        const source = this.#source(sourceIndex);
        const { origin, incoming } = source;
        const gap = { origin, ...message };
        if (incoming?.frame.sequence === gap.firstSequence) {
          source.incoming = undefined;
          this.#pending.push({ type: "gap", sourceIndex, gap });
          return { type: "frame-lost", incoming, reason: "abandoned" };
        }
        return { type: "gap", sourceIndex, gap };
      }
      case "stretch": {
        const { sourceIndex, ...message } = this.#reader.stretch(head);
        return { type: "stretch", stretch: { origin: this.#source(sourceIndex).origin, ...message } };
      }
      case "end": {
        const { sourceIndex, totals } = this.#reader.end(head);
        return { type: "end", sourceIndex, end: { origin: this.#source(sourceIndex).origin, totals } };
      }
      case "ping":
        this.#writer.pong({ echoNs: this.#reader.ping(head), clockNs: this.#options.wallNs() });
        return undefined;
      case "pong": {
        const { echoNs, clockNs } = this.#reader.pong(head);
        this.#clockOffset.ponged(echoNs, clockNs, this.#options.wallNs());
        if (echoNs === this.#probe?.clockNs) {
          const { alive } = this.#probe;
          this.#probe = undefined;
          alive();
        }
        return undefined;
      }
      case "bye":
        this.#move("bye");
        return { type: "bye", interrupted: this.#reader.bye(head) };
      case "welcome":
      case "refuse":
      case "want":
      case "ack":
      case "reject":
      case "hold":
      case "resume":
      case "ended":
      case "farewell":
      case "progress":
      case "notice":
        throw new ProtocolError(ProtocolCode.unexpected, `${name.toUpperCase()} sent to a receiver`);
      default:
        unreachable(name);
    }
  }

  #beginFrame(head: Uint8Array): ReceivingEvent<Writer> {
    const message = this.#reader.frame(head);
    const { sourceIndex, sequence, name, bytes, capturedNs, offset } = message;
    const source = this.#source(sourceIndex);
    if (source.incoming !== undefined) {
      throw new ProtocolError(
        ProtocolCode.malformed,
        `frame ${sequence} begins inside frame ${source.incoming.frame.sequence}`,
      );
    }
    if (this.#openCount() >= openFramesMax) {
      throw new ProtocolError(ProtocolCode.limit, `more than ${openFramesMax} frames in progress`);
    }
    const frame: BegunFrame = { origin: source.origin, sequence, name, bytes, capturedNs };
    if (message.metadata !== undefined) frame.metadata = message.metadata;
    const { offsetNs } = this.#clockOffset;
    if (offsetNs !== undefined) frame.clockOffsetNs = offsetNs;
    const crcBefore = offset === 0 ? 0 : partialCrc(source, sequence, offset);
    const incoming = { frame, sourceIndex, offset, receivedBytes: offset, writer: undefined, crc32: crcBefore };
    source.incoming = incoming;
    source.passedOver = undefined;
    this.#enterPayload(source, message);
    return { type: "frame", incoming };
  }

  #continueFrame(head: Uint8Array): ReceivingEvent<Writer> | undefined {
    const message = this.#reader.chunk(head);
    const { sourceIndex, sequence, offset } = message;
    const source = this.#source(sourceIndex);
    const { incoming } = source;
    if (incoming?.frame.sequence !== sequence) {
      if (source.passedOver !== sequence) {
        throw new ProtocolError(ProtocolCode.malformed, `chunk of frame ${sequence}, which is not in progress`);
      }
      // It was on its way when its frame was rejected.
      this.#payloadOf = undefined;
      return undefined;
    }
    if (offset !== incoming.receivedBytes) {
      throw new ProtocolError(
        ProtocolCode.malformed,
        `chunk of frame ${sequence} at ${offset}, expected ${incoming.receivedBytes}`,
      );
    }
    this.#enterPayload(source, message);
    return undefined;
  }

  #openCount(): number {
    let count = 0;
    // Sources are a handful, except with a peer that means harm.
    for (const { incoming } of this.#sources.values()) if (incoming !== undefined) count++;
    return count;
  }

  /** The sizes must add up before a byte of them is passed on. An empty payload ends its frame at once. */
  #enterPayload(source: IncomingSource<Writer>, message: FrameHead | ChunkHead): void {
    const { incoming } = source;
    assert(incoming !== undefined, "a payload belongs to a frame");
    const { payloadBytes, flags } = this.#parser;
    const total = incoming.receivedBytes + payloadBytes;
    const last = (flags & flagLast) !== 0;
    if (last ? total !== incoming.frame.bytes : total >= incoming.frame.bytes) {
      const text = `frame ${incoming.frame.sequence} of ${incoming.frame.bytes} bytes has ${total}`;
      throw new ProtocolError(ProtocolCode.malformed, text);
    }
    this.#payloadOf = source;
    this.#payloadLast = last;
    this.#payloadCrc = message.crc32;
    this.#payloadDigest = message.digest;
    // Only frames with a note pay for one.
    if (last && message.notes !== 0) incoming.frame.notes = message.notes;
    if (payloadBytes === 0 && last) this.#complete(source, incoming);
  }

  /** All bytes are here: whole, or damaged on the way. */
  #complete(source: IncomingSource<Writer>, incoming: Incoming<Writer>): boolean {
    source.incoming = undefined;
    if (incoming.crc32 !== this.#payloadCrc) {
      this.#lose(incoming);
      return false;
    }
    const digest = (this.#features & Feature.digest) === 0 ? undefined : this.#payloadDigest;
    this.#pending.push({ type: "frame-end", incoming, crc32: incoming.crc32, digest });
    return true;
  }

  #payload(): ReceivingEvent<Writer> | undefined {
    const { piece, payloadLeft } = this.#parser;
    this.#receivedBytes += piece.length;
    const source = this.#payloadOf;
    const incoming = source?.incoming;
    // The frame was rejected while this message arrived.
    if (source === undefined || incoming === undefined) return undefined;
    incoming.receivedBytes += piece.length;
    incoming.crc32 = crc32(piece, incoming.crc32);
    if (payloadLeft === 0 && this.#payloadLast) {
      this.#payloadOf = undefined;
      if (!this.#complete(source, incoming)) return undefined;
    }
    return { type: "payload", incoming, view: piece };
  }

  /** Complete, and its checksum does not hold. */
  #lose(incoming: IncomingFrame<Writer>): void {
    this.#pending.push({ type: "frame-lost", incoming, reason: "checksum" });
    const { sourceIndex, frame } = incoming;
    const text = "its bytes arrived damaged";
    const { sequence } = frame;
    // What was there before may be what is damaged: the next time it begins at 0.
    this.#source(sourceIndex).partials?.delete(sequence);
    this.#send(() => this.#writer.reject({ sourceIndex, reason: "checksum", again: true, sequence, text }));
  }

  welcome(wallNs: bigint, admitted?: Admitted): void {
    this.#move("welcome");
    this.#admitted = admitted;
    this.#device = admitted?.device ?? this.#device;
    this.#via = admitted === undefined || admitted.via.length === 0 ? {} : { via: admitted.via };
    this.#writer.welcome({
      features: this.#features,
      keepsNothing: this.#options.keepsNothing ?? false,
      frameBytesMax: this.#options.frameBytesMax,
      windowBytes: windowBytesMax,
      windowFrames: windowFramesMax,
      clockNs: wallNs,
      agent: this.#options.agent,
      proof: nothing,
      device: admitted?.device ?? "",
      pins: admitted?.pins ?? [],
    });
    // Before frames are on their way, so that nothing lies between it and its answer.
    this.#ping(wallNs);
  }

  #ping(clockNs: bigint): void {
    this.#clockOffset.pinged(clockNs);
    this.#writer.ping(clockNs);
  }

  refuse(code: ProtocolCode, text: string): void {
    if (this.state === "closed") return;
    this.#move("refuse");
    // An older peer reads a REFUSE in its own header only.
    const headerVersion = Math.min(version, this.#parser.version);
    if (this.outbox.room >= messageBytesMax) this.#writer.refuse(code, text, headerVersion);
  }

  answer(sourceIndex: number, firstSequence: number, verdicts: readonly Verdict[]): void {
    const source = this.#source(sourceIndex);
    for (const [index, verdict] of verdicts.entries()) {
      if (verdict.kind !== "continue") continue;
      assert((this.#features & Feature.resume) !== 0, "both ends can go on in the middle of a frame");
      source.partials ??= new Map();
      source.partials.set(firstSequence + index, verdict);
    }
    this.#send(() => this.#writer.want(sourceIndex, firstSequence, verdicts));
  }

  settle(sourceIndex: number, sequence: number, outcome: Outcome, count = 1): void {
    const { ranges } = this.#source(sourceIndex);
    const last = ranges.at(-1);
    if (last !== undefined && last.outcome === outcome && last.firstSequence + last.count === sequence)
      last.count += count;
    else ranges.push({ firstSequence: sequence, count, outcome });
  }

  reject(incoming: IncomingFrame<Writer>, reason: RefusalReason, text: string, again: boolean): void {
    const { sourceIndex, frame } = incoming;
    const source = this.#source(sourceIndex);
    incoming.writer = undefined;
    // What there was of it is not there any more.
    source.partials?.delete(frame.sequence);
    if (source.incoming === incoming) {
      source.incoming = undefined;
      source.passedOver = frame.sequence;
    }
    this.#send(() => this.#writer.reject({ sourceIndex, reason, again, sequence: frame.sequence, text }));
  }

  flushAcks(): void {
    while (this.#deferred.length > 0 && this.outbox.room >= fullMessageBytes) this.#deferred.shift()?.();
    if (this.#deferred.length > 0) return;
    for (const [sourceIndex, source] of this.#sources) {
      while (source.ranges.length > 0 && this.outbox.room >= fullMessageBytes) {
        const ranges = source.ranges.splice(0, ackRangesMax);
        this.#writer.ack({ sourceIndex, receivedBytes: this.#receivedBytes, ranges });
      }
    }
  }

  get #reportDue(): boolean {
    return (
      (this.#features & Feature.progress) !== 0 && this.#receivedBytes > this.#reportedBytes && this.state !== "closed"
    );
  }

  /** Acks report progress as well, but they come after a commit. */
  #report(nowMs: number): void {
    if (!this.#reportDue || nowMs - this.#reportedAtMs < progressMs || this.outbox.room < messageBytesMax) return;
    this.#reportedBytes = this.#receivedBytes;
    this.#reportedAtMs = nowMs;
    this.#writer.progress(this.#receivedBytes);
  }

  confirmEnd(sourceIndex: number, account?: SourceTotals): void {
    this.#send(() => this.#writer.ended({ sourceIndex, account }));
  }

  hold(text: string, sourceIndex?: number): void {
    this.#send(() => this.#writer.hold({ sourceIndex, text }));
  }

  resume(sourceIndex?: number): void {
    this.#send(() => this.#writer.resume(sourceIndex));
  }

  probe(alive: () => void): void {
    const clockNs = this.#options.wallNs();
    this.#probe = { clockNs, alive };
    this.#send(() => this.#ping(clockNs));
  }

  notify(notice: Notice, text: string): void {
    this.#send(() => this.#writer.notice({ notice, text }));
  }

  farewell(): void {
    this.#send(() => this.#writer.farewell());
    this.#move("farewell");
  }

  #move(move: ReceiverMove): void {
    this.state = stateAfter(receiverMoves, this.state, move);
  }

  /**
   * Writes behind all acks so far, now if there is room, else when `flushAcks` finds some. While anything waits here
   * nothing is parsed, so a peer that does not read its answers can make us keep only what it is owed already.
   */
  #send(write: () => void): void {
    this.flushAcks();
    if (this.#deferred.length === 0 && this.outbox.room >= fullMessageBytes) write();
    else this.#deferred.push(write);
  }

  openFrames(): IncomingFrame<Writer>[] {
    const open: IncomingFrame<Writer>[] = [];
    for (const { incoming } of this.#sources.values()) if (incoming !== undefined) open.push(incoming);
    // Complete, and the driver has not heard of it.
    for (const event of this.#pending) if (event.type === "frame-end") open.push(event.incoming);
    return open;
  }

  #source(sourceIndex: number): IncomingSource<Writer> {
    const source = this.#sources.get(sourceIndex);
    if (source === undefined) throw new ProtocolError(ProtocolCode.malformed, `source ${sourceIndex} was never named`);
    return source;
  }
}

/** The checksum of what is there of a frame that goes on at `offset`. Throws ProtocolError: it was not offered that. */
function partialCrc(source: IncomingSource<unknown>, sequence: number, offset: number): number {
  const partial = source.partials?.get(sequence);
  if (partial?.offset === offset) return partial.crc32;
  const expected = partial === undefined ? "0" : `0 or ${partial.offset}`;
  throw new ProtocolError(ProtocolCode.malformed, `frame ${sequence} begins at ${offset}, expected ${expected}`);
}

/** For the peer's user: which end is to be updated, and to what. */
function otherVersion(found: number): ProtocolError {
  const text =
    found < version
      ? `update the sender to framepipe 0.2 or newer: it speaks version ${found}, the receiver ${version}`
      : `update the receiver: it speaks version ${version}, the sender ${found}`;
  return new ProtocolError(ProtocolCode.version, text);
}
