/**
 * What happened, for a person or a machine. The pipelines emit these; the command line turns them into a progress
 * display, plain lines or JSON lines. The words are those of ARCHITECTURE.md. Times are added by the printer.
 */
import type { GapReason, Notice, RefusalReason, SourceTotals, StretchClass } from "./frame.ts";
import type { OutcomeCounts } from "./outcomes.ts";

export type SenderEvent =
  | { readonly event: "connecting"; readonly peer: string }
  /** `device`: what the receiver calls us, where keys say so. */
  | { readonly event: "connected"; readonly peer: string; readonly agent: string; readonly device?: string }
  /** The connection is gone and will be tried again in `retryMs`. Emitted once per outage, not per attempt. */
  | {
      readonly event: "disconnected";
      readonly peer: string;
      readonly reason: string;
      /** What a person can do, where the receiver is there. */
      readonly hint?: string;
      readonly retryMs: number;
    }
  /** The receiver cannot store for now (disk full, gone): one source, or all if none is named. */
  | {
      readonly event: "held";
      readonly reason: string;
      readonly source?: string;
      /** So long it is waited for. */
      readonly retryForMs?: number;
    }
  | { readonly event: "resumed"; readonly source?: string }
  /** The receiver lives and does not do what it owes: we wait, or go on without. */
  | { readonly event: "waiting"; readonly detail: string }
  /** The receiver sees something that we cannot see. `keyed`: our name is our key's. */
  | { readonly event: "notice"; readonly notice: Notice; readonly detail: string; readonly keyed: boolean }
  /** If `eachFrame` is asked for: a frame is acknowledged, and was not there before. */
  | { readonly event: "stored"; readonly source: string; readonly name: string }
  /** A file, folder or frame that cannot be sent; the rest goes on. */
  | {
      readonly event: "skipped";
      readonly source: string;
      readonly name: string;
      readonly count: number;
      readonly reason: GapReason;
      readonly detail: string;
    }
  | {
      readonly event: "refused";
      readonly source: string;
      readonly name: string;
      readonly count: number;
      readonly reason: RefusalReason;
      readonly detail: string;
    }
  /** Stored under a numbered name because the name held other bytes. */
  | { readonly event: "conflict"; readonly source: string; readonly name: string }
  | { readonly event: "source-ended"; readonly source: string; readonly totals: SourceTotals }
  /** What the receiver has is not what it told us in the run: `claimed` is our count, `found` its account. */
  | {
      readonly event: "totals-differ";
      readonly source: string;
      readonly claimed: SourceTotals;
      readonly found: SourceTotals;
    }
  | { readonly event: "finished"; readonly interrupted: boolean; readonly unsettled: number };

export type ReceiverEvent =
  | {
      readonly event: "listening";
      readonly address: string;
      readonly out: readonly string[];
      /** No destination keeps frames: an ack means that one was handed on. */
      readonly keepsNothing: boolean;
      /** What an ack means where frames go to a store on another machine. */
      readonly ackMeans?: string;
    }
  | {
      readonly event: "session-started";
      readonly session: string;
      readonly peer: string;
      readonly device: string;
      readonly protocol: "wire" | "lockstep";
      /** That the peer has proven. */
      readonly key?: string;
      /** This session had a connection before: the sender came back. */
      readonly again: boolean;
    }
  | {
      readonly event: "session-ended";
      readonly session: string;
      readonly device: string;
      readonly interrupted: boolean;
      /** Over all connections of the session, and all its sources. */
      readonly totals: SourceTotals;
      /** Under whatever name. */
      readonly storedFrames: number;
      readonly storedBytes: number;
    }
  /** Two senders of one device are live at once. */
  | {
      readonly event: "shared-device";
      readonly device: string;
      readonly peers: readonly string[];
      readonly keyed: boolean;
    }
  | { readonly event: "connection-lost"; readonly peer: string; readonly device: string; readonly reason: string }
  /** Not one of our peers, or one that broke the protocol: closed. */
  | { readonly event: "connection-refused"; readonly peer: string; readonly reason: string }
  /** More of them in this minute than were named. */
  | { readonly event: "connections-refused"; readonly count: number }
  /** Two machines have one key: it was copied, or one of them has just changed its address. */
  | {
      readonly event: "key-shared";
      readonly device: string;
      readonly key: string;
      readonly peers: readonly [string, string];
    }
  | {
      readonly event: "rejected";
      readonly device: string;
      readonly source: string;
      readonly name: string;
      readonly reason: RefusalReason;
      readonly detail: string;
    }
  /** If `eachFrame` is asked for. */
  | {
      readonly event: "stored";
      readonly device: string;
      readonly source: string;
      readonly name: string;
      readonly bytes: number;
    }
  | { readonly event: "conflict"; readonly device: string; readonly source: string; readonly name: string }
  /** A frame was stored that is not as it should be: the words of its notes, as in the catalogue. */
  | {
      readonly event: "noted";
      readonly device: string;
      readonly source: string;
      readonly name: string;
      readonly notes: readonly string[];
      readonly detail: string;
    }
  | {
      readonly event: "gap";
      readonly device: string;
      readonly source: string;
      readonly name: string;
      readonly count: number;
      readonly reason: GapReason;
      readonly detail: string;
    }
  /** Bytes of a stream that are in no frame, before the frame or gap `before`. */
  | {
      readonly event: "stretch";
      readonly device: string;
      readonly source: string;
      readonly class: StretchClass;
      readonly before: number;
      readonly count: number;
      readonly bytes: number;
      readonly detail: string;
    }
  | { readonly event: "source-ended"; readonly device: string; readonly source: string; readonly totals: SourceTotals }
  /** What a sender says it sent is not what is here. */
  | {
      readonly event: "totals-differ";
      readonly device: string;
      readonly source: string;
      readonly claimed: SourceTotals;
      readonly found: SourceTotals;
    }
  /** Nothing can be stored for now, or no more of this device, or of this source of it. */
  | {
      readonly event: "held";
      readonly device?: string;
      readonly source?: string;
      readonly reason: string;
      /** What a person can do. */
      readonly hints?: readonly string[];
    }
  | { readonly event: "resumed"; readonly device?: string; readonly source?: string }
  /** For so long nothing was done at all, because the system did not answer. */
  | { readonly event: "stood-still"; readonly seconds: number }
  | DestinationEvent
  | ViewEvent
  | UpstreamEvent;

/** Of a destination, whatever frames come: what somebody has done to it, or what we have. */
export type DestinationEvent = {
  readonly event: "destination";
  readonly place: string;
  readonly what:
    | "begun" // nothing was there
    | "replaced" // another one is there than before
    | "rotated" // this archive of a set is closed, and the next is open
    | "lock-made"
    | "log-removed"
    | "log-large"
    | "log-small"
    | "converting" // from an earlier version
    | "unshared" // nobody else can read the catalogue
    | "age-doubted" // --keep: the clock is not believed
    | "age-believed"
    | "not-removed"
    | "rebuilt" // the catalogue, when somebody asked for it
    | "set-aside"; // damaged files, when somebody asked for it
  /** A sentence for a person. */
  readonly detail: string;
  readonly hints?: readonly string[];
  readonly bytes?: number;
};

/** Of the receiver that a gateway hands on to. */
export type UpstreamEvent =
  | { readonly event: "upstream-connected"; readonly peer: string }
  /** `device`: whose connection it was; empty: that of the gateway itself. */
  | { readonly event: "upstream-lost"; readonly peer: string; readonly device: string; readonly reason: string }
  /** It cannot store for now. */
  | { readonly event: "upstream-held"; readonly peer: string; readonly reason: string }
  | { readonly event: "upstream-resumed"; readonly peer: string }
  /** It takes nothing of this device; tried again later. */
  | {
      readonly event: "upstream-refused";
      readonly peer: string;
      readonly device: string;
      readonly reason: string;
      readonly hints: readonly string[];
    }
  /** Numbers that are here and not there. 0: nothing is left. */
  | { readonly event: "upstream-backlog"; readonly peer: string; readonly frames: number }
  /** A frame that will never be there. */
  | {
      readonly event: "not-handed-on";
      readonly peer: string;
      readonly device: string;
      readonly source: string;
      readonly name: string;
      readonly count: number;
      readonly reason: GapReason | RefusalReason;
      readonly detail: string;
    }
  /** What it has of a source is not what was handed on. */
  | {
      readonly event: "upstream-differs";
      readonly peer: string;
      readonly device: string;
      readonly source: string;
      readonly claimed: SourceTotals;
      readonly found: SourceTotals;
    };

/** Of a destination that is shown the frames beside those that keep them, and never waited for. */
export type ViewEvent =
  /** It takes frames more slowly than they come: from now on some are left out. */
  | { readonly event: "view-behind"; readonly place: string }
  | { readonly event: "view-resumed"; readonly place: string; readonly skippedFrames: number }
  | { readonly event: "view-ended"; readonly place: string; readonly reason: string };

/** Per source, for the progress display. Plain counters, updated in place; read a few times a second. */
export interface SourceProgress {
  readonly source: string;
  /** Frames listed so far; the end of the listing makes it the total. */
  listedFrames: number;
  listedBytes: number;
  listingDone: boolean;
  /** Frames acknowledged or already there or given up: nothing is left to do for them. */
  settledFrames: number;
  settledBytes: number;
  storedFrames: number;
  duplicateFrames: number;
  conflictFrames: number;
  refusedFrames: number;
  skippedFrames: number;
  /** Payload bytes handed to the link, resends included. */
  sentBytes: number;
}

/** Per origin at the receiver, over all its sessions. Plain counters, updated in place. */
export interface OriginProgress {
  readonly device: string;
  readonly source: string;
  /** Frames by what became of them: each number of a session is in one, that of its last word. */
  readonly frames: OutcomeCounts;
  /** Of those that are stored, under whatever name. */
  storedBytes: number;
  /** Payload bytes received, stored or not. */
  receivedBytes: number;
}

/** Of keys and of who may send. `key` is a fingerprint. */
export type TrustEvent =
  | { readonly event: "key-made" | "spare-made"; readonly path: string; readonly key: string }
  | { readonly event: "no-devices"; readonly folder: string }
  | { readonly event: "granted" | "withdrawn"; readonly device: string; readonly key: string }
  | { readonly event: "bad-device-file"; readonly path: string; readonly problem: string }
  | { readonly event: "grants-unknown"; readonly problem: string }
  | { readonly event: "grants-known"; readonly folder: string }
  | { readonly event: "invitation-passed-over"; readonly reason: string }
  /** A key that is one device came with the invitation of another. */
  | { readonly event: "invitation-left"; readonly device: string; readonly invited: string }
  | { readonly event: "pins-not-kept"; readonly problem: string };
