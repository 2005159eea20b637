/**
 * What a store on another machine has to be able to do, as a port: `RemoteStore` makes a destination of it, and
 * `verifyRemote` looks it through. It holds frames, each put once and never changed, and *records*: small texts that
 * are changed only by who knows what they were.
 */
import type { SinkError } from "../../errors.ts";
import type { Origin } from "../../frame.ts";
import type { FrameRecord } from "./frame-record.ts";

/** An answer is not to be had now, or may have been lost on its way: the same is to be asked again, soon. */
export class TryAgain extends Error {
  override readonly name = "TryAgain";
}

/** A text and what version of it this is, in the store's own words. */
export interface StoredRecord {
  readonly text: string;
  readonly version: string;
}

export interface Page {
  readonly names: readonly string[];
  /** Undefined: it is the last one. */
  readonly next: string | undefined;
}

/** What was read of a frame, and what is said of it. */
export interface ReadFrame {
  readonly record: FrameRecord | "foreign";
  readonly bytes: number;
  readonly crc32: number;
}

/**
 * Every call may reject with `TryAgain`, or with a SinkError that says why it is of no use to ask again soon. Paths are
 * those of frames: safe segments with `/` between them.
 */
export interface Remote {
  /** For messages: `s3://bucket/prefix`. Without a secret. */
  readonly place: string;
  /** For a person: what an ack of it means. */
  readonly ackMeans: string;
  /**
   * Rejects unless the store does what keeps frames single: of two that put, it refuses the second. Called before
   * anything else, and again after each failure. `mustExist`: nothing is made that was not there.
   */
  prove(mustExist: boolean): Promise<void>;
  /** Whether the store has such a path. */
  hasPath(path: string): boolean;
  /** Whether the ledgers of a source have a key. */
  hasLedger(origin: Origin): boolean;
  /** Why it takes no frame of so many bytes, as a fault of the frame. */
  refusal(bytes: number): SinkError | undefined;
  /** Puts a frame where nothing is. `taken`: something is, perhaps what an earlier call has put. */
  put(path: string, record: FrameRecord, bytes: Uint8Array): Promise<"stored" | "taken">;
  /** What is at a path. `foreign`: something that no framepipe has put there. Undefined: nothing. */
  look(path: string): Promise<FrameRecord | "foreign" | undefined>;
  /**
   * What is at some of these paths of a folder, where that is cheaper together; what it leaves out may be there all the
   * same. Absent: it never is.
   */
  lookTogether?(folder: string, paths: readonly string[]): Promise<ReadonlyMap<string, FrameRecord | "foreign">>;
  /** Whether it holds any frame whose path begins so; it may say yes when it does not know. */
  hasFramesIn(folder: string): Promise<boolean>;
  readRecord(key: string): Promise<StoredRecord | undefined>;
  /**
   * Writes a text in the place of the version that is named, or where none is. The new version; undefined: what is
   * there is another one, perhaps what an earlier call has written.
   */
  writeRecord(key: string, text: string, version: string | undefined): Promise<string | undefined>;
  /** Keys of records, and paths of frames, page by page; `from` is `next` of the page before. */
  listRecords(from: string | undefined): Promise<Page>;
  listFrames(from: string | undefined): Promise<Page>;
  /** Reads a frame to its end. Undefined: it is gone. */
  read(path: string): Promise<ReadFrame | undefined>;
  /** Ends what is under way; nothing is asked any more. */
  close(): void;
}
