/**
 * BMP: its header has the size of the file, which some writers leave at 0 or get wrong, and width, height and depth,
 * which tell it as well where nothing is compressed.
 */
import { Note } from "../frame.ts";
import type { PieceQueue } from "./piece-queue.ts";
import { BasicWalk, type Glance, type Pattern, type Step } from "./walk.ts";

/** Up to and with the compression. */
const headerBytes = 34;
/** That of OS/2, with sizes of 16 bits. */
const coreInfoBytes = 12;
const infoSizes: ReadonlySet<number> = new Set([coreInfoBytes, 40, 52, 56, 64, 108, 124]);
const depths: ReadonlySet<number> = new Set([1, 4, 8, 16, 24, 32]);
/** BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS: rows of samples. */
const uncompressed: ReadonlySet<number> = new Set([0, 3, 6]);
const compressions = 6;

export class BmpWalk extends BasicWalk {
  readonly name = "BMP";
  readonly extension = "bmp";
  readonly patterns: readonly Pattern[] = [{ bytes: new TextEncoder().encode("BM"), offset: 0 }];

  /** The size that the header gives; 0: none. */
  #said = 0;

  another(): BmpWalk {
    return new BmpWalk();
  }

  glance(bytes: PieceQueue, at: number, to: number, final: boolean): Glance {
    const read = readHeader(bytes, at, to);
    if (read === "more") return final ? "no" : "more";
    return read === "no" ? "no" : "yes";
  }

  advance(bytes: PieceQueue, to: number, final: boolean): Step {
    if (!this.began) {
      const start = this.at;
      const read = readHeader(bytes, start, to);
      if (read === "no") {
        this.resumeAt = start + 1;
        return this.none("no header of a BMP");
      }
      if (read === "more") return this.wait(final);
      this.began = true;
      this.resumeAt = start + headerBytes;
      this.openLengths = read.lengths.map((length) => length - headerBytes);
      this.certain = read.lengths.length === 1;
      this.#said = read.said;
      this.#take(read.lengths[0] as number);
      this.at = start + (read.lengths[0] as number);
    }
    return this.at <= to || final ? "claimed" : "more";
  }

  override learn(length: number): void {
    this.#take(length + headerBytes);
  }

  #take(length: number): void {
    this.notes = this.#said === 0 || this.#said === length ? 0 : Note.damagedHeader;
  }
}

interface Read {
  /** Lengths that it may have, the shortest first. */
  readonly lengths: readonly number[];
  /** The one that the header gives; 0: none. */
  readonly said: number;
}

function readHeader(bytes: PieceQueue, at: number, to: number): Read | "no" | "more" {
  const here = to - at;
  if ((here > 0 && bytes.byteAt(at) !== 0x42) || (here > 1 && bytes.byteAt(at + 1) !== 0x4d)) return "no";
  // A start that is none is mostly seen at once.
  if (here >= 18 && !infoSizes.has(bytes.u32LowFirstAt(at + 14))) return "no";
  if (here < headerBytes) return "more";
  const [said, dataAt, infoBytes] = [2, 10, 14].map((offset) => bytes.u32LowFirstAt(at + offset)) as Three;
  const small = infoBytes === coreInfoBytes;
  const [width, height] = small
    ? ([18, 20].map((offset) => bytes.u16LowFirstAt(at + offset)) as Two)
    : ([18, 22].map((offset) => bytes.u32LowFirstAt(at + offset) | 0) as Two);
  const [planes, depth] = (small ? [22, 24] : [26, 28]).map((offset) => bytes.u16LowFirstAt(at + offset)) as Two;
  const compression = small ? 0 : bytes.u32LowFirstAt(at + 30);
  if (planes !== 1 || !depths.has(depth) || compression > compressions || width <= 0 || height === 0) return "no";
  if (dataAt < 14 + infoBytes || dataAt >= 65_536) return "no";
  // A negative height only means that the first row is on top.
  const computed = dataAt + Math.ceil((width * depth) / 32) * 4 * Math.abs(height);
  const lengths = uncompressed.has(compression) ? [computed] : [];
  if (said > dataAt && !lengths.includes(said)) lengths.push(said);
  return lengths.length === 0 ? "no" : { lengths: lengths.toSorted((a, b) => a - b), said };
}

type Two = [number, number];
type Three = [number, number, number];
