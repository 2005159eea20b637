/**
 * One viewer on the live channel (HTTP.md). It is sent the newest picture when it has credit and its connection has
 * taken everything; nothing is ever queued for it.
 */
import { creditMax, type PictureSize, type SourceKey } from "../page-api.ts";
import type { Pictures } from "./pictures.ts";

/** Sources that one viewer is shown. */
const shownMax = 1024;
const keyCharactersMax = 8192;
/** It has taken nothing for so long: it is closed. */
export const stalledMs = 30_000;

/** What a viewer needs of its connection. */
export interface ViewerSocket {
  send(message: string | Uint8Array): void;
  /** What the connection has not taken yet. */
  waitingBytes(): number;
  close(): void;
}

interface Shown {
  readonly size: PictureSize;
  /** Of the picture that it has; undefined: none. */
  serial: number | undefined;
  sentAt: number;
}

export interface ViewerOptions {
  readonly socket: ViewerSocket;
  readonly pictures: Pictures;
  readonly nowMs: () => number;
  /** A message so large may be sent now, as far as the memory of all viewers goes. */
  readonly hasRoom: (bytes: number) => boolean;
}

export class Viewer {
  readonly #options: ViewerOptions;
  #shown = new Map<SourceKey, Shown>();
  #credit = 0;
  #turn = 0;
  #takingSinceMs: number | undefined;
  wantsFigures = false;

  constructor(options: ViewerOptions) {
    this.#options = options;
  }

  /** Returns what is to be answered to a ping. Undefined: nothing. Throws for what is no message of ours. */
  hear(text: string): number | undefined {
    const message = JSON.parse(text) as unknown;
    if (typeof message !== "object" || message === null) throw new TypeError("no object");
    const { show, credit, figures, ping } = message as Record<string, unknown>;
    if (show !== undefined) this.#show(show);
    if (typeof credit === "number" && credit > 0) this.#credit = Math.min(this.#credit + Math.floor(credit), creditMax);
    if (typeof figures === "boolean") this.wantsFigures = figures;
    this.pump();
    return typeof ping === "number" ? ping : undefined;
  }

  #show(show: unknown): void {
    if (typeof show !== "object" || show === null) throw new TypeError("show is no object");
    const before = this.#shown;
    this.#shown = new Map();
    for (const [key, size] of Object.entries(show).slice(0, shownMax)) {
      if ((size !== "thumbnail" && size !== "full") || key.length > keyCharactersMax) continue;
      const known = before.get(key);
      const isSame = known !== undefined && known.size === size;
      this.#shown.set(key, isSame ? known : { size, serial: undefined, sentAt: -1 });
    }
  }

  shows(key: SourceKey, size: PictureSize): boolean {
    return this.#shown.get(key)?.size === size;
  }

  /** Sends what there is, and asks for what there is not. */
  pump(): void {
    const { socket, pictures } = this.#options;
    while (this.#credit > 0 && this.#isFree()) {
      let next: readonly [Shown, number, Uint8Array] | undefined;
      for (const [key, shown] of this.#shown) {
        const ready = pictures.ready(key, shown.size);
        if (ready === undefined || ready.serial === shown.serial) pictures.want(key, shown.size);
        else if (next === undefined || shown.sentAt < next[0].sentAt) next = [shown, ready.serial, ready.message];
      }
      if (next === undefined || !this.#options.hasRoom(next[2].length)) return;
      const [shown, serial, message] = next;
      shown.serial = serial;
      shown.sentAt = this.#turn += 1;
      this.#credit -= 1;
      socket.send(message);
    }
  }

  /** Figures and answers: the newest counts, so what cannot be taken now is left out. */
  tell(text: string): void {
    if (this.#isFree()) this.#options.socket.send(text);
  }

  /** Closes a viewer that takes nothing. Call it now and then. */
  look(): void {
    const { socket, nowMs } = this.#options;
    if (socket.waitingBytes() === 0) this.#takingSinceMs = undefined;
    else if (this.#takingSinceMs === undefined) this.#takingSinceMs = nowMs();
    else if (nowMs() - this.#takingSinceMs >= stalledMs) socket.close();
  }

  #isFree(): boolean {
    return this.#options.socket.waitingBytes() === 0;
  }
}
