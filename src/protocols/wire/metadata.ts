/**
 * The pairs of a frame's metadata: u8 length, key, u16 length, value (PROTOCOL.md, FRAME). A Map, because a peer
 * chooses the keys, and `__proto__` is one of the allowed.
 */
import type { FieldReader } from "../../bytes/field-reader.ts";
import type { FieldWriter } from "../../bytes/field-writer.ts";
import { assert, ProtocolCode, ProtocolError } from "../../errors.ts";
import type { Metadata } from "../../frame.ts";
import { metadataBytesMax, metadataKeyBytesMax } from "../../limits.ts";

const keyPattern = new RegExp(`^[a-z0-9_.-]{1,${metadataKeyBytesMax}}$`);
// oxlint-disable-next-line no-control-regex -- these are what it looks for
const controlCharacter = /[\u0000-\u001f\u007f-\u009f]/;

/** Why it cannot travel, in a few words. Whoever makes it asks; the writer asserts. */
export function metadataProblem(metadata: Metadata): string | undefined {
  let bytes = 0;
  for (const [key, value] of metadata) {
    const problem = pairProblem(key, value);
    if (problem !== undefined) return problem;
    bytes += 3 + key.length + Buffer.byteLength(value);
  }
  return bytes > metadataBytesMax ? `${bytes} bytes, limit ${metadataBytesMax}` : undefined;
}

function pairProblem(key: string, value: string): string | undefined {
  if (!keyPattern.test(key)) return `a key is not 1 to ${metadataKeyBytesMax} of a-z 0-9 _ . -`;
  return controlCharacter.test(value) ? "a control character in a value" : undefined;
}

/** Writes length and pairs. */
export function writeMetadata(writer: FieldWriter, metadata: Metadata | undefined): void {
  const start = writer.position;
  writer.u16(0);
  if (metadata === undefined) return;
  assert(metadataProblem(metadata) === undefined, "metadata is checked where it is made");
  for (const [key, value] of metadata) {
    writer.u8(key.length);
    for (let at = 0; at < key.length; at++) writer.u8(key.charCodeAt(at));
    writer.text(value, metadataBytesMax);
  }
  const end = writer.position;
  writer.position = start;
  writer.u16(end - start - 2);
  writer.position = end;
}

/** Undefined if there is none. Throws ProtocolError. */
export function readMetadata(reader: FieldReader): Metadata | undefined {
  const length = reader.u16();
  if (length === 0) return undefined;
  if (length > metadataBytesMax) {
    throw new ProtocolError(ProtocolCode.limit, `bytes of metadata: ${length}, limit ${metadataBytesMax}`);
  }
  const metadata = new Map<string, string>();
  const end = reader.position + length;
  while (reader.position < end) {
    const key = reader.utf8(reader.u8());
    const value = reader.text(metadataBytesMax);
    const problem = metadata.has(key) ? "a key occurs twice" : pairProblem(key, value);
    if (problem !== undefined) throw new ProtocolError(ProtocolCode.malformed, `metadata: ${problem}`);
    metadata.set(key, value);
  }
  if (reader.position !== end) throw new ProtocolError(ProtocolCode.malformed, "metadata: a pair exceeds it");
  return metadata;
}
