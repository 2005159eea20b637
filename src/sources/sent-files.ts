/**
 * The files of a source as they are sent, and deleted after their acks if the user wants that.
 *
 * A file is only deleted if it still is what the receiver holds: its state is the one that was read to send it, and
 * the checksum, if the receiver said one, is the same. A frame the receiver had before we sent anything is read for
 * that when its ack comes.
 */
import { statSync, unlinkSync } from "node:fs";
import { SourceError } from "../errors.ts";
import type { FrameEntry, Outcome } from "../frame.ts";
import { chunkBytes } from "../limits.ts";
import type { OpenedFrame } from "../ports.ts";
import { errorCode, errorText } from "./file-errors.ts";
import type { FrameFiles } from "./frame-files.ts";
import { type FileProof, fileState, OpenedFile, sameState } from "./opened-file.ts";

export class SentFiles {
  readonly #files: FrameFiles;
  readonly #delete: boolean;
  /** What was read of the frames that are not settled yet: bounded by the window. */
  readonly #proofs = new Map<string, FileProof>();

  constructor(files: FrameFiles, deleteSent: boolean) {
    this.#files = files;
    this.#delete = deleteSent;
  }

  /** As `Source.open`. */
  open(entry: FrameEntry): OpenedFrame {
    const path = this.#files.path(entry.name);
    if (!this.#delete) return new OpenedFile(path);
    this.#proofs.delete(entry.name);
    return new OpenedFile(path, (proof) => this.#proofs.set(entry.name, proof));
  }

  /** As `Source.settled`. Returns whether the file is gone now. */
  settled(entry: FrameEntry, outcome: Outcome | undefined, crc32: number | undefined): boolean {
    if (!this.#delete) return false;
    const stored = outcome === "stored" || outcome === "already" || outcome === "conflict";
    const deleted = stored && this.#deleteSent(entry, crc32);
    this.#proofs.delete(entry.name);
    return deleted;
  }

  clear(): void {
    this.#proofs.clear();
  }

  #deleteSent(entry: FrameEntry, crc32: number | undefined): boolean {
    const path = this.#files.path(entry.name);
    try {
      const proof = this.#proofs.get(entry.name) ?? (crc32 === undefined ? undefined : readThrough(path));
      if (proof === undefined)
        return this.#keep(path, "it was not read here, and the receiver did not say its checksum");
      if (crc32 !== undefined && proof.crc32 !== crc32) {
        return this.#keep(path, "the receiver holds other bytes under this name");
      }
      if (!sameState(proof, fileState(statSync(path)))) {
        return this.#keep(path, "it has changed since it was sent");
      }
      unlinkSync(path);
      return true;
    } catch (error) {
      if (error instanceof SourceError ? error.reason === "vanished" : errorCode(error) === "ENOENT") return true;
      return this.#keep(path, error instanceof SourceError ? error.message : errorText(error));
    }
  }

  #keep(path: string, detail: string): false {
    this.#files.report(path, "kept", `stored by the receiver and not deleted here: ${detail}`);
    return false;
  }
}

/** Reads a whole file for its proof. Synchronous, so a large one holds up everything else; it is rarely needed. */
function readThrough(path: string): FileProof | undefined {
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
  return proof;
}
