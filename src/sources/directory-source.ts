/**
 * A directory, or a single file, as a source of frames: its files in natural order of their paths, depth first, with
 * files and folders of one folder sorted together, so that the order is that of `compareNatural` over whole names.
 *
 * It is lazy. In memory are the names in the folders on the current path and nothing about their files: a file is
 * looked at when it is listed, and again when it is opened.
 *
 * What is a frame: every file that is not hidden, not below a hidden folder, and matches `include` if that is given.
 * A link to a file is a frame, as it is when the user opens it. A link to a folder is reported and not followed: it
 * may lead back to where we are, or make thousands of frames arrive twice. Pipes, sockets and devices are no frames.
 */
import { lstatSync, readdirSync, statSync, unlinkSync, type BigIntStats } from "node:fs";
import { SourceError } from "../errors.ts";
import type { FrameEntry, Outcome } from "../frame.ts";
import { chunkBytes } from "../limits.ts";
import { compareNatural, nameProblem } from "../names.ts";
import type { Listed, OpenedFrame, Source } from "../ports.ts";
import { errorCode, errorText, failureReason, quotePath } from "./file-errors.ts";
import { type FileProof, fileState, OpenedFile, sameState } from "./opened-file.ts";

/** Something that is not the fate of one listed frame, and that the user should know. The source goes on. */
export interface SourceProblem {
  readonly source: string;
  /** The file or folder, as a path the user can type. */
  readonly path: string;
  /**
   * - `unreadable`: a folder could not be read, so frames may be missing (exit status 4)
   * - `empty`: the source ended without a single frame (exit status 4)
   * - `link`: a link to a folder was not followed
   * - `kept`: a file was to be deleted after its ack and was left where it is
   */
  readonly reason: "unreadable" | "empty" | "link" | "kept";
  /** One line, without the path. */
  readonly detail: string;
  /** What the user can do, if anything. */
  readonly hint?: string;
}

export interface DirectorySourceOptions {
  readonly name: string;
  /** The directory, as the user wrote it. */
  readonly root: string;
  /** Only this one file of `root`. `include` says nothing about it. */
  readonly only?: string | undefined;
  /** Patterns of which a file must match one: against its path below `root`, or its own name if it has no `/`. */
  readonly include?: readonly string[] | undefined;
  /** Remove a file once it is stored elsewhere. A link is removed, what it leads to stays. */
  readonly deleteSent?: boolean | undefined;
  readonly onProblem?: ((problem: SourceProblem) => void) | undefined;
}

interface Folder {
  /** Path below the root, ending in `/`; empty for the root. */
  readonly prefix: string;
  readonly names: readonly string[];
  next: number;
}

interface Pattern {
  readonly glob: Bun.Glob;
  readonly wholePath: boolean;
}

/** 1970 … 2262: what the wire and the catalogue can hold. File systems can hold more, and cameras lose their clocks. */
const capturedNsMax = 2n ** 63n - 1n;

export class DirectorySource implements Source {
  readonly name: string;
  readonly live = false;
  readonly #options: DirectorySourceOptions;
  /** Without a slash at its end, so that `${base}/${name}` is a path, for `/` too. */
  readonly #base: string;
  readonly #patterns: readonly Pattern[];
  /** The folders on the current path; undefined before the first `list`. */
  #folders: Folder[] | undefined;
  #listedFrames = 0;
  #passedOverFiles = 0;
  #unreadableFolders = 0;
  /** With `deleteSent`, what was read of the frames that are not settled yet: bounded by the window. */
  readonly #proofs = new Map<string, FileProof>();

  constructor(options: DirectorySourceOptions) {
    this.name = options.name;
    this.#options = options;
    this.#base = options.root.replace(/\/+$/, "");
    this.#patterns = (options.include ?? []).map((text) => ({
      glob: new Bun.Glob(text),
      wholePath: text.includes("/"),
    }));
  }

  list(max: number): Listed[] | undefined {
    this.#folders ??= this.#start();
    if (this.#folders.length === 0) return undefined;
    const listed: Listed[] = [];
    while (listed.length < max) {
      const folder = this.#folders.at(-1);
      if (folder === undefined) {
        this.#reportIfEmpty();
        break;
      }
      const name = folder.names[folder.next];
      folder.next += 1;
      if (name === undefined) {
        this.#folders.pop();
        continue;
      }
      const found = this.#look(folder.prefix + name, name);
      if (found === undefined) continue;
      this.#listedFrames += 1;
      listed.push(found);
    }
    return listed.length === 0 && this.#folders.length === 0 ? undefined : listed;
  }

  open(entry: FrameEntry): OpenedFrame {
    if (this.#options.deleteSent !== true) return new OpenedFile(this.#path(entry.name));
    this.#proofs.delete(entry.name);
    return new OpenedFile(this.#path(entry.name), (proof) => this.#proofs.set(entry.name, proof));
  }

  settled(entry: FrameEntry, outcome: Outcome | undefined, crc32: number | undefined): void {
    if (this.#options.deleteSent !== true) return;
    if (outcome === "stored" || outcome === "already" || outcome === "conflict") this.#deleteSent(entry, crc32);
    this.#proofs.delete(entry.name);
  }

  dispose(): void {
    this.#folders = [];
    this.#proofs.clear();
  }

  #path(name: string): string {
    return `${this.#base}/${name}`;
  }

  #start(): Folder[] {
    const only = this.#options.only;
    if (only !== undefined) return [{ prefix: "", names: [only], next: 0 }];
    const folder = this.#readFolder("");
    return folder === undefined ? [] : [folder];
  }

  #readFolder(prefix: string): Folder | undefined {
    try {
      const names = readdirSync(this.#path(prefix)).filter((name) => !name.startsWith("."));
      return { prefix, names: names.toSorted(compareNatural), next: 0 };
    } catch (error) {
      this.#unreadableFolders += 1;
      this.#report(this.#path(prefix), "unreadable", `the folder cannot be read: ${errorText(error)}`);
      return undefined;
    }
  }

  /** What is at `name`: an entry, a failure, or nothing that is a frame. A folder becomes the current one. */
  #look(name: string, baseName: string): Listed | undefined {
    const path = this.#path(name);
    let stats: BigIntStats | undefined;
    try {
      stats = lstatSync(path, { bigint: true });
      if (stats.isSymbolicLink()) {
        stats = statSync(path, { bigint: true });
        if (stats.isDirectory()) {
          this.#report(path, "link", "a link to a folder is not followed", "give that folder as an input of its own");
          return undefined;
        }
      }
    } catch (error) {
      return this.#matches(name, baseName) ? failure(name, error, stats !== undefined) : undefined;
    }
    if (stats.isDirectory()) {
      const folder = this.#readFolder(`${name}/`);
      if (folder !== undefined) this.#folders?.push(folder);
      return undefined;
    }
    if (!stats.isFile()) return undefined;
    if (!this.#matches(name, baseName)) {
      this.#passedOverFiles += 1;
      return undefined;
    }
    const problem = nameProblem(name);
    if (problem !== undefined) return nameless(name, problem);
    return { name, bytes: Number(stats.size), capturedNs: clampCaptured(stats.mtimeNs) };
  }

  #matches(name: string, baseName: string): boolean {
    if (this.#patterns.length === 0 || this.#options.only !== undefined) return true;
    return this.#patterns.some(({ glob, wholePath }) => glob.match(wholePath ? name : baseName));
  }

  #reportIfEmpty(): void {
    if (this.#listedFrames > 0 || this.#unreadableFolders > 0) return;
    const files = this.#passedOverFiles;
    const count = files === 1 ? "1 file" : `${files} files`;
    if (files === 0) {
      this.#report(
        this.#path(""),
        "empty",
        "no frames: there is no file in it",
        "hidden files and folders are skipped",
      );
    } else {
      const hint = "a pattern without / is compared with the name of a file, one with / with its path below the input";
      this.#report(this.#path(""), "empty", `no frames: of ${count} none matches --include`, hint);
    }
  }

  /**
   * Deletes the file of a stored frame, if it still is what the receiver holds: its state is the one that was read
   * to send it, and the checksum, if the receiver said one, is the same. A frame the receiver had before we sent
   * anything is read for that here.
   */
  #deleteSent(entry: FrameEntry, crc32: number | undefined): void {
    const path = this.#path(entry.name);
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
    } catch (error) {
      if (error instanceof SourceError ? error.reason === "vanished" : errorCode(error) === "ENOENT") return;
      this.#keep(path, error instanceof SourceError ? error.message : errorText(error));
    }
  }

  #keep(path: string, detail: string): void {
    this.#report(path, "kept", `stored by the receiver and not deleted here: ${detail}`);
  }

  #report(path: string, reason: SourceProblem["reason"], detail: string, hint?: string): void {
    const problem = { source: this.name, path: path.replace(/(?<=.)\/$/, ""), reason, detail };
    this.#options.onProblem?.(hint === undefined ? problem : { ...problem, hint });
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

function failure(name: string, error: unknown, isLink: boolean): Listed {
  const problem = nameProblem(name);
  if (problem !== undefined) return nameless(name, problem);
  if (isLink && errorCode(error) === "ENOENT") {
    return { name, failure: "unreadable", detail: "a link to a file that is not there" };
  }
  // Bun decodes names as UTF-8; bytes that are not cannot be turned back into the path they came from.
  if (name.includes("\ufffd") && errorCode(error) === "ENOENT") {
    return { name, failure: "unreadable", detail: "its name is not valid UTF-8" };
  }
  return { name, failure: failureReason(error), detail: errorText(error) };
}

/** A file whose name no receiver would take has no frame name: the detail says which it is. */
function nameless(name: string, problem: string): Listed {
  return { name: "", failure: "unreadable", detail: `the file ${quotePath(name)} cannot keep its name: ${problem}` };
}

function clampCaptured(modifiedNs: bigint): bigint {
  if (modifiedNs < 0n) return 0n;
  return modifiedNs > capturedNsMax ? capturedNsMax : modifiedNs;
}
