/**
 * BMP: its header has the size of the file, which some writers leave at 0 or get wrong, and width, height and depth,
 * which tell it as well where nothing is compressed.
 */
import { Note } from "../frame.ts";
import type { PieceQueue } from "./piece-queue.ts";
import { BasicWalk, type Glance, type Pattern, type Step } from "./walk.ts";

/** Up to and with the compression. */
const headerBytes = 34;
const infoSizes: ReadonlySet<number> = new Set([40, 52, 56, 64, 108, 124]);
const depths: ReadonlySet<number> = new Set([1, 4, 8, 16, 24, 32]);
/** BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS: rows of samples. */
const uncompressed: ReadonlySet<number> = new Set([0, 3, 6]);
const compressions = 6;

export class BmpWalk extends BasicWalk {
  readonly name = "BMP";
  readonly extension = "bmp";
  readonly patterns: readonly Pattern[] = [{ bytes: new TextEncoder().encode("BM"), offset: 0 }];

  another(): BmpWalk {
    return new BmpWalk();
  }

  glance(bytes: PieceQueue, at: number, to: number, final: boolean): Glance {
    const read = readLengths(bytes, at, to);
    if (read === "more") return final ? "no" : "more";
    return read === "no" ? "no" : "yes";
  }

  advance(bytes: PieceQueue, to: number, final: boolean): Step {
    if (!this.began) {
      const start = this.at;
      const lengths = readLengths(bytes, start, to);
      if (lengths === "no") {
        this.resumeAt = start + 1;
        return this.none("no header of a BMP");
      }
      if (lengths === "more") return this.wait(final);
      this.began = true;
      this.resumeAt = start + headerBytes;
      this.openLengths = lengths.map((length) => length - headerBytes);
      this.at = start + (lengths[0] as number);
    }
    return this.at <= to ? "claimed" : this.wait(final);
  }

  override learn(): void {
    this.notes |= Note.damagedHeader;
  }
}

/** The lengths that it may have, the likeliest first. */
function readLengths(bytes: PieceQueue, at: number, to: number): readonly number[] | "no" | "more" {
  const here = to - at;
  if ((here > 0 && bytes.byteAt(at) !== 0x42) || (here > 1 && bytes.byteAt(at + 1) !== 0x4d)) return "no";
  // Reserved, and mostly zeros: a start that is none is seen at once.
  if (here >= 10 && bytes.u32LowFirstAt(at + 6) !== 0) return "no";
  if (here < headerBytes) return "more";
  const [fileBytes, dataAt, infoBytes] = [2, 10, 14].map((offset) => bytes.u32LowFirstAt(at + offset)) as Three;
  const [width, signedHeight] = [18, 22].map((offset) => bytes.u32LowFirstAt(at + offset) | 0) as [number, number];
  const [planes, depth] = [bytes.byteAt(at + 26), bytes.byteAt(at + 28)];
  const compression = bytes.u32LowFirstAt(at + 30);
  const height = Math.abs(signedHeight);
  const possible = infoSizes.has(infoBytes) && planes === 1 && depths.has(depth) && compression <= compressions;
  const small = bytes.byteAt(at + 27) === 0 && bytes.byteAt(at + 29) === 0 && dataAt < 65_536;
  if (!possible || !small || width <= 0 || height === 0 || dataAt < 14 + infoBytes) return "no";
  const computed = dataAt + Math.ceil((width * depth) / 32) * 4 * height;
  const lengths = uncompressed.has(compression) ? [computed] : [];
  if (fileBytes > dataAt) lengths.unshift(fileBytes);
  return lengths.length === 0 ? "no" : [...new Set(lengths)];
}

type Three = [number, number, number];
