/** Whose frames go next where all devices together have too much: KEEPING.md. */

import { KiB } from "../../limits.ts";

/** What a device has: bytes of its frames, and what each frame and gap costs beside them. */
export interface Holding {
  readonly device: string;
  readonly bytes: number;
}

export interface ShareRules {
  /** What all may have together. Undefined: any amount. */
  readonly keepBytes: number | undefined;
  /** What a device may have. Undefined: nobody has said. */
  quotaOf(device: string): number | undefined;
}

/** The device whose oldest frames go next, and how many bytes of them. */
export interface Giver {
  readonly device: string;
  /** At least 1. */
  readonly bytes: number;
}

/**
 * How far below a limit one goes that was passed: by a part of it, so that removing comes in steps that are worth their
 * flushes, and not with each frame. Of a small limit nothing.
 */
function marginOf(limit: number): number {
  return Math.max(0, limit / 32 - marginBytesLeast);
}

const marginBytesLeast: number = 64 * KiB;

/** Undefined: nobody has too much. */
export function nextGiver(holdings: Iterable<Holding>, { keepBytes: limit, quotaOf }: ShareRules): Giver | undefined {
  const all = [...holdings]
    .filter(({ bytes }) => bytes > 0)
    .map(({ device, bytes }) => ({ device, bytes, quota: quotaOf(device) }));
  let overQuota: Giver | undefined;
  let [total, quotas, unlimited] = [0, 0, 0];
  for (const { device, bytes, quota } of all) {
    total += bytes;
    if (quota === undefined) unlimited += 1;
    else quotas += quota;
    if (quota === undefined || bytes <= quota) continue;
    const over = bytes - quota + marginOf(quota);
    if (over > (overQuota?.bytes ?? 0)) overQuota = { device, bytes: Math.ceil(over) };
  }
  if (limit === undefined || total <= limit) return overQuota;
  const keepBytes = limit - marginOf(limit);
  const excess = total - keepBytes;
  const scale = quotas > keepBytes ? keepBytes / quotas : 1;
  const rest = unlimited === 0 ? 0 : Math.max(0, keepBytes - quotas) / unlimited;
  // Shares are no more than `keepBytes` in all, so somebody is above its own.
  let [device, furthest, second] = ["", Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const each of all) {
    const above = each.bytes - (each.quota === undefined ? rest : each.quota * scale);
    if (above > furthest) [device, furthest, second] = [each.device, above, furthest];
    else if (above > second) second = above;
  }
  // Until the next one is as far above; where several are, each gives its part.
  const lead = Math.max(furthest - Math.max(second, 0), excess / all.length);
  return { device, bytes: Math.max(1, Math.ceil(Math.min(excess, furthest, lead))) };
}
