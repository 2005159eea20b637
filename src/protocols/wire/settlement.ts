/** Where the life of a frame ends, or takes a turn that our user should know of: its record, the window, a notice. */
import type { HeardOutcome, RefusalReason } from "../../frame.ts";
import type { FrameRecord, SourceLedger } from "../source-ledger.ts";
import type { Notices } from "./notices.ts";
import type { SendWindow } from "./send-window.ts";

export class Settlement {
  readonly #window: SendWindow;
  readonly #notices: Notices;

  constructor(window: SendWindow, notices: Notices) {
    this.#window = window;
    this.#notices = notices;
  }

  /** What became of it is known, and at the receiver. */
  settle(
    ledger: SourceLedger,
    place: number,
    record: FrameRecord,
    outcome: HeardOutcome,
    crc: number | undefined,
  ): void {
    ledger.settle(place, record, outcome);
    this.#untrouble(ledger, record);
    const isGap = outcome === "recorded";
    this.#notices.add({
      type: "settled",
      sourceIndex: ledger.index,
      entry: record.entry,
      outcome: isGap ? undefined : outcome,
      crc32: isGap ? undefined : crc,
      fate: { sequence: record.number, gapReason: isGap ? record.gapReason : undefined },
    });
  }

  /** The receiver will not have it: its number becomes a gap. */
  refuse(ledger: SourceLedger, place: number, record: FrameRecord, reason: RefusalReason, text: string): void {
    ledger.turnIntoGap(place, record, "refused", text === "" ? reason : text);
    this.#untrouble(ledger, record);
    this.#notices.add({ type: "refused", sourceIndex: ledger.index, entry: record.entry, reason, text });
  }

  /** What was wanted again and again is done with. */
  #untrouble(ledger: SourceLedger, record: FrameRecord): void {
    if (ledger.troubled !== record) return;
    ledger.troubled = undefined;
    this.#notices.add({ type: "resumed", sourceIndex: ledger.index });
  }

  /** It is answered, or will not be: what was sent of it counts no more. */
  leaveWindow(ledger: SourceLedger, record: FrameRecord): void {
    this.#window.leave(record.windowBytes);
    ledger.sentFrames--;
    record.windowBytes = 0;
  }
}
