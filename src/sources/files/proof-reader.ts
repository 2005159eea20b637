/**
 * Reads whole files for their checksums, a few megabytes at a time: one of gigabytes may take minutes, in which the
 * connection must not fall silent. One file at a time; asked for another, it forgets the one that it was reading.
 */
import { assert } from "../../errors.ts";
import { chunkBytes, MiB } from "../../limits.ts";
import type { FilePath } from "../../system/file-path.ts";
import { type FileProof, OpenedFile } from "./opened-file.ts";

/** Read at once: 2 ms from memory, 100 ms from a slow card. */
const stepBytes: number = 4 * MiB;

export class ProofReader {
  #name: string | undefined;
  #file: OpenedFile | undefined;
  #proof: FileProof | undefined;
  readonly #scratch = new Uint8Array(chunkBytes);

  /** Undefined: a part of it is read; ask again. Throws SourceError; asked again it begins anew. */
  read(name: string, path: FilePath): FileProof | undefined {
    if (this.#name !== name) this.close();
    this.#name = name;
    try {
      const file = (this.#file ??= this.#open(path));
      for (let left = stepBytes; left > 0 && this.#proof === undefined; left -= chunkBytes) {
        const count = file.read(this.#scratch);
        assert(count === chunkBytes || this.#proof !== undefined, "a file that was read to its end is proven");
      }
    } catch (error) {
      this.close();
      throw error;
    }
    const proof = this.#proof;
    if (proof !== undefined) this.close();
    return proof;
  }

  /** What was read of this file, if any, counts no longer. */
  forget(name: string): void {
    if (name === this.#name) this.close();
  }

  close(): void {
    this.#file?.close();
    this.#name = this.#file = this.#proof = undefined;
  }

  #open(path: FilePath): OpenedFile {
    return new OpenedFile(path, (proof) => {
      this.#proof = proof;
    });
  }
}
