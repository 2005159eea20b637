/**
 * What lies between two frames. It is looked at as it goes by and not kept, because a camera driver may pad each frame
 * to megabytes.
 */
import { isText, paddingEnd } from "./byte-kinds.ts";
import { isMultipartText } from "./part-head.ts";
import type { PieceQueue } from "./piece-queue.ts";
import type { StretchKind } from "./split.ts";

/** Enough to recognise a format or to read the beginning of an error message. */
const shownBytes = 24;
/** The heads of some parts without a picture. */
const textBytesMax = 4096;

export class Stretch {
  /** So far it is the head of a part, which somebody has read. It lies from `#from` to `#to`, not looked at here. */
  #isHead = false;
  #from = 0;
  #to = 0;
  /** Nothing but padding. */
  #plain = true;
  /** Behind padding, so far: it may be text between parts. */
  #text: string | undefined = "";
  #shown: number[] = [];

  get plain(): boolean {
    return this.#plain && !this.#isHead;
  }

  get kind(): StretchKind {
    if (this.#isHead) return "multipart";
    if (this.#plain) return "padding";
    return this.#text !== undefined && isMultipartText(this.#text) ? "multipart" : "other";
  }

  /** With these bytes, and with nothing behind them, it is the head of a part. */
  addHead(from: number, to: number): void {
    this.#isHead = true;
    this.#from = from;
    this.#to = to;
  }

  add(bytes: PieceQueue, from: number, to: number): void {
    if (this.#isHead) {
      this.#isHead = false;
      this.#look(bytes, Math.max(bytes.start, this.#from), this.#to);
    }
    this.#look(bytes, from, to);
  }

  #look(bytes: PieceQueue, from: number, to: number): void {
    for (let at = from; this.#shown.length < shownBytes && at < to; at++) this.#shown.push(bytes.byteAt(at));
    const at = this.#plain ? paddingEnd(bytes, from, to) : from;
    this.#plain &&= at === to;
    if (this.#text === undefined || this.#plain) return;
    const long = this.#text.length + to - at > textBytesMax;
    if (long || bytes.skip(isText, at, to) < to) this.#text = undefined;
    else this.#text += bytes.textAt(at, to);
  }

  /** Its first bytes, as text if they are. */
  beginning(): string {
    const text = this.#shown.every((byte) => isText[byte] !== 0);
    return text
      ? JSON.stringify(String.fromCharCode(...this.#shown))
      : this.#shown.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  }
}
