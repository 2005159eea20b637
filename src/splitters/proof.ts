/** What follows a place, and so whether a frame ends there. STREAMS.md section 1. */
import { paddingEnd } from "./byte-kinds.ts";
import type { PartHead } from "./part-head.ts";
import type { PieceQueue } from "./piece-queue.ts";
import type { StartSearch } from "./start-search.ts";

/** Nothing for so long proves a length: a camera pauses between pictures, not within one. */
export const silenceMs = 250;
/** Padding that may lie between a picture and what proves its end. */
const paddingBytesMax = 65_536;

/** `silence`: nothing follows yet, and that may prove it; `more`: too little of what follows is here. */
export type Following = "proof" | "other" | "silence" | "more";

export interface Place {
  readonly at: number;
  /** What may lie in between. Not padding behind pictures without an end of their own: black is zeros. */
  readonly between: "nothing" | "line break" | "padding";
  /** Of the part that the frame is in. */
  readonly part: PartHead | undefined;
}

export function whatFollows(bytes: PieceQueue, search: StartSearch, { at, between, part }: Place): Following {
  const { end, ended } = bytes;
  if (at === end) return ended ? "proof" : "silence";
  const glance = search.glance(bytes, at, end, ended);
  if (glance === "yes" || search.isSigned(bytes, at) || (ended && search.isCutStart(bytes, at, end))) return "proof";
  const separator = part === undefined ? "no" : followsSeparator(bytes, at, part);
  if (separator === "yes") return "proof";
  const next = behind(bytes, at, between);
  if (next === end) return ended ? "proof" : "silence";
  if (next > at) {
    const following = whatFollows(bytes, search, { at: next, between: "nothing", part });
    if (following !== "other") return following;
  }
  return glance === "more" || separator === "more" ? "more" : "other";
}

function behind(bytes: PieceQueue, at: number, between: Place["between"]): number {
  if (between === "nothing") return at;
  if (between === "padding") return paddingEnd(bytes, at, Math.min(bytes.end, at + paddingBytesMax));
  const lineAt = bytes.byteAt(at) === 0x0d ? at + 1 : at;
  return lineAt < bytes.end && bytes.byteAt(lineAt) === 0x0a ? lineAt + 1 : at;
}

/** A line break, or none, and the separator that the part had before it. */
function followsSeparator(bytes: PieceQueue, at: number, { separator }: PartHead): "yes" | "no" | "more" {
  const here = bytes.textAt(at, Math.min(bytes.end, at + 2 + separator.length));
  const text = here.replace(/^\r?\n/, "");
  if (text === "") return bytes.ended ? "yes" : "more";
  const room = separator.slice(0, text.length);
  if (separator === "" ? text === here : !text.startsWith(room)) return "no";
  return room.length === separator.length || bytes.ended ? "yes" : "more";
}
