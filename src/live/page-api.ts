/**
 * What the page and its server say to each other, as types; HTTP.md says when. Both import this file, so it imports
 * nothing that runs.
 */
import type { GapReason } from "../frame.ts";
import type { OutcomeCounts } from "../outcomes.ts";

/** A source: `rig-7/visible`, each part percent-encoded as a whole. Never to be taken apart. */
export type SourceKey = string;

/** UTC, with three, six or nine decimals: `2026-11-25T10:32:07.120Z`. */
export type Time = string;

/** Why a process is not healthy. */
export type Trouble = "starting" | "held" | "grants-unknown" | "unconnected";

// ---- the live channel

export const liveProtocol = "framepipe.live.1";
/** Before the token, in a subprotocol. */
export const tokenProtocol = "framepipe.token.";
/** Pictures that may be sent before one was given back. */
export const creditMax = 16;

export type PictureSize = "thumbnail" | "full";

/** Each field stands for itself; a message may have several. */
export interface ViewerMessage {
  /** Instead of what was shown before. */
  readonly show?: Readonly<Record<SourceKey, PictureSize>>;
  /** More pictures that may be sent. */
  readonly credit?: number;
  /** Figures each second, or no more. */
  readonly figures?: boolean;
  /** Any number. */
  readonly ping?: number;
}

export type ServerMessage =
  | { readonly figures: Figures }
  /** `now`: the server's clock. */
  | { readonly pong: number; readonly now: Time };

/** The head of a binary message: its length as u32, little-endian, then this as JSON, then the picture. */
export interface Picture extends FrameFacts {
  readonly size: PictureSize;
  /** Which frame of this process it is: a later one is higher. */
  readonly serial: number;
  /** When the server handed it over, by the server's clock. */
  readonly sent: Time;
  readonly format: PictureFormat;
  readonly shown: Shown;
  /** Of the bytes that follow; empty where none do. */
  readonly mediaType: string;
  /** Of the whole picture in points, where its header says so. */
  readonly width?: number;
  readonly height?: number;
  /** Instead of a picture: what it is and why it is not shown, a line for a person. */
  readonly text?: string;
}

export type PictureFormat =
  "jpeg" | "png" | "webp" | "gif" | "bmp" | "avif" | "pnm" | "y4m" | "raw" | "tiff" | "heif" | "unknown";

/** `image`: a browser shows it. `samples`: the page makes it into points first. `none`: there is no picture. */
export type Shown = "image" | "samples" | "none";

export interface FrameFacts {
  readonly key: SourceKey;
  /** Not known at a sender, nor is the number. */
  readonly session?: string;
  readonly sequence?: number;
  readonly name: string;
  /** Of the frame. */
  readonly bytes: number;
  /** When it was taken, by the sender's clock. */
  readonly captured: Time;
  /** The same by ours, where the sender's clock is known to be another. */
  readonly corrected?: Time;
  /** When its last byte had arrived; at a sender, when it was read. */
  readonly received?: Time;
  /** When it was stored, at a receiver. */
  readonly stored?: Time;
}

// ---- figures

export interface Figures {
  readonly now: Time;
  readonly role: "receiver" | "sender";
  readonly program: string;
  /** When the process began. */
  readonly since: Time;
  /** Undefined: all is well. */
  readonly trouble?: Trouble;
  /** There are stored frames to be asked for. */
  readonly catalogue: boolean;
  /** Of senders that were let in; at a sender 1 or 0. */
  readonly connections: number;
  readonly sources: readonly SourceFigures[];
  /** Where frames are stored, if that is a directory or a file. */
  readonly space?: SpaceFigures;
}

export interface SourceFigures {
  readonly key: SourceKey;
  /** Empty at a sender that does not know what it is called. */
  readonly device: string;
  readonly source: string;
  /** Since the process began; the last word on a frame counts. */
  readonly frames: Readonly<OutcomeCounts>;
  /** Of frames that were stored; at a sender, that were sent. */
  readonly bytes: number;
  /** Over the last ten seconds. */
  readonly framesPerSecond: number;
  readonly bytesPerSecond: number;
  /** Listed, and not settled: only the sender knows. */
  readonly backlogFrames?: number;
  readonly backlogBytes?: number;
  /** At a receiver: how old the newest frame was when it was stored. */
  readonly behindSeconds?: number;
  /** Of the newest frame; undefined: none since the process began. */
  readonly captured?: Time;
  readonly received?: Time;
  readonly stored?: Time;
  /** Legs of the way of the newest frames, medians over the last ten seconds, in milliseconds. */
  readonly legs?: Legs;
  /** Frames that will not arrive, since the process began. */
  readonly gaps: Readonly<Partial<Record<GapReason, number>>>;
}

export interface Legs {
  /** From capture to its last byte here, as far as the clocks are known. */
  readonly sent?: number;
  /** From its last byte to the commit. */
  readonly stored?: number;
}

export interface SpaceFigures {
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Until `--min-free` is reached, at the rate of the last ten minutes; undefined: nothing comes, or old frames go. */
  readonly daysLeft?: number;
}

// ---- stored frames

/** A row of the catalogue, as in `--read --as json`, and what it is asked for by. */
export interface StoredFrame {
  readonly id: number;
  readonly key: SourceKey;
  readonly device: string;
  readonly source: string;
  readonly session: string;
  readonly sequence: number;
  readonly name: string;
  readonly path: string;
  /** 1; from 2 on it is a conflict. */
  readonly number: number;
  readonly bytes: number;
  readonly crc32: number;
  /** By the clock that was asked for: what frames are ordered by. */
  readonly captured: Time;
  readonly received: Time;
  readonly notes?: readonly string[];
  /** Whatever travelled with it. */
  readonly metadata?: unknown;
}

/** `/api/frames`: in the order of time. */
export interface Frames {
  readonly frames: readonly StoredFrame[];
}

/** `/api/moment`: of each source that was asked for, the frame nearest to it; undefined: it has none. */
export interface Moment {
  readonly at: Time;
  readonly sources: readonly {
    readonly key: SourceKey;
    readonly frame?: StoredFrame;
    /** Positive: it was taken later. */
    readonly differenceMs?: number;
  }[];
}

/** `/api/pairs`: in the order of time. `differenceMs` is positive where the second was taken later. */
export interface Pairs {
  readonly pairs: readonly { readonly differenceMs: number; readonly frames: readonly [StoredFrame, StoredFrame] }[];
}

/** `/api/timeline`: counts in equal parts of the time from `from` to `to`, of which `to` is not part. */
export interface Timeline {
  /** Wider than what was asked for, if that does not fall on what counts are kept for. */
  readonly from: Time;
  readonly to: Time;
  readonly buckets: number;
  readonly sources: readonly {
    readonly key: SourceKey;
    readonly device: string;
    readonly source: string;
    /** Of all times; undefined: it has no frame. */
    readonly first?: Time;
    readonly last?: Time;
    readonly frames: readonly number[];
    /** Frames that did not arrive, at the time when the receiver learned of it; reasons that there are. */
    readonly gaps: Readonly<Partial<Record<GapReason, readonly number[]>>>;
  }[];
}

/** `/api/gaps`: nearest to the time that was asked for first. */
export interface Gaps {
  readonly gaps: readonly StoredGap[];
}

export interface StoredGap {
  readonly id: number;
  readonly key: SourceKey;
  readonly device: string;
  readonly source: string;
  readonly session: string;
  readonly firstSequence: number;
  readonly count: number;
  readonly reason: GapReason;
  /** Empty: the frame never had one. */
  readonly name: string;
  readonly detail: string;
  /** When the receiver learned of it. */
  readonly recorded: Time;
  /** No frame of that name was stored later. */
  readonly open: boolean;
}

// ---- tickets

export interface TicketRequest {
  /** Path and query of one download. */
  readonly path: string;
}

export interface Ticket {
  readonly ticket: string;
}
