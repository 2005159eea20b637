/**
 * Drives the sender's engine: one connection after another until every frame is settled. Reads frames from the
 * sources into the engine's outbox, writes that to the link, and tells the sources what became of each frame.
 *
 *     source -> outbox -> link -> ... -> ack -> source.settled
 *
 * Knows ports only (Source, Dial, Clock): the simulation runs this very file.
 */
import { assert, ExitStatus, ProtocolCode, ProtocolError, SourceError, unreachable, UserError } from "../errors.ts";
import type { SenderEvent, SourceProgress } from "../events.ts";
import type { FrameEntry, GapReason, Notice, RefusalReason, SourceTotals } from "../frame.ts";
import { chunkBytes, stopMs } from "../limits.ts";
import type { Clock, Dial, OpenedFrame, ProvenKey, SenderTrust, Source } from "../ports.ts";
import type { SendingOrder } from "../protocols/source-ledger.ts";
import { SenderSession } from "../protocols/wire/sender.ts";
import type { SenderStep } from "../protocols/wire/sender-steps.ts";
import { Deadline } from "./deadline.ts";
import { Reconnecting } from "./reconnecting.ts";

export interface SendingOptions {
  /** For messages: `host:port`. */
  readonly peer: string;
  readonly dial: Dial;
  readonly clock: Clock;
  /** 0 (inclusive) to 1. */
  readonly random: () => number;
  /** 32 hexadecimal digits. */
  readonly session: string;
  /** Empty, with a key only: as the receiver calls it. */
  readonly device: string;
  /** Every link is of a receiver that has proven a key which is wanted. Absent: all links are plain. */
  readonly trust?: SenderTrust | undefined;
  /** There will be more to send: a refusal of the receiver is waited for to pass. */
  readonly goesOn?: boolean;
  readonly agent: string;
  readonly sources: readonly Source[];
  readonly order: SendingOrder;
  /** Cap on the link, in bytes per millisecond. */
  readonly rateMax: number | undefined;
  /**
   * With a receiver that keeps nothing (`-`, `/dev/null`): send all the same; wait for one that does; or end as
   * refused. Absent: send.
   */
  readonly ifNothingIsKept?: "send" | "wait" | "end";
  /** A larger frame is not sent, and becomes a gap. Absent: whatever the receiver takes. */
  readonly frameBytesMax?: number | undefined;
  /** How long to try without a connection; undefined: for ever. */
  readonly retryForMs: number | undefined;
  /** Frames that are stored are events, too, which costs a little for each. */
  readonly eachFrame?: boolean;
  readonly onEvent: (event: SenderEvent) => void;
  /** Called once, when nothing more will be sent. */
  readonly onDone: (result: SenderResult) => void;
}

/** What keeps frames from being stored, as a word. */
export type SenderTrouble = "unconnected" | "held";

export interface SenderResult {
  readonly status: ExitStatus;
  readonly totals: readonly { readonly source: string; readonly totals: SourceTotals }[];
  /** Frames listed and neither stored nor recorded as a gap. */
  readonly unsettledFrames: number;
  /** Sources that were not listed to their end and may have more. */
  readonly unlisted: readonly string[];
  /** Sources that cannot be read again, and how many frames of each were in memory only and are gone. */
  readonly lost: readonly { readonly source: string; readonly frames: number }[];
  readonly error: UserError | ProtocolError | undefined;
}

/** Written to the link when this much has been put together, so that small frames share a write. */
const flushBytes = chunkBytes;

/** Notices of a receiver of a later version that are told; there may be a number in each. */
const noticesMax = 100;

/** A receiver that held all, and does not at this moment, is looked at again after this time. */
const liftedMs = 1_000;

/** After a comparison that took longer, whoever else waits has a turn. */
const compareSliceMs = 5;

export class Sending {
  readonly #options: SendingOptions;
  readonly #session: SenderSession;
  readonly #deadline: Deadline;
  readonly #opened = new Map<number, OpenedFrame>();
  readonly #connection: Reconnecting;
  /** We do not read: answers to what has been read find no room. */
  #paused = false;
  /** This connection's HELLO asked to join. */
  #joining = false;
  #pumping = false;
  #pumpPlanned = false;
  #stopping = false;
  #finished = false;
  /** Why the run ends before its end. */
  #refusal: UserError | undefined;
  /** The user knows that the receiver keeps nothing. */
  #waitTold = false;
  /** Holds that were told, by source; undefined: of all. One that is lifted is over when a frame is stored. */
  readonly #holds = new Map<number | undefined, "held" | "lifted">();
  #stopHoldClock: (() => void) | undefined;
  readonly #noticesTold = new Set<string>();

  constructor(options: SendingOptions) {
    this.#options = options;
    const { session, device, agent, clock, sources, order, rateMax } = options;
    // One source that is complete has nothing that would have to overtake.
    const prompt = sources.length > 1 || order === "newest" || sources.some((source) => source.live);
    const { wallNs } = clock;
    const needsKeeping = (options.ifNothingIsKept ?? "send") !== "send";
    const compares = sources.some((source) => source.confirms !== undefined);
    const common = { session, device, agent, sources, order, prompt, rateMax, compares };
    this.#session = new SenderSession({ ...common, needsKeeping, wallNs });
    this.#deadline = new Deadline(
      clock,
      () => this.#session.tickAtMs,
      () => this.#tick(),
    );
    this.#connection = new Reconnecting({
      ...options,
      handlers: {
        opened: ({ proven }) => {
          this.#paused = false;
          this.#session.connected(clock.nowMs(), proven && { proof: this.#joinProof(proven) });
          this.#pump();
        },
        data: (chunk) => {
          this.#session.receive(chunk, clock.nowMs());
          this.#pump();
          this.#regulate();
        },
        drain: () => {
          this.#pump();
          this.#regulate();
        },
        closed: () => this.#disconnected(),
      },
      onGaveUp: (error) => this.#finish(error),
    });
    sources.forEach((source, index) => {
      source.onReady = () => {
        this.#session.sourceReady(index);
        this.#pump();
      };
    });
  }

  get progress(): readonly SourceProgress[] {
    return this.#session.ledgers;
  }

  start(): void {
    this.#options.onEvent({ event: "connecting", peer: this.#options.peer });
    this.#connection.connect();
  }

  get trouble(): SenderTrouble | undefined {
    if (!this.#connection.isConnected) return "unconnected";
    return this.#holds.get(undefined) === "held" ? "held" : undefined;
  }

  /** Finishes the frames in hand, waits for their acks for a while, says BYE. */
  stop(): void {
    if (this.#stopping || this.#finished) return;
    this.#stopping = true;
    // A live source that is stopped has its end here, if nothing of it is left behind.
    this.#options.sources.forEach((source, index) => {
      source.stop?.();
      if (source.unlistedFrames === 0) this.#session.listingDone(index);
    });
    this.#session.stop();
    if (this.#session.state !== "running" && this.#session.state !== "closing") {
      this.#finish(undefined);
      return;
    }
    this.#options.clock.after(stopMs, () => this.#finish(undefined));
    this.#pump();
  }

  /** What was not settled waits in the session for the next connection. */
  #disconnected(): void {
    this.#deadline.clear();
    this.#session.disconnected();
    this.#closeFrames();
    this.#pump();
    if (this.#stopping) this.#finish(undefined);
  }

  #fail(error: ProtocolError): void {
    if (error.side === "refused") {
      const text = `the receiver ended the connection: ${error.message}`;
      if (error.code === ProtocolCode.version) this.#finish(error);
      else if (error.code === ProtocolCode.unauthorized) this.#unauthorized(error, text);
      else this.#connection.drop(text);
    } else if (error.side === "stranger") {
      this.#connection.drop(`${this.#options.peer} does not speak framepipe: ${error.message}`);
    } else if (error.code === ProtocolCode.damaged) {
      this.#connection.drop(`what the receiver sent arrived damaged: ${error.message}`);
    } else if (error.code !== ProtocolCode.timeout) {
      this.#connection.drop(`the receiver broke the protocol: ${error.message}`);
    } else {
      this.#connection.drop(error.message);
    }
  }

  /** Believed for good only of a receiver that has proven its key, and only where nothing more comes. */
  #unauthorized(error: ProtocolError, text: string): void {
    const { goesOn = false } = this.#options;
    if (goesOn || this.#connection.link?.proven === undefined) this.#connection.dropUnauthorized(text);
    else this.#finish(error);
  }

  #joinProof({ exporter, fingerprint }: ProvenKey): Uint8Array {
    const { trust } = this.#options;
    assert(trust !== undefined, "only with a key does a link prove one");
    const proof = trust.joinProof(exporter, fingerprint);
    this.#joining = proof.length > 0;
    return proof;
  }

  #tick(): void {
    try {
      this.#session.tick(this.#options.clock.nowMs());
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail(error);
      return;
    }
    this.#pump();
  }

  // ---- the loop

  #pump(): void {
    // A source or link may call back while it is being used; the loop that is running will see the change.
    if (this.#pumping || this.#finished) return;
    this.#pumping = true;
    let failure: ProtocolError | undefined;
    try {
      while (!this.#finished && this.#step(this.#session.next(this.#options.clock.nowMs())));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      failure = error;
    } finally {
      this.#pumping = false;
    }
    if (failure !== undefined) this.#fail(failure);
    else if (this.#connection.link !== undefined && !this.#finished) this.#deadline.arm();
  }

  /** Goes on when the link has had its turn. */
  #pumpSoon(): void {
    if (this.#pumpPlanned) return;
    this.#pumpPlanned = true;
    this.#options.clock.after(0, () => {
      this.#pumpPlanned = false;
      this.#pump();
    });
  }

  /** Said once, however often it begins again before a frame is stored. */
  #held(sourceIndex: number | undefined, reason: string): void {
    const told = this.#holds.has(sourceIndex);
    this.#holds.set(sourceIndex, "held");
    if (told) return;
    const { onEvent, retryForMs } = this.#options;
    const limit = retryForMs === undefined ? {} : { retryForMs };
    onEvent({ event: "held", reason, ...limit, ...this.#named(sourceIndex) });
    this.#limitHold(reason);
  }

  #lifted(sourceIndex: number | undefined): void {
    if (this.#holds.has(sourceIndex)) this.#holds.set(sourceIndex, "lifted");
  }

  /** A frame of this source was stored: that the receiver stores again can be believed. */
  #storedAgain(sourceIndex: number): void {
    for (const index of [undefined, sourceIndex]) {
      if (this.#holds.get(index) !== "lifted") continue;
      this.#holds.delete(index);
      this.#options.onEvent({ event: "resumed", ...this.#named(index) });
    }
    if (this.#holds.size === 0) this.#endHold();
  }

  /** A receiver that holds all that is left for as long as we are to try is given up like one that is not there. */
  #limitHold(reason: string, afterMs: number | undefined = this.#options.retryForMs): void {
    const { retryForMs, clock, peer } = this.#options;
    if (retryForMs === undefined || afterMs === undefined || this.#stopHoldClock !== undefined) return;
    this.#stopHoldClock = clock.after(afterMs, () => {
      this.#stopHoldClock = undefined;
      // Nothing was stored since it held all; perhaps the connection is lost just now, and it will say so on the next.
      if (this.#holds.get(undefined) === "lifted") return this.#limitHold(reason, liftedMs);
      const isHeld = (index: number | undefined): boolean => this.#holds.get(index) === "held";
      const canGoOn = this.#session.ledgers.some(({ complete }, index) => !complete && !isHeld(index));
      if (canGoOn && !isHeld(undefined)) return this.#limitHold(reason);
      const message = `gave up: ${peer} could not store for ${retryForMs / 1000} s: ${reason}`;
      const hint = "see to it there, or give it longer with --retry-for; what is stored is not sent again";
      this.#finish(new UserError(message, [hint], ExitStatus.gaveUp));
    });
  }

  #endHold(): void {
    this.#stopHoldClock?.();
    this.#stopHoldClock = undefined;
  }

  /** Does one step; returns whether the loop goes on. */
  #step(step: SenderStep): boolean {
    const { onEvent, eachFrame = false, sources, peer } = this.#options;
    switch (step.type) {
      case "wait":
        this.#flush();
        return false;
      case "flush":
        return this.#flush();
      case "list":
        if (step.idle) this.#flush();
        this.#list(step.sourceIndex, step.max, step.liveOnly);
        if (step.idle) this.#pumpSoon();
        return !step.idle;
      case "compare":
        return this.#compare(step.sourceIndex, step.sequence, step.entry, step.crc32);
      case "open":
        this.#open(step.sourceIndex, step.entry);
        return true;
      case "chunk":
        this.#chunk(step.sourceIndex, step.bytes);
        return true;
      case "prove":
        this.#prove(step.sourceIndex, step.bytes);
        // Disks may be slow: who waits for a ping has its turn.
        this.#flush();
        this.#pumpSoon();
        return false;
      case "close":
        this.#close(step.sourceIndex);
        return true;
      case "welcomed":
        this.#pinned(step.pins);
        if (this.#joinedAsAnother(step.device)) return false;
        if (this.#connection.welcomed()) onEvent({ event: "connected", peer, agent: step.agent, ...deviceOf(step) });
        this.#checkKeeping(step.keepsNothing);
        return true;
      case "settled":
        this.#connection.working();
        sources[step.sourceIndex]?.settled(step.entry, step.outcome, step.crc32);
        if (this.#holds.size > 0 && step.outcome !== undefined) this.#storedAgain(step.sourceIndex);
        if (eachFrame && (step.outcome === "stored" || step.outcome === "conflict")) {
          onEvent({ event: "stored", source: this.#name(step.sourceIndex), name: step.entry.name });
        }
        if (step.outcome === "conflict") {
          onEvent({ event: "conflict", source: this.#name(step.sourceIndex), name: step.entry.name });
        }
        return true;
      case "refused":
        this.#refused(step.sourceIndex, step.entry.name, step.reason, step.text);
        return true;
      case "going-on":
        this.#connection.working();
        return true;
      case "notice":
        this.#tellNotice(step.notice, step.text);
        return true;
      case "waiting":
        onEvent({ event: "waiting", detail: step.text });
        return true;
      case "held":
        this.#held(step.sourceIndex, step.text);
        return true;
      case "resumed":
        this.#lifted(step.sourceIndex);
        return true;
      case "source-ended": {
        this.#connection.working();
        const ledger = this.#session.ledgers[step.sourceIndex];
        if (ledger === undefined) return true;
        const { source, disputedBy } = ledger;
        const totals = ledger.totals();
        onEvent({ event: "source-ended", source, totals });
        if (disputedBy !== undefined) onEvent({ event: "totals-differ", source, claimed: totals, found: disputedBy });
        return true;
      }
      case "done":
        this.#finish(undefined);
        return false;
      default:
        unreachable(step);
    }
  }

  /** The receiver has welcomed us: what it says of its keys is kept. */
  #pinned(announced: readonly string[]): void {
    const proven = this.#connection.link?.proven;
    if (proven !== undefined) this.#options.trust?.pinned(proven.fingerprint, announced);
  }

  /** Who joins asks for its name. Whether it may send under another is asked next, as in every later run. */
  #joinedAsAnother(given: string): boolean {
    const { device } = this.#options;
    if (!this.#joining || device === "" || device === given) return false;
    this.#connection.drop(`joined as ${given}, and asks to send as ${device}`);
    return true;
  }

  /** A receiver keeps what it is sent or not for as long as it runs, so it is not asked again on this connection. */
  #checkKeeping(keepsNothing: boolean): void {
    const { ifNothingIsKept = "send", peer } = this.#options;
    if (ifNothingIsKept === "send") return;
    if (keepsNothing && ifNothingIsKept === "end") {
      const message = `${peer} keeps nothing, so nothing was sent: --delete-sent would remove the only copies`;
      this.#refusal = new UserError(message, nothingKeptHints, ExitStatus.refused);
      this.stop();
    } else if (keepsNothing !== this.#waitTold) {
      this.#waitTold = keepsNothing;
      const reason = "it keeps nothing (--out - or /dev/null), and --delete-sent would remove the only copies";
      if (keepsNothing) this.#held(undefined, reason);
      else this.#lifted(undefined);
    }
  }

  /** Once: a receiver that has started anew may say it again. */
  #tellNotice(notice: Notice, detail: string): void {
    const { onEvent, trust } = this.#options;
    const what = notice === "other" ? detail : notice;
    if (this.#noticesTold.has(what) || this.#noticesTold.size >= noticesMax) return;
    this.#noticesTold.add(what);
    onEvent({ event: "notice", notice, detail, keyed: trust !== undefined });
  }

  /** Writes what waits. False: the link is full, and `drain` will come. */
  #flush(): boolean {
    const { outbox } = this.#session;
    const waitingBytes = outbox.byteLength;
    const all = this.#connection.flush(outbox);
    if (outbox.byteLength < waitingBytes) this.#session.sent(this.#options.clock.nowMs());
    return all;
  }

  #regulate(): void {
    const { link } = this.#connection;
    const { full } = this.#session;
    if (link === undefined || full === this.#paused) return;
    this.#paused = full;
    if (full) link.pause();
    else link.resume();
  }

  #list(sourceIndex: number, max: number, liveOnly: boolean): void {
    const listed = this.#options.sources[sourceIndex]?.list(max, liveOnly);
    if (listed === undefined) return this.#session.listingDone(sourceIndex);
    if (listed.length === 0) return this.#session.listedNothing(sourceIndex, liveOnly);
    for (const entry of listed) {
      if ("failure" in entry) {
        const { name, failure, detail, count = 1 } = entry;
        this.#session.listedGap(sourceIndex, name, failure, detail, count);
        if (failure === "refused") this.#refused(sourceIndex, name, "too-large", detail, count);
        else this.#skipped(sourceIndex, name, failure, detail, count);
      } else if ("stretch" in entry) {
        this.#session.stretch(sourceIndex, entry.stretch, entry.count, entry.bytes, entry.text);
      } else {
        this.#session.listed(sourceIndex, entry, entry.live === true);
      }
    }
  }

  /** Returns whether the loop goes on: a large file takes its time, and the link must have its turn. */
  #compare(sourceIndex: number, sequence: number, entry: FrameEntry, crc32: number): boolean {
    const { clock, sources } = this.#options;
    const startMs = clock.nowMs();
    const source = sources[sourceIndex];
    const isSame = source?.confirms === undefined ? true : source.confirms(entry, crc32);
    if (isSame !== undefined) this.#session.compared(sourceIndex, sequence, isSame);
    if (isSame !== undefined && clock.nowMs() - startMs < compareSliceMs) return true;
    this.#flush();
    this.#pumpSoon();
    return false;
  }

  #open(sourceIndex: number, entry: Parameters<Source["open"]>[0]): void {
    let opened: OpenedFrame | undefined;
    try {
      opened = this.#options.sources[sourceIndex]?.open(entry);
      if (opened === undefined) return;
      this.#opened.set(sourceIndex, opened);
    } catch (error) {
      this.#skip(sourceIndex, entry.name, error);
      return;
    }
    const tooLarge =
      sizeProblem(opened.bytes, this.#options.frameBytesMax, "sender") ??
      sizeProblem(opened.bytes, this.#session.frameBytesMax, "receiver");
    if (tooLarge !== undefined) {
      this.#close(sourceIndex);
      this.#session.frames.skip(sourceIndex, "refused", tooLarge);
      this.#refused(sourceIndex, entry.name, "too-large", tooLarge);
      return;
    }
    const bytes = this.#session.frames.open(sourceIndex, opened.bytes, opened.metadata);
    if (bytes !== undefined) this.#chunk(sourceIndex, bytes);
  }

  #chunk(sourceIndex: number, bytes: number): void {
    const opened = this.#opened.get(sourceIndex);
    try {
      const taken = opened?.read(this.#session.frames.chunkView(sourceIndex, bytes)) ?? 0;
      if (taken < bytes) throw new SourceError("changing", "shorter than it was when it was opened");
    } catch (error) {
      this.#skip(sourceIndex, this.#session.ledgers[sourceIndex]?.open?.record.entry.name ?? "", error);
      return;
    }
    if (this.#session.frames.commitChunk(sourceIndex, bytes, opened?.notes)) this.#close(sourceIndex);
    if (this.#session.outbox.byteLength >= flushBytes) this.#flush();
  }

  /** The start of a frame that the receiver may have is read and compared, and not sent. */
  #prove(sourceIndex: number, bytes: number): void {
    const entry = this.#session.ledgers[sourceIndex]?.open?.record.entry;
    const source = this.#options.sources[sourceIndex];
    if (entry === undefined || source === undefined) return;
    try {
      const view = new Uint8Array(bytes);
      const taken = this.#opened.get(sourceIndex)?.read(view) ?? 0;
      if (taken < bytes) throw new SourceError("changing", "shorter than it was when it was opened");
      if (this.#session.frames.proved(sourceIndex, view)) return;
      this.#close(sourceIndex);
      const again = source.open(entry);
      this.#opened.set(sourceIndex, again);
      if (again.bytes !== entry.bytes) throw new SourceError("changing", "has another size than before");
    } catch (error) {
      this.#skip(sourceIndex, entry.name, error);
    }
  }

  #skip(sourceIndex: number, name: string, error: unknown): void {
    if (!(error instanceof SourceError)) throw error;
    this.#close(sourceIndex);
    this.#session.frames.skip(sourceIndex, error.reason, error.message);
    this.#skipped(sourceIndex, name, error.reason, error.message, 1);
  }

  #skipped(sourceIndex: number, name: string, reason: GapReason, detail: string, count: number): void {
    this.#options.onEvent({ event: "skipped", source: this.#name(sourceIndex), name, count, reason, detail });
  }

  #refused(sourceIndex: number, name: string, reason: RefusalReason, detail: string, count = 1): void {
    this.#options.onEvent({ event: "refused", source: this.#name(sourceIndex), name, count, reason, detail });
  }

  #close(sourceIndex: number): void {
    this.#opened.get(sourceIndex)?.close();
    this.#opened.delete(sourceIndex);
  }

  #closeFrames(): void {
    for (const opened of this.#opened.values()) opened.close();
    this.#opened.clear();
  }

  /** For events that are about one source, or about all. */
  #named(sourceIndex: number | undefined): { source?: string } {
    return sourceIndex === undefined ? {} : { source: this.#name(sourceIndex) };
  }

  #name(sourceIndex: number): string {
    return this.#options.sources[sourceIndex]?.name ?? "";
  }

  #finish(reason: UserError | ProtocolError | undefined): void {
    if (this.#finished) return;
    const error = reason ?? this.#refusal;
    this.#finished = true;
    this.#endHold();
    this.#deadline.clear();
    this.#closeFrames();
    const { sources } = this.#options;
    const lost = framesHeld(sources);
    for (const source of sources) source.dispose();
    this.#connection.end(this.#session.state === "closed");
    const { ledgers } = this.#session;
    const unlisted = ledgers.filter(({ listingDone }) => !listingDone).map(({ source }) => source);
    const totals = ledgers.map((ledger) => ({ source: ledger.source, totals: ledger.totals() }));
    const { complete, unsettledFrames } = this.#session;
    let status: ExitStatus = ExitStatus.ok;
    if (error instanceof UserError) status = error.status;
    else if (error !== undefined) status = ExitStatus.refused;
    else if (!complete || ledgers.some((ledger) => ledger.lossy)) status = ExitStatus.incomplete;
    this.#options.onEvent({
      event: "finished",
      interrupted: !complete && error === undefined,
      unsettled: unsettledFrames,
    });
    this.#options.onDone({ status, totals, unsettledFrames, unlisted, lost, error });
  }
}

/** Only where the receiver says it. */
function deviceOf({ device }: { readonly device: string }): { device?: string } {
  return device === "" ? {} : { device };
}

const nothingKeptHints = [
  "its frames go to standard output or /dev/null; start it with --out DIRECTORY, or leave out --delete-sent",
];

/** Why a frame of this size is not sent, if it is not. Both ends show it, so it says whose limit that is. */
export function sizeProblem(
  bytes: number,
  frameBytesMax: number | undefined,
  whose: "sender" | "receiver",
): string | undefined {
  if (frameBytesMax === undefined || bytes <= frameBytesMax) return undefined;
  return `${bytes} bytes, limit ${frameBytesMax} (--max-frame of the ${whose})`;
}

/** What is lost when the run ends here: of each source that cannot be read again, the frames that only it has. */
export function framesHeld(sources: readonly Source[]): SenderResult["lost"] {
  return sources.flatMap(({ name, heldFrames: frames }) => (frames === undefined ? [] : [{ source: name, frames }]));
}
