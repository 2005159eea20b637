/** What every store says of a frame that it holds already. */
import type { StoredOutcome } from "../../frame.ts";

/** What a frame that is stored already, under `number`, is to the session that sent it again. */
export function outcomeOf(storedBy: string, number: number, asking: string): StoredOutcome {
  if (storedBy !== asking) return "duplicate";
  return number === 1 ? "stored" : "conflict";
}
