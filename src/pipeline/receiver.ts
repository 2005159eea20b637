/**
 * What all connections of a receiver share: the sink and its one commit at a time, the sessions, and the hold when the
 * destination cannot take anything.
 *
 *     connection --staged--> sink --commit--> settle each frame --> acks of every connection
 *
 * Groups make themselves: while one commit waits for the disk, what arrives is staged for the next, so a slow disk
 * gets large groups and a fast one gets prompt acks. When a group is full nothing more is read, which the sender
 * feels as a closed window. A failure holds everybody: nothing is read until the sink is ready again; one of a source
 * holds that source (source-holds.ts). That it stores again is said when it has stored a frame: a destination may look
 * well until it is used.
 */
import { hostOf } from "../address.ts";
import type { SinkError } from "../errors.ts";
import type { Origin } from "../frame.ts";
import {
  groupAloneMs,
  groupBytesMax,
  groupFramesMax,
  groupMs,
  holdProbeMs,
  idleLookMs,
  stoodStillMs,
  stopMs,
} from "../limits.ts";
import type { LinkHandlers, ReceiverTrust } from "../ports.ts";
import { CutFrames } from "./cut-frames.ts";
import { KeyDesk } from "./key-desk.ts";
import type { ConnectionHub, ConnectionOptions, SessionConnection } from "./connection-hub.ts";
import { ReceivingConnection } from "./receiving-connection.ts";
import { SharedNames } from "./shared-names.ts";
import { SourceHolds } from "./source-holds.ts";
import { StrangerLog } from "./stranger-log.ts";
import { Tally } from "./tally.ts";

export interface HubOptions extends ConnectionOptions {
  /** Every link is of a peer that has proven a key, and this says what keys may do. Absent: all links are plain. */
  readonly trust?: ReceiverTrust | undefined;
  /** Addresses say who somebody is; not behind a balancer. Absent: they do. */
  readonly perAddress?: boolean;
  /** A session has ended and its connection is gone. `complete`: every frame of it was stored. */
  readonly onSessionEnd?: (complete: boolean) => void;
  /** Something that waiting does not heal. Nothing is read any more. */
  readonly onFailure?: (error: Error) => void;
}

/** How many sessions are remembered, to say of a sender that it came back. */
const sessionsMax = 4096;

export class ReceiverHub implements ConnectionHub {
  readonly options: HubOptions;
  readonly cutFrames: CutFrames;
  readonly desk: KeyDesk | undefined;
  readonly #strangers: StrangerLog | undefined;
  readonly sourceHolds: SourceHolds;
  /** What every sender was told, for the display. */
  readonly tally: Tally = new Tally();
  readonly sharedNames: SharedNames;
  readonly #connections = new Set<ReceivingConnection>();
  /** The connection of each session that is known; undefined: it is gone for now. */
  readonly #sessions = new Map<string, SessionConnection | undefined>();
  #committing = false;
  #commitPlanned = false;
  #committedAtMs = Number.NEGATIVE_INFINITY;
  /** Of the group before: frames, gaps, stretches and ends. */
  #groupFrames = 0;
  #held: SinkError | undefined;
  /** It was said that it is held, and not yet that it stores again. */
  #heldTold = false;
  #failed = false;
  #stopping = false;
  #stopped: ((unstoredFrames: number) => void) | undefined;
  #dontGiveUp: (() => void) | undefined;
  /** Nothing is waited for any more. */
  #givenUp = false;

  constructor(options: HubOptions) {
    this.options = options;
    this.cutFrames = new CutFrames(options.clock);
    this.sharedNames = new SharedNames((older, newer) => {
      // Of one key on two machines the desk has said so already: it need not wait for a proof that both live.
      if (older.key !== undefined && older.key === newer.key && hostOf(older.peer) !== hostOf(newer.peer)) return;
      const peers = [older.peer, newer.peer];
      options.onEvent({ event: "shared-device", device: older.device, peers, keyed: options.trust !== undefined });
    });
    const { sink, trust, clock, perAddress = true, onEvent } = options;
    this.sourceHolds = new SourceHolds({
      sink,
      clock,
      onHeld: ({ device, source }, reason) => onEvent({ event: "held", device, source, ...wordsOf(reason) }),
      onStored: ({ device, source }) => onEvent({ event: "resumed", device, source }),
      onLifted: (key) => {
        for (const connection of this.#connections) connection.releaseSource(key);
      },
    });
    if (trust === undefined) return;
    this.#strangers = new StrangerLog(clock, onEvent);
    const onLost = (fingerprint: string, gone: boolean): void => {
      for (const connection of this.#connections) if (connection.key === fingerprint) connection.grantLost(gone);
    };
    this.desk = new KeyDesk({ trust, clock, perAddress, onEvent, onLost });
  }

  /** Somebody was not let in. */
  refused(peer: string, reason: string): void {
    if (this.#strangers !== undefined) this.#strangers.refused(peer, reason);
    else this.options.onEvent({ event: "connection-refused", peer, reason });
  }

  /** A connection was accepted: who listens to it. */
  accept(): LinkHandlers {
    const connection = new ReceivingConnection(this);
    // With keys, who has only proven one takes no place of those who send.
    const busy = this.options.trust === undefined && this.#connections.size >= this.options.connectionsMax;
    this.#connections.add(connection);
    if (busy) connection.refuseBusy();
    else if (this.#stopping) connection.refuseStopping();
    return connection;
  }

  /** As many send as may. */
  get busy(): boolean {
    return this.sendingCount >= this.options.connectionsMax;
  }

  /** Connections of senders that were let in. */
  get sendingCount(): number {
    let sending = 0;
    for (const { session } of this.#connections) if (session !== undefined) sending++;
    return sending;
  }

  /** Frames of any connection may be taken now. */
  get open(): boolean {
    return !this.#stopping && !this.#failed && this.#held === undefined && !this.full;
  }

  /** A group is written and not yet committed: its files are open and its frames are in nobody's catalogue. */
  get full(): boolean {
    const { sink } = this.options;
    return sink.stagedFrames >= groupFramesMax || sink.stagedBytes >= (sink.traits.groupBytes ?? groupBytesMax);
  }

  get committing(): boolean {
    return this.#committing;
  }

  get heldFor(): SinkError | undefined {
    return this.#held;
  }

  /**
   * This connection speaks for its session from now on; the one before it, dead or not, is closed. True if it was
   * known.
   */
  adopt(connection: SessionConnection): boolean {
    const session = connection.sessionKey;
    const known = this.#sessions.has(session);
    this.#sessions.get(session)?.replace();
    this.#sessions.delete(session);
    this.#sessions.set(session, connection);
    if (this.#sessions.size > sessionsMax) {
      for (const [oldest, owner] of this.#sessions) {
        if (owner !== undefined) continue;
        this.#sessions.delete(oldest);
        this.tally.forget(oldest);
        break;
      }
    }
    return known;
  }

  /** The connection is gone. */
  remove(connection: ReceivingConnection): void {
    this.#connections.delete(connection);
    const { session, sessionKey, device } = connection;
    if (session !== undefined && this.#sessions.get(sessionKey) === connection) {
      if (connection.ended === undefined) this.#sessions.set(sessionKey, undefined);
      else {
        this.#sessions.delete(sessionKey);
        this.tally.end(sessionKey);
        this.cutFrames.clear({ device, session });
      }
    }
    if (connection.ended !== undefined) this.options.onSessionEnd?.(connection.ended === "complete");
    this.#maybeStopped();
  }

  /** Something is staged, or is to be kept no longer. */
  get #hasWork(): boolean {
    const { sink } = this.options;
    return sink.stagedFrames > 0 || (!this.#stopping && sink.expires === true);
  }

  /** Commits what is staged, at once after a pause, else when the group has had its time to grow. */
  commitSoon(): void {
    if (this.#committing || this.#commitPlanned || this.#givenUp || !this.#hasWork) return;
    const { clock } = this.options;
    const waitMs = this.#committedAtMs + (this.#groupFrames > 1 ? groupMs : groupAloneMs) - clock.nowMs();
    if (waitMs <= 0) return this.commit();
    this.#commitPlanned = true;
    clock.after(waitMs, () => {
      this.#commitPlanned = false;
      this.commit();
    });
  }

  /** Commits what is staged, unless a commit is under way: then it follows that one. */
  commit(): void {
    const { sink, clock } = this.options;
    while (!this.#committing && !this.#givenUp && this.#hasWork) {
      this.#committing = true;
      this.#groupFrames = sink.stagedFrames;
      let returned = false;
      const settled = (): void => {
        for (const connection of this.#connections) connection.committed();
      };
      sink.commit((failure) => {
        this.#committing = false;
        this.#committedAtMs = clock.nowMs();
        if (failure !== undefined) this.hold(failure);
        settled();
        if (!returned) return;
        this.commitSoon();
        this.#maybeStopped();
      }, settled);
      returned = true;
    }
    this.#maybeStopped();
  }

  /** The destination cannot take anything. Said once to everybody; looked at again until it can. */
  hold(failure: SinkError): void {
    if (!failure.retryable) {
      this.#failed = true;
      this.options.onFailure?.(failure);
      return;
    }
    if (this.#held !== undefined) return;
    this.#held = failure;
    // It may be room that is lacking.
    this.cutFrames.clear();
    if (!this.#heldTold) this.options.onEvent({ event: "held", ...wordsOf(failure) });
    this.#heldTold = true;
    for (const connection of this.#connections) connection.hold(failure.message);
    this.#probeLater();
  }

  frameStored(origin: Origin): void {
    if (this.#heldTold && this.#held === undefined) {
      this.#heldTold = false;
      this.options.onEvent({ event: "resumed" });
    }
    if (this.sourceHolds.any) this.sourceHolds.stored(origin);
  }

  #probeLater(): void {
    this.options.clock.after(holdProbeMs, () => {
      if (this.#stopped !== undefined) return;
      let wantedBytes = 0;
      for (const connection of this.#connections) wantedBytes = Math.max(wantedBytes, connection.waitingBytes);
      if (this.options.sink.ready(wantedBytes) !== undefined) return this.#probeLater();
      this.#held = undefined;
      for (const connection of this.#connections) {
        // What the first of them stores may be too much again; the others have not been told otherwise.
        if (this.#held === undefined) connection.release();
      }
    });
  }

  /** Peers were not answered either, so they may have left, and nobody can be told before it is over. */
  #sayIfLate(dueAtMs: number): void {
    const lateMs = this.options.clock.nowMs() - dueAtMs;
    if (lateMs < stoodStillMs || this.#stopped !== undefined) return;
    this.options.onEvent({ event: "stood-still", seconds: Math.round(lateMs / 1000) });
  }

  /** From now on the destination is looked at now and then, also when nobody sends. */
  watch(): void {
    if (this.#stopped !== undefined || this.#failed) return;
    if (this.#held === undefined && !this.#committing) {
      const lack = this.options.sink.ready(0);
      if (lack !== undefined) this.hold(lack);
    }
    this.commitSoon();
    const dueAtMs = this.options.clock.nowMs() + idleLookMs;
    this.options.clock.after(idleLookMs, () => {
      this.#sayIfLate(dueAtMs);
      this.watch();
    });
  }

  /**
   * Commits and acknowledges what is complete, then tells every peer that we stop. `stopped` is called when the last
   * commit is done and the connections are closed. A commit that takes longer than `stopMs` is not waited for: then
   * `stopped` is told how many frames, gaps and ends it leaves behind, of which nobody was told that they are stored.
   */
  stop(stopped: (unstoredFrames: number) => void): void {
    this.#stopping = true;
    this.#strangers?.sum();
    this.#stopped = stopped;
    this.#dontGiveUp = this.options.clock.after(stopMs, () => {
      this.#givenUp = true;
      this.#maybeStopped();
    });
    this.commit();
    this.#maybeStopped();
  }

  #maybeStopped(): void {
    if (this.#stopped === undefined) return;
    const { sink } = this.options;
    const waitsForCommit = this.#committing || (sink.stagedFrames > 0 && this.#held === undefined && !this.#failed);
    if (waitsForCommit && !this.#givenUp) return;
    for (const connection of this.#connections) connection.refuseStopping();
    if (this.#connections.size > 0) return;
    this.cutFrames.clear();
    this.sourceHolds.end();
    const stopped = this.#stopped;
    this.#stopped = () => undefined;
    this.#givenUp = true;
    this.#dontGiveUp?.();
    stopped(this.#committing ? sink.stagedFrames : 0);
  }
}

function wordsOf({ message: reason, hints }: SinkError): { reason: string; hints?: readonly string[] } {
  return hints.length === 0 ? { reason } : { reason, hints };
}
