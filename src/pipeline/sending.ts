/**
 * Drives the sender's engine: one connection after another until every frame is settled. Reads frames from the
 * sources into the engine's outbox, writes that to the link, and tells the sources what became of each frame.
 *
 *     source -> outbox -> link -> ... -> ack -> source.settled
 *
 * Knows ports only (Source, Dial, Clock): the simulation runs this very file.
 */
import { assert, ExitStatus, ProtocolCode, ProtocolError, unreachable, UserError } from "../errors.ts";
import type { SenderEvent, SourceProgress } from "../events.ts";
import type { Notice, SourceTotals } from "../frame.ts";
import { chunkBytes, stopMs, stopTellMs } from "../limits.ts";
import type { Clock, Dial, ProvenKey, SenderTrust, Source } from "../ports.ts";
import type { SendingOrder } from "../protocols/source-ledger.ts";
import { SenderSession } from "../protocols/wire/sender.ts";
import type { SenderStep } from "../protocols/wire/sender-steps.ts";
import { Deadline } from "./deadline.ts";
import { ReceiverHolds } from "./receiver-holds.ts";
import { Reconnecting } from "./reconnecting.ts";
import { SourceFeed } from "./source-feed.ts";

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
  /** Keys of the gateways that the frames came through. Absent: they are our own. */
  readonly via?: readonly string[];
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

/** Written to the link when this much has been put together. */
const flushBytes = chunkBytes;

/** Notices of a receiver of a later version that are told; there may be a number in each. */
const noticesMax = 100;

export class Sending {
  readonly #options: SendingOptions;
  readonly #session: SenderSession;
  readonly #deadline: Deadline;
  readonly #feed: SourceFeed;
  readonly #holds: ReceiverHolds;
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
  readonly #noticesTold = new Set<string>();

  constructor(options: SendingOptions) {
    this.#options = options;
    const { session, device, agent, clock, sources, order, rateMax } = options;
    // One source that is complete has nothing that would have to overtake.
    const prompt = sources.length > 1 || order === "newest" || sources.some((source) => source.live);
    const { wallNs } = clock;
    const needsKeeping = (options.ifNothingIsKept ?? "send") !== "send";
    const compares = sources.some((source) => source.confirms !== undefined);
    const { via = [] } = options;
    const common = { session, device, agent, sources, via, order, prompt, rateMax, compares };
    this.#session = new SenderSession({ ...common, needsKeeping, wallNs });
    this.#feed = new SourceFeed(options, this.#session);
    this.#holds = new ReceiverHolds({
      ...options,
      ledgers: this.#session.ledgers,
      onGaveUp: (error) => this.#finish(error),
    });
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
    return this.#holds.holdsAll ? "held" : undefined;
  }

  /**
   * Finishes the frames in hand, and sends those that only this process has; waits for their acks for a while, says
   * BYE.
   */
  stop(): void {
    if (this.#stopping || this.#finished) return;
    this.#stopping = true;
    // A live source that is stopped has its end here, if nothing of it is left behind.
    this.#options.sources.forEach((source, index) => {
      source.stop?.();
      if (source.unlistedFrames === 0) this.#session.listingDone(index);
    });
    this.#session.stop(this.#fleeting());
    if (this.#session.state !== "running" && this.#session.state !== "closing") {
      this.#finish(undefined);
      return;
    }
    const { clock } = this.#options;
    clock.after(stopMs - stopTellMs, () => this.#giveUp());
    clock.after(stopMs, () => this.#finish(undefined));
    this.#pump();
  }

  /** Sources with frames that end with this process. */
  #fleeting(): number[] {
    const { sources } = this.#options;
    return [...sources.keys()].filter((index) => (sources[index]?.heldFrames ?? 0) > 0);
  }

  /** Frames that cannot be sent in time are told as lost, if the receiver listens. */
  #giveUp(): void {
    if (this.#finished || this.#session.state !== "running") return;
    for (const index of this.#fleeting()) {
      this.#feed.listAll(index);
      this.#session.giveUp(index, "dropped: the sender was stopped");
    }
    this.#pump();
  }

  /** What was not settled waits in the session for the next connection. */
  #disconnected(): void {
    this.#deadline.clear();
    this.#session.disconnected();
    this.#feed.closeAll();
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
    if (goesOn || this.#connection.link?.proven === undefined)
      this.#connection.dropUnauthorized(text, unauthorizedHint);
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
        this.#feed.list(step.sourceIndex, step.max, step.liveOnly);
        if (step.idle) this.#pumpSoon();
        return !step.idle;
      case "compare":
        if (this.#feed.compare(step.sourceIndex, step.place, step.entry, step.crc32)) return true;
        this.#flush();
        this.#pumpSoon();
        return false;
      case "open":
        this.#feed.open(step.sourceIndex, step.entry);
        this.#flushFull();
        return true;
      case "chunk":
        this.#feed.chunk(step.sourceIndex, step.bytes);
        this.#flushFull();
        return true;
      case "prove":
        this.#feed.prove(step.sourceIndex, step.bytes);
        // Disks may be slow: who waits for a ping has its turn.
        this.#flush();
        this.#pumpSoon();
        return false;
      case "close":
        this.#feed.close(step.sourceIndex);
        return true;
      case "welcomed":
        this.#pinned(step.pins);
        if (this.#joinedAsAnother(step.device)) return false;
        if (this.#connection.welcomed()) onEvent({ event: "connected", peer, agent: step.agent, ...deviceOf(step) });
        this.#checkKeeping(step.keepsNothing);
        return true;
      case "settled":
        this.#connection.working();
        sources[step.sourceIndex]?.settled(step.entry, step.outcome, step.crc32, step.fate);
        if (step.outcome !== undefined) this.#holds.storedAgain(step.sourceIndex);
        if (eachFrame && (step.outcome === "stored" || step.outcome === "conflict")) {
          onEvent({ event: "stored", source: sources[step.sourceIndex]?.name ?? "", name: step.entry.name });
        }
        if (step.outcome === "conflict") {
          onEvent({ event: "conflict", source: sources[step.sourceIndex]?.name ?? "", name: step.entry.name });
        }
        return true;
      case "refused":
        this.#feed.refused(step.sourceIndex, step.entry.name, step.reason, step.text);
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
        this.#holds.held(step.sourceIndex, step.text);
        return true;
      case "resumed":
        this.#holds.lifted(step.sourceIndex);
        return true;
      case "source-ended": {
        this.#connection.working();
        const ledger = this.#session.ledgers[step.sourceIndex];
        if (ledger === undefined) return true;
        sources[step.sourceIndex]?.ended?.();
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
      const reason = "it keeps nothing (--out - or /dev/null), and what it acknowledges may be removed here";
      if (keepsNothing) this.#holds.held(undefined, reason);
      else this.#holds.lifted(undefined);
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

  /** Small frames share a write. */
  #flushFull(): void {
    if (this.#session.outbox.byteLength >= flushBytes) this.#flush();
  }

  #regulate(): void {
    const { link } = this.#connection;
    const { full } = this.#session;
    if (link === undefined || full === this.#paused) return;
    this.#paused = full;
    if (full) link.pause();
    else link.resume();
  }

  #finish(reason: UserError | ProtocolError | undefined): void {
    if (this.#finished) return;
    const error = reason ?? this.#refusal;
    this.#finished = true;
    this.#holds.end();
    this.#deadline.clear();
    this.#feed.closeAll();
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

const unauthorizedHint = "who may send stands in the receiver's devices folder; it is asked again, less and less often";

const nothingKeptHints = [
  "its frames go to standard output or /dev/null; start it with --out DIRECTORY, or leave out --delete-sent",
];

/** What is lost when the run ends here: of each source that cannot be read again, the frames that only it has. */
export function framesHeld(sources: readonly Source[]): SenderResult["lost"] {
  return sources.flatMap(({ name, heldFrames: frames }) => (frames === undefined ? [] : [{ source: name, frames }]));
}
