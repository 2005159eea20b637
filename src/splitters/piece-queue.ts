/**
 * The pieces of a stream that have not been handed out, addressed by their position in the stream.
 *
 *     gone | [ piece ][ piece ][ piece ]
 *          ^ start                     ^ end
 *
 * Positions never change, so a walk may remember some and come back later. Pieces are handed out as views. Only pieces
 * of under 512 bytes that wait behind others are copied, into crumb buffers: a program that writes byte by byte would
 * otherwise make us keep an object per byte.
 *
 * Invariant: the pieces adjoin, the first holds `start` and the last ends at `end`; there are none if these are equal.
 */
import { assert } from "../errors.ts";

const smallBytes = 512;
const crumbBytes = 4096;

interface Piece {
  /** Position of its first byte. */
  readonly at: number;
  bytes: Uint8Array;
  /** When its last byte came. */
  arrivedMs: number;
}

export class PieceQueue {
  #pieces: Piece[] = [];
  #start = 0;
  #end = 0;
  #ended = false;
  /** Where the last byte asked for was: walks go forward, so the next is there or just behind. */
  #hint = 0;
  /** The last piece, if it is a crumb buffer of ours. */
  #crumb: Uint8Array | undefined;
  #crumbUsed = 0;

  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#end;
  }

  /** There will be no more pieces. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Takes ownership of `piece`. */
  push(piece: Uint8Array, nowMs: number): void {
    assert(!this.#ended, "no push after the end");
    if (piece.length === 0) return;
    if (piece.length < smallBytes && this.#start < this.#end) {
      this.#gather(piece, nowMs);
    } else {
      this.#crumb = undefined;
      this.#pieces.push({ at: this.#end, bytes: piece, arrivedMs: nowMs });
    }
    this.#end += piece.length;
  }

  finish(): void {
    this.#ended = true;
  }

  /** The byte at a position from `start` to below `end`. */
  byteAt(at: number): number {
    const piece = this.#locate(at);
    return piece.bytes[at - piece.at] as number;
  }

  /** Four bytes as a number, the highest first, as JPEG and PNG have them. */
  u32At(at: number): number {
    return this.u16At(at) * 0x1_0000 + this.u16At(at + 2);
  }

  u16At(at: number): number {
    return (this.byteAt(at) << 8) | this.byteAt(at + 1);
  }

  /** The first position of `byte` from `from` to below `limit`, or `limit`. */
  indexOf(byte: number, from: number, limit: number): number {
    for (let at = from; at < limit;) {
      const piece = this.#locate(at);
      const found = piece.bytes.indexOf(byte, at - piece.at);
      if (found !== -1) return Math.min(piece.at + found, limit);
      at = piece.at + piece.bytes.length;
    }
    return limit;
  }

  /** The first position from `from` at which `pattern` is whole and ends by `to`; otherwise `to`. */
  find(pattern: Uint8Array, from: number, to: number): number {
    const last = to - pattern.length;
    for (let at = from; at <= last;) {
      const piece = this.#locate(at);
      const pieceEnd = piece.at + piece.bytes.length;
      const found = nativeFind(piece.bytes, pattern, at - piece.at);
      if (found !== -1) return piece.at + found <= last ? piece.at + found : to;
      // What begins in this piece and ends in a later one.
      at = Math.max(at, pieceEnd - pattern.length + 1);
      for (; at < pieceEnd && at <= last; at++) if (this.has(pattern, at)) return at;
    }
    return to;
  }

  /** Whether `pattern` is at a position; all of it is here. */
  has(pattern: Uint8Array, at: number): boolean {
    for (let index = 0; index < pattern.length; index++) {
      if (this.byteAt(at + index) !== pattern[index]) return false;
    }
    return true;
  }

  /** Four bytes as a number, the lowest first, as BMP has them. */
  u32LowFirstAt(at: number): number {
    return (
      this.byteAt(at) + this.byteAt(at + 1) * 0x100 + this.byteAt(at + 2) * 0x1_0000 + this.byteAt(at + 3) * 0x100_0000
    );
  }

  /** Bytes as characters of one byte each. For short texts. */
  textAt(from: number, to: number): string {
    return this.views(from, to)
      .map((view) => Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString("latin1"))
      .join("");
  }

  /** What lies from `at` to `to` in one. For few bytes: they may be copied. */
  viewOf(at: number, to: number): Uint8Array {
    const view = this.viewFrom(at, to);
    return view.length === to - at ? view : Buffer.concat(this.views(at, to));
  }

  /** What lies from `at` to `to`, or to the end of the piece that `at` is in. */
  viewFrom(at: number, to: number): Uint8Array {
    const piece = this.#locate(at);
    return piece.bytes.subarray(at - piece.at, Math.min(piece.bytes.length, to - piece.at));
  }

  /** The first position from `from` to below `to` whose byte is not marked, or `to`. */
  skip(marked: Uint8Array, from: number, to: number): number {
    for (let at = from; at < to;) {
      const view = this.viewFrom(at, to);
      let index = 0;
      while (index < view.length && marked[view[index] as number] !== 0) index++;
      at += index;
      if (index < view.length) return at;
    }
    return to;
  }

  /** When the byte at a position came. */
  arrivedMsAt(at: number): number {
    return this.#locate(at).arrivedMs;
  }

  /** What lies between two positions, as views. */
  views(from: number, to: number): Uint8Array[] {
    const views: Uint8Array[] = [];
    for (let at = from; at < to;) {
      const { at: first, bytes } = this.#locate(at);
      const whole = first === at && first + bytes.length <= to;
      views.push(whole ? bytes : bytes.subarray(at - first, to - first));
      at = first + bytes.length;
    }
    return views;
  }

  /** Releases everything before `to`. */
  discard(to: number): void {
    assert(this.#start <= to && to <= this.#end, "discard within what is here");
    this.#start = to;
    const keep = to === this.#end ? this.#pieces.length : this.#indexOfPiece(to);
    if (keep === 0) return;
    this.#pieces.splice(0, keep);
    this.#hint = 0;
  }

  #gather(piece: Uint8Array, nowMs: number): void {
    const last = this.#pieces.at(-1);
    if (this.#crumb === undefined || last === undefined || this.#crumbUsed + piece.length > crumbBytes) {
      this.#crumb = new Uint8Array(crumbBytes);
      this.#crumb.set(piece);
      this.#crumbUsed = piece.length;
      this.#pieces.push({ at: this.#end, bytes: this.#crumb.subarray(0, piece.length), arrivedMs: nowMs });
    } else {
      // Views that are out stay valid: bytes are only ever added behind them.
      this.#crumb.set(piece, this.#crumbUsed);
      this.#crumbUsed += piece.length;
      last.bytes = this.#crumb.subarray(0, this.#crumbUsed);
      last.arrivedMs = nowMs;
    }
  }

  #locate(at: number): Piece {
    return this.#pieces[this.#indexOfPiece(at)] as Piece;
  }

  #indexOfPiece(at: number): number {
    assert(this.#start <= at && at < this.#end, "a position within what is here");
    const pieces = this.#pieces;
    let index = this.#hint;
    while (at < (pieces[index] as Piece).at) index--;
    while (at >= (pieces[index] as Piece).at + (pieces[index] as Piece).bytes.length) index++;
    this.#hint = index;
    return index;
  }
}

function nativeFind(bytes: Uint8Array, pattern: Uint8Array, from: number): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(pattern, from);
}
