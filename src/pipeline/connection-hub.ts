/** The side of the receiver that its connections see. */
import type { SinkError } from "../errors.ts";
import type { ReceiverEvent } from "../events.ts";
import type { Origin } from "../frame.ts";
import type { Clock, Sink, WatchFrame } from "../ports.ts";
import type { CutFrames } from "./cut-frames.ts";
import type { KeyDesk } from "./key-desk.ts";
import type { SharedNames } from "./shared-names.ts";
import type { SourceHolds } from "./source-holds.ts";
import type { Tally } from "./tally.ts";

/** A connection as the speaker of a session. */
export interface SessionConnection {
  readonly device: string;
  /** Once the peer has introduced itself, and may send. */
  readonly session: string | undefined;
  /** What tells sessions apart. */
  readonly sessionKey: string;
  /** The session has come to its end, by its own word. */
  readonly ended: "complete" | "incomplete" | undefined;
  /** Another connection of the same session has taken over. */
  replace(): void;
}

export interface ConnectionOptions {
  readonly sink: Sink;
  readonly clock: Clock;
  readonly agent: string;
  readonly frameBytesMax: number;
  readonly connectionsMax: number;
  /** 32 hexadecimal digits, new at each call: for lockstep clients, which have no session of their own. */
  readonly newSession: () => string;
  /** Frames that are stored are events, too, which costs a little for each. */
  readonly eachFrame?: boolean;
  /** Frames are shown to somebody on their way. Absent: to nobody. */
  readonly watchFrame?: WatchFrame | undefined;
  readonly onEvent: (event: ReceiverEvent) => void;
}

/** What a connection knows of the hub that all connections share. */
export interface ConnectionHub {
  readonly options: ConnectionOptions;
  readonly cutFrames: CutFrames;
  /** Of peers that have proven a key. Undefined: nobody proves any. */
  readonly desk: KeyDesk | undefined;
  /** As many send as may. */
  readonly busy: boolean;
  /** Sources that wait for a fault of their own. */
  readonly sourceHolds: SourceHolds;
  /** Frames of any connection may be taken now. */
  readonly open: boolean;
  /** As much is staged as one group may have, what is being committed included. */
  readonly full: boolean;
  /** A group is being committed. */
  readonly committing: boolean;
  /** Why the destination cannot take anything, if so. */
  readonly heldFor: SinkError | undefined;
  /** This connection speaks for its session from now on. True if the session was known. */
  adopt(connection: SessionConnection): boolean;
  /** Somebody was not let in. */
  refused(peer: string, reason: string): void;
  /** The connection is gone. */
  remove(connection: SessionConnection): void;
  readonly tally: Tally;
  readonly sharedNames: SharedNames;
  commit(): void;
  commitSoon(): void;
  hold(failure: SinkError): void;
  /** A frame of this origin was stored. */
  frameStored(origin: Origin): void;
}
