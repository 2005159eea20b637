/** Sizes as they are written on the command line and in messages. */
import { GiB, KiB, MiB } from "./limits.ts";

/** `1.2 GiB`: as sizes are written on the command line, short enough for a sentence. */
export function sizeText(bytes: number): string {
  if (bytes >= GiB) return `${short(bytes / GiB)} GiB`;
  if (bytes >= MiB) return `${short(bytes / MiB)} MiB`;
  if (bytes >= KiB) return `${short(bytes / KiB)} KiB`;
  return `${bytes} bytes`;
}

/** Rounded down, so that too little never reads as enough. */
function short(value: number): string {
  return value >= 100 ? String(Math.floor(value)) : String(Math.floor(value * 10) / 10);
}
