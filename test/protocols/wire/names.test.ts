/** Names as bytes: what is no text is no safe name, and a name that is too long ends no connection. */
import { describe, expect, test } from "bun:test";
import { FieldReader } from "../../../src/bytes/field-reader.ts";
import { ProtocolError } from "../../../src/errors.ts";
import { headBytesMax, nameBytesMax } from "../../../src/limits.ts";
import { nameProblem } from "../../../src/names.ts";

function read(bytes: Uint8Array): string {
  const field = new Uint8Array(2 + bytes.length);
  new DataView(field.buffer).setUint16(0, bytes.length, true);
  field.set(bytes, 2);
  return new FieldReader(field).name(nameBytesMax, headBytesMax);
}

describe("a name on the wire", () => {
  const bad = [
    [0xff],
    [0x61, 0xc3],
    [0xc0, 0xaf],
    [0xed, 0xa0, 0x80],
    [0xef, 0xbf, 0xbd, 0xff],
    [0xf5, 0x80, 0x80, 0x80],
  ];
  test.each(bad.map((bytes) => [Buffer.from(bytes).toString("hex"), bytes] as const))(
    "%s is no safe name",
    (_, bytes) => {
      expect(nameProblem(read(Uint8Array.from(bytes)))).toBe("not valid unicode");
    },
  );

  test("U+FFFD itself is a character like any other", () => {
    const name = "was not UTF-8 \ufffd.jpg";
    expect(read(Buffer.from(name))).toBe(name);
  });

  test("so is a byte order mark, which would make two names one", () => {
    expect(read(Buffer.from("\ufeff1.jpg"))).toBe("\ufeff1.jpg");
  });

  test("of a longer one there is the beginning, up to a character", () => {
    expect(read(Buffer.from("n".repeat(5000)))).toBe("n".repeat(nameBytesMax));
    expect(read(Buffer.from(`n${"é".repeat(2000)}`))).toBe(`n${"é".repeat(511)}`);
  });

  test("where a longer one is a fault, it is one", () => {
    const field = Buffer.from([1, 4]);
    expect(() => new FieldReader(Buffer.concat([field, Buffer.alloc(1025)])).name(nameBytesMax)).toThrow(ProtocolError);
  });
});
