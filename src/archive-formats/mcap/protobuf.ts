/**
 * As much of the Protocol Buffers encoding as a picture needs: the schema `foxglove.CompressedImage`, as the descriptor
 * that an MCAP file carries, and the fields before a picture's bytes. A library would build each message whole, picture
 * included, in memory; here the bytes go from where they are into the file.
 */

const varintType = 0;
const lengthType = 2;

/** `foxglove.CompressedImage`: its field numbers, and the types of `FieldDescriptorProto`. */
const imageFields = { timestamp: 1, data: 2, format: 3, frameId: 4 } as const;
const fieldTypes = { int64: 3, int32: 5, text: 9, message: 11, bytes: 12 } as const;

/** A number; a negative one takes ten bytes, as `int64` has it. */
function varint(value: bigint | number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

function numberField(field: number, value: bigint | number): Uint8Array {
  return Buffer.concat([varint((field << 3) | varintType), varint(value)]);
}

/** What stands before the bytes of a field that has a length. */
function lengthHead(field: number, bytes: number): Uint8Array {
  return Buffer.concat([varint((field << 3) | lengthType), varint(bytes)]);
}

/** A text, or a message with these fields. */
function lengthField(field: number, content: string | readonly Uint8Array[]): Uint8Array {
  const bytes = typeof content === "string" ? Buffer.from(content) : Buffer.concat(content);
  return Buffer.concat([lengthHead(field, bytes.byteLength), bytes]);
}

export interface ImageHead {
  /** Whole seconds since the epoch and the nanoseconds after them. */
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly frameId: string;
  readonly format: string;
  /** Size of the picture. */
  readonly bytes: number;
}

/** A `foxglove.CompressedImage` up to its picture, whose bytes have to follow and end the message. */
export function encodeImageHead({ seconds, nanoseconds, frameId, format, bytes }: ImageHead): Uint8Array {
  return Buffer.concat([
    lengthField(imageFields.timestamp, [numberField(1, seconds), numberField(2, nanoseconds)]),
    lengthField(imageFields.frameId, frameId),
    lengthField(imageFields.format, format),
    lengthHead(imageFields.data, bytes),
  ]);
}

/** A `FieldDescriptorProto`; no field is repeated. */
function fieldDescriptor(name: string, number: number, type: number, typeName?: string): Uint8Array {
  const optional = 1;
  return lengthField(2, [
    lengthField(1, name),
    numberField(3, number),
    numberField(4, optional),
    numberField(5, type),
    ...(typeName === undefined ? [] : [lengthField(6, typeName)]),
  ]);
}

/** A `FileDescriptorProto` with one message, in a set of files. */
function fileDescriptor(
  path: string,
  packageName: string,
  imports: readonly string[],
  message: readonly Uint8Array[],
): Uint8Array {
  return lengthField(1, [
    lengthField(1, path),
    lengthField(2, packageName),
    ...imports.map((each) => lengthField(3, each)),
    lengthField(4, message),
    lengthField(12, "proto3"),
  ]);
}

/** The `FileDescriptorSet` of `foxglove.CompressedImage`, with the one file that it imports. */
export function compressedImageDescriptor(): Uint8Array {
  const { timestamp, data, format, frameId } = imageFields;
  const timestampFile = "google/protobuf/timestamp.proto";
  return Buffer.concat([
    fileDescriptor(
      timestampFile,
      "google.protobuf",
      [],
      [
        lengthField(1, "Timestamp"),
        fieldDescriptor("seconds", 1, fieldTypes.int64),
        fieldDescriptor("nanos", 2, fieldTypes.int32),
      ],
    ),
    fileDescriptor(
      "foxglove/CompressedImage.proto",
      "foxglove",
      [timestampFile],
      [
        lengthField(1, "CompressedImage"),
        fieldDescriptor("timestamp", timestamp, fieldTypes.message, ".google.protobuf.Timestamp"),
        fieldDescriptor("frame_id", frameId, fieldTypes.text),
        fieldDescriptor("data", data, fieldTypes.bytes),
        fieldDescriptor("format", format, fieldTypes.text),
      ],
    ),
  ]);
}
