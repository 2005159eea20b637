/** What the messages of PROTOCOL.md section 4 say: one type per kind that has fields, and how large they can be. */
import type { FrameEntry, GapReason, Outcome, RefusalReason, SourceTotals, Verdict } from "../../frame.ts";
import { headBytesMax, metadataBytesMax, nameBytesMax, textBytesMax } from "../../limits.ts";
import { checkBytes, headerBytes } from "./constants.ts";

/** Room that any message takes at most, except OFFER, WANT, ACK and payloads. */
export const messageBytesMax: number = headerBytes + checkBytes + nameBytesMax + metadataBytesMax + textBytesMax + 128;
/** Room that any head takes at most. */
export const fullMessageBytes: number = headerBytes + checkBytes + headBytesMax;

export interface Hello {
  readonly versionLowest: number;
  readonly versionHighest: number;
  /** PROGRESS is wanted. */
  readonly progress: boolean;
  /** 32 hexadecimal digits. */
  readonly session: string;
  readonly clockNs: bigint;
  readonly device: string;
  readonly agent: string;
}

export interface Welcome {
  /** PROGRESS will be sent. */
  readonly progress: boolean;
  readonly frameBytesMax: number;
  readonly windowBytes: number;
  readonly windowFrames: number;
  readonly idleMs: number;
  readonly clockNs: bigint;
  readonly agent: string;
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
  readonly verdicts: Verdict[];
}

export interface FrameHead {
  readonly sourceIndex: number;
  readonly sequence: number;
  readonly capturedNs: bigint;
  readonly bytes: number;
  /** Valid with flag LAST. */
  readonly crc32: number;
  readonly name: string;
}

export interface ChunkHead {
  readonly sourceIndex: number;
  readonly sequence: number;
  readonly offset: number;
  /** Valid with flag LAST. */
  readonly crc32: number;
}

export interface GapMessage {
  readonly sourceIndex: number;
  readonly reason: GapReason;
  readonly firstSequence: number;
  readonly count: number;
  readonly name: string;
  readonly detail: string;
}

export interface AckRange {
  readonly firstSequence: number;
  count: number;
  readonly outcome: Outcome;
}

export interface Ack {
  readonly sourceIndex: number;
  /** Payload bytes received on this connection. */
  readonly receivedBytes: number;
  readonly ranges: readonly AckRange[];
}

export interface Reject {
  readonly sourceIndex: number;
  readonly reason: RefusalReason;
  readonly again: boolean;
  readonly sequence: number;
  readonly text: string;
}

export interface Pong {
  /** The clock of the ping that is answered. */
  readonly echoNs: bigint;
  readonly clockNs: bigint;
}

export interface End {
  readonly sourceIndex: number;
  readonly totals: SourceTotals;
}
