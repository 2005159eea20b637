/**
 * Where a PNG ends: signature, then chunks up to IEND (ISO/IEC 15948 section 5). Each chunk says its length and has a
 * checksum. One that does not hold is data or a length that was damaged: it is data, which decoders show, if no
 * signature is in it and behind it a chunk of a known type begins.
 */
import { pngStart } from "../image-format.ts";
import { Note } from "../frame.ts";
import { crc32 } from "../bytes/checksum.ts";
import type { PieceQueue } from "./piece-queue.ts";
import { BasicWalk, type Glance, type Pattern, type Step } from "./walk.ts";

const chunkBytesMax = 0x7fff_ffff;
const ihdrBytes = 13;
/** From the signature to the end of IHDR. */
const headerBytes: number = pngStart.length + 12 + ihdrBytes;

const iendChunk = Uint8Array.of(0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82);
const [ihdr, idat, iend] = ["IHDR", "IDAT", "IEND"].map(typeCode) as [number, number, number];
const knownTypes: ReadonlySet<number> = new Set(
  (
    "PLTE IDAT IEND bKGD cHRM cICP cLLI mDCV gAMA gIFg gIFx hIST iCCP iTXt eXIf oFFs pCAL pHYs sBIT sCAL sPLT sRGB " +
    "sTER tEXt tIME tRNS zTXt acTL fcTL fdAT"
  )
    .split(" ")
    .map(typeCode),
);

function typeCode(type: string): number {
  return [...type].reduce((code, letter) => code * 256 + letter.charCodeAt(0), 0);
}

export class PngWalk extends BasicWalk {
  readonly name = "PNG";
  readonly extension = "png";
  readonly patterns: readonly Pattern[] = [{ bytes: pngStart, offset: 0 }];
  /** The chunk at hand; everything before it is known. */
  #chunkAt = 0;
  /** Its checksum was found wrong. */
  #wrong = false;
  #pictureSeen = false;
  #startAt = 0;

  override begin(at: number): void {
    super.begin(at);
    this.at = this.resumeAt = this.#chunkAt = at + pngStart.length;
    this.#startAt = at;
    this.#wrong = false;
    this.#pictureSeen = false;
  }

  another(): PngWalk {
    return new PngWalk();
  }

  glance(bytes: PieceQueue, at: number, to: number, final: boolean): Glance {
    for (let index = 0; index < pngStart.length && at + index < to; index++) {
      if (bytes.byteAt(at + index) !== pngStart[index]) return "no";
    }
    if (at + headerBytes > to) return final ? "no" : "more";
    return isGoodHeader(bytes, at + pngStart.length) ? "yes" : "no";
  }

  advance(bytes: PieceQueue, to: number, final: boolean): Step {
    if (!this.began) {
      if (this.#chunkAt + 8 > to) return this.wait(final);
      if (bytes.u32At(this.#chunkAt) !== ihdrBytes || bytes.u32At(this.#chunkAt + 4) !== ihdr) {
        return this.none("it does not begin with IHDR");
      }
      if (this.#chunkAt + ihdrBytes + 8 > to) return this.wait(final);
      if (!isGoodHeader(bytes, this.#chunkAt)) return this.none("an IHDR that cannot be");
      this.began = true;
    }
    for (;;) {
      const step = this.#walkChunk(bytes, to, final);
      if (step !== "next") return step;
    }
  }

  #walkChunk(bytes: PieceQueue, to: number, final: boolean): Step | "next" {
    const chunkAt = this.#chunkAt;
    const isCut = final && this.#endsAt(bytes, to) === to;
    if (chunkAt + 8 > to) return isCut ? this.#leaveOpen(to) : this.wait(final);
    const length = bytes.u32At(chunkAt);
    const type = bytes.u32At(chunkAt + 4);
    if (!isChunkHead(length, type)) return this.#leaveOpen(this.#endsAt(bytes, to));
    const end = chunkAt + 12 + length;
    this.at = end;
    if (end > to) return isCut ? this.#leaveOpen(to) : this.wait(final);
    this.#wrong ||= !isChecksumRight(bytes, chunkAt, end);
    if (this.#wrong) {
      const step = this.#judgeWrong(bytes, { chunkAt, end, type }, to, final);
      if (step !== "next") return step;
      this.#wrong = false;
      this.notes |= Note.wrongChecksum;
    }
    if (type === iend) return "whole";
    this.#pictureSeen ||= type === idat;
    this.#chunkAt = this.resumeAt = end;
    return "next";
  }

  /** Whether only the content of a chunk is damaged. */
  #judgeWrong(
    bytes: PieceQueue,
    { chunkAt, end, type }: { chunkAt: number; end: number; type: number },
    to: number,
    final: boolean,
  ): Step | "next" {
    const detail = `the checksum of the chunk at byte ${chunkAt} does not hold`;
    if (bytes.find(pngStart, chunkAt, end) < end) return this.none(detail);
    if (type === iend) return this.#closeWrong(detail);
    if (end + 8 > to) return final ? this.none(detail) : "more";
    return isChunkHead(bytes.u32At(end), bytes.u32At(end + 4)) && knownTypes.has(bytes.u32At(end + 4))
      ? "next"
      : this.none(detail);
  }

  /** IEND with a wrong checksum: some of its bytes may be missing, and the next picture's be there. */
  #closeWrong(detail: string): "open" {
    this.notes |= Note.wrongChecksum;
    this.loss = "damaged";
    this.detail = detail;
    return "open";
  }

  override retreat(bytes: PieceQueue): boolean {
    const at = this.#endsAt(bytes, this.at);
    if (at === this.at) return false;
    this.at = at;
    this.notes = Note.noEndMarker;
    return true;
  }

  /** Where IEND was cut, or has not begun. */
  #endsAt(bytes: PieceQueue, to: number): number {
    const limit = Math.min(to, this.#chunkAt + iendChunk.length);
    let at = this.#chunkAt;
    while (at < limit && bytes.byteAt(at) === iendChunk[at - this.#chunkAt]) at++;
    return at;
  }

  /** No chunk begins where one should, or only a part of the last. */
  #leaveOpen(at: number): Step {
    this.at = at;
    if (!this.#pictureSeen) {
      // Even a checksum that holds may have its last byte from the next picture.
      this.resumeAt = this.#startAt + 1;
      return this.none(`no chunk at byte ${this.#chunkAt}`, "cut");
    }
    this.notes |= Note.noEndMarker;
    this.loss = "cut";
    this.detail = `no chunk at byte ${this.#chunkAt}`;
    return "open";
  }
}

function isChunkHead(length: number, type: number): boolean {
  if (length > chunkBytesMax) return false;
  if (type === idat) return true;
  for (let shift = 0; shift < 32; shift += 8) {
    const letter = ((type >>> shift) & 0xff) | 0x20;
    if (letter < 0x61 || letter > 0x7a) return false;
  }
  return true;
}

function isChecksumRight(bytes: PieceQueue, chunkAt: number, end: number): boolean {
  let check = 0;
  for (let at = chunkAt + 4; at < end - 4;) {
    const block = bytes.blockAt(at);
    const index = at - block.at;
    const view = block.bytes.subarray(index, end - 4 - block.at);
    check = crc32(view, check);
    at += view.length;
  }
  return check === bytes.u32At(end - 4);
}

/** An IHDR chunk whose values a PNG may have. */
function isGoodHeader(bytes: PieceQueue, at: number): boolean {
  if (bytes.u32At(at) !== ihdrBytes || bytes.u32At(at + 4) !== ihdr) return false;
  const [width, height] = [bytes.u32At(at + 8), bytes.u32At(at + 12)];
  const [depth, colour] = [bytes.byteAt(at + 16), bytes.byteAt(at + 17)];
  const sizes = width > 0 && width <= chunkBytesMax && height > 0 && height <= chunkBytesMax;
  return sizes && [1, 2, 4, 8, 16].includes(depth) && [0, 2, 3, 4, 6].includes(colour) && bytes.byteAt(at + 18) === 0;
}
