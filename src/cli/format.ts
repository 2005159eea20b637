/** Numbers as people read them: counts, bytes, rates, times. Every function gives one short text without padding. */

/** `1,234,567`. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `1 frame`, `1,234 frames`. */
export function formatFrames(count: number): string {
  return `${formatCount(count)} ${count === 1 ? "frame" : "frames"}`;
}

const byteUnits = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** Three digits and a unit in powers of 1000: `0 B`, `1.50 kB`, `24.3 MB`, `999 GB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // 999.5 would be shown as 1000, so it already belongs to the next unit.
  while (value >= 999.5 && unit < byteUnits.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? String(Math.round(value)) : threeDigits(value)} ${byteUnits[unit]}`;
}

function threeDigits(value: number): string {
  if (value < 9.995) return value.toFixed(2);
  if (value < 99.95) return value.toFixed(1);
  return value.toFixed(0);
}

/** Frames a second: `0`, `0.4`, `9.8`, `512`, `12,345`. */
export function formatFrameRate(framesPerSecond: number): string {
  if (framesPerSecond === 0) return "0 frames/s";
  if (framesPerSecond < 9.95) return `${framesPerSecond.toFixed(1)} frames/s`;
  return `${formatCount(Math.round(framesPerSecond))} frames/s`;
}

/** `24.3 MB/s`. */
export function formatByteRate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** A time to wait or that went by: `350 ms`, `2.4 s`, `48 s`, `3 min 20 s`, `2 h 05 min`, `4 d 3 h`. */
export function formatDuration(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const wholeSeconds = Math.round(seconds);
  if (wholeSeconds < 3600) return inTwo(wholeSeconds, 60, "min", "s");
  const wholeMinutes = Math.round(seconds / 60);
  if (wholeMinutes < 1440) return inTwo(wholeMinutes, 60, "h", "min");
  return inTwo(Math.round(seconds / 3600), 24, "d", "h");
}

function inTwo(value: number, radix: number, large: string, small: string): string {
  const rest = value % radix;
  const head = `${Math.floor(value / radix)} ${large}`;
  return rest === 0 ? head : `${head} ${String(rest).padStart(small === "h" ? 1 : 2, "0")} ${small}`;
}

/** Text from elsewhere (a peer, a file name) without anything that a terminal would act on. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}
