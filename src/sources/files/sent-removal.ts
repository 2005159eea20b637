/**
 * Removing files that are stored. A file is only deleted if it still is what the receiver holds, and nobody has it open
 * for writing: its state is the one that was read to send or compare it, and the checksum, if the receiver said one, is
 * the same. It is read again if its time of change (ctime) has moved: it may have been given other rights, or rewritten
 * in place with its old size and time. It is compared again where nobody else finds it (set-aside.ts), and only then
 * removed. That is 12 system calls a file, two of them for the names.
 */
import { accessSync, closeSync, constants, fstatSync, openSync, statSync, unlinkSync } from "node:fs";
import { SourceError } from "../../errors.ts";
import { errorCode, isDenied } from "../../system/errno.ts";
import type { FilePath } from "../../system/file-path.ts";
import { fileWriters } from "../../system/open-writers.ts";
import { errorText, failureReason } from "./file-errors.ts";
import type { FrameFiles } from "./frame-files.ts";
import { ledToRemoved } from "./link-targets.ts";
import { type FileProof, type FileState, fileState, readFlags, sameState } from "./opened-file.ts";
import { ProofReader } from "./proof-reader.ts";
import { giveBack, setAside } from "./set-aside.ts";

/** What became of a file: it is gone, it stays, or it stays and is not what was sent. */
export type SentFate = "gone" | "kept" | "changed";

/** Files that were reported as being open are remembered, so that each is reported once; not endlessly many. */
const openNamesMax = 4_096;

export class SentRemoval {
  readonly #files: FrameFiles;
  readonly #openNames = new Set<string>();
  /** That files cannot be removed was said. */
  #removesNone = false;
  #isReadOnly = false;
  /** Of the file that is read again. */
  readonly #reader = new ProofReader();

  /** Who may not write to the root learns it now, before anything is sent, and not when the first file has rested. */
  constructor(files: FrameFiles) {
    this.#files = files;
    try {
      accessSync(files.path(""), constants.W_OK);
    } catch (error) {
      this.#isReadOnly = errorCode(error) === "EROFS";
      if (this.#isReadOnly || isDenied(error)) this.#keepAll(error);
    }
  }

  /** Its root was on a file system that is read-only. */
  get isReadOnly(): boolean {
    return this.#isReadOnly;
  }

  /**
   * `sent`: what was read to send or compare it, if it was; `crc32`: of what the receiver has, if it said so.
   * Undefined: a part of the file was read again, which may take long; ask again.
   */
  remove(name: string, sent: FileProof | undefined, crc32: number | undefined): SentFate | undefined {
    const path = this.#files.path(name);
    try {
      const fd = openSync(path, readFlags);
      try {
        return this.#removeOpened(name, path, fd, sent, crc32);
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

  close(): void {
    this.#openNames.clear();
    this.#reader.close();
  }

  /** `fd` is `path`, open for reading: it holds on to the file while its name changes. */
  #removeOpened(
    name: string,
    path: FilePath,
    fd: number,
    read: FileProof | undefined,
    crc32: number | undefined,
  ): SentFate | undefined {
    if (fileWriters(fd) === "open") return this.#keepOpen(name);
    if (read === undefined && crc32 === undefined) {
      return this.#keep(name, "it was not read here, and the receiver did not say its checksum");
    }
    const now = fileState(fstatSync(fd));
    const isSure = read !== undefined && (read.changedMs === now.changedMs || !sameState(read, now));
    const sent = isSure ? read : this.#reader.read(name, path);
    if (sent === undefined) return undefined;
    const proof = read ?? sent;
    if (crc32 !== undefined && proof.crc32 !== crc32) {
      return this.#keep(name, "the receiver holds other bytes under this name");
    }
    if (!sameState(sent, now) || sent.crc32 !== proof.crc32) return this.#keepChanged(name);
    return this.#removeAside(name, fd, sent);
  }

  #removeAside(name: string, fd: number, sent: FileState): SentFate {
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
      const hint =
        "make it writable for this user and start again, which removes what is stored; or leave out --delete-sent";
      this.#files.report("", "kept", detail, hint);
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
