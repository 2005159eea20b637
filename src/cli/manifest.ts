/**
 * A list of checksums that `sha256sum -c` reads, below the directory: `cd captures && sha256sum -c ../manifest`. It is
 * written beside its place and moved there when it is complete, so what has its name is never half of it.
 */
import { closeSync, existsSync, fsyncSync, openSync, realpathSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join, sep } from "node:path";
import { ExitStatus, nothingWritten, UserError } from "../errors.ts";
import { KiB } from "../limits.ts";
import { describe, errorCode } from "../system/errno.ts";

const writeCharacters: number = 64 * KiB;

export class Manifest {
  readonly #path: string;
  readonly #temporaryPath: string;
  #handle: number | undefined;
  #text = "";

  /** Throws UserError for a place where it cannot be. */
  constructor(path: string, directory: string) {
    this.#path = path;
    this.#temporaryPath = join(dirname(path), `.${basename(path)}.${crypto.randomUUID().slice(0, 8)}`);
    this.#do(() => {
      if (isBelow(dirname(path), directory)) {
        throw new UserError(`--sha256 ${path}: a file in ${directory} that the catalogue does not know`, [
          "--verify would name it from then on: write it somewhere else",
        ]);
      }
      this.#handle = openSync(this.#temporaryPath, "wx");
    });
  }

  /** `path`: below the directory. */
  add(path: string, sha256: string): void {
    this.#text += `${sha256}  ${path}\n`;
    if (this.#text.length >= writeCharacters) this.#do(() => this.#write());
  }

  /** It is complete. */
  finish(): void {
    this.#do(() => {
      this.#write();
      if (this.#handle !== undefined) fsyncSync(this.#handle);
      this.#close();
      renameSync(this.#temporaryPath, this.#path);
    });
  }

  /** It will not be complete. Nothing, if it is. */
  discard(): void {
    if (this.#handle === undefined) return;
    this.#close();
    rmSync(this.#temporaryPath, { force: true });
  }

  #write(): void {
    const bytes = Buffer.from(this.#text);
    this.#text = "";
    for (let done = 0; done < bytes.length && this.#handle !== undefined;) {
      const count = writeSync(this.#handle, bytes, done);
      if (count === 0) throw nothingWritten();
      done += count;
    }
  }

  #close(): void {
    if (this.#handle !== undefined) closeSync(this.#handle);
    this.#handle = undefined;
  }

  #do(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.discard();
      if (error instanceof UserError || errorCode(error) === "") throw error;
      throw new UserError(
        `cannot write ${this.#path}: ${describe(error)}`,
        ["choose another file with --sha256"],
        ExitStatus.failure,
      );
    }
  }
}

/** Links followed. What is not there is for others to complain of. */
function isBelow(folder: string, directory: string): boolean {
  const [place, root] = [folder, directory].map((path) => (existsSync(path) ? `${realpathSync(path)}${sep}` : path));
  return place !== undefined && root !== undefined && place.startsWith(root);
}
