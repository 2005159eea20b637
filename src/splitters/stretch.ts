/**
 * What lies between two frames. It is looked at as it goes by and not kept, because a camera driver may pad each frame
 * to megabytes.
 */
import { isMultipartText } from "./part-head.ts";
import type { PieceQueue } from "./piece-queue.ts";
import type { StretchKind } from "./split.ts";

/** Enough to recognise a format or to read the beginning of an error message. */
const shownBytes = 24;
/** The heads of some parts without a picture. */
const textBytesMax = 4096;

const isBlank = markedBytes(0x20, 0x09, 0x0a, 0x0d);
const isText: Uint8Array = isBlank.map((blank, byte) => (blank !== 0 || (byte > 0x20 && byte <= 0x7e) ? 1 : 0));
/** Zeros, white space, fill bytes, and a second FF D9: nothing that would be missed. */
export const isPadding: Uint8Array = markedBytes(0, 0xff, 0xd9, 0x20, 0x09, 0x0a, 0x0d);

function markedBytes(...bytes: number[]): Uint8Array {
  const marked = new Uint8Array(256);
  for (const byte of bytes) marked[byte] = 1;
  return marked;
}

export class Stretch {
  /** Somebody has read it as the head of a part. */
  isHead = false;
  /** Nothing but padding. */
  #plain = true;
  /** Behind padding, so far: it may be text between parts. */
  #text: string | undefined = "";
  #shown: number[] = [];

  get plain(): boolean {
    return this.#plain;
  }

  get kind(): StretchKind {
    if (this.#plain) return "padding";
    return this.isHead || (this.#text !== undefined && isMultipartText(this.#text)) ? "multipart" : "other";
  }

  add(bytes: PieceQueue, from: number, to: number): void {
    for (let at = from; this.#shown.length < shownBytes && at < to; at++) this.#shown.push(bytes.byteAt(at));
    const at = this.#plain ? bytes.skip(isPadding, from, to) : from;
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
