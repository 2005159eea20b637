/**
 * The page's process, from the side of the process that stores: it is started, given the newest frames and figures that
 * it asks for, and started again when it ends. Nothing of it is waited for but its first word, and whatever it does, no
 * more waits for it than one frame.
 */
import { ExitStatus, UserError } from "../../errors.ts";
import type { Clock } from "../../ports.ts";
import { type Child, startChild } from "../../transport/child.ts";
import { MessageLink } from "../message-link.ts";
import type { Figures, Trouble } from "../page-api.ts";
import {
  asPageMessage,
  type HostMessage,
  type PageMessage,
  pageJsonBytesMax,
  type PageStart,
  pageWord,
  type Question,
} from "../page-messages.ts";
import { NewestFrames, type NewestSource } from "./newest-frames.ts";

/** Before it is started again; doubles. */
const againFirstMs = 500;
const againLastMs = 60_000;
/** It ran well for so long: what ends it then is something else. */
const soundMs = 60_000;

export interface PageHostOptions {
  readonly clock: Clock;
  readonly start: PageStart;
  readonly trouble: () => Trouble | undefined;
  readonly metrics: () => string;
  readonly figures: () => Figures;
  /** For tests. */
  readonly startChild?: typeof startChild;
  /** It ended, and is started again in `againMs`. */
  readonly onEnded: (againMs: number) => void;
}

export class PageHost {
  readonly newest: NewestFrames;
  readonly #options: PageHostOptions;
  #start: PageStart;
  #child: Child | undefined;
  #link: MessageLink | undefined;
  /** Until it has said whether it listens. */
  #first: PromiseWithResolvers<string> | undefined = Promise.withResolvers<string>();
  #startedMs = 0;
  #againMs = againFirstMs;
  #stopAgain: (() => void) | undefined;
  readonly #asked = new Set<Question>();
  #showPlanned = false;
  #stopped = false;

  constructor(options: PageHostOptions) {
    this.#options = options;
    this.#start = options.start;
    const { nowMs, wallNs } = options.clock;
    this.newest = new NewestFrames({ nowMs, wallNs, onWanted: () => this.#showSoon() });
  }

  /** Resolves to where it listens. Rejects with UserError if it cannot. */
  async open(): Promise<string> {
    const first = this.#first?.promise ?? Promise.reject(new Error("it is opened once"));
    this.#run();
    const address = await first;
    // The port that was free the first time is the one that people know.
    this.#start = { ...this.#start, port: Number(address.slice(address.lastIndexOf(":") + 1)) };
    return address;
  }

  stop(): void {
    this.#stopped = true;
    this.#stopAgain?.();
    this.#link?.close();
    this.#child?.kill();
  }

  #run(): void {
    this.#startedMs = this.#options.clock.nowMs();
    const link = new MessageLink({
      jsonBytesMax: pageJsonBytesMax,
      payloadBytesMax: 0,
      onMessage: (value) => this.#hear(asPageMessage(value)),
      onDrained: () => this.#show(),
      onClosed: () => this.#ended(),
    });
    this.#link = link;
    try {
      this.#child = (this.#options.startChild ?? startChild)(pageWord, link);
    } catch {
      return this.#ended();
    }
    link.send({ start: this.#start });
  }

  #hear(message: PageMessage | undefined): void {
    // Whatever it is that speaks so is not ours any more.
    if (message === undefined) return this.#child?.kill();
    if ("listening" in message) {
      this.#first?.resolve(message.listening);
      this.#first = undefined;
    } else if ("failed" in message) {
      const { message: text, hints } = message.failed;
      this.#first?.reject(new UserError(text, hints, ExitStatus.failure));
    } else if ("want" in message) {
      this.newest.want(message.want, message.frames);
      this.#showSoon();
    } else {
      this.#asked.add(message.ask);
      this.#show();
    }
  }

  #answerTo(question: Question): HostMessage {
    const { figures, metrics, trouble } = this.#options;
    if (question === "figures") return { figures: figures() };
    return question === "metrics" ? { metrics: metrics() } : { health: trouble() ?? "" };
  }

  /** In its own turn: a frame is told of inside the calls that store it and acknowledge it. */
  #showSoon(): void {
    if (this.#showPlanned) return;
    this.#showPlanned = true;
    this.#options.clock.after(0, () => {
      this.#showPlanned = false;
      this.#show();
    });
  }

  #show(): void {
    const link = this.#link;
    // What the other has not taken yet must not become more, whatever it asks.
    for (const question of this.#asked) {
      if (link?.idle !== true) return;
      this.#asked.delete(question);
      link.send(this.#answerTo(question));
    }
    for (const source of this.newest.sources) {
      if (link?.idle !== true) return;
      this.#showSource(link, source);
    }
  }

  #showSource(link: MessageLink, source: NewestSource): void {
    const newest = this.newest.take(source);
    if (newest === undefined) return;
    const { facts, serial, bytes } = newest;
    link.send({ frame: facts, serial, follows: bytes !== undefined }, bytes);
  }

  #ended(): void {
    this.#link = undefined;
    this.#child?.kill();
    this.#child = undefined;
    this.newest.forgetWants();
    this.#asked.clear();
    if (this.#stopped) return;
    if (this.#first !== undefined) {
      const hint = "its process ended before it could say why";
      return this.#first.reject(new UserError("the page cannot be served", [hint], ExitStatus.failure));
    }
    const { clock, onEnded } = this.#options;
    if (clock.nowMs() - this.#startedMs >= soundMs) this.#againMs = againFirstMs;
    onEnded(this.#againMs);
    this.#stopAgain = clock.after(this.#againMs, () => this.#run());
    this.#againMs = Math.min(2 * this.#againMs, againLastMs);
  }
}
