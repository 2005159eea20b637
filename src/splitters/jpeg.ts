/**
 * Where a JPEG ends. The end is never searched for as FF D9: thumbnails and other data in APPn segments hold that too.
 * Only in entropy-coded data are markers looked for.
 *
 *     SOI  [segment]*  SOS entropy-coded data  ([table]*  SOS entropy-coded data)*  EOI
 *
 * In entropy-coded data, FF 00 (a stuffed FF), FF D0…D7 (restart) and FF 01…BF (nothing any encoder sends, except
 * JPEG-LS) are data, before a marker any number of FF may stand, and what is neither EOI, a start nor a good table is
 * a damaged bit of picture, which decoders can live with.
 */
import { Note } from "../frame.ts";
import { JpegHeaderWalk } from "./jpeg-header.ts";
import { nextMarker } from "./jpeg-scan.ts";
import { bad, isFrameHeader, knownSegmentEnd, marker, more } from "./jpeg-segments.ts";
import { glanceJpeg } from "./jpeg-start.ts";
import type { PieceQueue } from "./piece-queue.ts";
import type { Glance, Pattern, Step } from "./walk.ts";

export class JpegWalk extends JpegHeaderWalk {
  readonly name = "JPEG";
  readonly extension = "jpg";
  readonly patterns: readonly Pattern[] = [{ bytes: Uint8Array.of(0xff, marker.soi), offset: 0 }];
  /** Where entropy-coded data began, once it has. */
  #scanAt: number | undefined;

  override begin(at: number): void {
    super.begin(at);
    this.#scanAt = undefined;
  }

  another(): JpegWalk {
    return new JpegWalk();
  }

  glance(bytes: PieceQueue, at: number, to: number, final: boolean): Glance {
    return glanceJpeg(bytes, at, to, final);
  }

  advance(bytes: PieceQueue, to: number, final: boolean): Step {
    if (this.#scanAt === undefined) {
      const step = this.walkHeader(bytes, to, final);
      if (step !== "scan") return step;
      this.#scanAt = this.at;
    }
    return this.#walkScan(bytes, to, final);
  }

  /** Goes along entropy-coded data to the end. */
  #walkScan(bytes: PieceQueue, to: number, final: boolean): Step {
    for (;;) {
      const at = nextMarker(bytes, this.at, to);
      this.at = at;
      if (at + 1 >= to) return final ? this.#leaveOpen(to) : "more";
      const code = bytes.byteAt(at + 1);
      if (code === marker.eoi) {
        this.at = at + 2;
        return "whole";
      }
      if (code === marker.soi) {
        const glance = glanceJpeg(bytes, at, to, final);
        if (glance === "more") return "more";
        if (glance === "yes") return this.#leaveOpen(at);
      }
      const end = knownSegmentEnd(bytes, at, to);
      if (end === more && !final) return "more";
      // Rare in a camera's picture; data of another format has it at every turn.
      this.suspect = true;
      const good = end !== bad && end !== more && code < marker.app0 && !isFrameHeader(code);
      this.at = good ? end : at + 2;
    }
  }

  override endBefore(at: number): boolean {
    this.at = at;
    this.notes |= Note.noEndMarker;
    return at > (this.#scanAt ?? at);
  }

  /** There is no EOI. */
  #leaveOpen(at: number): Step {
    this.at = at;
    if (at === this.#scanAt) return this.fail("it has no picture data", "cut", true);
    this.resumeAt = at;
    this.notes |= Note.noEndMarker;
    this.suspect = true;
    this.loss = "cut";
    this.detail = "it has no end";
    return "open";
  }
}
