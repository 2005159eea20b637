/** What every store says of a frame that it has, or will not have: the rules of names, sizes and repetition. */
import type { FrameEntry, Origin, RefusalReason, StoredOutcome } from "../../frame.ts";
import { nameProblem } from "../../names.ts";

/** What a frame that is stored already, under `number`, is to the session that sent it again. */
export function outcomeOf(storedBy: string, number: number, asking: string): StoredOutcome {
  if (storedBy !== asking) return "already";
  return number === 1 ? "stored" : "conflict";
}

/** Why a frame is refused by any sink, before its bytes. */
export function refusalOf(origin: Origin, entry: FrameEntry, frameBytesMax: number): RefusalReason | undefined {
  if ((nameProblem(origin.device) ?? nameProblem(origin.source) ?? nameProblem(entry.name)) !== undefined)
    return "name";
  return entry.bytes > frameBytesMax ? "too-large" : undefined;
}
