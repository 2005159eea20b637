/**
 * One connection after another to the same receiver, with pauses that grow while nobody answers. What is said on a
 * connection is the caller's matter; it is told when one opens and when it is gone.
 *
 * Invariant: between `opened` and `closed` there is exactly one link, and late calls of earlier ones are not heard.
 */
import type { Outbox } from "../bytes/outbox.ts";
import { ExitStatus, UserError } from "../errors.ts";
import type { SenderEvent } from "../events.ts";
import { backoffFirstMs, backoffLastMs, steadyMs, unauthorizedFirstMs, unauthorizedLastMs } from "../limits.ts";
import type { Clock, Dial, Link, LinkHandlers } from "../ports.ts";
import { LinkWriter } from "./link-writer.ts";

export interface ReconnectingOptions {
  /** For messages: `host:port`. */
  readonly peer: string;
  readonly dial: Dial;
  readonly clock: Clock;
  /** 0 (inclusive) to 1: spreads the attempts of many senders. */
  readonly random: () => number;
  /** How long to try without a working connection; undefined: for ever. */
  readonly retryForMs: number | undefined;
  /** With keys whoever answers may be somebody else, or say no: so in one outage each new reason is told. */
  readonly trust?: unknown;
  readonly onEvent: (event: SenderEvent) => void;
  /** `closed` is called before the next attempt is planned, and may call `end`. */
  readonly handlers: LinkHandlers;
  readonly onGaveUp: (error: UserError) => void;
}

/** More of them in one outage are not told. */
const reasonsMax = 8;
const awayHint = "start the receiver, or give it longer with --retry-for; what is stored is not sent again";

export class Reconnecting {
  readonly #options: ReconnectingOptions;
  readonly #writer: LinkWriter;
  /** Counts connections, so that a late call of an old one is recognised. */
  #attempt = 0;
  #backoffMs = backoffFirstMs;
  /** The next pause after we were told that we may not send. */
  #unauthorizedMs = unauthorizedFirstMs;
  /** Since when there has been no working connection; undefined: there is one. */
  #lostAtMs: number | undefined;
  /** Why there is no connection, as far as that was told. */
  readonly #toldReasons = new Set<string>();
  /** Of the present connection, when the receiver answered as one. */
  #welcomedAtMs: number | undefined;
  /** That the receiver is there was told, and not since that it is not. */
  #welcomeTold = false;
  #ended = false;
  #cancelRetry: (() => void) | undefined;

  constructor(options: ReconnectingOptions) {
    this.#options = options;
    this.#writer = new LinkWriter(options.clock);
  }

  /** The present link. */
  get link(): Link | undefined {
    return this.#writer.link;
  }

  /** The receiver has answered, and the connection is not known to be gone. */
  get isConnected(): boolean {
    return this.#welcomedAtMs !== undefined;
  }

  /** Connects now. */
  connect(): void {
    const { clock, dial, handlers } = this.#options;
    this.#lostAtMs ??= clock.nowMs();
    const attempt = ++this.#attempt;
    const current = (): boolean => attempt === this.#attempt && !this.#ended;
    dial({
      opened: (link) => {
        if (!current()) return link.close();
        this.#writer.link = link;
        handlers.opened(link);
      },
      data: (chunk) => {
        if (current()) handlers.data(chunk);
      },
      drain: () => {
        if (!current()) return;
        this.#writer.drain();
        handlers.drain();
      },
      closed: (reason, hint) => {
        if (current()) this.#closed(reason, hint);
      },
    });
  }

  /** Writes what waits. False: the link is full, and `drain` will come; or there is none. */
  flush(outbox: Outbox): boolean {
    return this.#writer.flush(outbox);
  }

  /**
   * The receiver has answered as one. The pauses still grow if the connection ends soon with nothing to show for it: a
   * receiver that greets and then refuses is not asked again at once. True: it is news that it is there.
   */
  welcomed(): boolean {
    this.#welcomedAtMs = this.#options.clock.nowMs();
    const news = !this.#welcomeTold;
    this.#welcomeTold = true;
    return news;
  }

  /** Something has come of it: the next outage starts from nothing. */
  working(): void {
    this.#lostAtMs = undefined;
    this.#backoffMs = backoffFirstMs;
    this.#unauthorizedMs = unauthorizedFirstMs;
    this.#toldReasons.clear();
  }

  /** Drops the present connection, for a reason of ours, and goes on with the next. */
  drop(reason: string): void {
    this.#detach()?.close();
    this.#closed(reason);
  }

  /** We may not send, and ask again after a pause that a person needs to change that. */
  dropUnauthorized(reason: string, hint: string): void {
    this.#detach()?.close();
    const pauseMs = this.#unauthorizedMs;
    this.#unauthorizedMs = Math.min(unauthorizedLastMs, pauseMs * 2);
    this.#closed(reason, hint, pauseMs);
  }

  /** The conversation is complete: sends FIN, and connects again at once, for the next one. */
  renew(): void {
    this.#detach()?.shutdown();
    this.connect();
  }

  /** No more connections. The present one is closed: in order if everything was said on it. */
  end(inOrder: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelRetry?.();
    if (inOrder) this.link?.shutdown();
    else this.link?.close();
    this.#writer.link = undefined;
  }

  #detach(): Link | undefined {
    const { link } = this;
    this.#attempt++;
    this.#writer.link = undefined;
    return link;
  }

  #closed(reason: string, hint?: string, leastMs = 0): void {
    const { clock, handlers, onEvent, onGaveUp, peer, random, retryForMs, trust } = this.#options;
    const nowMs = clock.nowMs();
    this.#writer.link = undefined;
    // The caller may still have to take note of what arrived before, so the outage begins after this.
    handlers.closed(reason);
    if (this.#ended) return;
    if (this.#welcomedAtMs !== undefined && nowMs - this.#welcomedAtMs >= steadyMs) this.working();
    this.#welcomedAtMs = undefined;
    this.#lostAtMs ??= nowMs;
    // Half of the pause is chance, so that many senders do not come back at the same moment.
    const pauseMs = Math.max(leastMs, this.#backoffMs) * (0.5 + random() / 2) + leastMs / 2;
    this.#backoffMs = Math.min(backoffLastMs, this.#backoffMs * 2);
    const shown = reason === "" ? "closed by the receiver" : reason;
    const leftMs = (retryForMs ?? Number.POSITIVE_INFINITY) - (nowMs - this.#lostAtMs);
    // The last attempt is made when the time is up, not before.
    const retryMs = Math.min(pauseMs, leftMs);
    if (retryMs <= 0) {
      const seconds = ((nowMs - this.#lostAtMs) / 1000).toFixed(1);
      const message = `gave up after ${seconds} s without ${peer}: ${shown}`;
      onGaveUp(new UserError(message, [hint ?? awayHint], ExitStatus.gaveUp));
      return;
    }
    const isNews = trust === undefined ? this.#toldReasons.size === 0 : !this.#toldReasons.has(shown);
    if (isNews && this.#toldReasons.size < reasonsMax) {
      onEvent({ event: "disconnected", peer, reason: shown, ...(hint && { hint }), retryMs: Math.round(retryMs) });
      this.#welcomeTold = false;
    }
    if (this.#toldReasons.size < reasonsMax) this.#toldReasons.add(shown);
    this.#cancelRetry = clock.after(retryMs, () => {
      if (!this.#ended) this.connect();
    });
  }
}
