/**
 * The encoders, one per kind of PROTOCOL.md section 4. They write into an outbox whose room the caller has checked:
 * `messageBytesMax` is enough for any but offers, answers and acks, which take a full message.
 */
import { crc32 } from "../../bytes/checksum.ts";
import { FieldWriter } from "../../bytes/field-writer.ts";
import type { Outbox } from "../../bytes/outbox.ts";
import { assert, unreachable } from "../../errors.ts";
import type { FrameEntry, SourceTotals, Verdict } from "../../frame.ts";
import { digestBytes, headBytesMax, keyBytesMax, nameBytesMax, offerEntriesMax, textBytesMax } from "../../limits.ts";
import {
  allSources,
  checkBytes,
  flagKeepsNothing,
  flagLast,
  gapCodes,
  headerBytes,
  Kind,
  magic,
  noticeCodes,
  outcomeCodes,
  refusalCodes,
  sessionBytes,
  stretchCodes,
  verdictContinue,
  verdictExpired,
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
  type FrameStart,
  type ChunkStart,
  type GapMessage,
  type Ack,
  type Reject,
  type Hold,
  type NoticeMessage,
  type StretchMessage,
  type Pong,
  type End,
  type Ended,
} from "./messages.ts";
import { writeMetadata } from "./metadata.ts";

/** Encodes messages into one outbox. Keeps its writer, so that encoding a frame allocates nothing. */
const noTotals: SourceTotals = { frames: 0, stored: 0, duplicates: 0, conflicts: 0, refused: 0, skipped: 0 };

export class MessageWriter {
  readonly #outbox: Outbox;
  readonly #writer: FieldWriter;
  #start = 0;
  #notesAt = 0;
  #crcAt = 0;
  /** Where the digest of the present frame goes; undefined: it has none. */
  #digestAt: number | undefined;

  constructor(outbox: Outbox) {
    this.#outbox = outbox;
    this.#writer = new FieldWriter(outbox);
  }

  hello(hello: Hello): void {
    const writer = this.#begin(Kind.hello, messageBytesMax);
    writer.u32(hello.features);
    for (let at = 0; at < sessionBytes; at++) writer.u8(Number.parseInt(hello.session.slice(at * 2, at * 2 + 2), 16));
    writer.i64(hello.clockNs);
    writer.text(hello.device, nameBytesMax);
    writer.text(hello.agent, textBytesMax);
    writer.blob(hello.proof);
    this.#keys(hello.via);
    this.#end();
  }

  welcome(welcome: Welcome): void {
    const writer = this.#begin(Kind.welcome, messageBytesMax);
    writer.u32(welcome.features);
    writer.u16(welcome.keepsNothing ? flagKeepsNothing : 0);
    writer.u16(0);
    writer.u64(welcome.frameBytesMax);
    writer.u64(welcome.windowBytes);
    writer.u32(welcome.windowFrames);
    writer.i64(welcome.clockNs);
    writer.text(welcome.agent, textBytesMax);
    writer.blob(welcome.proof);
    writer.text(welcome.device, nameBytesMax);
    this.#keys(welcome.pins);
    this.#end();
  }

  #keys(keys: readonly string[]): void {
    this.#writer.u8(keys.length);
    for (const key of keys) this.#writer.text(key, keyBytesMax);
  }

  /** `headerVersion`: that of the peer, if it may not be able to read ours. */
  refuse(code: number, text: string, headerVersion: number = version): void {
    const writer = this.#begin(Kind.refuse, messageBytesMax, headerVersion);
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
    for (const verdict of verdicts) this.#verdict(verdict);
    this.#end();
  }

  #verdict(verdict: Verdict): void {
    const writer = this.#writer;
    switch (verdict.kind) {
      case "want":
        writer.u8(verdictWant);
        return writer.u32(0);
      case "have":
        writer.u8(verdictHaveCodes.number(verdict.outcome));
        return writer.u32(verdict.crc32);
      case "expired":
        writer.u8(verdictExpired);
        return writer.u32(verdict.crc32);
      case "continue":
        writer.u8(verdictContinue);
        writer.u32(verdict.crc32);
        return writer.u64(verdict.offset);
      case "refuse":
        writer.u8(refusalCodes.number(verdict.reason));
        return writer.u32(0);
      default:
        unreachable(verdict);
    }
  }

  /**
   * Begins a FRAME whose payload the caller then places in `outbox.bytes` from the returned position on, and completes
   * with `finishPayload`. The first `payloadBytes` bytes from the offset on are in this message. `digested`: it is the
   * last, and will be given a digest.
   */
  frame(frame: FrameStart, payloadBytes: number, digested = false): number {
    const writer = this.#begin(Kind.frame, messageBytesMax + payloadBytes);
    writer.u16(frame.sourceIndex);
    this.#notesAt = writer.position;
    writer.u16(0);
    writer.u64(frame.sequence);
    writer.i64(frame.capturedNs);
    writer.u64(frame.bytes);
    writer.u64(frame.offset ?? 0);
    this.#crcAt = writer.position;
    writer.u32(0);
    writer.text(frame.name, nameBytesMax);
    writeMetadata(writer, frame.metadata);
    this.#digestRoom(digested);
    return writer.position + checkBytes;
  }

  /** Begins a CHUNK, as `frame`. */
  chunk(chunk: ChunkStart, payloadBytes: number, digested = false): number {
    const writer = this.#begin(Kind.chunk, messageBytesMax + payloadBytes);
    writer.u16(chunk.sourceIndex);
    this.#notesAt = writer.position;
    writer.u16(0);
    writer.u64(chunk.sequence);
    writer.u64(chunk.offset);
    this.#crcAt = writer.position;
    writer.u32(0);
    this.#digestRoom(digested);
    return writer.position + checkBytes;
  }

  #digestRoom(digested: boolean): void {
    const writer = this.#writer;
    writer.u16(digested ? digestBytes : 0);
    this.#digestAt = digested ? writer.position : undefined;
    if (digested) writer.position += digestBytes;
  }

  /** The payload is in place. `crc` of the whole frame if this is its last message, else undefined. */
  finishPayload(payloadBytes: number, crc: number | undefined, notes = 0, digest?: Uint8Array): void {
    if (crc !== undefined) {
      const { bytes, fields } = this.#outbox;
      fields.setUint32(this.#crcAt, crc, true);
      fields.setUint16(this.#notesAt, notes, true);
      assert(digest?.length === (this.#digestAt === undefined ? undefined : digestBytes), "a digest has its room");
      if (this.#digestAt !== undefined && digest !== undefined) bytes.set(digest, this.#digestAt);
      bytes[this.#start + 3] = flagLast;
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

  hold(hold: Hold): void {
    const writer = this.#begin(Kind.hold, messageBytesMax);
    writer.u16(hold.sourceIndex ?? allSources);
    writer.text(hold.text, textBytesMax);
    this.#end();
  }

  /** Undefined: the hold of all sources. */
  resume(sourceIndex: number | undefined): void {
    this.#begin(Kind.resume, messageBytesMax).u16(sourceIndex ?? allSources);
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
    this.#totals(end.totals);
    this.#end();
  }

  ended({ sourceIndex, account }: Ended): void {
    const writer = this.#begin(Kind.ended, messageBytesMax);
    writer.u16(sourceIndex);
    writer.u16(account === undefined ? 0 : 1);
    this.#totals(account ?? noTotals);
    this.#end();
  }

  #totals({ frames, stored, duplicates, conflicts, refused, skipped, expired = 0 }: SourceTotals): void {
    for (const count of [frames, stored, duplicates, conflicts, refused, skipped, expired]) this.#writer.u64(count);
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

  stretch(stretch: StretchMessage): void {
    const writer = this.#begin(Kind.stretch, messageBytesMax);
    writer.u16(stretch.sourceIndex);
    writer.u8(stretchCodes.number(stretch.class));
    writer.u8(0);
    writer.u64(stretch.sequence);
    writer.u32(stretch.count);
    writer.u64(stretch.bytes);
    writer.text(stretch.text, textBytesMax);
    this.#end();
  }

  notice({ notice, text }: NoticeMessage): void {
    const writer = this.#begin(Kind.notice, messageBytesMax);
    writer.u16(noticeCodes.number(notice));
    writer.u16(0);
    writer.text(text, textBytesMax);
    this.#end();
  }

  #begin(kind: Kind, bytesAtMost: number, headerVersion: number = version): FieldWriter {
    this.#start = this.#outbox.reserve(bytesAtMost);
    const writer = this.#writer;
    writer.position = this.#start;
    writer.u8(magic);
    writer.u8(headerVersion);
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
