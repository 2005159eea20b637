/**
 * Standard error, or whatever descriptor messages go to, as somebody who must never be waited for. What finds no room
 * is kept, up to a limit, and goes out by itself when there is room again: a reader that stalled goes on, a disk that
 * was full is not. Beyond the limit messages are dropped and counted, and their number is said as soon as anything can
 * be said. A message is dropped whole or not at all.
 *
 *     write -> [waiting] -> descriptor
 */
import { MiB } from "../limits.ts";
import type { Clock } from "../ports.ts";
import { errorCode, isFull } from "./errno.ts";
import { unblockedWriter, type WriteNow } from "./unblocked-writer.ts";

/** Some thousands of messages: more than a reader that is only slow falls behind. */
const waitingBytesMax = MiB;
/** Between two attempts; doubles from the first to the last, and begins anew when something went out. */
const retryFirstMs = 5;
const retryLastMs = 1_000;
/** At the end of the program: how long a reader that takes nothing is waited for, and one that hurries us at most. */
const patienceMs = 1_000;
const pauseMs = 5;

export interface LogStreamOptions {
  /** Usually 2. */
  readonly descriptor: number;
  readonly clock: Pick<Clock, "nowMs" | "after">;
}

export class LogStream {
  readonly #options: LogStreamOptions;
  #writeNow: WriteNow | undefined;
  /** What has found no room, in order; of the first, what is left of it. */
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  /** A part of the first that waits has been written. */
  #begun = false;
  #lostMessages = 0;
  #lostSinceMs = 0;
  /** Half a line stands there, and its rest is gone. */
  #torn = false;
  #retryMs = retryFirstMs;
  #cancelRetry: (() => void) | undefined;
  #hurried = false;

  /** What is said of messages that were dropped, a line with its end. */
  describeLost: (messages: number, ms: number) => string = (messages) => `${messages} messages were dropped\n`;

  constructor(options: LogStreamOptions) {
    this.#options = options;
  }

  /** One message. Never waits and never throws. */
  write(text: string): void {
    if (this.#waiting.length > 0) this.#drain();
    this.#send(text);
  }

  /** What is of use only now, such as a display. False: nothing of it was written. */
  tryWrite(text: string): boolean {
    if (this.#waiting.length > 0) this.#drain();
    if (this.#waiting.length > 0) return false;
    const bytes = Buffer.from(text);
    const taken = this.#take(bytes);
    if (taken === undefined || (taken === 0 && bytes.length > 0)) return false;
    if (taken < bytes.length) this.#keep(bytes.subarray(taken), true);
    return true;
  }

  /** From now on the end must come soon. */
  hurry(): void {
    this.#hurried = true;
  }

  /** The program ends: what waits goes out, for as long as the reader takes it. */
  finish(): void {
    const { nowMs } = this.#options.clock;
    const startMs = nowMs();
    let sinceMs = startMs;
    let leftBytes = this.#waitingBytes;
    for (;;) {
      this.#drain();
      if (this.#waitingBytes === 0) break;
      const now = nowMs();
      if (this.#waitingBytes < leftBytes) sinceMs = now;
      leftBytes = this.#waitingBytes;
      if (now - sinceMs >= patienceMs || (this.#hurried && now - startMs >= patienceMs)) break;
      Bun.sleepSync(pauseMs);
    }
    this.#cancelRetry?.();
  }

  /** With what has to be said before it. An empty text is only that. */
  #send(text: string): void {
    const bytes = Buffer.from(this.#before() + text);
    const fits = this.#waitingBytes + bytes.length <= waitingBytesMax;
    const taken = !fits ? undefined : this.#waiting.length > 0 ? 0 : this.#take(bytes);
    if (taken === undefined) {
      if (text !== "") this.#lose();
      return;
    }
    this.#lostMessages = 0;
    this.#torn = false;
    if (taken < bytes.length) this.#keep(bytes.subarray(taken), taken > 0);
  }

  #before(): string {
    const lost = this.#lostMessages;
    const end = this.#torn ? "\n" : "";
    return lost === 0 ? end : end + this.describeLost(lost, this.#options.clock.nowMs() - this.#lostSinceMs);
  }

  /** Writes what waits, as far as there is room. */
  #drain(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const taken = this.#take(first);
      if (taken === undefined || taken === 0) return;
      this.#retryMs = retryFirstMs;
      this.#waitingBytes -= taken;
      this.#begun = taken < first.length;
      if (this.#begun) this.#waiting[0] = first.subarray(taken);
      else this.#waiting.shift();
    }
    if (this.#lostMessages > 0) this.#send("");
  }

  /** How much of it was taken; undefined: there is no way for now, and nothing waits any more. */
  #take(bytes: Uint8Array): number | undefined {
    let taken = 0;
    try {
      this.#writeNow ??= unblockedWriter(this.#options.descriptor);
      while (taken < bytes.length) {
        const count = this.#writeNow(bytes.subarray(taken));
        if (count === 0) break;
        taken += count;
      }
    } catch (error) {
      // Room can be made, which nobody tells us. Everything else is tried again with the next message.
      if (!isFull(error) && errorCode(error) !== "EINTR") {
        this.#torn ||= taken > 0 || this.#begun;
        this.#loseWaiting();
        return undefined;
      }
    }
    return taken;
  }

  #keep(bytes: Uint8Array, begun: boolean): void {
    if (begun) this.#begun = true;
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#retryLater();
  }

  #lose(): void {
    if (this.#lostMessages === 0) this.#lostSinceMs = this.#options.clock.nowMs();
    this.#lostMessages++;
  }

  #loseWaiting(): void {
    for (const _ of this.#waiting.splice(0)) this.#lose();
    this.#waitingBytes = 0;
    this.#begun = false;
  }

  #retryLater(): void {
    this.#cancelRetry ??= this.#options.clock.after(this.#retryMs, () => {
      this.#cancelRetry = undefined;
      this.#retryMs = Math.min(retryLastMs, this.#retryMs * 2);
      this.#drain();
      if (this.#waiting.length > 0) this.#retryLater();
    });
  }
}
