/**
 * Drives the article's protocol towards an old receiver: one conversation, on a connection of its own, per source, one
 * after another. A conversation that fails is begun again with the frames that were not confirmed; there is no resume
 * beyond that, because the protocol has none.
 */
import { ExitStatus, ProtocolError, SourceError, unreachable, type UserError } from "../errors.ts";
import type { SenderEvent, SourceProgress } from "../events.ts";
import type { FrameEntry, GapReason } from "../frame.ts";
import { stopMs } from "../limits.ts";
import type { Clock, Dial, OpenedFrame, Source } from "../ports.ts";
import { LockstepPace } from "../protocols/lockstep/pace.ts";
import { LockstepSender, type LockstepStep } from "../protocols/lockstep/sender.ts";
import { type FrameRecord, moveFrame, SourceLedger } from "../protocols/source-ledger.ts";
import { Deadline } from "./deadline.ts";
import { Reconnecting } from "./reconnecting.ts";
import { framesHeld, type SenderResult, type SenderTrouble } from "./sending.ts";
import { sizeProblem } from "./source-feed.ts";

export interface LockstepSendingOptions {
  /** For messages: `host:port`. */
  readonly peer: string;
  readonly dial: Dial;
  readonly clock: Clock;
  readonly random: () => number;
  readonly sources: readonly Source[];
  /** A larger frame is not sent. Absent: there is no limit. */
  readonly frameBytesMax?: number | undefined;
  readonly retryForMs: number | undefined;
  /** Frames that are stored are events, too, which costs a little for each. */
  readonly eachFrame?: boolean;
  readonly onEvent: (event: SenderEvent) => void;
  /** Called once, when nothing more will be sent. */
  readonly onDone: (result: SenderResult) => void;
}

/** Entries asked of a source at a time: the protocol takes them one by one. */
const listFrames = 16;

interface CurrentFrame {
  readonly record: FrameRecord;
  readonly place: number;
  readonly opened: OpenedFrame;
}

export class LockstepSending {
  readonly #options: LockstepSendingOptions;
  readonly #ledgers: readonly SourceLedger[];
  readonly #pace = new LockstepPace();
  readonly #connection: Reconnecting;
  readonly #deadline: Deadline;
  #conversation: LockstepSender | undefined;
  /** Index of the source that is being sent. */
  #turn = 0;
  #frame: CurrentFrame | undefined;
  #welcomed = false;
  #pumping = false;
  #stopping = false;
  #finished = false;

  constructor(options: LockstepSendingOptions) {
    this.#options = options;
    this.#ledgers = options.sources.map((source, index) => new SourceLedger(index, source, "oldest"));
    const { clock } = options;
    this.#deadline = new Deadline(
      clock,
      () => this.#conversation?.tickAtMs ?? Number.POSITIVE_INFINITY,
      () => this.#tick(),
    );
    this.#connection = new Reconnecting({
      ...options,
      handlers: {
        opened: () => this.#opened(),
        data: (chunk) => this.#guard(() => this.#conversation?.receive(chunk, clock.nowMs())),
        drain: () => this.#pump(),
        closed: () => {
          this.#deadline.clear();
          this.#conversation = undefined;
          this.#closeFrame();
          if (this.#stopping) this.#finish(undefined);
        },
      },
      onGaveUp: (error) => this.#finish(error),
    });
    for (const source of options.sources) source.onReady = () => this.#pump();
  }

  get progress(): readonly SourceProgress[] {
    return this.#ledgers;
  }

  start(): void {
    this.#options.onEvent({ event: "connecting", peer: this.#options.peer });
    if (this.#ledgers.length === 0) this.#finish(undefined);
    else this.#connection.connect();
  }

  get trouble(): SenderTrouble | undefined {
    return this.#connection.link !== undefined && this.#welcomed ? undefined : "unconnected";
  }

  /** Finishes the frame in hand, says `over`. */
  stop(): void {
    if (this.#stopping || this.#finished) return;
    this.#stopping = true;
    if (this.#conversation === undefined) {
      this.#finish(undefined);
      return;
    }
    this.#options.clock.after(stopMs, () => this.#finish(undefined));
    this.#pump();
  }

  #opened(): void {
    const source = this.#options.sources[this.#turn];
    if (source === undefined) return;
    this.#welcomed = false;
    this.#conversation = new LockstepSender({
      source: source.name,
      pace: this.#pace,
      nowMs: this.#options.clock.nowMs(),
    });
    this.#pump();
  }

  #tick(): void {
    this.#guard(() => this.#conversation?.tick(this.#options.clock.nowMs()));
  }

  /** Runs something that may find the conversation broken, then goes on. */
  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#connection.drop(error.message);
      return;
    }
    this.#pump();
  }

  #pump(): void {
    if (this.#pumping || this.#finished) return;
    this.#pumping = true;
    let failure: ProtocolError | undefined;
    try {
      for (let more = true; more && !this.#finished;) {
        const conversation = this.#conversation;
        if (conversation === undefined) break;
        more = this.#step(conversation, conversation.next(this.#options.clock.nowMs()));
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      failure = error;
    } finally {
      this.#pumping = false;
    }
    if (failure !== undefined) this.#connection.drop(failure.message);
    else if (!this.#finished) this.#deadline.arm();
  }

  /** Does one step; returns whether the loop goes on. */
  #step(conversation: LockstepSender, step: LockstepStep): boolean {
    switch (step.type) {
      case "need-frame":
        if (!this.#welcomed) {
          this.#welcomed = true;
          this.#connection.working();
          this.#options.onEvent({ event: "connected", peer: this.#options.peer, agent: "lockstep" });
        }
        return this.#begin(conversation);
      case "payload":
        return this.#read(conversation, step.bytes);
      case "frame-done":
        this.#settle();
        return true;
      case "wait": {
        // What was just written may be what the next step waits for; if the link took it all, look again.
        const waiting = conversation.outbox.byteLength;
        return waiting > 0 && this.#connection.flush(conversation.outbox);
      }
      case "over":
        if (this.#connection.flush(conversation.outbox)) this.#endConversation();
        return false;
      default:
        unreachable(step);
    }
  }

  /** Gives the conversation its next frame, or tells it that there is none. */
  #begin(conversation: LockstepSender): boolean {
    const source = this.#options.sources[this.#turn];
    const ledger = this.#ledgers[this.#turn];
    const nowMs = this.#options.clock.nowMs();
    if (source === undefined || ledger === undefined || this.#stopping) {
      conversation.finish(nowMs);
      return true;
    }
    const next = ledger.nextToSend();
    if (next === undefined) {
      if (ledger.listingDone) conversation.finish(nowMs);
      else return this.#list(source, ledger);
      return true;
    }
    const { record, place } = next;
    try {
      const opened = source.open(record.entry);
      const tooLarge = sizeProblem(opened.bytes, this.#options.frameBytesMax, "sender");
      const problem = tooLarge ?? conversation.problem(record.entry.name, opened.bytes);
      if (problem !== undefined) {
        opened.close();
        this.#giveUp(ledger, place, record, tooLarge === undefined ? "unreadable" : "refused", problem);
        return true;
      }
      record.bytes = opened.bytes;
      this.#frame = { record, place, opened };
      conversation.frame(record.entry.name, opened.bytes, nowMs);
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      this.#giveUp(ledger, place, record, error.reason, error.message);
    }
    return true;
  }

  #list(source: Source, ledger: SourceLedger): boolean {
    const listed = source.list(listFrames);
    if (listed === undefined) ledger.listingDone = true;
    else if (listed.length === 0) return false;
    for (const entry of listed ?? []) {
      // The protocol has no word for it; the source has said it here.
      if ("stretch" in entry) continue;
      // Nothing is offered in this protocol, so every frame is ready to be sent.
      if (!("failure" in entry)) {
        ledger.list(entry, true);
        continue;
      }
      for (let at = 0; at < (entry.count ?? 1); at++) {
        const place = ledger.listedFrames;
        const record = ledger.list({ name: entry.name, bytes: 0, capturedNs: 0n }, true);
        this.#giveUp(ledger, place, record, entry.failure, entry.detail);
      }
    }
    return true;
  }

  #read(conversation: LockstepSender, bytes: number): boolean {
    const { outbox } = conversation;
    const current = this.#frame;
    const ledger = this.#ledgers[this.#turn];
    if (current === undefined || ledger === undefined) return false;
    const at = outbox.reserve(bytes);
    try {
      const taken = current.opened.read(outbox.bytes.subarray(at, at + bytes));
      if (taken < bytes) throw new SourceError("changing", "shorter than it was when it was opened");
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      const { record, place } = current;
      this.#giveUp(ledger, place, record, error.reason, error.message);
      // The length is announced and cannot be taken back: only a new conversation gets past this frame.
      this.#connection.drop(`${record.entry.name} could not be read to its end`);
      return false;
    }
    outbox.commit(bytes);
    ledger.sentBytes += bytes;
    conversation.read(bytes, this.#options.clock.nowMs());
    this.#connection.flush(outbox);
    return true;
  }

  #settle(): void {
    const current = this.#frame;
    const ledger = this.#ledgers[this.#turn];
    if (current === undefined || ledger === undefined) return;
    this.#closeFrame();
    const { record, place } = current;
    // Until its last reply a frame may have to be sent anew, so it was wanted as long.
    moveFrame(record, "send");
    ledger.settle(place, record, "stored");
    const { eachFrame = false, onEvent } = this.#options;
    if (eachFrame) onEvent({ event: "stored", source: ledger.source, name: record.entry.name });
    this.#settled(record.entry, true);
  }

  /** The frame will not be sent. */
  #giveUp(ledger: SourceLedger, place: number, record: FrameRecord, reason: GapReason, detail: string): void {
    this.#closeFrame();
    ledger.turnIntoGap(place, record, reason, detail);
    // The receiver cannot be told.
    ledger.gapSent(place, record);
    ledger.settle(place, record, "recorded");
    const { name } = record.entry;
    this.#options.onEvent(
      reason === "refused"
        ? { event: "refused", source: ledger.source, name, count: 1, reason: "too-large", detail }
        : { event: "skipped", source: ledger.source, name, count: 1, reason, detail },
    );
    this.#settled(record.entry, false);
  }

  #settled(entry: FrameEntry, sent: boolean): void {
    // The receiver's ok is no proof of storage, so it carries no checksum either.
    this.#options.sources[this.#turn]?.settled(entry, sent ? "stored" : undefined, undefined);
  }

  #endConversation(): void {
    const ledger = this.#ledgers[this.#turn];
    this.#conversation = undefined;
    this.#deadline.clear();
    if (ledger?.complete === true) {
      this.#options.onEvent({ event: "source-ended", source: ledger.source, totals: ledger.totals() });
    }
    this.#turn++;
    if (this.#stopping || this.#turn >= this.#ledgers.length) this.#finish(undefined);
    else this.#connection.renew();
  }

  #closeFrame(): void {
    this.#frame?.opened.close();
    this.#frame = undefined;
  }

  #finish(error: UserError | undefined): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#deadline.clear();
    this.#closeFrame();
    const { sources } = this.#options;
    const lost = framesHeld(sources);
    for (const source of sources) source.dispose();
    this.#connection.end(this.#conversation === undefined);
    const totals = this.#ledgers.map((ledger) => ({ source: ledger.source, totals: ledger.totals() }));
    const complete = this.#ledgers.every((ledger) => ledger.complete);
    const unsettledFrames = this.#ledgers.reduce((sum, ledger) => sum + ledger.listedFrames - ledger.settledFrames, 0);
    const skipped = this.#ledgers.some((ledger) => ledger.refusedFrames + ledger.skippedFrames > 0);
    const status = error?.status ?? (complete && !skipped ? ExitStatus.ok : ExitStatus.incomplete);
    this.#options.onEvent({
      event: "finished",
      interrupted: !complete && error === undefined,
      unsettled: unsettledFrames,
    });
    const unlisted = this.#ledgers.filter(({ listingDone }) => !listingDone).map(({ source }) => source);
    this.#options.onDone({ status, totals, unsettledFrames, unlisted, lost, error });
  }
}
