/**
 * The contracts between the parts: types only. Who implements them is known to `sources/open-source.ts`,
 * `sinks/open-sink.ts` and `transport/`; everyone else, the simulation included, knows only what is written here.
 */
import type { SinkError } from "./errors.ts";
import type {
  Frame,
  FrameEntry,
  Gap,
  GapReason,
  HeardOutcome,
  Metadata,
  Origin,
  Outcome,
  RefusalReason,
  SequenceNumber,
  SourceEnd,
  SourceTotals,
  Stretch,
  StretchClass,
  Verdict,
} from "./frame.ts";

/** Time. Timers fire on the caller's thread and never inside the call that set them. */
export interface Clock {
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Wall clock, nanoseconds since the epoch. */
  wallNs(): bigint;
  /** Calls `run` once after `delayMs`, unless the returned function is called first. */
  after(delayMs: number, run: () => void): () => void;
}

/** What the other end of an encrypted connection has proven: that it holds this key, on this very connection. */
export interface ProvenKey {
  /** `fp1…` */
  readonly fingerprint: string;
  /** What TLS exported for the label of joins: 32 bytes that only the two ends of this connection know. */
  readonly exporter: Uint8Array;
}

/**
 * One connection's outgoing half. Bytes come in through `LinkHandlers`.
 * `write` takes what fits and says how much; after a short count `drain` is called when more fits.
 */
export interface Link {
  /** For messages: `127.0.0.1:41234`. */
  readonly peer: string;
  /** Undefined: nothing is encrypted, and the peer may be anybody. */
  readonly proven?: ProvenKey | undefined;
  /** The peer may send: it does not count as a stranger any more. */
  admit?(): void;
  /** Returns how many of `view`'s bytes were taken (0 … length). The caller may reuse the memory at once. */
  write(view: Uint8Array): number;
  /** No more `data` until `resume`. At most one more chunk may still arrive. */
  pause(): void;
  resume(): void;
  /** Sends FIN behind what `write` took; the peer still may send. */
  shutdown(): void;
  /** Drops the connection now. `closed` is called, perhaps inside this call. */
  close(): void;
}

export interface LinkHandlers {
  /** The link can be written to. Called first, once. */
  opened(link: Link): void;
  /** `chunk` belongs to the callee from now on and is never written again. */
  data(chunk: Uint8Array): void;
  drain(): void;
  /**
   * Last call, exactly once; also when `opened` never came. `reason` is a line for a person, empty for an orderly
   * end; `hint` what a person can do, where somebody is there and it is not the link that has to be mended.
   */
  closed(reason: string, hint?: string): void;
}

/** What an end shows and proves of itself in TLS. A *fingerprint* is the text of a public key: `fp1…`. */
export interface Identity {
  readonly fingerprint: string;
  /** PEM. */
  readonly certificate: string;
  /** PEM. Secret: never in an event, an error or a message. */
  readonly privateKey: string;
}

/** A sender's key, and whom it sends to. */
export interface SenderTrust {
  readonly identity: Identity;
  /** Fingerprints that the receiver may prove, the present key first. Changes with `pinned`. */
  readonly pins: readonly string[];
  /**
   * What HELLO carries to a receiver that proved `receiver`; empty without an invitation. `exporter`: what TLS exported
   * for the label of joins.
   */
  joinProof(exporter: Uint8Array, receiver: string): Uint8Array;
  /**
   * A receiver that proved `receiver`, one of `pins`, welcomed us and says that its keys are `announced`. What is new
   * is kept in the key file, so that neither an invitation nor a change of the receiver's key is needed twice.
   */
  pinned(receiver: string, announced: readonly string[]): void;
}

/** A receiver's key, and who may do what. */
export interface ReceiverTrust {
  readonly identity: Identity;
  /** For WELCOME: fingerprints of this receiver, the present key and the spare. */
  readonly pins: readonly string[];
  /** What a proven key may do at all. Undefined: it may only join. */
  grantOf(fingerprint: string): Grant | undefined;
  /** Whether a proven key may write as `device`; an empty name asks for its own. */
  admit(fingerprint: string, device: string): Admission;
  /** What a device may have at the destination, in bytes. Undefined: as much as there is room. */
  quotaOf(device: string): number | undefined;
  /**
   * Takes up an invitation for the key `fingerprint`, which was proven on the connection that exported `exporter`, or
   * refuses it. It is durable when the promise resolves, and `grantOf` knows the key. Of a key that has a grant already
   * the invitation is used up. Never rejects.
   */
  join(request: {
    readonly proof: Uint8Array;
    readonly exporter: Uint8Array;
    readonly fingerprint: string;
  }): Promise<Admission>;
  /**
   * `lost` is called with a key whose grant is gone or has become another: its connections must end. Within a second of
   * the change.
   */
  watch(lost: (fingerprint: string) => void): void;
  /** Why the grants are not known now, for a person and for health checks. Undefined: all is well. */
  readonly trouble: string | undefined;
  dispose(): void;
}

/** What a key may do. */
export interface Grant {
  readonly fingerprint: string;
  /** The device that it writes as: one segment. */
  readonly device: string;
  /** Only these sources. Undefined: any. */
  readonly sources?: readonly string[] | undefined;
  /** Bytes per millisecond. */
  readonly maxRate?: number | undefined;
  /** Bytes at the destination. */
  readonly quota?: number | undefined;
  /** It hands on for other devices: those that match one of these, with `*` for any characters. */
  readonly gateway?: readonly string[] | undefined;
}

/** The device that a connection writes as and what it may do, or why not: a line for a person that names the key. */
export type Admission =
  | {
      readonly device: string;
      readonly grant: Grant;
      /** What was asked for besides and is not so, for the user at the other end. */
      readonly remark?: string;
      readonly refused?: never;
    }
  | { readonly refused: string };

/** Starts one connection attempt. Exactly one `closed` follows, whatever happens. */
export type Dial = (handlers: LinkHandlers) => void;

/**
 * Frames in order. One reader at a time: list*, then for any entry listed: open, read*, close; settle once.
 * A source is used by one session. What it keeps in memory is bounded, each says by what.
 */
export interface Source {
  /** The word for it on the command line and in the catalogue. */
  readonly name: string;
  /** New frames keep coming (a camera's stream, a watched directory), and should arrive soon. */
  readonly live?: boolean;
  /**
   * Frames that it has and has not listed, for a live source that is stopped: 0 means that nothing is left behind.
   * Undefined: nobody knows.
   */
  readonly unlistedFrames?: number | undefined;
  /** Frames that only this process has: lost if it ends now. Undefined: what is not settled can be read again. */
  readonly heldFrames?: number | undefined;
  /** No new frames from now on; what it has can still be listed and read. A source without it has no such moment. */
  stop?(): void;
  /**
   * The next entries in sending order, at most `max`; with `liveOnly` those that are `live` and what was dropped
   * before them. An empty list: nothing now, ask again after `onReady`. `undefined`: there will be no more, ever.
   */
  list(max: number, liveOnly?: boolean): (Listed | ListedStretch)[] | undefined;
  /** Called when `list` may give something again. Sources that always know (directories) never call it. */
  onReady?: () => void;
  /**
   * Prepares `entry` for reading and says its size now, which may differ from the listed one.
   * Throws SourceError; nothing is open then.
   */
  open(entry: FrameEntry): OpenedFrame;
  /**
   * The receiver has a frame of this name, size and capture time, and its bytes have this checksum: whether they are
   * those of `entry`. If not it is sent, and stored beside the other. Undefined: it has read some of them; ask again. A
   * source without it takes name, size and time for proof.
   */
  confirms?(entry: FrameEntry, crc32: number): boolean | undefined;
  /**
   * The frame is settled: acknowledged (`outcome`), or reported as a gap (`undefined`). Never called before the ack.
   * `crc32` is the checksum the receiver holds, for a source that deletes what has arrived: only `stored`, `already`
   * and `conflict` say that it has. `fate`: for a source that hands on.
   */
  settled(entry: FrameEntry, outcome: HeardOutcome | undefined, crc32: number | undefined, fate?: Fate): void;
  /** Its totals over all runs, for a source that hands on. Absent: as this run has counted. */
  totals?(): SourceTotals;
  /** The receiver has recorded its end. */
  ended?(): void;
  /** Releases everything. May be called at any time, more than once. */
  dispose(): void;
}

/** Which number was settled. `gapReason`: it was told as a gap, for this reason. */
export interface Fate {
  readonly sequence: SequenceNumber;
  readonly gapReason: GapReason | undefined;
}

/** An entry, or frames that will not arrive. */
export type Listed = ListedFrame | ListedGap;

export interface ListedFrame extends FrameEntry {
  /**
   * Its number, of a source that hands on what came with one; not listed again before it is settled. Absent: the next.
   */
  readonly sequence?: SequenceNumber;
  /**
   * It is new (a camera's), so it is sent without asking whether the receiver has it. After a lost connection that is
   * asked all the same.
   */
  readonly live?: true;
}

/** Frames that cannot be sent: their sequence numbers become a gap. */
export interface ListedGap {
  /** Empty if they have none. */
  readonly name: string;
  readonly failure: GapReason;
  readonly detail: string;
  /** How many; 1 if it is not said. At most 4,096 at a time, because each is kept until the gap is recorded. */
  readonly count?: number;
  /** The number of the first, as of a frame. */
  readonly sequence?: SequenceNumber;
}

/** Bytes of a stream before its next frame that are in none. With `loss` a gap is listed besides. */
export interface ListedStretch {
  readonly stretch: StretchClass;
  /** The number of what follows it, as of a frame. */
  readonly sequence?: SequenceNumber;
  readonly count: number;
  readonly bytes: number;
  /** What they are, one line for a person. */
  readonly text: string;
}

/** What a gateway has stored and has not handed on to its upstream. */
export interface Backlog {
  /** Called when there may be more of a device. */
  onWork?: (device: string) => void;
  /** Numbers, gaps included. */
  readonly frames: number;
  /** That have something. */
  devices(): string[];
  /** There is another session of this device that has something. */
  waits(device: string): boolean;
  /** The session of this device whose turn it is, and that nobody has taken. Undefined: there is nothing to do. */
  take(device: string): Handing | undefined;
}

/** A session that is being handed on, as it came: to one who releases it. */
export interface Handing {
  readonly device: string;
  readonly session: string;
  /** Keys of the gateways that it came through, this one not among them. */
  readonly via: readonly string[];
  /** The device's clock minus ours. */
  readonly clockOffsetNs: bigint;
  readonly sources: readonly Source[];
  /** The session has a source by now that is not among these. */
  isStale(): boolean;
  /** Something is due, or on its way. */
  hasWork(): boolean;
  release(): void;
}

/** One frame being read, start to end, in pieces. */
export interface OpenedFrame {
  readonly bytes: number;
  /** If it was not listed. */
  readonly metadata?: Metadata | undefined;
  /** Bits of `Note` beside those that were listed; looked at when the last byte has been read. */
  readonly notes?: number | undefined;
  /**
   * Fills `into` from its start and returns the count, which is less than asked only at the end of the frame.
   * Throws SourceError: the frame is abandoned; the caller still calls `close`. A change during reading is an error
   * at the latest in the read that returns the last byte.
   */
  read(into: Uint8Array): number;
  /** Releases it. Once. */
  close(): void;
}

/**
 * Where the receiver stores. All frames of all connections go through one sink, on one thread.
 * Per frame: open, write*, then finish or abort, once. Several frames may be open at a time.
 * Finished frames, gaps and ends are *staged*; `commit` makes them durable together and only then reports them.
 */
export interface Sink {
  /** For messages: the path or `-`. */
  readonly place: string;
  readonly traits: SinkTraits;
  /**
   * What the sink already holds of these offers; one verdict per entry, in order. Throws, or rejects with, SinkError.
   * A promise only where a destination has to be asked over a network; answers may come in any order. With
   * `firstSequence` they are numbered from there: a sink that keeps account has entered what it answers with `have`
   * when it answers, because the sender takes those numbers for done.
   */
  lookup(origin: Origin, entries: readonly FrameEntry[], firstSequence?: number): Verdict[] | Promise<Verdict[]>;
  /**
   * Begins a frame. Returns a writer, or why this frame cannot be taken (the session goes on).
   * Throws SinkError, whose scope says whom it concerns.
   */
  open(frame: Frame): FrameWriter | RefusalReason;
  /** Stages a gap. `done` is called after the commit that records it. */
  gap(gap: Gap, done: Settle): void;
  /** Stages bytes in no frame. A stretch of the same origin and sequence replaces an earlier one. */
  stretch(stretch: Stretch, done: Settle): void;
  /**
   * Stages the end of a source. A sink that keeps account says `recorded` only if it shares the totals, and its own
   * where they are others; then the end is recorded all the same.
   */
  end(end: SourceEnd, done: Settle): void;
  /** Frames, gaps and ends staged and not yet reported. */
  readonly stagedFrames: number;
  readonly stagedBytes: number;
  /** Something may have to be removed that is to be kept no longer: `commit` does that as well. Absent: never. */
  readonly expires?: boolean;
  /**
   * Makes everything staged durable, then calls every `Settle`, in the order of staging, then `done`.
   * At most one commit runs at a time; what is staged meanwhile belongs to the next. With nothing to wait for,
   * everything may be called before `commit` returns. A failure is given to each Settle that it concerns, and to `done`
   * if it concerns everybody. Called with nothing staged it removes a little of what is to be kept no longer. `settled`
   * is called where something is removed between the last Settle and `done`: acks need not wait for that.
   */
  commit(done: (failure: SinkError | undefined) => void, settled?: () => void): void;
  /**
   * Whether `bytes` more can be stored now. `undefined`: yes. A SinkError says why not, for a person.
   * Called before each frame, so it is cheap when all is well. After a failure it tries to make the destination usable
   * again.
   */
  ready(bytes: number): SinkError | undefined;
  /**
   * A frame failed with a SinkError of scope `source`, and others are stored: whether it could be stored by now, as far
   * as that can be tried without its bytes. `undefined`: yes; then frames of its source are taken again.
   */
  retry(frame: Frame): SinkError | undefined;
  /**
   * Why a device that may have `quota` bytes in all may not have `bytes` more. `undefined`: it may, or its oldest
   * frames go. Absent: nothing is kept.
   */
  overQuota?(device: string, quota: number, bytes: number): SinkError | undefined;
  /** After the last commit: `done` is called when whoever is shown frames has been shown them. Absent: nobody is. */
  drain?(done: () => void): void;
  /** Waits for nothing: call after the last commit is done. Open writers are aborted. */
  dispose(): void;
}

/** What a destination can and cannot do. */
export interface SinkTraits {
  /** Frames cannot be taken out again one by one. */
  readonly appendOnly?: boolean;
  /** It is another machine's: what an ack of it means, for a person. */
  readonly remote?: string;
  /** It knows what it was given only until it is closed. */
  readonly forgets?: boolean;
  /** It knows what each device has. */
  readonly countsDevices?: boolean;
  /** Frames are handed on or discarded: an ack does not mean that anything is kept. */
  readonly keepsNothing?: boolean;
  /** So many bytes staged are to be committed before more is taken. Absent: `groupBytesMax`. */
  readonly groupBytes?: number;
}

/**
 * Called once per staged item: its outcome, why it is refused (the rest went on), or the failure, whose scope says whom
 * it concerns.
 */
export type Settle = (result: Outcome | RefusalReason | SourceTotals | SinkError) => void;

/** Gives a writer for a frame that begins, which does what `writer` does and looks on. */
export type WatchFrame = (frame: Frame, writer: FrameWriter) => FrameWriter;

export interface FrameWriter {
  /**
   * Takes all of `view` before it returns: the view is not valid afterwards. Throws SinkError, of any scope; then only
   * `abort` may follow.
   */
  write(view: Uint8Array): void;
  /** The rest comes on another connection: what is staged is this frame, the same but for what it came with. */
  goOn(frame: Frame): void;
  /** All bytes are written and `crc32` was checked: stages the frame. Throws SinkError. */
  finish(crc32: number, done: Settle): void;
  /** Forgets the frame and removes what was written. Never throws. */
  abort(): void;
}
