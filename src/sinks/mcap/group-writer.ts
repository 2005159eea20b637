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
import type { Channel, Channels } from "../../archive-formats/mcap/channels.ts";
import {
  encodeSchemas,
  type Fact,
  frameFact,
  type GroupFacts,
  imageHead,
  logTime,
} from "../../archive-formats/mcap/format.ts";
import { GrowingChunk } from "../../archive-formats/mcap/growing-chunk.ts";
import {
  encodeGrowingHead,
  encodeMessageHead,
  type MessageHead,
  messageHeadBytes,
} from "../../archive-formats/mcap/records.ts";
import type { Tail } from "../../archive-formats/mcap/scan.ts";
import { imageFormatOf } from "../../image-format.ts";
import type { Clock } from "../../ports.ts";
import type { AppendBuffer } from "../archive/append-buffer.ts";
import { Turns } from "../archive/turns.ts";
import type { NewFrame } from "../store/append-store.ts";

export interface GroupWriterOptions {
  readonly file: ArchiveFile;
  /** Of that file. */
  readonly buffer: AppendBuffer;
  readonly channels: Channels;
  readonly tail: Tail;
  /** Its name. */
  readonly archive: string;
  /** A chunk is full at this size, unless one frame alone is larger. */
  readonly chunkBytesMax: number;
  readonly clock: Pick<Clock, "nowMs">;
}

export class GroupWriter {
  readonly #file: ArchiveFile;
  readonly #buffer: AppendBuffer;
  readonly #channels: Channels;
  readonly #chunkBytesMax: number;
  readonly #turns: Turns;
  /** Where the group begins in the file; facts have it in them. */
  readonly group: GroupFacts;
  #chunk: GrowingChunk | undefined;
  #channelsWritten: number;
  readonly #heads: { readonly at: number; readonly head: Uint8Array }[] = [];

  constructor({ file, buffer, channels, tail, archive, chunkBytesMax, clock }: GroupWriterOptions) {
    this.#file = file;
    this.#buffer = buffer;
    this.#channels = channels;
    this.#chunkBytesMax = chunkBytesMax;
    this.#turns = new Turns(clock);
    this.group = { archive, group: tail.bytes };
    this.#channelsWritten = tail.channelsWritten;
    buffer.begin(tail.bytes);
    this.#fill(tail.chunk?.clone());
  }

  /** A promise only where its bytes have to be read first. */
  addFrame(item: NewFrame): Promise<void> | undefined {
    const { memory } = item.staged.draft;
    if (memory === undefined) return this.#addPieces(item);
    const begun = this.#begin(item, memory);
    this.#put(begun.chunk, memory);
    this.#end(begun);
    return undefined;
  }

  async #addPieces(item: NewFrame): Promise<void> {
    let begun: BegunFrame | undefined;
    for await (const piece of item.staged.draft.pieces()) {
      begun ??= this.#begin(item, piece);
      this.#put(begun.chunk, piece);
      // It is read over by the next one.
      this.#buffer.flush();
      if (this.turnDue) await this.pass();
    }
    this.#end(begun ?? this.#begin(item, nothing));
  }

  /** `start` holds the first of its bytes. */
  #begin({ staged, path, number }: NewFrame, start: Uint8Array): BegunFrame {
    const { frame, crc32, receivedNs } = staged;
    const { origin, sequence, bytes } = frame;
    const format = imageFormatOf(start);
    const channel = this.#channels.of(format === undefined ? "other" : "image", origin);
    const time = logTime(frame.capturedNs);
    const fields = format === undefined ? nothing : imageHead(frame, format);
    const topic = this.#channels.topicOf(channel);
    const fact = frameFact({ frame, path, number, crc32, topic, receivedNs }, this.group);
    const dataBytes = fields.byteLength + bytes;
    const chunk = this.#chunkFor(channel.id, dataBytes + fact.json.length + 2 * messageHeadBytes);
    chunk.addMessage(channel.id, time, chunk.bytes);
    this.#putHead(chunk, { channelId: channel.id, sequence, logTime: time }, dataBytes);
    this.#put(chunk, fields);
    return { chunk, channel, fact, time };
  }

  #end({ chunk, channel, fact, time }: BegunFrame): void {
    this.#putFact(chunk, fact, time);
    if (channel.lastTime === undefined || channel.lastTime < time) channel.lastTime = time;
  }

  /** Others want their turn. */
  get turnDue(): boolean {
    return this.#turns.due;
  }

  pass(): Promise<void> {
    return this.#turns.pass();
  }

  /** `time`: where it belongs among the frames. */
  addFact(fact: Fact, time: bigint): void {
    this.#putFact(this.#chunkFor(fact.channelId, fact.json.length + messageHeadBytes), fact, time);
  }

  #putFact(chunk: GrowingChunk, { channelId, sequence, json }: Fact, time: bigint): void {
    const data = Buffer.from(json);
    chunk.addMessage(channelId, time, chunk.bytes);
    this.#putHead(chunk, { channelId, sequence, logTime: time }, data.byteLength);
    this.#put(chunk, data);
  }

  /** The chunk to which the next `bytes` go, on this channel, whose record is in the file when they are. */
  #chunkFor(channelId: number, bytes: number): GrowingChunk {
    if (this.#chunk !== undefined && this.#chunk.bytes + bytes > this.#chunkBytesMax) this.#seal(this.#chunk);
    let chunk = this.#chunk;
    if (chunk === undefined) {
      chunk = new GrowingChunk(this.#buffer.position);
      this.#buffer.put(encodeGrowingHead());
      this.#fill(chunk);
    }
    if (this.#channelsWritten < channelId) this.#put(chunk, this.#channelRecords(channelId));
    return chunk;
  }

  /** What is appended from now on is in this chunk, and in its checksum; undefined: in none. */
  #fill(chunk: GrowingChunk | undefined): void {
    this.#buffer.settle();
    this.#chunk = chunk;
    this.#buffer.onView = chunk === undefined ? undefined : (view) => chunk.addChecksum(view);
  }

  #channelRecords(channelId: number): Uint8Array {
    const builder = new McapRecordBuilder();
    for (const record of this.#channels.records.slice(this.#channelsWritten, channelId)) builder.writeChannel(record);
    const isFirst = this.#channelsWritten === 0;
    this.#channelsWritten = channelId;
    return isFirst ? Buffer.concat([encodeSchemas(this.#channels.schemas), builder.buffer]) : builder.buffer;
  }

  #seal(chunk: GrowingChunk): void {
    this.#fill(undefined);
    const { head, index } = chunk.seal();
    this.#buffer.put(index);
    this.#heads.push({ at: chunk.at, head });
  }

  #putHead(chunk: GrowingChunk, message: MessageHead, dataBytes: number): void {
    encodeMessageHead(message, dataBytes, this.#buffer.reserve(messageHeadBytes));
    chunk.bytes += messageHeadBytes;
  }

  #put(chunk: GrowingChunk, view: Uint8Array): void {
    this.#buffer.put(view);
    chunk.bytes += view.byteLength;
  }

  /** Writes what is left, and returns where the archive ends now. */
  finish(): Tail {
    this.#buffer.flush();
    for (const { at, head } of this.#heads) this.#file.write([head], at);
    return { bytes: this.#buffer.position, chunk: this.#chunk, channelsWritten: this.#channelsWritten };
  }
}

/** Its head is in the chunk. */
interface BegunFrame {
  readonly chunk: GrowingChunk;
  readonly channel: Channel;
  readonly fact: Fact;
  readonly time: bigint;
}

const nothing = new Uint8Array(0);
