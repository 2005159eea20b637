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
import { damagedTar, type ScannedArchive, scanTar } from "../../archive-formats/tar/scan.ts";
import { crc32 as checksumOf } from "../../bytes/checksum.ts";
import type { SinkError } from "../../errors.ts";
import { KiB } from "../../limits.ts";
import { AppendBuffer } from "../archive/append-buffer.ts";
import { ArchivePlace } from "../archive/archive-place.ts";
import { type ArchiveStoreOptions, openArchives } from "../archive/open-archives.ts";
import type { OpenArchive } from "../archive/rotating-appender.ts";
import { Turns } from "../archive/turns.ts";
import type { Appender, AppendRequest, AppendStore, NewFrame, NewItem } from "../store/append-store.ts";
import type { FrameIndex } from "../store/frame-index.ts";
import type { GatheredFrame } from "../store/gathered-frame.ts";

const probeBytes: number = 4 * KiB;
/** Frames of an archive that is opened are put into the index so many at a time. */
const restoredMax = 2_000;
const zeros = new Uint8Array(endBytes);
/** A block that makes an archive ours, and says nothing. */
const claim = encodeHead({ path: "", bytes: 0, modifiedNs: 0n, comment: "" }).subarray(0, blockBytes);

export type TarStoreOptions = ArchiveStoreOptions;

/** Makes or continues an archive, or a set of them. Throws UserError. */
export function openTarStore(options: TarStoreOptions): AppendStore {
  return openArchives(options, (archive) => new TarAppender({ ...options, ...archive }));
}

type TarAppenderOptions = TarStoreOptions & OpenArchive;

class TarAppender implements Appender {
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
    const { path, sync, openFile, create, index, known } = options;
    this.#options = options;
    this.#file = openFile(path, create);
    this.#place = new ArchivePlace({ ...options, file: this.#file });
    this.#buffer = new AppendBuffer(this.#file);
    try {
      ({ end: this.#end, archive: this.#archive } = restore(path, this.#file, known ? undefined : index()));
      // One that is whole, of a day that is over, is left as it is.
      if (!this.#isClosed) this.#closeEnd();
      // A receiver that was killed before it could, or that was told not to, has left frames that were never flushed.
      if (sync !== "never") this.#file.syncNow();
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  get #isClosed(): boolean {
    const found = new Uint8Array(endBytes);
    const { bytes } = this.#file;
    return bytes === this.#fileEnd && this.#file.read(found, this.#end) === endBytes && found.every((one) => one === 0);
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

  require(): void {
    this.#place.require(this.#fileEnd);
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
    this.#file.close();
  }
}

/** Puts what is in the archive into the index, if there is one. */
function restore(path: string, file: ArchiveFile, index: FrameIndex | undefined): ScannedArchive {
  let count = 0;
  const scanned = scanTar(path, file, (held) => {
    index?.restore(held);
    count += 1;
    if (count % restoredMax === 0) index?.keep();
  });
  if (scanned.isDamaged) throw damagedTar(path, scanned.end);
  index?.keep();
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
