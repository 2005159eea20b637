/**
 * Frames in progress for a sink that can only append whole ones. A frame is kept in memory if it is small and there is
 * room for it, and otherwise in a temporary file, so that memory is bounded whatever the size and number of frames.
 *
 * The parser's views are copied: a view holds on to the whole chunk of the socket that it is in (512 KiB), and a frame
 * is appended long after its chunk could have been given back. One copy of 100 KB takes some 10 µs.
 */
import { closeSync, constants, ftruncateSync, openSync, read, unlinkSync, writeSync } from "node:fs";
import { assert, nothingWritten, SinkError } from "../../errors.ts";
import { KiB, MiB } from "../../limits.ts";
import { describe, isTooLarge } from "../../system/errno.ts";
import type { Draft } from "./store.ts";

/** A frame up to this size is kept in memory: a raw picture of 1920 by 1080 is 3 MB. */
const frameBytesMax: number = 8 * MiB;
/**
 * All frames in memory, in progress or staged, of all sinks together. With it the receiver took 120 to 139 MiB for
 * 2,000 frames of 100 KB in a second, with twice as much up to 169.
 */
export const gatheredBytesMax: number = 16 * MiB;
/** Written to see whether a temporary file can be. */
const probeBytes: number = 4 * KiB;
/** Staged in memory, a group is to be committed before there is room for nothing but temporary files. */
export function groupBytesFor(memoryBytesMax: number): number {
  return memoryBytesMax / 2;
}

/** The smallest buffer. */
const bufferBytesMin: number = 4 * KiB;
/** What is read back from a temporary file at once. */
const pieceBytes: number = 256 * KiB;

export interface FrameGathererOptions {
  /** The start of a free name for temporary files; a number is put behind it. */
  readonly temporaryPath: string;
  /** This sink's part of `gatheredBytesMax`. */
  readonly memoryBytesMax: number;
  /** So many bytes were written to a temporary file. */
  readonly gathered: (bytes: number) => void;
  /** A temporary file cannot be written: the error to throw instead. */
  readonly failed: (error: unknown) => Error;
}

/** One sink's frames in progress. */
export class FrameGatherer {
  readonly #options: FrameGathererOptions;
  readonly #memoryBytesMax: number;
  /** What frames in memory take, by the sizes of their buffers. */
  #memoryBytes = 0;
  /** Buffers to be used again, by size, and all their bytes. */
  readonly #spare = new Map<number, Uint8Array[]>();
  #spareBytes = 0;
  #fileCount = 0;

  constructor(options: FrameGathererOptions) {
    this.#options = options;
    this.#memoryBytesMax = options.memoryBytesMax;
  }

  /** Whether a frame of so many bytes would be gathered in a file now. */
  needsFile(bytes: number): boolean {
    return bytes > frameBytesMax || this.#memoryBytes + bufferBytesFor(bytes) > this.#memoryBytesMax;
  }

  /** Throws what keeps a temporary file from being written. */
  probe(): void {
    const file = this.#newFile();
    try {
      file.write(new Uint8Array(probeBytes));
    } finally {
      file.discard();
    }
  }

  /** Whether any file there may be so large. Throws what else keeps one from being made. */
  fits(bytes: number): boolean {
    try {
      this.stretch(bytes);
      return true;
    } catch (error) {
      if (isTooLarge(error)) return false;
      throw error;
    }
  }

  /** Makes a file so large for a moment, or throws why none may be. */
  stretch(bytes: number): void {
    const file = this.#newFile();
    try {
      file.stretch(bytes);
    } finally {
      file.discard();
    }
  }

  #newFile(): FrameInFile {
    return new FrameInFile(`${this.#options.temporaryPath}${(this.#fileCount += 1)}`, this.#options);
  }

  /** Begins a frame of so many bytes. Throws what opening a file throws. */
  begin(bytes: number): GatheredFrame {
    if (this.needsFile(bytes)) return this.#newFile();
    this.#memoryBytes += bufferBytesFor(bytes);
    return new FrameInMemory(bytes, this);
  }

  /** For a frame that was begun: its buffer. */
  reserve(bytes: number): Uint8Array {
    const size = bufferBytesFor(bytes);
    const spare = this.#spare.get(size)?.pop();
    if (spare !== undefined) {
      this.#spareBytes -= size;
      return spare;
    }
    // Frames of another size have come: what was kept for the old ones is given up.
    if (this.#memoryBytes + this.#spareBytes > this.#memoryBytesMax) {
      this.#spare.clear();
      this.#spareBytes = 0;
    }
    // Every byte that is read was written before.
    return Buffer.allocUnsafeSlow(size);
  }

  /** A frame that was begun has ended; takes back its buffer, if it has had one. */
  release(bytes: number, buffer: Uint8Array | undefined): void {
    const size = bufferBytesFor(bytes);
    this.#memoryBytes -= size;
    if (buffer === undefined) return;
    const spare = this.#spare.get(size);
    if (spare === undefined) this.#spare.set(size, [buffer]);
    else spare.push(buffer);
    this.#spareBytes += size;
  }
}

/**
 * Up to an eighth more, in steps: a camera's frames, all a little different in size, can use each other's buffers. For
 * frames that may be in memory.
 */
function bufferBytesFor(bytes: number): number {
  if (bytes <= bufferBytesMin) return bufferBytesMin;
  const step = 2 ** (31 - Math.clz32(bytes)) / 8;
  return Math.ceil(bytes / step) * step;
}

/** The bytes of one frame: write*, then pieces as often as needed, then discard. */
export interface GatheredFrame extends Draft {
  /** The whole frame, if it is in memory; valid until `discard`. */
  readonly memory: Uint8Array | undefined;
  /** Its bytes are in use: `discard` waits until the function that is returned is called. */
  use(): () => void;
  /** All bytes, in order. A piece is valid until the next is asked for. Throws what a file throws. */
  pieces(): AsyncGenerator<Uint8Array, void, void>;
}

/** Gives a frame up when nobody uses it any more. */
abstract class DiscardableFrame {
  #users = 0;
  #isDiscarded = false;

  use(): () => void {
    this.#users += 1;
    return () => {
      this.#users -= 1;
      if (this.#users === 0 && this.#isDiscarded) this.giveUp();
    };
  }

  discard(): void {
    this.#isDiscarded = true;
    if (this.#users === 0) this.giveUp();
  }

  /** More than once is as once. */
  protected abstract giveUp(): void;
}

class FrameInMemory extends DiscardableFrame implements GatheredFrame {
  /** Taken with the first bytes: a peer that announces frames and sends none costs nothing. */
  #buffer: Uint8Array | undefined;
  readonly #size: number;
  #gatherer: Pick<FrameGatherer, "reserve" | "release"> | undefined;
  #bytes = 0;

  constructor(size: number, gatherer: Pick<FrameGatherer, "reserve" | "release">) {
    super();
    this.#size = size;
    this.#gatherer = gatherer;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get memory(): Uint8Array {
    return this.#buffer?.subarray(0, this.#bytes) ?? new Uint8Array(0);
  }

  write(view: Uint8Array): void {
    assert(this.#bytes + view.byteLength <= this.#size, "a frame is not longer than was said");
    assert(this.#gatherer !== undefined, "a frame that was discarded is not written");
    this.#buffer ??= this.#gatherer.reserve(this.#size);
    this.#buffer.set(view, this.#bytes);
    this.#bytes += view.byteLength;
  }

  async *pieces(): AsyncGenerator<Uint8Array, void, void> {
    if (this.#bytes > 0) yield this.memory;
  }

  protected giveUp(): void {
    this.#gatherer?.release(this.#size, this.#buffer);
    this.#gatherer = undefined;
    this.#buffer = undefined;
    this.#bytes = 0;
  }
}

class FrameInFile extends DiscardableFrame implements GatheredFrame {
  readonly memory = undefined;
  readonly #path: string;
  #handle: number | undefined;
  #named: boolean;
  readonly #told: Pick<FrameGathererOptions, "gathered" | "failed">;
  #bytes = 0;

  constructor(path: string, told: Pick<FrameGathererOptions, "gathered" | "failed">) {
    super();
    this.#path = path;
    this.#told = told;
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);
    this.#handle = openSync(path, flags, 0o600);
    // Without a name nothing is left of it, however the process ends.
    this.#named = !this.#unlink();
  }

  get bytes(): number {
    return this.#bytes;
  }

  write(view: Uint8Array): void {
    const handle = this.#handle;
    assert(handle !== undefined, "a frame that was discarded is not written");
    try {
      for (let done = 0; done < view.byteLength;) {
        const count = writeSync(handle, view, done, view.byteLength - done, this.#bytes);
        if (count <= 0) throw nothingWritten();
        done += count;
        this.#bytes += count;
      }
    } catch (error) {
      throw this.#told.failed(error);
    }
    this.#told.gathered(view.byteLength);
  }

  /** Makes it so large without writing to it. */
  stretch(bytes: number): void {
    if (this.#handle !== undefined) ftruncateSync(this.#handle, bytes);
  }

  async *pieces(): AsyncGenerator<Uint8Array, void, void> {
    const buffer = new Uint8Array(Math.min(pieceBytes, this.#bytes));
    for (let position = 0; position < this.#bytes;) {
      const handle = this.#handle;
      assert(handle !== undefined, "a frame that was discarded is not read");
      const count = await this.#read(handle, buffer, Math.min(buffer.byteLength, this.#bytes - position), position);
      yield buffer.subarray(0, count);
      position += count;
    }
  }

  /** What cannot be read any more is to be sent again. */
  async #read(handle: number, into: Uint8Array, length: number, position: number): Promise<number> {
    try {
      const count = await readPiece(handle, into, length, position);
      if (count > 0) return count;
      throw new Error("it has lost its end");
    } catch (error) {
      const message = `${this.#path}: cannot be read again: ${describe(error)}`;
      throw new SinkError(message, { scope: "frame", retryable: true, cause: error });
    }
  }

  protected giveUp(): void {
    const handle = this.#handle;
    this.#handle = undefined;
    if (handle === undefined) return;
    try {
      closeSync(handle);
    } catch {
      // Nothing of it is needed any more.
    }
    if (this.#named) this.#named = !this.#unlink();
  }

  /** False: some systems let no open file lose its name. */
  #unlink(): boolean {
    try {
      unlinkSync(this.#path);
      return true;
    } catch {
      return false;
    }
  }
}

function readPiece(handle: number, into: Uint8Array, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(handle, into, 0, length, position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}
