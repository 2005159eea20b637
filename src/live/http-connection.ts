/** One connection, one request, one answer; then it ends, whatever the peer does. */
import type { Clock, Link, LinkHandlers } from "../ports.ts";
import { type Answers, answerTo } from "./answers.ts";
import { encodeAnswer, headEnd, parseRequest } from "./request.ts";

const headBytesMax = 8192;
/** For the whole head, and for the whole answer to be read. */
export const headMs = 5_000;
export const answerMs = 10_000;
/** After FIN, how long the peer may take to close: a reset would take the answer with it. */
const lingerMs = 500;

export interface HttpConnectionOptions {
  readonly clock: Clock;
  readonly answers: Answers;
  /** Sent away as soon as it has come. */
  readonly tooMany: boolean;
  readonly onClosed: () => void;
}

export class HttpConnection implements LinkHandlers {
  readonly #options: HttpConnectionOptions;
  #link: Link | undefined;
  #head = "";
  /** What is left to write; undefined: the request is not complete. */
  #answer: Uint8Array | undefined;
  #stopClock: (() => void) | undefined;

  constructor(options: HttpConnectionOptions) {
    this.#options = options;
  }

  opened(link: Link): void {
    this.#link = link;
    if (this.#options.tooMany) link.close();
    else this.#within(headMs, () => this.#say(encodeAnswer({ status: 408, body: "too slow\n" }, true)));
  }

  data(chunk: Uint8Array): void {
    // What comes behind the request is of no interest.
    if (this.#answer !== undefined) return;
    this.#head += Buffer.from(chunk.subarray(0, headBytesMax + 1)).toString("latin1");
    const end = this.#head.indexOf(headEnd);
    if (end === -1 && this.#head.length <= headBytesMax) return;
    if (end === -1 || end > headBytesMax) {
      return this.#say(encodeAnswer({ status: 431, body: "the head is too large\n" }, true));
    }
    const request = parseRequest(this.#head.slice(0, end));
    this.#say(encodeAnswer(answerTo(request, this.#options.answers), request?.method !== "HEAD"));
  }

  #say(answer: Uint8Array): void {
    this.#head = "";
    this.#answer = answer;
    this.#within(answerMs, () => this.#link?.close());
    this.drain();
  }

  drain(): void {
    const link = this.#link;
    if (link === undefined || this.#answer === undefined || this.#answer.length === 0) return;
    this.#answer = this.#answer.subarray(link.write(this.#answer));
    if (this.#answer.length > 0) return;
    link.shutdown();
    this.#within(lingerMs, () => this.#link?.close());
  }

  closed(): void {
    this.#link = undefined;
    this.#stopClock?.();
    this.#options.onClosed();
  }

  #within(ms: number, otherwise: () => void): void {
    this.#stopClock?.();
    this.#stopClock = this.#options.clock.after(ms, otherwise);
  }
}
