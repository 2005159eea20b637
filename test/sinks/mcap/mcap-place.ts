/** A real file for the MCAP sink, the levers that its tests pull, and readers of other people's making. */
import { McapIndexedReader, McapStreamReader, type McapTypes } from "@mcap/core";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import protobuf from "protobufjs";
import * as descriptor from "protobufjs/ext/descriptor.js";
import type { ArchiveFile } from "../../../src/archive-formats/archive-file.ts";
import { crc32 } from "../../../src/bytes/checksum.ts";
import type { Sink } from "../../../src/ports.ts";
import { openNodeArchiveFile } from "../../../src/sinks/archive/archive-file.ts";
import { type McapStoreOptions, openMcapStore } from "../../../src/sinks/mcap/mcap-store.ts";
import { indexCacheBytesMax } from "../../../src/sinks/store/frame-index.ts";
import { gatheredBytesMax } from "../../../src/sinks/store/gathered-frame.ts";
import { Layout, layoutDefault } from "../../../src/sinks/store/layout.ts";
import type { StoreSinkOptions } from "../../../src/sinks/store/store-sink.ts";
import { frameBytesMax, sinkOf, type SinkPlace } from "../suite.ts";

/** Of the store and of its sink. */
export type McapOptions = Partial<McapStoreOptions & StoreSinkOptions>;

export class McapPlace implements SinkPlace {
  readonly parent: string = mkdtempSync(join(tmpdir(), "framepipe-"));
  readonly path: string = join(this.parent, "day.mcap");
  readonly #options: McapOptions;
  /** Virtual, so that nothing waits for healing and free space. */
  #nowMs = 0;
  /** What fails, until it is told otherwise. */
  broken: "write" | "sync" | undefined;
  /** How often it was flushed outside a commit. */
  syncNows = 0;

  constructor(options: McapOptions = {}) {
    this.#options = options;
  }

  open(changes: McapOptions = {}): Sink {
    const options = {
      path: this.path,
      layout: new Layout(layoutDefault),
      sync: "batch" as const,
      frameBytesMax,
      minFreeBytes: 0,
      memoryBytesMax: gatheredBytesMax,
      cacheBytes: indexCacheBytesMax,
      openFile: (path: string, create: boolean) => this.#breakable(openNodeArchiveFile(path, create)),
      clock: { nowMs: () => (this.#nowMs += 250), wallNs: () => 1_800_000_000_000_000_001n },
      ...this.#options,
      ...changes,
    };
    return sinkOf(openMcapStore(options), options);
  }

  /** Of a set, in the order of their names. */
  get paths(): readonly string[] {
    return [this.path];
  }

  stored(): Map<string, string> {
    const pictures = this.paths.flatMap((path) => [...readPictures(path)]);
    const stored = new Map(pictures.map(([path, { bytes }]) => [path, Buffer.from(bytes).toString()]));
    if (stored.size < pictures.length) throw new Error("a path is in two archives");
    return stored;
  }

  breakCommits(broken: boolean): void {
    this.broken = broken ? "write" : undefined;
  }

  recordedGaps(): number {
    return this.#gapFacts(false);
  }

  recordedStretches(): number {
    return this.#gapFacts(true);
  }

  #gapFacts(stretches: boolean): number {
    const facts = this.paths.flatMap((path) => factsOf(readStream(path), "/framepipe/gaps"));
    return facts.filter((fact) => (fact["reason"] === "stretch") === stretches).length;
  }

  recordedEnds(): number {
    return this.paths.flatMap((path) => factsOf(readStream(path), "/framepipe/ends")).length;
  }

  remove(): void {
    rmSync(this.parent, { recursive: true, force: true });
  }

  #breakable(file: ArchiveFile): ArchiveFile {
    const full = (): Error => Object.assign(new Error("broken for a test"), { code: "ENOSPC" });
    return {
      path: file.path,
      identity: file.identity,
      bytes: file.bytes,
      read: (into, position) => file.read(into, position),
      write: (views, position) => {
        if (this.broken !== "write") return file.write(views, position);
        // As a disk does that fills up: some of it is there.
        const [first] = views;
        if (first !== undefined) file.write([first.subarray(0, first.byteLength >> 1)], position);
        throw full();
      },
      probe: (bytes, position) => {
        if (this.broken !== undefined) throw full();
        file.probe(bytes, position);
      },
      resize: (bytes) => file.resize(bytes),
      sync: () => (this.broken === "sync" ? Promise.reject(full()) : file.sync()),
      syncNow: () => {
        this.syncNows += 1;
        file.syncNow();
      },
      look: () => file.look(),
      size: () => file.size(),
      freeBytes: () => file.freeBytes(),
      close: () => file.close(),
    };
  }
}

/** What a reader finds that knows nothing of us, from the start of a file to where it ends or is torn. */
export interface ReadFile {
  readonly schemas: Map<number, McapTypes.Schema>;
  readonly channels: Map<number, McapTypes.Channel>;
  readonly messages: McapTypes.TypedMcapRecords["Message"][];
  /** It has a footer and nothing behind it. */
  readonly whole: boolean;
}

export function readStream(path: string): ReadFile {
  const reader = new McapStreamReader();
  const schemas = new Map<number, McapTypes.Schema>();
  const channels = new Map<number, McapTypes.Channel>();
  const messages: McapTypes.TypedMcapRecords["Message"][] = [];
  const bytes = readFileSync(path);
  if (bytes.byteLength > 0) reader.append(bytes);
  for (let record = reader.nextRecord(); record !== undefined; record = reader.nextRecord()) {
    if (record.type === "Schema") schemas.set(record.id, record);
    if (record.type === "Channel") channels.set(record.id, record);
    if (record.type === "Message") messages.push(record);
  }
  return { schemas, channels, messages, whole: reader.done() };
}

/** Reads by the summary alone; checks all checksums. */
export async function readIndexed(path: string): Promise<ReadFile & { readonly reader: McapIndexedReader }> {
  const bytes = readFileSync(path);
  const readable = {
    size: () => Promise.resolve(BigInt(bytes.byteLength)),
    read: (offset: bigint, length: bigint) =>
      Promise.resolve(new Uint8Array(bytes.subarray(Number(offset), Number(offset + length)))),
  };
  const reader = await McapIndexedReader.Initialize({ readable });
  const messages: McapTypes.TypedMcapRecords["Message"][] = [];
  for await (const message of reader.readMessages({ validateCrcs: true })) messages.push(message);
  return {
    reader,
    schemas: new Map(reader.schemasById),
    channels: new Map(reader.channelsById),
    messages,
    whole: true,
  };
}

/** The facts of one of our topics, in the order of the file. */
export function factsOf({ channels, messages }: ReadFile, topic: string): Record<string, unknown>[] {
  return messages
    .filter(({ channelId }) => channels.get(channelId)?.topic === topic)
    .map(({ data }) => JSON.parse(Buffer.from(data).toString()) as Record<string, unknown>);
}

export interface Picture {
  readonly facts: Record<string, unknown>;
  readonly bytes: Uint8Array;
  readonly channel: McapTypes.Channel;
  readonly message: McapTypes.TypedMcapRecords["Message"];
  /** The decoded message, of a channel of pictures. */
  readonly image: DecodedImage | undefined;
}

export interface DecodedImage {
  readonly timestamp: { readonly seconds: { toString(): string }; readonly nanos: number };
  readonly frame_id: string;
  readonly format: string;
  readonly data: Uint8Array;
}

/** The types that a `FileDescriptorSet` describes. */
export function rootOf(set: Uint8Array): protobuf.Root {
  const files = descriptor.FileDescriptorSet.decode(set) as unknown as descriptor.IFileDescriptorSet;
  return protobuf.Root.fromDescriptor(files);
}

/** Decodes a message with the schema in the file, as a viewer does. */
export function decodeImage(schema: McapTypes.Schema, data: Uint8Array): DecodedImage {
  return rootOf(schema.data).lookupType(schema.name).decode(data) as unknown as DecodedImage;
}

/** Each frame by its path, its bytes as `decodeImage` gives them. Throws if a fact and its frame do not agree. */
export function readPictures(path: string): Map<string, Picture> {
  const file = readStream(path);
  const pictures = new Map<string, Picture>();
  let last: McapTypes.TypedMcapRecords["Message"] | undefined;
  for (const message of file.messages) {
    const topic = file.channels.get(message.channelId)?.topic;
    if (topic !== "/framepipe/frames") {
      last = topic === "/framepipe/gaps" || topic === "/framepipe/ends" ? last : message;
      continue;
    }
    const [facts] = factsOf({ ...file, messages: [message] }, topic);
    const channel = last === undefined ? undefined : file.channels.get(last.channelId);
    if (last === undefined || channel === undefined || facts === undefined) throw new Error("a fact without a frame");
    const schema = file.schemas.get(channel.schemaId);
    const image = schema === undefined ? undefined : decodeImage(schema, last.data);
    const bytes = image?.data ?? last.data;
    if (bytes.byteLength !== facts["bytes"] || crc32(bytes) !== facts["crc32"] || channel.topic !== facts["topic"]) {
      throw new Error(`${String(facts["path"])} is not what its fact says`);
    }
    if (pictures.has(String(facts["path"]))) throw new Error(`${String(facts["path"])} is there twice`);
    pictures.set(String(facts["path"]), { facts, bytes, channel, message: last, image });
    last = undefined;
  }
  return pictures;
}
