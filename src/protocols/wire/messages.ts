/** What the messages of PROTOCOL.md section 4 say: one type per kind that has fields, and how large they can be. */
import type {
  FrameEntry,
  GapReason,
  HeardOutcome,
  HeardVerdict,
  Metadata,
  Notice,
  Outcome,
  RefusalReason,
  SourceTotals,
  StretchClass,
} from "../../frame.ts";
import { headBytesMax, metadataBytesMax, nameBytesMax, textBytesMax } from "../../limits.ts";
import { checkBytes, headerBytes } from "./constants.ts";

/** Room that any message takes at most, except OFFER, WANT, ACK and payloads. */
export const messageBytesMax: number = headerBytes + checkBytes + nameBytesMax + metadataBytesMax + textBytesMax + 128;
/** Room that any head takes at most. */
export const fullMessageBytes: number = headerBytes + checkBytes + headBytesMax;

export interface Hello {
  /** Bits of `Feature`. */
  readonly features: number;
  /** 32 hexadecimal digits. */
  readonly session: string;
  readonly clockNs: bigint;
  /** Empty: the receiver knows it by the sender's key. */
  readonly device: string;
  readonly agent: string;
  /** Empty where there is no key. */
  readonly proof: Uint8Array;
  /** Keys of the receivers that the frames came through. */
  readonly via: readonly string[];
}

export interface Welcome {
  /** Bits of `Feature`. */
  readonly features: number;
  /** Acks do not mean that anything is kept. */
  readonly keepsNothing: boolean;
  readonly frameBytesMax: number;
  readonly windowBytes: number;
  readonly windowFrames: number;
  readonly clockNs: bigint;
  readonly agent: string;
  readonly proof: Uint8Array;
  /** What the receiver calls the sender; empty: as HELLO says. */
  readonly device: string;
  /** The receiver's keys, the present one first. */
  readonly pins: readonly string[];
}

export interface Refuse {
  readonly code: number;
  readonly versionLowest: number;
  readonly versionHighest: number;
  readonly text: string;
}

export interface SourceName {
  readonly sourceIndex: number;
  readonly name: string;
}

export interface Offer {
  readonly sourceIndex: number;
  readonly firstSequence: number;
  readonly entries: FrameEntry[];
}

export interface Want {
  readonly sourceIndex: number;
  readonly firstSequence: number;
  readonly verdicts: HeardVerdict[];
}

/** What is known of a frame when it begins. */
export interface FrameStart {
  readonly sourceIndex: number;
  readonly sequence: number;
  readonly capturedNs: bigint;
  readonly bytes: number;
  /** Where the payload begins in the frame; absent: at 0. */
  readonly offset?: number;
  readonly name: string;
  readonly metadata?: Metadata | undefined;
}

export interface ChunkStart {
  readonly sourceIndex: number;
  readonly sequence: number;
  readonly offset: number;
}

/** What is known with its last byte: valid in the message with LAST. */
interface FrameLast {
  readonly crc32: number;
  readonly notes: number;
  readonly digest: Uint8Array | undefined;
}

export type FrameHead = Required<FrameStart> & FrameLast;
export type ChunkHead = ChunkStart & FrameLast;

export interface GapMessage {
  readonly sourceIndex: number;
  readonly reason: GapReason;
  readonly firstSequence: number;
  readonly count: number;
  readonly name: string;
  readonly detail: string;
}

export interface AckRange<Of extends HeardOutcome = Outcome> {
  readonly firstSequence: number;
  count: number;
  readonly outcome: Of;
}

export interface Ack<Of extends HeardOutcome = Outcome> {
  readonly sourceIndex: number;
  /** Payload bytes received on this connection. */
  readonly receivedBytes: number;
  readonly ranges: readonly AckRange<Of>[];
}

export interface Reject {
  readonly sourceIndex: number;
  readonly reason: RefusalReason;
  readonly again: boolean;
  readonly sequence: number;
  readonly text: string;
}

export interface Hold {
  /** Undefined: all sources. */
  readonly sourceIndex: number | undefined;
  readonly text: string;
}

export interface NoticeMessage {
  readonly notice: Notice;
  readonly text: string;
}

export interface StretchMessage {
  readonly sourceIndex: number;
  readonly class: StretchClass;
  /** The number that follows the bytes. */
  readonly sequence: number;
  readonly count: number;
  readonly bytes: number;
  readonly text: string;
}

export interface Pong {
  /** The clock of the ping that is answered. */
  readonly echoNs: bigint;
  readonly clockNs: bigint;
}

/** `account`: what the receiver has, if it does not share the totals. */
export interface Ended {
  readonly sourceIndex: number;
  readonly account: SourceTotals | undefined;
}

export interface End {
  readonly sourceIndex: number;
  readonly totals: SourceTotals;
}
