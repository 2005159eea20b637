/** Reads small pieces of a file, mostly one behind the other, without a system call for each. */
import type { ArchiveFile } from "../archive-file.ts";

/** As much as stands between the bytes of two pictures. */
const pieceBytes = 4096;

export class Window {
  readonly #file: Pick<ArchiveFile, "read">;
  /** Nothing behind this is looked at. */
  readonly limit: number;
  #buffer: Buffer = Buffer.alloc(pieceBytes);
  #start = 0;
  #bytes = 0;

  constructor(file: Pick<ArchiveFile, "read">, limit: number) {
    this.#file = file;
    this.limit = limit;
  }

  /** `bytes` bytes from `at`, valid until the next call; undefined: there are not so many. */
  view(at: number, bytes: number): Buffer | undefined {
    if (at + bytes > this.limit) return undefined;
    if (at < this.#start || at + bytes > this.#start + this.#bytes) {
      if (bytes > this.#buffer.byteLength) this.#buffer = Buffer.alloc(bytes);
      this.#start = at;
      this.#bytes = this.#file.read(this.#buffer, at);
      if (this.#bytes < bytes) return undefined;
    }
    return this.#buffer.subarray(at - this.#start, at - this.#start + bytes);
  }
}
