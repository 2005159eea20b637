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
  push(piece: Uint8Array): void {
    assert(!this.#ended, "no push after the end");
    if (piece.length === 0) return;
    if (piece.length < smallBytes && this.#start < this.#end) {
      this.#gather(piece);
    } else {
      this.#crumb = undefined;
      this.#pieces.push({ at: this.#end, bytes: piece });
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

  /**
   * The first position from `from` to below `limit` at which `pattern` is, or could be once more is here. Otherwise
   * `limit`.
   */
  find(pattern: Uint8Array, from: number, limit: number): number {
    const first = pattern[0] as number;
    let at = this.indexOf(first, from, limit);
    while (at < limit && !this.#mayMatch(pattern, at)) at = this.indexOf(first, at + 1, limit);
    return at;
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

  #gather(piece: Uint8Array): void {
    const last = this.#pieces.at(-1);
    if (this.#crumb === undefined || last === undefined || this.#crumbUsed + piece.length > crumbBytes) {
      this.#crumb = new Uint8Array(crumbBytes);
      this.#crumb.set(piece);
      this.#crumbUsed = piece.length;
      this.#pieces.push({ at: this.#end, bytes: this.#crumb.subarray(0, piece.length) });
    } else {
      // Views that are out stay valid: bytes are only ever added behind them.
      this.#crumb.set(piece, this.#crumbUsed);
      this.#crumbUsed += piece.length;
      last.bytes = this.#crumb.subarray(0, this.#crumbUsed);
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

  #mayMatch(pattern: Uint8Array, at: number): boolean {
    for (let index = 1; index < pattern.length; index++) {
      if (at + index >= this.#end) return !this.#ended;
      if (this.byteAt(at + index) !== pattern[index]) return false;
    }
    return true;
  }
}
