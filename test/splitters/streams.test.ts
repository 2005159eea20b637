/**
 * Streams as cameras, drivers and broken writers give them: what public reports describe, and their neighbours. Each
 * is a line of the table: the stream, and what comes of it, whatever its pieces.
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32 } from "../../src/bytes/checksum.ts";
import { makeSplitter, type Split } from "../../src/splitters/splitter.ts";
import { Random } from "../support/random.ts";
import { bytes, chunk, concat, pngSignature, segment, text } from "./images.ts";

const folder = join(import.meta.dir, "..", "corpus", "streams");
const file = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)));
const random = new Random(11);

const jpeg = file("picture-small.jpg");
const other = file("picture-plain.jpg");
const png = file("picture-small.png");
const y4m = file("picture-b.y4m");
const largeY4m = file("picture-a.y4m");
const pgm = file("picture-small.pgm");
const ppm = file("picture-small.ppm");
const bmp = file("picture-small.bmp");
/** Bytes in which nothing begins. */
const noise = (length: number): Uint8Array => random.bytes(length).map((byte) => (byte % 100) + 128 - 100 * (byte & 1));
const tiff = concat(text("II*\0"), bytes(8, 0, 0, 0), new Uint8Array(600), noise(5000));

/** Where a marker's segment stands. */
function markerAt(image: Uint8Array, code: number): number {
  return Buffer.from(image).indexOf(Buffer.from([0xff, code]));
}
function insert(image: Uint8Array, at: number, what: Uint8Array): Uint8Array {
  return concat(image.subarray(0, at), what, image.subarray(at));
}
const [dqt, sof] = [markerAt(jpeg, 0xdb), markerAt(jpeg, 0xc0)];
const withoutEnd = jpeg.subarray(0, -2);
const part = (picture: Uint8Array, head = "", separator = "--xyz"): Uint8Array =>
  concat(text(`${separator}\r\nContent-Type: image/jpeg\r\n${head}\r\n`), picture, text("\r\n"));
const long = (picture: Uint8Array, length = picture.length): Uint8Array =>
  part(picture, `Content-Length: ${length}\r\n`);
const appOf = (content: Uint8Array, length: number): Uint8Array =>
  concat(bytes(0xff, 0xe1, (length >> 8) & 0xff, length & 0xff), content);
const exif = (bytesOfIt: number, thumbnail: Uint8Array): Uint8Array =>
  concat(text("Exif\0\0"), new Uint8Array(40), thumbnail, new Uint8Array(bytesOfIt - thumbnail.length - 46));
const withExif = (app: Uint8Array): Uint8Array => concat(jpeg.subarray(0, 2), app, jpeg.subarray(2));
const y4mData = y4m.subarray(Buffer.from(y4m).indexOf("FRAME"));
const y4mLine = y4m.subarray(0, y4m.length - y4mData.length);
const frameOf = (value: number, length: number): Uint8Array =>
  concat(text("FRAME\n"), new Uint8Array(length).fill(value));
const silent = text("YUV4MPEG2 W20 H10 F25:1\n");
const wrongPng = (type: string): Uint8Array => {
  const wrong = chunk(type, bytes(1, 2, 3, 4)).map((byte, index, all) => (index === all.length - 1 ? byte ^ 1 : byte));
  return insert(png, 33, wrong);
};

/** The size in the header of the BMP is another. */
function sized(size: number): Uint8Array {
  const copy = Buffer.from(bmp);
  copy.writeUInt32LE(size, 2);
  return new Uint8Array(copy);
}
/** Eight pixels in two rows of 24 bits. */
const osBmp = concat(
  text("BM"),
  bytes(50, 0, 0, 0, 0, 0, 0, 0, 26, 0, 0, 0, 12, 0, 0, 0, 4, 0, 2, 0, 1, 0, 24, 0),
  noise(24),
);

/** Its header says that its rows are compressed, so only its size tells its length. */
const rleBmp = sized(bmp.length).map((byte, at) => (at === 30 ? 1 : byte));

/** As in most pictures of another format: markers of a JPEG, its end among them. */
const pngWithEoi = insert(png, 33, chunk("tEXt", concat(text("k\0"), bytes(0xff, 0xe7, 0, 0xff, 0xd9), noise(20))));

/** `J` for JPEG and so on, `!` a note; `-` a loss, `.` information. */
const letters: Readonly<Record<string, string>> = {
  jpg: "J",
  png: "P",
  y4m: "Y",
  pgm: "G",
  ppm: "C",
  bmp: "B",
  raw: "R",
};
function brief(splits: readonly Split[]): string {
  return splits
    .map((each) =>
      each.kind === "frame" ? `${letters[each.extension]}${each.notes === 0 ? "" : "!"}` : each.loss ? "-" : ".",
    )
    .join("");
}

const table: readonly (readonly [shape: string, right: string, ...stream: Uint8Array[]])[] = [
  ["one stray byte before the tables", "J!J!", insert(jpeg, dqt, bytes(7)), insert(jpeg, dqt, bytes(7))],
  ["one stray byte before the frame header", "J!J", insert(jpeg, sof, bytes(0)), jpeg],
  ["253 stray bytes before the tables", "J!J", insert(jpeg, dqt, noise(253)), jpeg],
  ["253 stray bytes before the frame header", "J!J!", insert(jpeg, sof, noise(253)), insert(jpeg, sof, noise(253))],
  [
    "stray bytes before EXIF data with a thumbnail, behind SOI and behind a comment",
    "J!J!J",
    concat(jpeg.subarray(0, 2), bytes(7), segment(0xe1, exif(4000, other)), jpeg.subarray(2)),
    concat(jpeg.subarray(0, 20), noise(30), segment(0xe1, exif(4000, other)), jpeg.subarray(20)),
    jpeg,
  ],
  ["a PNG in stray bytes between segments", "-P.J", insert(jpeg, dqt, png), jpeg],
  ["a byte behind SOI", "J!JJ!", insert(jpeg, 2, bytes(0)), jpeg, insert(jpeg, 2, bytes(0x55))],
  ["an APP length two short", "J!J", withExif(appOf(exif(2000, other.subarray(0, 900)), 2000)), jpeg],
  ["an APP length two short, with a thumbnail", "J!J", withExif(appOf(exif(5000, other), 5000)), jpeg],
  ["an APP length that wrapped, behind the thumbnail", "J!J", withExif(appOf(exif(70_000, other), 70_002)), jpeg],
  [
    "an APP length that wrapped, before the thumbnail",
    "J!J",
    withExif(appOf(concat(text("Exif\0\0"), new Uint8Array(9000), other, new Uint8Array(60_000)), 72_308)),
    jpeg,
  ],
  [
    "APP lengths that wrapped to 0 and 1",
    "J!J!J",
    withExif(appOf(exif(65_534, other), 65_536)),
    withExif(appOf(exif(65_535, other), 65_537)),
    jpeg,
  ],
  [
    "APP lengths that wrapped to 2 and more, up to the thumbnail",
    "J!J!J!J",
    withExif(appOf(exif(65_536, other), 65_538)),
    withExif(appOf(exif(65_539, other), 65_541)),
    withExif(appOf(exif(65_560, other), 65_562)),
    jpeg,
  ],
  [
    "an APP length two short, before the end of the thumbnail",
    "J!J",
    withExif(appOf(concat(text("Exif\0\0"), new Uint8Array(40), other), other.length + 46)),
    jpeg,
  ],
  [
    "an APP length that spans whole pictures, into the next",
    "-JJ-JJ",
    withExif(appOf(exif(4000, other), 4002 + jpeg.length * 3 + 900)),
    concat(jpeg, jpeg),
    withExif(appOf(exif(4000, other), 60_000)),
    concat(jpeg, jpeg),
  ],
  [
    "an APP length that ends at the thumbnail of the next picture: its own is no frame",
    "-J",
    withExif(appOf(exif(4000, other), 4000 + 2 + jpeg.length - 2 + 2 + 4 + 46)),
    withExif(segment(0xe1, exif(4000, other))),
  ],
  [
    "a JPEG cut in its thumbnail, and whole pictures within what its APP data claims, into another",
    "-GB!.",
    withExif(appOf(exif(4000, other), 4000)).subarray(0, 900),
    concat(pgm, bmp, bytes(0x80), withExif(appOf(exif(4000, other), 4000)).subarray(2000)),
  ],
  [
    "an APP length of 0 that did not wrap: the thumbnail is no frame",
    "-J",
    withExif(appOf(exif(5000, other), 0)),
    jpeg,
  ],
  ["SOI twice", ".J.J", jpeg.subarray(0, 2), jpeg, jpeg.subarray(0, 2), jpeg],
  ["SOI and its first segment twice", ".J.J", jpeg.subarray(0, 20), jpeg, jpeg.subarray(0, 20), jpeg],
  [
    "FF D8 in a blob before each",
    ".J.J",
    concat(noise(30), bytes(0xff, 0xd8), noise(40)),
    jpeg,
    concat(bytes(0xff, 0xd8, 3), noise(9)),
    jpeg,
  ],
  [
    "FF D8 FF in raw data behind each",
    "J.J.",
    jpeg,
    concat(noise(90), bytes(0xff, 0xd8, 0xff, 0xe4), noise(900)),
    jpeg,
    concat(bytes(9, 0xff, 0xd8, 0xff), noise(300)),
  ],
  [
    "a whole thumbnail in honest APP data",
    "JJ",
    withExif(segment(0xe1, exif(6000, other))),
    withExif(segment(0xe1, exif(6000, other))),
  ],
  ["JPEG and PNG in turns", "JPJP", jpeg, png, jpeg, png],
  ["every format in turns", "JPYGCBJ", jpeg, png, y4m, pgm, ppm, bmp, jpeg],
  ["RAW and JPEG", "-J-J", tiff, jpeg, concat(tiff, other, noise(2000)), jpeg],
  ["RAW behind a JPEG", "J-J-", jpeg, tiff, jpeg, tiff],
  ["WebP between JPEGs", "J-J", jpeg, concat(text("RIFF"), bytes(0, 9, 0, 0), text("WEBPVP8 "), noise(2000)), jpeg],
  ["HEIF alone", "-", concat(bytes(0, 0, 0, 24), text("ftypheic"), noise(900))],
  [
    "pictures in formats that few have",
    "J-J-J-J-J",
    concat(jpeg, bytes(0x59, 0xa6, 0x6a, 0x95), noise(300)),
    concat(jpeg, bytes(0x01, 0xda, 1, 1, 0, 3), noise(300), jpeg, text("XPDS"), bytes(0x80, 6, 0, 0), noise(300)),
    concat(jpeg, bytes(0x0a, 5, 1, 8), noise(300), jpeg),
  ],
  ["GIF in a part", ".J.-", part(jpeg), part(concat(text("GIF89a"), noise(500)))],
  ["no end marker, between frames and at the end", "J!JJ!", withoutEnd, jpeg, withoutEnd],
  ["no end marker in parts with a length", ".J!.J!.", long(withoutEnd), long(withoutEnd)],
  ["no end marker in parts without a length", ".J!.J!.", part(withoutEnd), part(withoutEnd)],
  ["half a picture in a part that promises more", ".-J.", long(jpeg.subarray(0, 1500), jpeg.length), long(jpeg)],
  ["a length in a part that is not true", ".J.J.", long(jpeg, 17), long(jpeg, 999_999)],
  ["a Content-Length of 0", ".J.J.", long(jpeg, 0), long(jpeg, 0)],
  ["parts without dashes", ".J.J.", part(jpeg, "", "boundary"), part(jpeg, "", "boundary")],
  ["a cut JPEG, and a PNG", "J!PJ", jpeg.subarray(0, 1500), png, jpeg],
  ["PNG with a wrong checksum in tEXt", "P!P", wrongPng("tEXt"), png],
  ["PNG with a wrong checksum in IDAT", "P!P", wrongPng("IDAT"), png],
  ["PNG with a wrong checksum in a chunk that nobody knows", "P!P", wrongPng("abCd"), png],
  ["PNG cut in the middle, and the next", "-PP", png.subarray(0, 700), png, png],
  ["PNG cut at the end of the stream", "P-", png, png.subarray(0, 700)],
  ["PNG cut within IEND", "P!P!JP!", png.subarray(0, -5), png.subarray(0, -10), jpeg, png.subarray(0, -3)],
  ["PNG cut within the checksum of IEND", "P!JP!GP", png.subarray(0, -4), jpeg, png.subarray(0, -1), pgm, png],
  ["PNG without IEND", "P!P", png.subarray(0, -12), png],
  ["y4m: 4:2:2 said by XYSCSS", "YY", text("YUV4MPEG2 W20 H10 XYSCSS=422\n"), frameOf(1, 400), frameOf(2, 400)],
  ["y4m: 4:2:2 under a silent header", "Y!Y!Y!", silent, frameOf(1, 400), frameOf(2, 400), frameOf(3, 400)],
  ["y4m: grey under a silent header", "Y!Y!", silent, frameOf(1, 200), frameOf(2, 200)],
  ["y4m: a silent header, and what is usual", "YY", silent, frameOf(1, 300), frameOf(2, 300)],
  [
    "y4m: C440, C410, C422jpeg",
    "YYY",
    text("YUV4MPEG2 W8 H8 C440\n"),
    frameOf(1, 128),
    text("YUV4MPEG2 W8 H8 C410\n"),
    frameOf(2, 72),
    text("YUV4MPEG2 W8 H8 C422jpeg\n"),
    frameOf(3, 128),
  ],
  ["y4m: a writer that died in a frame and began again", "Y-YY", y4m, y4mData.subarray(0, 900), y4m, y4mData],
  ["y4m: a writer that died in its header", "YY.YY", y4m, y4mData, y4m.subarray(0, 20), y4m, y4mData],
  ["y4m: again, smaller", "Y-YY", largeY4m, largeY4m.subarray(0, 4000), y4m, y4mData],
  [
    "y4m: again, so that the claim ends at a start",
    "Y-Y",
    y4m,
    y4mData.subarray(0, y4mData.length - y4mLine.length),
    y4m,
  ],
  ["y4m: a writer that died in a FRAME line", "YY.YYY.Y", y4m, y4mData, text("FRA"), y4m, y4mData, y4m, text("F"), y4m],
  [
    "y4m: a FRAME line without its end, and a PNG, which has one in its signature",
    "Y-P-Y",
    concat(y4m, text("FRAME "), y4mData.subarray(6, 1900), png, y4mLine, text("FRAME "), y4mData.subarray(6, 1900)),
    y4m,
  ],
  ["y4m: bytes lost in the middle", "Y-YY", y4m, y4mData.subarray(0, -9), y4mData, y4mData],
  ["y4m: the last frame is cut", "Y-", y4m, y4mData.subarray(0, -1)],
  ["PNM, deep and with a comment", "GG", text("P5\n# a camera\n4 2\n65535\n"), bytes(...Array(16).keys()), pgm],
  ["PNM cut, and the next", "-CC", ppm.subarray(0, 900), ppm, ppm],
  [
    "BMP whose header has no size, or a wrong one",
    "BB!B",
    bmp.map((byte, at) => (at >= 2 && at < 6 ? 0 : byte)),
    bmp.map((byte, at) => (at === 3 ? byte + 4 : byte)),
    bmp,
  ],
  ["BMP of OS/2", "BB", osBmp, osBmp],
  ["BMP of run lengths", "BB", rleBmp, rleBmp],
  ["BMP whose size is absurd, and the last one's a little", "B!BB!", sized(0x7fff_fff0), bmp, sized(bmp.length + 7)],
  ["BMP with something in its reserved fields", "BB", bmp.map((byte, at) => (at === 7 ? 9 : byte)), bmp],
  ["PNM and BMP with a trailer of the camera behind each", "G!.G!.B!.", pgm, noise(16), pgm, noise(16), bmp, noise(5)],
  ["PNM into which bytes came", "G!.C", insert(pgm, 300, noise(7)), ppm],
  ["y4m with junk behind a frame: nobody can say where it ended", "Y-Y", y4m, y4mData, noise(40), y4mData],
  ["a line break behind each", "G.Y.B.", pgm, text("\n"), y4m, text("\r\n"), bmp, text("\n")],
  ["y4m: the only frame is grey, and the header silent", "Y!", silent, frameOf(1, 200)],
  ["PNM in what nobody can split, and no start behind it", "-J", tiff, pgm, noise(90), jpeg],
  ["PNM that is no PGM or PPM", "-G", text("P4\n8 2\n\x01\x02"), pgm],
  ["PNM with a long comment", "GG", text(`P5\n#${"x".repeat(3000)}\n4 2\n255\n12345678`), pgm],
  ["PNM with comments everywhere", "GG", text("P5# one\n#two\r4# three\n 2\t#\n255\n12345678"), pgm],
  [
    "BMP cut, a start that only later data tells, and whole pictures within the claim",
    "-GJ.",
    concat(bmp.subarray(0, 734), jpeg.subarray(0, 4), pgm),
    concat(jpeg, new Uint8Array(3000)),
  ],
  ["BMP cut, and the next", "-BB", bmp.subarray(0, 900), bmp, bmp],
  [
    "a blob behind each, then a cut JPEG and the first PNG",
    "J.J.J.J!P.J",
    concat(other, noise(900), other, noise(900), other, noise(900), jpeg.subarray(0, 1500)),
    concat(pngWithEoi, noise(900), jpeg),
  ],
  ["padding between all", "J.J.P.", jpeg, new Uint8Array(5000), jpeg, bytes(0xff, 0xd9), png, text("\r\n")],
];

const pieceBytes = [1_000_000, 1, 13, 999];

function splitIn(stream: Uint8Array, most: number): Split[] {
  const splitter = makeSplitter({ kind: "auto" }, 10_000_000);
  const splits: Split[] = [];
  const take = (): void => {
    for (let each = splitter.next(0); each !== undefined; each = splitter.next(0)) splits.push(each);
  };
  for (let at = 0; at < stream.length; at += most) {
    splitter.push(stream.slice(at, at + most), 0);
    take();
  }
  splitter.end();
  take();
  return splits;
}

describe("a stream:", () => {
  for (const [shape, right, ...stream] of table) {
    test(shape, () => {
      const all = concat(...stream);
      expect(pieceBytes.map((most) => brief(splitIn(all, most)))).toEqual(pieceBytes.map(() => right));
    });
  }
});

describe("a stream that was reported:", () => {
  for (const [name, right] of [
    ["stray-byte.mjpeg", "J!J!J!J!J!"],
    ["byte-behind-soi.mjpeg", "JJJ!JJ"],
    ["two-soi.mjpeg", ".J.J.J.J.J"],
    ["jpeg-png-mixed", "JPJPJP"],
    ["raw-and-jpeg", "-J-J"],
    ["xyscss-only.y4m", "YYYYY"],
    ["writer-restarted.y4m", "YYY-YYYYYY"],
    ["writer-restarted-same-size.y4m", "YYY-YYYYYY"],
    ["png-bad-text-crc", "P!P!P!P!P!"],
    ["separator-without-dashes.mpjpeg", ".J.J.J.J.J."],
    ["multipart-no-eoi.mpjpeg", ".J!.J!.J!.J!.J!."],
  ] as const) {
    test(name, () => {
      const stream = file(name);
      for (const most of pieceBytes) expect(brief(splitIn(stream, most))).toBe(right);
    });
  }
});

test("with a format asked for, pictures of another are lost, not passed over", () => {
  const splitter = makeSplitter({ kind: "jpeg" }, 1_000_000);
  splitter.push(concat(jpeg, png, jpeg), 0);
  splitter.end();
  const splits: Split[] = [];
  for (let each = splitter.next(0); each !== undefined; each = splitter.next(0)) splits.push(each);
  expect(brief(splits)).toBe("J-J");
});

test("what a frame is made of is what came, to the byte", () => {
  const stray = insert(jpeg, dqt, bytes(7));
  const [first] = splitIn(concat(stray, jpeg), 999);
  const pieces = first?.kind === "frame" ? first.pieces : [];
  expect(crc32(concat(...pieces))).toBe(crc32(stray));
  expect(pngSignature.length).toBe(8);
});

test("the head of a part is one by its separator, or by a field of its own", () => {
  const times = (head: string): unknown[] =>
    splitIn(concat(text(`${head}\r\n\r\n`), jpeg), 999).map((each) => each.kind === "frame" && each.headerTimeNs);
  expect(times("--xyz\r\nX-Timestamp: 1700000000.5")).toEqual([false, 1_700_000_000_500_000_000n]);
  expect(times("xyz\r\nContent-Type: image/jpeg\r\nX-Timestamp: 1700000000")).toEqual([
    false,
    1_700_000_000n * 10n ** 9n,
  ]);
  expect(times("a log\r\nX-Timestamp: 1700000000.5")).toEqual([false, undefined]);
});
