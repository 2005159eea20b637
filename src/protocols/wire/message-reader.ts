/** The decoders, one per kind of PROTOCOL.md section 4. Each reads one head, and throws ProtocolError. */
import { FieldReader } from "../../bytes/field-reader.ts";
import { ProtocolCode, ProtocolError } from "../../errors.ts";
import type { FrameEntry, SourceTotals, Verdict } from "../../frame.ts";
import {
  ackRangesMax,
  headBytesMax,
  metadataBytesMax,
  nameBytesMax,
  offerEntriesMax,
  sourcesMax,
  textBytesMax,
} from "../../limits.ts";
import {
  featureProgress,
  gapCodes,
  outcomeCodes,
  refusalCodes,
  sessionBytes,
  verdictHaveCodes,
  verdictWant,
} from "./constants.ts";
import type {
  Hello,
  Welcome,
  Refuse,
  SourceName,
  Offer,
  Want,
  FrameHead,
  ChunkHead,
  GapMessage,
  AckRange,
  Ack,
  Reject,
  Pong,
  End,
} from "./messages.ts";

/** Decodes heads. Keeps its reader, so that decoding allocates only what it returns. */
export class MessageReader {
  readonly #reader = new FieldReader(new Uint8Array(0));

  hello(head: Uint8Array): Hello {
    const reader = this.#on(head);
    const lowest = reader.u8();
    const highest = reader.u8();
    const progress = (reader.u16() & featureProgress) !== 0;
    let session = "";
    for (const byte of reader.viewBytes(sessionBytes)) session += byte.toString(16).padStart(2, "0");
    const clockNs = reader.i64();
    const device = reader.text(nameBytesMax);
    const agent = reader.text(textBytesMax);
    return { versionLowest: lowest, versionHighest: highest, progress, session, clockNs, device, agent };
  }

  welcome(head: Uint8Array): Welcome {
    const reader = this.#on(head);
    const progress = (reader.u16() & featureProgress) !== 0;
    reader.u16();
    return {
      progress,
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

  /** Payload bytes received on this connection. */
  progress(head: Uint8Array): number {
    return this.#on(head).u64();
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
