/**
 * The end of a closed file: a summary, with which a reader finds every chunk and message without reading the rest. It
 * is made from the heads of the chunks in the file, because in memory it would grow for as long as a receiver runs.
 */
import { McapRecordBuilder, type McapTypes, Opcode } from "@mcap/core";
import { crc32 } from "../../bytes/checksum.ts";
import { assert } from "../../errors.ts";
import { MiB } from "../../limits.ts";
import type { ArchiveFile } from "../archive-file.ts";
import type { Schemas } from "./format.ts";
import { chunkHeadBytes, readChunkHead, readRecordHead, recordHeadBytes, startBytes } from "./records.ts";
import { Window } from "./window.ts";

/** Written at once. */
const pieceBytes: number = MiB;
/** Of an entry of a message index, and what stands before the entries. */
const indexEntryBytes = 16;
const indexFieldsBytes = 6;
/** A footer without its checksum, which covers it. */
const footerFieldsBytes = 16;

export interface EndingOptions {
  /** Its chunks are all sealed. */
  readonly file: ArchiveFile;
  /** Behind the last of them. */
  readonly at: number;
  /** Those whose records are in it. */
  readonly schemas: Schemas;
  readonly channels: readonly McapTypes.Channel[];
}

/** Writes everything that follows the data. Throws what the file throws. */
export function writeEnding(options: EndingOptions): void {
  new Ending(options).write();
}

class Ending {
  readonly #options: EndingOptions;
  readonly #builder = new McapRecordBuilder();
  readonly #offsets: McapTypes.SummaryOffset[] = [];
  #at: number;
  #crc32 = 0;

  constructor(options: EndingOptions) {
    this.#options = options;
    this.#at = options.at;
  }

  write(): void {
    const statistics = this.#noStatistics();
    // The chunks have checksums, and so has every frame; one over all would have to be computed anew after each crash.
    this.#builder.writeDataEnd({ dataSectionCrc: 0 });
    this.#flush();
    this.#crc32 = 0;
    const summaryStart = BigInt(this.#at);
    this.#group(Opcode.SCHEMA, () => {
      for (const schema of this.#options.schemas) this.#builder.writeSchema(schema);
    });
    this.#group(Opcode.CHANNEL, () => {
      for (const channel of this.#options.channels) this.#builder.writeChannel(channel);
    });
    this.#group(Opcode.CHUNK_INDEX, () => this.#writeChunkIndexes(statistics));
    this.#group(Opcode.STATISTICS, () => this.#builder.writeStatistics(statistics));
    const summaryOffsetStart = BigInt(this.#at);
    for (const offset of this.#offsets) this.#builder.writeSummaryOffset(offset);
    this.#flush();

    this.#builder.writeFooter({ summaryStart, summaryOffsetStart, summaryCrc: 0 });
    const footer = this.#builder.buffer.subarray(0, recordHeadBytes + footerFieldsBytes);
    const summaryCrc = crc32(footer, this.#crc32);
    this.#builder.reset();
    this.#builder.writeFooter({ summaryStart, summaryOffsetStart, summaryCrc });
    this.#builder.writeMagic();
    this.#flush();
  }

  #noStatistics(): McapTypes.Statistics {
    return {
      messageCount: 0n,
      schemaCount: this.#options.schemas.length,
      channelCount: this.#options.channels.length,
      attachmentCount: 0,
      metadataCount: 0,
      chunkCount: 0,
      messageStartTime: 0n,
      messageEndTime: 0n,
      channelMessageCounts: new Map(),
    };
  }

  /** Records of one kind, which stand together. */
  #group(opcode: Opcode, write: () => void): void {
    const start = this.#at;
    write();
    this.#flush();
    if (this.#at === start) return;
    this.#offsets.push({ groupOpcode: opcode, groupStart: BigInt(start), groupLength: BigInt(this.#at - start) });
  }

  /** Goes from chunk to chunk, and counts what they hold. */
  #writeChunkIndexes(statistics: McapTypes.Statistics): void {
    const { file, at: dataEnd } = this.#options;
    const window = new Window(file, dataEnd);
    for (let at = startBytes; at < dataEnd;) {
      const view = window.view(at, chunkHeadBytes);
      assert(view !== undefined && readRecordHead(view).opcode === Opcode.CHUNK, "a chunk is where it was written");
      const head = readChunkHead(view);
      const indexAt = at + chunkHeadBytes + head.bytes;
      const counts = readIndexes(window, indexAt);
      this.#builder.writeChunkIndex({
        messageStartTime: head.startTime,
        messageEndTime: head.endTime,
        chunkStartOffset: BigInt(at),
        chunkLength: BigInt(indexAt - at),
        messageIndexOffsets: counts.offsets,
        messageIndexLength: BigInt(counts.end - indexAt),
        compression: "",
        compressedSize: BigInt(head.bytes),
        uncompressedSize: BigInt(head.bytes),
      });
      addTo(statistics, head, counts.messages);
      if (this.#builder.length >= pieceBytes) this.#flush();
      at = counts.end;
    }
  }

  #flush(): void {
    const bytes = this.#builder.buffer;
    this.#builder.reset();
    this.#crc32 = crc32(bytes, this.#crc32);
    this.#options.file.write([bytes], this.#at);
    this.#at += bytes.byteLength;
  }
}

interface Indexes {
  /** By channel: where its message index is, and how many messages it has. */
  readonly offsets: Map<number, bigint>;
  readonly messages: ReadonlyMap<number, number>;
  readonly end: number;
}

/** The message indexes behind a chunk. */
function readIndexes(window: Window, from: number): Indexes {
  const offsets = new Map<number, bigint>();
  const messages = new Map<number, number>();
  for (let at = from; ;) {
    const view = window.view(at, recordHeadBytes + indexFieldsBytes);
    const head = view === undefined ? undefined : readRecordHead(view);
    if (view === undefined || head?.opcode !== Opcode.MESSAGE_INDEX) return { offsets, messages, end: at };
    const channelId = view.readUInt16LE(recordHeadBytes);
    offsets.set(channelId, BigInt(at));
    messages.set(channelId, (head.bytes - indexFieldsBytes) / indexEntryBytes);
    at += recordHeadBytes + head.bytes;
  }
}

function addTo(
  statistics: McapTypes.Statistics,
  { startTime, endTime }: { readonly startTime: bigint; readonly endTime: bigint },
  messages: ReadonlyMap<number, number>,
): void {
  if (statistics.chunkCount === 0 || startTime < statistics.messageStartTime) statistics.messageStartTime = startTime;
  if (endTime > statistics.messageEndTime) statistics.messageEndTime = endTime;
  statistics.chunkCount += 1;
  for (const [channelId, count] of messages) {
    statistics.messageCount += BigInt(count);
    const before = statistics.channelMessageCounts.get(channelId) ?? 0n;
    statistics.channelMessageCounts.set(channelId, before + BigInt(count));
  }
}
