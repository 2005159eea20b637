/** The decoders, one per kind of PROTOCOL.md section 4. Each reads one head, and throws ProtocolError. */
import { FieldReader } from "../../bytes/field-reader.ts";
import { ProtocolCode, ProtocolError } from "../../errors.ts";
import type { FrameEntry, HeardOutcome, HeardVerdict, SourceTotals } from "../../frame.ts";
import {
  ackRangesMax,
  digestBytes,
  headBytesMax,
  keyBytesMax,
  nameBytesMax,
  offerEntriesMax,
  pinsMax,
  proofBytesMax,
  sourcesMax,
  textBytesMax,
  viaMax,
} from "../../limits.ts";
import {
  allSources,
  flagKeepsNothing,
  gapCodes,
  noticeCodes,
  outcomeCodes,
  refusalCodes,
  sessionBytes,
  stretchCodes,
  verdictContinue,
  verdictExpired,
  verdictHaveCodes,
  verdictUnknownLast,
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
  Hold,
  NoticeMessage,
  StretchMessage,
  Pong,
  End,
  Ended,
} from "./messages.ts";
import { readMetadata } from "./metadata.ts";

/** Decodes heads. Keeps its reader, so that decoding allocates only what it returns. */
export class MessageReader {
  readonly #reader = new FieldReader(new Uint8Array(0));

  hello(head: Uint8Array): Hello {
    const reader = this.#on(head);
    const features = reader.u32();
    let session = "";
    for (const byte of reader.viewBytes(sessionBytes)) session += byte.toString(16).padStart(2, "0");
    return {
      features,
      session,
      clockNs: reader.i64(),
      device: reader.name(nameBytesMax),
      agent: reader.text(textBytesMax),
      proof: reader.blob(proofBytesMax),
      via: this.#keys(viaMax, "keys that frames came through"),
    };
  }

  welcome(head: Uint8Array): Welcome {
    const reader = this.#on(head);
    const features = reader.u32();
    const keepsNothing = (reader.u16() & flagKeepsNothing) !== 0;
    reader.u16();
    return {
      features,
      keepsNothing,
      frameBytesMax: reader.u64(),
      windowBytes: within(reader.u64(), 1, Number.MAX_SAFE_INTEGER, "bytes of the window"),
      windowFrames: within(reader.u32(), 1, 0xffff_ffff, "frames of the window"),
      clockNs: reader.i64(),
      agent: reader.text(textBytesMax),
      proof: reader.blob(proofBytesMax),
      device: reader.text(nameBytesMax),
      pins: this.#keys(pinsMax, "keys of the receiver"),
    };
  }

  #keys(most: number, what: string): string[] {
    const keys: string[] = [];
    const count = within(this.#reader.u8(), 0, most, what);
    for (let at = 0; at < count; at++) keys.push(this.#reader.text(keyBytesMax));
    return keys;
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
    return { sourceIndex: this.#sourceIndex(), name: reader.name(nameBytesMax) };
  }

  offer(head: Uint8Array): Offer {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const count = within(reader.u16(), 1, offerEntriesMax, "offered entries");
    const firstSequence = numbersFrom(reader.u64(), count);
    const entries: FrameEntry[] = [];
    for (let at = 0; at < count; at++) {
      const bytes = reader.u64();
      const capturedNs = reader.i64();
      entries.push({ name: reader.name(headBytesMax), bytes, capturedNs });
    }
    return { sourceIndex, firstSequence, entries };
  }

  want(head: Uint8Array): Want {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const count = within(reader.u16(), 1, offerEntriesMax, "answered entries");
    const firstSequence = numbersFrom(reader.u64(), count);
    const verdicts: HeardVerdict[] = [];
    for (let at = 0; at < count; at++) verdicts.push(this.#verdict());
    return { sourceIndex, firstSequence, verdicts };
  }

  #verdict(): HeardVerdict {
    const reader = this.#reader;
    const code = reader.u8();
    const crc = reader.u32();
    if (code === verdictWant) return want;
    const outcome = verdictHaveCodes.word(code);
    if (outcome !== undefined) return { kind: "have", outcome, crc32: crc };
    if (code === verdictExpired) return { kind: "expired", crc32: crc };
    if (code === verdictContinue) return { kind: "continue", offset: reader.u64(), crc32: crc };
    if (code <= verdictUnknownLast) return { kind: "unknown" };
    return { kind: "refuse", reason: known(refusalCodes.word(code), "verdict") };
  }

  frame(head: Uint8Array): FrameHead {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const notes = reader.u16();
    const sequence = reader.u64();
    const capturedNs = reader.i64();
    const bytes = reader.u64();
    const offset = reader.u64();
    const crc = reader.u32();
    // A name above nameBytesMax is refused as a name is, by itself; the head bounds what it can take.
    const name = reader.name(headBytesMax);
    const metadata = readMetadata(reader);
    const digest = this.#digest();
    return { sourceIndex, sequence, capturedNs, bytes, offset, name, metadata, crc32: crc, notes, digest };
  }

  chunk(head: Uint8Array): ChunkHead {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const notes = reader.u16();
    const sequence = reader.u64();
    const offset = reader.u64();
    const crc = reader.u32();
    return { sourceIndex, sequence, offset, crc32: crc, notes, digest: this.#digest() };
  }

  #digest(): Uint8Array | undefined {
    const length = this.#reader.u16();
    if (length === 0) return undefined;
    within(length, digestBytes, digestBytes, "bytes of a digest");
    return this.#reader.viewBytes(length).slice();
  }

  gap(head: Uint8Array): GapMessage {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const reason = known(gapCodes.word(reader.u16()), "gap reason");
    const firstSequence = reader.u64();
    const count = within(reader.u32(), 1, 0xffff_ffff, "frames of a gap");
    numbersFrom(firstSequence, count);
    return {
      sourceIndex,
      reason,
      firstSequence,
      count,
      name: reader.name(nameBytesMax, headBytesMax),
      detail: reader.text(textBytesMax),
    };
  }

  ack(head: Uint8Array): Ack<HeardOutcome> {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const count = within(reader.u16(), 1, ackRangesMax, "ranges");
    const receivedBytes = reader.u64();
    const ranges: AckRange<HeardOutcome>[] = [];
    for (let at = 0; at < count; at++) {
      const firstSequence = reader.u64();
      const frames = within(reader.u32(), 1, 0xffff_ffff, "frames of a range");
      numbersFrom(firstSequence, frames);
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

  hold(head: Uint8Array): Hold {
    const reader = this.#on(head);
    return { sourceIndex: this.#sourceOrAll(), text: reader.text(textBytesMax) };
  }

  resume(head: Uint8Array): number | undefined {
    this.#on(head);
    return this.#sourceOrAll();
  }

  stretch(head: Uint8Array): StretchMessage {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const found = known(stretchCodes.word(reader.u8()), "class of a stretch");
    reader.u8();
    return {
      sourceIndex,
      class: found,
      sequence: reader.u64(),
      count: within(reader.u32(), 1, 0xffff_ffff, "stretches"),
      bytes: reader.u64(),
      text: reader.text(textBytesMax),
    };
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
    return { sourceIndex, totals: this.#totals() };
  }

  ended(head: Uint8Array): Ended {
    const reader = this.#on(head);
    const sourceIndex = this.#sourceIndex();
    const differs = reader.u16() !== 0;
    const totals = this.#totals();
    return { sourceIndex, account: differs ? totals : undefined };
  }

  #totals(): SourceTotals {
    const reader = this.#reader;
    const totals: SourceTotals = {
      frames: reader.u64(),
      stored: reader.u64(),
      duplicates: reader.u64(),
      conflicts: reader.u64(),
      refused: reader.u64(),
      skipped: reader.u64(),
    };
    const expired = reader.u64();
    return expired === 0 ? totals : { ...totals, expired };
  }

  bye(head: Uint8Array): boolean {
    return this.#on(head).u8() !== 0;
  }

  /** Payload bytes received on this connection. */
  progress(head: Uint8Array): number {
    return this.#on(head).u64();
  }

  notice(head: Uint8Array): NoticeMessage {
    const reader = this.#on(head);
    const notice = known(noticeCodes.word(reader.u16()), "notice");
    reader.u16();
    return { notice, text: reader.text(textBytesMax) };
  }

  #on(head: Uint8Array): FieldReader {
    this.#reader.reset(head);
    return this.#reader;
  }

  #sourceIndex(): number {
    return within(this.#reader.u16(), 0, sourcesMax - 1, "source index");
  }

  /** Undefined: all sources. */
  #sourceOrAll(): number | undefined {
    const index = this.#reader.u16();
    return index === allSources ? undefined : within(index, 0, sourcesMax - 1, "source index");
  }
}

const want: HeardVerdict = { kind: "want" };

function within(value: number, least: number, most: number, what: string): number {
  if (value < least || value > most) {
    throw new ProtocolError(ProtocolCode.limit, `${what}: ${value}, limits ${least} and ${most}`);
  }
  return value;
}

/** `first`, if the last of so many numbers is one as well. */
function numbersFrom(first: number, count: number): number {
  // In this order, because a sum above the limit may be rounded down to it.
  within(count - 1, 0, Number.MAX_SAFE_INTEGER - first, `numbers behind ${first}`);
  return first;
}

function known<Word>(word: Word | undefined, what: string): Word {
  if (word === undefined) throw new ProtocolError(ProtocolCode.malformed, `an unknown ${what}`);
  return word;
}
