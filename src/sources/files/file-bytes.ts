/** An open file's bytes, from place to place, without moving where it is read next. */
import { readSync } from "node:fs";
import { startsWith } from "../../image-format.ts";
import type { PictureBytes } from "../exif.ts";

/** Bytes of their own that cameras put behind the end; zeros may be more, of those who fill up blocks. */
const tailBytesMax = 64;
const paddingBytesMax = 65_536;

/** Read at once where everything is looked at. */
export const windowBytes = 65_536;
/** Read at once elsewhere. */
const headBytes = 4_096;
/** The window, and four bytes that stay 0. */
export const scratch: Buffer = Buffer.alloc(windowBytes + 4);

/** Reads a window at a time: small ones from place to place, large ones where everything is looked at. */
export class FileBytes implements PictureBytes {
  readonly bytes: number;
  readonly #fd: number;
  #from = 0;
  #to = 0;

  constructor(fd: number, bytes: number) {
    this.#fd = fd;
    this.bytes = bytes;
  }

  /** 0 behind the end: whoever asks has compared with `bytes`, or the file has become shorter. */
  at(position: number, readBytes: number = headBytes): number {
    if (position < this.#from || position >= this.#to) this.#read(position, readBytes);
    return position < this.#to ? (scratch[position - this.#from] as number) : 0;
  }

  /** Where in `scratch` the four bytes from `position` stand. Most steps of a walk are one of these. */
  four(position: number): number {
    if (position < this.#from || position + 4 > this.#to) this.#read(position, headBytes);
    return position + 4 > this.#to ? windowBytes : position - this.#from;
  }

  #read(position: number, readBytes: number): void {
    this.#from = position;
    this.#to = position + readSync(this.#fd, scratch, 0, readBytes, position);
  }

  u16(position: number): number {
    return this.at(position) * 0x100 + this.at(position + 1);
  }

  u32(position: number): number {
    return this.u16(position) * 0x1_0000 + this.u16(position + 2);
  }

  u32LowFirst(position: number): number {
    return (
      this.at(position) +
      this.at(position + 1) * 0x100 +
      (this.at(position + 2) + this.at(position + 3) * 0x100) * 0x1_0000
    );
  }

  text(position: number, length: number): string {
    if (length === 0) return "";
    this.at(position);
    const from = position - this.#from;
    if (position + length <= this.#to) return scratch.toString("latin1", from, from + length);
    return String.fromCharCode(...Array.from({ length }, (_, index) => this.at(position + index)));
  }

  /** `start` is shorter than a window. */
  beginsWith(start: Uint8Array): boolean {
    this.at(0);
    return this.#to >= start.length && startsWith(scratch, start);
  }

  /** The first position of `byte` from `position`, or the end. */
  find(byte: number, position: number): number {
    for (let from = position; from < this.bytes; from = this.#to) {
      this.at(from, windowBytes);
      if (this.#to <= from) break;
      const found = scratch.subarray(0, this.#to - this.#from).indexOf(byte, from - this.#from);
      if (found !== -1) return this.#from + found;
    }
    return this.bytes;
  }

  /** Whether what is behind an end is next to nothing. */
  endsAt(position: number): boolean {
    const left = this.bytes - position;
    if (left <= tailBytesMax) return true;
    if (left > paddingBytesMax) return false;
    for (let at = position; at < this.bytes; at += 1) if (this.at(at, windowBytes) !== 0) return false;
    return true;
  }
}
