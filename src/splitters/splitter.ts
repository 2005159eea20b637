/**
 * The splitters as the rest of the program knows them: a byte stream goes in, frames come out. One engine
 * (stream-splitter.ts) looks for starts, keeps what may still become a frame and says what was in none; one walk for
 * each format knows where a picture ends. STREAMS.md is the rule.
 */
import { assert } from "../errors.ts";
import { BmpWalk } from "./bmp.ts";
import { JpegWalk } from "./jpeg.ts";
import { PngWalk } from "./png.ts";
import { PnmWalk } from "./pnm.ts";
import { RawSplitter } from "./raw-splitter.ts";
import type { PictureFormat, Splitter, StreamFormat } from "./split.ts";
import { StreamSplitter } from "./stream-splitter.ts";
import type { Walk } from "./walk.ts";
import { Y4mWalk } from "./y4m.ts";

export {
  type Extension,
  type PictureFormat,
  type Split,
  type SplitFrame,
  type Splitter,
  type SplitStretch,
  type StreamFormat,
  type StretchKind,
} from "./split.ts";

/** The likeliest first. */
const walks: readonly (readonly [PictureFormat, () => Walk])[] = [
  ["jpeg", () => new JpegWalk()],
  ["png", () => new PngWalk()],
  ["y4m", () => new Y4mWalk()],
  ["pnm", () => new PnmWalk()],
  ["bmp", () => new BmpWalk()],
];

export const pictureFormats: readonly PictureFormat[] = walks.map(([format]) => format);

/** A raw frame must be from 1 byte to `frameBytesMax`: whoever reads the option has to refuse the rest. */
export function makeSplitter(format: StreamFormat, frameBytesMax: number): Splitter {
  if (format.kind === "raw") {
    assert(format.bytes >= 1 && format.bytes <= frameBytesMax, "raw frames within the limit");
    return new RawSplitter(format.bytes);
  }
  const all = walks.map(([kind, make]) => ({ kind, walk: make() }));
  const only = all.find(({ kind }) => kind === format.kind)?.walk;
  return new StreamSplitter({ walks: all.map(({ walk }) => walk), only, frameBytesMax });
}
