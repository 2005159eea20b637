/**
 * Where a JPEG ends (ITU-T T.81 annex B). The end is never searched for as FF D9: thumbnails and other data in APPn
 * segments hold that too. Segments are skipped by their lengths; only in entropy-coded data are markers looked for.
 *
 *     SOI  [segment]*  SOS entropy-coded data  ([segment]*  SOS entropy-coded data)*  EOI
 *
 * In entropy-coded data, FF 00 (a stuffed FF), FF D0…D7 (restart) and FF 01…BF (nothing any encoder sends, except
 * JPEG-LS) are data, and before a marker any number of FF may stand.
 *
 * What is damaged:
 * - Before the first scan a segment must end where a marker begins; if it does not, the image is damaged, and the next
 *   is looked for from inside that segment, because its length cannot be trusted. (So an APP1 that lost some bytes may
 *   give its thumbnail as a frame.) One that by chance ends at a marker of the next image cannot be told from an honest
 *   one: then both come out as one frame.
 * - From the first scan on, a segment that does not end at a marker was none: its marker is a damaged bit of picture.
 *   The walk goes back and reads it as data. Such an image comes out with its fault, which decoders can live with.
 * - An image without EOI ends where FF D8 FF begins, which cannot be in entropy-coded data. If it has a scan it is a
 *   frame as it is: some cameras leave out EOI, and nothing may be lost. At the end of the stream it is truncated,
 *   because there a cut is what it nearly always is.
 */
import { jpegStart } from "../image-format.ts";
import type { PieceQueue } from "./piece-queue.ts";
import type { Step, Walk } from "./walk.ts";

const marker = { fill: 0xff, rst0: 0xd0, soi: 0xd8, eoi: 0xd9, sos: 0xda, app1: 0xe1, tem: 0x01, first: 0xc0 } as const;

/** FF RST0 … FF RST7. */
function isRestart(code: number): boolean {
  return (code & 0xf8) === marker.rst0;
}

export class JpegWalk implements Walk {
  readonly name = "JPEG";
  readonly extension = "jpg";
  readonly padded = true;
  readonly starts: readonly Uint8Array[] = [jpegStart];
  readonly prefix = undefined;
  detail = "";
  at = 0;
  resumeAt = 0;
  /** In entropy-coded data; otherwise a marker is expected at `at`. */
  #inScan = false;
  #scanSeen = false;
  /** The last marker that may have been none, and its code. */
  #segmentAt = 0;
  #segmentCode = 0;

  begin(at: number): void {
    this.at = this.resumeAt = at + 2;
    this.#inScan = false;
    this.#scanSeen = false;
    this.#segmentAt = at;
    this.#segmentCode = marker.soi;
  }

  advance(bytes: PieceQueue): Step {
    for (;;) {
      if (this.#inScan && !this.#walkScan(bytes)) return "more";
      const step = this.#walkMarker(bytes);
      if (step === "next") continue;
      if (step !== "damaged" || !this.#scanSeen) return step;
      this.#inScan = true;
      this.at = this.#segmentAt + 2;
    }
  }

  /** Goes to the next marker in entropy-coded data. False: it is not here yet. */
  #walkScan(bytes: PieceQueue): boolean {
    const { end } = bytes;
    let { at } = this;
    while (at < end) {
      at = bytes.indexOf(0xff, at, end);
      if (at + 1 >= end) break;
      const code = bytes.byteAt(at + 1);
      if (code === marker.fill) at += 1;
      else if (code < marker.first || isRestart(code)) at += 2;
      else {
        this.#inScan = false;
        this.#segmentAt = at;
        break;
      }
    }
    this.at = at;
    return !this.#inScan;
  }

  /** Goes over one marker, with its segment if it has one. */
  #walkMarker(bytes: PieceQueue): Step | "next" {
    const { at } = this;
    if (at + 2 > bytes.end) return this.#awaitMarker(bytes);
    const code = bytes.byteAt(at + 1);
    const known = code === marker.tem || (code >= marker.first && !isRestart(code));
    if (bytes.byteAt(at) !== 0xff || !known) return this.#damaged("no marker", at);
    if (code === marker.soi && at + 2 < bytes.end && bytes.byteAt(at + 2) !== 0xff) {
      return this.#damaged("no marker", at);
    }
    // What is before a marker has kept its word.
    this.resumeAt = at;
    switch (code) {
      case marker.fill:
        this.at += 1;
        return "next";
      case marker.tem:
        this.at += 2;
        return "next";
      case marker.eoi:
        this.at += 2;
        return "whole";
      case marker.soi:
        if (at + 3 > bytes.end) return "more";
        this.detail = "the next JPEG begins before its picture data";
        return this.#scanSeen ? "whole" : "truncated";
      default:
        return this.#walkSegment(bytes, code);
    }
  }

  #walkSegment(bytes: PieceQueue, code: number): Step | "next" {
    const { at } = this;
    if (at + 5 > bytes.end) return "more";
    this.#segmentAt = at;
    this.#segmentCode = code;
    this.resumeAt = at + 2;
    const length = bytes.u16At(at + 2);
    if (code === marker.sos) {
      // Behind this one no marker proves the length, so the number of components has to.
      if (length !== 6 + 2 * bytes.byteAt(at + 4)) return this.#damaged("a scan header of a wrong length", at);
      this.#inScan = true;
      this.#scanSeen = true;
    }
    this.at = at + 2 + length;
    return "next";
  }

  /** What comes behind a segment is not here. If it never will be, the segment's length may be at fault. */
  #awaitMarker(bytes: PieceQueue): Step {
    if (!bytes.ended) return "more";
    if (this.#scanSeen) return "damaged";
    // Here an APP1 is taken at its word: what looks like an image in it is its thumbnail.
    if (this.#segmentCode === marker.app1) this.resumeAt = bytes.end;
    return "more";
  }

  #damaged(what: string, at: number): Step {
    // Once a scan was seen nobody reads it, and damage may be found many times in one image.
    if (!this.#scanSeen) this.detail = `${what} at byte ${at}`;
    return "damaged";
  }
}
