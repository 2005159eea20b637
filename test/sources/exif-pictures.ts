/** Pictures with EXIF data, made by hand: a TIFF header, an IFD that leads to the Exif IFD, and its texts. */

export interface ExifTexts {
  readonly dateTime?: string;
  readonly subSec?: string;
  readonly offset?: string;
}

export interface ExifLayout {
  readonly bigEndian?: boolean;
  /** Bytes between the header and the first IFD, as of a picture whose IFD is at its end. */
  readonly before?: number;
  /** Entries of other tags, before and behind. */
  readonly others?: number;
}

const tags: Readonly<Record<keyof ExifTexts, number>> = { dateTime: 0x9003, offset: 0x9011, subSec: 0x9291 };

/** A TIFF: what is behind `Exif\0\0` in a JPEG, too. */
export function tiffOf(texts: ExifTexts, { bigEndian = false, before = 0, others = 3 }: ExifLayout = {}): Buffer {
  const u16 = (value: number): Buffer => {
    const bytes = Buffer.alloc(2);
    return bigEndian ? (bytes.writeUInt16BE(value), bytes) : (bytes.writeUInt16LE(value), bytes);
  };
  const u32 = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    return bigEndian ? (bytes.writeUInt32BE(value), bytes) : (bytes.writeUInt32LE(value), bytes);
  };
  const entry = (tag: number, type: number, count: number, value: Buffer): Buffer =>
    Buffer.concat([u16(tag), u16(type), u32(count), Buffer.concat([value, Buffer.alloc(4)]).subarray(0, 4)]);
  const fillers = (from: number): Buffer[] =>
    Array.from({ length: others }, (_, index) => entry(from + index, 3, 1, u16(7)));
  const ifdAt = 8 + before;
  const ifdBytes = 2 + 12 * (2 * others + 1) + 4;
  const exifAt = ifdAt + ifdBytes;
  const given = Object.entries(tags).filter(([key]) => texts[key as keyof ExifTexts] !== undefined);
  let textAt = exifAt + 2 + 12 * (2 * others + given.length) + 4;
  const values: Buffer[] = [];
  const entries = given.map(([key, tag]) => {
    const text = Buffer.from(`${texts[key as keyof ExifTexts]}\0`, "latin1");
    if (text.length <= 4) return entry(tag, 2, text.length, text);
    values.push(text);
    textAt += text.length;
    return entry(tag, 2, text.length, u32(textAt - text.length));
  });
  const ifd = (all: readonly Buffer[]): Buffer => Buffer.concat([u16(all.length), ...all, u32(0)]);
  const first = ifd([...fillers(0x0100), entry(0x8769, 4, 1, u32(exifAt)), ...fillers(0xa000)]);
  return Buffer.concat([
    Buffer.from(bigEndian ? "MM" : "II"),
    u16(42),
    u32(ifdAt),
    Buffer.alloc(before),
    first,
    ifd([...fillers(0x8822), ...entries, ...fillers(0xa000)]),
    ...values,
  ]);
}

function segment(code: number, payload: Uint8Array): Buffer {
  const head = Buffer.from([0xff, code, 0, 0]);
  head.writeUInt16BE(payload.length + 2, 2);
  return Buffer.concat([head, payload]);
}

/** A complete JPEG by its lengths. `segments` stand before the EXIF data. */
export function exifJpegOf(tiff: Uint8Array | undefined, text = "", segments: readonly Buffer[] = []): Buffer {
  const exif = tiff === undefined ? [] : [segment(0xe1, Buffer.concat([Buffer.from("Exif\0\0"), tiff]))];
  return Buffer.concat([
    Buffer.from("ffd8", "hex"),
    ...segments,
    ...exif,
    segment(0xfe, Buffer.from(text)),
    segment(0xc0, Buffer.from("080010001001011100", "hex")),
    segment(0xda, Buffer.from("010100003f00", "hex")),
    Buffer.alloc(300, 1),
    Buffer.from("ffd9", "hex"),
  ]);
}

/** JFIF, XMP and a colour profile, as programs put them first. */
export const otherSegments: readonly Buffer[] = [
  segment(0xe0, Buffer.from("JFIF\0\x01\x01\0\0\x01\0\x01\0\0", "latin1")),
  segment(0xe1, Buffer.from("http://ns.adobe.com/xap/1.0/\0<x/>")),
  segment(0xe2, Buffer.alloc(60_000, 1)),
];
