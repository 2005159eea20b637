/**
 * A destination of the tests' own, small and whole, to show what a new one takes: a file for each source, in which all
 * of it stands one behind the other, and nothing else on the disk.
 *
 *     {"frame":{...},"path":"rig/visible/1.jpg","number":1,"crc32":123}\n BYTES \n {"gap":{...}}\n {"end":{...}}\n
 *
 * A commit appends to the files of its group and flushes them. What a crash leaves behind the last flushed record does
 * not have its checksum, and is cut off when the file is opened.
 */
import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { crc32 as checksumOf } from "../../../src/bytes/checksum.ts";
import type { Frame, FrameEntry, Gap, HeldFrame, Origin, RefusalReason, Verdict } from "../../../src/frame.ts";
import { MiB, segmentBytesMax } from "../../../src/limits.ts";
import { FrameIndex } from "../../../src/sinks/store/frame-index.ts";
import { Layout, layoutDefault } from "../../../src/sinks/store/layout.ts";
import type { Draft, Result, StagedItem, Store } from "../../../src/sinks/store/store.ts";

const newline = 0x0a;

class Pieces implements Draft {
  readonly views: Uint8Array[] = [];
  bytes = 0;

  write(view: Uint8Array): void {
    this.views.push(view.slice());
    this.bytes += view.byteLength;
  }

  discard(): void {
    this.views.length = 0;
  }
}

/** `end`: behind the last record that counts. */
interface SourceFile {
  readonly handle: number;
  end: number;
}

export class SourceFilesStore implements Store<Pieces> {
  readonly place: string;
  readonly traits = { appendOnly: true } as const;
  readonly #index = new FrameIndex({ file: undefined, layout: new Layout(layoutDefault), cacheBytes: MiB });
  /** By name. */
  readonly #files = new Map<string, SourceFile>();

  constructor(directory: string) {
    this.place = directory;
    mkdirSync(directory, { recursive: true });
    for (const name of readdirSync(directory)) this.#open(name);
    this.#index.keep();
  }

  #open(name: string): SourceFile {
    const path = join(this.place, name);
    const file: SourceFile = { handle: openSync(path, "a+"), end: 0 };
    for (const record of recordsOf(readFileSync(path))) {
      if (record.held !== undefined) this.#index.restore(record.held);
      file.end = record.end;
    }
    ftruncateSync(file.handle, file.end);
    // What an earlier process left without a flush is called stored from now on.
    fdatasyncSync(file.handle);
    this.#files.set(name, file);
    return file;
  }

  lookup(origin: Origin, entries: readonly FrameEntry[]): Verdict[] {
    return this.#index.lookup(origin, entries);
  }

  begin(frame: Frame): Pieces | RefusalReason {
    const isTooLong = Buffer.byteLength(fileNameOf(frame.origin)) > segmentBytesMax;
    return isTooLong || !this.#index.hasPathFor(frame.origin, frame, frame.sequence) ? "name" : new Pieces();
  }

  commit(items: readonly StagedItem<Pieces>[]): Result[] {
    const ends = new Map<SourceFile, number>();
    try {
      const results = items.map((item) => this.#append(item, ends));
      for (const file of ends.keys()) this.sync(file.handle);
      this.#index.keep();
      for (const [file, end] of ends) file.end = end;
      return results;
    } catch (error) {
      this.#index.forget();
      throw error;
    }
  }

  #append(item: StagedItem<Pieces>, ends: Map<SourceFile, number>): Result {
    if (item.kind === "gap") return this.#write(item.gap.origin, [line({ gap: item.gap })], ends);
    if (item.kind === "stretch") {
      return this.#write(item.stretch.origin, [line({ stretch: item.stretch })], ends);
    }
    if (item.kind === "end") return this.#write(item.end.origin, [line({ end: item.end })], ends);
    const { frame, draft, crc32 } = item;
    const placement = this.#index.place(frame, crc32);
    if (placement.kind === "refuse") return placement.reason;
    if (placement.kind === "held") return placement.outcome;
    const { path, number, outcome } = placement;
    const head = line({ frame: { ...frame, capturedNs: String(frame.capturedNs) }, path, number, crc32 });
    this.#write(frame.origin, [head, ...draft.views, Buffer.from("\n")], ends);
    return outcome;
  }

  #write(origin: Origin, views: readonly Uint8Array[], ends: Map<SourceFile, number>): "recorded" {
    const name = fileNameOf(origin);
    const isNew = !this.#files.has(name);
    const file = this.#files.get(name) ?? this.#open(name);
    if (isNew) this.#syncName();
    // A commit that failed may have left something behind the end.
    if (!ends.has(file)) ftruncateSync(file.handle, file.end);
    const bytes = Buffer.concat(views);
    for (let done = 0; done < bytes.byteLength;) done += writeSync(file.handle, bytes, done);
    ends.set(file, (ends.get(file) ?? file.end) + bytes.byteLength);
    return "recorded";
  }

  #syncName(): void {
    const handle = openSync(this.place, "r");
    try {
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  }

  /** A lever for tests: where a full disk shows. */
  protected sync(handle: number): void {
    fdatasyncSync(handle);
  }

  check(): undefined {
    return undefined;
  }

  recover(): void {
    for (const { handle } of this.#files.values()) this.sync(handle);
  }

  close(): void {
    this.#index.close();
    for (const { handle } of this.#files.values()) closeSync(handle);
  }
}

/** One file for a source whatever is in its name. */
export function fileNameOf({ device, source }: Origin): string {
  return encodeURIComponent(JSON.stringify([device, source]));
}

function line(fields: object): Buffer {
  return Buffer.from(`${JSON.stringify(fields)}\n`);
}

export interface FileRecord {
  /** A frame; undefined: `note` says what it is. */
  readonly held?: HeldFrame;
  readonly bytes?: Uint8Array;
  readonly note?: "gap" | "stretch" | "end";
  /** Behind it. */
  readonly end: number;
}

type Head =
  | (Omit<HeldFrame, "frame"> & { readonly frame: Omit<Frame, "capturedNs"> & { readonly capturedNs: string } })
  | { readonly gap: Gap };

/** What is in a file, up to the first record that is not whole. */
export function* recordsOf(file: Buffer): Generator<FileRecord> {
  for (let at = 0; at < file.byteLength;) {
    const start = file.indexOf("\n", at) + 1;
    const head = start === 0 ? undefined : parsed(file.toString("utf8", at, start));
    if (head === undefined) return;
    at = start;
    if (!("frame" in head)) {
      yield { note: "gap" in head ? "gap" : "stretch" in head ? "stretch" : "end", end: at };
      continue;
    }
    const frame: Frame = { ...head.frame, capturedNs: BigInt(head.frame.capturedNs) };
    const bytes = file.subarray(start, start + frame.bytes);
    at = start + frame.bytes + 1;
    if (file[at - 1] !== newline || checksumOf(bytes) !== head.crc32) return;
    yield { held: { ...head, frame }, bytes, end: at };
  }
}

function parsed(text: string): Head | undefined {
  try {
    return JSON.parse(text) as Head;
  } catch {
    return undefined;
  }
}
