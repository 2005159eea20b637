import { expect, test } from "bun:test";
import {
  blockBytes,
  decodeBlock,
  decodeRecords,
  encodeHead,
  extensionPath,
  padded,
  paddingBytes,
  parseSeconds,
} from "../../src/archive-formats/tar/format.ts";
import { Random } from "../support/random.ts";

/** Reads a head back as a reader of archives does. */
function decoded(head: Uint8Array) {
  const extension = decodeBlock(head.subarray(0, blockBytes));
  if (extension === undefined || extension === "zeros") throw new Error("no extended header");
  const records = decodeRecords(head.subarray(blockBytes, blockBytes + extension.bytes));
  const memberStart = blockBytes + padded(extension.bytes);
  const member = decodeBlock(head.subarray(memberStart));
  if (records === undefined || member === undefined || member === "zeros") throw new Error("no member");
  expect(head.byteLength).toBe(memberStart + blockBytes);
  return { extension, records, member };
}

test("what is encoded is decoded", () => {
  const random = new Random(7);
  const letters = ["a", "b", "/", " ", "ü", "→", "😀", "=", '"'];
  for (let round = 0; round < 500; round += 1) {
    const path = Array.from({ length: 1 + random.int(200) }, () => random.pick(letters)).join("");
    const bytes = random.chance(0.3) ? random.int(2 ** 50) : random.int(2 ** 33);
    const modifiedNs = BigInt(random.int(2 ** 53)) * (random.chance(0.1) ? -1n : 1n) * BigInt(1 + random.int(1000));
    const comment = "x".repeat(random.int(1200));
    const { extension, records, member } = decoded(encodeHead({ path, bytes, modifiedNs, comment }));
    expect(extension).toMatchObject({ path: extensionPath, type: "x" });
    expect(member.type).toBe("0");
    expect(records.get("path") ?? member.path).toBe(path);
    expect(Number(records.get("size") ?? member.bytes)).toBe(bytes);
    expect(parseSeconds(records.get("mtime") ?? "")).toBe(modifiedNs);
    expect(records.get("comment")).toBe(comment);
  }
});

test("records count their own length, also where it gains a digit", () => {
  for (let length = 0; length < 1100; length += 1) {
    const comment = "c".repeat(length);
    expect(decoded(encodeHead({ path: "a", bytes: 1, modifiedNs: 0n, comment })).records.get("comment")).toBe(comment);
  }
});

test("only what a plain head cannot hold is in the extended one", () => {
  const keys = (path: string, bytes: number) =>
    [...decoded(encodeHead({ path, bytes, modifiedNs: 1n, comment: "c" })).records.keys()].join();
  expect(keys("a".repeat(100), 8 ** 11 - 1)).toBe("mtime,comment");
  expect(keys("a".repeat(101), 1)).toBe("mtime,path,comment");
  expect(keys("ü", 1)).toBe("mtime,path,comment");
  expect(keys("a", 8 ** 11)).toBe("mtime,size,comment");
});

test("a block with any other byte is no head", () => {
  const head = encodeHead({ path: "a.jpg", bytes: 5, modifiedNs: 1n, comment: "c" });
  for (const index of [0, 100, 124, 136, 148, 156, 257, 511]) {
    const block = Uint8Array.from(head.subarray(-blockBytes));
    block[index] = (block[index] ?? 0) ^ 1;
    expect(decodeBlock(block), `byte ${index}`).toBeUndefined();
  }
  expect(decodeBlock(new Uint8Array(blockBytes))).toBe("zeros");
  expect(decodeBlock(new Uint8Array(blockBytes).fill(0x20))).toBeUndefined();
});

test("sizes as GNU tar writes them from 8 GiB on", () => {
  const block = Buffer.from(encodeHead({ path: "a", bytes: 0, modifiedNs: 0n, comment: "c" }).subarray(-blockBytes));
  const sum = (): void => {
    block.fill(0x20, 148, 156);
    block.write(
      block
        .reduce((total, byte) => total + byte, 0)
        .toString(8)
        .padStart(6, "0"),
      148,
    );
    block[154] = 0;
  };
  block.fill(0, 124, 136);
  block[124] = 0x80;
  block.writeUIntBE(9 * 2 ** 30 + 5, 130, 6);
  sum();
  expect(decodeBlock(block)).toMatchObject({ bytes: 9 * 2 ** 30 + 5 });
  block[126] = 1;
  sum();
  expect(decodeBlock(block)).toBeUndefined();
});

test("records that are not well-formed are none", () => {
  for (const text of ["9 a=b\n", "6 a=b\n6", "x a=b\n", " a=b\n", "6 a=bc", "6 aabb\n", "0 a=b\n", "3 a=b\n"]) {
    expect(decodeRecords(Buffer.from(text)), JSON.stringify(text)).toBeUndefined();
  }
  expect(decodeRecords(Buffer.from("6 a=b\n8 c==\u00fc\n"))).toEqual(
    new Map([
      ["a", "b"],
      ["c", "=ü"],
    ]),
  );
});

test("blocks are filled", () => {
  expect([0, 1, 511, 512, 513].map(paddingBytes)).toEqual([0, 511, 1, 0, 511]);
  // Beyond what 32 bits hold.
  expect(padded(2 ** 40 + 1)).toBe(2 ** 40 + 512);
});

test("times of other programs are read", () => {
  expect(parseSeconds("12")).toBe(12_000_000_000n);
  expect(parseSeconds("12.5")).toBe(12_500_000_000n);
  expect(parseSeconds("-0.000000001")).toBe(-1n);
  expect(parseSeconds("1.0123456789")).toBe(1_012_345_678n);
  expect(parseSeconds("soon")).toBeUndefined();
});
