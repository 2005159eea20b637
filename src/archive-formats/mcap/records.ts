/**
 * Records of an MCAP file whose content is not to be copied into a buffer first: a message and a chunk are a head here
 * and bytes elsewhere. All other records are made by `McapRecordBuilder`.
 */
import { MCAP_MAGIC, McapRecordBuilder, Opcode } from "@mcap/core";
import { archiveIdLength, headerOf } from "./format.ts";

/** Of every record: opcode and length. */
export const recordHeadBytes = 9;
const messageFieldsBytes = 22;
export const messageHeadBytes: number = recordHeadBytes + messageFieldsBytes;
/** Up to the records of a chunk that is not compressed. */
export const chunkHeadBytes: number = recordHeadBytes + 40;

/**
 * Stands where the head of a chunk will be, while the chunk is growing. Until then its records stand in the file by
 * themselves, as they may, and readers pass over this one, whose opcode is of the range for private use.
 */
export const growingOpcode = 0x81;

/** What every record begins with. */
export interface RecordHead {
  readonly opcode: number;
  /** Of what follows the head. */
  readonly bytes: number;
}

export function readRecordHead(view: Buffer): RecordHead {
  return { opcode: view.readUInt8(0), bytes: Number(view.readBigUInt64LE(1)) };
}

function recordHead(
  opcode: number,
  headBytes: number,
  contentBytes: number,
  head: Buffer = Buffer.alloc(headBytes),
): Buffer {
  head.writeUInt8(opcode, 0);
  head.writeBigUInt64LE(BigInt(contentBytes), 1);
  return head;
}

export interface MessageHead {
  readonly channelId: number;
  /** Modulo 2^32: MCAP has no room for more. */
  readonly sequence: number;
  readonly logTime: bigint;
}

/** The head of a message with so many bytes of data, in `into` or memory of its own. */
export function encodeMessageHead(message: MessageHead, dataBytes: number, into?: Buffer): Buffer {
  const { channelId, sequence, logTime } = message;
  const head = recordHead(Opcode.MESSAGE, messageHeadBytes, messageFieldsBytes + dataBytes, into);
  head.writeUInt16LE(channelId, 9);
  head.writeUInt32LE(sequence % 2 ** 32, 11);
  head.writeBigUInt64LE(logTime, 15);
  head.writeBigUInt64LE(logTime, 23);
  return head;
}

export function readMessageHead(view: Buffer): MessageHead {
  return { channelId: view.readUInt16LE(9), sequence: view.readUInt32LE(11), logTime: view.readBigUInt64LE(15) };
}

export interface ChunkHead {
  readonly startTime: bigint;
  readonly endTime: bigint;
  readonly crc32: number;
  /** Of its records. */
  readonly bytes: number;
}

export function encodeChunkHead({ startTime, endTime, crc32, bytes }: ChunkHead): Buffer {
  const head = recordHead(Opcode.CHUNK, chunkHeadBytes, chunkHeadBytes - recordHeadBytes + bytes);
  head.writeBigUInt64LE(startTime, 9);
  head.writeBigUInt64LE(endTime, 17);
  head.writeBigUInt64LE(BigInt(bytes), 25);
  head.writeUInt32LE(crc32, 33);
  // At 37 the length of the compression's name, which is empty.
  head.writeBigUInt64LE(BigInt(bytes), 41);
  return head;
}

export function readChunkHead(view: Buffer): ChunkHead {
  return {
    startTime: view.readBigUInt64LE(9),
    endTime: view.readBigUInt64LE(17),
    crc32: view.readUInt32LE(33),
    bytes: Number(view.readBigUInt64LE(41)),
  };
}

export function encodeGrowingHead(): Buffer {
  const head = recordHead(growingOpcode, chunkHeadBytes, chunkHeadBytes - recordHeadBytes);
  head.write("framepipe: a growing chunk follows", recordHeadBytes);
  return head;
}

/** What a file of ours begins with. The archive's name is the last of it. */
export function encodeStart(archive: string): Uint8Array {
  const builder = new McapRecordBuilder();
  builder.writeMagic();
  builder.writeHeader(headerOf(archive));
  return builder.buffer;
}

const anyStart = encodeStart("0".repeat(archiveIdLength));
export const startBytes: number = anyStart.byteLength;

/** Whether these bytes, at most `startBytes`, are such a start or the beginning of one. */
export function isStart(bytes: Uint8Array): boolean {
  const fixed = anyStart.subarray(0, Math.min(bytes.byteLength, startBytes - archiveIdLength));
  return Buffer.compare(bytes.subarray(0, fixed.byteLength), fixed) === 0 && /^[0-9a-f]*$/.test(archiveIn(bytes));
}

/** The archive's name in a start, or what there is of it. */
export function archiveIn(start: Uint8Array): string {
  return Buffer.from(start.buffer, start.byteOffset, start.byteLength).toString("latin1", startBytes - archiveIdLength);
}

export const magic: Uint8Array = Uint8Array.from(MCAP_MAGIC);
