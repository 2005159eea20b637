/** What every store says of a frame that it holds already. */
import type { StoredOutcome } from "../../frame.ts";

/** By whom a frame was stored, or sent again. */
interface Sent {
  readonly session: string;
  /** Undefined: not known of a frame that is offered. */
  readonly sequence: number | undefined;
}

/**
 * What a frame that is stored already is to whoever sent it again. The same number of the same session is the same
 * frame, whose ack was lost; another number is another file with these bytes, and is not stored a second time.
 */
export function outcomeOf(stored: Sent & { readonly number: number }, again: Sent): StoredOutcome {
  if (stored.session !== again.session) return "duplicate";
  if (again.sequence !== undefined && again.sequence !== stored.sequence) return "duplicate";
  return stored.number === 1 ? "stored" : "conflict";
}
