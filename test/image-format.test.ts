import { expect, test } from "bun:test";
import { imageFormatOf, imageStartBytes, jpegStart, startsWith } from "../src/image-format.ts";

const starts = {
  jpeg: Buffer.from("ffd8ffe000104a464946", "hex"),
  png: Buffer.from("89504e470d0a1a0a0000000d", "hex"),
  webp: Buffer.from("RIFF\x10\0\0\0WEBPVP8 ", "latin1"),
  avif: Buffer.from("\0\0\0\x20ftypavif", "latin1"),
};

test("formats are known by their first bytes, however few there are", () => {
  for (const [format, start] of Object.entries(starts)) {
    expect(imageFormatOf(start.subarray(0, imageStartBytes)) as string).toBe(format);
    expect(imageFormatOf(start.subarray(0, 2))).toBeUndefined();
  }
  expect(imageFormatOf(Buffer.from("\0\0\0\x20ftypavis", "latin1"))).toBe("avif");
  for (const other of ["\0\0\0\x20ftypheic", "RIFF\x10\0\0\0WAVEfmt ", "YUV4MPEG2 W64 H48\nFRAME\n", ""]) {
    expect(imageFormatOf(Buffer.from(other, "latin1"))).toBeUndefined();
  }
});

test("a start is looked for where it has to be, and whole", () => {
  const bytes = Uint8Array.of(1, 0xff, 0xd8, 0xff);
  expect([0, 1, 2].map((at) => startsWith(bytes, jpegStart, at))).toEqual([false, true, false]);
  expect(startsWith(bytes.subarray(1), jpegStart)).toBe(true);
  expect(startsWith(bytes.subarray(1, 3), jpegStart)).toBe(false);
});
