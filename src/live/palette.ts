/** From samples to what a screen shows: a range of them, stretched, and a colour for each value of grey. */
import type { Samples } from "./samples.ts";

export interface Range {
  /** Shown darkest, and so is what is below. */
  readonly low: number;
  /** Shown brightest, and so is what is above. */
  readonly high: number;
}

/** Colours from the darkest to the brightest; between them they are mixed. */
export const palettes = {
  grey: ["000000", "ffffff"],
  inverted: ["ffffff", "000000"],
  iron: ["00000a", "2a0a6e", "8b0f8d", "d6473f", "f8a21a", "fff6c8"],
  rainbow: ["00008f", "0040ff", "00e0c0", "60f040", "ffd000", "ff2000", "800000"],
} as const;
export type Palette = keyof typeof palettes;

/** Without so many in a thousand of the darkest and brightest samples, which are often dead or the sun. */
const leftOut = 10 / 1000;

/** What most samples lie in; of colour, all that can be. */
export function rangeOf({ values, channels, max }: Samples): Range {
  if (channels === 3) return { low: 0, high: max };
  const counts = new Uint32Array(max + 1);
  for (const value of values) counts[Math.min(value, max)] = (counts[Math.min(value, max)] ?? 0) + 1;
  const skipped = Math.floor(values.length * leftOut);
  const edge = (from: number, step: 1 | -1): number => {
    let passed = 0;
    let value = from;
    while (value + step >= 0 && value + step <= max) {
      passed += counts[value] ?? 0;
      if (passed > skipped) break;
      value += step;
    }
    return value;
  };
  const [low, high] = [edge(0, 1), edge(max, -1)];
  return { low, high: Math.max(high, low + 1) };
}

/** Red, green, blue and 255 for each point of `samples`, or of every `step`th of every `step`th row. */
export function pointsOf(samples: Samples, { low, high }: Range, palette: Palette, step = 1): Points {
  const { width, height, channels, values } = samples;
  const [across, down] = [Math.ceil(width / step), Math.ceil(height / step)];
  const colours = coloursOf(palette);
  const rgba = new Uint8ClampedArray(across * down * 4);
  const level = (value: number): number => Math.max(0, Math.min(255, Math.round(((value - low) * 255) / (high - low))));
  for (let row = 0, to = 0; row < down; row += 1) {
    for (let column = 0; column < across; column += 1, to += 4) {
      const at = (row * step * width + column * step) * channels;
      const first = level(values[at] ?? 0);
      if (channels === 1) rgba.set(colours.subarray(first * 3, first * 3 + 3), to);
      else rgba.set([first, level(values[at + 1] ?? 0), level(values[at + 2] ?? 0)], to);
      rgba[to + 3] = 255;
    }
  }
  return { width: across, height: down, rgba };
}

export interface Points {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8ClampedArray;
}

function coloursOf(palette: Palette): Uint8Array {
  const stops = palettes[palette].map((hex) => [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)));
  const colours = new Uint8Array(256 * 3);
  for (let level = 0; level < 256; level += 1) {
    const position = (level / 255) * (stops.length - 1);
    const [from, to] = [stops[Math.floor(position)], stops[Math.ceil(position)]];
    const share = position % 1;
    for (let part = 0; part < 3; part += 1) {
      colours[level * 3 + part] = Math.round((from?.[part] ?? 0) * (1 - share) + (to?.[part] ?? 0) * share);
    }
  }
  return colours;
}
