/**
 * Which of the files below a directory are frames: every file that is not hidden, has no temporary name, is not below a
 * folder of such a name, matches `include` if that is given, and does not match `exclude`.
 *
 * A link to a file is a frame, as it is when the user opens it. A link to a folder is reported and not followed: it
 * may lead back to where we are, or make thousands of frames arrive twice. Pipes, sockets and devices are no frames.
 */
import { closeSync, fstatSync, lstatSync, readdirSync, statSync, type BigIntStats } from "node:fs";
import type { FrameEntry } from "../../frame.ts";
import { nameProblem } from "../../names.ts";
import type { ListedGap } from "../../ports.ts";
import { errorCode } from "../../system/errno.ts";
import type { FilePath } from "../../system/file-path.ts";
import { mountIdentityOf } from "../../system/mount-identity.ts";
import { type Captured, clampCaptured } from "../captured.ts";
import { exifTimeFrom } from "../exif.ts";
import type { ChecksumMemory } from "./checksum-memory.ts";
import { escapedName, fileName, mayNeedEscape, readableName, shownName } from "./escaped-names.ts";
import { errorText, failureReason, quotePath } from "./file-errors.ts";
import { ledToRemoved } from "./link-targets.ts";
import { changedMsOf } from "./opened-file.ts";
import { type AskedFile, type FileContent, openAndAsk } from "./quiet-file.ts";
import { giveBack, nameBefore } from "./set-aside.ts";
import { isTemporaryName } from "./temporary-names.ts";

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
   * - `missing`: the watched directory is not there; it is waited for
   * - `unwatched`: the system tells nothing of changes in a folder; it is looked through every few seconds instead
   * - `skipped`: bytes of a stream that are in no frame, and were no picture
   * - `noted`: a frame of a stream is sent as it came, with a remark
   * - `ended`: a named pipe has ended
   * - `held`: a file has been open for writing for a minute, and is waited for
   * - `unfinished`: a file is not sent, because it is open for writing or still changes (exit status 4)
   * - `incomplete`: a file was sent as it is, and its picture ends before its end (exit status 4)
   * - `escaped`: the name of a file is not that of its frame; said of the first
   */
  readonly reason:
    | "unreadable"
    | "empty"
    | "symlink"
    | "kept"
    | "missing"
    | "unwatched"
    | "skipped"
    | "noted"
    | "ended"
    | "held"
    | "unfinished"
    | "incomplete"
    | "escaped";
  /** One line, without the path. */
  readonly detail: string;
  /** What the user can do, if anything. */
  readonly hint?: string;
}

export interface FrameFilesOptions {
  /** The source's name, for its problems. */
  readonly name: string;
  /** The directory, as the user wrote it. */
  readonly root: string;
  /** Patterns of which a file must match one: against its path below `root`, or its own name if it has no `/`. */
  readonly include?: readonly string[] | undefined;
  /** Patterns of which a file must match none. */
  readonly exclude?: readonly string[] | undefined;
  readonly onProblem?: ((problem: SourceProblem) => void) | undefined;
  /** Absent: when a file was modified. */
  readonly captured?: Captured | undefined;
  /** Compare the bytes of every file that the receiver has by name, size and time. */
  readonly compareAlways?: boolean | undefined;
  /** Spares reading the same bytes twice. */
  readonly memory?: ChecksumMemory | undefined;
}

/**
 * What is at a name. `unmatched` is a file that `include` or `exclude` leaves out, `other` nothing that could be a
 * frame. A failure is `gone` if nothing has that name any more.
 */
export type Found =
  | FoundFrame
  | { readonly kind: "failure"; readonly failure: ListedGap; readonly gone: boolean }
  | { readonly kind: "folder" | "unmatched" | "other" };

export interface FoundFrame {
  readonly kind: "frame";
  readonly entry: FrameEntry;
  readonly stats: BigIntStats;
  readonly isLink: boolean;
  /** Undefined: it was not opened. */
  readonly asked: AskedFile | undefined;
}

/** The names in a folder, and which of them are not known to be ordinary files. */
export interface FolderNames {
  readonly names: string[];
  readonly others: ReadonlySet<string>;
}

interface Pattern {
  readonly glob: Bun.Glob;
  readonly wholePath: boolean;
}

const folder: Found = { kind: "folder" };
const unmatched: Found = { kind: "unmatched" };
const other: Found = { kind: "other" };

export class FrameFiles {
  readonly #options: FrameFilesOptions;
  /** Without a slash at its end, so that `${base}/${name}` is a path, for `/` too. */
  readonly #base: string;
  readonly #include: readonly Pattern[];
  readonly #exclude: readonly Pattern[];
  /** A folder may be read again and again. */
  readonly #asideReported = new Set<string>();
  #escapeReported = false;

  constructor(options: FrameFilesOptions) {
    this.#options = options;
    this.#base = options.root.replace(/\/+$/, "");
    this.#include = patternsOf(options.include);
    this.#exclude = patternsOf(options.exclude);
  }

  get captured(): Captured {
    return this.#options.captured ?? { kind: "auto" };
  }

  get compareAlways(): boolean {
    return this.#options.compareAlways === true;
  }

  get memory(): ChecksumMemory | undefined {
    return this.#options.memory;
  }

  get root(): string {
    return `${this.#base}/`;
  }

  /** Whether the time of change of this file moves when somebody changes it, and only then. */
  tellsChanges({ dev }: BigIntStats): boolean {
    return mountIdentityOf(this.root)?.device === Number(dev);
  }

  /** What stands in a file that is as it was when the receiver acknowledged it. Undefined: it has to be looked into. */
  recall(stats: BigIntStats): FileContent | undefined {
    const { memory } = this.#options;
    if (memory === undefined) return undefined;
    const { dev, ino, size } = stats;
    const key = { device: Number(dev), fileNumber: Number(ino), bytes: Number(size), changedMs: changedMsOf(stats) };
    const taken = memory.find(this.root, key)?.taken;
    if (taken === undefined) return undefined;
    return taken === "" ? { end: "unknown" } : { end: "unknown", exif: exifTimeFrom(taken) };
  }

  /** Where the file or folder of this name is; an empty name is the root. */
  path(name: string): FilePath {
    const below = fileName(name);
    return typeof below === "string" ? `${this.#base}/${below}` : Buffer.concat([Buffer.from(this.root), below]);
  }

  /**
   * The names in a folder that may be those of frames or folders, in no order. A file that a crash left set aside is
   * given back first. Throws what `node:fs` throws.
   */
  names(prefix: string): FolderNames {
    const { names: all, others } = namesIn(this.path(prefix));
    const names = all.filter(isPossible);
    if (names.length === all.length) return { names, others };
    for (const aside of all) {
      const before = nameBefore(aside);
      const name = before === undefined ? undefined : this.#giveBack(prefix, aside, before);
      if (name !== undefined && !names.includes(name)) names.push(name);
    }
    return { names, others };
  }

  #giveBack(prefix: string, aside: string, before: string): string | undefined {
    const name = prefix + aside;
    try {
      return giveBack(this, name, prefix + before).slice(prefix.length);
    } catch (error) {
      if (failureReason(error) === "vanished" || this.#asideReported.has(name)) return undefined;
      this.#asideReported.add(name);
      this.report(name, "unreadable", `left by a crash, and cannot be given its name back: ${errorText(error)}`);
      return undefined;
    }
  }

  matches(name: string, baseName: string): boolean {
    const isMatch = ({ glob, wholePath }: Pattern): boolean => glob.match(readableName(wholePath ? name : baseName));
    return (this.#include.length === 0 || this.#include.some(isMatch)) && !this.#exclude.some(isMatch);
  }

  /**
   * As `look`, for what its folder says is an ordinary file: opened at once, it says all that a look says, and is not
   * opened again to be read. The caller closes it. What cannot be opened, or is no file any more, is looked at.
   */
  open(name: string, baseName: string): Found {
    let asked: AskedFile | undefined;
    try {
      if (this.matches(name, baseName) && nameProblem(name) === undefined) {
        asked = openAndAsk(this.path(name));
        const stats = fstatSync(asked.fd, { bigint: true });
        if (stats.isFile()) return this.#frame(name, stats, false, asked);
      }
    } catch {
      // A look finds out what it is.
    }
    if (asked !== undefined) closeSync(asked.fd);
    return this.look(name, baseName);
  }

  look(name: string, baseName: string): Found {
    const path = this.path(name);
    let stats: BigIntStats | undefined;
    let isLink = false;
    try {
      stats = lstatSync(path, { bigint: true });
      isLink = stats.isSymbolicLink();
      if (isLink) {
        stats = statSync(path, { bigint: true });
        if (stats.isDirectory()) {
          this.report(name, "symlink", "a link to a folder is not followed", "give that folder as an input of its own");
          return other;
        }
      }
    } catch (error) {
      if (isLink && ledToRemoved(path)) return other;
      return this.matches(name, baseName) ? failed(name, error, stats !== undefined) : other;
    }
    if (stats.isDirectory()) return folder;
    if (!stats.isFile()) return other;
    if (!this.matches(name, baseName)) return unmatched;
    const problem = nameProblem(name);
    if (problem !== undefined) return nameless(name, problem);
    return this.#frame(name, stats, isLink, undefined);
  }

  #frame(name: string, stats: BigIntStats, isLink: boolean, asked: AskedFile | undefined): FoundFrame {
    if (!this.#escapeReported && readableName(name) !== name) this.#reportEscape(name);
    const entry = { name, bytes: Number(stats.size), capturedNs: clampCaptured(stats.mtimeNs) };
    return { kind: "frame", entry, stats, isLink, asked };
  }

  #reportEscape(name: string): void {
    this.#escapeReported = true;
    const why = typeof fileName(name) === "string" ? "has a \\ or a % with two digits" : "is not valid UTF-8";
    const detail = `its name ${why}: sent as ${name}, and others like it in the same way`;
    this.report(name, "escaped", detail);
  }

  /** `name`: of a file or folder; empty: the root. */
  report(name: string, reason: SourceProblem["reason"], detail: string, hint?: string): void {
    const path = this.root + shownName(name);
    const problem = { source: this.#options.name, path: path.replace(/(?<=.)\/$/, ""), reason, detail };
    this.#options.onProblem?.(hint === undefined ? problem : { ...problem, hint });
  }

  reportIncomplete(name: string): void {
    this.report(name, "incomplete", "incomplete: it ends before the end of its picture; sent as it is");
  }

  reportUnreadable(prefix: string, error: unknown): void {
    this.report(prefix, "unreadable", `the folder cannot be read: ${errorText(error)}`);
  }
}

/** A file system that does not say what its names stand for has nothing but others. */
function namesIn(path: FilePath): FolderNames {
  const names: string[] = [];
  const others = new Set<string>();
  let isText = true;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    names.push(entry.name);
    isText &&= !mayNeedEscape(entry.name);
    if (!entry.isFile()) others.add(entry.name);
  }
  if (isText) return { names, others };
  const escaped = readdirSync(path, { encoding: "buffer" }).map(escapedName);
  return { names: escaped, others: new Set(escaped) };
}

/** Neither hidden nor temporary. */
export function isPossible(baseName: string): boolean {
  return !baseName.startsWith(".") && !isTemporaryName(baseName);
}

function patternsOf(texts: readonly string[] = []): Pattern[] {
  return texts.map((text) => ({ glob: new Bun.Glob(text), wholePath: text.includes("/") }));
}

function failed(name: string, error: unknown, isLink: boolean): Found {
  const missing = errorCode(error) === "ENOENT";
  const gone = failureReason(error) === "vanished" && !isLink;
  const problem = nameProblem(name);
  if (problem !== undefined) return nameless(name, problem, gone);
  if (isLink && missing) return unreadable(name, "a link to a file that is not there");
  return { kind: "failure", failure: { name, failure: failureReason(error), detail: errorText(error) }, gone };
}

/** A file whose name no receiver would take has no frame name: the detail says which it is. */
function nameless(name: string, problem: string, gone = false): Found {
  return unreadable("", `the file ${quotePath(shownName(name))} cannot keep its name: ${problem}`, gone);
}

function unreadable(name: string, detail: string, gone = false): Found {
  return { kind: "failure", failure: { name, failure: "unreadable", detail }, gone };
}
