/**
 * Reads an archive from its start to find what it holds and where it ends: record by record, without the bytes of the
 * pictures. Only what the last commit wrote is read whole, because all before it was on the disk when that one began.
 *
 * A frame counts when its picture and the fact about it are both there, so an archive ends behind a fact.
 */
import { McapStreamReader, Opcode } from "@mcap/core";
import { crc32 } from "../../bytes/checksum.ts";
import type { HeldFrame } from "../../frame.ts";
import { imageFormatOf, imageStartBytes } from "../../image-format.ts";
import { MiB } from "../../limits.ts";
import type { ArchiveFile } from "../archive-file.ts";
import { type Channel, Channels } from "./channels.ts";
import {
  encodeSchemas,
  groupPattern,
  groupTextBytesMax,
  imageHead,
  logTime,
  ownChannels,
  readFact,
  schemas,
  schemasOf010,
} from "./format.ts";
import { GrowingChunk } from "./growing-chunk.ts";
import {
  chunkHeadBytes,
  encodeMessageHead,
  archiveIn,
  growingOpcode,
  magic,
  messageHeadBytes,
  readChunkHead,
  readMessageHead,
  readRecordHead,
  recordHeadBytes,
  startBytes,
} from "./records.ts";
import { Window } from "./window.ts";

/** A channel or a fact: names are at most 1 KiB, and each stands in it a few times. */
const factBytesMax: number = MiB;
/** What is read at once of the bytes of pictures. */
const pieceBytes: number = MiB;

type ReadFile = Pick<ArchiveFile, "bytes" | "read">;

/** Where an archive ends, and the next group begins. */
export interface Tail {
  /** Bytes of the file up to here. */
  readonly bytes: number;
  /** The chunk that goes on. */
  readonly chunk: GrowingChunk | undefined;
  /** How many channels have their record in the file: the first so many. */
  readonly channelsWritten: number;
}

export interface Archive {
  /** Its name; empty: the file has not even a whole start. */
  readonly id: string;
  /** Its start has another name for it than its first fact: one of them is damaged. */
  readonly misnamed: boolean;
  readonly tail: Tail;
  readonly channels: Channels;
  /** What stands behind the end: the summary of a file that was closed, or something that is not whole. */
  readonly behind: "nothing" | "summary" | "torn";
}

/** A frame, and the records about it. */
interface FoundFrame {
  readonly held: HeldFrame;
  readonly channel: Channel;
  /** Where its message begins and ends. */
  readonly at: number;
  readonly end: number;
}

type Picture = Omit<FoundFrame, "held"> & { readonly time: bigint };

interface FactPlace {
  readonly channelId: number;
  /** Where its message begins and ends. */
  readonly at: number;
  readonly end: number;
  /** What its message should have: that of its picture, if it has one. */
  readonly time: bigint;
}

/** What is in an archive. */
export type McapEntry =
  /** `at`: where its bytes begin. */
  | { readonly kind: "frame"; readonly held: HeldFrame; readonly at: number }
  /** What is told on one of our channels beside frames. */
  | { readonly kind: "note"; readonly channelId: number; readonly json: string }
  /** All that was found does not count: the file is read again, up to a place before its end. */
  | { readonly kind: "again" };

/** Who hears of every frame. */
export interface Finder {
  found(held: HeldFrame): void;
  again(): void;
}

/** Reads `file`, which begins as ours do or is shorter than that. Throws what the file or the finder throws. */
export function scanArchive(file: ReadFile, finder: Finder): Archive {
  const entries = readArchive(file);
  for (;;) {
    const next = entries.next();
    if (next.done === true) return next.value;
    if (next.value.kind === "frame") finder.found(next.value.held);
    else if (next.value.kind === "again") finder.again();
  }
}

/**
 * The same, entry by entry. `wrong`: a frame of the last commit that is not as it was written, which a power loss can
 * leave, ends the archive, or counts as one.
 */
export function* readArchive(file: ReadFile, wrong: "ends" | "counts" = "ends"): Generator<McapEntry, Archive> {
  const { bytes } = file;
  for (let limit = bytes; ;) {
    const scan = new Scan(file, limit);
    yield* scan.run();
    const firstWrong = wrong === "counts" ? undefined : scan.firstWrong();
    if (firstWrong === undefined) {
      const { id, misnamed, tail, channels, closed } = scan;
      const behind = tail.bytes === bytes ? "nothing" : closed ? "summary" : "torn";
      return { id, misnamed, tail, channels, behind };
    }
    limit = firstWrong;
    yield { kind: "again" };
  }
}

/**
 * Whether a fact of this archive behind `tail` names a commit that began behind it. Then what is at the tail was
 * acknowledged, and is not torn but damaged. A frame may itself be an archive of ours, which has another name.
 */
export function hasLaterGroup(file: ReadFile, tail: number, archive: string): boolean {
  const pattern = groupPattern(archive);
  const buffer = Buffer.alloc(pieceBytes);
  for (let at = tail; ;) {
    const text = buffer.toString("latin1", 0, file.read(buffer, at));
    for (const { index, groups } of text.matchAll(pattern)) {
      const group = Number(groups?.["group"]);
      if (group > tail && group < at + index) return true;
    }
    if (text.length < pieceBytes) return false;
    // One that is cut in two by the end of this piece is whole in the next.
    at += pieceBytes - groupTextBytesMax;
  }
}

class Scan {
  readonly channels = new Channels();
  tail: Tail = { bytes: 0, chunk: undefined, channelsWritten: 0 };
  closed = false;
  id = "";
  /** The first fact has another name for the archive than its start: one of them is damaged. */
  misnamed = false;
  readonly #file: ReadFile;
  readonly #window: Window;
  #schemasBytes = 0;
  readonly #parser = new McapStreamReader({ noMagicPrefix: true });
  #channelsWritten = 0;
  /** Where the last commit began, and the frames that it wrote. */
  #group = 0;
  #recentFrames: FoundFrame[] = [];

  constructor(file: ReadFile, limit: number) {
    this.#file = file;
    this.#window = new Window(file, limit);
  }

  *run(): Generator<McapEntry, void> {
    const start = this.#window.view(0, startBytes);
    if (start === undefined || start[0] === 0) return;
    this.id = archiveIn(start);
    for (let at: number | undefined = startBytes; at !== undefined;) at = yield* this.#scanChunk(at);
  }

  /** Reads the chunk at this place, sets the tail behind it, and returns where the next one is if there may be one. */
  *#scanChunk(at: number): Generator<McapEntry, number | undefined> {
    this.tail = { bytes: at, chunk: undefined, channelsWritten: this.#channelsWritten };
    const view = this.#window.view(at, recordHeadBytes);
    const opcode = view === undefined ? undefined : readRecordHead(view).opcode;
    if (opcode === Opcode.DATA_END) this.closed = this.#endsWithMagic();
    if (opcode !== Opcode.CHUNK && opcode !== growingOpcode) return undefined;
    const head = this.#window.view(at, chunkHeadBytes);
    if (head === undefined) return undefined;
    const chunk = new GrowingChunk(at);
    if (opcode === Opcode.CHUNK) chunk.crc32 = readChunkHead(head).crc32;
    const headFound = Buffer.from(head);
    yield* this.#walk(chunk);
    if (chunk.bytes === 0) return undefined;

    const sealed = chunk.seal();
    const index = this.#window.view(chunk.end, sealed.index.byteLength);
    if (headFound.equals(sealed.head) && index?.equals(sealed.index) === true) {
      return chunk.end + sealed.index.byteLength;
    }
    // Not sealed, or not wholly. It goes on behind its last whole frame.
    chunk.crc32 = this.#checksum(at + chunkHeadBytes, chunk.end);
    this.tail = { bytes: chunk.end, chunk, channelsWritten: this.#channelsWritten };
    return undefined;
  }

  /** Goes through the records of a chunk as far as they are whole. */
  *#walk(chunk: GrowingChunk): Generator<McapEntry, void> {
    const start = chunk.end;
    let written = this.#channelsWritten;
    let picture: Picture | undefined;
    for (let at = start; ;) {
      const head = this.#window.view(at, recordHeadBytes);
      if (head === undefined) return;
      const { opcode, bytes } = readRecordHead(head);
      const end = at + recordHeadBytes + bytes;
      if (opcode === Opcode.CHANNEL) {
        if (!this.#readChannel(at, end, written)) return;
        written += 1;
      } else if (opcode === Opcode.MESSAGE) {
        const message = this.#window.view(at, messageHeadBytes);
        if (message === undefined) return;
        const { channelId, logTime: time } = readMessageHead(message);
        if (channelId > ownChannels) {
          const channel = channelId > written ? undefined : this.channels.byId(channelId);
          if (channel === undefined || picture !== undefined) return;
          picture = { channel, at, end, time };
        } else {
          const entry = this.#readFact({ channelId, at, end, time: picture?.time ?? time }, picture);
          if (entry === undefined) return;
          yield entry;
          if (picture !== undefined) {
            chunk.addMessage(picture.channel.id, picture.time, picture.at - start);
            picture = undefined;
          }
          chunk.addMessage(channelId, time, at - start);
          chunk.bytes = end - start;
          this.#channelsWritten = written;
        }
      } else if (opcode !== Opcode.SCHEMA || !this.#readSchemas(at, written)) return;
      // All schemas stand together.
      at = opcode === Opcode.SCHEMA ? at + this.#schemasBytes : end;
    }
  }

  #readSchemas(at: number, written: number): boolean {
    for (const known of [schemas, schemasOf010]) {
      const encoded = encodeSchemas(known);
      if (written > 0 || this.#window.view(at, encoded.byteLength)?.equals(encoded) !== true) continue;
      this.channels.schemas = known;
      this.#schemasBytes = encoded.byteLength;
      return true;
    }
    return false;
  }

  #readChannel(at: number, end: number, written: number): boolean {
    const view = end - at > factBytesMax ? undefined : this.#window.view(at, end - at);
    if (view === undefined) return false;
    try {
      this.#parser.append(view);
      const record = this.#parser.nextRecord();
      return record?.type === "Channel" && this.channels.restore(record, written);
    } catch {
      // The library says what is wrong with a record by throwing.
      return false;
    }
  }

  /** A fact of ours, which goes with the picture before it if it is about a frame. Undefined: it is none. */
  #readFact({ channelId, at, end, time }: FactPlace, picture: Picture | undefined): McapEntry | undefined {
    const bytes = end - at - messageHeadBytes;
    const view = bytes > factBytesMax ? undefined : this.#window.view(at, end - at);
    const fact = view === undefined ? undefined : readFact(channelId, view.toString("utf8", messageHeadBytes));
    if (fact === undefined || (fact.held === undefined) !== (picture === undefined)) return undefined;
    const head = encodeMessageHead({ channelId, sequence: fact.sequence, logTime: time }, bytes);
    if (view?.subarray(0, messageHeadBytes).equals(head) !== true) return undefined;
    if (fact.archive !== this.id) {
      this.misnamed ||= this.#group === 0;
      return undefined;
    }
    if (fact.group !== this.#group) {
      this.#group = fact.group;
      this.#recentFrames = [];
    }
    if (fact.held === undefined || picture === undefined) {
      return { kind: "note", channelId, json: view.toString("utf8", messageHeadBytes) };
    }
    const { held } = fact;
    const { channel } = picture;
    const dataBytes = picture.end - picture.at - messageHeadBytes;
    if (dataBytes < held.frame.bytes || time !== logTime(held.frame.capturedNs)) return undefined;
    if (channel.lastTime === undefined || channel.lastTime < time) channel.lastTime = time;
    this.#recentFrames.push({ held, channel, at: picture.at, end: picture.end });
    return { kind: "frame", held, at: picture.end - held.frame.bytes };
  }

  #endsWithMagic(): boolean {
    const { limit } = this.#window;
    return this.#window.view(limit - magic.byteLength, magic.byteLength)?.equals(magic) === true;
  }

  /** Where the first frame of the last commit is that is not as it was written. All but the frames was compared. */
  firstWrong(): number | undefined {
    return this.#recentFrames.find((frame) => !this.#isWhole(frame))?.at;
  }

  #isWhole({ held, channel, at, end }: FoundFrame): boolean {
    const { frame } = held;
    const bytesAt = end - frame.bytes;
    const format = imageFormatOf(this.#read(bytesAt, Math.min(imageStartBytes, frame.bytes)));
    const kind = format === undefined ? "other" : "image";
    if (kind !== channel.kind) return false;
    const fields = format === undefined ? new Uint8Array(0) : imageHead(frame, format);
    const message = { channelId: channel.id, sequence: frame.sequence, logTime: logTime(frame.capturedNs) };
    const head = Buffer.concat([encodeMessageHead(message, fields.byteLength + frame.bytes), fields]);
    return head.equals(this.#read(at, bytesAt - at)) && this.#checksum(bytesAt, end) === held.crc32;
  }

  #read(at: number, bytes: number): Uint8Array {
    const view = new Uint8Array(bytes);
    return view.subarray(0, this.#file.read(view, at));
  }

  #checksum(from: number, to: number): number {
    const buffer = new Uint8Array(Math.min(pieceBytes, to - from));
    let checksum = 0;
    for (let at = from; at < to;) {
      const count = this.#file.read(buffer.subarray(0, Math.min(pieceBytes, to - at)), at);
      if (count === 0) break;
      checksum = crc32(buffer.subarray(0, count), checksum);
      at += count;
    }
    return checksum;
  }
}
