/**
 * `--out x.mcap`: one file that Foxglove and every other MCAP reader opens. MCAP.md describes what is in it.
 *
 * A commit appends its group, flushes it, and only then is it acknowledged (group-writer.ts). While the file is
 * written, or after a crash, it can be read from its start to its last whole frame; when the receiver ends it gets its
 * summary (archive-formats/mcap/summary.ts), which the next receiver takes off again before its first commit. A file
 * that has vanished is waited for and never made anew.
 */
import type { ArchiveFile } from "../../archive-formats/archive-file.ts";
import type { Channels } from "../../archive-formats/mcap/channels.ts";
import {
  endFact,
  type Fact,
  gapFact,
  type GroupFacts,
  logTime,
  messageBytesMax,
  newArchiveId,
  stretchFact,
} from "../../archive-formats/mcap/format.ts";
import { encodeGrowingHead, encodeStart, isStart, magic, startBytes } from "../../archive-formats/mcap/records.ts";
import { type Archive, hasLaterGroup, scanArchive, type Tail } from "../../archive-formats/mcap/scan.ts";
import { writeEnding } from "../../archive-formats/mcap/summary.ts";
import { ExitStatus, type SinkError, UserError } from "../../errors.ts";
import type { Origin } from "../../frame.ts";
import { KiB, MiB } from "../../limits.ts";
import { AppendBuffer } from "../archive/append-buffer.ts";
import { ArchivePlace } from "../archive/archive-place.ts";
import { type ArchiveStoreOptions, openArchives } from "../archive/open-archives.ts";
import type { OpenArchive } from "../archive/rotating-appender.ts";
import type { Appender, AppendRequest, AppendStore, NewItem } from "../store/append-store.ts";
import type { FrameIndex } from "../store/frame-index.ts";
import type { StagedNote } from "../store/store.ts";
import { GroupWriter } from "./group-writer.ts";

/** Frames of a file that is opened are put into the index so many at a time. */
const restoredMax = 2_000;
const probeBytes: number = 4 * KiB;
/**
 * A reader takes a chunk into memory to show one frame of it, and the summary of a closed file has some 100 bytes for
 * each: 6 MB for a day of 30 frames of 100 KB a second.
 */
const chunkBytesMax: number = 4 * MiB;

export interface McapStoreOptions extends ArchiveStoreOptions {
  readonly frameBytesMax: number;
  /** Size at which a chunk is full; smaller for tests. */
  readonly chunkBytesMax?: number;
}

/** Makes or continues a file, or a set of them. Throws UserError. */
export function openMcapStore(options: McapStoreOptions): AppendStore {
  const { path, frameBytesMax } = options;
  if (frameBytesMax > messageBytesMax) {
    throw new UserError(`--max-frame is more than a frame in an MCAP file may have: ${path} takes up to 1 GiB`, [
      "give --max-frame 1Gi or less, or store in a directory or a .tar file",
    ]);
  }
  return openArchives(options, (archive) => new McapAppender({ ...options, ...archive }));
}

type McapAppenderOptions = McapStoreOptions & OpenArchive;

class McapAppender implements Appender {
  readonly #options: McapAppenderOptions;
  readonly #file: ArchiveFile;
  readonly #place: ArchivePlace;
  readonly #buffer: AppendBuffer;
  readonly #channels: Channels;
  /** The archive's name. */
  readonly #id: string;
  /** Where the archive ends, and where it did before the last group. */
  #tail: Tail;
  #tailBefore: Tail;
  /** The summary of an earlier receiver is still there. */
  #ended: boolean;
  #appending = false;

  constructor(options: McapAppenderOptions) {
    const { path, sync, openFile, create } = options;
    this.#options = options;
    this.#file = openFile(path, create);
    this.#place = new ArchivePlace({ ...options, file: this.#file });
    this.#buffer = new AppendBuffer(this.#file);
    try {
      refuseOthers(path, this.#file);
      const archive = this.#restore();
      if (archive.misnamed || hasLaterGroup(this.#file, archive.tail.bytes, archive.id)) {
        throw damaged(path, archive.tail.bytes);
      }
      this.#id = archive.id === "" ? newArchiveId() : archive.id;
      this.#channels = archive.channels;
      this.#tail = archive.tail;
      this.#tailBefore = archive.tail;
      this.#ended = archive.behind === "summary";
      if (this.#tail.bytes === 0) this.#begin();
      if (!this.#ended) this.#cut();
      // A receiver that was killed before it could, or that was told not to, has left frames that were never flushed.
      if (sync !== "never") this.#file.syncNow();
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** Before anything else, so that after a power loss the file can be told from somebody else's. */
  #begin(): void {
    const start = encodeStart(this.#id);
    this.#file.write([start], 0);
    this.#tail = { ...this.#tail, bytes: start.byteLength };
    this.#tailBefore = this.#tail;
  }

  /** Puts what is in the file into the index, unless it is there already. */
  #restore(): Archive {
    if (this.#options.known) return scanArchive(this.#file, { found: () => undefined, again: () => undefined });
    const { index } = this;
    const { rows } = index;
    let count = 0;
    const archive = scanArchive(this.#file, {
      found: (held) => {
        index.restore(held);
        count += 1;
        if (count % restoredMax === 0) index.keep();
      },
      again: () => index.takeBack(rows),
    });
    index.keep();
    return archive;
  }

  get index(): FrameIndex {
    return this.#options.index();
  }

  get identity(): string {
    return this.#file.identity;
  }

  get begun(): boolean {
    return this.#file.bytes === 0;
  }

  get end(): number {
    return this.#tail.bytes;
  }

  async append(items: readonly NewItem[]): Promise<void> {
    this.#tailBefore = this.#tail;
    this.#appending = true;
    try {
      this.#place.require(this.#tail.bytes);
      if (this.#ended) this.#cut();
      this.#ended = false;
      const writer = new GroupWriter({
        file: this.#file,
        buffer: this.#buffer,
        channels: this.#channels,
        tail: this.#tail,
        archive: this.#id,
        chunkBytesMax: this.#options.chunkBytesMax ?? chunkBytesMax,
        clock: this.#options.clock,
      });
      for (const item of items) {
        const reading = item.kind === "frame" ? writer.addFrame(item) : this.#addNote(writer, item);
        if (reading !== undefined) await reading;
        if (writer.turnDue) await writer.pass();
      }
      const tail = writer.finish();
      if (this.#options.sync !== "never") await this.#file.sync();
      this.#place.wrote(tail.bytes - this.#tail.bytes);
      this.#tail = tail;
    } finally {
      this.#appending = false;
    }
  }

  #addNote(writer: GroupWriter, item: StagedNote): undefined {
    const [fact, origin] = factOf(item, writer.group);
    // Beside the source's newest frame: a recording of last month does not become one that lasts until today.
    writer.addFact(fact, this.#channels.lastTimeOf(origin) ?? logTime(item.recordedNs));
  }

  retract(): void {
    this.#tail = this.#tailBefore;
    try {
      this.#cut();
    } catch {
      // `recover` tries again, and until then nothing is appended.
    }
  }

  /** Takes away what stands behind the tail. For that a full disk has room. What somebody has cut off stays away. */
  #cut(): void {
    this.#place.requireWhole(this.#tail.bytes);
    const { bytes, chunk } = this.#tail;
    // Its head may have been put in place by a commit that failed then, or did not live to the end.
    if (chunk !== undefined) this.#file.write([encodeGrowingHead()], chunk.at);
    this.#file.resize(bytes);
  }

  require(): void {
    this.#place.require(this.#tail.bytes);
  }

  check(request: AppendRequest): SinkError | undefined {
    return this.#place.check(request, this.#tail.bytes, this.#appending);
  }

  gathered(bytes: number): void {
    this.#place.wrote(bytes);
  }

  recover(): boolean {
    if (!this.#file.look().inPlace) return false;
    this.#place.requireWhole(this.#tail.bytes);
    if (!this.#ended) {
      this.#cut();
      try {
        this.#file.probe(probeBytes, this.#tail.bytes);
      } finally {
        this.#cut();
      }
    }
    this.#place.measure();
    return true;
  }

  close(): void {
    if (!this.#ended && !this.#appending) this.#end();
    this.#file.close();
  }

  #end(): void {
    try {
      this.#cut();
      try {
        this.#writeEnd();
      } catch (error) {
        this.#cut();
        throw error;
      }
    } catch {
      // The disk is full or gone. All frames are there, and the next receiver ends the file.
    }
  }

  #writeEnd(): void {
    const { bytes, chunk, channelsWritten } = this.#tail;
    let at = bytes;
    if (chunk !== undefined) {
      const { head, index } = chunk.seal();
      this.#file.write([index], at);
      this.#file.write([head], chunk.at);
      at += index.byteLength;
    }
    const { schemas, records } = this.#channels;
    writeEnding({ file: this.#file, at, schemas, channels: records.slice(0, channelsWritten) });
    if (this.#options.sync !== "never") this.#file.syncNow();
  }
}

function factOf(note: StagedNote, group: GroupFacts): [Fact, Origin] {
  switch (note.kind) {
    case "gap":
      return [gapFact(note.gap, note.recordedNs, group), note.gap.origin];
    case "stretch":
      return [stretchFact(note.stretch, note.recordedNs, group), note.stretch.origin];
    case "end":
      return [endFact(note.end, note.recordedNs, group), note.end.origin];
  }
}

/** Throws UserError for a file that holds something else. One that is empty, or holds a part of our start, is ours. */
function refuseOthers(path: string, file: ArchiveFile): void {
  const found = new Uint8Array(startBytes + 1);
  const bytes = file.read(found, 0);
  // Lost with the power: room was made and not filled.
  const isBlank = bytes <= startBytes && found.every((byte) => byte === 0);
  if (isStart(found.subarray(0, Math.min(bytes, startBytes))) || isBlank) return;
  const isMcap = Buffer.compare(found.subarray(0, magic.byteLength), magic) === 0;
  throw new UserError(
    isMcap ? `${path} was written by another program, or another version` : `${path} is not an MCAP file`,
    ["nothing was changed in it", "choose another name with --out"],
    ExitStatus.failure,
  );
}

function damaged(path: string, at: number): UserError {
  return new UserError(
    `${path} is damaged at byte ${at}, and frames stored later stand behind that`,
    ["nothing was changed in it: move it away, or choose another name with --out"],
    ExitStatus.failure,
  );
}
