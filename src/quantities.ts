/**
 * Sizes, durations, rates and counts as people write them, in options and in files. Each function reads one text and
 * gives `undefined` if it is none of its kind, so that the caller can say where it stood.
 */

const sizeUnits: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 1024,
  mi: 1024 ** 2,
  gi: 1024 ** 3,
};

/** Bytes. `K M G` are powers of 1000, `Ki Mi Gi` powers of 1024, a `B` may follow, nothing means bytes. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) *([kmg]i?)?b?$/i.exec(text.trim());
  if (match === null) return undefined;
  return safeWhole(Number(match[1]) * (sizeUnits[(match[2] ?? "").toLowerCase()] ?? Number.NaN));
}

const durationUnitsMs: Readonly<Record<string, number>> = { ms: 1, "": 1e3, s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/** Milliseconds. The units are `ms s m h d`, nothing means seconds. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) *(ms|s|m|h|d)?$/.exec(text.trim());
  if (match === null) return undefined;
  return safeWhole(Number(match[1]) * (durationUnitsMs[match[2] ?? ""] ?? Number.NaN));
}

const rateUnits: Readonly<Record<string, number>> = { "": 1, k: 1e3, m: 1e6, g: 1e9 };

/** Bits per second: `20Mbit`, `500 kbit/s`, `1Gbit`. The unit is needed, because bits and bytes are easily confused. */
export function parseRate(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) *([kmg])?bit(?:\/s)?$/i.exec(text.trim());
  if (match === null) return undefined;
  return safeWhole(Number(match[1]) * (rateUnits[(match[2] ?? "").toLowerCase()] ?? Number.NaN));
}

/** A whole number from 0. */
export function parseCount(text: string): number | undefined {
  return /^\d+$/.test(text.trim()) ? safeWhole(Number(text)) : undefined;
}

function safeWhole(value: number): number | undefined {
  const whole = Math.round(value);
  return Number.isSafeInteger(whole) ? whole : undefined;
}

/** What an environment variable says of an option that takes no value. */
export function parseSwitch(text: string): boolean | undefined {
  const word = text.trim().toLowerCase();
  if (["1", "true", "yes", "on"].includes(word)) return true;
  if (["0", "false", "no", "off"].includes(word)) return false;
  return undefined;
}
