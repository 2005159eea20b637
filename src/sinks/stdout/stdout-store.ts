/**
 * `--out -`: the frames themselves, one behind the other, for a player or another program.
 *
 * - Whole frames only, in the order in which they arrived complete. A frame is acknowledged when all of it was handed
 *   to the pipe; there is no promise about what the reader does with it.
 * - A reader that pauses stops the senders, not the receiver: writes wait in another thread.
 * - Frames of another format than the first are refused, where a player that read on would show garbage.
 * - The same frame again, after a lost connection, is not written again, as long as it is among the last
 *   `rememberedFrames`. Another run of the receiver knows nothing of this one.
 * - When the reader has gone, `onClosed` is called, once; what was not written is not acknowledged.
 */
import { existsSync, fstatSync, ftruncateSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { BackToBack, type StreamFormat } from "../../back-to-back.ts";
import { ExitStatus, nothingWritten, SinkError, UserError } from "../../errors.ts";
import type { RefusalReason } from "../../frame.ts";
import type { Clock } from "../../ports.ts";
import { describe, errorCode } from "../../system/errno.ts";
import { nodeDisk } from "../../system/file-system.ts";
import { FreeSpace } from "../../system/free-space.ts";
import { writePatiently } from "../../system/patient-write.ts";
import { type Appender, type AppendRequest, AppendStore, type NewItem } from "../store/append-store.ts";
import { FrameIndex } from "../store/frame-index.ts";
import type { GatheredFrame } from "../store/gathered-frame.ts";

/** Many windows (4096 frames each) of many sources, in some 15 MB however long their names are. */
const rememberedFrames = 100_000;
const probeBytes = 4096;

export interface StdoutStoreOptions {
  /** 1, but for tests. It stays open. */
  readonly descriptor: number;
  readonly isTerminal: boolean;
  readonly minFreeBytes: number;
  /** This store's part of `gatheredBytesMax` and of `indexCacheBytesMax`. */
  readonly memoryBytesMax: number;
  readonly cacheBytes: number;
  /** Where frames that do not fit in memory are gathered; the system's folder for such files unless it is given. */
  readonly temporaryDirectory?: string;
  /** The reader has closed the pipe: nothing can be written any more, and the receiver should stop. */
  readonly onClosed: () => void;
  readonly clock: Pick<Clock, "nowMs">;
}

/** Throws UserError for a terminal. */
export function openStdoutStore(options: StdoutStoreOptions): AppendStore {
  const { isTerminal, memoryBytesMax } = options;
  const temporaryPath = join(options.temporaryDirectory ?? tmpdir(), `framepipe-${crypto.randomUUID()}-`);
  if (isTerminal) {
    throw new UserError("--out -: standard output is a terminal, and frames would garble it", [
      "send it to a program: framepipe --receive 8000 --out - | ffplay -",
      "or store in a directory: --out captures",
    ]);
  }
  return new AppendStore({
    place: "-",
    traits: { appendOnly: true, forgets: true, keepsNothing: true, oneByOne: true },
    open: () => new StreamAppender({ ...options, temporaryPath }),
    temporaryPath,
    memoryBytesMax,
  });
}

interface StreamAppenderOptions extends StdoutStoreOptions {
  readonly temporaryPath: string;
}

class StreamAppender implements Appender {
  readonly index: FrameIndex;
  readonly #options: StreamAppenderOptions;
  /** Of the disk for temporary files, and of the file that standard output goes to. */
  readonly #temporarySpace: FreeSpace;
  readonly #fileSpace: FreeSpace | undefined;
  /** Standard output goes to a file: what was begun can be cut off again. */
  readonly #isFile: boolean;
  /** Where to write in that file; null: where the shell and we have left off. */
  #position: number | null = null;
  /** The file's size, and what the stream was, before the frame in hand. */
  #startBytes = 0;
  #startFormat: StreamFormat | undefined;
  /** Written of the frame in hand. */
  #writtenBytes = 0;
  #appending = false;
  readonly #stream = new BackToBack();

  constructor(options: StreamAppenderOptions) {
    this.#options = options;
    try {
      this.#isFile = fstatSync(options.descriptor).isFile();
    } catch (error) {
      throw new UserError(`--out -: cannot use standard output: ${describe(error)}`, [], ExitStatus.failure);
    }
    const { descriptor, cacheBytes, minFreeBytes, temporaryPath, clock } = options;
    const space = { disk: nodeDisk, minFreeBytes, nowMs: () => clock.nowMs() };
    this.#temporarySpace = new FreeSpace({ ...space, directory: dirname(temporaryPath) });
    // Only Linux has a path by which its disk can be asked.
    const directory = `/proc/self/fd/${descriptor}`;
    if (this.#isFile && existsSync(directory)) {
      this.#fileSpace = new FreeSpace({ ...space, directory, place: "standard output" });
    }
    this.index = new FrameIndex({
      file: undefined,
      layout: undefined,
      cacheBytes,
      framesMax: rememberedFrames,
    });
  }

  async refusal(content: GatheredFrame): Promise<RefusalReason | undefined> {
    if (content.bytes === 0 || this.#stream.format === undefined) return undefined;
    return this.#stream.fits(await startOf(content)) ? undefined : "format";
  }

  async append(items: readonly NewItem[]): Promise<void> {
    // Gaps and ends have no place in a stream of frames; they are in the receiver's messages.
    this.#appending = true;
    try {
      for (const item of items) if (item.kind === "frame") await this.#append(item.staged.draft);
    } finally {
      this.#appending = false;
    }
  }

  async #append(content: GatheredFrame): Promise<void> {
    if (this.#isFile) this.#startBytes = fstatSync(this.#options.descriptor).size;
    this.#startFormat = this.#stream.format;
    this.#writtenBytes = 0;
    let first = true;
    try {
      for await (const piece of content.pieces()) {
        await this.#write(first ? this.#stream.begin(piece) : piece);
        first = false;
      }
      this.#fileSpace?.wrote(this.#writtenBytes);
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

  #write(view: Uint8Array): Promise<void> {
    const wrote = (count: number): void => {
      this.#writtenBytes += count;
      if (this.#position !== null) this.#position += count;
    };
    return writePatiently(this.#options.descriptor, view, { position: this.#position, wrote });
  }

  retract(): void {
    this.#stream.format = this.#startFormat;
    try {
      this.#cutBack();
    } catch {
      // `recover` tries again.
    }
  }

  #cutBack(): void {
    if (!this.#isFile) return;
    this.#position = this.#startBytes;
    ftruncateSync(this.#options.descriptor, this.#startBytes);
  }

  check({ bytes, gatheredBytes, waitingBytes }: AppendRequest): SinkError | undefined {
    const [temporary, file] = [this.#temporarySpace, this.#fileSpace];
    if (gatheredBytes > 0) {
      if (temporary.stale) temporary.measure();
      const lack = temporary.check(gatheredBytes);
      if (lack !== undefined) return lack;
    }
    // While a frame is being written nobody knows how much of it is in the answer.
    if (file?.stale === true && !this.#appending) file.measure();
    return file?.check(bytes, waitingBytes);
  }

  gathered(bytes: number): void {
    this.#temporarySpace.wrote(bytes);
  }

  recover(): boolean {
    if (!this.#isFile) return true;
    this.#cutBack();
    try {
      const count = writeSync(this.#options.descriptor, new Uint8Array(probeBytes), 0, probeBytes, this.#position);
      if (count < probeBytes) throw nothingWritten();
    } finally {
      this.#cutBack();
    }
    this.#fileSpace?.measure();
    return true;
  }

  close(): void {
    this.index.close();
  }
}

async function startOf(content: GatheredFrame): Promise<Uint8Array> {
  if (content.memory !== undefined) return content.memory;
  for await (const piece of content.pieces()) return piece;
  return new Uint8Array(0);
}
