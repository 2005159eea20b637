/**
 * What a destination has to be able to do, as a port: `StoreSink` does all the rest that frames need. A new kind of
 * destination is one file that implements this, and a line in `open-sink.ts`. What can be wrong with a destination, and
 * whose fault that is, stands in DESTINATIONS.md.
 */
import type { SinkError } from "../../errors.ts";
import type {
  Frame,
  FrameEntry,
  Gap,
  Origin,
  Outcome,
  RefusalReason,
  SourceEnd,
  SourceTotals,
  Stretch,
  Verdict,
} from "../../frame.ts";
import type { SinkTraits } from "../../ports.ts";

/** The bytes of one frame until it is committed: write*, then `discard`. */
export interface Draft {
  /** Written so far. */
  readonly bytes: number;
  /** Takes all of `view` before it returns. Throws what the destination throws; then only `discard` may follow. */
  write(view: Uint8Array): void;
  /** Gives back what it holds, unless the commit has made it the stored frame. Never throws; may be called again. */
  discard(): void;
}

/** A frame that is complete and whose checksum held. */
export interface StagedFrame<D extends Draft = Draft> {
  readonly kind: "frame";
  readonly frame: Frame;
  readonly draft: D;
  readonly crc32: number;
  /** When its last byte had arrived, nanoseconds since the epoch by this machine's clock. */
  readonly receivedNs: bigint;
}

/** `recordedNs`: when the receiver learned of it. */
export type StagedNote =
  | { readonly kind: "gap"; readonly gap: Gap; readonly recordedNs: bigint }
  | { readonly kind: "stretch"; readonly stretch: Stretch; readonly recordedNs: bigint }
  | { readonly kind: "end"; readonly end: SourceEnd; readonly recordedNs: bigint };

export type StagedItem<D extends Draft = Draft> = StagedFrame<D> | StagedNote;

/** What became of one item of a group that was committed. Totals: an end is recorded whose totals are not these. */
export type Result = Outcome | RefusalReason | SourceTotals;

/** What room is needed for. */
export interface SpaceRequest {
  /** The next frame. */
  readonly bytes: number;
  /** All that came before it and is not committed yet; at least what the last group that failed needs. */
  readonly waitingBytes: number;
}

export interface StoreTraits extends SinkTraits {
  /** Each frame is committed by itself, whatever `--sync` says. */
  readonly oneByOne?: boolean;
}

/** Removes what is to be kept no longer, between commits. */
export interface Expiry {
  /** There may be something to remove. Asked often. */
  readonly due: boolean;
  /**
   * Removes a little, and says how many bytes have gone; 0: nothing more has to go now. Rejects with what shows that
   * the destination has failed.
   */
  step(): Promise<number>;
}

/**
 * A destination, used by one `StoreSink`. Names and sizes of frames that are begun have been checked. What it throws,
 * or rejects with, is what the system said, or a SinkError if it says more than that.
 */
export interface Store<D extends Draft = Draft> {
  /** For messages: the path, or `-`. */
  readonly place: string;
  readonly traits: StoreTraits;
  /** As that of a sink; of names that are not safe, or frames that are too large, what it says does not count. */
  lookup(origin: Origin, entries: readonly FrameEntry[], firstSequence?: number): Verdict[] | Promise<Verdict[]>;
  /**
   * Whether a frame of safe names could have a path here; absent: it always has. Asked of each offer before `lookup`,
   * so that what will be refused for its name is not sent first.
   */
  hasPathFor?(origin: Origin, entry: FrameEntry, sequence: number): boolean;
  /** Begins a frame, or says why it is not taken. */
  begin(frame: Frame): D | RefusalReason;
  /**
   * A frame is whole, and will be in a commit: what takes its time may begin. Says nothing and throws nothing; what
   * became of it the commit says. Absent: all is done in the commit.
   */
  staged?(frame: StagedFrame<D>): void;
  /**
   * Makes these items durable, in order, and says what became of each. If it throws or rejects, none of them counts as
   * stored; they may be committed again, one by one, or sent again. One commit at a time.
   */
  commit(items: readonly StagedItem<D>[]): readonly Result[] | Promise<readonly Result[]>;
  /**
   * Whether there is room: `undefined`, or the lack for a person. Called before each frame, so it is cheap when all is
   * well. Throws what shows that the destination has failed.
   */
  check(request: SpaceRequest): SinkError | undefined;
  /** After a failure, and never during a commit: returns if it can be used again, throws why not. */
  recover(): void;
  /**
   * Tries all that storing this frame takes, but for its own bytes: after it has failed twice where the store as such
   * works. Throws what fails, which is then a fault of its source; or a SinkError that says more. If it returns, the
   * frame itself cannot be stored. Absent: every failure is one of the store.
   */
  probe?(frame: Frame): void;
  /** For messages: where this frame would be; absent: `place`. */
  placeOf?(frame: Frame): string;
  /** What a person can do about a failure of the store, beside what can be done about such failures anywhere. */
  hintsFor?(error: unknown): readonly string[];
  /** Bytes of a device's frames, and 4 KiB for each frame and gap. Absent: it does not know. */
  holdingOf?(device: string): number;
  /** Absent or undefined: nothing is ever removed. */
  readonly expiry?: Expiry | undefined;
  /** Once, after the last commit. */
  close(): void;
}
