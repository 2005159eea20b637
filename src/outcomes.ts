/**
 * What became of the numbers of a source and session, in the receiver's words. Its catalogue and its tally both enter
 * what a sender was told in these, so they say the same of a run.
 */
import type { GapReason, Outcome, RefusalReason, SourceTotals } from "./frame.ts";

/** What became of a number. `gap`: its frame was lost at the sender. `expired`: it was stored and has been removed. */
export type AccountOutcome = "stored" | "duplicate" | "conflict" | "refused" | "gap" | "expired";

export type OutcomeCounts = Record<AccountOutcome, number>;

export function noOutcomes(): OutcomeCounts {
  return { stored: 0, duplicate: 0, conflict: 0, refused: 0, gap: 0, expired: 0 };
}

/** The frame is not there. */
export function isLoss(outcome: AccountOutcome): boolean {
  return outcome === "gap" || outcome === "refused";
}

/** This session has stored the frame. */
export function isOwn(outcome: AccountOutcome): boolean {
  return !isLoss(outcome) && outcome !== "duplicate";
}

/** Counts of numbers, as totals. */
export function totalsOf(counts: Readonly<Partial<OutcomeCounts>>): SourceTotals {
  const { stored = 0, duplicate = 0, conflict = 0, refused = 0, gap = 0, expired = 0 } = counts;
  const frames = stored + duplicate + conflict + refused + gap + expired;
  const totals = { frames, stored, duplicates: duplicate, conflicts: conflict, refused, skipped: gap };
  return expired === 0 ? totals : { ...totals, expired };
}

/** What becomes of the numbers of a gap. */
export function outcomeOfGap(reason: GapReason): AccountOutcome {
  return reason === "refused" || reason === "duplicate" || reason === "expired" ? reason : "gap";
}

/** What the result of a frame, or of a gap, is for its numbers. */
export function accountOutcomeOf(
  result: Outcome | RefusalReason,
  gap?: { readonly reason: GapReason } | undefined,
): AccountOutcome {
  switch (result) {
    case "stored":
    case "duplicate":
    case "conflict":
    case "expired":
      return result;
    case "recorded":
      return gap === undefined ? "gap" : outcomeOfGap(gap.reason);
    default:
      return "refused";
  }
}
