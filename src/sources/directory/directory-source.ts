/**
 * A directory, or a single file, as a source of frames: its files in natural order of their paths, depth first, with
 * files and folders of one folder sorted together, so that the order is that of `compareNatural` over whole names.
 *
 * It is lazy. In memory are the names in the folders on the current path and nothing about their files: a file is
 * looked at when it is listed, and again when it is opened.
 */
import type { FrameEntry, Outcome } from "../../frame.ts";
import { inNaturalOrder } from "../../names.ts";
import type { Listed, OpenedFrame, Source } from "../../ports.ts";
import { FolderWalk } from "../files/folder-walk.ts";
import { FrameFiles, type FrameFilesOptions } from "../files/frame-files.ts";
import { SentFiles } from "../files/sent-files.ts";

export type { SourceProblem } from "../files/frame-files.ts";

export interface DirectorySourceOptions extends FrameFilesOptions {
  /** Only this one file of `root`. `include` says nothing about it. */
  readonly only?: string | undefined;
  /** Remove a file once it is stored elsewhere. A link is removed, what it leads to stays. */
  readonly deleteSent?: boolean | undefined;
}

export class DirectorySource implements Source {
  readonly name: string;
  readonly #only: string | undefined;
  readonly #files: FrameFiles;
  readonly #sent: SentFiles;
  /** Of prefixes: the path below the root, ending in `/`; empty for the root. Undefined before the first `list`. */
  #walk: FolderWalk<string> | undefined;
  #listedFrames = 0;
  #passedOverFiles = 0;
  #unreadableFolders = 0;
  #ended = false;

  constructor(options: DirectorySourceOptions) {
    this.name = options.name;
    this.#only = options.only;
    this.#files = new FrameFiles(options.only === undefined ? options : { ...options, include: [], exclude: [] });
    this.#sent = new SentFiles(this.#files, options.deleteSent === true);
  }

  list(max: number): Listed[] | undefined {
    if (this.#ended) return undefined;
    this.#walk ??= this.#start();
    const listed: Listed[] = [];
    while (listed.length < max) {
      const step = this.#walk.next();
      if (step === undefined) {
        this.#ended = true;
        this.#reportIfEmpty();
        break;
      }
      if (step.name === undefined) continue;
      const found = this.#look(step.folder + step.name, step.name);
      if (found === undefined) continue;
      this.#listedFrames += 1;
      listed.push(found);
    }
    return listed.length === 0 && this.#ended ? undefined : listed;
  }

  open(entry: FrameEntry): OpenedFrame {
    return this.#sent.open(entry);
  }

  settled(entry: FrameEntry, outcome: Outcome | undefined, crc32: number | undefined): void {
    this.#sent.settled(entry, outcome, crc32);
  }

  dispose(): void {
    this.#ended = true;
    this.#walk = undefined;
    this.#sent.clear();
  }

  #start(): FolderWalk<string> {
    const walk = new FolderWalk<string>();
    if (this.#only === undefined) this.#enter(walk, "");
    else walk.enter("", [this.#only]);
    return walk;
  }

  #enter(walk: FolderWalk<string>, prefix: string): void {
    try {
      walk.enter(prefix, inNaturalOrder(this.#files.names(prefix)));
    } catch (error) {
      this.#unreadableFolders += 1;
      this.#files.reportUnreadable(prefix, error);
    }
  }

  /** An entry, a failure, or nothing that is a frame. A folder is entered. */
  #look(name: string, baseName: string): Listed | undefined {
    const found = this.#files.look(name, baseName);
    if (found.kind === "frame") return found.entry;
    if (found.kind === "failure") return found.failure;
    if (found.kind === "unmatched") this.#passedOverFiles += 1;
    else if (found.kind === "folder" && this.#walk !== undefined) this.#enter(this.#walk, `${name}/`);
    return undefined;
  }

  #reportIfEmpty(): void {
    if (this.#listedFrames > 0 || this.#unreadableFolders > 0) return;
    const files = this.#passedOverFiles;
    const count = files === 1 ? "1 file" : `${files} files`;
    if (files === 0) {
      this.#files.report(
        this.#files.path(""),
        "empty",
        "no frames: there is no file in it",
        "files and folders that are hidden, or have a temporary name, are skipped",
      );
    } else {
      const hint = "a pattern without / is compared with the name of a file, one with / with its path below the input";
      this.#files.report(
        this.#files.path(""),
        "empty",
        `no frames: --include and --exclude leave none of ${count}`,
        hint,
      );
    }
  }
}
