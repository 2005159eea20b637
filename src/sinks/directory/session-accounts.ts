/** What a batch says of each of its sessions, put together, so that a group costs a few statements for each source. */
import type { Gap, Origin, SourceTotals, Stretch } from "../../frame.ts";
import type { CatalogueBatch } from "./catalogue.ts";
import { OutcomeRanges } from "../../outcome-ranges.ts";

export interface SessionAccount {
  readonly origin: Origin;
  /** The sender's clock minus this machine's; null: nothing new is known. */
  clockOffsetNs: bigint | null;
  readonly outcomes: OutcomeRanges;
  totals: SourceTotals | undefined;
  readonly gaps: Gap[];
  readonly stretches: Stretch[];
}

export function sessionAccountsOf(batch: CatalogueBatch): Iterable<SessionAccount> {
  const accounts = new Map<string, SessionAccount>();
  // Frames of one connection share their origin, so mostly it is the very one of the number before.
  let last: SessionAccount | undefined;
  const accountOf = (origin: Origin): SessionAccount => {
    if (last?.origin === origin) return last;
    const key = `${origin.device}\0${origin.source}\0${origin.session}`;
    last = accounts.get(key);
    if (last === undefined) {
      const outcomes = new OutcomeRanges();
      last = { origin, clockOffsetNs: null, outcomes, totals: undefined, gaps: [], stretches: [] };
      accounts.set(key, last);
    }
    return last;
  };
  for (const { origin, first, last: end, outcome } of batch.outcomes) {
    accountOf(origin).outcomes.enter(first, end, outcome);
  }
  for (const gap of batch.gaps) accountOf(gap.origin).gaps.push(gap);
  for (const { origin, totals } of batch.ends) accountOf(origin).totals = totals;
  for (const stretch of batch.stretches ?? []) accountOf(stretch.origin).stretches.push(stretch);
  for (const { frame } of batch.frames) {
    if (frame.clockOffsetNs !== undefined) accountOf(frame.origin).clockOffsetNs = frame.clockOffsetNs;
  }
  return accounts.values();
}
