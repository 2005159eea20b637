/**
 * What a sender has found of bytes in no frame, and cannot prove to be recorded. A stretch has no ack: it is sent
 * before anything else of its source, so the ack of a number that was listed behind it proves it.
 */
import type { StretchClass } from "../frame.ts";

export interface PendingStretch {
  /** The number of the frame or gap that follows. */
  readonly sequence: number;
  class: StretchClass;
  count: number;
  bytes: number;
  text: string;
  /** On the present connection. */
  sent: boolean;
}

export class StretchLog {
  /** In the order of their numbers, each of which occurs once. */
  #pending: PendingStretch[] = [];

  /** Sums up what is found before one number. The text of a loss says more than that of padding. */
  add(sequence: number, found: StretchClass, count: number, bytes: number, text: string): void {
    const last = this.#pending.at(-1);
    if (last?.sequence !== sequence) {
      this.#pending.push({ sequence, class: found, count, bytes, text, sent: false });
      return;
    }
    if (found === "loss" || last.class === "information") last.text = text;
    if (found === "loss") last.class = "loss";
    last.count += count;
    last.bytes += bytes;
    last.sent = false;
  }

  /** The first that is to be sent. */
  get next(): PendingStretch | undefined {
    return this.#pending.length === 0 ? undefined : this.#pending.find(({ sent }) => !sent);
  }

  /** The frame or gap `sequence` was acknowledged on this connection. */
  proven(sequence: number): void {
    if (this.#pending.length === 0) return;
    this.#pending = this.#pending.filter((stretch) => !stretch.sent || stretch.sequence > sequence);
  }

  /** The connection is gone, and what was said on it with it. */
  rewind(): void {
    for (const stretch of this.#pending) stretch.sent = false;
  }
}
