/**
 * The files of a source as they are sent, and how it is believed that the receiver has them: by name, size and capture
 * time where these are proof (time-doubt.ts). Else, and before a file is deleted (sent-removal.ts), its bytes are read
 * and their checksum compared with what the receiver says.
 */
import { statSync } from "node:fs";
import { SourceError } from "../../errors.ts";
import type { FrameEntry, Outcome } from "../../frame.ts";
import type { OpenedFrame } from "../../ports.ts";
import type { FilePath } from "../../system/file-path.ts";
import { type ChecksumMemory, lookOf } from "./checksum-memory.ts";
import type { FrameFiles } from "./frame-files.ts";
import { KeptFiles } from "./kept-files.ts";
import { type FileProof, type FileState, fileState, OpenedFile } from "./opened-file.ts";
import { ProofReader } from "./proof-reader.ts";
import { isWholeAgain } from "./quiet-file.ts";
import { type SentFate, SentRemoval } from "./sent-removal.ts";
import { type BelievedFile, TimeDoubt } from "./time-doubt.ts";

export type { SentFate } from "./sent-removal.ts";

export class SentFiles {
  readonly #files: FrameFiles;
  /** Undefined: files stay. */
  readonly #removal: SentRemoval | undefined;
  /** Told the name of each frame that could not be opened or read. */
  readonly #failed: ((name: string) => void) | undefined;
  /** What was read of the frames that are not settled yet: bounded by the window. */
  readonly #proofs = new Map<string, FileProof>();
  /** Of these, the states of those that are worth remembering once they are acknowledged. */
  readonly #read = new Map<string, FileState>();
  /** Were changed since they were listed before, with the same size and time. */
  readonly #rewritten = new Set<string>();
  readonly #doubt = new TimeDoubt();
  readonly #kept: KeptFiles;
  /** Were believed, and are to be compared after all. */
  readonly #doubted: BelievedFile[] = [];
  /** Of the file that is being compared, before it is believed and after. */
  readonly #reader = new ProofReader();
  readonly #reviewer = new ProofReader();

  /** `keptMax`: how many of the files given to `keep` stay open until they are read. */
  constructor(files: FrameFiles, deleteSent: boolean, failed?: (name: string) => void, keptMax = 0) {
    this.#kept = new KeptFiles(keptMax);
    this.#files = files;
    this.#removal = deleteSent ? new SentRemoval(files) : undefined;
    this.#failed = failed;
  }

  /** Its root was on a file system that is read-only: nothing need rest that cannot be removed anyway. */
  get isReadOnly(): boolean {
    return this.#removal?.isReadOnly === true;
  }

  /** As `Source.open`. */
  open(entry: FrameEntry): OpenedFrame {
    const { name } = entry;
    const path = this.#files.path(name);
    this.#proofs.delete(name);
    this.#reader.forget(name);
    const prove = this.#removal ? (proof: FileProof): void => void this.#proofs.set(name, proof) : undefined;
    const memory = this.#removal || !this.#mustCompare(entry) ? undefined : this.#files.memory;
    this.#read.delete(name);
    const finished = memory && ((state: FileState): void => this.#noteRead(name, state, memory));
    try {
      const file = new OpenedFile(this.#kept.take(name) ?? path, prove, () => this.#failed?.(name), finished);
      if (this.#mayBeRead(file, entry)) return file;
      file.close();
      throw new SourceError("changing", "it was finished, and is being written to again");
    } catch (error) {
      this.#failed?.(name);
      throw error;
    }
  }

  #mayBeRead(file: OpenedFile, entry: FrameEntry): boolean {
    try {
      return this.#isAsListed(file, entry) || isWholeAgain(file.descriptor, file.bytes, entry.name);
    } catch {
      // Its reading will say why.
      return true;
    }
  }

  /** As far as that can be seen: where capture times are not those of the files, only by its size. */
  #isAsListed(file: OpenedFile, { bytes, capturedNs }: FrameEntry): boolean {
    const { kind } = this.#files.captured;
    const hasItsTime = kind !== "exif" && kind !== "name";
    return file.bytes === bytes && (!hasItsTime || file.wasModifiedAt(capturedNs));
  }

  /** A file that is going to be listed. Takes over `fd`, which is open for reading. */
  keep(name: string, fd: number): void {
    this.#kept.keep(name, fd);
  }

  /** It will be sent, unless the receiver has it. `rewritten`: that is not believed by its size and time. */
  listed(entry: FrameEntry, rewritten = false): void {
    if (rewritten) this.#rewritten.add(entry.name);
    const doubted = this.#doubt.listed(entry);
    if (doubted.length > 0) this.#doubted.push(...doubted);
  }

  /** Files were believed that are not to be any more: `review` has something to do. */
  get hasDoubted(): boolean {
    return this.#doubted.length > 0;
  }

  /** Compares one of those, or some of it. Returns it if it is not what the receiver has, and has to be sent. */
  review(): FrameEntry | undefined {
    const [file] = this.#doubted;
    if (file === undefined) return undefined;
    const { entry, crc32 } = file;
    const isSame = this.#isSame(entry, crc32, this.#reviewer, ({ memory, root }, proof) => {
      if (memory?.isSettled(proof) === true) memory.remember(root, proof, { crc32, ...lookOf(entry) });
    });
    if (isSame !== undefined) this.#doubted.shift();
    return isSame === false ? entry : undefined;
  }

  /** As `Source.confirms`. */
  confirms(entry: FrameEntry, crc32: number): boolean | undefined {
    if (!this.#mustCompare(entry)) {
      this.#doubt.believed({ entry, crc32 });
      return true;
    }
    const { name } = entry;
    return this.#isSame(entry, crc32, this.#reader, ({ memory }, proof) => {
      if (memory !== undefined) this.#noteRead(name, proof, memory);
    });
  }

  /** Undefined: a part of it is read. `read`: its bytes were read for it, to their end. */
  #isSame(
    entry: FrameEntry,
    crc32: number,
    reader: ProofReader,
    read: (files: FrameFiles, proof: FileProof) => void,
  ): boolean | undefined {
    const { name } = entry;
    const path = this.#files.path(name);
    try {
      let proof = this.#remembered(path);
      if (proof === undefined) {
        proof = reader.read(name, path);
        if (proof === undefined) return undefined;
        read(this.#files, proof);
      }
      if (this.#removal) this.#proofs.set(name, proof);
      return proof.crc32 === crc32 && proof.bytes === entry.bytes;
    } catch (error) {
      if (!(error instanceof SourceError)) throw error;
      this.#failed?.(name);
      // Written to while it was read: what it is then is sent.
      if (error.reason === "changing") return false;
      if (error.reason === "vanished") return true;
      const detail = `not compared with what the receiver has under its name: ${error.message}`;
      this.#files.report(name, "unreadable", detail);
      return true;
    }
  }

  #mustCompare(entry: FrameEntry): boolean {
    const { compareAlways } = this.#files;
    return this.#removal !== undefined || compareAlways || this.#rewritten.has(entry.name) || this.#doubt.of(entry);
  }

  #remembered(path: FilePath): FileProof | undefined {
    const { memory } = this.#files;
    if (memory === undefined) return undefined;
    let state: FileState;
    try {
      state = fileState(statSync(path));
    } catch {
      // Whoever opens it will say why.
      return undefined;
    }
    const known = memory.find(this.#files.root, state);
    return known && { ...state, crc32: known.crc32 };
  }

  #noteRead(name: string, state: FileState, memory: ChecksumMemory): void {
    if (memory.isSettled(state)) this.#read.set(name, state);
  }

  /** As `Source.settled`. Undefined: a part of the file was read, to see whether it may be removed; ask again. */
  settled(entry: FrameEntry, outcome: Outcome | undefined, crc32: number | undefined): SentFate | undefined {
    const { name } = entry;
    this.#kept.drop(name);
    this.#rewritten.delete(name);
    const stored = outcome === "stored" || outcome === "duplicate" || outcome === "conflict";
    const read = this.#read.get(name);
    if (read !== undefined) {
      this.#read.delete(name);
      if (stored && crc32 !== undefined)
        this.#files.memory?.remember(this.#files.root, read, { crc32, ...lookOf(entry) });
    }
    const fate = this.#removal && stored ? this.#removal.remove(name, this.#proofs.get(name), crc32) : "kept";
    if (fate !== undefined) this.#proofs.delete(name);
    return fate;
  }

  clear(): void {
    this.#kept.clear();
    this.#proofs.clear();
    this.#read.clear();
    this.#rewritten.clear();
    this.#doubted.length = 0;
    this.#removal?.close();
    this.#reader.close();
    this.#reviewer.close();
  }
}
