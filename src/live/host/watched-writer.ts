/** A frame on its way to where it is stored, of which the page is told when it has come. */
import type { Frame } from "../../frame.ts";
import type { FrameWriter, Settle } from "../../ports.ts";

/** Who is told; `Source` is what it knows a source by. */
export interface Onlooker<Source> {
  /** Memory for the bytes of a frame that begins. Undefined: nobody wants them. */
  begin(source: Source, bytes: number): Uint8Array | undefined;
  /** It was stored. The memory goes back with it. */
  stored(source: Source, frame: Frame, receivedNs: bigint, bytes: Uint8Array | undefined): void;
  /** It was not. */
  release(bytes: Uint8Array | undefined): void;
}

export class WatchedWriter<Source> implements FrameWriter {
  readonly #newest: Onlooker<Source>;
  readonly #source: Source;
  readonly #wallNs: () => bigint;
  #frame: Frame;
  readonly #writer: FrameWriter;
  #copy: Uint8Array | undefined;
  #copied = 0;

  constructor(newest: Onlooker<Source>, source: Source, wallNs: () => bigint, frame: Frame, writer: FrameWriter) {
    this.#newest = newest;
    this.#source = source;
    this.#wallNs = wallNs;
    this.#frame = frame;
    this.#writer = writer;
    this.#copy = newest.begin(source, frame.bytes);
  }

  write(view: Uint8Array): void {
    this.#writer.write(view);
    if (this.#copy === undefined) return;
    this.#copy.set(view, this.#copied);
    this.#copied += view.length;
  }

  goOn(frame: Frame): void {
    this.#writer.goOn(frame);
    this.#frame = frame;
  }

  finish(crc32: number, done: Settle): void {
    const receivedNs = this.#wallNs();
    const frame = this.#frame;
    this.#writer.finish(crc32, (result) => {
      done(result);
      const copy = this.#copy;
      this.#copy = undefined;
      if (result === "stored" || result === "conflict" || result === "duplicate") {
        this.#newest.stored(this.#source, frame, receivedNs, copy);
      } else this.#newest.release(copy);
    });
  }

  abort(): void {
    this.#newest.release(this.#copy);
    this.#copy = undefined;
    this.#writer.abort();
  }
}
