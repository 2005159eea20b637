/**
 * The files of a source as they are sent, and deleted after their acks if the user wants that.
 *
 * That the receiver has a file is believed by name, size and capture time where these are proof (time-doubt.ts). Else,
 * and before a file is deleted, its bytes are read and their checksum compared with what the receiver says.
 *
 * A file is only deleted if it still is what the receiver holds, and nobody has it open for writing: its state is the
 * one that was read to send or compare it, and the checksum, if the receiver said one, is the same. It is read again if
 * its time of change (ctime) has moved: it may have been given other rights, or rewritten in place with its old size
 * and time. It is compared again where nobody else finds it (set-aside.ts), and only then removed. That is 12 system
 * calls a file, two of them for the names.
 */
import { accessSync, closeSync, constants, fstatSync, openSync, statSync, unlinkSync } from "node:fs";
import { assert, SourceError } from "../../errors.ts";
import type { FrameEntry, Outcome } from "../../frame.ts";
import { chunkBytes } from "../../limits.ts";
import type { OpenedFrame } from "../../ports.ts";
import { errorCode, isDenied } from "../../system/errno.ts";
import type { FilePath } from "../../system/file-path.ts";
import { fileWriters } from "../../system/open-writers.ts";
import type { ChecksumMemory } from "./checksum-memory.ts";
import { errorText, failureReason } from "./file-errors.ts";
import type { FrameFiles } from "./frame-files.ts";
import { KeptFiles } from "./kept-files.ts";
import { ledToRemoved } from "./link-targets.ts";
import { type FileProof, type FileState, fileState, OpenedFile, readFlags, sameState } from "./opened-file.ts";
import { ProofReader } from "./proof-reader.ts";
import { giveBack, setAside } from "./set-aside.ts";
import { type BelievedFile, TimeDoubt } from "./time-doubt.ts";

/** What became of a file: it is gone, it stays, or it stays and is not what was sent. */
export type SentFate = "gone" | "kept" | "changed";

/** Files that were reported as being open are remembered, so that each is reported once; not endlessly many. */
const openNamesMax = 4_096;

export class SentFiles {
  readonly #files: FrameFiles;
  readonly #delete: boolean;
  /** Told the name of each frame that could not be opened or read. */
  readonly #failed: ((name: string) => void) | undefined;
  /** What was read of the frames that are not settled yet: bounded by the window. */
  readonly #proofs = new Map<string, FileProof>();
  /** Of these, the states of those that are worth remembering once they are acknowledged. */
  readonly #read = new Map<string, FileState>();
  readonly #openNames = new Set<string>();
  /** That files cannot be removed was said. */
  #removesNone = false;
  #isReadOnly = false;
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
    this.#delete = deleteSent;
    this.#failed = failed;
    if (deleteSent) this.#lookAtRoot();
  }

  /** Who may not write there learns it before anything is sent, and not when the first file has rested. */
  #lookAtRoot(): void {
    try {
      accessSync(this.#files.path(""), constants.W_OK);
    } catch (error) {
      this.#isReadOnly = errorCode(error) === "EROFS";
      if (this.#isReadOnly || isDenied(error)) this.#keepAll(error);
    }
  }

  /** Its root was on a file system that is read-only: nothing need rest that cannot be removed anyway. */
  get isReadOnly(): boolean {
    return this.#isReadOnly;
  }

  /** As `Source.open`. */
  open(entry: FrameEntry): OpenedFrame {
    const { name } = entry;
    const path = this.#files.path(name);
    this.#proofs.delete(name);
    this.#reader.forget(name);
    const prove = this.#delete ? (proof: FileProof): void => void this.#proofs.set(name, proof) : undefined;
    const memory = this.#delete || !this.#mustCompare(entry) ? undefined : this.#files.memory;
    this.#read.delete(name);
    const finished = memory && ((state: FileState): void => this.#noteRead(name, state, memory));
    try {
      return new OpenedFile(this.#kept.take(name) ?? path, prove, () => this.#failed?.(name), finished);
    } catch (error) {
      this.#failed?.(name);
      throw error;
    }
  }

  /** A file that is going to be listed. Takes over `fd`, which is open for reading. */
  keep(name: string, fd: number): void {
    this.#kept.keep(name, fd);
  }

  /** It will be sent, unless the receiver has it. */
  listed(entry: FrameEntry): void {
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
      if (memory?.isSettled(proof) === true) memory.remember(root, proof, crc32);
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
      if (this.#delete) this.#proofs.set(name, proof);
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
    return this.#delete || this.#files.compareAlways || this.#doubt.of(entry);
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
    const crc32 = memory.find(this.#files.root, state);
    return crc32 === undefined ? undefined : { ...state, crc32 };
  }

  #noteRead(name: string, state: FileState, memory: ChecksumMemory): void {
    if (memory.isSettled(state)) this.#read.set(name, state);
  }

  /** As `Source.settled`. */
  settled(entry: FrameEntry, outcome: Outcome | undefined, crc32: number | undefined): SentFate {
    this.#kept.drop(entry.name);
    const stored = outcome === "stored" || outcome === "duplicate" || outcome === "conflict";
    const read = this.#read.get(entry.name);
    if (read !== undefined) {
      this.#read.delete(entry.name);
      if (stored && crc32 !== undefined) this.#files.memory?.remember(this.#files.root, read, crc32);
    }
    if (!this.#delete) return "kept";
    const fate = stored ? this.#deleteSent(entry.name, crc32) : "kept";
    this.#proofs.delete(entry.name);
    return fate;
  }

  clear(): void {
    this.#kept.clear();
    this.#proofs.clear();
    this.#read.clear();
    this.#openNames.clear();
    this.#doubted.length = 0;
    this.#reader.close();
    this.#reviewer.close();
  }

  #deleteSent(name: string, crc32: number | undefined): SentFate {
    const path = this.#files.path(name);
    try {
      const fd = openSync(path, readFlags);
      try {
        return this.#deleteOpened(name, path, fd, crc32);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      const reason = error instanceof SourceError ? error.reason : failureReason(error);
      if (reason === "vanished") return this.#removeDeadLink(name, path);
      if (errorCode(error) === "EROFS" || (this.#removesNone && isDenied(error))) return this.#keepAll(error);
      return this.#keep(name, error instanceof SourceError ? error.message : errorText(error));
    }
  }

  /** `fd` is `path`, open for reading: it holds on to the file while its name changes. */
  #deleteOpened(name: string, path: FilePath, fd: number, crc32: number | undefined): SentFate {
    if (fileWriters(fd) === "open") return this.#keepOpen(name);
    const sent = this.#proofs.get(name) ?? (crc32 === undefined ? undefined : readThrough(path));
    if (sent === undefined) return this.#keep(name, "it was not read here, and the receiver did not say its checksum");
    if (crc32 !== undefined && sent.crc32 !== crc32) {
      return this.#keep(name, "the receiver holds other bytes under this name");
    }
    if (!isStill(sent, fileState(fstatSync(fd)), path)) return this.#keepChanged(name);
    const aside = setAside(this.#files, name);
    let isOpen = false;
    try {
      isOpen = fileWriters(fd) === "open";
      if (!isOpen && sameState(sent, fileState(statSync(this.#files.path(aside))))) {
        unlinkSync(this.#files.path(aside));
        this.#openNames.delete(name);
        this.#removesNone = false;
        return "gone";
      }
    } catch (error) {
      giveBack(this.#files, aside, name);
      throw error;
    }
    giveBack(this.#files, aside, name);
    return isOpen ? this.#keepOpen(name) : this.#keepChanged(name);
  }

  /** A link that leads nowhere because we have removed what it led to: the next run would miss a file there. */
  #removeDeadLink(name: string, path: FilePath): "gone" {
    if (!ledToRemoved(path)) return "gone";
    try {
      const aside = setAside(this.#files, name);
      // It may lead to another file by now.
      if (ledToRemoved(this.#files.path(aside))) unlinkSync(this.#files.path(aside));
      else giveBack(this.#files, aside, name);
    } catch {
      // It is gone, or stays.
    }
    return "gone";
  }

  #keepOpen(name: string): "kept" {
    if (this.#openNames.has(name)) return "kept";
    if (this.#openNames.size >= openNamesMax) this.#openNames.clear();
    this.#openNames.add(name);
    return this.#keep(name, "a program still has it open for writing");
  }

  /** Of a card that is locked, or that the system has made read-only because it is worn: not a line for each file. */
  #keepAll(error: unknown): "kept" {
    if (!this.#removesNone) {
      const detail = `${errorText(error)}: its files are sent, and stay: --delete-sent cannot remove them`;
      this.#files.report("", "kept", detail, "make it writable for this user, or leave out --delete-sent");
    }
    this.#removesNone = true;
    return "kept";
  }

  #keepChanged(name: string): "changed" {
    this.#keep(name, "it has changed since it was sent");
    return "changed";
  }

  #keep(name: string, detail: string): "kept" {
    this.#files.report(name, "kept", `stored by the receiver and not deleted here: ${detail}`);
    return "kept";
  }
}

/** Whether a file in the state `now` has the bytes that were sent; it is read if its states leave that open. */
function isStill(sent: FileProof, now: FileState, path: FilePath): boolean {
  if (!sameState(sent, now)) return false;
  if (sent.changedMs === now.changedMs) return true;
  const proof = readThrough(path);
  return proof.crc32 === sent.crc32 && sameState(sent, proof);
}

/** Reads a whole file for its proof. Synchronous, so a large one holds up everything else; it is rarely needed. */
function readThrough(path: FilePath): FileProof {
  let proof: FileProof | undefined;
  const file = new OpenedFile(path, (complete) => {
    proof = complete;
  });
  try {
    const scratch = new Uint8Array(chunkBytes);
    let count = scratch.length;
    while (count === scratch.length) count = file.read(scratch);
  } finally {
    file.close();
  }
  assert(proof !== undefined, "a file that was read to its end is proven");
  return proof;
}
