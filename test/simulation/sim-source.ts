/**
 * A directory of frames in memory that outlives its sender: frames are listed in order, some cannot be read, and with
 * `deleteSent` a frame is gone once it is settled, as a file would be. Then only the receiver has it.
 */
import { crc32 } from "../../src/bytes/checksum.ts";
import { SourceError } from "../../src/errors.ts";
import type { FrameEntry, Outcome } from "../../src/frame.ts";
import type { Listed, OpenedFrame, Source } from "../../src/ports.ts";
import type { Random } from "../support/random.ts";

export interface SimFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly capturedNs: bigint;
  /** Fails each time it is read. */
  readonly broken: boolean;
  /** Larger than a file may be where it is to be stored. */
  readonly tooLarge?: boolean;
  /** What an earlier card had under the same name, with the same size and time. */
  readonly earlier?: Uint8Array;
}

/** The files of one source; the truth that the archive is compared with. */
export interface SimFolder {
  readonly source: string;
  readonly files: readonly SimFile[];
  /** Names of files that are gone from the sender. */
  readonly deleted: Set<string>;
}

export class SimSource implements Source {
  readonly name: string;
  readonly live: boolean;
  readonly #folder: SimFolder;
  readonly #random: Random;
  readonly #deleteSent: boolean;
  readonly #onSettled: (source: string, name: string, outcome: Outcome | undefined) => void;
  readonly #files: ReadonlyMap<string, SimFile>;
  #next = 0;
  #asked = 0;
  #disposed = false;

  constructor(options: {
    readonly folder: SimFolder;
    readonly random: Random;
    readonly deleteSent: boolean;
    readonly live: boolean;
    readonly onSettled: (source: string, name: string, outcome: Outcome | undefined) => void;
  }) {
    this.name = options.folder.source;
    this.live = options.live;
    this.#folder = options.folder;
    this.#files = new Map(options.folder.files.map((file) => [file.name, file]));
    this.#random = options.random;
    this.#deleteSent = options.deleteSent;
    this.#onSettled = options.onSettled;
  }

  list(max: number): Listed[] | undefined {
    const listed: Listed[] = [];
    const count = 1 + this.#random.int(max);
    for (; this.#next < this.#folder.files.length && listed.length < count; this.#next++) {
      const file = this.#folder.files[this.#next];
      if (file === undefined || this.#folder.deleted.has(file.name)) continue;
      const entry = { name: file.name, bytes: file.bytes.length, capturedNs: file.capturedNs };
      listed.push(this.live ? { ...entry, live: true } : entry);
    }
    return listed.length === 0 ? undefined : listed;
  }

  open(entry: FrameEntry): OpenedFrame {
    const file = this.#files.get(entry.name);
    if (file === undefined || this.#folder.deleted.has(file.name)) throw new SourceError("vanished", "gone");
    if (file.broken && this.#random.chance(0.5)) throw new SourceError("unreadable", "input/output error");
    let at = 0;
    return {
      bytes: file.bytes.length,
      read: (into) => {
        if (file.broken) throw new SourceError("changing", "changed while it was read");
        into.set(file.bytes.subarray(at, at + into.length), 0);
        at += into.length;
        return into.length;
      },
      close: () => undefined,
    };
  }

  /** A simulated file costs nothing to read, so all are compared; some of them are asked about twice. */
  confirms(entry: FrameEntry, checksum: number): boolean | undefined {
    this.#asked += 1;
    if (this.#asked % 3 === 0) return undefined;
    const file = this.#files.get(entry.name);
    return file === undefined || crc32(file.bytes) === checksum;
  }

  settled(entry: FrameEntry, outcome: Outcome | undefined): void {
    if (this.#disposed) throw new Error("settled after dispose");
    this.#onSettled(this.name, entry.name, outcome);
    if (this.#deleteSent && outcome !== undefined) this.#folder.deleted.add(entry.name);
  }

  dispose(): void {
    this.#disposed = true;
  }
}
