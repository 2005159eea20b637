/**
 * YUV4MPEG2, what `-f yuv4mpegpipe` and most video tools pass through pipes: one line about the stream, then frames.
 *
 *     YUV4MPEG2 W640 H480 F30:1 C420jpeg\n  [ FRAME\n  data ]*
 *
 * The size of the data follows from width, height and colour space. Each frame is handed out as a y4m file of its own:
 * stream header, FRAME line, data. Streams may follow each other (`cat a.y4m b.y4m`), each with its own header.
 *
 * Nothing proves that data is whole. If bytes are lost on the way, the frame at hand takes its missing ones from the
 * next, which is then found to be no frame; the one after that comes out whole again. (ffmpeg 5.1 itself loses bytes of
 * chroma planes if the width is odd and a sample has more than 8 bits; it cannot read such a stream either.)
 */
import { y4mStart } from "../image-format.ts";
import type { PieceQueue } from "./piece-queue.ts";
import type { Step, Walk } from "./walk.ts";

const decoder = new TextDecoder();
const frameStart = new TextEncoder().encode("FRAME");

/** Both kinds of line; ffmpeg takes 256 and 80. Comments (`X…`) may be long, and a line without an end is none. */
const lineBytesMax = 4096;
const newline = 0x0a;
const space = 0x20;

interface Planes {
  /** Planes of width x height. */
  readonly full: number;
  /** How many luma samples, across and down, share a sample in both chroma planes. Infinite: there are none. */
  readonly chroma: readonly [across: number, down: number];
}

const noChroma = [Infinity, Infinity] as const;

/** By the words behind `C` for 8 bits a sample. `jpeg`, `mpeg2` and `paldv` say where chroma lies, not how much. */
const planesByColour: ReadonlyMap<string, Planes> = new Map([
  ["420", { full: 1, chroma: [2, 2] }],
  ["420jpeg", { full: 1, chroma: [2, 2] }],
  ["420mpeg2", { full: 1, chroma: [2, 2] }],
  ["420paldv", { full: 1, chroma: [2, 2] }],
  ["422", { full: 1, chroma: [2, 1] }],
  ["411", { full: 1, chroma: [4, 1] }],
  ["444", { full: 3, chroma: noChroma }],
  ["444alpha", { full: 4, chroma: noChroma }],
  ["mono", { full: 1, chroma: noChroma }],
]);
/** `420p10`, `mono16`: more bits, in two bytes a sample. */
const deepColour = /^(?:(420|422|444)p|(mono))(?:9|1[0-6])$/;

export class Y4mWalk implements Walk {
  readonly name = "y4m";
  readonly extension = "y4m";
  readonly padded = false;
  starts: readonly Uint8Array[] = [y4mStart];
  /** The stream's header line, once it was read. */
  prefix: Uint8Array | undefined;
  detail = "";
  at = 0;
  resumeAt = 0;
  #startAt = 0;
  #frameBytes = 0;
  #inData = false;

  begin(at: number): void {
    this.#startAt = this.at = at;
    this.#inData = false;
  }

  advance(bytes: PieceQueue): Step {
    if (!this.#inData) {
      const step = this.#walkLine(bytes);
      if (step !== "whole") return step;
      this.#inData = true;
      // If this is too much, the header may be at fault; so the next line is looked for, not counted to.
      this.resumeAt = this.at;
      this.at += this.#frameBytes;
    }
    return this.at <= bytes.end ? "whole" : "more";
  }

  /** Goes behind the line at hand. */
  #walkLine(bytes: PieceQueue): Step {
    const start = this.#startAt;
    const limit = Math.min(bytes.end, start + lineBytesMax);
    // If this is no line that can be read, the next may begin anywhere.
    this.resumeAt = start + 1;
    const isFrame = bytes.byteAt(start) === frameStart[0];
    if (isFrame && start + frameStart.length < limit) {
      const next = bytes.byteAt(start + frameStart.length);
      if (next !== newline && next !== space) return this.#fail("no FRAME line");
    }
    const lineEnd = bytes.indexOf(newline, start, limit);
    if (lineEnd === limit) {
      if (limit < start + lineBytesMax) return "more";
      const detail = `a line of more than ${lineBytesMax} bytes`;
      return isFrame ? this.#fail(detail) : this.#refuseStream(detail);
    }
    this.at = lineEnd + 1;
    return isFrame ? "whole" : this.#readHeader(bytes.views(start, this.at));
  }

  #readHeader(views: readonly Uint8Array[]): Step {
    // A copy: it outlives by many frames the piece that it came in.
    const header = Uint8Array.from(views.flatMap((view) => [...view]));
    const frameBytes = y4mFrameBytes(decoder.decode(header));
    if (typeof frameBytes === "string") return this.#refuseStream(frameBytes);
    this.prefix = header;
    this.starts = [frameStart, y4mStart];
    this.#frameBytes = frameBytes;
    return "preamble";
  }

  /** Without a header FRAME says nothing. */
  #refuseStream(detail: string): Step {
    this.prefix = undefined;
    this.starts = [y4mStart];
    return this.#fail(detail);
  }

  #fail(detail: string): Step {
    this.detail = detail;
    return "damaged";
  }
}

/** Bytes of data in each frame of a stream with this header line, or why that cannot be told. */
export function y4mFrameBytes(header: string): number | string {
  let width = 0;
  let height = 0;
  let colour = "420";
  for (const word of header.trimEnd().split(" ").slice(1)) {
    // Nine digits: products stay finite, and no picture is larger.
    if (/^W\d{1,9}$/.test(word)) width = Number(word.slice(1));
    else if (/^H\d{1,9}$/.test(word)) height = Number(word.slice(1));
    else if (word.startsWith("C")) colour = word.slice(1);
  }
  if (width === 0 || height === 0) return "a stream header without width or height";
  const [, sampled, mono] = deepColour.exec(colour) ?? [];
  const deep = sampled ?? mono;
  const planes = planesByColour.get(deep ?? colour);
  if (planes === undefined) return `a stream of an unknown colour space, ${JSON.stringify(colour)}`;
  const [across, down] = planes.chroma;
  const samples = planes.full * width * height + 2 * Math.ceil(width / across) * Math.ceil(height / down);
  return deep === undefined ? samples : 2 * samples;
}
