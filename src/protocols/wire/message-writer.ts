/**
 * The encoders, one per kind of PROTOCOL.md section 4. They write into an outbox whose room the caller has checked:
 * `messageBytesMax` is enough for any but offers, answers and acks, which take a full message.
 */
import { crc32 } from "../../bytes/checksum.ts";
import { FieldWriter } from "../../bytes/field-writer.ts";
import type { Outbox } from "../../bytes/outbox.ts";
import type { FrameEntry, Verdict } from "../../frame.ts";
import { headBytesMax, nameBytesMax, offerEntriesMax, textBytesMax } from "../../limits.ts";
import {
  checkBytes,
  featureProgress,
  flagLast,
  gapCodes,
  headerBytes,
  Kind,
  magic,
  outcomeCodes,
  refusalCodes,
  sessionBytes,
  verdictHaveCodes,
  verdictWant,
  version,
  versionHighest,
  versionLowest,
} from "./constants.ts";
import {
  messageBytesMax,
  fullMessageBytes,
  type Hello,
  type Welcome,
  type SourceName,
  type FrameHead,
  type ChunkHead,
  type GapMessage,
  type Ack,
  type Reject,
  type Pong,
  type End,
} from "./messages.ts";

/** Encodes messages into one outbox. Keeps its writer, so that encoding a frame allocates nothing. */
export class MessageWriter {
  readonly #outbox: Outbox;
  readonly #writer: FieldWriter;
  #start = 0;
  #crcAt = 0;

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
    this.#writer = new FieldWriter(outbox);
  }

  hello(hello: Hello): void {
    const writer = this.#begin(Kind.hello, messageBytesMax);
    writer.u8(hello.versionLowest);
    writer.u8(hello.versionHighest);
    writer.u16(hello.progress ? featureProgress : 0);
    for (let at = 0; at < sessionBytes; at++) writer.u8(Number.parseInt(hello.session.slice(at * 2, at * 2 + 2), 16));
    writer.i64(hello.clockNs);
    writer.text(hello.device, nameBytesMax);
    writer.text(hello.agent, textBytesMax);
    writer.u16(0);
    this.#end();
  }

  welcome(welcome: Welcome): void {
    const writer = this.#begin(Kind.welcome, messageBytesMax);
    writer.u16(welcome.progress ? featureProgress : 0);
    writer.u16(0);
    writer.u64(welcome.frameBytesMax);
    writer.u64(welcome.windowBytes);
    writer.u32(welcome.windowFrames);
    writer.u32(welcome.idleMs);
    writer.i64(welcome.clockNs);
    writer.text(welcome.agent, textBytesMax);
    writer.u16(0);
    this.#end();
  }

  refuse(code: number, text: string): void {
    const writer = this.#begin(Kind.refuse, messageBytesMax);
    writer.u16(code);
    writer.u8(versionLowest);
    writer.u8(versionHighest);
    writer.text(text, textBytesMax);
    this.#end();
  }

  source(source: SourceName): void {
    const writer = this.#begin(Kind.source, messageBytesMax);
    writer.u16(source.sourceIndex);
    writer.text(source.name, nameBytesMax);
    this.#end();
  }

  /** Encodes as many entries from `from` on as one head holds and returns how many. Needs room for a full message. */
  offer(sourceIndex: number, firstSequence: number, entries: readonly FrameEntry[]): number {
    const writer = this.#begin(Kind.offer, fullMessageBytes);
    const countAt = writer.position + 2;
    writer.u16(sourceIndex);
    writer.u16(0);
    writer.u64(firstSequence);
    const limit = this.#start + headerBytes + headBytesMax - (nameBytesMax + 18);
    let count = 0;
    for (const entry of entries) {
      if (count === offerEntriesMax || writer.position > limit) break;
      writer.u64(entry.bytes);
      writer.i64(entry.capturedNs);
      writer.text(entry.name, nameBytesMax);
      count++;
    }
    this.#outbox.fields.setUint16(countAt, count, true);
    this.#end();
    return count;
  }

  want(sourceIndex: number, firstSequence: number, verdicts: readonly Verdict[]): void {
    const writer = this.#begin(Kind.want, fullMessageBytes);
    writer.u16(sourceIndex);
    writer.u16(verdicts.length);
    writer.u64(firstSequence);
    for (const verdict of verdicts) {
      if (verdict.kind === "want") {
        writer.u8(verdictWant);
        writer.u32(0);
      } else if (verdict.kind === "have") {
        writer.u8(verdictHaveCodes.number(verdict.outcome));
        writer.u32(verdict.crc32);
      } else {
        writer.u8(refusalCodes.number(verdict.reason));
        writer.u32(0);
      }
    }
    this.#end();
  }

  /**
   * Begins a FRAME whose payload the caller then places in `outbox.bytes` from the returned position on. The frame's
   * first `payloadBytes` bytes are in this message; `finishPayload` completes it.
   */
  frame(frame: FrameHead, payloadBytes: number): number {
    const writer = this.#begin(Kind.frame, messageBytesMax + payloadBytes);
    writer.u16(frame.sourceIndex);
    writer.u16(0);
    writer.u64(frame.sequence);
    writer.i64(frame.capturedNs);
    writer.u64(frame.bytes);
    this.#crcAt = writer.position;
    writer.u32(0);
    writer.u16(0);
    writer.text(frame.name, nameBytesMax);
    return writer.position + checkBytes;
  }

  /** Begins a CHUNK, as `frame`. */
  chunk(chunk: ChunkHead, payloadBytes: number): number {
    const writer = this.#begin(Kind.chunk, messageBytesMax + payloadBytes);
    writer.u16(chunk.sourceIndex);
    writer.u16(0);
    writer.u64(chunk.sequence);
    writer.u64(chunk.offset);
    this.#crcAt = writer.position;
    writer.u32(0);
    return writer.position + checkBytes;
  }

  /** The payload is in place. `crc32` of the whole frame if this is its last message, else undefined. */
  finishPayload(payloadBytes: number, crc: number | undefined): void {
    if (crc !== undefined) {
      this.#outbox.fields.setUint32(this.#crcAt, crc, true);
      this.#outbox.bytes[this.#start + 3] = flagLast;
    }
    this.#end(payloadBytes);
  }

  gap(gap: GapMessage): void {
    const writer = this.#begin(Kind.gap, messageBytesMax);
    writer.u16(gap.sourceIndex);
    writer.u16(gapCodes.number(gap.reason));
    writer.u64(gap.firstSequence);
    writer.u32(gap.count);
    writer.text(gap.name, nameBytesMax);
    writer.text(gap.detail, textBytesMax);
    this.#end();
  }

  /** At most `ackRangesMax` ranges. Needs room for a full message. */
  ack(ack: Ack): void {
    const writer = this.#begin(Kind.ack, fullMessageBytes);
    writer.u16(ack.sourceIndex);
    writer.u16(ack.ranges.length);
    writer.u64(ack.receivedBytes);
    for (const range of ack.ranges) {
      writer.u64(range.firstSequence);
      writer.u32(range.count);
      writer.u32(outcomeCodes.number(range.outcome));
    }
    this.#end();
  }

  reject(reject: Reject): void {
    const writer = this.#begin(Kind.reject, messageBytesMax);
    writer.u16(reject.sourceIndex);
    writer.u8(refusalCodes.number(reject.reason));
    writer.u8(reject.again ? 1 : 0);
    writer.u64(reject.sequence);
    writer.text(reject.text, textBytesMax);
    this.#end();
  }

  hold(text: string): void {
    this.#begin(Kind.hold, messageBytesMax).text(text, textBytesMax);
    this.#end();
  }

  resume(): void {
    this.#begin(Kind.resume, messageBytesMax);
    this.#end();
  }

  ping(clockNs: bigint): void {
    this.#begin(Kind.ping, messageBytesMax).i64(clockNs);
    this.#end();
  }

  pong(pong: Pong): void {
    const writer = this.#begin(Kind.pong, messageBytesMax);
    writer.i64(pong.echoNs);
    writer.i64(pong.clockNs);
    this.#end();
  }

  end(end: End): void {
    const writer = this.#begin(Kind.end, messageBytesMax);
    writer.u16(end.sourceIndex);
    writer.u16(0);
    writer.u64(end.totals.frames);
    writer.u64(end.totals.stored);
    writer.u64(end.totals.already);
    writer.u64(end.totals.conflicts);
    writer.u64(end.totals.refused);
    writer.u64(end.totals.skipped);
    this.#end();
  }

  ended(sourceIndex: number): void {
    this.#begin(Kind.ended, messageBytesMax).u16(sourceIndex);
    this.#end();
  }

  bye(interrupted: boolean): void {
    this.#begin(Kind.bye, messageBytesMax).u8(interrupted ? 1 : 0);
    this.#end();
  }

  farewell(): void {
    this.#begin(Kind.farewell, messageBytesMax);
    this.#end();
  }

  progress(receivedBytes: number): void {
    this.#begin(Kind.progress, messageBytesMax).u64(receivedBytes);
    this.#end();
  }

  #begin(kind: Kind, bytesAtMost: number): FieldWriter {
    this.#start = this.#outbox.reserve(bytesAtMost);
    const writer = this.#writer;
    writer.position = this.#start;
    writer.u8(magic);
    writer.u8(version);
    writer.u8(kind);
    writer.u8(0);
    writer.position += 8;
    return writer;
  }

  #end(payloadBytes = 0): void {
    const { bytes, fields } = this.#outbox;
    const checkAt = this.#writer.position;
    fields.setUint32(this.#start + 4, checkAt - this.#start - headerBytes, true);
    fields.setUint32(this.#start + 8, payloadBytes, true);
    fields.setUint32(checkAt, crc32(bytes.subarray(this.#start, checkAt)), true);
    this.#outbox.commit(checkAt + checkBytes + payloadBytes - this.#start);
  }
}
