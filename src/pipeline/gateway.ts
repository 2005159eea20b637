/**
 * A gateway hands on what its receiver has stored: to one upstream, for each origin device over one connection at a
 * time, as the session that it came in. The receiver never waits for this; what cannot be handed on now stays in its
 * directory.
 *
 *     backlog -> a device's turn -> Sending (one session) -> nothing due, or another waits -> the next turn
 *
 * Knows ports only.
 */
import { type ProtocolError, UserError } from "../errors.ts";
import type { ReceiverEvent, SenderEvent, UpstreamEvent } from "../events.ts";
import { gatewayIdleMs, gatewayLookMs, gatewayTurnMs, upstreamConnectionsMax, upstreamRefusedMs } from "../limits.ts";
import type { Backlog, Clock, Dial, Handing, SenderTrust } from "../ports.ts";
import { Sending, type SenderResult } from "./sending.ts";

export interface GatewayOptions {
  /** For messages: `host:port`. */
  readonly peer: string;
  readonly dial: Dial;
  readonly clock: Clock;
  /** 0 (inclusive) to 1. */
  readonly random: () => number;
  readonly newSession: () => string;
  readonly trust?: SenderTrust | undefined;
  readonly agent: string;
  readonly backlog: Backlog;
  readonly onEvent: (event: ReceiverEvent) => void;
}

/** A session whose turn it is. */
interface Turn {
  readonly handing: Handing;
  readonly sending: Sending;
  readonly beganMs: number;
  /** When there was something to do last. */
  busyMs: number;
  stopping: boolean;
}

export class Gateway {
  readonly #options: GatewayOptions;
  /** By device. */
  readonly #turns = new Map<string, Turn>();
  /** Devices that were refused: not before this time. */
  readonly #refusedUntilMs = new Map<string, number>();
  /** Devices with something to do and without a turn, who has waited longest first. */
  readonly #waiting = new Set<string>();
  #greeting: Sending | undefined;
  /** What was said last of the upstream. */
  #isThere: boolean | undefined;
  #reason = "";
  readonly #held = new Set<string>();
  #backlogTold = 0;
  #backlogAtMs = 0;
  #stopped: (() => void) | undefined;

  constructor(options: GatewayOptions) {
    this.#options = options;
    options.backlog.onWork = (device) => this.#work(device);
  }

  start(): void {
    const { backlog, trust } = this.#options;
    if (trust !== undefined) this.#greet();
    for (const device of backlog.devices()) this.#waiting.add(device);
    this.#begin();
    this.#look();
  }

  /** Numbers that the upstream does not have. */
  get backlogFrames(): number {
    return this.#options.backlog.frames;
  }

  get isConnected(): boolean {
    return this.#isThere === true;
  }

  /** Ends what is under way, in order. What is not handed on stays for the next start. */
  stop(done: () => void): void {
    this.#stopped = done;
    this.#greeting?.stop();
    for (const turn of this.#turns.values()) this.#end(turn);
    this.#maybeStopped();
  }

  #maybeStopped(): void {
    if (this.#stopped === undefined || this.#turns.size > 0 || this.#greeting !== undefined) return;
    const done = this.#stopped;
    this.#stopped = () => undefined;
    const { backlog, peer } = this.#options;
    if (backlog.frames > 0) this.#tell({ event: "upstream-backlog", peer, frames: backlog.frames });
    done();
  }

  /**
   * With keys: whether the upstream takes us at all is known before there is a frame. It is the gateway that joins, not
   * a device, so devices wait for this.
   */
  #greet(): void {
    const sending = this.#sending({ device: "", session: this.#options.newSession(), via: [], sources: [] }, 0n, () => {
      this.#greeting = undefined;
      this.#begin();
      this.#maybeStopped();
    });
    this.#greeting = sending;
    sending.start();
  }

  #work(device: string): void {
    const turn = this.#turns.get(device);
    if (turn !== undefined) turn.busyMs = this.#options.clock.nowMs();
    else this.#waiting.add(device);
    this.#begin();
  }

  /** Gives turns to who waits, as far as there may be connections. */
  #begin(): void {
    if (this.#stopped !== undefined || this.#greeting !== undefined) return;
    const { backlog, clock } = this.#options;
    const nowMs = clock.nowMs();
    for (const device of this.#waiting) {
      if (this.#turns.size >= upstreamConnectionsMax) return;
      if (this.#turns.has(device) || (this.#refusedUntilMs.get(device) ?? 0) > nowMs) continue;
      this.#waiting.delete(device);
      const handing = backlog.take(device);
      if (handing !== undefined) this.#turn(handing, nowMs);
    }
  }

  #turn(handing: Handing, nowMs: number): void {
    const { device, clockOffsetNs } = handing;
    const sending = this.#sending(handing, clockOffsetNs, (result) => this.#done(turn, result));
    const turn: Turn = { handing, sending, beganMs: nowMs, busyMs: nowMs, stopping: false };
    this.#turns.set(device, turn);
    sending.start();
  }

  /** The device's own clock is what the upstream hears: it measures as if there were no gateway. */
  #sending(
    { device, session, via, sources }: Pick<Handing, "device" | "session" | "via" | "sources">,
    clockOffsetNs: bigint,
    onDone: (result: SenderResult) => void,
  ): Sending {
    const { peer, dial, clock, random, trust, agent } = this.#options;
    return new Sending({
      peer,
      dial,
      clock: {
        nowMs: () => clock.nowMs(),
        after: (delayMs, run) => clock.after(delayMs, run),
        wallNs: () => clock.wallNs() + clockOffsetNs,
      },
      random,
      session,
      device,
      via,
      trust,
      goesOn: true,
      agent,
      sources,
      order: "oldest",
      rateMax: undefined,
      ifNothingIsKept: "wait",
      retryForMs: undefined,
      onEvent: (event) => this.#heard(device, event),
      onDone,
    });
  }

  #done(turn: Turn, { error }: SenderResult): void {
    const { handing } = turn;
    const { device } = handing;
    this.#turns.delete(device);
    this.#held.delete(device);
    handing.release();
    if (error !== undefined) this.#refused(device, error);
    if (this.#stopped !== undefined) return this.#maybeStopped();
    // Perhaps another session of it, or what came meanwhile.
    this.#waiting.add(device);
    this.#options.clock.after(0, () => this.#begin());
  }

  #refused(device: string, error: UserError | ProtocolError): void {
    const { clock, peer } = this.#options;
    this.#refusedUntilMs.set(device, clock.nowMs() + upstreamRefusedMs);
    const hints = error instanceof UserError ? error.hints : [];
    this.#tell({ event: "upstream-refused", peer, device, reason: error.message, hints });
  }

  #end(turn: Turn): void {
    if (turn.stopping) return;
    turn.stopping = true;
    turn.sending.stop();
  }

  /** Now and then: whose turn is over, and how much there is. */
  #look(): void {
    if (this.#stopped !== undefined) return;
    const { clock, backlog } = this.#options;
    const nowMs = clock.nowMs();
    for (const device of backlog.devices()) if (!this.#turns.has(device)) this.#waiting.add(device);
    const full = this.#turns.size >= upstreamConnectionsMax && this.#waiting.size > 0;
    for (const turn of this.#turns.values()) {
      const { handing, beganMs } = turn;
      const hasWork = handing.hasWork();
      if (hasWork) turn.busyMs = nowMs;
      const another = full || backlog.waits(handing.device);
      const isOver = another && (!hasWork || nowMs - beganMs >= gatewayTurnMs);
      if (handing.isStale() || isOver || nowMs - turn.busyMs >= gatewayIdleMs) this.#end(turn);
    }
    this.#begin();
    this.#tellBacklog(nowMs);
    clock.after(gatewayLookMs, () => this.#look());
  }

  /** After a while, then at each doubling, and when it is gone. */
  #tellBacklog(nowMs: number): void {
    const { backlog, peer } = this.#options;
    const { frames } = backlog;
    if (frames === 0) {
      if (this.#backlogTold > 0) this.#tell({ event: "upstream-backlog", peer, frames });
      this.#backlogTold = 0;
      this.#backlogAtMs = nowMs;
    } else if (nowMs - this.#backlogAtMs >= gatewayIdleMs && frames >= 2 * this.#backlogTold) {
      this.#backlogTold = frames;
      this.#tell({ event: "upstream-backlog", peer, frames });
    }
  }

  // ---- what is heard of the upstream, from any connection

  #heard(device: string, event: SenderEvent): void {
    const { peer } = this.#options;
    switch (event.event) {
      case "connected":
        if (this.#isThere !== true) this.#tell({ event: "upstream-connected", peer });
        this.#isThere = true;
        return;
      case "disconnected":
        // A connection that ends while others go on, or at the end of a turn, is no news of the upstream.
        if (this.#isThere === false && this.#reason === event.reason) return;
        this.#isThere = false;
        this.#reason = event.reason;
        return this.#tell({ event: "upstream-lost", peer, device, reason: event.reason });
      case "held":
        if (this.#held.size === 0) this.#tell({ event: "upstream-held", peer, reason: event.reason });
        this.#held.add(device);
        return;
      case "resumed":
        this.#held.delete(device);
        if (this.#held.size === 0) this.#tell({ event: "upstream-resumed", peer });
        return;
      case "skipped":
      case "refused": {
        const { source, name, count, reason, detail } = event;
        return this.#tell({ event: "not-handed-on", peer, device, source, name, count, reason, detail });
      }
      case "totals-differ": {
        const { source, claimed, found } = event;
        return this.#tell({ event: "upstream-differs", peer, device, source, claimed, found });
      }
      default:
    }
  }

  #tell(event: UpstreamEvent): void {
    this.#options.onEvent(event);
  }
}
