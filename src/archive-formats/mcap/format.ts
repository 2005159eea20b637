/**
 * What stands in our MCAP files, apart from how it is laid out: topics, schemas, and the facts that go with each
 * picture. MCAP.md describes it for everybody else: it is public, so a change of it is a new `library` in the header.
 */
import { McapRecordBuilder, type McapTypes } from "@mcap/core";
import type { Frame, Gap, HeldFrame, Origin, SourceEnd, Stretch } from "../../frame.ts";
import type { ImageFormat } from "../../image-format.ts";
import { GiB } from "../../limits.ts";
import { compressedImageDescriptor, encodeImageHead } from "./protobuf.ts";

/** Of the name of an archive: hexadecimal digits. */
export const archiveIdLength = 16;

/** A name for a new archive, unlike that of any other. */
export function newArchiveId(): string {
  return crypto.randomUUID().replaceAll("-", "").slice(0, archiveIdLength);
}

/** A file with another `library` was written by another program, or by another version of this one. */
export function headerOf(archive: string): McapTypes.Header {
  return { profile: "", library: `framepipe mcap 2, archive ${archive}` };
}

/**
 * The largest frame. A reader holds a message whole, the common ones twice, and Protocol Buffers end at 2 GiB; writing
 * takes no memory.
 */
export const messageBytesMax: number = GiB;

/** A time as Foxglove's JSON has it: whole seconds, also before 1970, and the nanoseconds after them. */
interface JsonTime {
  readonly sec: number;
  readonly nsec: number;
}

const second = 1_000_000_000n;

export function jsonTime(ns: bigint): JsonTime {
  const nsec = ((ns % second) + second) % second;
  return { sec: Number((ns - nsec) / second), nsec: Number(nsec) };
}

/** MCAP has no times before 1970. */
export function logTime(ns: bigint): bigint {
  return ns < 0n ? 0n : ns;
}

/** What stands before the bytes of a picture in its message. */
export function imageHead({ capturedNs, origin, bytes }: Frame, format: ImageFormat): Uint8Array {
  const { sec, nsec } = jsonTime(capturedNs);
  return encodeImageHead({ seconds: sec, nanoseconds: nsec, frameId: origin.source, format, bytes });
}

/** One of our facts: which channel it is on, and its text. */
export interface Fact {
  readonly channelId: number;
  readonly sequence: number;
  readonly json: string;
}

export interface FrameFact extends HeldFrame {
  readonly topic: string;
  readonly receivedNs: bigint;
}

/** Where a fact was written. It stands at the end of each, in this order. */
export interface GroupFacts {
  readonly archive: string;
  /** Where in the file the commit began. */
  readonly group: number;
}

/** What a fact written so ends with, and nothing else in it: a quote within a name has a backslash before it. */
export function groupPattern(archive: string): RegExp {
  return new RegExp(`"archive":"${archive}","group":(?<group>\\d{1,16})\\}`, "g");
}

/** The longest text that `groupPattern` finds. */
export const groupTextBytesMax: number = `"archive":"","group":}`.length + archiveIdLength + 16;

export function frameFact(fact: FrameFact, { archive, group }: GroupFacts): Fact {
  const { frame, path, number, crc32, topic, receivedNs } = fact;
  const { device, source, session } = frame.origin;
  const { sequence, name, bytes } = frame;
  const json = JSON.stringify({
    device,
    source,
    session,
    sequence,
    name,
    path,
    number,
    bytes,
    crc32,
    captured: jsonTime(frame.capturedNs),
    received: jsonTime(receivedNs),
    topic,
    archive,
    group,
  });
  return { channelId: channelIds.frames, sequence, json };
}

export function gapFact(gap: Gap, ns: bigint, { archive, group }: GroupFacts): Fact {
  const { origin, firstSequence, count, reason, name, detail } = gap;
  const { device, source, session } = origin;
  const facts = { device, source, session, first_sequence: firstSequence, count, reason, name, detail };
  const json = JSON.stringify({ ...facts, recorded: jsonTime(ns), archive, group });
  return { channelId: channelIds.gaps, sequence: firstSequence, json };
}

/**
 * Bytes of a stream that are in no frame. They go with the gaps, as one of no frames: a channel of their own would make
 * the files of earlier versions impossible to continue.
 */
export function stretchFact(stretch: Stretch, ns: bigint, { archive, group }: GroupFacts): Fact {
  const { origin, sequence, class: kind, count, bytes, text } = stretch;
  const { device, source, session } = origin;
  const facts = { device, source, session, first_sequence: sequence, count: 0, reason: "stretch", name: "" };
  const said = { ...facts, detail: text, class: kind, stretches: count, bytes };
  return {
    channelId: channelIds.gaps,
    sequence,
    json: JSON.stringify({ ...said, recorded: jsonTime(ns), archive, group }),
  };
}

export function endFact({ origin, totals }: SourceEnd, ns: bigint, { archive, group }: GroupFacts): Fact {
  const { device, source, session } = origin;
  const { frames, stored, duplicates, conflicts, refused, skipped } = totals;
  const facts = { device, source, session, frames, stored, duplicates, conflicts, refused, skipped };
  const json = JSON.stringify({ ...facts, ended: jsonTime(ns), archive, group });
  return { channelId: channelIds.ends, sequence: 0, json };
}

/** What a fact says when it is read back: `held` if it is about a frame. */
export interface ReadFact extends GroupFacts {
  /** That of its message. */
  readonly sequence: number;
  readonly held: HeldFrame | undefined;
}

/** Undefined: this is none of our facts. */
export function readFact(channelId: number, text: string): ReadFact | undefined {
  let facts: unknown;
  try {
    facts = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(facts) || typeof facts["archive"] !== "string" || !isCount(facts["group"])) return undefined;
  const { archive, group } = facts;
  if (channelId !== channelIds.frames) {
    const first = facts["first_sequence"];
    return { archive, group, sequence: isCount(first) ? first : 0, held: undefined };
  }
  const { device, source, session, sequence, name, path, number, bytes, crc32, captured } = facts;
  if (typeof device !== "string" || typeof source !== "string" || typeof session !== "string") return undefined;
  if (typeof name !== "string" || typeof path !== "string" || !isRecord(captured)) return undefined;
  if (!isCount(sequence) || !isCount(number) || !isCount(bytes) || !isCount(crc32)) return undefined;
  if (!Number.isSafeInteger(captured["sec"]) || !isCount(captured["nsec"])) return undefined;
  const capturedNs = BigInt(captured["sec"] as number) * second + BigInt(captured["nsec"]);
  const frame: Frame = { origin: { device, source, session }, sequence, name, bytes, capturedNs };
  return { archive, group, sequence, held: { frame, path, number, crc32 } };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

const schemaIds = { image: 1, frame: 2, gap: 3, end: 4 } as const;
/** Channels of our own facts. Those of the sources have the numbers behind them, as they come. */
export const channelIds = { frames: 1, gaps: 2, ends: 3 } as const;
export const ownChannels = 3;
/** Channel numbers have 16 bits. */
export const channelIdMax = 65_535;

export type Schemas = readonly McapTypes.Schema[];

/** All schemas, in the order of their numbers. */
export const schemas: Schemas = makeSchemas("duplicates");
/** Those of files that version 0.1.0 began: it had another word. */
export const schemasOf010: Schemas = makeSchemas("already");

function makeSchemas(duplicates: string): McapTypes.Schema[] {
  const [text, count] = [{ type: "string" }, { type: "integer" }];
  const time = { type: "object", title: "time", properties: { sec: count, nsec: count } };
  const origin = { device: text, source: text, session: text };
  const frame = {
    ...origin,
    sequence: count,
    name: text,
    path: text,
    number: count,
    bytes: count,
    crc32: count,
    captured: time,
    received: time,
    topic: text,
    archive: text,
    group: count,
  };
  const gap = {
    ...origin,
    first_sequence: count,
    count,
    reason: text,
    name: text,
    detail: text,
    recorded: time,
    archive: text,
    group: count,
  };
  const end = {
    ...origin,
    frames: count,
    stored: count,
    [duplicates]: count,
    conflicts: count,
    refused: count,
    skipped: count,
    ended: time,
    archive: text,
    group: count,
  };
  const image = { name: "foxglove.CompressedImage", encoding: "protobuf", data: compressedImageDescriptor() };
  return [
    { id: schemaIds.image, ...image },
    jsonSchema(schemaIds.frame, "framepipe.Frame", frame),
    jsonSchema(schemaIds.gap, "framepipe.Gap", gap),
    jsonSchema(schemaIds.end, "framepipe.End", end),
  ];
}

function jsonSchema(id: number, name: string, properties: Readonly<Record<string, object>>): McapTypes.Schema {
  const data = Buffer.from(JSON.stringify({ title: name, type: "object", properties }));
  return { id, name, encoding: "jsonschema", data };
}

/** All schemas as they stand in a file, before the first channel. */
export function encodeSchemas(all: Schemas): Uint8Array {
  const builder = new McapRecordBuilder();
  for (const schema of all) builder.writeSchema(schema);
  return builder.buffer;
}

/** What the frames of a channel are: pictures that Foxglove shows, or anything else. */
export type ChannelKind = "image" | "other";

/** A channel of one source. */
export interface SourceChannel {
  readonly kind: ChannelKind;
  readonly origin: Pick<Origin, "device" | "source">;
}

/** Channel `1` … `3`, of our own facts. */
export function ownChannelRecords(): McapTypes.Channel[] {
  const records: [number, number, string][] = [
    [channelIds.frames, schemaIds.frame, "frames"],
    [channelIds.gaps, schemaIds.gap, "gaps"],
    [channelIds.ends, schemaIds.end, "ends"],
  ];
  return records.map(([id, schemaId, name]) => {
    return { id, schemaId, topic: `/framepipe/${name}`, messageEncoding: "json", metadata: new Map() };
  });
}

export function channelRecord(id: number, { kind, origin }: SourceChannel): McapTypes.Channel {
  const { device, source } = origin;
  const metadata = new Map([
    ["device", device],
    ["source", source],
  ]);
  const topic = topicOf(`/${device}/${source}`);
  if (kind === "image") return { id, schemaId: schemaIds.image, topic, messageEncoding: "protobuf", metadata };
  return { id, schemaId: 0, topic: `${topic}/raw`, messageEncoding: "application/octet-stream", metadata };
}

/** The source whose channel this is. Undefined: not a channel of ours. */
export function sourceOf({ schemaId, metadata }: McapTypes.Channel): SourceChannel | undefined {
  const [device, source] = [metadata.get("device"), metadata.get("source")];
  if (device === undefined || source === undefined) return undefined;
  return { kind: schemaId === schemaIds.image ? "image" : "other", origin: { device, source } };
}

/**
 * Letters and digits of all languages, `_`, `-` and `/` can be typed into Foxglove without quotes. What a name has
 * besides becomes `_`; the channel's metadata has it as it was. A device may be called `framepipe`, as our own topics.
 */
function topicOf(path: string): string {
  return path.replace(/[^\p{L}\p{N}_/-]/gu, "_").replace(/^\/framepipe(?=\/)/, "/framepipe_");
}
