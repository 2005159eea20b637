/** What is known of a spooled frame beside its bytes, as text: notes and metadata. */
import type { FrameEntry, Metadata } from "../../frame.ts";

type Extras = Pick<FrameEntry, "notes" | "metadata">;

/** Nothing, mostly. */
export function extrasText({ notes = 0, metadata }: Extras): string {
  return notes === 0 && metadata === undefined ? "" : JSON.stringify([notes, ...(metadata ?? [])]);
}

/** Undefined: it is not what `extrasText` has written. */
export function readExtras(text: string): Extras | undefined {
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(read)) return undefined;
  const [notes, ...pairs] = read as unknown[];
  if (!Number.isInteger(notes) || (notes as number) < 0 || (notes as number) > 0xffff) return undefined;
  if (!pairs.every(isPair)) return undefined;
  const metadata: Metadata = new Map(pairs);
  return { ...(notes === 0 ? {} : { notes: notes as number }), ...(metadata.size === 0 ? {} : { metadata }) };
}

function isPair(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every((word) => typeof word === "string");
}
