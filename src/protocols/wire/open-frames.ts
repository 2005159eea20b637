/**
 * The frames whose bytes are on their way, one of each source at most: opened, perhaps compared with what the receiver
 * has of them, then read piece by piece straight behind the heads of their messages: a frame leaves in one write.
 */
import { crc32 } from "../../bytes/checksum.ts";
import type { Outbox } from "../../bytes/outbox.ts";
import { assert } from "../../errors.ts";
import type { GapReason, Metadata } from "../../frame.ts";
import { moveFrame, type OpenFrame, type SourceLedger } from "../source-ledger.ts";
import type { AnswerClock } from "./answer-clock.ts";
import type { MessageWriter } from "./message-writer.ts";
import { fullMessageBytes, messageBytesMax } from "./messages.ts";
import type { Notices } from "./notices.ts";
import type { SendWindow } from "./send-window.ts";
import type { Settlement } from "./settlement.ts";

export interface OpenFramesOptions {
  readonly ledgers: readonly SourceLedger[];
  readonly outbox: Outbox;
  readonly writer: MessageWriter;
  readonly window: SendWindow;
  readonly answers: AnswerClock;
  readonly settlement: Settlement;
  readonly notices: Notices;
}

export class OpenFrames {
  readonly #ledgers: readonly SourceLedger[];
  readonly #outbox: Outbox;
  readonly #writer: MessageWriter;
  readonly #window: SendWindow;
  readonly #answers: AnswerClock;
  readonly #settlement: Settlement;
  readonly #notices: Notices;
  /** Where the piece that is being read begins in the memory of the outbox. */
  #chunkAt = 0;
  /** The last piece of each frame is to be committed with a digest. */
  digesting = false;
  /** Of the step that is being done. */
  nowMs = 0;

  constructor({ ledgers, outbox, writer, window, answers, settlement, notices }: OpenFramesOptions) {
    this.#ledgers = ledgers;
    this.#outbox = outbox;
    this.#writer = writer;
    this.#window = window;
    this.#answers = answers;
    this.#settlement = settlement;
    this.#notices = notices;
  }

  /**
   * The frame of the last `open` step has `bytes` bytes, and perhaps metadata that was not listed. Returns how many of
   * the bytes to fill in at once, as after a `chunk` step; undefined: there will be one.
   */
  open(sourceIndex: number, bytes: number, metadata?: Metadata): number | undefined {
    const ledger = this.#ledgers[sourceIndex] as SourceLedger;
    const next = ledger.nextToSend();
    assert(next !== undefined, "a frame is opened after an open step");
    assert(ledger.open === undefined, "one frame of a source is open at a time");
    next.record.bytes = bytes;
    moveFrame(next.record, "send");
    next.record.windowBytes = 0;
    const { place, record } = next;
    // A file of another size is another file.
    const proving = bytes === record.entry.bytes ? record.partial : undefined;
    const known = metadata ?? record.entry.metadata;
    ledger.open = { place, record, bytes, metadata: known, proving, begun: false, sentBytes: 0, crc32: 0 };
    this.#window.enter();
    ledger.sentFrames++;
    return proving === undefined ? this.pieceBytes(ledger.open) : undefined;
  }

  /**
   * The bytes that a `prove` step asked for. False: they are not what the receiver has, and the frame begins at 0: open
   * it again.
   */
  proved(sourceIndex: number, view: Uint8Array): boolean {
    const { open } = this.#ledgers[sourceIndex] as SourceLedger;
    assert(open?.proving !== undefined, "bytes are compared before any is sent");
    open.crc32 = crc32(view, open.crc32);
    open.sentBytes += view.length;
    if (open.sentBytes < open.proving.offset) return true;
    const { record, proving, sentBytes, crc32: found } = open;
    open.proving = undefined;
    if (found !== proving.crc32) {
      open.sentBytes = open.crc32 = 0;
      return false;
    }
    if (sentBytes > record.arrivedBytes) this.#notices.add({ type: "going-on" });
    record.arrivedBytes = Math.max(record.arrivedBytes, sentBytes);
    return true;
  }

  /** The next piece of a frame; undefined while there is no room for it. */
  pieceBytes(open: OpenFrame): number | undefined {
    const bytes = Math.min(this.#window.pieceBytes, open.bytes - open.sentBytes);
    return this.#outbox.room < fullMessageBytes + messageBytesMax + bytes ? undefined : bytes;
  }

  /** The frame of the last `open` or `chunk` step cannot be read: it becomes a gap. The driver closes it. */
  skip(sourceIndex: number, reason: GapReason, detail: string): void {
    const ledger = this.#ledgers[sourceIndex] as SourceLedger;
    const { open } = ledger;
    if (open !== undefined) {
      this.#settlement.leaveWindow(ledger, open.record);
      ledger.open = undefined;
      ledger.turnIntoGap(open.place, open.record, reason, detail);
      return;
    }
    const next = ledger.nextToSend();
    assert(next !== undefined, "a frame is skipped after an open step");
    ledger.turnIntoGap(next.place, next.record, reason, detail);
  }

  /** The memory that the next piece of the open frame is read into: exactly as long as the step said. */
  chunkView(sourceIndex: number, bytes: number): Uint8Array {
    const { open } = this.#ledgers[sourceIndex] as SourceLedger;
    assert(open !== undefined, "a chunk belongs to an open frame");
    const { record, metadata, sentBytes, begun } = open;
    const { number: sequence } = record;
    const digested = this.digesting && sentBytes + bytes === open.bytes;
    if (!begun) {
      const { name, capturedNs } = record.entry;
      const frame = { sourceIndex, sequence, capturedNs, bytes: open.bytes, offset: sentBytes, name, metadata };
      this.#chunkAt = this.#writer.frame(frame, bytes, digested);
    } else {
      this.#chunkAt = this.#writer.chunk({ sourceIndex, sequence, offset: sentBytes }, bytes, digested);
    }
    return this.#outbox.bytes.subarray(this.#chunkAt, this.#chunkAt + bytes);
  }

  /**
   * The memory of `chunkView` is filled. With the last piece come the notes on the frame that were not listed, and its
   * digest, if `digesting`. Returns whether the frame is complete, and to be closed.
   */
  commitChunk(sourceIndex: number, bytes: number, notes = 0, digest?: Uint8Array): boolean {
    const ledger = this.#ledgers[sourceIndex] as SourceLedger;
    const { open } = ledger;
    assert(open !== undefined, "a chunk belongs to an open frame");
    open.crc32 = crc32(this.#outbox.bytes.subarray(this.#chunkAt, this.#chunkAt + bytes), open.crc32);
    open.sentBytes += bytes;
    open.begun = true;
    open.record.windowBytes += bytes;
    this.#window.handed(bytes, this.nowMs);
    this.#answers.wrote(this.nowMs);
    ledger.sentBytes += bytes;
    const last = open.sentBytes === open.bytes;
    if (!last) {
      this.#writer.finishPayload(bytes, undefined);
      return false;
    }
    this.#writer.finishPayload(bytes, open.crc32, notes | (open.record.entry.notes ?? 0), digest);
    open.record.crc32 = open.crc32;
    ledger.open = undefined;
    return true;
  }
}
