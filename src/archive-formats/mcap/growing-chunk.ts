/** A chunk that is being filled: what its head and its index will say. The records themselves are in the file. */
import { McapRecordBuilder } from "@mcap/core";
import { crc32 } from "../../bytes/checksum.ts";
import { chunkHeadBytes, encodeChunkHead } from "./records.ts";

export class GrowingChunk {
  /** Where its head is, or will be. */
  readonly at: number;
  /** Of its records, and their checksum. */
  bytes = 0;
  crc32 = 0;
  /** By channel: time and place of each message, in the order of the first of each channel. */
  readonly #index = new Map<number, [bigint, bigint][]>();

  constructor(at: number) {
    this.at = at;
  }

  /** Where its records end. */
  get end(): number {
    return this.at + chunkHeadBytes + this.bytes;
  }

  /** A copy that can be filled and thrown away. */
  clone(): GrowingChunk {
    const copy = new GrowingChunk(this.at);
    copy.bytes = this.bytes;
    copy.crc32 = this.crc32;
    for (const [channelId, entries] of this.#index) copy.#index.set(channelId, [...entries]);
    return copy;
  }

  /** A message begins `offset` behind the head. */
  addMessage(channelId: number, logTime: bigint, offset: number): void {
    const entries = this.#index.get(channelId);
    const entry: [bigint, bigint] = [logTime, BigInt(offset)];
    if (entries === undefined) this.#index.set(channelId, [entry]);
    else entries.push(entry);
  }

  /** `view` is behind what was there. */
  addBytes(view: Uint8Array): void {
    this.addChecksum(view);
    this.bytes += view.byteLength;
  }

  /** For who counts bytes before they are all together. */
  addChecksum(view: Uint8Array): void {
    this.crc32 = crc32(view, this.crc32);
  }

  /** What makes it a whole chunk: its head, and the index that stands behind its records. */
  seal(): { readonly head: Uint8Array; readonly index: Uint8Array } {
    const builder = new McapRecordBuilder();
    let [startTime, endTime]: [bigint | undefined, bigint] = [undefined, 0n];
    for (const [channelId, records] of this.#index) {
      builder.writeMessageIndex({ channelId, records });
      for (const [time] of records) {
        if (startTime === undefined || time < startTime) startTime = time;
        if (time > endTime) endTime = time;
      }
    }
    const { bytes, crc32: checksum } = this;
    return {
      head: encodeChunkHead({ startTime: startTime ?? 0n, endTime, crc32: checksum, bytes }),
      index: builder.buffer,
    };
  }
}
