/** Where a JPEG begins, which two bytes alone do not tell. */
import { bad, blockOfSegment, isKnown, marker, more as missing, segmentEnd } from "./jpeg-segments.ts";
import type { PieceQueue } from "./piece-queue.ts";
import type { Glance } from "./walk.ts";

/** Stray bytes before anything is known that only a picture has: a start without more is found in any data. */
export const strayBytesFirst = 512;

/** A start is SOI with a segment that is good in itself, or one that leads to another marker. */
export function glanceJpeg(bytes: PieceQueue, at: number, to: number, final: boolean): Glance {
  const more: Glance = final ? "no" : "more";
  if (at + 2 > to) return at < to && bytes.byteAt(at) !== 0xff ? "no" : more;
  if (bytes.byteAt(at) !== 0xff || bytes.byteAt(at + 1) !== marker.soi) return "no";
  const limit = at + 2 + strayBytesFirst;
  let first = at + 2;
  while (first + 1 < to && bytes.byteAt(first) === marker.fill && bytes.byteAt(first + 1) === marker.fill) first++;
  for (let next = first; ; next++) {
    next = bytes.indexOf(marker.fill, next, Math.min(to, limit));
    if (next >= limit) return "no";
    if (next + 2 > to) return more;
    if (bytes.byteAt(next + 1) === marker.soi) return "no";
    const block = blockOfSegment(bytes, next, to);
    const end = segmentEnd(block.bytes, next - block.at, to - block.at);
    if (end === missing) return more;
    if (end === bad) continue;
    const known = isKnown(block.bytes, next - block.at, to - block.at);
    if (known === "more") return more;
    if (known === "yes") return "yes";
    if (next > first) continue;
    // The first one: application data of an unknown kind, or a comment.
    const following = block.at + end;
    if (following + 2 > to) return more;
    const code = bytes.byteAt(following + 1);
    if (bytes.byteAt(following) === marker.fill && code >= marker.first && code !== marker.soi) return "yes";
  }
}
