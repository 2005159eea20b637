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

/** Bytes that lie in one. */
export interface Block {
  /** Position of its first byte. */
  readonly at: number;
  readonly bytes: Uint8Array;
}

interface Piece extends Block {
  bytes: Uint8Array;
  /** When its last byte came. */
  arrivedMs: number;
}

const nothing: Piece = { at: 0, bytes: new Uint8Array(0), arrivedMs: 0 };

export class PieceQueue {
  #pieces: Piece[] = [];
  #start = 0;
  #end = 0;
  #ended = false;
  /** Where the last byte asked for was, and its index: walks go forward, so the next is there or just behind. */
  #near = nothing;
  #nearIndex = 0;
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
    const piece = this.blockAt(at);
    return piece.bytes[at - piece.at] as number;
  }

  /** Four bytes as a number, the highest first, as JPEG and PNG have them. */
  u32At(at: number): number {
    return this.u16At(at) * 0x1_0000 + this.u16At(at + 2);
  }

  u16At(at: number): number {
    return (this.byteAt(at) << 8) | this.byteAt(at + 1);
  }

  /** What holds the byte at a position. The way to many bytes: nothing is allocated. */
  blockAt(at: number): Block {
    return this.#pieceAt(at);
  }

  /** What holds all that lies from `from` to `to`. Few bytes that lie in several pieces are copied. */
  blockOf(from: number, to: number): Block {
    const block = this.blockAt(from);
    if (to <= block.at + block.bytes.length) return block;
    return { at: from, bytes: Buffer.concat(this.views(from, to)) };
  }

  /** The first position of `byte` from `from` to below `limit`, or `limit`. */
  indexOf(byte: number, from: number, limit: number): number {
    for (let at = from; at < limit;) {
      const { at: first, bytes } = this.blockAt(at);
      const end = Math.min(bytes.length, limit - first);
      const found = indexOfByte(bytes, byte, at - first, end);
      at = first + found;
      if (found < end) return at;
    }
    return limit;
  }

  /** The first position from `from` at which `pattern` is whole and ends by `to`; otherwise `to`. */
  find(pattern: Uint8Array, from: number, to: number): number {
    const last = to - pattern.length;
    for (let at = from; at <= last;) {
      const block = this.blockAt(at);
      const pieceEnd = block.at + block.bytes.length;
      const found = indexOfAll(block.bytes, pattern, at - block.at);
      if (found !== -1) return block.at + found <= last ? block.at + found : to;
      // What begins in this piece and ends in a later one.
      at = Math.max(at, pieceEnd - pattern.length + 1);
      for (; at < pieceEnd && at <= last; at++) if (this.has(pattern, at)) return at;
    }
    return to;
  }

  /** Whether `pattern` is at a position; all of it is here. */
  has(pattern: Uint8Array, at: number): boolean {
    let index = 0;
    while (index < pattern.length && this.byteAt(at + index) === pattern[index]) index++;
    return index === pattern.length;
  }

  u16LowFirstAt(at: number): number {
    return this.byteAt(at) | (this.byteAt(at + 1) << 8);
  }

  /** Four bytes as a number, the lowest first, as BMP has them. */
  u32LowFirstAt(at: number): number {
    return (
      this.byteAt(at) + this.byteAt(at + 1) * 0x100 + this.byteAt(at + 2) * 0x1_0000 + this.byteAt(at + 3) * 0x100_0000
    );
  }

  /** Bytes as characters of one byte each. For short texts. */
  textAt(from: number, to: number): string {
    if (from === to) return "";
    const { at, bytes } = this.blockOf(from, to);
    return Buffer.from(bytes.buffer, bytes.byteOffset + from - at, to - from).toString("latin1");
  }

  /** The first position from `from` to below `to` whose byte is not marked, or `to`. */
  skip(marked: Uint8Array, from: number, to: number): number {
    for (let at = from; at < to;) {
      const block = this.blockAt(at);
      const end = Math.min(to - block.at, block.bytes.length);
      let index = at - block.at;
      while (index < end && marked[block.bytes[index] as number] !== 0) index++;
      at = block.at + index;
      if (index < end) return at;
    }
    return to;
  }

  /** When the byte at a position came. */
  arrivedMsAt(at: number): number {
    return this.#pieceAt(at).arrivedMs;
  }

  /** What lies between two positions, as views. */
  views(from: number, to: number): Uint8Array[] {
    const views: Uint8Array[] = [];
    for (let at = from; at < to;) {
      const { at: first, bytes } = this.blockAt(at);
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
    this.#nearIndex = 0;
    this.#near = this.#pieces[0] ?? nothing;
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

  #pieceAt(at: number): Piece {
    const near = this.#near;
    return at >= near.at && at < near.at + near.bytes.length ? near : this.#locate(at);
  }

  #locate(at: number): Piece {
    this.#near = this.#pieces[this.#indexOfPiece(at)] as Piece;
    return this.#near;
  }

  #indexOfPiece(at: number): number {
    assert(this.#start <= at && at < this.#end, "a position within what is here");
    const pieces = this.#pieces;
    let index = this.#nearIndex;
    while (at < (pieces[index] as Piece).at) index--;
    while (at >= (pieces[index] as Piece).at + (pieces[index] as Piece).bytes.length) index++;
    this.#nearIndex = index;
    return index;
  }
}

/** A call of the built-in one takes as long as looking at so many bytes. */
const fewBytes = 32;

/** The first index of `byte` from `from` to below `to`, or `to`. */
export function indexOfByte(bytes: Uint8Array, byte: number, from: number, to: number): number {
  if (to - from > fewBytes) {
    const found = bytes.indexOf(byte, from);
    return found === -1 || found > to ? to : found;
  }
  let index = from;
  while (index < to && bytes[index] !== byte) index++;
  return index;
}

/** `indexOf` of several bytes, which only a Buffer has, and which takes any bytes. */
export function indexOfAll(bytes: Uint8Array, pattern: Uint8Array, from: number): number {
  return Buffer.prototype.indexOf.call(bytes, pattern, from);
}
