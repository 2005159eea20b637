/**
 * One encode and decode pair per kind of PROTOCOL.md section 4. Encoders write into an outbox whose room the caller
 * has checked (`messageBytesMax` is enough for any but offers, answers and acks, which say their own). Decoders read
 * one head and throw ProtocolError.
 */
import { crc32 } from "../bytes/checksum.ts";
import { FieldReader } from "../bytes/field-reader.ts";
import { FieldWriter } from "../bytes/field-writer.ts";
import type { Outbox } from "../bytes/outbox.ts";
import { ProtocolCode, ProtocolError } from "../errors.ts";
import type { FrameEntry, GapReason, Outcome, RefusalReason, SourceTotals, Verdict } from "../frame.ts";
import {
  ackRangesMax,
  headBytesMax,
  metadataBytesMax,
  nameBytesMax,
  offerEntriesMax,
  sourcesMax,
  textBytesMax,
} from "../limits.ts";
import {
  checkBytes,
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

/** Room that any message takes at most, except OFFER, WANT, ACK and payloads. */
export const messageBytesMax: number = headerBytes + checkBytes + nameBytesMax + metadataBytesMax + textBytesMax + 128;
/** Room that any head takes at most. */
export const fullMessageBytes: number = headerBytes + checkBytes + headBytesMax;

export interface Hello {
  readonly versionLowest: number;
  readonly versionHighest: number;
  /** 32 hexadecimal digits. */
  readonly session: string;
  readonly clockNs: bigint;
  readonly device: string;
  readonly agent: string;
}

export interface Welcome {
  readonly frameBytesMax: number;
  readonly windowBytes: number;
  readonly windowFrames: number;
  readonly idleMs: number;
  readonly clockNs: bigint;
  readonly agent: string;
}

export interface Refuse {
  readonly code: number;
  readonly versionLowest: number;
  readonly versionHighest: number;
  readonly text: string;
}

export interface SourceName {
  readonly sourceIndex: number;
  readonly name: string;
}

export interface Offer {
  readonly sourceIndex: number;
  readonly firstSequence: number;
  readonly entries: FrameEntry[];
}

export interface Want {
  readonly sourceIndex: number;
  readonly firstSequence: number;
  readonly verdicts: Verdict[];
}

export interface FrameHead {
  readonly sourceIndex: number;
  readonly sequence: number;
  readonly capturedNs: bigint;
  readonly bytes: number;
  /** Valid with flag LAST. */
  readonly crc32: number;
  readonly name: string;
}

export interface ChunkHead {
  readonly sourceIndex: number;
  readonly sequence: number;
  readonly offset: number;
  /** Valid with flag LAST. */
  readonly crc32: number;
}

export interface GapMessage {
  readonly sourceIndex: number;
  readonly reason: GapReason;
  readonly firstSequence: number;
  readonly count: number;
  readonly name: string;
  readonly detail: string;
}

export interface AckRange {
  readonly firstSequence: number;
  count: number;
  readonly outcome: Outcome;
}

export interface Ack {
  readonly sourceIndex: number;
  /** Payload bytes received on this connection. */
  readonly receivedBytes: number;
  readonly ranges: readonly AckRange[];
}

export interface Reject {
  readonly sourceIndex: number;
  readonly reason: RefusalReason;
  readonly again: boolean;
  readonly sequence: number;
  readonly text: string;
}

export interface Pong {
  /** The clock of the ping that is answered. */
  readonly echoNs: bigint;
  readonly clockNs: bigint;
}

export interface End {
  readonly sourceIndex: number;
  readonly totals: SourceTotals;
}

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
    writer.u16(0);
    for (let at = 0; at < sessionBytes; at++) writer.u8(Number.parseInt(hello.session.slice(at * 2, at * 2 + 2), 16));
    writer.i64(hello.clockNs);
    writer.text(hello.device, nameBytesMax);
    writer.text(hello.agent, textBytesMax);
    writer.u16(0);
    this.#end();
  }

  welcome(welcome: Welcome): void {
    const writer = this.#begin(Kind.welcome, messageBytesMax);
    writer.u16(0);
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

/** Decodes heads. Keeps its reader, so that decoding allocates only what it returns. */
export class MessageReader {
  readonly #reader = new FieldReader(new Uint8Array(0));

  hello(head: Uint8Array): Hello {
    const reader = this.#on(head);
    const lowest = reader.u8();
    const highest = reader.u8();
    reader.u16();
    let session = "";
    for (const byte of reader.viewBytes(sessionBytes)) session += byte.toString(16).padStart(2, "0");
    const clockNs = reader.i64();
    const device = reader.text(nameBytesMax);
    const agent = reader.text(textBytesMax);
    return { versionLowest: lowest, versionHighest: highest, session, clockNs, device, agent };
  }

  welcome(head: Uint8Array): Welcome {
    const reader = this.#on(head);
    reader.u16();
    reader.u16();
    return {
      frameBytesMax: reader.u64(),
      windowBytes: reader.u64(),
      windowFrames: reader.u32(),
      idleMs: reader.u32(),
      clockNs: reader.i64(),
      agent: reader.text(textBytesMax),
    };
  }

  refuse(head: Uint8Array): Refuse {
    const reader = this.#on(head);
    return {
      code: reader.u16(),
      versionLowest: reader.u8(),
      versionHighest: reader.u8(),
      text: reader.text(textBytesMax),
    };
  }

  source(head: Uint8Array): SourceName {
    const reader = this.#on(head);
    return { sourceIndex: this.#sourceIndex(), name: reader.text(nameBytesMax) };
  }

  offer(head: Uint8Array): Offer {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const count = within(reader.u16(), 1, offerEntriesMax, "offered entries");
    const firstSequence = reader.u64();
    const entries: FrameEntry[] = [];
    for (let at = 0; at < count; at++) {
      const bytes = reader.u64();
      const capturedNs = reader.i64();
      entries.push({ name: reader.text(headBytesMax), bytes, capturedNs });
    }
    return { sourceIndex, firstSequence, entries };
  }

  want(head: Uint8Array): Want {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const count = within(reader.u16(), 1, offerEntriesMax, "answered entries");
    const firstSequence = reader.u64();
    const verdicts: Verdict[] = [];
    for (let at = 0; at < count; at++) verdicts.push(verdictOf(reader.u8(), reader.u32()));
    return { sourceIndex, firstSequence, verdicts };
  }

  frame(head: Uint8Array): FrameHead {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    reader.u16();
    const sequence = reader.u64();
    const capturedNs = reader.i64();
    const bytes = reader.u64();
    const crc = reader.u32();
    const metadataBytes = within(reader.u16(), 0, metadataBytesMax, "bytes of metadata");
    reader.viewBytes(metadataBytes);
    // A name above nameBytesMax is refused as a name is, by itself; the head bounds what it can take.
    return { sourceIndex, sequence, capturedNs, bytes, crc32: crc, name: reader.text(headBytesMax) };
  }

  chunk(head: Uint8Array): ChunkHead {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    reader.u16();
    return { sourceIndex, sequence: reader.u64(), offset: reader.u64(), crc32: reader.u32() };
  }

  gap(head: Uint8Array): GapMessage {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const reason = known(gapCodes.word(reader.u16()), "gap reason");
    const firstSequence = reader.u64();
    const count = within(reader.u32(), 1, 0xffff_ffff, "frames of a gap");
    return {
      sourceIndex,
      reason,
      firstSequence,
      count,
      name: reader.text(nameBytesMax),
      detail: reader.text(textBytesMax),
    };
  }

  ack(head: Uint8Array): Ack {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const count = within(reader.u16(), 1, ackRangesMax, "ranges");
    const receivedBytes = reader.u64();
    const ranges: AckRange[] = [];
    for (let at = 0; at < count; at++) {
      const firstSequence = reader.u64();
      const frames = within(reader.u32(), 1, 0xffff_ffff, "frames of a range");
      ranges.push({ firstSequence, count: frames, outcome: known(outcomeCodes.word(reader.u32() & 0xff), "outcome") });
    }
    return { sourceIndex, receivedBytes, ranges };
  }

  reject(head: Uint8Array): Reject {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const reason = known(refusalCodes.word(reader.u8()), "refusal reason");
    const again = reader.u8() !== 0;
    return { sourceIndex, reason, again, sequence: reader.u64(), text: reader.text(textBytesMax) };
  }

  hold(head: Uint8Array): string {
    return this.#on(head).text(textBytesMax);
  }

  ping(head: Uint8Array): bigint {
    return this.#on(head).i64();
  }

  pong(head: Uint8Array): Pong {
    const reader = this.#on(head);
    return { echoNs: reader.i64(), clockNs: reader.i64() };
  }

  end(head: Uint8Array): End {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    reader.u16();
    const totals: SourceTotals = {
      frames: reader.u64(),
      stored: reader.u64(),
      already: reader.u64(),
      conflicts: reader.u64(),
      refused: reader.u64(),
      skipped: reader.u64(),
    };
    return { sourceIndex, totals };
  }

  ended(head: Uint8Array): number {
    this.#on(head);
    return this.#sourceIndex();
  }

  bye(head: Uint8Array): boolean {
    return this.#on(head).u8() !== 0;
  }

  #on(head: Uint8Array): FieldReader {
    this.#reader.reset(head);
    return this.#reader;
  }

  #sourceIndex(): number {
    return within(this.#reader.u16(), 0, sourcesMax - 1, "source index");
  }
}

function verdictOf(code: number, crc: number): Verdict {
  if (code === verdictWant) return want;
  const outcome = verdictHaveCodes.word(code);
  if (outcome !== undefined) return { kind: "have", outcome, crc32: crc };
  return { kind: "refuse", reason: known(refusalCodes.word(code), "verdict") };
}

const want: Verdict = { kind: "want" };

function within(value: number, least: number, most: number, what: string): number {
  if (value < least || value > most) {
    throw new ProtocolError(ProtocolCode.limit, `${what}: ${value}, limits ${least} and ${most}`);
  }
  return value;
}

function known<Word>(word: Word | undefined, what: string): Word {
  if (word === undefined) throw new ProtocolError(ProtocolCode.malformed, `an unknown ${what}`);
  return word;
}
