/** What one connection's frames add to the account of their sessions, and what the user is told of them. */
import type { Frame, Gap, Origin, Outcome, RefusalReason, SourceEnd, SourceTotals, Stretch } from "../frame.ts";
import type { ReceiverEvent } from "../events.ts";
import { nameBytesMax } from "../limits.ts";
import { describeNotes, noteWords } from "../notes.ts";
import { accountOutcomeOf, isLoss } from "../outcomes.ts";
import type { NamedSender, SharedNames } from "./shared-names.ts";
import type { SourceTally, Tally } from "./tally.ts";

export interface FrameReportsOptions {
  readonly tally: Tally;
  readonly sharedNames: SharedNames;
  readonly frameBytesMax: number;
  /** Each stored frame is told. */
  readonly eachFrame?: boolean;
  readonly onEvent: (event: ReceiverEvent) => void;
}

export class FrameReports {
  /** Something that was sent on this connection is not stored. */
  incomplete = false;
  readonly #options: FrameReportsOptions;
  readonly #sender: NamedSender;
  readonly #tallies = new Map<Origin, SourceTally>();

  constructor(options: FrameReportsOptions, sender: NamedSender) {
    this.#options = options;
    this.#sender = sender;
  }

  received(origin: Origin, bytes: number): void {
    this.#tallyOf(origin).progress.receivedBytes += bytes;
  }

  stored(frame: Frame, outcome: "stored" | "conflict"): void {
    const { origin, sequence, name, bytes, notes } = frame;
    // It may have been sent again because its ack was lost.
    if (this.#tallyOf(origin).enter(sequence, 1, outcome, bytes) === 0) return;
    const { device, source } = origin;
    const { eachFrame = false, onEvent } = this.#options;
    if (eachFrame) onEvent({ event: "stored", device, source, name, bytes });
    const words = notes === undefined ? [] : noteWords(notes);
    if (words.length > 0) {
      onEvent({ event: "noted", device, source, name, notes: words, detail: describeNotes(notes as number) });
    }
    if (outcome === "conflict") onEvent({ event: "conflict", device, source, name });
  }

  /** It need not be sent, or is not stored again. `bytes`: where they are stored. */
  present(origin: Origin, sequence: number, outcome: Outcome, bytes?: number): void {
    this.#tallyOf(origin).enter(sequence, 1, accountOutcomeOf(outcome), bytes);
  }

  rejected({ origin, sequence, name }: Frame, reason: RefusalReason, detail: string): void {
    // What arrived damaged is sent again.
    if (reason !== "checksum") {
      this.#tallyOf(origin).enter(sequence, 1, accountOutcomeOf(reason));
      this.incomplete = true;
    }
    const { device, source } = origin;
    // A name that is refused for its length must not fill the log.
    this.#options.onEvent({ event: "rejected", device, source, name: name.slice(0, nameBytesMax), reason, detail });
  }

  gap(gap: Gap): void {
    const { origin, firstSequence, name, count, reason, detail } = gap;
    const outcome = accountOutcomeOf("recorded", gap);
    this.#tallyOf(origin).enter(firstSequence, count, outcome);
    if (!isLoss(outcome)) return;
    this.incomplete = true;
    const { device, source } = origin;
    this.#options.onEvent({ event: "gap", device, source, name, count, reason, detail });
  }

  stretch({ origin, class: found, sequence: before, count, bytes, text: detail }: Stretch): void {
    const { device, source } = origin;
    this.#options.onEvent({ event: "stretch", device, source, class: found, before, count, bytes, detail });
  }

  /** `found`: what the receiver has, where that is not what the sender claims. */
  ended({ origin, totals }: SourceEnd, found: SourceTotals | undefined): void {
    const { device, source } = origin;
    const { onEvent } = this.#options;
    onEvent({ event: "source-ended", device, source, totals });
    if (found === undefined) return;
    this.incomplete = true;
    onEvent({ event: "totals-differ", device, source, claimed: totals, found });
  }

  /** For the frame's sender and for the user. */
  refusalText(frame: Frame, reason: string): string {
    if (reason === "too-large") return `${frame.bytes} bytes, limit ${this.#options.frameBytesMax} (--max-frame)`;
    if (reason === "symlink") return "a symbolic link or a file stands where its folder should be";
    if (reason === "format") return "its format is not that of the stream on standard output";
    return "not a safe name, or one that the destination cannot hold";
  }

  #tallyOf(origin: Origin): SourceTally {
    let tally = this.#tallies.get(origin);
    if (tally === undefined) {
      this.#tallies.set(origin, (tally = this.#options.tally.of(this.#sender.sessionKey, origin)));
      this.#options.sharedNames.sends(this.#sender, origin.source);
    }
    return tally;
  }
}
