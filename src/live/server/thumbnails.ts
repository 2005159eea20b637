/**
 * Small pictures, made once for all viewers: one after the other, never more than a quarter of the time, because most
 * machines that record have something better to do. Frames are anybody's: what is no picture gives `undefined`.
 */
import { inflateSync } from "node:zlib";
import { type PictureKind, pictureKindOf, pointsMax } from "../picture-kind.ts";
import { pointsOf, rangeOf } from "../palette.ts";
import { samplesOf } from "../samples.ts";

/** Of the longer side, in points. */
export const thumbnailSide = 320;
const quality = 75;
/** Pauses are so many times as long as the work before them. */
const pauseShare = 3;

export interface ThumbnailsOptions {
  readonly nowMs: () => number;
  readonly sleep: (ms: number) => Promise<void>;
}

export class Thumbnails {
  readonly #options: ThumbnailsOptions;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: ThumbnailsOptions) {
    this.#options = options;
  }

  /** JPEG. Undefined: there can be none. */
  of(bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const made = this.#last.then(() => this.#make(bytes));
    this.#last = made;
    return made.then(({ picture }) => picture);
  }

  async #make(bytes: Uint8Array): Promise<{ readonly picture: Uint8Array | undefined }> {
    const { nowMs, sleep } = this.#options;
    const startedMs = nowMs();
    const picture = await thumbnailOf(bytes).catch(() => undefined);
    // The next one waits for this, who asked for this one does not.
    this.#last = sleep(pauseShare * (nowMs() - startedMs));
    return { picture };
  }
}

async function thumbnailOf(bytes: Uint8Array): Promise<Uint8Array | undefined> {
  const kind = pictureKindOf(bytes);
  if (kind.shown === "none") return undefined;
  const image = kind.shown === "image" ? bytes : await bitmapOf(bytes, kind);
  if (image === undefined) return undefined;
  return new Bun.Image(image, { maxPixels: pointsMax })
    .resize(thumbnailSide, thumbnailSide, { fit: "inside", withoutEnlargement: true, filter: "bilinear" })
    .jpeg({ quality })
    .bytes();
}

/** Samples as a BMP of about the size that is needed. */
async function bitmapOf(bytes: Uint8Array, kind: PictureKind): Promise<Uint8Array | undefined> {
  const samples = await samplesOf(bytes, kind, (packed, maxOutputLength) => inflateSync(packed, { maxOutputLength }));
  if (samples === undefined) return undefined;
  const step = Math.max(1, Math.floor(Math.max(samples.width, samples.height) / thumbnailSide));
  const { width, height, rgba } = pointsOf(samples, rangeOf(samples), "grey", step);
  const rowBytes = (width * 3 + 3) & ~3;
  const bitmap = new Uint8Array(bitmapHeadBytes + rowBytes * height);
  const view = new DataView(bitmap.buffer);
  bitmap.set([0x42, 0x4d]);
  view.setUint32(2, bitmap.length, true);
  view.setUint32(10, bitmapHeadBytes, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, width, true);
  // Negative: from the top.
  view.setInt32(22, -height, true);
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const from = (row * width + column) * 4;
      const to = bitmapHeadBytes + row * rowBytes + column * 3;
      for (let part = 0; part < 3; part += 1) bitmap[to + part] = rgba[from + 2 - part] ?? 0;
    }
  }
  return bitmap;
}

const bitmapHeadBytes = 54;
