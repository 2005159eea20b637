/**
 * The files of a watched directory, from the first word of one to where it can be listed, and again when it changes.
 *
 *     event  ->  waiting  ->  ready  ->  taken (its size and time are remembered)
 *     scan   ->     |
 *
 * | part | what it knows |
 * |---|---|
 * | folder-tree.ts, folder-scans.ts | folders: events, and reading them for what no event told of |
 * | settling-files.ts | files that wait until they are finished |
 * | ready-queue.ts | files that can be listed, and in which order |
 * | frames-under-way.ts | names that are listed and not settled, and what was heard of them since |
 * | known-files.ts | what stands in a folder's map for each file |
 *
 * Scans pause while too many files wait.
 */
import type { BigIntStats } from "node:fs";
import { Note } from "../../frame.ts";
import type { Clock } from "../../ports.ts";
import type { WatchFolder } from "../../system/watch-folder.ts";
import { CaptureTimes } from "../files/capture-times.ts";
import type { Found, FrameFiles } from "../files/frame-files.ts";
import { lookMs } from "../files/quiet-file.ts";
import { type FolderEvent, FolderTree } from "./folder-tree.ts";
import { FramesUnderWay, type News } from "./frames-under-way.ts";
import { beforeOf, differenceOf, fingerprintBefore, fingerprintOf, type Folder } from "./known-files.ts";
import { isWaiting, noFingerprint, type Ready, splitName, type Waiting } from "./known-files.ts";
import { ReadyQueue } from "./ready-queue.ts";
import { SettlingFiles } from "./settling-files.ts";
import { SlicedWork } from "./sliced-work.ts";

/** So long the files of the start are waited for, most of which are quiet within 2 s, before the newest is known. */
const sortingMs = 2_500;
/** No folder is gone through while so many files wait: some MB. */
const waitingMax = 16_384;

type FoundFrame = Extract<Found, { readonly kind: "frame" }>;

export interface WatchedFilesOptions {
  readonly clock: Clock;
  readonly files: FrameFiles;
  readonly order: "oldest" | "newest";
  readonly watchFolder: WatchFolder;
  /** A file that is ready is behind a link; what is there. */
  readonly onLink: (name: string, target: BigIntStats) => void;
  /** `take` may give something that it could not give before. */
  readonly onReady: () => void;
}

export class WatchedFiles {
  readonly #options: WatchedFilesOptions;
  readonly #clock: Clock;
  readonly #files: FrameFiles;
  readonly #times: CaptureTimes;
  readonly #tree: FolderTree;
  readonly #settling: SettlingFiles;
  readonly #ready: ReadyQueue;
  readonly #underWay = new FramesUnderWay();
  readonly #work: SlicedWork;
  #state: "new" | "starting" | "watching" | "disposed" = "new";
  #news = false;
  /** With `newest`: what was there at the start is not listed before. */
  #sortingUntilMs = 0;

  constructor(options: WatchedFilesOptions) {
    const { clock, files, order } = options;
    this.#options = options;
    this.#clock = clock;
    this.#files = files;
    this.#times = new CaptureTimes(files);
    this.#ready = new ReadyQueue(order, (ready) => this.#isToList(ready));
    this.#work = new SlicedWork({
      clock,
      begin: (nowMs) => nowMs >= this.#tree.patrolAtMs && this.#tree.patrol(nowMs),
      step: () => this.#step(),
      end: () => this.#tellNews(),
      dueMs: () => Math.min(this.#tree.patrolAtMs, this.#settling.dueMs),
    });
    const wakeAt = (atMs: number): void => this.#work.wakeAt(atMs);
    this.#tree = new FolderTree({
      ...options,
      onRoot: () => void (this.#state = "starting"),
      onEvent: (folder, kind, baseName) => this.#event(folder, kind, baseName),
      onName: (folder, baseName) => this.#look(folder, baseName, undefined),
      wakeAt,
    });
    this.#settling = new SettlingFiles({
      clock,
      files,
      losses: () => this.#tree.scans.losses,
      isCurrent: (folder) => this.#tree.isCurrent(folder),
      look: (waiting) => this.#look(waiting.folder, waiting.baseName, waiting),
      wakeAt,
    });
  }

  /** Files that are ready, or will be. Undefined: nobody knows yet. */
  get unlisted(): number | undefined {
    if (this.#state === "new" || (this.#state === "starting" && !this.#tree.isEmpty)) return undefined;
    return this.#ready.size + this.#underWay.changedFrames;
  }

  /** Begins, if that was not done. */
  start(): void {
    if (this.#state !== "new") return;
    this.#state = "starting";
    this.#work.wakeAt(this.#clock.nowMs());
  }

  /** The next file, which is under way from now on; with `onlyLive`, if it appeared while we looked on. */
  take(onlyLive: boolean): Ready | undefined {
    // Which is the newest is known when everything has been looked at, and was quiet.
    const isSorting = this.#state === "starting" || this.#clock.nowMs() < this.#sortingUntilMs;
    const liveOnly = onlyLive || (isSorting && this.#options.order === "newest");
    const ready = this.#ready.take(liveOnly);
    if (ready === undefined) return undefined;
    ready.folder.files.set(ready.baseName, ready.fingerprint);
    this.#underWay.listed(ready.listed.name);
    return ready;
  }

  /** It is not under way any more. Returns what was heard of it since it was taken: whoever wants to looks again. */
  settled(name: string): News | undefined {
    return this.#underWay.settled(name);
  }

  /** What is known of the state of a listed file holds no longer; `state` undefined: it is gone. */
  forget(name: string, state: typeof noFingerprint | undefined): void {
    const { prefix, baseName } = splitName(name);
    const files = this.#tree.folder(prefix)?.files;
    const known = files?.get(baseName);
    if (typeof known === "number") {
      if (state === undefined) files?.delete(baseName);
      else files?.set(baseName, state);
    } else if (isWaiting(known) && typeof known.before === "number") known.before = state;
  }

  lookAgain(name: string, live: boolean): void {
    const quiet = this.#underWay.takeQuietState(name);
    const { prefix, baseName } = splitName(name);
    const folder = this.#tree.folder(prefix);
    if (folder === undefined) return;
    const known = folder.files.get(baseName);
    const waiting = isWaiting(known) ? known : this.#settling.wait(folder, baseName);
    waiting.live ||= live;
    waiting.quiet = quiet;
    this.#settling.lookAt(waiting, this.#clock.nowMs());
  }

  dispose(): void {
    if (this.#state !== "disposed") this.#settling.leave(this.#tree.folders);
    this.#state = "disposed";
    this.#times.close();
    this.#work.stop();
    this.#tree.clear();
    this.#ready.clear();
    this.#underWay.clear();
  }

  #tellNews(): void {
    if (!this.#news) return;
    this.#news = false;
    this.#options.onReady();
  }

  /** Does one thing; false: there is nothing to do now. What is there at the start comes before what appears. */
  #step(): boolean {
    const { scans } = this.#tree;
    const settling = this.#settling;
    if (this.#state === "starting" && !this.#tree.isEmpty) {
      if (settling.size >= waitingMax) return settling.step();
      if (scans.step()) return true;
      this.#state = "watching";
      this.#news = true;
      if (this.#options.order !== "newest" || settling.size === 0) return settling.step();
      this.#sortingUntilMs = this.#clock.nowMs() + sortingMs;
      this.#clock.after(sortingMs, () => this.#options.onReady());
    }
    return settling.step() || (settling.size < waitingMax && scans.step());
  }

  #event(folder: Folder, kind: FolderEvent, baseName: string): void {
    const renamed = kind === "renamed";
    const known = folder.files.get(baseName);
    // What is no frame by its name matters only if it is a folder that appears or goes.
    if (!renamed && !isWaiting(known) && !this.#mayBeFrame(folder.prefix + baseName, baseName)) return;
    const waiting = isWaiting(known) ? known : this.#settling.wait(folder, baseName);
    waiting.live = true;
    if (renamed) waiting.renames += 1;
    else waiting.written = true;
    this.#settling.lookAt(waiting, this.#clock.nowMs() + lookMs);
  }

  #mayBeFrame(name: string, baseName: string): boolean {
    return this.#tree.folder(`${name}/`) === undefined && this.#files.matches(name, baseName);
  }

  /** Finds out what is at a name: because something was said of it (`waiting`), or in a scan. */
  #look(folder: Folder, baseName: string, waiting: Waiting | undefined): void {
    const { files } = folder;
    const name = folder.prefix + baseName;
    const before = beforeOf(files.get(baseName));
    const found = this.#files.look(name, baseName);
    if (found.kind === "frame") return this.#lookAtFrame(folder, baseName, before, waiting, found);
    if (found.kind === "folder") {
      files.delete(baseName);
      return this.#tree.meet(`${name}/`, waiting !== undefined);
    }
    if (found.kind === "failure" && !found.gone) {
      const { failure: listed } = found;
      const isKnown = fingerprintBefore(before) === noFingerprint || this.#underWay.change(listed.name, false);
      if (isKnown) return this.#restore(folder, baseName, before);
      this.#news = true;
      const ready = { listed, fingerprint: noFingerprint, capturedNs: 0n, rewritten: false };
      return this.#ready.add(folder, baseName, before, ready);
    }
    this.#settling.forget(name);
    // A frame that was ready and is gone will be listed, and found missing: it is a gap, and that is said.
    this.#restore(folder, baseName, typeof before === "number" ? undefined : before);
  }

  #lookAtFrame(
    folder: Folder,
    baseName: string,
    before: number | Ready | undefined,
    waiting: Waiting | undefined,
    { entry, stats, isLink }: FoundFrame,
  ): void {
    const { name } = entry;
    const fingerprint = fingerprintOf(stats);
    const known = fingerprintBefore(before);
    const difference = known === undefined ? "other" : differenceOf(known, fingerprint);
    // What is ready will be read in any case; the rest is looked at again where it is sure that somebody changed it.
    const rewritten = difference === "rewritten" && typeof before === "number" && this.#files.tellsChanges(stats);
    if (difference !== "other" && !rewritten) return this.#restore(folder, baseName, before);
    const finished = this.#settling.judge(waiting ?? this.#settling.wait(folder, baseName), stats);
    if (finished === undefined) return;
    if (finished.as === "unreadable" && before === noFingerprint) return this.#restore(folder, baseName, before);
    const live = waiting?.live === true;
    if (this.#underWay.change(name, live)) {
      if (finished.as !== "incomplete") this.#underWay.quiet(name, finished);
      return this.#restore(folder, baseName, before);
    }
    const isIncomplete = finished.as === "incomplete";
    if (isIncomplete) this.#files.reportIncomplete(name);
    if (isLink) this.#options.onLink(name, stats);
    if (live) this.#settling.remember(name, stats.ino);
    const timed = this.#times.listed(entry, finished.exif);
    const notes = isIncomplete && { notes: Note.incomplete };
    // Only the receiver can say whether it is the same file still: it is asked, and the bytes are compared.
    const listed = { ...timed, ...(live && !rewritten && { live: true as const }), ...notes };
    this.#news = true;
    const { capturedNs } = timed;
    this.#ready.add(folder, baseName, before, { listed, fingerprint, capturedNs, rewritten });
  }

  /** Nothing has happened to it after all. */
  #restore(folder: Folder, baseName: string, before: number | Ready | undefined): void {
    if (before === undefined) {
      folder.files.delete(baseName);
      return;
    }
    folder.files.set(baseName, before);
    if (typeof before === "object" && this.#ready.putBack(before)) this.#news = true;
  }

  /** What vanished with its folder is listed, and found missing; unless the folder is back, and gone through again. */
  #isToList(ready: Ready): boolean {
    const { folder, baseName } = ready;
    if (folder.files.get(baseName) !== ready) return false;
    return this.#tree.isCurrent(folder) || this.#tree.folder(folder.prefix) === undefined;
  }
}
