/** Stored frames and pairs near a moment: what somebody sees who steps through a recording. */
import type { StoredSource } from "../sinks/directory/catalogue-questions.ts";
import type { Clock, FrameQuery, Position, StoredRow } from "../sinks/directory/frame-query.ts";
import { pairsOf } from "./pairs.ts";

/** How much is looked at for pairs, where few frames have a partner. */
const lookedAtMax = 4_000;
const lastNs = 2n ** 63n - 1n;

export interface Near {
  /** A moment, and with `id` between frames of that time; undefined: behind the newest. */
  readonly at: { readonly timeNs: bigint; readonly id?: number | undefined } | undefined;
  readonly before: number;
  readonly after: number;
  readonly clock: Clock;
}

/** The last `before` frames of a source before the moment, and the first `after` from it on; those with `id` not. */
export function framesNear(query: FrameQuery, source: StoredSource, near: Near): StoredRow[] {
  const { before, after, clock } = near;
  const position = positionOf(near);
  const lastId = query.highestId();
  const earlier = [...query.framesBefore(source, position, { clock, lastId }).take(before)].toReversed();
  const fromNs = position.timeNs;
  const later = query
    .framesOf([source], { fromNs, toNs: undefined, clock, lastId })
    // Frames of one time are in the order of storing.
    .filter(({ timeNs, id }) => timeNs > position.timeNs || id >= position.id)
    .filter(({ id }) => id !== near.at?.id);
  return [...earlier, ...later.take(after)];
}

/** The frame nearest to a moment; of two that are equally near the earlier one. */
export function frameAt(query: FrameQuery, source: StoredSource, timeNs: bigint, clock: Clock): StoredRow | undefined {
  const [first, second] = framesNear(query, source, { at: { timeNs }, before: 1, after: 1, clock });
  if (first === undefined || second === undefined) return first;
  return timeNs - first.timeNs <= second.timeNs - timeNs ? first : second;
}

/** Pairs, as READING.md says: the last `before` whose first frame is before the moment, and as many from it on. */
export function pairsNear(
  query: FrameQuery,
  [one, other]: readonly [StoredSource, StoredSource],
  withinNs: bigint,
  near: Near,
): [StoredRow, StoredRow][] {
  const { before, after, clock } = near;
  const atNs = positionOf(near).timeNs;
  const lastId = query.highestId();
  const back = framesNear(query, one, {
    ...near,
    at: { timeNs: atNs },
    before: Math.min(8 * before, lookedAtMax),
    after: 0,
  });
  const startNs = back[0]?.timeNs ?? atNs;
  // A frame's partner may have a nearer one, so far away at most.
  const fromNs = startNs - 2n * withinNs;
  const streams = [one, other].map((source) => query.framesOf([source], { fromNs, toNs: undefined, clock, lastId }));
  const [earlier, later]: [[StoredRow, StoredRow][], [StoredRow, StoredRow][]] = [[], []];
  let left = lookedAtMax + back.length;
  for (const { first, second } of pairsOf(streams[0] ?? [], streams[1] ?? [], withinNs)) {
    left -= 1;
    if (left < 0 || (later.length >= after && (first?.timeNs ?? startNs) >= atNs)) break;
    if (first === undefined || second === undefined || first.timeNs < startNs) continue;
    if (first.timeNs < atNs) earlier.push([first, second]);
    else if (later.length < after) later.push([first, second]);
  }
  return [...earlier.slice(Math.max(0, earlier.length - before)), ...later];
}

function positionOf({ at }: Near): Position {
  return at === undefined ? { timeNs: lastNs, id: Number.MAX_SAFE_INTEGER } : { timeNs: at.timeNs, id: at.id ?? 0 };
}
