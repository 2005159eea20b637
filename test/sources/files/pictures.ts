/** Small pictures that are complete by their format, with a text in them. Not for decoders. */
import { crc32 } from "../../../src/bytes/checksum.ts";

function segment(code: number, payload: Uint8Array): Buffer {
  const head = Buffer.from([0xff, code, 0, 0]);
  head.writeUInt16BE(payload.length + 2, 2);
  return Buffer.concat([head, payload]);
}

/** With a thumbnail, which has an end of its own, unless it is one. `bytes` of entropy-coded data. */
export function jpegOf(text = "", bytes = 2000, thumbnail = true): Buffer {
  const inner = thumbnail
    ? Buffer.concat([Buffer.from("Exif\0\0"), jpegOf("thumbnail", 100, false)])
    : Buffer.from("Exif");
  return Buffer.concat([
    Buffer.from("ffd8", "hex"),
    segment(0xe1, inner),
    segment(0xfe, Buffer.from(text)),
    segment(0xc0, Buffer.from("0800100010010111 00".replace(" ", ""), "hex")),
    segment(0xda, Buffer.from("01010000 3f00".replace(" ", ""), "hex")),
    Buffer.alloc(bytes, 1),
    Buffer.from("ffd9", "hex"),
  ]);
}

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type), data]);
  const [head, tail] = [Buffer.alloc(4), Buffer.alloc(4)];
  head.writeUInt32BE(data.length);
  tail.writeUInt32BE(crc32(body, 0));
  return Buffer.concat([head, body, tail]);
}

export function pngOf(text = "", bytes = 2000): Buffer {
  return Buffer.concat([
    Buffer.from("89504e470d0a1a0a", "hex"),
    chunk("IHDR", Buffer.alloc(13)),
    chunk("tEXt", Buffer.from(text)),
    chunk("IDAT", Buffer.alloc(bytes, 1)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}
