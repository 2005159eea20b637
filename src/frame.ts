/**
 * The domain noun. A frame is one image: bytes, a name, a source, a sequence number and a capture time. Everything
 * here is plain data and plain functions; this file imports nothing.
 */

/** Position of a frame in its source within a session, from 0, without holes. Always a safe integer. */
export type SequenceNumber = number;

/** What a source lists before any byte is read: enough to offer the frame to a receiver. */
export interface FrameEntry {
  /** Path below the input, `/` between segments. */
  readonly name: string;
  /** Size in bytes when it was listed; the size at reading time is what counts. */
  readonly bytes: number;
  /** Capture time, nanoseconds since the epoch by the sender's clock. */
  readonly capturedNs: bigint;
  /** Bits of `Note`; absent: none. Of a frame on its way in they are there when it is complete, not when it begins. */
  readonly notes?: number;
  /** Small values that travel with the frame, as wire/PROTOCOL.md bounds them; absent: none. */
  readonly metadata?: Metadata;
}

/** A remark on a frame that is stored all the same. A later version may have more bits: they are kept. */
export const Note = {
  /** It ends before an end that its headers promise. */
  incomplete: 1,
  damagedHeader: 2,
  noEndMarker: 4,
  /** A part of it has a checksum that does not hold, and decoders show it. */
  wrongChecksum: 8,
  /** Its header says how long it is, and nothing else does: what follows is no picture. */
  unprovenLength: 16,
} as const;

export type Metadata = ReadonlyMap<string, string>;

/** Whose frame it is: the device that sends and the source on it. Both are paths of safe segments. */
export interface Origin {
  readonly device: string;
  readonly source: string;
  /** The session that sent it, 32 hexadecimal digits. */
  readonly session: string;
  /** Keys of the gateways that it came through, the first one first; absent: it came from the device. */
  readonly via?: readonly string[] | undefined;
}

/** A frame as the receiver learns of it, before its bytes. */
export interface Frame extends FrameEntry {
  readonly origin: Origin;
  readonly sequence: SequenceNumber;
  /**
   * The sender's clock minus ours when it began to arrive, in nanoseconds; 0: they agreed as far as could be measured;
   * absent: not known.
   */
  readonly clockOffsetNs?: bigint;
}

/** A frame that is held, and where. */
export interface HeldFrame {
  readonly frame: Frame;
  /** By the layout, numbered if it is a conflict. In a stream, where frames have no paths, it is empty. */
  readonly path: string;
  /** 1: under its own name; from 2: a conflict. */
  readonly number: number;
  readonly crc32: number;
}

/**
 * How a frame ended up, as said in an ack.
 * - `stored`: its bytes are under its own name, put there by this session
 * - `already`: the same frame (device, source, name, bytes) had been stored before
 * - `conflict`: the name held other bytes; stored beside it under a numbered name
 * - `recorded`: not a frame but a gap, written into the catalogue
 * - `expired`: the same frame was stored and has been removed since; it is no longer there
 */
export type Outcome = StoredOutcome | "recorded" | "expired";
export type StoredOutcome = "stored" | "duplicate" | "conflict";
/** As a sender hears it. `unknown`: an outcome of a later receiver: settled, and no proof that the bytes are there. */
export type HeardOutcome = Outcome | "unknown";

/** The receiver's answer to one offered entry. */
export type Verdict =
  | { readonly kind: "want" }
  /** Stored; `crc32` lets the sender prove that it holds the same bytes before it deletes its file. */
  | { readonly kind: "have"; readonly outcome: StoredOutcome; readonly crc32: number }
  | { readonly kind: "refuse"; readonly reason: RefusalReason }
  /** It was stored and has been removed since; `crc32` is what its bytes had. */
  | { readonly kind: "expired"; readonly crc32: number }
  /** Its first `offset` bytes are there, and have this checksum. Only if both ends can do it. */
  | { readonly kind: "continue"; readonly offset: number; readonly crc32: number };
/** As a sender hears it. `unknown`: a verdict of a later receiver: settled, and no proof that the bytes are there. */
export type HeardVerdict = Verdict | { readonly kind: "unknown" };

/** Why one frame is not taken. The frame is named and the session goes on. */
export type RefusalReason =
  | "name" // the name could leave the destination or cannot be a file name
  | "too-large" // larger than --max-frame
  | "checksum" // arrived damaged; sent again up to three times
  | "symlink" // a symbolic link stands in the way at the destination
  | "format" // its bytes do not fit the stream that it would be part of
  | "storage" // the destination failed while this frame was written; sent again
  | "other"; // a reason of a later version; the text says it

/** Why a frame of a source does not arrive at all. Kept in the catalogue's table of gaps. */
export type GapReason =
  | "unreadable" // could not be opened or read
  | "vanished" // listed, then gone
  | "changing" // changed each time it was read
  | "refused" // the receiver refused it, or it is larger than the sender's --max-frame
  | "dropped" // a live stream was faster than the link
  | "damaged" // it began properly, and its bytes are not a frame
  | "duplicate" // of a gateway, and no loss: the frame came with another number
  | "expired" // of a gateway, and no loss: the frame was stored there and has been removed
  | "other"; // a reason of a later version; the detail says it

/** One or more consecutive frames that will not arrive. */
export interface Gap {
  readonly origin: Origin;
  readonly firstSequence: SequenceNumber;
  readonly count: number;
  readonly reason: GapReason;
  /** The frame's name, empty if it never had one. */
  readonly name: string;
  /** One line for a person. */
  readonly detail: string;
}

/** Bytes of a stream that are in no frame. `loss`: a picture was in them, and a gap is told besides. */
export interface Stretch {
  readonly origin: Origin;
  /** The number of what follows the bytes. With the origin it names the stretch: what is said later replaces it. */
  readonly sequence: SequenceNumber;
  readonly class: StretchClass;
  /** How many stretches are summed up here. */
  readonly count: number;
  readonly bytes: number;
  /** One line for a person. */
  readonly text: string;
}
export type StretchClass = "loss" | "information";

/** What a receiver tells a sender's user, which changes nothing. `other`: of a later version; the text says it. */
export type Notice =
  | "shared-device" // another live session has this device
  | "other";

/** What became of a source in one session, counted in frames by the sender. */
export interface SourceTotals {
  /** Every frame the source had, so sequence numbers 0 … frames-1 exist. */
  readonly frames: number;
  readonly stored: number;
  readonly duplicates: number;
  readonly conflicts: number;
  /** Refused by the receiver, or larger than the sender's own limit. */
  readonly refused: number;
  /** Gaps for any other reason. */
  readonly skipped: number;
  /** Stored and removed since; absent: none. */
  readonly expired?: number;
}

/**
 * Whether what the sender counted is what the receiver has: one outcome for each number below `frames` and for no
 * other, and at least as many frames there as claimed. How those divide into stored, duplicates and conflicts is each
 * destination's own, and a frame may be there whose ack was lost. `last`: the highest number that has an outcome.
 */
export function sharesTotals(claimed: SourceTotals, account: SourceTotals, last: SequenceNumber): boolean {
  const lost = claimed.refused + claimed.skipped;
  if (account.frames !== claimed.frames || last !== claimed.frames - 1) return false;
  return keptOf(claimed) + lost === claimed.frames && keptOf(account) >= keptOf(claimed);
}

function keptOf({ stored, duplicates, conflicts, expired = 0 }: SourceTotals): number {
  return stored + duplicates + conflicts + expired;
}

/** The session's word on a finished source, kept in the catalogue. */
export interface SourceEnd {
  readonly origin: Origin;
  readonly totals: SourceTotals;
}
