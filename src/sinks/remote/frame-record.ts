/**
 * What is known of a frame in a store on another machine: short texts that travel with its bytes, as the metadata of an
 * object or the headers of a message. STORES.md lists them. They are ASCII: anything else is percent-encoded, because
 * such texts pass through servers and proxies that take a byte above 127 as they like.
 */
import type { Frame, Metadata } from "../../frame.ts";

export interface FrameRecord {
  readonly frame: Frame;
  /** 1: under its own name; from 2: a conflict. */
  readonly number: number;
  readonly crc32: number;
  readonly receivedNs: bigint;
}

export type RecordTexts = Readonly<Record<string, string>>;

export function encodeRecord({ frame, number, crc32, receivedNs }: FrameRecord): Record<string, string> {
  const { origin, name, sequence, bytes, capturedNs, clockOffsetNs, notes, metadata } = frame;
  const texts: Record<string, string> = {
    framepipe: "1",
    device: encode(origin.device),
    source: encode(origin.source),
    session: origin.session,
    sequence: String(sequence),
    name: encode(name),
    number: String(number),
    bytes: String(bytes),
    crc32: crc32.toString(16).padStart(8, "0"),
    captured: String(capturedNs),
    received: String(receivedNs),
  };
  if (clockOffsetNs !== undefined) texts["clock-offset"] = String(clockOffsetNs);
  if (notes !== undefined && notes !== 0) texts["notes"] = String(notes);
  if (metadata !== undefined && metadata.size > 0)
    texts["metadata"] = encode(JSON.stringify(Object.fromEntries(metadata)));
  return texts;
}

/** Undefined: these are not the texts of a frame. */
export function decodeRecord(texts: RecordTexts): FrameRecord | undefined {
  const { framepipe, device, source, session, sequence, name, number, bytes, crc32 } = texts;
  const { captured, received, "clock-offset": clockOffset, notes, metadata } = texts;
  if (framepipe !== "1" || device === undefined || source === undefined || name === undefined) return undefined;
  if (!/^[0-9a-f]{32}$/.test(session ?? "") || !/^[0-9a-f]{8}$/.test(crc32 ?? "")) return undefined;
  const numbers = [sequence, number, bytes, notes ?? "0"].map((text) =>
    /^\d{1,16}$/.test(text ?? "") ? Number(text) : Number.NaN,
  );
  if (
    !numbers.every(Number.isSafeInteger) ||
    ![captured, received, clockOffset ?? "0"].every((text) => /^-?\d{1,20}$/.test(text ?? ""))
  ) {
    return undefined;
  }
  try {
    const [sequenceNumber = 0, versionNumber = 0, size = 0, noteBits = 0] = numbers;
    const frame: Frame = {
      origin: { device: decodeURIComponent(device), source: decodeURIComponent(source), session: session as string },
      name: decodeURIComponent(name),
      sequence: sequenceNumber,
      bytes: size,
      capturedNs: BigInt(captured as string),
      ...(clockOffset === undefined ? {} : { clockOffsetNs: BigInt(clockOffset) }),
      ...(noteBits === 0 ? {} : { notes: noteBits }),
      ...(metadata === undefined ? {} : { metadata: metadataOf(decodeURIComponent(metadata)) }),
    };
    return {
      frame,
      number: versionNumber,
      crc32: Number.parseInt(crc32 as string, 16),
      receivedNs: BigInt(received as string),
    };
  } catch {
    return undefined;
  }
}

function metadataOf(text: string): Metadata {
  return new Map(Object.entries(JSON.parse(text) as Record<string, string>));
}

function encode(text: string): string {
  return encodeURIComponent(text).replaceAll("%2F", "/");
}

/** Whether this is the frame that the texts are of: the same name of the same source, with the same bytes. */
export function isSameFrame(record: FrameRecord, frame: Frame, crc32: number): boolean {
  return isSameName(record.frame, frame) && record.frame.bytes === frame.bytes && record.crc32 === crc32;
}

export function isSameName({ origin, name }: Frame, other: Pick<Frame, "origin" | "name">): boolean {
  return origin.device === other.origin.device && origin.source === other.origin.source && name === other.name;
}
