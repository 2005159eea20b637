/**
 * Where a PNG ends: signature, then chunks up to IEND (ISO/IEC 15948 section 5). Each chunk says its length and has a
 * CRC, so a frame that comes out whole is whole. Animated PNGs are just more chunks.
 *
 * A length that was damaged is found out when the CRC behind it does not hold, however much it spans; the search for
 * the next signature goes on from that chunk, so images that were spanned come out late but not lost.
 */
import { crc32 } from "../bytes/checksum.ts";
import { pngStart } from "../image-format.ts";
import type { PieceQueue } from "./piece-queue.ts";
import type { Step, Walk } from "./walk.ts";

/** The first half of the signature, where a chunk's length should be. No length is that large. */
const signatureStart = 0x8950_4e47;
const chunkBytesMax = 0x7fff_ffff;
const ihdr = 0x4948_4452;
const ihdrBytes = 13;
const iend = 0x4945_4e44;

export class PngWalk implements Walk {
  readonly name = "PNG";
  readonly extension = "png";
  readonly padded = true;
  readonly starts: readonly Uint8Array[] = [pngStart];
  readonly prefix = undefined;
  detail = "";
  at = 0;
  /** The chunk at hand; everything before it is checked. */
  #chunkAt = 0;
  #ihdrSeen = false;

  get resumeAt(): number {
    return this.#chunkAt;
  }

  begin(at: number): void {
    this.#chunkAt = this.at = at + pngStart.length;
    this.#ihdrSeen = false;
  }

  advance(bytes: PieceQueue): Step {
    for (;;) {
      const chunkAt = this.#chunkAt;
      if (chunkAt + 8 > bytes.end) return "more";
      const length = bytes.u32At(chunkAt);
      const type = bytes.u32At(chunkAt + 4);
      if (length === signatureStart) return this.#fail("truncated", "the next PNG begins before its end");
      if (length > chunkBytesMax) return this.#fail("damaged", `a chunk of ${length} bytes at byte ${chunkAt}`);
      if (!this.#ihdrSeen && (type !== ihdr || length !== ihdrBytes)) {
        return this.#fail("damaged", "it does not begin with IHDR");
      }
      this.#ihdrSeen = true;
      this.at = chunkAt + 12 + length;
      if (this.at > bytes.end) return "more";
      let check = 0;
      for (const view of bytes.views(chunkAt + 4, this.at - 4)) check = crc32(view, check);
      if (check !== bytes.u32At(this.at - 4)) {
        return this.#fail("damaged", `the CRC of the chunk at byte ${chunkAt} does not hold`);
      }
      if (type === iend) return "whole";
      this.#chunkAt = this.at;
    }
  }

  #fail(step: "truncated" | "damaged", detail: string): Step {
    this.detail = detail;
    return step;
  }
}
