/** Moments as people write and read them, to the nanosecond. */

const msNs = 1_000_000n;
/** A date, a time, or both. */
const momentForm =
  /^(?:(\d{4})-(\d\d)-(\d\d))?(?:(?:^|(?<=\d)[T ])(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?)?$/;

/**
 * Nanoseconds since the epoch: of `2026-11-25T10:32:07.120Z` or with `+01:00`; without either, of that time on this
 * machine's clock; of a date, when it begins here; of a time without a date, on the day of `now`. Undefined: none of
 * these, or no such day or time.
 */
export function parseTime(text: string, now: Date): bigint | undefined {
  const match = momentForm.exec(text.trim());
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second = "0", decimals = "", zone] = match;
  if (year === undefined && hour === undefined) return undefined;
  // Today is a day of this machine's, so a time of it has its zone.
  if (zone !== undefined && year === undefined) return undefined;
  const date: Civil =
    year === undefined
      ? [now.getFullYear(), now.getMonth(), now.getDate()]
      : [Number(year), Number(month) - 1, Number(day)];
  const time: Civil = [Number(hour ?? 0), Number(minute ?? 0), Number(second)];
  if (!isDate(date) || time[0] > 23 || time[1] > 59 || time[2] > 59) return undefined;
  const ms = zone === undefined ? new Date(...date, ...time).getTime() : Date.UTC(...date, ...time) - zoneMs(zone);
  return BigInt(ms) * msNs + BigInt(decimals.padEnd(9, "0"));
}

type Civil = [number, number, number];

/** Whether the calendar has this day, whose numbers have the right size: not 30 February. The first month is 1. */
export function isDay(year: string, month: string, day: string): boolean {
  return isDate([Number(year), Number(month) - 1, Number(day)]);
}

function isDate([year, month, day]: Civil): boolean {
  const date = new Date(Date.UTC(year, month, day));
  return year >= 1000 && date.getUTCMonth() === month && date.getUTCDate() === day;
}

function zoneMs(zone: string): number {
  if (zone === "Z") return 0;
  const ms = (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4))) * 60_000;
  return zone.startsWith("-") ? -ms : ms;
}

/** `2026-11-25T10:32:07.120Z`, with six or nine decimals where it needs them. */
export function formatTime(ns: bigint): string {
  const rest = ((ns % msNs) + msNs) % msNs;
  const text = new Date(Number((ns - rest) / msNs)).toISOString();
  if (rest === 0n) return text;
  const decimals = String(rest).padStart(6, "0");
  return `${text.slice(0, -1)}${decimals.endsWith("000") ? decimals.slice(0, 3) : decimals}Z`;
}
