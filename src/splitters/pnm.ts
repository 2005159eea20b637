/** PNM: `P5` (grey) and `P6` (colour), as `-c:v pgm` and `ppm` write them, and scientific cameras. */
import { markedBytes } from "./byte-kinds.ts";
import type { PieceQueue } from "./piece-queue.ts";
import { BasicWalk, type Glance, type Pattern, type Step } from "./walk.ts";

/** Comments may stand in a header, and programs put all that they know of a picture there. */
const headerBytesMax = 4096;
const blank = String.raw`[\t\n\v\f\r ]`;
const gap = String.raw`(?:${blank}|#.*[\n\r])+`;
const header = new RegExp(String.raw`^P([56])${gap}(\d{1,9})${gap}(\d{1,9})${gap}(\d{1,5})${blank}`);
/** What may still become one. */
const beginning = new RegExp(String.raw`^(?:P|P[56](?:${blank}|#.*(?:[\n\r]|$)|\d{1,9}(?=${blank}|#|$))*)?$`);
const endsWord = markedBytes(0x20, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x23);
const encoder = new TextEncoder();

interface PnmHeader {
  readonly headerBytes: number;
  readonly dataBytes: number;
  readonly grey: boolean;
}

export class PnmWalk extends BasicWalk {
  readonly name = "PNM";
  extension: "pgm" | "ppm" = "pgm";
  readonly patterns: readonly Pattern[] = ["P5", "P6"].map((word) => ({ bytes: encoder.encode(word), offset: 0 }));

  another(): PnmWalk {
    return new PnmWalk();
  }

  glance(bytes: PieceQueue, at: number, to: number, final: boolean): Glance {
    const read = readHeader(bytes, at, to);
    if (read === "more") return final ? "no" : "more";
    return read === "no" ? "no" : "yes";
  }

  advance(bytes: PieceQueue, to: number, final: boolean): Step {
    if (!this.began) {
      const read = readHeader(bytes, this.at, to);
      if (read === "no") {
        this.resumeAt = this.at + 1;
        return this.none("no header of a PNM");
      }
      if (read === "more") return this.wait(final);
      this.began = true;
      this.extension = read.grey ? "pgm" : "ppm";
      this.resumeAt = this.at + read.headerBytes;
      this.at = this.resumeAt + read.dataBytes;
      this.openLengths = [read.dataBytes];
      this.certain = true;
    }
    return this.at <= to || final ? "claimed" : "more";
  }
}

function readHeader(bytes: PieceQueue, at: number, to: number): PnmHeader | "no" | "more" {
  // A start that is none is mostly seen at once.
  if (at + 2 < to && endsWord[bytes.byteAt(at + 2)] === 0) return "no";
  const limit = Math.min(to, at + headerBytesMax);
  // Most headers are short.
  for (const until of [Math.min(limit, at + 32), limit]) {
    const text = bytes.textAt(at, until);
    const [all, kind, width, height, largest] = header.exec(text) ?? [];
    if (all === undefined) {
      if (!beginning.test(text)) return "no";
      continue;
    }
    const samples = Number(width) * Number(height) * (kind === "6" ? 3 : 1);
    const deep = Number(largest) > 255;
    if (samples === 0 || Number(largest) === 0 || Number(largest) > 65_535) return "no";
    return { headerBytes: all.length, dataBytes: deep ? 2 * samples : samples, grey: kind === "5" };
  }
  return limit === at + headerBytesMax ? "no" : "more";
}
