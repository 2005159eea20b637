/**
 * `--out -`: the frames themselves, one behind the other, for a player or another program.
 *
 * - Whole frames only, in the order in which they arrived complete. A frame is acknowledged when all of it was handed
 *   to the pipe; there is no promise about what the reader does with it.
 * - A reader that pauses stops the senders, not the receiver: writes wait in another thread.
 * - JPEG, PNG and raw frames go out as they are. Every y4m frame is a file of its own, with a stream header; of these
 *   only the first one is written, so that together they are one y4m stream. A frame with another header cannot be part
 *   of that stream: it ends the receiver with an error, for a player that read on would show garbage.
 * - The same frame again, after a lost connection, is not written again, as long as it is among the last
 *   `rememberedFrames`. Another run of the receiver knows nothing of this one.
 * - When the reader has gone, `onClosed` is called, once; what was not written is not acknowledged.
 */
import { fstatSync, ftruncateSync, write, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isatty } from "node:tty";
import { ExitStatus, SinkError, UserError } from "../errors.ts";
import type { Frame } from "../frame.ts";
import type { Clock, Sink } from "../ports.ts";
import { type Appender, AppendingSink, type NewFrame, type NewItem } from "./appending-sink.ts";
import { errorCode } from "./directory/disk.ts";
import { describe } from "./directory/storage-error.ts";
import { FrameIndex } from "./frame-index.ts";

/** Many windows (4096 frames each) of many sources, in some 15 MB. */
const rememberedFrames = 100_000;
/** Whoever shares the pipe has made it non-blocking and it is full: how long until the next try. */
const fullPipeMs = 5;
const probeBytes = 4096;
const y4mMagic = "YUV4MPEG2 ";
const newline = 0x0a;

export interface StdoutSinkOptions {
  /** 1, but for tests. It stays open. */
  readonly descriptor: number;
  readonly frameBytesMax: number;
  /** The reader has closed the pipe: nothing can be written any more, and the receiver should stop. */
  readonly onClosed: () => void;
  readonly clock: Pick<Clock, "nowMs" | "wallNs">;
}

/** Throws UserError for a terminal. */
export function openStdoutSink(options: StdoutSinkOptions): Sink {
  const { descriptor, clock } = options;
  if (isatty(descriptor)) {
    throw new UserError("--out -: standard output is a terminal, and frames would garble it", [
      "send it to a program: framepipe --receive 8000 --out - | ffplay -",
      "or store in a directory: --out captures",
    ]);
  }
  return new AppendingSink({
    place: "-",
    open: () => new StreamAppender(options),
    oneByOne: true,
    temporaryPath: join(tmpdir(), `framepipe-${crypto.randomUUID()}-`),
    clock,
  });
}

class StreamAppender implements Appender {
  readonly index: FrameIndex;
  readonly #options: StdoutSinkOptions;
  /** Standard output goes to a file: what was begun can be cut off again. */
  readonly #isFile: boolean;
  /** Where to write in that file; null: where the shell and we have left off. */
  #position: number | null = null;
  /** The file's size, and the header, before the frame in hand. */
  #startBytes = 0;
  #startHeader: string | undefined;
  /** Written of the frame in hand. */
  #writtenBytes = 0;
  /** Of the y4m stream, once it has begun. */
  #y4mHeader: string | undefined;

  constructor(options: StdoutSinkOptions) {
    this.#options = options;
    try {
      this.#isFile = fstatSync(options.descriptor).isFile();
    } catch (error) {
      throw new UserError(`--out -: cannot use standard output: ${describe(error)}`, [], ExitStatus.failure);
    }
    const { frameBytesMax } = options;
    this.index = new FrameIndex({ file: undefined, layout: undefined, frameBytesMax, framesMax: rememberedFrames });
  }

  async append(items: readonly NewItem[]): Promise<void> {
    // Gaps and ends have no place in a stream of frames; they are in the receiver's messages.
    for (const item of items) if (item.kind === "frame") await this.#append(item);
  }

  async #append({ frame, content }: NewFrame): Promise<void> {
    if (this.#isFile) this.#startBytes = fstatSync(this.#options.descriptor).size;
    this.#startHeader = this.#y4mHeader;
    this.#writtenBytes = 0;
    let first = true;
    try {
      for await (const piece of content.pieces()) {
        await this.#write(first ? this.#withoutRepeatedHeader(piece, frame) : piece);
        first = false;
      }
    } catch (error) {
      if (errorCode(error) === "EPIPE") {
        this.#options.onClosed();
        throw new SinkError("standard output was closed by its reader", { retryable: false, cause: error });
      }
      // What went into a pipe cannot be taken back, and nothing may follow half a frame.
      if (this.#isFile || this.#writtenBytes === 0) throw error;
      const message = `standard output broke off within a frame: ${describe(error)}`;
      throw new SinkError(message, { retryable: false, cause: error });
    }
  }

  /** Of a y4m frame, which begins with `piece`, only what the stream has not had yet. */
  #withoutRepeatedHeader(piece: Uint8Array, frame: Frame): Uint8Array {
    const start = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    if (start.toString("latin1", 0, y4mMagic.length) !== y4mMagic) return piece;
    const end = start.indexOf(newline);
    if (end === -1) return piece;
    const header = start.toString("latin1", 0, end);
    if (this.#y4mHeader === undefined) {
      this.#y4mHeader = header;
      return piece;
    }
    if (header === this.#y4mHeader) return piece.subarray(end + 1);
    const { device, source } = frame.origin;
    const name = `${device}/${source}/${frame.name}`;
    const message = `standard output: ${name} begins with "${header}", the y4m stream with "${this.#y4mHeader}"`;
    throw new SinkError(message, { retryable: false });
  }

  async #write(view: Uint8Array): Promise<void> {
    for (let done = 0; done < view.byteLength;) {
      const count = await this.#writeSome(view, done);
      if (count === 0) await Bun.sleep(fullPipeMs);
      done += count;
      this.#writtenBytes += count;
      if (this.#position !== null) this.#position += count;
    }
  }

  /** Resolves to the count that was taken, perhaps after a long time; 0 means that the pipe is full for now. */
  #writeSome(view: Uint8Array, offset: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const { descriptor } = this.#options;
      write(descriptor, view, offset, view.byteLength - offset, this.#position, (error, count) => {
        if (error === null) resolve(count);
        else if (errorCode(error) === "EAGAIN") resolve(0);
        else reject(error);
      });
    });
  }

  retract(): void {
    this.#y4mHeader = this.#startHeader;
    try {
      this.#cutBack();
    } catch {
      // `heal` tries again.
    }
  }

  #cutBack(): void {
    if (!this.#isFile) return;
    this.#position = this.#startBytes;
    ftruncateSync(this.#options.descriptor, this.#startBytes);
  }

  check(): undefined {
    return undefined;
  }

  heal(): boolean {
    if (!this.#isFile) return true;
    this.#cutBack();
    try {
      const count = writeSync(this.#options.descriptor, new Uint8Array(probeBytes), 0, probeBytes, this.#position);
      if (count < probeBytes) throw Object.assign(new Error("nothing was written"), { code: "ENOSPC" });
    } finally {
      this.#cutBack();
    }
    return true;
  }

  close(): void {
    this.index.close();
  }
}
