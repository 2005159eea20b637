/**
 * Appends one group of frames and facts behind the tail of an archive:
 *
 *     growing head | channel | picture | fact | picture | fact | ... | index of the chunk | growing head | ...
 *
 * and when all of it is written, each chunk that is full gets its real head in the place of the growing one. So at
 * every moment all whole records can be read from the start of the file, and nothing that an earlier group wrote is
 * touched but that one head.
 */
import { McapRecordBuilder } from "@mcap/core";
import type { ArchiveFile } from "../../archive-formats/archive-file.ts";
import type { Channels } from "../../archive-formats/mcap/channels.ts";
import {
  encodeSchemas,
  type Fact,
  frameFact,
  type GroupFacts,
  imageHead,
  logTime,
} from "../../archive-formats/mcap/format.ts";
import { GrowingChunk } from "../../archive-formats/mcap/growing-chunk.ts";
import { encodeGrowingHead, encodeMessageHead, messageHeadBytes } from "../../archive-formats/mcap/records.ts";
import type { Tail } from "../../archive-formats/mcap/scan.ts";
import { imageFormatOf, imageStartBytes } from "../../image-format.ts";
import { MiB } from "../../limits.ts";
import type { NewFrame } from "../store/append-store.ts";

/** Written at once: system calls for small frames are shared. */
const writeBytes: number = MiB;
const writeViewsMax = 512;

export interface GroupWriterOptions {
  readonly file: ArchiveFile;
  readonly channels: Channels;
  readonly tail: Tail;
  /** Its name. */
  readonly archive: string;
  /** A chunk is full at this size, unless one frame alone is larger. */
  readonly chunkBytesMax: number;
}

export class GroupWriter {
  readonly #file: ArchiveFile;
  readonly #channels: Channels;
  readonly #chunkBytesMax: number;
  /** Where the group begins in the file; facts have it in them. */
  readonly group: GroupFacts;
  /** What is to be written next, and where. */
  #views: Uint8Array[] = [];
  #viewsBytes = 0;
  #at: number;
  #chunk: GrowingChunk | undefined;
  #channelsWritten: number;
  readonly #heads: { readonly at: number; readonly head: Uint8Array }[] = [];

  constructor({ file, channels, tail, archive, chunkBytesMax }: GroupWriterOptions) {
    this.#file = file;
    this.#channels = channels;
    this.#chunkBytesMax = chunkBytesMax;
    this.group = { archive, group: tail.bytes };
    this.#at = tail.bytes;
    this.#chunk = tail.chunk?.clone();
    this.#channelsWritten = tail.channelsWritten;
  }

  async addFrame({ staged, path, number }: NewFrame): Promise<void> {
    const { frame, draft, crc32, receivedNs } = staged;
    const pieces = draft.pieces();
    const first = await pieces.next();
    let piece = first.done === true ? undefined : first.value;
    const format = imageFormatOf(piece?.subarray(0, imageStartBytes) ?? new Uint8Array(0));
    const channel = this.#channels.of(format === undefined ? "other" : "image", frame.origin);
    const time = logTime(frame.capturedNs);
    const fields = format === undefined ? new Uint8Array(0) : imageHead(frame, format);
    const topic = this.#channels.topicOf(channel);
    const fact = frameFact({ frame, path, number, crc32, topic, receivedNs }, this.group);

    const chunk = this.#chunkFor(channel.id, fields.byteLength + frame.bytes + fact.json.length + 2 * messageHeadBytes);
    chunk.addMessage(channel.id, time, chunk.bytes);
    const message = { channelId: channel.id, sequence: frame.sequence, logTime: time };
    this.#putRecord(chunk, encodeMessageHead(message, fields.byteLength + frame.bytes), fields);
    while (piece !== undefined) {
      this.#putRecord(chunk, piece);
      // What is in memory stays as it is until the group is done; a piece of a file is read over by the next one.
      if (draft.memory === undefined || this.#viewsBytes >= writeBytes) await this.#write();
      const next = await pieces.next();
      piece = next.done === true ? undefined : next.value;
    }
    this.#putFact(chunk, fact, time);
    if (channel.lastTime === undefined || channel.lastTime < time) channel.lastTime = time;
    if (this.#views.length >= writeViewsMax) await this.#write();
  }

  /** `time`: where it belongs among the frames. */
  addFact(fact: Fact, time: bigint): void {
    this.#putFact(this.#chunkFor(fact.channelId, fact.json.length + messageHeadBytes), fact, time);
  }

  #putFact(chunk: GrowingChunk, { channelId, sequence, json }: Fact, time: bigint): void {
    const data = Buffer.from(json);
    chunk.addMessage(channelId, time, chunk.bytes);
    this.#putRecord(chunk, encodeMessageHead({ channelId, sequence, logTime: time }, data.byteLength), data);
  }

  /** The chunk to which the next `bytes` go, on this channel, whose record is in the file when they are. */
  #chunkFor(channelId: number, bytes: number): GrowingChunk {
    if (this.#chunk !== undefined && this.#chunk.bytes + bytes > this.#chunkBytesMax) this.#seal(this.#chunk);
    if (this.#chunk === undefined) {
      this.#chunk = new GrowingChunk(this.#at + this.#viewsBytes);
      this.#put(encodeGrowingHead());
    }
    if (this.#channelsWritten < channelId) this.#putRecord(this.#chunk, this.#channelRecords(channelId));
    return this.#chunk;
  }

  #channelRecords(channelId: number): Uint8Array {
    const builder = new McapRecordBuilder();
    for (const record of this.#channels.records.slice(this.#channelsWritten, channelId)) builder.writeChannel(record);
    const isFirst = this.#channelsWritten === 0;
    this.#channelsWritten = channelId;
    return isFirst ? Buffer.concat([encodeSchemas(this.#channels.schemas), builder.buffer]) : builder.buffer;
  }

  #seal(chunk: GrowingChunk): void {
    const { head, index } = chunk.seal();
    this.#put(index);
    this.#heads.push({ at: chunk.at, head });
    this.#chunk = undefined;
  }

  #putRecord(chunk: GrowingChunk, ...views: readonly Uint8Array[]): void {
    for (const view of views) {
      chunk.addBytes(view);
      this.#put(view);
    }
  }

  #put(view: Uint8Array): void {
    if (view.byteLength === 0) return;
    this.#views.push(view);
    this.#viewsBytes += view.byteLength;
  }

  async #write(): Promise<void> {
    const [views, at] = [this.#views, this.#at];
    this.#at += this.#viewsBytes;
    this.#views = [];
    this.#viewsBytes = 0;
    if (views.length > 0) await this.#file.write(views, at);
  }

  /** Writes what is left, and returns where the archive ends now. */
  async finish(): Promise<Tail> {
    await this.#write();
    for (const { at, head } of this.#heads) await this.#file.write([head], at);
    return { bytes: this.#at, chunk: this.#chunk, channelsWritten: this.#channelsWritten };
  }
}
