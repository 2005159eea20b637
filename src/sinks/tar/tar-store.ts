/**
 * `--out x.tar`: one archive that any tar reads at any time. TAR.md describes what is in it.
 *
 *     ... | frames of a group | gaps, ends | end of archive |
 *         ^ the next commit begins here: over the last end of archive
 *
 * A commit writes its group and a new end of archive, flushes both, and only then is it acknowledged. So after each
 * commit the archive is whole, and a crash leaves at most a torn group behind the last acknowledged one, which the next
 * receiver cuts off. An archive that has vanished is waited for and never made anew.
 */
import type { ArchiveFile } from "../../archive-formats/archive-file.ts";
import { frameFacts, type GroupFacts, recordFacts } from "../../archive-formats/tar/facts.ts";
import { blockBytes, encodeHead, endBytes, type Member, paddingBytes } from "../../archive-formats/tar/format.ts";
import { type ScannedArchive, scanTar } from "../../archive-formats/tar/scan.ts";
import { crc32 as checksumOf } from "../../bytes/checksum.ts";
import type { SinkError } from "../../errors.ts";
import type { DestinationEvent } from "../../events.ts";
import { KiB } from "../../limits.ts";
import type { Clock } from "../../ports.ts";
import { AppendBuffer } from "../archive/append-buffer.ts";
import { type OpenArchiveFile, requireArchive, temporaryPathBeside } from "../archive/archive-file.ts";
import { ArchivePlace } from "../archive/archive-place.ts";
import { Turns } from "../archive/turns.ts";
import { type Appender, type AppendRequest, AppendStore, type NewFrame, type NewItem } from "../store/append-store.ts";
import { FrameIndex } from "../store/frame-index.ts";
import { type GatheredFrame, groupBytesFor } from "../store/gathered-frame.ts";
import type { Layout } from "../store/layout.ts";
import type { SyncMode } from "../store/sync-mode.ts";

const probeBytes: number = 4 * KiB;
/** Frames of an archive that is opened are put into the index so many at a time. */
const restoredMax = 2_000;
const zeros = new Uint8Array(endBytes);
/** A block that makes an archive ours, and says nothing. */
const claim = encodeHead({ path: "", bytes: 0, modifiedNs: 0n, comment: "" }).subarray(0, blockBytes);

export interface TarStoreOptions {
  /** As the user wrote it; messages name it so. */
  readonly path: string;
  readonly layout: Layout;
  readonly sync: SyncMode;
  readonly minFreeBytes: number;
  /** `--no-create`: there must be an archive. */
  readonly mustExist?: boolean;
  /** This store's part of `gatheredBytesMax` and of `indexCacheBytesMax`. */
  readonly memoryBytesMax: number;
  readonly cacheBytes: number;
  readonly openFile: OpenArchiveFile;
  /** For a file that is not on a disk of this machine: nothing is put beside it. */
  readonly indexInMemory?: boolean;
  readonly clock: Pick<Clock, "nowMs">;
  readonly onEvent?: (event: DestinationEvent) => void;
}

/** Makes or continues an archive. Throws UserError. */
export function openTarStore(options: TarStoreOptions): AppendStore {
  const { path, memoryBytesMax, mustExist = false, onEvent } = options;
  if (mustExist) requireArchive(path);
  const temporaryPath = temporaryPathBeside(path);
  return new AppendStore({
    place: path,
    traits: { appendOnly: true, groupBytes: groupBytesFor(memoryBytesMax) },
    open: (create) => new TarAppender({ ...options, temporaryPath, create }),
    temporaryPath,
    memoryBytesMax,
    onEvent,
  });
}

interface TarAppenderOptions extends TarStoreOptions {
  readonly temporaryPath: string;
  readonly create: boolean;
}

class TarAppender implements Appender {
  readonly index: FrameIndex;
  readonly #options: TarAppenderOptions;
  readonly #file: ArchiveFile;
  readonly #place: ArchivePlace;
  readonly #buffer: AppendBuffer;
  /** Its name in the facts of its members. */
  readonly #archive: string;
  /** Where the end of the archive is written, and where it was before the last group. */
  #end = 0;
  #groupStart = 0;
  #appending = false;

  constructor(options: TarAppenderOptions) {
    const { path, layout, sync, cacheBytes, openFile, temporaryPath, indexInMemory } = options;
    this.#options = options;
    this.#file = openFile(path, options.create);
    this.#place = new ArchivePlace({ ...options, file: this.#file });
    this.#buffer = new AppendBuffer(this.#file);
    let index: FrameIndex | undefined;
    try {
      index = new FrameIndex({
        file: indexInMemory === true ? undefined : `${temporaryPath}index`,
        layout,
        cacheBytes,
      });
      ({ end: this.#end, archive: this.#archive } = restore(path, this.#file, index));
      this.index = index;
      this.#closeEnd();
      // A receiver that was killed before it could, or that was told not to, has left frames that were never flushed.
      if (sync !== "never") this.#file.syncNow();
    } catch (error) {
      index?.close();
      this.#file.close();
      throw error;
    }
  }

  get begun(): boolean {
    return this.#file.bytes === 0;
  }

  get end(): number {
    return this.#end;
  }

  async append(items: readonly NewItem[]): Promise<void> {
    this.#groupStart = this.#end;
    this.#appending = true;
    try {
      this.#place.require(this.#fileEnd);
      await this.#appendGroup(items);
    } finally {
      this.#appending = false;
    }
  }

  async #appendGroup(items: readonly NewItem[]): Promise<void> {
    const { sync } = this.#options;
    const buffer = this.#buffer;
    if (this.#end === 0 && sync !== "never") {
      // What makes the archive ours is on the disk before anything that a power loss could leave there without it.
      this.#file.write([claim], 0);
      await this.#file.sync();
    }
    buffer.begin(this.#end);
    const turns = new Turns(this.#options.clock);
    for (const item of items) {
      if (item.kind !== "frame") continue;
      this.#putHead(item);
      const { draft } = item.staged;
      if (draft.memory === undefined) await this.#putPieces(draft, turns);
      else buffer.put(draft.memory);
      buffer.put(zeros.subarray(0, paddingBytes(draft.bytes)));
      if (turns.due) await turns.pass();
    }
    this.#putLines("gaps", items.flatMap(gapLine));
    this.#putLines("stretches", items.flatMap(stretchLine));
    this.#putLines("ends", items.flatMap(endLine));
    this.#end = buffer.position;
    buffer.put(zeros);
    buffer.flush();
    if (sync !== "never") await this.#file.sync();
    this.#place.wrote(buffer.position - this.#groupStart);
  }

  get #groupFacts(): GroupFacts {
    return { group: this.#groupStart, archive: this.#archive };
  }

  readonly #reserve = (bytes: number): Buffer => this.#buffer.reserve(bytes);

  #putHead({ staged, path, number }: NewFrame): void {
    const { bytes, capturedNs: modifiedNs } = staged.frame;
    const comment = frameFacts(staged, number, this.#groupFacts);
    encodeHead({ path, bytes, modifiedNs, comment }, this.#reserve);
  }

  async #putPieces(draft: GatheredFrame, turns: Turns): Promise<void> {
    for await (const piece of draft.pieces()) {
      this.#buffer.put(piece);
      // The piece is used again for the next one.
      this.#buffer.flush();
      if (turns.due) await turns.pass();
    }
  }

  /** One member for all gaps, stretches or ends of a group, if there are any. */
  #putLines(what: "gaps" | "stretches" | "ends", lines: readonly Line[]): void {
    const [first] = lines;
    if (first === undefined) return;
    const content = Buffer.from(lines.map(({ text }) => `${text}\n`).join(""));
    const path = `.framepipe/${what}/${String(this.#groupStart).padStart(16, "0")}.jsonl`;
    const comment = recordFacts(checksumOf(content), this.#groupFacts);
    const member: Member = { path, bytes: content.byteLength, modifiedNs: first.recordedNs, comment };
    encodeHead(member, this.#reserve);
    this.#buffer.put(content);
    this.#buffer.put(zeros.subarray(0, paddingBytes(content.byteLength)));
  }

  retract(): void {
    this.#end = this.#groupStart;
    try {
      this.#closeEnd();
    } catch {
      // `recover` tries again, and until then nothing is appended.
    }
  }

  /** Where the file ends between two commits. */
  get #fileEnd(): number {
    return this.#end + endBytes;
  }

  /**
   * Makes the file end with the end of the archive. For that a full disk has room: zeros are a hole. What somebody has
   * cut off is not replaced by zeros.
   */
  #closeEnd(): void {
    this.#place.requireWhole(this.#end);
    this.#file.resize(this.#end);
    this.#file.resize(this.#end + endBytes);
  }

  check(request: AppendRequest): SinkError | undefined {
    return this.#place.check(request, this.#fileEnd, this.#appending);
  }

  gathered(bytes: number): void {
    this.#place.wrote(bytes);
  }

  recover(): boolean {
    if (!this.#file.look().inPlace) return false;
    this.#place.requireWhole(this.#end);
    this.#closeEnd();
    try {
      this.#file.probe(probeBytes, this.#end);
    } finally {
      this.#closeEnd();
    }
    this.#place.measure();
    return true;
  }

  close(): void {
    this.index.close();
    this.#file.close();
  }
}

/** Puts what is in the archive into the index. */
function restore(path: string, file: ArchiveFile, index: FrameIndex): ScannedArchive {
  let count = 0;
  const scanned = scanTar(path, file, (held) => {
    index.restore(held);
    count += 1;
    if (count % restoredMax === 0) index.keep();
  });
  index.keep();
  return scanned;
}

interface Line {
  readonly text: string;
  readonly recordedNs: bigint;
}

function gapLine(item: NewItem): Line[] {
  if (item.kind !== "gap") return [];
  const { origin, firstSequence, count, reason, name, detail } = item.gap;
  return [line({ ...origin, firstSequence, count, reason, name, detail }, item.recordedNs)];
}

function stretchLine(item: NewItem): Line[] {
  if (item.kind !== "stretch") return [];
  const { origin, sequence: following, class: kind, count, bytes, text: detail } = item.stretch;
  return [line({ ...origin, following, class: kind, count, bytes, detail }, item.recordedNs)];
}

function endLine(item: NewItem): Line[] {
  return item.kind === "end" ? [line({ ...item.end.origin, ...item.end.totals }, item.recordedNs)] : [];
}

function line(fields: Readonly<Record<string, unknown>>, recordedNs: bigint): Line {
  return { text: `${JSON.stringify(fields).slice(0, -1)},"recorded":${recordedNs}}`, recordedNs };
}
