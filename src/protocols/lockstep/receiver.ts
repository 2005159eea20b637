/**
 * The receiver of the article's protocol: lockstep/PROTOCOL.md section 3, without any I/O. It tells and is told the
 * same as the wire protocol's receiver, so one driver serves both.
 *
 * What is special here: the client understands nothing but `ok`, so everything else (refused, held, damaged) is said
 * by not saying it; and a header has no end, so time decides (`tick`). After each `tick`, `next` has to be asked.
 *
 * Invariant: at most one frame is under way, and the client owes or is owed exactly one thing at any time.
 */
import { crc32 } from "../../bytes/checksum.ts";
import { Outbox } from "../../bytes/outbox.ts";
import { ByteRing } from "../../bytes/ring.ts";
import { assert, ProtocolCode, ProtocolError } from "../../errors.ts";
import type { Frame, Origin, RefusalReason } from "../../frame.ts";
import { handshakeMs, lockstepHeaderBytesMax, lockstepIdleMs, lockstepSettleMs } from "../../limits.ts";
import type { IncomingFrame, ReceivingEvent, ReceivingSession } from "../receiver-session.ts";
import {
  continueBytes,
  decodeFrameHeader,
  decodeSessionHeader,
  endsItself,
  malformed,
  matchWord,
  okBytes,
  overBytes,
  sourceOf,
} from "./messages.ts";
import { stateAfter } from "../moves.ts";
import { serverMoves, type ServerMove, type ServerState } from "./states.ts";

/** Quiet is counted in this many ticks, so that a thread that was busy reads what waits for it in between. */
const settleTicks = 2;
const settleTickMs = lockstepSettleMs / settleTicks;

export interface LockstepReceiverOptions {
  /** The session's id, 32 hexadecimal digits: the protocol has none. */
  readonly session: string;
  /** When the connection was accepted, monotonic milliseconds. */
  readonly nowMs: number;
  /** The wall clock, nanoseconds since the epoch: a frame's capture time is when its header arrived. */
  readonly wallNs: () => bigint;
}

export class LockstepReceiver<Writer = unknown> implements ReceivingSession<Writer> {
  readonly outbox: Outbox = new Outbox(8 * okBytes.length);
  readonly #ring = new ByteRing();
  readonly #options: LockstepReceiverOptions;
  #state: ServerState = "opening";
  #failure: ProtocolError | undefined;
  #origin: Origin | undefined;

  /** The frame under way, from its header to its final ok. */
  #incoming: IncomingFrame<Writer> | undefined;
  #incomingEnded = false;
  #refused = false;
  #crc32 = 0;
  #sequence = 0;

  #nowMs: number;
  /** Since when the client has had its turn: its last byte, or our last ok. */
  #waitingSinceMs: number;
  /** When the first byte of the message that is here in part arrived. */
  #messageSinceMs: number;
  #quietTicks = 0;
  #quietTickAtMs = Number.POSITIVE_INFINITY;
  /** Before this the final ok of an empty frame would be read together with the one before it. */
  #finalOkAtMs = 0;
  #finalOkDue = false;
  #held = false;
  #reading = true;
  /** The client's time starts with the next call that says what time it is: a commit may have taken long. */
  #turnBegins = false;

  constructor(options: LockstepReceiverOptions) {
    this.#options = options;
    this.#nowMs = this.#waitingSinceMs = this.#messageSinceMs = options.nowMs;
  }

  /** For tests and messages: where in PROTOCOL.md section 3 this session is. */
  get state(): ServerState {
    return this.#state;
  }

  get reading(): boolean {
    return this.#reading;
  }

  set reading(reading: boolean) {
    if (reading && !this.#reading) this.#turnBegins = true;
    this.#reading = reading;
  }

  get full(): boolean {
    return this.#ring.full;
  }

  push(chunk: Uint8Array, nowMs: number): void {
    if (this.#state === "over" || this.#state === "failed" || chunk.length === 0) return;
    this.#passTime(nowMs);
    this.#waitingSinceMs = nowMs;
    if (this.#ring.byteLength === 0) this.#messageSinceMs = nowMs;
    this.#listenForQuiet(nowMs);
    this.#ring.push(chunk);
  }

  next(nowMs: number): ReceivingEvent<Writer> | undefined {
    this.#passTime(nowMs);
    try {
      return this.#next();
    } catch (error) {
      if (error instanceof ProtocolError) this.#fail(error);
      throw error;
    }
  }

  #next(): ReceivingEvent<Writer> | undefined {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      switch (this.#state) {
        case "opening":
          return this.#nextHello();
        case "greeted":
        case "over":
        case "failed":
          return undefined;
        case "header":
          return this.#nextHeader();
        case "announced":
          // The driver has had its say about the frame since it was told of it.
          assert(this.#refused || this.#incomingNow().writer !== undefined, "a frame has a writer or was rejected");
          this.#move("header-ok");
          this.#sayOk();
          break;
        case "payload": {
          const event = this.#nextPayload();
          if (event !== undefined) return event;
          if (this.#state === "payload") return undefined;
          break;
        }
        case "storing":
          this.#checkSurplus();
          return undefined;
        case "next":
          if (this.#beginsOver) return this.#nextOver();
          if (!this.#takeWord(continueBytes, "continue")) return undefined;
          this.#messageSinceMs = this.#nowMs;
          break;
      }
    }
  }

  #nextHello(): ReceivingEvent<Writer> | undefined {
    const header = decodeSessionHeader(this.#viewHeader());
    if (header === undefined || !this.#settled) return undefined;
    this.#origin = { device: "lockstep", source: sourceOf(header), session: this.#options.session };
    this.#takeHeader("session-header");
    return { type: "hello", session: this.#options.session, device: "lockstep" };
  }

  #nextHeader(): ReceivingEvent<Writer> | undefined {
    if (this.#beginsOver) return this.#nextOver();
    const header = decodeFrameHeader(this.#viewHeader());
    if (header === undefined || !(endsItself(header.name) || this.#settled)) return undefined;
    this.#takeHeader("frame-header");
    const frame: Frame = {
      origin: this.#originNow(),
      sequence: this.#sequence++,
      name: header.name,
      bytes: header.bytes,
      capturedNs: this.#options.wallNs(),
    };
    this.#incoming = { frame, sourceIndex: 0, offset: 0, receivedBytes: 0, writer: undefined };
    this.#incomingEnded = false;
    this.#refused = false;
    this.#crc32 = 0;
    return { type: "frame", incoming: this.#incoming };
  }

  /** A piece of the payload, its end, or undefined: nothing here, or a refused frame has passed (then `next`). */
  #nextPayload(): ReceivingEvent<Writer> | undefined {
    const incoming = this.#incomingNow();
    const { bytes } = incoming.frame;
    while (incoming.receivedBytes < bytes) {
      if (this.#ring.byteLength === 0) return undefined;
      const view = this.#ring.take(bytes - incoming.receivedBytes);
      incoming.receivedBytes += view.length;
      if (this.#refused) continue;
      this.#crc32 = crc32(view, this.#crc32);
      return { type: "payload", incoming, view };
    }
    this.#checkSurplus();
    this.#move("last-byte");
    this.#incomingEnded = true;
    if (!this.#refused) return { type: "frame-end", incoming, crc32: this.#crc32 };
    this.#oweFinalOk();
    return undefined;
  }

  get #beginsOver(): boolean {
    return this.#ring.byteLength > 0 && this.#ring.byteAt(0) === overBytes[0];
  }

  #nextOver(): ReceivingEvent<Writer> | undefined {
    if (!this.#takeWord(overBytes, "over")) return undefined;
    return { type: "bye", interrupted: false };
  }

  /** Takes `word` if it stands next, or gives false while it may still come. */
  #takeWord(word: Uint8Array, move: "continue" | "over"): boolean {
    const view = this.#view(word.length);
    const match = matchWord(view, word);
    if (match === "no") {
      throw malformed(this.#where(), view, this.#state === "next" ? "continue or over" : "length|name or over");
    }
    if (match === "more") return false;
    this.#ring.skip(word.length);
    this.#move(move);
    return true;
  }

  tick(nowMs: number): void {
    this.#passTime(nowMs);
    if (this.#failure !== undefined) throw this.#failure;
    if (nowMs >= this.#quietTickAtMs) {
      this.#quietTicks += 1;
      this.#quietTickAtMs = this.#settled ? Number.POSITIVE_INFINITY : nowMs + settleTickMs;
    }
    if (this.#finalOkDue && nowMs >= this.#finalOkAtMs) this.#sayFinalOk();
    if (nowMs < this.#limitAtMs) return;
    const late = new ProtocolError(ProtocolCode.timeout, `lockstep ${this.#where()}: nothing complete arrived in time`);
    this.#fail(late);
    throw late;
  }

  get tickAtMs(): number {
    // A failure that happened between two calls (a frame to be sent again) is due to be told.
    if (this.#failure !== undefined) return this.#nowMs;
    const okAtMs = this.#finalOkDue ? this.#finalOkAtMs : Number.POSITIVE_INFINITY;
    return Math.min(this.#quietTickAtMs, okAtMs, this.#limitAtMs);
  }

  /** When the client's time is up. It has as long as it likes while we owe it something, or keep it waiting. */
  get #limitAtMs(): number {
    if (this.#state === "opening") return this.#options.nowMs + handshakeMs;
    if (this.#held || !this.#reading) return Number.POSITIVE_INFINITY;
    switch (this.#state) {
      case "header":
      case "next":
        if (this.#ring.byteLength > 0) return this.#messageSinceMs + handshakeMs;
        return this.#waitingSinceMs + lockstepIdleMs;
      case "payload":
        return this.#ring.byteLength > 0 ? Number.POSITIVE_INFINITY : this.#waitingSinceMs + lockstepIdleMs;
      default:
        return Number.POSITIVE_INFINITY;
    }
  }

  welcome(): void {
    this.#move("welcome");
    this.#sayOk();
  }

  /** The client would not understand a reason: the connection is closed, that is all. */
  refuse(): void {
    this.#state = "failed";
  }

  settle(sourceIndex: number, sequence: number): void {
    if (this.#state === "failed") return;
    assert(this.#state === "storing" && this.#incomingEnded, "settle follows the end of a frame");
    assert(sourceIndex === 0 && sequence === this.#incomingNow().frame.sequence, "settle names the frame under way");
    this.#oweFinalOk();
  }

  /**
   * Rejected for good: passed over, and answered as if it had been stored. To be sent again: the protocol cannot ask
   * for it, so the connection fails without the ok.
   */
  reject(incoming: IncomingFrame<Writer>, reason: RefusalReason, text: string, again: boolean): void {
    if (this.#state === "failed") return;
    assert(incoming === this.#incoming, "reject names the frame under way");
    if (again) {
      const what = `lockstep ${this.#where()}: ${reason}: ${text}; only a new connection can bring it again`;
      this.#fail(new ProtocolError(ProtocolCode.stopping, what));
      return;
    }
    this.#refused = true;
    if (this.#state === "storing") this.#oweFinalOk();
  }

  hold(): void {
    this.#held = true;
  }

  resume(): void {
    this.#held = false;
    this.#turnBegins = true;
  }

  openFrames(): IncomingFrame<Writer>[] {
    const open = this.#incoming !== undefined && !this.#incomingEnded && !this.#refused;
    return open && this.#incoming !== undefined ? [this.#incoming] : [];
  }

  answer(): void {
    assert(false, "lockstep has no offers to answer");
  }

  confirmEnd(): void {
    assert(false, "lockstep has no end of a source to confirm");
  }

  /** Nothing is collected: the client waits for each ok. */
  flushAcks(): void {}

  /** `over` has no reply. */
  farewell(): void {}

  #oweFinalOk(): void {
    this.#finalOkDue = true;
    if (this.#nowMs >= this.#finalOkAtMs) this.#sayFinalOk();
  }

  #sayFinalOk(): void {
    this.#finalOkDue = false;
    // Also for bytes that were pushed and not looked at yet: a wrong frame must not be acknowledged.
    if (this.#surplus !== undefined) {
      this.#fail(this.#surplus);
      return;
    }
    this.#incoming = undefined;
    this.#move("final-ok");
    this.#sayOk();
  }

  #sayOk(): void {
    // A client that has not read its last replies is none that waits for them.
    if (this.outbox.room < okBytes.length) {
      this.#fail(
        new ProtocolError(ProtocolCode.timeout, `lockstep ${this.#where()}: the client does not read replies`),
      );
      return;
    }
    const at = this.outbox.reserve(okBytes.length);
    this.outbox.bytes.set(okBytes, at);
    this.outbox.commit(okBytes.length);
    this.#turnBegins = true;
    const empty = this.#incoming?.frame.bytes === 0;
    this.#finalOkAtMs = empty ? this.#nowMs + lockstepSettleMs : this.#nowMs;
  }

  #checkSurplus(): void {
    if (this.#surplus !== undefined) throw this.#surplus;
  }

  /** An honest client says nothing between its last byte and our final ok: the header was not what we took it for. */
  get #surplus(): ProtocolError | undefined {
    if (this.#ring.byteLength === 0) return undefined;
    const text = `lockstep ${this.#where()}: more bytes than announced before the final ok: the header was split`;
    return new ProtocolError(ProtocolCode.malformed, text);
  }

  /** All that has arrived of a header, cut one byte above its limit. */
  #viewHeader(): Uint8Array {
    return this.#view(lockstepHeaderBytesMax + 1);
  }

  /** The next bytes, as many as are here and at most `max`. */
  #view(max: number): Uint8Array {
    const view = this.#ring.tryView(Math.min(this.#ring.byteLength, max));
    assert(view !== undefined, "bytes that are here can be viewed");
    return view;
  }

  #takeHeader(move: "session-header" | "frame-header"): void {
    this.#ring.skip(this.#ring.byteLength);
    this.#quietTickAtMs = Number.POSITIVE_INFINITY;
    this.#move(move);
  }

  /** A byte came: if it can belong to a header, the quiet behind it is to be counted. */
  #listenForQuiet(nowMs: number): void {
    const amidFrame = this.#state === "announced" || this.#state === "payload" || this.#state === "storing";
    this.#quietTicks = 0;
    this.#quietTickAtMs = amidFrame ? Number.POSITIVE_INFINITY : nowMs + settleTickMs;
  }

  #passTime(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.#turnBegins) this.#waitingSinceMs = this.#messageSinceMs = nowMs;
    this.#turnBegins = false;
  }

  get #settled(): boolean {
    return this.#quietTicks >= settleTicks;
  }

  #where(): string {
    const frame = this.#incoming?.frame;
    if (frame === undefined)
      return this.#state === "opening" ? "session header" : `message behind ${this.#sequence} frames`;
    return `frame ${frame.sequence} (${JSON.stringify(frame.name.slice(0, 100))})`;
  }

  #originNow(): Origin {
    assert(this.#origin !== undefined, "the session header was read");
    return this.#origin;
  }

  #incomingNow(): IncomingFrame<Writer> {
    assert(this.#incoming !== undefined, "a frame is under way");
    return this.#incoming;
  }

  #move(move: ServerMove): void {
    this.#state = stateAfter(serverMoves, this.#state, move);
  }

  /** The first failure is kept and given again ever after. */
  #fail(error: ProtocolError): void {
    this.#failure ??= error;
    this.#state = "failed";
  }
}
