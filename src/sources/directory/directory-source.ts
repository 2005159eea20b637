/**
 * A directory, or a single file, as a source of frames: its files in natural order of their paths, depth first, with
 * files and folders of one folder sorted together, so that the order is that of `compareNatural` over whole names.
 *
 *     walk -> look -> finished -> listed -> settled -> (resting -> removed)
 *               ^         |
 *               +- waits -+   looked at again; those behind it go first
 *
 * A complete picture that nobody writes to is listed at once, so a directory of them waits for nothing. What has no
 * end of its own has to be watched for 2 s; all such files are watched at the same time, and come in their order.
 * A file that is held open, or does not stop changing, is waited for a minute, named, and left for the next run.
 *
 * It is lazy. In memory are the names in the folders on the current path, files that wait, 16,384 at most, and with
 * `deleteSent` those that rest. A file is looked at when it is listed, and again when it is opened.
 */
import { closeSync } from "node:fs";
import { type FrameEntry, Note, type Outcome } from "../../frame.ts";
import { inNaturalOrder } from "../../names.ts";
import type { Clock, Listed, OpenedFrame, Source } from "../../ports.ts";
import { CaptureTimes } from "../files/capture-times.ts";
import { FolderWalk } from "../files/folder-walk.ts";
import { type Found, type FoundFrame, FrameFiles, type FrameFilesOptions } from "../files/frame-files.ts";
import { Heap } from "../../heap.ts";
import { LinkTargets } from "../files/link-targets.ts";
import { contentIfClosed, evidenceOf, type FileContent, inspectFile, isWhole } from "../files/quiet-file.ts";
import { patienceMs, QuietFile, stateOf } from "../files/quiet-file.ts";
import { RestingFiles } from "../files/resting-files.ts";
import { SentFiles } from "../files/sent-files.ts";

export type { SourceProblem } from "../files/frame-files.ts";

/** No folder is gone through while so many files wait: some MB. */
const waitingMax = 16_384;
/** So long files are looked at without one that can be listed; then others have their turn. */
const sliceMs = 5;
/** A file that was not quiet for so long is left, whatever it does. */
const changingMs = 2 * patienceMs;

export interface DirectorySourceOptions extends FrameFilesOptions {
  /** So many files stay open between the look at them and their reading. Absent: none. */
  readonly keptFilesMax?: number | undefined;
  readonly clock: Clock;
  /** Only this one file of `root`. `include` says nothing about it. */
  readonly only?: string | undefined;
  /** Remove a file once it is stored elsewhere. A link is removed, what it leads to stays. */
  readonly deleteSent?: boolean | undefined;
  /** With `deleteSent`: how long a file must have been stored and unchanged. Without: no time at all. */
  readonly restMs?: number | undefined;
}

/** `prefix`: the path below the root, ending in `/`; empty for the root. */
interface Folder {
  readonly prefix: string;
  readonly others: ReadonlySet<string>;
}

interface Waiting {
  readonly name: string;
  readonly baseName: string;
  /** Its folder says that it is an ordinary file. */
  readonly isFile: boolean;
  readonly file: QuietFile;
  readonly serial: number;
  dueMs: number;
}

export class DirectorySource implements Source {
  readonly name: string;
  onReady?: () => void;
  readonly #only: string | undefined;
  readonly #clock: Clock;
  readonly #files: FrameFiles;
  readonly #times: CaptureTimes;
  readonly #sent: SentFiles;
  readonly #resting: RestingFiles;
  readonly #links = new LinkTargets();
  readonly #deletes: boolean;
  readonly #rests: boolean;
  /** Listed and not settled; only where they are going to rest. */
  readonly #underWay = new Set<string>();
  /** Undefined before the first `list`. */
  #walk: FolderWalk<Folder> | undefined;
  readonly #waiting = new Heap<Waiting>((a, b) => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.serial < b.serial));
  #serial = 0;
  #cancelTimer: () => void = () => {};
  #foundFiles = 0;
  #passedOverFiles = 0;
  #unreadableFolders = 0;
  #ended = false;

  constructor(options: DirectorySourceOptions) {
    this.name = options.name;
    this.#only = options.only;
    this.#clock = options.clock;
    this.#files = new FrameFiles(options.only === undefined ? options : { ...options, include: [], exclude: [] });
    this.#times = new CaptureTimes(this.#files);
    const { deleteSent: asked = false, restMs = 0, clock } = options;
    this.#sent = new SentFiles(this.#files, asked, undefined, options.keptFilesMax);
    const deleteSent = asked && !this.#sent.isReadOnly;
    this.#deletes = deleteSent;
    this.#rests = deleteSent && restMs > 0;
    const onFate = (): void => this.onReady?.();
    this.#resting = new RestingFiles({ clock, files: this.#files, sent: this.#sent, deleteSent, restMs, onFate });
  }

  list(max: number): Listed[] | undefined {
    if (this.#ended) return undefined;
    this.#walk ??= this.#start();
    if (this.#sent.hasDoubted) return this.#review();
    const listed: Listed[] = [];
    const startMs = this.#clock.nowMs();
    while (listed.length < max && !this.#resting.isFull) {
      if (!this.#step(this.#walk, listed)) break;
      if (listed.length === 0 && this.#clock.nowMs() - startMs >= sliceMs) return this.#askAgain(0);
    }
    if (listed.length > 0) return listed;
    const next = this.#waiting.first;
    if (next !== undefined) return this.#askAgain(next.dueMs - this.#clock.nowMs());
    // The run is over when the last file has rested; one that was changed meanwhile may be told of until then.
    if (this.#underWay.size > 0 || this.#resting.size > 0) return [];
    this.#end();
    return undefined;
  }

  open(entry: FrameEntry): OpenedFrame {
    return this.#sent.open(entry);
  }

  confirms(entry: FrameEntry, crc32: number): boolean | undefined {
    return this.#sent.confirms(entry, crc32);
  }

  settled(entry: FrameEntry, outcome: Outcome | undefined, crc32: number | undefined): void {
    this.#links.settled(entry.name);
    this.#resting.settled(entry, outcome, crc32);
    this.#underWay.delete(entry.name);
    if (this.#deletes && this.#underWay.size === 0 && this.#resting.size === 0) this.onReady?.();
  }

  dispose(): void {
    this.#ended = true;
    this.#times.close();
    this.#walk = undefined;
    this.#cancelTimer();
    this.#resting.close();
    this.#links.clear();
    this.#underWay.clear();
    this.#waiting.clear();
    this.#sent.clear();
  }

  /** What was taken to be at the receiver and is not has another number, and is sent without asking. */
  #review(): Listed[] {
    const other = this.#sent.review();
    return other === undefined ? this.#askAgain(0) : [{ ...other, live: true }];
  }

  #askAgain(delayMs: number): Listed[] {
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.after(Math.max(0, Math.ceil(delayMs)), () => this.onReady?.());
    return [];
  }

  #end(): void {
    this.#ended = true;
    this.#times.close();
    this.#reportIfEmpty();
  }

  #start(): FolderWalk<Folder> {
    const walk = new FolderWalk<Folder>();
    if (this.#only === undefined) this.#enter(walk, "");
    else walk.enter({ prefix: "", others: new Set([this.#only]) }, [this.#only]);
    return walk;
  }

  #enter(walk: FolderWalk<Folder>, prefix: string): void {
    try {
      const { names, others } = this.#files.names(prefix);
      walk.enter({ prefix, others }, inNaturalOrder(names));
    } catch (error) {
      this.#unreadableFolders += 1;
      this.#files.reportUnreadable(prefix, error);
    }
  }

  /** Looks at one file; false: there is none to look at now. Who has waited comes first: it is first in the order. */
  #step(walk: FolderWalk<Folder>, listed: Listed[]): boolean {
    const waiting = this.#waiting.first;
    if (waiting !== undefined && waiting.dueMs <= this.#clock.nowMs()) {
      this.#waiting.pop();
      const { name, baseName, isFile } = waiting;
      this.#take(walk, waiting, this.#find(name, baseName, isFile), listed);
      return true;
    }
    if (this.#waiting.size >= waitingMax) return false;
    const step = walk.next();
    if (step === undefined) return false;
    if (step.name === undefined) return true;
    const { folder, name: baseName } = step;
    const name = folder.prefix + baseName;
    const isFile = !folder.others.has(baseName);
    const found = this.#find(name, baseName, isFile);
    const isClosed = found.kind === "frame" && found.asked?.writers === "none";
    const recalled = isClosed ? this.#files.recall(found.stats) : undefined;
    const content = recalled ?? (isClosed ? contentIfClosed(found) : undefined);
    if (isClosed && content !== undefined && (recalled !== undefined || isWhole(content))) {
      this.#list(found, this.#times.listed(found.entry, content.exif), listed);
      return true;
    }
    const nowMs = this.#clock.nowMs();
    this.#serial += 1;
    const file = new QuietFile(nowMs);
    this.#take(walk, { name, baseName, isFile, file, serial: this.#serial, dueMs: nowMs }, found, listed, content);
    return true;
  }

  #find(name: string, baseName: string, isFile: boolean): Found {
    return isFile ? this.#files.open(name, baseName) : this.#files.look(name, baseName);
  }

  /** A folder is entered; a frame or a failure is listed, or waits. */
  #take(walk: FolderWalk<Folder>, waiting: Waiting, found: Found, listed: Listed[], content?: FileContent): void {
    const { name } = waiting;
    if (found.kind === "frame") return this.#judge(waiting, found, listed, content);
    if (found.kind === "failure") {
      // What goes before it was finished was no frame: a program's temporary file, under a name that nobody knows.
      if (!found.gone || !waiting.file.isSeen) this.#add(found.failure, listed);
    } else if (found.kind === "unmatched") this.#passedOverFiles += 1;
    else if (found.kind === "folder") this.#enter(walk, `${name}/`);
  }

  #judge(waiting: Waiting, found: FoundFrame, listed: Listed[], content?: FileContent): void {
    const { name, file } = waiting;
    const { entry, stats, asked } = found;
    const nowMs = this.#clock.nowMs();
    let waitMs = 0;
    try {
      file.see(stateOf(stats), nowMs);
      const recalled = content === undefined ? this.#files.recall(stats) : undefined;
      const known = content ?? recalled;
      waitMs = file.judge(recalled === undefined ? "unknown" : "whole", nowMs, (end) =>
        asked === undefined
          ? inspectFile(this.#files.path(name), end, known)
          : evidenceOf(asked, stats, name, end, known),
      );
    } catch {
      // It is for the session to find that it cannot be read, and to say so.
    }
    if (waitMs === 0) {
      const isIncomplete = file.end === "incomplete";
      if (isIncomplete) this.#files.reportIncomplete(name);
      const timed = this.#times.listed(entry, file.exif);
      return this.#list(found, isIncomplete ? { ...timed, notes: Note.incomplete } : timed, listed);
    }
    if (asked !== undefined) closeSync(asked.fd);
    const { heldSinceMs, firstSeenMs } = file;
    if (heldSinceMs !== undefined && nowMs - heldSinceMs >= patienceMs) {
      return this.#leave(name, "a program has it open for writing; not sent");
    }
    if (nowMs - firstSeenMs >= changingMs) return this.#leave(name, "it does not stop changing; not sent");
    waiting.dueMs = nowMs + waitMs;
    this.#waiting.push(waiting);
  }

  #list({ stats, isLink, asked }: FoundFrame, entry: FrameEntry, listed: Listed[]): void {
    if (asked !== undefined) this.#sent.keep(entry.name, asked.fd);
    if (isLink && this.#deletes) this.#links.listed(entry.name, stats);
    if (this.#rests) this.#underWay.add(entry.name);
    this.#add(entry, listed);
  }

  #leave(name: string, detail: string): void {
    this.#foundFiles += 1;
    this.#files.report(name, "unfinished", detail);
  }

  #add(one: Listed, listed: Listed[]): void {
    this.#foundFiles += 1;
    if (!("failure" in one)) this.#sent.listed(one);
    listed.push(one);
  }

  #reportIfEmpty(): void {
    if (this.#foundFiles > 0 || this.#unreadableFolders > 0) return;
    const files = this.#passedOverFiles;
    const count = files === 1 ? "1 file" : `${files} files`;
    if (files === 0) {
      this.#files.report(
        "",
        "empty",
        "no frames: there is no file in it",
        "files and folders that are hidden, or have a temporary name, are skipped",
      );
    } else {
      const hint = "a pattern without / is compared with the name of a file, one with / with its path below the input";
      const detail = `no frames: --include and --exclude leave none of ${count}`;
      this.#files.report("", "empty", detail, hint);
    }
  }
}
