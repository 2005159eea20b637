/** What frames are taken for, and small pictures of them: formats that browsers do not show, and hostile ones. */
import { expect, test } from "bun:test";
import { deflateSync, inflateSync } from "node:zlib";
import { imageFormatOf } from "../../src/image-format.ts";
import { pointsOf, rangeOf } from "../../src/live/palette.ts";
import { pictureKindOf } from "../../src/live/picture-kind.ts";
import { samplesOf } from "../../src/live/samples.ts";
import { Thumbnails } from "../../src/live/server/thumbnails.ts";

const [width, height] = [640, 512];
/** A slope of 14 bits, as infrared is. */
const values = Uint16Array.from({ length: width * height }, (_value, at) => 8000 + Math.floor((at % width) / 4));

function bigEndian(words: Uint16Array): Uint8Array {
  return Uint8Array.from(
    { length: 2 * words.length },
    (_value, at) => ((words[at >> 1] ?? 0) >> (at % 2 ? 0 : 8)) & 255,
  );
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function chunk(kind: string, data: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const body = Buffer.concat([ascii(kind), data]);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(Bun.hash.crc32(body));
  return Buffer.concat([length, body, checksum]);
}

/** Grey with 16 bits. */
function png(across: number, down: number, rows: Uint8Array): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(across, 0);
  header.writeUInt32BE(down, 4);
  header.set([16, 0], 8);
  const start = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  return Buffer.concat([start, chunk("IHDR", header), chunk("IDAT", rows), chunk("IEND", new Uint8Array(0))]);
}

/** Rows as PNG has them, with each of its filters in turn. */
function filtered(bytes: Uint8Array): Uint8Array {
  const rowBytes = 2 * width;
  const rows = new Uint8Array((rowBytes + 1) * height);
  const at = (row: number, column: number): number =>
    row < 0 || column < 0 ? 0 : (bytes[row * rowBytes + column] ?? 0);
  for (let row = 0; row < height; row += 1) {
    const filter = row % 5;
    rows[row * (rowBytes + 1)] = filter;
    for (let column = 0; column < rowBytes; column += 1) {
      const [left, up, corner] = [at(row, column - 2), at(row - 1, column), at(row - 1, column - 2)];
      const nearest = [left, up, corner].toSorted(
        (a, b) => Math.abs(left + up - corner - a) - Math.abs(left + up - corner - b),
      )[0];
      const predicted = [0, left, up, (left + up) >> 1, nearest][filter] ?? 0;
      rows[row * (rowBytes + 1) + 1 + column] = at(row, column) - predicted;
    }
  }
  return rows;
}

const inflate = (packed: Uint8Array, maxOutputLength: number): Uint8Array => inflateSync(packed, { maxOutputLength });
const frames: readonly (readonly [string, Uint8Array])[] = [
  ["png", png(width, height, deflateSync(filtered(bigEndian(values))))],
  ["pnm", Buffer.concat([ascii(`P5 # grey\n${width} ${height} 65535\n`), bigEndian(values)])],
  ["raw", new Uint8Array(values.buffer)],
];

test("16 bits of grey come out of PNG, PNM and raw frames alike, in a range that can be seen", async () => {
  for (const [format, bytes] of frames) {
    const kind = pictureKindOf(bytes);
    expect(kind).toMatchObject({ format, shown: "samples", width, height });
    const samples = await samplesOf(bytes, kind, inflate);
    expect(samples).toMatchObject({ width, height, channels: 1, max: 65_535 });
    expect(Buffer.compare(Buffer.from(samples?.values.buffer ?? new ArrayBuffer()), Buffer.from(values.buffer))).toBe(
      0,
    );
    if (samples === undefined) throw new Error("there are samples");
    const range = rangeOf(samples);
    expect(range).toEqual({ low: 8001, high: 8158 });
    const points = pointsOf(samples, range, "iron", 4);
    expect([points.width, points.height]).toEqual([160, 128]);
    expect([...points.rgba.subarray(0, 4)]).toEqual([0, 0, 10, 255]);
    expect([...points.rgba.subarray(159 * 4, 160 * 4)]).toEqual([255, 246, 200, 255]);
  }
});

const thumbnails = new Thumbnails({ nowMs: () => performance.now(), sleep: () => Promise.resolve() });

test("a thumbnail is a small JPEG of any of them, and of y4m", async () => {
  const luma = new Uint8Array(64 * 48).fill(81);
  const chroma = [new Uint8Array(32 * 24).fill(90), new Uint8Array(32 * 24).fill(240)];
  const y4m = Buffer.concat([ascii("YUV4MPEG2 W64 H48 F25:1 C420jpeg\nFRAME\n"), luma, ...chroma]);
  const samples = await samplesOf(y4m, pictureKindOf(y4m), inflate);
  // Red, as video has it.
  expect([...(samples?.values.subarray(0, 3) ?? [])]).toEqual([254, 0, 0]);
  for (const [, bytes] of [...frames, ["y4m", y4m] as const]) {
    const small = await thumbnails.of(bytes);
    expect(imageFormatOf(small ?? new Uint8Array())).toBe("jpeg");
    expect(small?.length).toBeLessThan(20_000);
  }
});

test("what claims more points than any camera has is decoded by nobody", async () => {
  // A JPEG of 60,000 x 60,000: its header, and what would follow.
  const header = [0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0xea, 0x60, 0xea, 0x60, 1, 1, 0x11, 0, 0xff, 0xda];
  const claims: Uint8Array[] = [
    Uint8Array.from([...header, ...new Uint8Array(1000)]),
    png(60_000, 60_000, deflateSync(new Uint8Array(1000))),
    // Below what is decoded at all, above what samples are made of; and a little that becomes a lot.
    png(4_100, 4_100, deflateSync(new Uint8Array((2 * 4_100 + 1) * 4_100))),
    png(100, 100, deflateSync(new Uint8Array(2 ** 24))),
    ascii(`P5 60000 60000 65535\n${"x".repeat(1000)}`),
    ascii("YUV4MPEG2 W60000 H60000 C420jpeg\nFRAME\nxxxx"),
  ];
  for (const bytes of claims) expect(await thumbnails.of(bytes)).toBeUndefined();
  expect(pictureKindOf(claims[0] ?? new Uint8Array())).toMatchObject({
    shown: "none",
    text: "a picture of 60000 x 60000 points, which is too large to be shown",
  });
});

test("what is cut, empty or none is no picture, and is called what it is", async () => {
  const jpeg = Uint8Array.of(0xff, 0xd8, 0xff);
  const broken = [new Uint8Array(0), jpeg, ...frames.map(([, bytes]) => bytes.subarray(0, bytes.length >> 1))];
  for (const bytes of broken) expect(await thumbnails.of(bytes)).toBeUndefined();
  for (const [start, text] of [
    [Uint8Array.of(0x49, 0x49, 0x2a, 0), "TIFF"],
    [ascii("\0\0\0\x18ftypheic"), "HEIF"],
    [ascii("hello"), "no known format"],
  ] as const) {
    const kind = pictureKindOf(start);
    expect([kind.shown, kind.text]).toEqual(["none", expect.stringContaining(text) as unknown as string]);
  }
});

test("one after the other, with pauses of three times the work", async () => {
  let nowMs = 0;
  const pauses: number[] = [];
  const slow = new Thumbnails({
    nowMs: () => (nowMs += 10),
    sleep: (ms) => {
      pauses.push(ms);
      return Promise.resolve();
    },
  });
  await Promise.all([slow.of(new Uint8Array(0)), slow.of(new Uint8Array(0))]);
  expect(pauses).toEqual([30, 30]);
});
