/**
 * One accepted connection: recognises the protocol by its first bytes, then carries bytes from the link through the
 * session to the sink, and acks back. Both protocols are the same from here on (protocols/receiver-session.ts).
 *
 * An event that cannot be handled now (destination full, group full) is kept and handled first when the hub opens
 * again; until then nothing is parsed, the ring fills, and the link is paused.
 */
import { assert, ProtocolCode, ProtocolError, SinkError, unreachable } from "../errors.ts";
import type { ReceiverEvent } from "../events.ts";
import type { Frame, Origin, RefusalReason, Verdict } from "../frame.ts";
import { handshakeMs, idleMs, lockstepHeaderBytesMax, nameBytesMax, rowBytes } from "../limits.ts";
import { describeNotes, noteWords } from "../notes.ts";
import { accountOutcomeOf, totalsOf } from "../outcomes.ts";
import type { Clock, FrameWriter, Link, LinkHandlers, Settle, Sink } from "../ports.ts";
import { detectProtocol } from "../protocols/detect.ts";
import { LockstepReceiver } from "../protocols/lockstep/receiver.ts";
import type { HelloEvent, IncomingFrame, ReceivingEvent, ReceivingSession } from "../protocols/receiver-session.ts";
import { describeCaller } from "../protocols/stranger.ts";
import { WireReceiver } from "../protocols/wire/receiver.ts";
import { AnswerQueue, type Offer } from "./answer-queue.ts";
import type { CutFrames } from "./cut-frames.ts";
import { Deadline } from "./deadline.ts";
import type { KeyAccount, KeyedConnection } from "./key-account.ts";
import type { Granted, KeyDesk } from "./key-desk.ts";
import { LoneHold } from "./lone-hold.ts";
import type { NamedSender, SharedNames } from "./shared-names.ts";
import { type SourceHolds, sourceKey } from "./source-holds.ts";
import type { SourceTally, Tally } from "./tally.ts";

/** What a connection knows of the hub that all connections share. */
export interface ConnectionHub {
  readonly options: {
    readonly sink: Sink;
    readonly clock: Clock;
    readonly agent: string;
    readonly frameBytesMax: number;
    readonly connectionsMax: number;
    readonly newSession: () => string;
    readonly eachFrame?: boolean;
    readonly onEvent: (event: ReceiverEvent) => void;
  };
  readonly cutFrames: CutFrames;
  /** Of peers that have proven a key. Undefined: nobody proves any. */
  readonly desk: KeyDesk | undefined;
  /** As many send as may. */
  readonly busy: boolean;
  /** Sources that wait for a fault of their own. */
  readonly sourceHolds: SourceHolds;
  /** Frames of any connection may be taken now. */
  readonly open: boolean;
  /** A group is written and not yet committed. */
  readonly full: boolean;
  /** Why the destination cannot take anything, if so. */
  readonly heldFor: SinkError | undefined;
  /** This connection speaks for its session from now on. True if the session was known. */
  adopt(connection: ReceivingConnection): boolean;
  /** Somebody was not let in. */
  refused(peer: string, reason: string): void;
  /** The connection is gone. */
  remove(connection: ReceivingConnection): void;
  readonly tally: Tally;
  readonly sharedNames: SharedNames;
  commit(): void;
  commitSoon(): void;
  hold(failure: SinkError): void;
  /** A frame of this origin was stored. */
  frameStored(origin: Origin): void;
}

/** After the last word, how long the peer may take to close. Its input is discarded meanwhile: a close with unread
 * input would reset the connection and could take the last word with it. */
const lingerMs = 500;
/** How long the link may take for the last word. */
const lastWordMs = idleMs;

type Event = ReceivingEvent<FrameWriter>;
type Incoming = IncomingFrame<FrameWriter>;

export class ReceivingConnection implements LinkHandlers, KeyedConnection, NamedSender {
  readonly #hub: ConnectionHub;
  #link: Link | undefined;
  /** For messages, also when the link is gone. */
  peer = "";
  /** That the peer has proven: its fingerprint. */
  key: string | undefined;
  #protocol: "wire" | "lockstep" = "wire";
  #receiving: ReceivingSession<FrameWriter> | undefined;
  readonly #deadline: Deadline;
  readonly #answers: AnswerQueue;
  readonly #handshakeAtMs: number;
  /** First bytes, while they do not tell the protocol. */
  #prefix: Uint8Array | undefined;
  /** The event that waits for the hub to open, or for the hold of its source to end. */
  #waiting: Event | undefined;
  /** Held sources of which the peer was told, by key: their numbers on this connection. */
  readonly #heldSources = new Map<string, number>();
  #paused = false;
  /** The last word is being sent; input is discarded. */
  #closing = false;
  #refusal: { readonly code: ProtocolCode; readonly text: string } | undefined;
  /** Items staged in the sink and not yet reported. */
  #stagedCount = 0;
  #bye: "complete" | "interrupted" | undefined;
  #incomplete = false;
  #heldTold = false;
  /** Since when the link has taken nothing of what waits; undefined: nothing waits. */
  #stuckSinceMs: number | undefined;
  #shut = false;
  /** A source has ended: what is staged is not to wait for more. */
  #ending = false;
  readonly #tallies = new Map<Origin, SourceTally>();
  /** An invitation is being taken up: nothing is parsed until it is known what comes of it. */
  #joining = false;
  /** Of the key that the peer has proven, once it may send. */
  #account: KeyAccount | undefined;
  /** When more may be read, as the key's account has it; undefined: now. */
  #opensAtMs: number | undefined;
  readonly #loneHold: LoneHold;

  device = "";
  /** Once the peer has introduced itself, and may send. */
  session: string | undefined;
  /** The session has come to its end, by its own word. */
  ended: "complete" | "incomplete" | undefined;

  constructor(hub: ConnectionHub) {
    this.#hub = hub;
    const { clock } = hub.options;
    this.#handshakeAtMs = clock.nowMs() + handshakeMs;
    this.#deadline = new Deadline(
      clock,
      () => this.#dueAtMs(),
      () => this.#tick(),
    );
    const { sink } = hub.options;
    this.#loneHold = new LoneHold({
      clock,
      hasRoom: () =>
        hub.heldFor === undefined &&
        sink.ready(this.waitingBytes) === undefined &&
        this.#overQuota(this.waitingBytes) === undefined,
      released: () => this.#releaseAlone(),
    });
    this.#answers = new AnswerQueue({
      sink,
      clock,
      answer: (offer, verdicts) => this.#answer(offer, verdicts),
      // In its own turn: answers come inside calls of the sink.
      answered: () => clock.after(0, () => this.#pump()),
      failed: (error) => hub.hold(error),
    });
  }

  get #clock(): Clock {
    return this.#hub.options.clock;
  }

  /** What tells sessions apart: an id that was read in a log is nothing without the key it belongs to. */
  get sessionKey(): string {
    return `${this.key ?? ""}\0${this.device}\0${this.session ?? ""}`;
  }

  // ---- the link

  opened(link: Link): void {
    this.#link = link;
    this.peer = link.peer;
    this.key = link.proven?.fingerprint;
    if (this.#refusal !== undefined) this.#refuse(this.#refusal.code, this.#refusal.text);
    else this.#deadline.arm();
  }

  data(chunk: Uint8Array): void {
    if (this.#closing) return;
    if (this.#receiving !== undefined) this.#receiving.push(chunk, this.#clock.nowMs());
    else if (!this.#detect(chunk)) return;
    this.#pump();
  }

  drain(): void {
    if (this.#closing) this.#finishOutput();
    else {
      this.#flush();
      this.#pump();
    }
  }

  closed(reason: string): void {
    this.#deadline.clear();
    this.#link = undefined;
    this.#account?.leave(this);
    this.#hub.sharedNames.left(this);
    this.#abortFrames();
    const why = reason === "" ? "closed by the peer" : reason;
    if (!this.#closing) this.#reportLost(this.session === undefined ? `no greeting: ${why}` : why);
    this.#closing = true;
    this.#hub.remove(this);
  }

  #reportLost(reason: string): void {
    const { onEvent } = this.#hub.options;
    const peer = this.peer;
    if (this.session === undefined) this.#hub.refused(peer, reason);
    else onEvent({ event: "connection-lost", peer, device: this.device, reason });
  }

  /** Returns whether the session is there and has been given the bytes. */
  #detect(chunk: Uint8Array): boolean {
    const prefix = this.#prefix === undefined ? chunk : joined(this.#prefix, chunk);
    const found = detectProtocol(prefix);
    if (found === "more" && prefix.length < lockstepHeaderBytesMax) {
      this.#prefix = prefix;
      this.#deadline.arm();
      return false;
    }
    const nowMs = this.#clock.nowMs();
    if (found === "wire") {
      this.#receiving = this.#wireReceiver();
    } else if (found === "lockstep" && this.key === undefined) {
      this.#protocol = "lockstep";
      const { newSession, clock } = this.#hub.options;
      this.#receiving = new LockstepReceiver<FrameWriter>({ session: newSession(), nowMs, wallNs: clock.wallNs });
    } else {
      this.#drop(describeCaller(prefix, this.key !== undefined));
      return false;
    }
    this.#prefix = undefined;
    this.#receiving.push(prefix, nowMs);
    return true;
  }

  #wireReceiver(): WireReceiver<FrameWriter> {
    const { agent, frameBytesMax, clock, sink } = this.#hub.options;
    const { wallNs } = clock;
    const keepsNothing = sink.traits.keepsNothing === true;
    const acceptedAtMs = this.#handshakeAtMs - handshakeMs;
    const nowMs = acceptedAtMs;
    const keyed = this.key !== undefined;
    return new WireReceiver<FrameWriter>({ agent, frameBytesMax, keepsNothing, resume: true, keyed, wallNs, nowMs });
  }

  // ---- the session

  #pump(): void {
    const receiving = this.#receiving;
    if (receiving === undefined || this.#closing) return;
    try {
      this.#drainEvents(receiving);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#breakOff(error);
      // What was complete before it is stored all the same.
      this.#hub.commitSoon();
      return;
    }
    // Events may have ended the session.
    if (this.#closing) return;
    if (this.#ending) this.#hub.commit();
    else this.#hub.commitSoon();
    this.#ending = false;
    this.#flush();
    this.#regulate();
    this.#deadline.arm();
  }

  #drainEvents(receiving: ReceivingSession<FrameWriter>): void {
    while (!this.#closing && !this.#joining && this.#loneHold.reason === undefined && !this.#throttled) {
      if (this.session !== undefined && !this.#hub.open) {
        // A full group is committed at once if it can be; then there is room again.
        if (this.#hub.full) this.#hub.commit();
        if (!this.#hub.open) return;
      }
      if (this.#answers.full) return;
      if (this.#waitsForSource) return;
      const event = this.#waiting ?? receiving.next(this.#clock.nowMs());
      if (event === undefined) return;
      this.#waiting = undefined;
      try {
        this.#handle(receiving, event);
      } catch (error) {
        if (!(error instanceof SinkError)) throw error;
        if (error.exhausted) throw new ProtocolError(ProtocolCode.busy, error.message);
        this.#waiting = event;
        if (this.#loneHold.reason === undefined && error.scope === "destination") this.#hub.hold(error);
        return;
      }
    }
  }

  /** A peer that cannot be told of a hold, and has one source, is left unread. */
  get #waitsForSource(): boolean {
    if (this.#waiting?.type !== "frame") return false;
    return this.#hub.sourceHolds.reasonFor(this.#waiting.incoming.frame.origin) !== undefined;
  }

  /** Throws SinkError when the event has to wait for the destination, or for its source. */
  #handle(receiving: ReceivingSession<FrameWriter>, event: Event): void {
    const { sink, onEvent } = this.#hub.options;
    switch (event.type) {
      case "hello":
        return this.#introduce(receiving, event);
      case "offer":
        this.#tellSourceHold(receiving, event.sourceIndex, event.origin);
        return this.#answers.take(event);
      case "frame":
        this.#open(receiving, event.incoming);
        this.#account?.spend(rowBytes);
        return;
      case "payload": {
        const { incoming, view } = event;
        this.#tallyOf(incoming.frame.origin).progress.receivedBytes += view.length;
        this.#account?.spend(view.length);
        try {
          incoming.writer?.write(view);
        } catch (error) {
          this.#failFrame(receiving, incoming, error);
        }
        return;
      }
      case "frame-end": {
        const { incoming } = event;
        try {
          incoming.writer?.finish(event.crc32, this.#settle(incoming));
          this.#stagedCount++;
        } catch (error) {
          this.#failFrame(receiving, incoming, error);
        }
        return;
      }
      case "frame-lost":
        event.incoming.writer?.abort();
        event.incoming.writer = undefined;
        if (event.reason === "checksum")
          this.#reportRejected(event.incoming.frame, "checksum", "its bytes arrived damaged");
        return;
      case "gap": {
        const { sourceIndex, gap } = event;
        this.#requireQuota(0);
        this.#account?.spendRow();
        this.#hub.cutFrames.drop(gap.origin, gap.firstSequence);
        sink.gap(gap, (result) => {
          this.#stagedCount--;
          if (result !== "recorded") return this.#breakOff(storageFailed);
          this.#incomplete = true;
          const { device, source } = gap.origin;
          const { firstSequence, name, count, reason, detail } = gap;
          this.#tallyOf(gap.origin).enter(firstSequence, count, accountOutcomeOf(result, gap));
          onEvent({ event: "gap", device, source, name, count, reason, detail });
          receiving.settle(sourceIndex, firstSequence, result, count);
        });
        this.#stagedCount++;
        return;
      }
      case "stretch": {
        const { origin, class: found, sequence: before, count, bytes, text: detail } = event.stretch;
        const { device, source } = origin;
        this.#account?.spendRow();
        onEvent({ event: "stretch", device, source, class: found, before, count, bytes, detail });
        sink.stretch(event.stretch, (result) => {
          this.#stagedCount--;
          // It has no answer: what comes behind it must not get one either.
          if (result !== "recorded") this.#breakOff(storageFailed);
        });
        this.#stagedCount++;
        return;
      }
      case "end": {
        const { sourceIndex, end } = event;
        // Also of what an earlier connection of the session was told.
        if (end.totals.refused + end.totals.skipped > 0) this.#incomplete = true;
        sink.end(end, (result) => {
          this.#stagedCount--;
          const account = typeof result === "object" && !(result instanceof SinkError) ? result : undefined;
          if (result !== "recorded" && account === undefined) return this.#breakOff(storageFailed);
          const { device, source } = end.origin;
          onEvent({ event: "source-ended", device, source, totals: end.totals });
          if (account !== undefined) {
            this.#incomplete = true;
            onEvent({ event: "totals-differ", device, source, claimed: end.totals, found: account });
          }
          receiving.confirmEnd(sourceIndex, account);
        });
        this.#stagedCount++;
        this.#ending = true;
        return;
      }
      case "bye":
        this.#bye = event.interrupted ? "interrupted" : "complete";
        if (this.#stagedCount === 0) this.#farewell(receiving);
        return;
      default:
        unreachable(event);
    }
  }

  /** Throws ProtocolError when the peer may not send. */
  #introduce(receiving: ReceivingSession<FrameWriter>, hello: HelloEvent): void {
    const { desk } = this.#hub;
    const proven = this.#link?.proven;
    // Where keys are used nobody comes this far without one; should it be otherwise one day, it ends here.
    assert((desk === undefined) === (proven === undefined), "all links of a receiver are plain, or none");
    if (desk === undefined || proven === undefined) return this.#welcome(receiving, hello, undefined);
    const granted = desk.admit(this.peer, proven, hello);
    if (!(granted instanceof Promise)) return this.#welcome(receiving, hello, granted);
    this.#joining = true;
    void this.#join(receiving, hello, granted);
  }

  async #join(receiving: ReceivingSession<FrameWriter>, hello: HelloEvent, granted: Promise<Granted>): Promise<void> {
    let error: unknown;
    const found = await granted.catch((reason: unknown) => void (error = reason));
    this.#joining = false;
    if (this.#closing) return;
    try {
      if (found === undefined) throw error;
      this.#welcome(receiving, hello, found);
    } catch (failure) {
      if (!(failure instanceof ProtocolError)) throw failure;
      return this.#breakOff(failure);
    }
    this.#pump();
  }

  #welcome(receiving: ReceivingSession<FrameWriter>, hello: HelloEvent, granted: Granted | undefined): void {
    const { clock, onEvent, connectionsMax } = this.#hub.options;
    const { session } = hello;
    if (granted !== undefined && this.#hub.busy) throw busyError(connectionsMax);
    this.device = granted?.device ?? hello.device;
    this.session = session;
    const { device, peer, key } = this;
    // The connection before it leaves its account, so that this one has room.
    const again = this.#hub.adopt(this);
    const entered = granted && key !== undefined ? this.#hub.desk?.enter(this, key, granted) : undefined;
    this.#account = entered?.account;
    this.#link?.admit?.();
    const proven = key === undefined ? {} : { key };
    onEvent({ event: "session-started", session, peer, device, protocol: this.#protocol, again, ...proven });
    receiving.welcome(clock.wallNs(), entered?.admitted);
    if (this.#protocol === "wire") this.#hub.sharedNames.joined(this);
    if (this.#hub.heldFor !== undefined) this.hold(this.#hub.heldFor.message);
  }

  probe(alive: () => void): void {
    this.#receiving?.probe?.(alive);
    this.#flush();
  }

  tellShared(): void {
    this.#receiving?.notify?.("shared-device", `another sender is called ${this.device} as well, and both send`);
    this.#flush();
  }

  /** The grant of its key is gone, or has become another. */
  grantLost(gone: boolean): void {
    if (this.#closing) return;
    const whose = this.device === "" ? this.key : `${this.device} (${this.key})`;
    this.#breakOff(
      gone
        ? new ProtocolError(ProtocolCode.unauthorized, `the grant of ${whose} was taken back`)
        : new ProtocolError(ProtocolCode.stopping, `the grant of ${whose} has changed: come back`),
    );
    this.#hub.commitSoon();
  }

  get openBytes(): number {
    let bytes = 0;
    for (const { frame, writer } of this.#receiving?.openFrames() ?? []) if (writer !== undefined) bytes += frame.bytes;
    return bytes;
  }

  /** The key's account is overdrawn: nothing is parsed until it is not. */
  get #throttled(): boolean {
    this.#opensAtMs = this.#account?.opensAtMs;
    return this.#opensAtMs !== undefined;
  }

  #holdAlone(lacking: SinkError): void {
    const { device, session = "" } = this;
    this.#loneHold.begin(lacking);
    // It may be its own frames that take the room.
    this.#hub.cutFrames.clear({ device, session });
    this.#receiving?.hold(lacking.message);
    const hints = lacking.hints.length === 0 ? {} : { hints: lacking.hints };
    this.#hub.options.onEvent({ event: "held", reason: lacking.message, device, ...hints });
  }

  #overQuota(bytes: number): SinkError | undefined {
    const quota = this.#hub.desk?.quotaOf(this.device);
    return quota === undefined ? undefined : this.#hub.options.sink.overQuota?.(this.device, quota, bytes);
  }

  /** Throws SinkError when the device has as much as it may have: then this connection waits, and nobody else. */
  #requireQuota(bytes: number): void {
    const over = this.#overQuota(bytes);
    if (over === undefined) return;
    this.#holdAlone(over);
    throw over;
  }

  #releaseAlone(): void {
    this.#receiving?.resume();
    this.#hub.options.onEvent({ event: "resumed", device: this.device });
    this.#pump();
  }

  #answer({ origin, entries, sourceIndex, firstSequence }: Offer, verdicts: readonly Verdict[]): void {
    for (const [index, verdict] of verdicts.entries()) {
      const entry = entries[index];
      if (entry === undefined) continue;
      if (verdict.kind === "have" || verdict.kind === "expired") {
        const outcome = accountOutcomeOf(verdict.kind === "have" ? verdict.outcome : "expired");
        this.#tallyOf(origin).enter(firstSequence + index, 1, outcome, entry.bytes);
      } else if (verdict.kind === "refuse") {
        const frame = { ...entry, origin, sequence: firstSequence + index };
        this.#reportRejected(frame, verdict.reason, this.#refusalText(frame, verdict.reason));
      }
    }
    const receiving = this.#receiving;
    if (receiving === undefined) return;
    if (receiving.resumes !== true) return receiving.answer(sourceIndex, firstSequence, verdicts);
    const answers = verdicts.map((verdict, index) => {
      const entry = entries[index];
      if (verdict.kind !== "want" || entry === undefined) return verdict;
      const cut = this.#hub.cutFrames.find(origin, firstSequence + index, entry);
      return cut === undefined ? verdict : ({ kind: "continue", offset: cut.bytes, crc32: cut.crc32 } as const);
    });
    receiving.answer(sourceIndex, firstSequence, answers);
  }

  #open(receiving: ReceivingSession<FrameWriter>, incoming: Incoming): void {
    const { sink, frameBytesMax } = this.#hub.options;
    // A frame that will be refused anyway must not make everybody wait for the space it claims.
    const notReady = incoming.frame.bytes <= frameBytesMax ? sink.ready(incoming.frame.bytes) : undefined;
    if (notReady !== undefined) {
      if (notReady.retryable && sink.ready(0) === undefined) this.#holdAlone(notReady);
      throw notReady;
    }
    if (this.#account?.mayBegin(incoming.frame.bytes) === false) {
      return receiving.reject(incoming, "storage", "too many large frames of this device are in progress", true);
    }
    // Also where it begins at 0: then what there was of it is not needed.
    const cut = this.#hub.cutFrames.take(incoming.frame, incoming.offset);
    if (cut !== undefined) {
      cut.writer.goOn(incoming.frame);
      incoming.writer = cut.writer;
      return;
    }
    if (incoming.offset > 0) return receiving.reject(incoming, "storage", "what was here of it is gone", true);
    this.#requireQuota(incoming.frame.bytes);
    let writer: FrameWriter | RefusalReason;
    try {
      writer = sink.open(incoming.frame);
    } catch (error) {
      if (!(error instanceof SinkError) || error.scope === "destination") throw error;
      // What cannot be told that its source is held waits with its frame.
      if (
        error.scope === "source" &&
        this.#protocol === "lockstep" &&
        this.#hub.sourceHolds.hold(incoming.frame, error)
      )
        throw error;
      return this.#rejectFor(receiving, incoming, error);
    }
    if (typeof writer !== "string") {
      incoming.writer = writer;
      return;
    }
    const detail = this.#refusalText(incoming.frame, writer);
    receiving.reject(incoming, writer, detail, false);
    this.#reportRejected(incoming.frame, writer, detail);
  }

  /** A frame could not be stored, for a fault of its own or of its source: others are. */
  #rejectFor(receiving: ReceivingSession<FrameWriter>, incoming: Incoming, fault: SinkError): void {
    const { frame } = incoming;
    incoming.writer?.abort();
    incoming.writer = undefined;
    // Only a fault of its own is the last word on a frame: a destination that is gone for good is not.
    const isLast = fault.scope === "frame" && !fault.retryable;
    if (!this.#closing) receiving.reject(incoming, "storage", fault.message, !isLast);
    if (fault.scope === "source") this.#holdSource(receiving, incoming, fault);
    else if (isLast) this.#reportRejected(frame, "storage", fault.message);
  }

  #holdSource(receiving: ReceivingSession<FrameWriter>, { frame, sourceIndex }: Incoming, fault: SinkError): void {
    this.#hub.sourceHolds.hold(frame, fault);
    this.#tellSourceHold(receiving, sourceIndex, frame.origin);
  }

  /** Once, when the hold is met: what is on its way of the source is rejected one by one. */
  #tellSourceHold(receiving: ReceivingSession<FrameWriter>, sourceIndex: number, origin: Origin): void {
    const reason = this.#hub.sourceHolds.reasonFor(origin);
    if (reason === undefined || this.#closing) return;
    const key = sourceKey(origin);
    if (this.#heldSources.has(key)) return;
    this.#heldSources.set(key, sourceIndex);
    receiving.hold(reason.message, sourceIndex);
  }

  /** Frames of this source may be taken again. */
  releaseSource(key: string): void {
    const sourceIndex = this.#heldSources.get(key);
    this.#heldSources.delete(key);
    if (this.#receiving === undefined || this.#closing) return;
    if (sourceIndex !== undefined) this.#receiving.resume(sourceIndex);
    this.#pump();
  }

  #settle(incoming: Incoming): Settle {
    return (result) => {
      this.#stagedCount--;
      const receiving = this.#receiving;
      const { frame } = incoming;
      if (receiving === undefined) return;
      assert(typeof result === "string" || result instanceof SinkError, "only ends have totals");
      if (result instanceof SinkError) return this.#rejectFor(receiving, incoming, result);
      if (result === "stored" || result === "conflict") this.#hub.frameStored(frame.origin);
      switch (result) {
        case "stored":
        case "conflict":
          // It may have been sent again because its ack was lost.
          if (this.#tallyOf(frame.origin).enter(frame.sequence, 1, result, frame.bytes) === 0) break;
          this.#reportStored(frame);
          if (frame.notes !== undefined) this.#reportNoted(frame, frame.notes);
          if (result === "conflict") {
            const { device, source } = frame.origin;
            this.#hub.options.onEvent({ event: "conflict", device, source, name: frame.name });
          }
          break;
        case "duplicate":
        case "expired":
          this.#tallyOf(frame.origin).enter(frame.sequence, 1, result);
          break;
        case "recorded":
          break;
        default: {
          const detail = this.#refusalText(frame, result);
          if (!this.#closing) receiving.reject(incoming, result, detail, false);
          this.#reportRejected(frame, result, detail);
          return;
        }
      }
      if (!this.#closing) receiving.settle(incoming.sourceIndex, frame.sequence, result);
    };
  }

  #reportStored({ origin: { device, source }, name, bytes }: Frame): void {
    const { eachFrame = false, onEvent } = this.#hub.options;
    if (eachFrame) onEvent({ event: "stored", device, source, name, bytes });
  }

  #reportNoted({ origin: { device, source }, name }: Frame, bits: number): void {
    const notes = noteWords(bits);
    if (notes.length === 0) return;
    this.#hub.options.onEvent({ event: "noted", device, source, name, notes, detail: describeNotes(bits) });
  }

  /** A write failed in the middle: where that is no fault of the frame, everybody waits, and it is sent again. */
  #failFrame(receiving: ReceivingSession<FrameWriter>, incoming: Incoming, error: unknown): void {
    if (!(error instanceof SinkError)) throw error;
    if (error.scope !== "destination") return this.#rejectFor(receiving, incoming, error);
    incoming.writer?.abort();
    incoming.writer = undefined;
    receiving.reject(incoming, "storage", error.message, true);
    this.#hub.hold(error);
  }

  #refusalText(frame: Frame, reason: string): string {
    if (reason === "too-large") return `${frame.bytes} bytes, limit ${this.#hub.options.frameBytesMax} (--max-frame)`;
    if (reason === "symlink") return "a symbolic link or a file stands where its folder should be";
    if (reason === "format") return "its format is not that of the stream on standard output";
    return "not a safe name, or one that the destination cannot hold";
  }

  #reportRejected(frame: Frame, reason: RefusalReason, detail: string): void {
    // What arrived damaged is sent again.
    if (reason !== "checksum") {
      this.#tallyOf(frame.origin).enter(frame.sequence, 1, accountOutcomeOf(reason));
      this.#incomplete = true;
    }
    const { device, source } = frame.origin;
    // A name that is refused for its length must not fill the log.
    const name = frame.name.slice(0, nameBytesMax);
    this.#hub.options.onEvent({ event: "rejected", device, source, name, reason, detail });
  }

  // ---- the hub

  /** A commit is done: this connection's frames are settled. */
  committed(): void {
    const receiving = this.#receiving;
    if (receiving === undefined || this.#link === undefined || this.#closing) return;
    if (this.#bye !== undefined && this.#stagedCount === 0) this.#farewell(receiving);
    this.#flush();
    this.#deadline.arm();
    // What waited for room in the group goes on; in its own turn, because commits are reported inside others' calls.
    if (this.#paused || this.#waiting !== undefined) this.#clock.after(0, () => this.#pump());
  }

  hold(text: string): void {
    if (this.#receiving === undefined || this.session === undefined || this.#closing) return;
    this.#heldTold = true;
    this.#receiving.hold(text);
    this.#flush();
    this.#regulate();
  }

  release(): void {
    if (this.#receiving === undefined || this.session === undefined || this.#closing) return;
    if (this.#heldTold && this.#loneHold.reason === undefined) this.#receiving.resume();
    this.#heldTold = false;
    this.#answers.askAgain();
    this.#pump();
  }

  /** The size of the frame that waits for the destination, 0 if none does. */
  get waitingBytes(): number {
    return this.#waiting?.type === "frame" ? this.#waiting.incoming.frame.bytes : 0;
  }

  refuseBusy(): void {
    const { code, message: text } = busyError(this.#hub.options.connectionsMax);
    this.#refusal = { code: code as ProtocolCode, text };
  }

  refuseStopping(): void {
    if (this.#closing) return;
    if (this.#link === undefined) this.#refusal = { code: ProtocolCode.stopping, text: "the receiver is stopping" };
    else this.#refuse(ProtocolCode.stopping, "the receiver is stopping");
  }

  /** Another connection of the same session has taken over. */
  replace(): void {
    if (!this.#closing) this.#refuse(ProtocolCode.replaced, "another connection of this session has taken over");
  }

  // ---- the end

  #farewell(receiving: ReceivingSession<FrameWriter>): void {
    const interrupted = this.#bye === "interrupted";
    this.ended = interrupted || this.#incomplete ? "incomplete" : "complete";
    receiving.farewell();
    const { frames, storedBytes } = this.#hub.tally.sumOf(this.sessionKey);
    this.#hub.options.onEvent({
      event: "session-ended",
      session: this.session ?? "",
      device: this.device,
      interrupted,
      totals: totalsOf(frames),
      storedFrames: frames.stored + frames.conflict,
      storedBytes,
    });
    this.#lastWord();
  }

  /** The peer broke the protocol or fell silent. */
  #breakOff(error: ProtocolError): void {
    if (this.#closing) return;
    this.#reportLost(error.message);
    this.#refuse(error.code as ProtocolCode, error.message);
  }

  #refuse(code: ProtocolCode, text: string): void {
    // A peer that has not said which protocol it speaks is told in ours.
    this.#receiving ??= this.#wireReceiver();
    this.#receiving.refuse(code, text);
    this.#lastWord();
  }

  /** Bytes of nobody's protocol: no word is due. */
  #drop(reason: string): void {
    this.#reportLost(reason);
    this.#closing = true;
    this.#account?.leave(this);
    this.#hub.sharedNames.left(this);
    this.#link?.close();
  }

  #lastWord(): void {
    this.#closing = true;
    this.#account?.leave(this);
    this.#hub.sharedNames.left(this);
    this.#abortFrames();
    this.#deadline.clear();
    if (this.#paused) this.#link?.resume();
    // A stranger with a key is not waited for.
    this.#clock.after(this.key !== undefined && this.session === undefined ? lingerMs : lastWordMs, () =>
      this.#link?.close(),
    );
    this.#finishOutput();
  }

  /** FIN goes behind the last byte, however long the link takes for it. */
  #finishOutput(): void {
    this.#flush();
    if (this.#shut || this.#stuckSinceMs !== undefined) return;
    this.#shut = true;
    this.#link?.shutdown();
    this.#clock.after(lingerMs, () => this.#link?.close());
  }

  #abortFrames(): void {
    this.#answers.close();
    this.#loneHold.end();
    const receiving = this.#receiving;
    if (receiving === undefined) return;
    for (const incoming of receiving.openFrames()) {
      const { frame, writer, receivedBytes: bytes, crc32 } = incoming;
      incoming.writer = undefined;
      if (writer === undefined) continue;
      if (crc32 === undefined || receiving.resumes !== true) writer.abort();
      else this.#hub.cutFrames.keep({ frame, writer, bytes, crc32 });
    }
    const waiting = this.#waiting;
    if (waiting !== undefined && "incoming" in waiting) {
      waiting.incoming.writer?.abort();
      waiting.incoming.writer = undefined;
    }
    this.#waiting = undefined;
  }

  // ---- bytes and time

  /** Writes what waits, and what had no room until some of it was gone. */
  #flush(): void {
    const receiving = this.#receiving;
    if (receiving === undefined) return;
    const { outbox } = receiving;
    for (;;) {
      receiving.flushAcks();
      if (outbox.byteLength === 0) break;
      if (this.#link === undefined) return;
      const waiting = outbox.view();
      const taken = this.#link.write(waiting);
      outbox.release(taken);
      if (taken > 0) this.#stuckSinceMs = undefined;
      if (taken < waiting.length) {
        this.#stuckSinceMs ??= this.#clock.nowMs();
        return;
      }
    }
    this.#stuckSinceMs = undefined;
  }

  /** Pauses or resumes the link, as the ring and the hub demand. */
  #regulate(): void {
    const receiving = this.#receiving;
    if (receiving === undefined || this.#link === undefined) return;
    const pause =
      receiving.full ||
      this.#waiting !== undefined ||
      this.#joining ||
      this.#opensAtMs !== undefined ||
      this.#answers.full ||
      (this.session !== undefined && !this.#hub.open);
    if (pause === this.#paused) return;
    this.#paused = pause;
    receiving.reading = !pause;
    if (pause) this.#link.pause();
    else this.#link.resume();
  }

  #dueAtMs(): number {
    const stuckAtMs = (this.#stuckSinceMs ?? Number.POSITIVE_INFINITY) + idleMs;
    const opensAtMs = this.#opensAtMs ?? Number.POSITIVE_INFINITY;
    return Math.min(this.#receiving?.tickAtMs ?? this.#handshakeAtMs, stuckAtMs, opensAtMs);
  }

  #tick(): void {
    if (this.#closing) return;
    if (this.#receiving === undefined) {
      this.#drop(`no greeting in ${handshakeMs / 1000} s`);
      return;
    }
    try {
      const nowMs = this.#clock.nowMs();
      if (this.#stuckSinceMs !== undefined && nowMs - this.#stuckSinceMs >= idleMs) {
        throw new ProtocolError(ProtocolCode.timeout, `the peer has read nothing for ${idleMs / 1000} s`);
      }
      this.#receiving.tick(nowMs);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#breakOff(error);
      return;
    }
    this.#pump();
  }

  #tallyOf(origin: Origin): SourceTally {
    let tally = this.#tallies.get(origin);
    if (tally === undefined) {
      this.#tallies.set(origin, (tally = this.#hub.tally.of(this.sessionKey, origin)));
      this.#hub.sharedNames.sends(this, origin.source);
    }
    return tally;
  }
}

function busyError(connectionsMax: number): ProtocolError {
  const text = `${connectionsMax} connections are open (--max-connections, or the files the system allows)`;
  return new ProtocolError(ProtocolCode.busy, text);
}

/** A gap or an end could not be recorded: the sender says it again on its next connection. */
const storageFailed = new ProtocolError(ProtocolCode.stopping, "the destination failed; say it again");

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first, 0);
  both.set(second, first.length);
  return both;
}
