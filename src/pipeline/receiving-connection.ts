/**
 * One accepted connection: carries bytes from the link through the session, its events to where they belong, and
 * answers and acks back.
 *
 * With a full group no event is taken. One that the destination or its source cannot take is kept, and handled first
 * when the hub, which all connections share, opens again. Until then nothing is parsed, the ring fills, and the link is
 * paused.
 */
import { assert, ProtocolCode, ProtocolError, SinkError } from "../errors.ts";
import { handshakeMs, idleMs } from "../limits.ts";
import { totalsOf } from "../outcomes.ts";
import type { Clock, FrameWriter, Link, LinkHandlers } from "../ports.ts";
import type { HelloEvent, ReceivingEvent, ReceivingSession } from "../protocols/receiver-session.ts";
import type { ConnectionHub } from "./connection-hub.ts";
import { Deadline } from "./deadline.ts";
import { FrameIntake } from "./frame-intake.ts";
import { FrameReports } from "./frame-reports.ts";
import type { KeyAccount, KeyedConnection } from "./key-account.ts";
import type { Granted } from "./key-desk.ts";
import { LinkWriter } from "./link-writer.ts";
import { LoneHold } from "./lone-hold.ts";
import { SessionOpener } from "./session-opener.ts";
import type { NamedSender } from "./shared-names.ts";

/** After the last word, how long the peer may take to close. Its input is discarded meanwhile: a close with unread
 * input would reset the connection and could take the last word with it. */
const lingerMs = 500;
/** How long the link may take for the last word. */
const lastWordMs = idleMs;

type Event = ReceivingEvent<FrameWriter>;

/** What a recognised session needs: it, and where its frames go. */
interface Conversation {
  readonly receiving: ReceivingSession<FrameWriter>;
  readonly intake: FrameIntake;
}

/**
 * - `open`: bytes are taken, first to see what is spoken, then as a conversation
 * - `closing`: the last word is being sent, and input is discarded
 * - `closed`: the link is gone
 */
type State = "open" | "closing" | "closed";

export class ReceivingConnection implements LinkHandlers, KeyedConnection, NamedSender {
  readonly #hub: ConnectionHub;
  readonly #opener: SessionOpener;
  readonly #writer: LinkWriter;
  readonly #deadline: Deadline;
  readonly #reports: FrameReports;
  readonly #loneHold: LoneHold;
  #state: State = "open";
  #protocol: "wire" | "lockstep" = "wire";
  /** Undefined: what the peer speaks is not known yet. */
  #conversation: Conversation | undefined;
  /** The event that waits for the hub to open, or for the hold of its source to end. */
  #waiting: Event | undefined;
  #paused = false;
  #refusal: { readonly code: ProtocolCode; readonly text: string } | undefined;
  #bye: "complete" | "interrupted" | undefined;
  #holdReported = false;
  /** FIN is on its way. */
  #shut = false;
  /** An invitation is being taken up: nothing is parsed until it is known what comes of it. */
  #joining = false;
  /** Of the key that the peer has proven, once it may send. */
  #account: KeyAccount | undefined;
  /** When more may be read, as the key's account has it; undefined: now. */
  #opensAtMs: number | undefined;

  /** For messages, also when the link is gone. */
  peer = "";
  /** That the peer has proven: its fingerprint. */
  key: string | undefined;
  device = "";
  /** Once the peer has introduced itself, and may send. */
  session: string | undefined;
  /** The session has come to its end, by its own word. */
  ended: "complete" | "incomplete" | undefined;

  constructor(hub: ConnectionHub) {
    this.#hub = hub;
    const { clock, agent, frameBytesMax, newSession, sink } = hub.options;
    const keepsNothing = sink.traits.keepsNothing === true;
    this.#opener = new SessionOpener({ clock, agent, frameBytesMax, keepsNothing, newSession });
    this.#writer = new LinkWriter(clock);
    this.#deadline = new Deadline(
      clock,
      () => this.#dueAtMs(),
      () => this.#tick(),
    );
    this.#reports = new FrameReports({ ...hub.options, tally: hub.tally, sharedNames: hub.sharedNames }, this);
    this.#loneHold = new LoneHold(hub, this, {
      begun: (reason) => this.#conversation?.receiving.hold(reason),
      ended: () => {
        this.#conversation?.receiving.resume();
        this.#pump();
      },
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
    this.#writer.link = link;
    this.peer = link.peer;
    this.key = link.proven?.fingerprint;
    this.#opener.keyed = this.key !== undefined;
    if (this.#refusal !== undefined) this.#refuse(this.#refusal.code, this.#refusal.text);
    else this.#deadline.arm();
  }

  data(chunk: Uint8Array): void {
    if (this.#state !== "open") return;
    if (this.#conversation !== undefined) this.#conversation.receiving.push(chunk, this.#clock.nowMs());
    else if (!this.#begin(chunk)) return;
    this.#pump();
  }

  drain(): void {
    this.#writer.drain();
    if (this.#state === "open") {
      this.#flush();
      this.#pump();
    } else this.#finishOutput();
  }

  closed(reason: string): void {
    const wasOpen = this.#state === "open";
    this.#state = "closed";
    this.#writer.link = undefined;
    this.#leave();
    const why = reason === "" ? "closed by the peer" : reason;
    if (wasOpen) this.#reportLost(this.session === undefined ? `no greeting: ${why}` : why);
    this.#hub.remove(this);
  }

  #reportLost(reason: string): void {
    const { onEvent } = this.#hub.options;
    const peer = this.peer;
    if (this.session === undefined) this.#hub.refused(peer, reason);
    else onEvent({ event: "connection-lost", peer, device: this.device, reason });
  }

  /** Returns whether the conversation is there and has been given the bytes. */
  #begin(chunk: Uint8Array): boolean {
    const opened = this.#opener.push(chunk);
    if (opened === undefined) {
      this.#deadline.arm();
      return false;
    }
    if (typeof opened === "string") {
      this.#drop(opened);
      return false;
    }
    this.#protocol = opened.protocol;
    this.#converse(opened.receiving);
    return true;
  }

  #converse(receiving: ReceivingSession<FrameWriter>): Conversation {
    const { sink, clock, frameBytesMax } = this.#hub.options;
    const intake = new FrameIntake({
      receiving,
      sink,
      clock,
      frameBytesMax,
      cutFrames: this.#hub.cutFrames,
      sourceHolds: this.#hub.sourceHolds,
      reports: this.#reports,
      watchFrame: this.#hub.options.watchFrame,
      account: () => this.#account,
      onStored: (origin) => this.#hub.frameStored(origin),
      loneHold: this.#loneHold,
      hold: (failure) => this.#hub.hold(failure),
      // In its own turn: answers come inside calls of the sink.
      onAnswered: () => clock.after(0, () => this.#pump()),
      breakOff: (error) => this.#breakOff(error),
    });
    return (this.#conversation = { receiving, intake });
  }

  // ---- the conversation

  #pump(): void {
    const conversation = this.#conversation;
    if (conversation === undefined || this.#state !== "open") return;
    try {
      this.#drainEvents(conversation);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#breakOff(error);
      // What was complete before it is stored all the same.
      this.#hub.commitSoon();
      return;
    }
    // Events may have ended the session.
    if (this.#isOver) return;
    const { intake } = conversation;
    const wasCommitting = this.#hub.committing;
    if (intake.ending) this.#hub.commit();
    else this.#hub.commitSoon();
    intake.ending = false;
    // Where nothing has to be waited for, its acks are there at once: one write, and one wake-up of the sender.
    if (this.#hub.committing && !wasCommitting) this.#clock.after(0, () => this.#flushOpen());
    else this.#flush();
    this.#regulate();
    this.#deadline.arm();
  }

  #flushOpen(): void {
    if (!this.#isOver) this.#flush();
  }

  /** Of calls that may have ended it. */
  get #isOver(): boolean {
    return this.#state !== "open";
  }

  #drainEvents({ receiving, intake }: Conversation): void {
    while (!this.#isOver && !this.#joining && this.#loneHold.reason === undefined && !this.#throttled) {
      if (this.session !== undefined && !this.#hub.open) {
        // A full group is committed at once if it can be; then there is room again.
        if (this.#hub.full) this.#hub.commit();
        if (!this.#hub.open) return;
      }
      if (intake.full) return;
      if (this.#waiting !== undefined && intake.waitsForSource(this.#waiting)) return;
      const event = this.#waiting ?? receiving.next(this.#clock.nowMs());
      if (event === undefined) return;
      this.#waiting = undefined;
      try {
        this.#handle(receiving, intake, event);
      } catch (error) {
        if (!(error instanceof SinkError)) throw error;
        if (error.exhausted) throw new ProtocolError(ProtocolCode.busy, error.message);
        this.#waiting = event;
        if (this.#loneHold.reason === undefined && error.scope === "destination") this.#hub.hold(error);
        return;
      }
    }
  }

  /** Throws SinkError when the event has to wait for the destination, or for its source. */
  #handle(receiving: ReceivingSession<FrameWriter>, intake: FrameIntake, event: Event): void {
    switch (event.type) {
      case "hello":
        return this.#introduce(receiving, event);
      case "bye":
        this.#bye = event.interrupted ? "interrupted" : "complete";
        if (intake.stagedCount === 0) this.#farewell(receiving);
        return;
      default:
        intake.take(event);
    }
  }

  /** Throws ProtocolError when the peer may not send. */
  #introduce(receiving: ReceivingSession<FrameWriter>, hello: HelloEvent): void {
    const { desk } = this.#hub;
    const proven = this.#writer.link?.proven;
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
    if (this.#isOver) return;
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
    this.#writer.link?.admit?.();
    const proven = key === undefined ? {} : { key };
    onEvent({ event: "session-started", session, peer, device, protocol: this.#protocol, again, ...proven });
    receiving.welcome(clock.wallNs(), entered?.admitted);
    if (granted?.remark !== undefined) receiving.notify?.("other", granted.remark);
    if (this.#protocol === "wire") this.#hub.sharedNames.joined(this);
    if (this.#hub.heldFor !== undefined) this.hold(this.#hub.heldFor.message);
  }

  probe(alive: () => void): void {
    this.#conversation?.receiving.probe?.(alive);
    this.#flush();
  }

  tellShared(): void {
    this.#conversation?.receiving.notify?.(
      "shared-device",
      `another sender is called ${this.device} as well, and both send`,
    );
    this.#flush();
  }

  /** The grant of its key is gone, or has become another. */
  grantLost(gone: boolean): void {
    if (this.#isOver) return;
    const whose = this.device === "" ? this.key : `${this.device} (${this.key})`;
    this.#breakOff(
      gone
        ? new ProtocolError(ProtocolCode.unauthorized, `the grant of ${whose} was taken back`)
        : new ProtocolError(ProtocolCode.stopping, `the grant of ${whose} has changed: come back`),
    );
    this.#hub.commitSoon();
  }

  get openBytes(): number {
    return this.#conversation?.intake.openBytes ?? 0;
  }

  /** The key's account is overdrawn: nothing is parsed until it is not. */
  get #throttled(): boolean {
    this.#opensAtMs = this.#account?.opensAtMs;
    return this.#opensAtMs !== undefined;
  }

  // ---- the hub

  /** A commit is done: this connection's frames are settled. */
  committed(): void {
    const conversation = this.#conversation;
    if (conversation === undefined || this.#isOver) return;
    if (this.#bye !== undefined && conversation.intake.stagedCount === 0) this.#farewell(conversation.receiving);
    this.#flush();
    this.#deadline.arm();
    // What waited for room in the group goes on; in its own turn, because commits are reported inside others' calls.
    if (this.#paused || this.#waiting !== undefined) this.#clock.after(0, () => this.#pump());
  }

  hold(text: string): void {
    if (this.#conversation === undefined || this.session === undefined || this.#isOver) return;
    this.#holdReported = true;
    this.#conversation.receiving.hold(text);
    this.#flush();
    this.#regulate();
  }

  release(): void {
    if (this.#conversation === undefined || this.session === undefined || this.#isOver) return;
    const { receiving, intake } = this.#conversation;
    if (this.#holdReported && this.#loneHold.reason === undefined) receiving.resume();
    this.#holdReported = false;
    intake.askAgain();
    this.#pump();
  }

  /** Frames of this source may be taken again. */
  releaseSource(key: string): void {
    this.#conversation?.intake.releaseSource(key);
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
    if (this.#isOver) return;
    if (this.#writer.link === undefined)
      this.#refusal = { code: ProtocolCode.stopping, text: "the receiver is stopping" };
    else this.#refuse(ProtocolCode.stopping, "the receiver is stopping");
  }

  /** Another connection of the same session has taken over. */
  replace(): void {
    if (!this.#isOver) this.#refuse(ProtocolCode.replaced, "another connection of this session has taken over");
  }

  // ---- the end

  #farewell(receiving: ReceivingSession<FrameWriter>): void {
    const interrupted = this.#bye === "interrupted";
    this.ended = interrupted || this.#reports.incomplete ? "incomplete" : "complete";
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
    if (this.#isOver) return;
    this.#reportLost(error.message);
    this.#refuse(error.code as ProtocolCode, error.message);
  }

  #refuse(code: ProtocolCode, text: string): void {
    // A peer that has not said which protocol it speaks is told in ours.
    const { receiving } = this.#conversation ?? this.#converse(this.#opener.wire());
    receiving.refuse(code, text);
    this.#lastWord();
  }

  /** Bytes of nobody's protocol: no word is due. */
  #drop(reason: string): void {
    this.#reportLost(reason);
    this.#state = "closing";
    this.#leave();
    this.#writer.link?.close();
  }

  #lastWord(): void {
    this.#state = "closing";
    this.#leave();
    if (this.#paused) this.#writer.link?.resume();
    // A stranger with a key is not waited for.
    const isStranger = this.key !== undefined && this.session === undefined;
    this.#clock.after(isStranger ? lingerMs : lastWordMs, () => this.#writer.link?.close());
    this.#finishOutput();
  }

  /** FIN goes behind the last byte, however long the link takes for it. */
  #finishOutput(): void {
    this.#flush();
    if (this.#shut || this.#writer.stuckSinceMs !== undefined) return;
    this.#shut = true;
    this.#writer.link?.shutdown();
    this.#clock.after(lingerMs, () => this.#writer.link?.close());
  }

  /** Nothing more is taken, and nothing is held for it. */
  #leave(): void {
    this.#deadline.clear();
    this.#account?.leave(this);
    this.#hub.sharedNames.left(this);
    this.#loneHold.end();
    this.#conversation?.intake.stop();
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
    if (this.#conversation === undefined) return;
    const { receiving } = this.#conversation;
    do receiving.flushAcks();
    while (receiving.outbox.byteLength > 0 && this.#writer.flush(receiving.outbox));
  }

  /** Pauses or resumes the link, as the ring and the hub demand. */
  #regulate(): void {
    const { link } = this.#writer;
    if (this.#conversation === undefined || link === undefined) return;
    const { receiving, intake } = this.#conversation;
    const pause =
      receiving.full ||
      this.#waiting !== undefined ||
      this.#joining ||
      this.#opensAtMs !== undefined ||
      intake.full ||
      (this.session !== undefined && !this.#hub.open);
    if (pause === this.#paused) return;
    this.#paused = pause;
    receiving.reading = !pause;
    if (pause) link.pause();
    else link.resume();
  }

  #dueAtMs(): number {
    const stuckAtMs = (this.#writer.stuckSinceMs ?? Number.POSITIVE_INFINITY) + idleMs;
    const opensAtMs = this.#opensAtMs ?? Number.POSITIVE_INFINITY;
    return Math.min(this.#conversation?.receiving.tickAtMs ?? this.#opener.dueAtMs, stuckAtMs, opensAtMs);
  }

  #tick(): void {
    if (this.#isOver) return;
    if (this.#conversation === undefined) {
      this.#drop(`no greeting in ${handshakeMs / 1000} s`);
      return;
    }
    try {
      const nowMs = this.#clock.nowMs();
      const { stuckSinceMs } = this.#writer;
      if (stuckSinceMs !== undefined && nowMs - stuckSinceMs >= idleMs) {
        throw new ProtocolError(ProtocolCode.timeout, `the peer has read nothing for ${idleMs / 1000} s`);
      }
      this.#conversation.receiving.tick(nowMs);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#breakOff(error);
      return;
    }
    this.#pump();
  }
}

function busyError(connectionsMax: number): ProtocolError {
  const text = `${connectionsMax} connections are open (--max-connections, or the files the system allows)`;
  return new ProtocolError(ProtocolCode.busy, text);
}
