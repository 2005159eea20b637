/** One connection attempt: exactly one `closed` follows, whatever happens. Trying again is the caller's matter. */
import { connectMs } from "../limits.ts";
import type { LinkHandlers } from "../ports.ts";

/** Passes one attempt's calls on, gives up a slow one, and sees to it that `closed` is the last call. */
export class Attempt implements LinkHandlers {
  readonly #handlers: LinkHandlers;
  readonly #timer: ReturnType<typeof setTimeout>;
  #over = false;

  constructor(handlers: LinkHandlers) {
    this.#handlers = handlers;
    this.#timer = setTimeout(() => this.closed(`no answer in ${connectMs / 1000} s`), connectMs);
  }

  opened(link: Parameters<LinkHandlers["opened"]>[0]): void {
    clearTimeout(this.#timer);
    if (this.#over) link.close();
    else this.#handlers.opened(link);
  }

  data(chunk: Uint8Array): void {
    if (!this.#over) this.#handlers.data(chunk);
  }

  drain(): void {
    if (!this.#over) this.#handlers.drain();
  }

  closed(reason: string, hint?: string): void {
    clearTimeout(this.#timer);
    if (this.#over) return;
    this.#over = true;
    this.#handlers.closed(reason, hint);
  }
}
