/**
 * Which keys a sender lets its receiver prove. They are an ordered list, the present key and the ones to come, so that
 * a receiver can change its key while senders are away. Whoever steals the present key must not be able to choose the
 * next one: only the *last* key of the list may name one more.
 */
import { assert } from "../errors.ts";

/**
 * The pins after the receiver proved `proven`, which is one of `known`, and said that its keys are `announced`, the
 * present one first. What comes before the proven one is past. Gives `known` itself if nothing changes.
 */
export function advancePins(known: readonly string[], proven: string, announced: readonly string[]): readonly string[] {
  const index = known.indexOf(proven);
  assert(index !== -1, "a pin that was proven is known");
  const left = index === 0 ? known : known.slice(index);
  if (left.length > 1) return left;
  const at = announced.indexOf(proven);
  const next = at === -1 ? undefined : announced[at + 1];
  return next === undefined || known.includes(next) ? left : [...left, next];
}
