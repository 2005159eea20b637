/**
 * YUV4MPEG2, what `-f yuv4mpegpipe` and most video tools pass through pipes: one line about the stream, then frames.
 *
 *     YUV4MPEG2 W640 H480 F30:1 C420jpeg\n  [ FRAME\n  data ]*
 *
 * The size of the data follows from width, height and colour space. Each frame is handed out as a y4m file of its own:
 * stream header, FRAME line, data. Streams may follow each other (`cat a.y4m b.y4m`), each with its own header.
 */
import { y4mStart } from "../image-format.ts";
import { Note } from "../frame.ts";
import { isText } from "./byte-kinds.ts";
import type { PieceQueue } from "./piece-queue.ts";
import { BasicWalk, type Glance, type Pattern, type Step } from "./walk.ts";
import { readY4mHeader, type Y4mHeader } from "./y4m-header.ts";

const frameStart = new TextEncoder().encode("FRAME");
const streamPattern: Pattern = { bytes: y4mStart, offset: 0 };
const framePattern: Pattern = { bytes: frameStart, offset: 0 };

/** Both kinds of line; ffmpeg takes 256 and 80. Comments (`X…`) may be long, and a line without an end is none. */
const lineBytesMax = 4096;
const newline = 0x0a;
const isLineText = isText.map((text, byte) => (byte === newline ? 0 : text));
const space = 0x20;

/** What was read of the stream. */
interface Stream extends Y4mHeader {
  readonly line: Uint8Array;
  /** What follows the frames has told their length, which the line does not. */
  readonly learnt?: boolean;
}

export class Y4mWalk extends BasicWalk {
  readonly name = "y4m";
  readonly extension = "y4m";
  readonly patterns: readonly Pattern[] = [framePattern, streamPattern];
  #stream: Stream | undefined;
  #inHeader = false;
  #inData = false;

  override begin(at: number): void {
    super.begin(at);
    this.#inHeader = false;
    this.#inData = false;
    // If this is no line that can be read, the next may begin anywhere.
    this.resumeAt = at + 1;
    this.prefix = undefined;
  }

  another(): Y4mWalk {
    const walk = new Y4mWalk();
    walk.#stream = this.#stream;
    return walk;
  }

  glance(bytes: PieceQueue, at: number, to: number, final: boolean): Glance {
    const word = this.#stream !== undefined && at < to && bytes.byteAt(at) === frameStart[0] ? frameStart : y4mStart;
    for (let index = 0; index < word.length && at + index < to; index++) {
      if (bytes.byteAt(at + index) !== word[index]) return "no";
    }
    const next = at + word.length;
    if (word === frameStart && next < to) return isBlank(bytes.byteAt(next)) ? "yes" : "no";
    // A line that the end of the stream cuts has its word, and that is enough.
    if (next <= to && final) return "yes";
    const limit = Math.min(to, at + lineBytesMax);
    const lineEnd = next <= to && word === y4mStart ? bytes.indexOf(newline, next, limit) : limit;
    if (lineEnd === limit) return limit === at + lineBytesMax || final ? "no" : "more";
    return typeof readY4mHeader(bytes.textAt(at, lineEnd)) === "string" ? "no" : "yes";
  }

  advance(bytes: PieceQueue, to: number, final: boolean): Step {
    while (!this.#inData) {
      const step = this.#walkLine(bytes, to, final);
      if (step !== "next") return step;
    }
    return this.at <= to || final ? "claimed" : "more";
  }

  override learn(length: number): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#stream = { line: stream.line, frameBytes: length, openBytes: [length], learnt: true };
    this.notes |= Note.damagedHeader;
  }

  /** Goes behind the line at hand. */
  #walkLine(bytes: PieceQueue, to: number, final: boolean): Step | "next" {
    const start = this.at;
    const limit = Math.min(to, start + lineBytesMax);
    if (start >= to) return this.wait(final);
    const isFrame = this.#inHeader || bytes.byteAt(start) === frameStart[0];
    // Without a header FRAME says nothing.
    if (isFrame && (this.#stream === undefined || !isFrameLine(bytes, start, to))) {
      return this.none(this.#inHeader ? "no frame follows the stream's header" : "no FRAME line");
    }
    const lineEnd = bytes.skip(isLineText, start, limit);
    if (lineEnd === limit && limit < start + lineBytesMax) return this.wait(final);
    if (lineEnd === limit || bytes.byteAt(lineEnd) !== newline) {
      // A frame whose line has lost its end is lost; the next may begin in what would be its line.
      this.began = isFrame;
      this.resumeAt = start + 1;
      if (!isFrame) this.#stream = undefined;
      return this.none(`no line of text of at most ${lineBytesMax} bytes`);
    }
    this.at = lineEnd + 1;
    return isFrame ? this.#beginData() : this.#readHeader(bytes, start);
  }

  #readHeader(bytes: PieceQueue, start: number): Step | "next" {
    const header = readY4mHeader(bytes.textAt(start, this.at));
    if (typeof header === "string") {
      this.#stream = undefined;
      // With a size and a colour it is one, and nobody can split it.
      this.began = header.includes("colour");
      return this.none(header, "foreign");
    }
    // A copy: it outlives by many frames the piece that it came in.
    this.#stream = { ...header, line: Buffer.concat(bytes.views(start, this.at)) };
    this.#inHeader = true;
    return "next";
  }

  #beginData(): "next" {
    const stream = this.#stream as Stream;
    this.began = true;
    this.#inData = true;
    if (!this.#inHeader) this.prefix = stream.line;
    // If this is too much, the header may be at fault; so the next line is looked for, not counted to.
    this.resumeAt = this.at;
    this.at += stream.frameBytes;
    this.openLengths = stream.openBytes;
    if (stream.learnt === true) this.notes |= Note.damagedHeader;
    return "next";
  }
}

function isBlank(byte: number): boolean {
  return byte === newline || byte === space;
}

/** As far as it is here. */
function isFrameLine(bytes: PieceQueue, at: number, to: number): boolean {
  for (let index = 0; index <= frameStart.length && at + index < to; index++) {
    const byte = bytes.byteAt(at + index);
    if (index < frameStart.length ? byte !== frameStart[index] : !isBlank(byte)) return false;
  }
  return true;
}
