/**
 * The sender of the article's protocol: lockstep/PROTOCOL.md section 4, without any I/O. One engine is one conversation
 * on one connection; the pace goes from one to the next.
 *
 * Pulled by a driver that opens and reads the frames: `receive` what came, `next` until `wait`, empty `outbox` into the
 * link, call `tick` at `tickAtMs`. No message is written before the last one is answered, and `continue` stands alone
 * in the outbox until its pause is over.
 */
import { Outbox } from "../../bytes/outbox.ts";
import { assert, ProtocolCode, ProtocolError } from "../../errors.ts";
import { chunkBytes } from "../../limits.ts";
import { isTls } from "../stranger.ts";
import {
  continueBytes,
  encodeFrameHeader,
  encodeSessionHeader,
  headerProblem,
  okBytes,
  overBytes,
  sessionHeaderFor,
  type FrameHeader,
} from "./messages.ts";
import type { LockstepPace } from "./pace.ts";
import { stateAfter } from "../moves.ts";
import { clientMoves, type ClientMove, type ClientState } from "./states.ts";

export type LockstepStep =
  /** Answer with `frame` or `finish`; or, if there is nothing for now, ask again later. */
  | { readonly type: "need-frame" }
  /** Read at most `bytes` (what is left of the frame, and fits) into the outbox, commit it, and say so with `read`. */
  | { readonly type: "payload"; readonly bytes: number }
  /** The frame is confirmed: settle it. */
  | { readonly type: "frame-done" }
  /** Nothing to do before bytes come, the outbox empties, or it is `tickAtMs`. */
  | { readonly type: "wait" }
  /** Empty the outbox, then shut the link down: the conversation is complete. */
  | { readonly type: "over" };

export interface LockstepSenderOptions {
  /** SOURCE as `--send` names it, a safe name. */
  readonly source: string;
  readonly pace: LockstepPace;
  /** Monotonic milliseconds; the connection is open. */
  readonly nowMs: number;
}

/** Memory for what waits for the socket: the next chunk is read while the last one leaves. */
const outboxLimitBytes = 2 * chunkBytes;

export class LockstepSender {
  readonly outbox: Outbox = new Outbox(outboxLimitBytes, 4096);
  readonly #pace: LockstepPace;
  #state: ClientState = "opening";
  #failure: ProtocolError | undefined;
  #frame: FrameHeader | undefined;
  #remainingBytes = 0;
  /** The frame before this one in this conversation, which the server may still be writing. */
  #previousBytes: number | undefined;
  /** Bytes of replies that have come and not been waited for. */
  #replyBytes = 0;
  /** When the last byte of what is to be answered was written. */
  #askedMs: number;
  #pauseEndMs = 0;
  /** When the server last did something: took bytes, or answered. */
  #progressMs: number;
  #waitingBytes = 0;

  constructor(options: LockstepSenderOptions) {
    this.#pace = options.pace;
    this.#askedMs = this.#progressMs = options.nowMs;
    this.#write(encodeSessionHeader(sessionHeaderFor(options.source)), options.nowMs);
    this.#move("session-header");
  }

  /** For tests and messages: where in PROTOCOL.md section 4 this conversation is. */
  get state(): ClientState {
    return this.#state;
  }

  /** Takes what the server said. Throws ProtocolError if that is not an `ok` that is waited for. */
  receive(chunk: Uint8Array, nowMs: number): void {
    if (this.#state === "over") return;
    this.#throwFailure();
    if (chunk.length > 0) this.#progressMs = nowMs;
    for (const byte of chunk) {
      if (byte === okBytes[this.#replyBytes % 2] && this.#replyBytes < this.#replyBytesMax) this.#replyBytes += 1;
      else throw this.#fail(this.#unexpectedReply(chunk));
    }
  }

  /** How much of a reply may have come: one that is waited for, or both replies of an empty frame. */
  get #replyBytesMax(): number {
    switch (this.#state) {
      case "announcing":
        if (this.outbox.byteLength > 0) return 0;
        return this.#frame?.bytes === 0 ? 2 * okBytes.length : okBytes.length;
      case "greeting":
      case "confirming":
        return this.outbox.byteLength > 0 ? 0 : okBytes.length;
      default:
        return 0;
    }
  }

  /** What is to be done. Throws ProtocolError if the conversation has failed. */
  next(nowMs: number): LockstepStep {
    this.#throwFailure();
    this.#noteProgress(nowMs);
    switch (this.#state) {
      case "greeting":
        if (this.#takeOk(nowMs)) return needFrame;
        return wait;
      case "ready":
        return needFrame;
      case "pausing":
        // A server whose window is closed would be handed both at once, however long ago `continue` was written.
        if (this.outbox.byteLength > 0) this.#pauseEndMs = Math.max(this.#pauseEndMs, nowMs + this.#pauseMs);
        if (nowMs >= this.#pauseEndMs) this.#writeHeader(nowMs);
        return wait;
      case "announcing":
        if (!this.#takeOk(nowMs)) return wait;
        if (this.#remainingBytes === 0) this.#move("last-byte");
        // The second ok of an empty frame may be here already.
        return this.next(nowMs);
      case "payload": {
        const bytes = Math.min(this.#remainingBytes, this.outbox.room);
        return bytes === 0 ? wait : { type: "payload", bytes };
      }
      case "confirming":
        if (!this.#takeOk(nowMs)) return wait;
        this.#previousBytes = this.#frame?.bytes;
        this.#frame = undefined;
        return frameDone;
      case "over":
        return over;
      default:
        return wait;
    }
  }

  /** Why a frame cannot be sent to this server at all, for a person; undefined if it can. Ask before `frame`. */
  problem(name: string, bytes: number): string | undefined {
    if (bytes === 0 && this.#pace.emptyRefused) return "the receiver does not answer to an empty frame";
    return headerProblem(name, bytes);
  }

  /** The next frame: a name without a `problem` and its length, which will be kept to. */
  frame(name: string, bytes: number, nowMs: number): void {
    assert(this.#state === "ready", "a frame is given when one is needed");
    assert(this.problem(name, bytes) === undefined, "a frame that can be announced");
    this.#frame = { name, bytes };
    this.#remainingBytes = bytes;
    if (this.#previousBytes === undefined) {
      this.#writeHeader(nowMs);
      return;
    }
    this.#write(continueBytes, nowMs);
    this.#pauseEndMs = nowMs + this.#pauseMs;
    this.#move("continue");
  }

  /** `count` more bytes of the frame were committed to the outbox. */
  read(count: number, nowMs: number): void {
    assert(this.#state === "payload" && count <= this.#remainingBytes, "payload is read when it is asked for");
    this.#remainingBytes -= count;
    this.#noteWritten(nowMs);
    if (this.#remainingBytes === 0) this.#move("last-byte");
  }

  /** There are no more frames. */
  finish(nowMs: number): void {
    assert(this.#state === "ready", "finished between two frames");
    this.#write(overBytes, nowMs);
    this.#move("over");
  }

  /** Throws ProtocolError (timeout) when the server is silent for too long. Ask `next` afterwards. */
  tick(nowMs: number): void {
    this.#throwFailure();
    this.#noteProgress(nowMs);
    if (nowMs < this.#limitAtMs) return;
    if (this.#state === "announcing" && this.#previousBytes !== undefined) this.#pace.glued();
    if (this.#state === "confirming" && this.#frame?.bytes === 0) this.#pace.emptyRefused = true;
    const text = `lockstep ${this.#where()}: no reply within ${this.#pace.replyMs} ms`;
    throw this.#fail(new ProtocolError(ProtocolCode.timeout, text));
  }

  /** When `tick` is due, in monotonic milliseconds. */
  get tickAtMs(): number {
    if (this.#failure !== undefined) return Number.POSITIVE_INFINITY;
    return this.#state === "pausing" ? Math.min(this.#pauseEndMs, this.#limitAtMs) : this.#limitAtMs;
  }

  /** When the server's time is up, which runs while it has something to answer or to take. */
  get #limitAtMs(): number {
    const awaited = this.#state === "greeting" || this.#state === "announcing" || this.#state === "confirming";
    if (!awaited && this.outbox.byteLength === 0) return Number.POSITIVE_INFINITY;
    return this.#progressMs + this.#pace.replyMs;
  }

  get #pauseMs(): number {
    return this.#pace.pauseMs(this.#previousBytes ?? 0);
  }

  #takeOk(nowMs: number): boolean {
    if (this.#replyBytes < okBytes.length) return false;
    this.#replyBytes -= okBytes.length;
    this.#pace.replied(nowMs - this.#askedMs);
    this.#move("ok");
    return true;
  }

  #writeHeader(nowMs: number): void {
    assert(this.#frame !== undefined, "a header has a frame");
    this.#write(encodeFrameHeader(this.#frame), nowMs);
    this.#move(this.#state === "pausing" ? "frame-header" : "first-frame");
  }

  #write(message: Uint8Array, nowMs: number): void {
    assert(this.outbox.byteLength === 0, "one message at a time");
    const at = this.outbox.reserve(message.length);
    this.outbox.bytes.set(message, at);
    this.outbox.commit(message.length);
    this.#noteWritten(nowMs);
  }

  #noteWritten(nowMs: number): void {
    this.#waitingBytes = this.outbox.byteLength;
    this.#askedMs = this.#progressMs = nowMs;
  }

  /** The socket takes bytes behind our back; that some are gone shows that the server reads. */
  #noteProgress(nowMs: number): void {
    if (this.outbox.byteLength === this.#waitingBytes) return;
    this.#waitingBytes = this.outbox.byteLength;
    this.#progressMs = nowMs;
  }

  #unexpectedReply(chunk: Uint8Array): ProtocolError {
    const found = JSON.stringify(new TextDecoder().decode(chunk.subarray(0, 60)));
    const expected = this.#replyBytesMax === 0 ? "nothing" : "ok";
    if (isTls(chunk)) {
      const text = "a TLS server answers, as a receiver with a key does, and --lockstep has none";
      return new ProtocolError(ProtocolCode.malformed, text);
    }
    const code = this.#replyBytesMax === 0 ? ProtocolCode.unexpected : ProtocolCode.malformed;
    return new ProtocolError(code, `lockstep ${this.#where()}: the receiver said ${found}, expected ${expected}`);
  }

  #where(): string {
    if (this.#frame !== undefined) return `frame ${JSON.stringify(this.#frame.name)}, ${this.#state}`;
    return this.#state;
  }

  #move(move: ClientMove): void {
    this.#state = stateAfter(clientMoves, this.#state, move);
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** The first failure is kept and given again ever after. */
  #fail(error: ProtocolError): ProtocolError {
    this.#state = "failed";
    return (this.#failure ??= error);
  }
}

const needFrame: LockstepStep = { type: "need-frame" };
const frameDone: LockstepStep = { type: "frame-done" };
const wait: LockstepStep = { type: "wait" };
const over: LockstepStep = { type: "over" };
