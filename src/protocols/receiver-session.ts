/**
 * What a receiving session tells its driver, and what the driver tells it. Both protocols (wire and lockstep) speak
 * this, so everything behind the socket exists once. Engines are pulled: `push` bytes, then `next` until undefined.
 */
import type { Outbox } from "../bytes/outbox.ts";
import type { ProtocolCode } from "../errors.ts";
import type {
  Frame,
  FrameEntry,
  Gap,
  Notice,
  Origin,
  Outcome,
  RefusalReason,
  SourceEnd,
  SourceTotals,
  Stretch,
  Verdict,
} from "../frame.ts";

/** A frame on its way in. The session makes it, the driver hangs its writer on it. */
export interface IncomingFrame<Writer = unknown> {
  readonly frame: Frame;
  /** Index of the source on the wire; 0 in lockstep. */
  readonly sourceIndex: number;
  /** Where its bytes begin: 0, or the offset of a `continue` that was answered. */
  readonly offset: number;
  /** Bytes handed out so far, and the `offset` that they began at. */
  receivedBytes: number;
  /** Of the bytes so far; undefined where the protocol has no checksum, and so no way to go on. */
  readonly crc32?: number;
  /** The driver's. Undefined: the frame was rejected and its bytes are passed over. */
  writer: Writer | undefined;
}

export interface HelloEvent {
  readonly type: "hello";
  readonly session: string;
  /** Empty, which only a peer with a key may say: as its key is called. */
  readonly device: string;
  /** Of an invitation; empty without. */
  readonly proof?: Uint8Array;
  /** Keys of the receivers that the frames came through. */
  readonly via?: readonly string[];
}

/** What a peer with a key is called, and what it may do. */
export interface Admitted {
  readonly device: string;
  /** For WELCOME: the receiver's keys, the present one first. */
  readonly pins: readonly string[];
  /** Keys of the gateways that its frames came through, its own the last; empty: it is the device itself. */
  readonly via: readonly string[];
  /** Why the peer may not send this source, for its user; undefined: it may. */
  readonly sourceProblem: (source: string) => string | undefined;
}

export type ReceivingEvent<Writer = unknown> =
  /** The peer has introduced itself. Answer with `welcome` or `refuse` before anything else is asked for. */
  | HelloEvent
  /** Answer with `answer`, one verdict per entry. */
  | {
      readonly type: "offer";
      readonly sourceIndex: number;
      readonly origin: Origin;
      readonly firstSequence: number;
      readonly entries: readonly FrameEntry[];
    }
  /** A frame begins. Set `writer`, or call `reject`. */
  | { readonly type: "frame"; readonly incoming: IncomingFrame<Writer> }
  /** Its next bytes; the view is valid until `next` is called again. Not sent for a frame without a writer. */
  | { readonly type: "payload"; readonly incoming: IncomingFrame<Writer>; readonly view: Uint8Array }
  /**
   * Complete and its checksum held. `settle` after the commit. Not sent for a frame without a writer. `digest`: SHA-256
   * as the sender says it, where both ends use it: compare it, and `reject` the frame for `checksum`.
   */
  | {
      readonly type: "frame-end";
      readonly incoming: IncomingFrame<Writer>;
      readonly crc32: number;
      readonly digest?: Uint8Array | undefined;
    }
  /** Given up by the sender, or damaged: abort the writer. The session has said what is to be said. */
  | { readonly type: "frame-lost"; readonly incoming: IncomingFrame<Writer>; readonly reason: "checksum" | "abandoned" }
  /** To be recorded; `settle` with `recorded` after the commit, once for each of its sequence numbers' range. */
  | { readonly type: "gap"; readonly sourceIndex: number; readonly gap: Gap }
  /** To be recorded no later than what comes behind it in its source. Nothing to answer. */
  | { readonly type: "stretch"; readonly stretch: Stretch }
  /** To be recorded; `confirmEnd` after the commit. */
  | { readonly type: "end"; readonly sourceIndex: number; readonly end: SourceEnd }
  /** The session is over. `interrupted`: the sender was stopped before it had finished. Answer with `farewell`. */
  | { readonly type: "bye"; readonly interrupted: boolean };

/** A receiving session of either protocol, without any I/O. Times are monotonic milliseconds. */
export interface ReceivingSession<Writer = unknown> {
  /** Both ends can go on in the middle of a frame. */
  readonly resumes?: boolean;
  /** The peer can be told that one of its sources waits. */
  readonly holdsSources?: boolean;
  /** Encoded bytes for the peer. The driver empties it into the link. */
  readonly outbox: Outbox;
  /** Takes ownership of a chunk. */
  push(chunk: Uint8Array, nowMs: number): void;
  /** Unparsed bytes are at their limit: pause the link. */
  readonly full: boolean;
  /**
   * The next event, or undefined when more bytes (or time) are needed. Throws ProtocolError; then only `refuse`,
   * `flushAcks` and `openFrames` may follow.
   */
  next(nowMs: number): ReceivingEvent<Writer> | undefined;
  /** Time passes: pings are written, limits are checked. Throws ProtocolError (timeout). */
  tick(nowMs: number): void;
  /** False while the driver does not read from the link: silence is then not the peer's fault. Set by the driver. */
  reading: boolean;
  /** When `tick` is due, in monotonic milliseconds. */
  readonly tickAtMs: number;
  /** `admitted`: of a peer that has proven a key. */
  welcome(wallNs: bigint, admitted?: Admitted): void;
  /** Says why the session ends. The driver flushes the outbox and closes the link. */
  refuse(code: ProtocolCode, text: string): void;
  answer(sourceIndex: number, firstSequence: number, verdicts: readonly Verdict[]): void;
  /** A frame (or `count` gaps from `sequence` on) is settled. Collected; `flushAcks` writes them. */
  settle(sourceIndex: number, sequence: number, outcome: Outcome, count?: number): void;
  /** The frame is not stored. `again`: the sender shall send it again. */
  reject(incoming: IncomingFrame<Writer>, reason: RefusalReason, text: string, again: boolean): void;
  flushAcks(): void;
  /** The end is recorded. `account`: what the receiver has, if that is not what the sender said. */
  confirmEnd(sourceIndex: number, account?: SourceTotals): void;
  /**
   * The destination can take nothing of this source for now (undefined: nothing at all): tell the peer. `resume` with
   * the same index takes it back.
   */
  hold(text: string, sourceIndex?: number): void;
  resume(sourceIndex?: number): void;
  farewell(): void;
  /** Asks the peer for a sign of life; `alive` is called when it has come, within `next`. Absent: it has none. */
  probe?(alive: () => void): void;
  /** Tells the peer's user. Absent: its protocol has no word for it. */
  notify?(notice: Notice, text: string): void;
  /** Frames whose `frame-end` was not handed out: their writers are kept or aborted when the connection is gone. */
  openFrames(): IncomingFrame<Writer>[];
}
