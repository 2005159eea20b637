/** A frame at the beginning of a file of the spool, which nobody changes. */
import { closeSync, openSync, readSync } from "node:fs";
import { SourceError } from "../../errors.ts";
import type { OpenedFrame } from "../../ports.ts";
import { toSourceError } from "../files/file-errors.ts";

export class SpooledFrame implements OpenedFrame {
  readonly bytes: number;
  readonly #fd: number;
  #at = 0;

  /** Throws SourceError. */
  constructor(path: string, bytes: number) {
    this.bytes = bytes;
    try {
      this.#fd = openSync(path, "r");
    } catch (error) {
      throw toSourceError(error);
    }
  }

  read(into: Uint8Array): number {
    const wanted = Math.min(into.length, this.bytes - this.#at);
    for (let filled = 0; filled < wanted;) {
      const count = this.#readSome(into.subarray(filled, wanted));
      if (count === 0) throw new SourceError("changing", `the spool has only ${this.#at} bytes of ${this.bytes}`);
      filled += count;
      this.#at += count;
    }
    return wanted;
  }

  #readSome(into: Uint8Array): number {
    try {
      return readSync(this.#fd, into, 0, into.length, this.#at);
    } catch (error) {
      throw toSourceError(error);
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
