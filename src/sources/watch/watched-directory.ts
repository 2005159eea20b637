/**
 * A directory in which frames appear: what is there at the start, and then each file as it is finished, without end.
 *
 *     event  ->  waiting  ->  ready  ->  listed (its size and time are remembered)
 *     scan   ->     |  files/quiet-file.ts
 *
 * Events are only hints where to look; what counts is what is found there. Lost events (an overflow, a network file
 * system, a folder mounted over another) are healed by scans: a folder whose time of change has moved is read for new
 * names, and once a minute the files that were sent are looked at, too. That may take 1 % of the time, so of large
 * folders it is done less often: 1,000,000 sent files are gone through in 17 minutes.
 *
 * Empty folders are left alone, whoever made them may still want them.
 *
 * A name is not listed again while its frame is on its way: what is read then is the new file, and may be all there is
 * to send. It is looked at again when that frame is settled. A frame that could not be read counts as never seen: the
 * next event, which may be that of a `chmod`, or the next look at all files lists it again if it can be opened now.
 *
 * Memory: a name, size and time for each file that is there and was listed (about 150 bytes), and about 1 KB, with
 * what the collector has not taken yet, for one that waits. Scans pause while too many wait. What is deleted is
 * forgotten, so with `deleteSent` it does not grow with the days.
 *
 * Invariant: a file is in its folder's map as a number (listed in that state) or as one object (on its way there);
 * an object that the map does not hold is out of date, wherever else it still stands.
 */
import { statSync, type BigIntStats, type Stats } from "node:fs";
import { type FrameEntry, Note, type Outcome } from "../../frame.ts";
import { inNaturalOrder } from "../../names.ts";
import type { Clock, Listed, ListedFrame, OpenedFrame, Source } from "../../ports.ts";
import { describe, errorCode } from "../../system/errno.ts";
import type { FilePath } from "../../system/file-path.ts";
import { type OnFolderEvent, watchFolder, type WatchFolder } from "../../system/watch-folder.ts";
import { escapedName } from "../files/escaped-names.ts";
import { errorText, failureReason } from "../files/file-errors.ts";
import { FolderWalk } from "../files/folder-walk.ts";
import { FrameFiles, type FrameFilesOptions, isPossible, type SourceProblem } from "../files/frame-files.ts";
import { Heap } from "../files/heap.ts";
import { heldDetail, incompleteDetail, LeftFiles } from "../files/left-files.ts";
import { LinkTargets } from "../files/link-targets.ts";
import { type Arrival, arrivalOf, inspectFile, lookAgainMs, lookMs } from "../files/quiet-file.ts";
import { patienceMs, QuietFile, stateOf } from "../files/quiet-file.ts";
import { RestingFiles, restingMax } from "../files/resting-files.ts";
import { type SentFate, SentFiles } from "../files/sent-files.ts";
import { type NamePicture, PictureNames } from "./picture-names.ts";

/** Work is done in slices of this length, so that frames are sent and acks are read in between. */
const sliceMs = 5;
/** So long the files of the start are waited for, most of which are quiet within 2 s, before the newest is known. */
const sortingMs = 2_500;
/** How often each folder is looked at, as such. */
const patrolMs = 1_000;
/** The least time between two readings of one folder for new names. */
const scanMs = 5_000;
/** The least time between two looks at all files of one folder, if nothing was lost. */
const deepScanMs = 60_000;
/** Files that are looked at again in that way, of all folders: 3 µs each, 15 on a small machine. */
const deepFilesPerSecond = 1_000;
/** After a patrol, or a scan of a folder, this many times its length nothing of the kind. */
const restFactor = 100;
/** Lost events come in numbers; they are healed together. */
const lossMs = 100;
/** No folder is gone through while so many files wait: some MB. */
const waitingMax = 16_384;
/** Names that are remembered with their files: those that are written again and again are among the newest. */
const fileNumbersMax = 1_024;
/** So many ready files may be out of date before they are taken out of the heap. */
const supersededMax = 1_024;

export interface WatchedDirectoryOptions extends FrameFilesOptions {
  readonly clock: Clock;
  /**
   * `oldest` (default): natural order of names for what is there at the start, then in the order in which files are
   * finished. `newest`: of all that is not listed yet the one with the latest capture time; what appeared while we
   * looked on comes before what was there, because some cameras lose their clocks.
   */
  readonly order?: "oldest" | "newest" | undefined;
  /** Remove a file once it is stored elsewhere. A link is removed, what it leads to stays. */
  readonly deleteSent?: boolean | undefined;
  /** With `deleteSent`: how long a file must have been stored and unchanged. Without: no time at all. */
  readonly restMs?: number | undefined;
  /** Names pictures of a file that is written again. Undefined: they have its name, and the receiver numbers them. */
  readonly namePicture?: NamePicture | undefined;
  /** For tests: `fs.watch` otherwise. */
  readonly watchFolder?: WatchFolder | undefined;
}

interface Folder {
  /** Path below the root, ending in `/`; empty for the root. */
  readonly prefix: string;
  readonly files: Map<string, number | Waiting | Ready>;
  readonly device: number;
  readonly fileNumber: number;
  /** Undefined: the system does not tell us of changes. */
  stopWatching: (() => void) | undefined;
  /** The folder's time of change before its names were read last. */
  changedMs: number;
  /** Its names could not be read, and that was said. */
  unreadable: boolean;
  scanning: boolean;
  scanAtMs: number;
  /** 0: as soon as possible. */
  deepScanAtMs: number;
}

/** A file that something was said of, and that may not be finished. */
interface Waiting {
  readonly state: "waiting";
  readonly folder: Folder;
  readonly baseName: string;
  /** What was known of it before, and may still be true. */
  before: number | Ready | undefined;
  /** It appeared, or changed, while we looked on. */
  live: boolean;
  /** It was told of writing, or of times or rights. */
  written: boolean;
  /** How often something was renamed to or from this name since then, as far as it was told. */
  renames: number;
  /** Losses of events when it was first heard of: one more, and it may have been written to after all. */
  readonly losses: number;
  readonly file: QuietFile;
  /** The state in which it was found to be finished while an earlier one was on its way. */
  quietState: number | undefined;
  /** That a program holds it open was said. */
  heldReported: boolean;
  /** When to look at it. */
  dueMs: number;
  /** The earliest ticket for it in the heap. */
  ticketMs: number;
}

interface Ready {
  readonly state: "ready";
  readonly folder: Folder;
  readonly baseName: string;
  readonly listed: Listed;
  readonly fingerprint: number;
  readonly capturedNs: bigint;
  readonly serial: number;
  queued: boolean;
}

interface Ticket {
  readonly dueMs: number;
  readonly serial: number;
  readonly waiting: Waiting;
}

interface Scan {
  readonly folder: Folder;
  /** Files that were listed are looked at again. */
  readonly deep: boolean;
  readonly losses: number;
  costMs: number;
}

/** Stands for the state of a file that could not be looked at, opened or read. */
const noFingerprint = 0;

export class WatchedDirectory implements Source {
  readonly name: string;
  readonly live = true;
  onReady?: () => void;
  readonly #options: WatchedDirectoryOptions;
  readonly #clock: Clock;
  readonly #files: FrameFiles;
  readonly #sent: SentFiles;
  readonly #resting: RestingFiles;
  readonly #names: PictureNames;
  readonly #links = new LinkTargets();
  readonly #held: LeftFiles;
  readonly #unfinished: LeftFiles;
  readonly #incomplete: LeftFiles;
  readonly #watchFolder: WatchFolder;
  /** By prefix. Without the root: it is not there. */
  readonly #folders = new Map<string, Folder>();
  readonly #walk = new FolderWalk<Scan>();
  readonly #tickets = new Heap<Ticket>((a, b) => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.serial < b.serial));
  readonly #ready: Heap<Ready>;
  #superseded = 0;
  /** Names that are listed and not settled, and whether to look at them then. Bounded by what a session has ahead. */
  readonly #underWay = new Map<string, "nothing" | "changed" | "live">();
  /** Of those, the states in which files were found to be finished. */
  readonly #quietStates = new Map<string, number>();
  /** Of those, what is to be looked at. */
  #changedUnderWay = 0;
  /** Which file a name led to when it was ready, of the newest live ones. */
  readonly #fileNumbers = new Map<string, bigint>();
  #serial = 0;
  #losses = 0;
  #state: "new" | "starting" | "watching" | "disposed" = "new";
  /** `list` may give something that it could not give before. */
  #news = false;
  #working = false;
  #patrolAtMs = 0;
  /** With `newest`: what was there at the start is not listed before. */
  #sortingUntilMs = 0;
  /** How many files may be looked at again without a reason; below 0 it is too many already. */
  #deepFiles = 0;
  #timerAtMs = Infinity;
  #cancelTimer: () => void = () => {};
  /** The root is not there, and that was said. */
  #missing = false;
  /** Not every folder could be watched, and that was said. */
  #unwatched = false;
  /** Links to folders that were reported; they are met again in each scan. */
  readonly #folderLinks = new Set<string>();

  constructor(options: WatchedDirectoryOptions) {
    this.name = options.name;
    this.#options = options;
    this.#clock = options.clock;
    this.#watchFolder = options.watchFolder ?? watchFolder;
    this.#files = new FrameFiles({ ...options, onProblem: (problem) => this.#report(problem) });
    this.#sent = new SentFiles(this.#files, options.deleteSent === true, (name) => {
      this.#names.unlisted(name);
      this.#forget(name, noFingerprint);
    });
    this.#names = new PictureNames(options.namePicture);
    this.#resting = new RestingFiles({
      clock: this.#clock,
      files: this.#files,
      sent: this.#sent,
      deleteSent: options.deleteSent === true,
      restMs: options.restMs ?? 0,
      onFate: (name, fate) => {
        const wasFull = this.#resting.size + 1 >= restingMax;
        this.#afterFate(name, fate);
        if (wasFull) this.onReady?.();
      },
    });
    const left = (reason: SourceProblem["reason"], many: string): LeftFiles =>
      new LeftFiles(this.#files, this.#clock, reason, many);
    this.#held = left("held", "files are open for writing for a minute, and not sent until they are closed");
    this.#unfinished = left("unfinished", "files are not finished, and not sent");
    this.#incomplete = left("incomplete", "files are incomplete, and sent as they are");
    this.#ready = new Heap(options.order === "newest" ? isNewer : (a, b) => a.serial < b.serial);
  }

  /** A file that is not finished is no frame yet. */
  get unlistedFrames(): number | undefined {
    return this.#state === "starting" && this.#folders.size > 0
      ? undefined
      : this.#ready.size - this.#superseded + this.#changedUnderWay;
  }

  list(max: number, onlyLive = false): Listed[] {
    let liveOnly = onlyLive;
    if (this.#state === "new") {
      this.#state = "starting";
      this.#arm(this.#clock.nowMs());
    }
    const listed: Listed[] = [];
    // Which is the newest is known when everything has been looked at, and was quiet.
    const isSorting = this.#state === "starting" || this.#clock.nowMs() < this.#sortingUntilMs;
    if (isSorting && this.#options.order === "newest") liveOnly = true;
    while (listed.length < max && !this.#resting.isFull) {
      const ready = this.#ready.first;
      if (ready === undefined) break;
      const current = this.#isToList(ready);
      if (current && liveOnly && !isLive(ready.listed)) break;
      this.#ready.pop();
      ready.queued = false;
      if (!current) {
        this.#superseded = Math.max(0, this.#superseded - 1);
        continue;
      }
      ready.folder.files.set(ready.baseName, ready.fingerprint);
      const { name } = ready.listed;
      if (name !== "" && !this.#underWay.has(name)) this.#underWay.set(name, "nothing");
      if ("failure" in ready.listed) listed.push(ready.listed);
      else {
        this.#sent.listed(ready.listed);
        const picture = this.#names.list(name, ready.capturedNs);
        listed.push(picture === name ? ready.listed : { ...ready.listed, name: picture });
      }
    }
    return listed;
  }

  open(entry: FrameEntry): OpenedFrame {
    const name = this.#names.fileOf(entry.name);
    this.#resting.forget(name);
    return this.#sent.open({ ...entry, name });
  }

  confirms(entry: FrameEntry, crc32: number): boolean {
    return this.#sent.confirms({ ...entry, name: this.#names.fileOf(entry.name) }, crc32);
  }

  settled(entry: FrameEntry, outcome: Outcome | undefined, crc32: number | undefined): void {
    const name = this.#names.fileOf(entry.name);
    this.#names.settled(entry.name);
    const news = this.#underWay.get(name);
    this.#underWay.delete(name);
    if (news !== undefined && news !== "nothing") this.#changedUnderWay -= 1;
    this.#links.settled(name);
    const fate = this.#resting.settled({ ...entry, name }, outcome, crc32);
    if (fate !== "resting") this.#afterFate(name, fate);
    if (fate !== "changed" && (news === "live" || news === "changed")) this.#lookAgain(name, news === "live");
    this.#quietStates.delete(name);
  }

  #afterFate(name: string, fate: SentFate): void {
    if (fate === "gone") this.#forget(name, undefined);
    if (fate !== "changed") return;
    // It may have the size and time of the one before; the receiver would take it for that one if it were asked.
    this.#forget(name, noFingerprint);
    this.#lookAgain(name, true);
  }

  dispose(): void {
    if (this.#state !== "disposed") this.#reportLeft();
    this.#state = "disposed";
    this.#cancelTimer();
    this.#dropFolders(new Set([""]));
    this.#resting.close();
    this.#links.clear();
    this.#names.clear();
    this.#walk.clear();
    this.#tickets.clear();
    this.#ready.clear();
    this.#underWay.clear();
    this.#changedUnderWay = 0;
    this.#sent.clear();
  }

  /** What is not finished when we are stopped stays behind. */
  #reportLeft(): void {
    for (const { prefix, files } of this.#folders.values()) {
      for (const [baseName, known] of files) {
        if (!isWaiting(known)) continue;
        const isHeld = known.file.heldSinceMs !== undefined;
        if (isHeld) this.#unfinished.add(prefix + baseName, "a program has it open for writing; not sent");
        else if (known.file.end !== undefined) this.#unfinished.add(prefix + baseName, "it is not finished; not sent");
      }
    }
    for (const left of [this.#held, this.#unfinished, this.#incomplete]) left.close();
  }

  // ---- the loop

  /** Wakes us at `atMs` at the latest. */
  #arm(atMs: number): void {
    if (this.#working || this.#state === "disposed" || this.#timerAtMs <= atMs) return;
    this.#cancelTimer();
    this.#timerAtMs = atMs;
    const delayMs = Math.max(0, Math.ceil(atMs - this.#clock.nowMs()));
    this.#cancelTimer = this.#clock.after(delayMs, () => this.#work());
  }

  #work(): void {
    this.#timerAtMs = Infinity;
    this.#working = true;
    const nowMs = this.#clock.nowMs();
    if (nowMs >= this.#patrolAtMs) this.#patrol(nowMs);
    let more = true;
    while (more && this.#clock.nowMs() < nowMs + sliceMs) more = this.#step();
    this.#working = false;
    this.#arm(more ? nowMs : Math.min(this.#patrolAtMs, this.#tickets.first?.dueMs ?? Infinity));
    if (!this.#news) return;
    this.#news = false;
    this.onReady?.();
  }

  /** Does one thing; false: there is nothing to do now. What is there at the start comes before what appears. */
  #step(): boolean {
    if (this.#state === "starting" && this.#folders.size > 0) {
      if (this.#tickets.size >= waitingMax) return this.#ticketStep();
      if (this.#scanStep()) return true;
      this.#state = "watching";
      this.#news = true;
      if (this.#options.order !== "newest" || this.#tickets.size === 0) return this.#ticketStep();
      this.#sortingUntilMs = this.#clock.nowMs() + sortingMs;
      this.#clock.after(sortingMs, () => this.onReady?.());
    }
    return this.#ticketStep() || (this.#tickets.size < waitingMax && this.#scanStep());
  }

  #ticketStep(): boolean {
    const ticket = this.#tickets.first;
    const nowMs = this.#clock.nowMs();
    if (ticket === undefined || ticket.dueMs > nowMs) return false;
    this.#tickets.pop();
    const { waiting } = ticket;
    const { folder, baseName } = waiting;
    if (waiting.ticketMs !== ticket.dueMs || folder.files.get(baseName) !== waiting) return true;
    if (!this.#isCurrent(folder)) return true;
    waiting.ticketMs = Infinity;
    if (waiting.dueMs > nowMs) this.#lookAt(waiting, waiting.dueMs);
    else this.#look(folder, baseName, waiting);
    return true;
  }

  #scanStep(): boolean {
    const step = this.#walk.next();
    if (step === undefined) return false;
    const { folder: scan, name } = step;
    const startMs = this.#clock.nowMs();
    if (name === undefined) this.#endScan(scan, startMs);
    else if (this.#isCurrent(scan.folder)) {
      const known = scan.folder.files.get(name);
      if (known === undefined || (scan.deep && typeof known === "number")) this.#look(scan.folder, name, undefined);
    }
    scan.costMs += this.#clock.nowMs() - startMs;
    return true;
  }

  // ---- events

  #event(folder: Folder, kind: Parameters<OnFolderEvent>[0], told: FilePath | undefined): void {
    if (!this.#isCurrent(folder)) return;
    const nowMs = this.#clock.nowMs();
    if (told === undefined) return this.#eventsLost(nowMs);
    const baseName = escapedName(told);
    if (!isPossible(baseName)) return;
    const renamed = kind === "renamed";
    const known = folder.files.get(baseName);
    let waiting: Waiting;
    if (isWaiting(known)) {
      waiting = known;
      waiting.live = true;
      if (renamed) waiting.renames += 1;
      else waiting.written = true;
    } else {
      const name = folder.prefix + baseName;
      // What is no frame by its name matters only if it is a folder that appears or goes.
      if (!renamed && (this.#folders.has(`${name}/`) || !this.#files.matches(name, baseName))) return;
      waiting = this.#wait(folder, baseName, known, nowMs);
      waiting.live = true;
      waiting.written = !renamed;
      waiting.renames = renamed ? 1 : 0;
    }
    this.#lookAt(waiting, nowMs + lookMs);
  }

  #eventsLost(nowMs: number): void {
    this.#losses += 1;
    for (const folder of this.#folders.values()) folder.deepScanAtMs = 0;
    this.#patrolAtMs = Math.min(this.#patrolAtMs, nowMs + lossMs);
    this.#arm(this.#patrolAtMs);
  }

  // ---- files

  #wait(folder: Folder, baseName: string, before: number | Ready | undefined, nowMs: number): Waiting {
    const waiting: Waiting = {
      state: "waiting",
      folder,
      baseName,
      before,
      live: false,
      written: false,
      losses: this.#losses,
      renames: 0,
      file: new QuietFile(nowMs),
      quietState: undefined,
      heldReported: false,
      dueMs: nowMs,
      ticketMs: Infinity,
    };
    folder.files.set(baseName, waiting);
    return waiting;
  }

  /** Moves the time of the next look; a later one needs no other ticket. */
  #lookAt(waiting: Waiting, dueMs: number): void {
    waiting.dueMs = dueMs;
    if (dueMs >= waiting.ticketMs) return;
    waiting.ticketMs = dueMs;
    this.#serial += 1;
    this.#tickets.push({ dueMs, serial: this.#serial, waiting });
    this.#arm(dueMs);
  }

  /** Finds out what is at a name: because something was said of it (`waiting`), or in a scan. */
  #look(folder: Folder, baseName: string, waiting: Waiting | undefined): void {
    const { files } = folder;
    const name = folder.prefix + baseName;
    const known = files.get(baseName);
    const before = isWaiting(known) ? known.before : known;
    const found = this.#files.look(name, baseName);
    if (found.kind === "frame") {
      const fingerprint = fingerprintOf(found.stats);
      if (fingerprint === fingerprintBefore(before)) return this.#restore(folder, baseName, before);
      const finished = this.#finished(folder, baseName, waiting, before, found.stats);
      if (finished === undefined) return;
      if (this.#isUnderWay(name, waiting?.live === true)) {
        if (finished === "whole") this.#quietStates.set(name, stateOf(found.stats));
        return this.#restore(folder, baseName, before);
      }
      const listed: ListedFrame = {
        ...found.entry,
        ...(waiting?.live === true && { live: true }),
        ...(finished === "incomplete" && { notes: Note.incomplete }),
      };
      if (finished === "incomplete") this.#incomplete.add(name, incompleteDetail);
      if (found.isLink && this.#options.deleteSent === true) this.#links.listed(name, found.stats);
      if (waiting?.live === true) this.#remember(name, found.stats.ino);
      return this.#makeReady(folder, baseName, before, listed, fingerprint, found.entry.capturedNs);
    }
    if (found.kind === "folder") {
      files.delete(baseName);
      return this.#meetFolder(`${name}/`, waiting !== undefined);
    }
    if (found.kind === "failure" && !found.gone) {
      if (fingerprintBefore(before) === noFingerprint || this.#isUnderWay(found.failure.name, false))
        return this.#restore(folder, baseName, before);
      return this.#makeReady(folder, baseName, before, found.failure, noFingerprint, 0n);
    }
    this.#fileNumbers.delete(name);
    // A frame that was ready and is gone will be listed, and found missing: it is a gap, and that is said.
    this.#restore(folder, baseName, typeof before === "number" ? undefined : before);
  }

  #remember(name: string, fileNumber: bigint): void {
    this.#fileNumbers.delete(name);
    this.#fileNumbers.set(name, fileNumber);
    if (this.#fileNumbers.size <= fileNumbersMax) return;
    for (const oldest of this.#fileNumbers.keys().take(1)) this.#fileNumbers.delete(oldest);
  }

  /** If so, it will be looked at again when that frame is settled. */
  #isUnderWay(name: string, live: boolean): boolean {
    const news = this.#underWay.get(name);
    if (news === undefined) return false;
    if (news === "nothing") this.#changedUnderWay += 1;
    if (news !== "live") this.#underWay.set(name, live ? "live" : "changed");
    return true;
  }

  /** What is known of the state of a listed file holds no longer. */
  #forget(name: string, state: typeof noFingerprint | undefined): void {
    const baseAt = name.lastIndexOf("/") + 1;
    const files = this.#folders.get(name.slice(0, baseAt))?.files;
    const baseName = name.slice(baseAt);
    const known = files?.get(baseName);
    if (typeof known === "number") {
      if (state === undefined) files?.delete(baseName);
      else files?.set(baseName, state);
    } else if (isWaiting(known) && typeof known.before === "number") known.before = state;
  }

  #lookAgain(name: string, live: boolean): void {
    const baseAt = name.lastIndexOf("/") + 1;
    const folder = this.#folders.get(name.slice(0, baseAt));
    if (folder === undefined) return;
    const baseName = name.slice(baseAt);
    const known = folder.files.get(baseName);
    const nowMs = this.#clock.nowMs();
    const waiting = isWaiting(known) ? known : this.#wait(folder, baseName, known, nowMs);
    waiting.live ||= live;
    waiting.quietState = this.#quietStates.get(name);
    this.#quietStates.delete(name);
    this.#lookAt(waiting, nowMs);
  }

  /** Whether a file can be sent; if not, it waits. */
  #finished(
    folder: Folder,
    baseName: string,
    waitingBefore: Waiting | undefined,
    before: number | Ready | undefined,
    stats: BigIntStats,
  ): "whole" | "incomplete" | undefined {
    const nowMs = this.#clock.nowMs();
    const waiting = waitingBefore ?? this.#wait(folder, baseName, before, nowMs);
    const { file } = waiting;
    const name = folder.prefix + baseName;
    const state = stateOf(stats);
    if (state === waiting.quietState) return "whole";
    file.see(state, nowMs);
    const isTold = waiting.renames > 0 && !waiting.written && waiting.losses === this.#losses;
    const cameWhole = isTold && !file.changed;
    const arrival: Arrival = cameWhole ? this.#arrival(waiting, name, stats) : "unknown";
    try {
      const waitMs = file.judge(arrival, nowMs, (end) => inspectFile(this.#files.path(name), end));
      if (waitMs === 0) return file.end === "incomplete" ? "incomplete" : "whole";
      this.#reportHeld(waiting, name, nowMs);
      this.#lookAt(waiting, nowMs + waitMs);
    } catch (error) {
      // Gone: the next look will say so. Unreadable: that is for the session to find and to report, once.
      if (failureReason(error) !== "unreadable") this.#lookAt(waiting, nowMs + lookAgainMs);
      else if (before !== noFingerprint) return "whole";
      else this.#restore(folder, baseName, before);
    }
    return undefined;
  }

  /** A name that is told of once and leads to another file than before had that file renamed over it, whole. */
  #arrival({ renames }: Waiting, name: string, stats: BigIntStats): Arrival {
    const before = this.#fileNumbers.get(name);
    return renames === 1 && before !== undefined && before !== stats.ino && stats.size > 0n
      ? "whole"
      : arrivalOf(stats);
  }

  #reportHeld(waiting: Waiting, name: string, nowMs: number): void {
    const { heldSinceMs } = waiting.file;
    if (heldSinceMs === undefined) waiting.heldReported = false;
    else if (!waiting.heldReported && nowMs - heldSinceMs >= patienceMs) {
      waiting.heldReported = true;
      this.#held.add(name, heldDetail);
    }
  }

  #makeReady(
    folder: Folder,
    baseName: string,
    before: number | Ready | undefined,
    listed: Listed,
    fingerprint: number,
    capturedNs: bigint,
  ): void {
    this.#serial += 1;
    const ready: Ready = {
      state: "ready",
      folder,
      baseName,
      listed,
      fingerprint,
      capturedNs,
      serial: this.#serial,
      queued: true,
    };
    folder.files.set(baseName, ready);
    this.#ready.push(ready);
    this.#news = true;
    if (typeof before !== "object" || !before.queued) return;
    this.#superseded += 1;
    if (this.#superseded < supersededMax || this.#superseded * 2 < this.#ready.size) return;
    this.#ready.filter((item) => {
      const known = item.folder.files.get(item.baseName);
      item.queued = known === item || (isWaiting(known) && known.before === item);
      return item.queued;
    });
    this.#superseded = 0;
  }

  /** Nothing has happened to it after all. */
  #restore(folder: Folder, baseName: string, before: number | Ready | undefined): void {
    if (before === undefined) {
      folder.files.delete(baseName);
      return;
    }
    folder.files.set(baseName, before);
    if (typeof before === "number" || before.queued) return;
    before.queued = true;
    this.#ready.push(before);
    this.#news = true;
  }

  /** What vanished with its folder is listed, and found missing; unless the folder is back, and gone through again. */
  #isToList(ready: Ready): boolean {
    const { folder, baseName } = ready;
    if (folder.files.get(baseName) !== ready) return false;
    return this.#isCurrent(folder) || !this.#folders.has(folder.prefix);
  }

  // ---- folders

  #isCurrent(folder: Folder): boolean {
    return this.#folders.get(folder.prefix) === folder;
  }

  /** A folder was found. `renamed`: it may be another one than before, of which the watcher knows nothing. */
  #meetFolder(prefix: string, renamed: boolean): void {
    const folder = this.#folders.get(prefix);
    if (folder === undefined) this.#addFolder(prefix);
    else if (renamed) this.#renewFolder(folder);
  }

  #addFolder(prefix: string): void {
    const stats = this.#statFolder(prefix);
    if (stats === undefined) return;
    if (prefix === "") this.#state = "starting";
    const folder: Folder = {
      prefix,
      files: new Map(),
      device: stats.dev,
      fileNumber: stats.ino,
      stopWatching: undefined,
      changedMs: 0,
      unreadable: false,
      scanning: false,
      scanAtMs: 0,
      deepScanAtMs: 0,
    };
    this.#folders.set(prefix, folder);
    this.#scan(folder, stats, true);
  }

  #renewFolder(folder: Folder): void {
    folder.stopWatching?.();
    folder.stopWatching = undefined;
    const stats = this.#statFolder(folder.prefix);
    if (stats === undefined) this.#dropFolders(new Set([folder.prefix]));
    else this.#scan(folder, stats, true);
  }

  /** Folders that are gone, with all that is in them. */
  #dropFolders(prefixes: ReadonlySet<string>): void {
    for (const folder of this.#folders.values()) {
      if (!isBelow(folder.prefix, prefixes)) continue;
      folder.stopWatching?.();
      this.#folders.delete(folder.prefix);
    }
  }

  /** Undefined: it is not there. */
  #statFolder(prefix: string): Stats | undefined {
    const path = this.#files.path(prefix);
    try {
      const stats = statSync(path);
      if (prefix === "") this.#missing = false;
      return stats;
    } catch (error) {
      if (prefix === "" && !this.#missing) {
        this.#missing = true;
        this.#files.report("", "missing", `${errorText(error)}; waiting until the directory is there`);
      }
      return undefined;
    }
  }

  /** Looks for what no event told of: in folders that have changed, and now and then in all of them. */
  #patrol(nowMs: number): void {
    if (!this.#folders.has("")) this.#addFolder("");
    // Dropped and added together: each time costs a pass over all folders.
    const gone = new Set<string>();
    const replaced: string[] = [];
    for (const folder of this.#folders.values()) {
      const { prefix } = folder;
      const stats = this.#statFolder(prefix);
      if (stats === undefined) gone.add(prefix);
      else if (stats.dev !== folder.device || stats.ino !== folder.fileNumber) {
        gone.add(prefix);
        replaced.push(prefix);
      } else if (!folder.scanning) {
        const deep = folder.deepScanAtMs === 0 || (this.#deepFiles > 0 && nowMs >= folder.deepScanAtMs);
        if (deep && folder.deepScanAtMs > 0) this.#deepFiles -= folder.files.size;
        if (deep || (nowMs >= folder.scanAtMs && stats.ctimeMs !== folder.changedMs)) this.#scan(folder, stats, deep);
      }
    }
    if (gone.size > 0) this.#dropFolders(gone);
    // What is below one of these is found by going through it.
    for (const prefix of replaced) if (!isBelow(parentOf(prefix), gone)) this.#addFolder(prefix);
    const endMs = this.#clock.nowMs();
    const restMs = Math.max(patrolMs, (endMs - nowMs) * restFactor);
    this.#patrolAtMs = endMs + restMs;
    this.#deepFiles = Math.min(0, this.#deepFiles) + (deepFilesPerSecond * restMs) / 1000;
  }

  /** Watches before it reads the names, so that nothing can appear in between. */
  #scan(folder: Folder, stats: Stats, deep: boolean): void {
    const startMs = this.#clock.nowMs();
    const { prefix, files } = folder;
    folder.stopWatching ??= this.#watch(folder);
    let names: string[];
    try {
      names = this.#files.names(prefix);
      folder.unreadable = false;
    } catch (error) {
      // Gone: the next patrol will say so. Unreadable: it will try again.
      if (failureReason(error) === "vanished" || folder.unreadable) return;
      folder.unreadable = true;
      this.#files.reportUnreadable(prefix, error);
      return;
    }
    folder.changedMs = stats.ctimeMs;
    folder.scanning = true;
    if (files.size > names.length) forgetMissing(files, names);
    const unknown = names.filter((name) => {
      if (!files.has(name)) return !this.#folders.has(`${prefix}${name}/`);
      return deep && typeof files.get(name) === "number";
    });
    const scan = { folder, deep, losses: this.#losses, costMs: 0 };
    this.#walk.enter(scan, inNaturalOrder(unknown));
    scan.costMs = this.#clock.nowMs() - startMs;
    this.#arm(startMs);
  }

  #endScan({ folder, deep, losses, costMs }: Scan, nowMs: number): void {
    folder.scanning = false;
    folder.scanAtMs = nowMs + Math.max(scanMs, costMs * restFactor);
    // What was lost meanwhile may have been lost before its name was read, or after.
    if (deep && losses === this.#losses) folder.deepScanAtMs = nowMs + deepScanMs;
  }

  #watch(folder: Folder): (() => void) | undefined {
    const path = this.#files.path(folder.prefix);
    try {
      return this.#watchFolder(path, (kind, name) => this.#event(folder, kind, name));
    } catch (error) {
      // Gone, or not to be read: who reads its names will say so.
      const expected = failureReason(error) === "vanished" || errorCode(error) === "EACCES";
      if (!expected && !this.#unwatched) {
        this.#unwatched = true;
        const why = describe(error, { ENOSPC: "too many folders are watched" }, "it cannot be watched");
        const detail = `the system does not report changes: ${why}; looking every few seconds`;
        this.#files.report(folder.prefix, "unwatched", detail, "on Linux, see: sysctl fs.inotify.max_user_watches");
      }
      return undefined;
    }
  }

  #report(problem: SourceProblem): void {
    if (problem.reason === "symlink") {
      if (this.#folderLinks.has(problem.path)) return;
      this.#folderLinks.add(problem.path);
    }
    this.#options.onProblem?.(problem);
  }
}

function isWaiting(known: number | Waiting | Ready | undefined): known is Waiting {
  return typeof known === "object" && known.state === "waiting";
}

/** Of the prefix of a folder; that of the root has none, and is undefined. */
function parentOf(prefix: string): string | undefined {
  return prefix === "" ? undefined : prefix.slice(0, prefix.lastIndexOf("/", prefix.length - 2) + 1);
}

/** Whether a folder is one of `prefixes`, or below one of them. */
function isBelow(prefix: string | undefined, prefixes: ReadonlySet<string>): boolean {
  for (let above = prefix; above !== undefined; above = parentOf(above)) if (prefixes.has(above)) return true;
  return false;
}

const stateOfFile = new BigUint64Array(2);

/** Size and time of change in one number, which a map holds without another object: two in 2^53 are the same. */
function fingerprintOf(stats: BigIntStats): number {
  stateOfFile[0] = stats.size;
  stateOfFile[1] = BigInt.asUintN(64, stats.mtimeNs);
  return Number(BigInt.asUintN(53, BigInt(Bun.hash(stateOfFile))));
}

function isNewer(a: Ready, b: Ready): boolean {
  if (isLive(a.listed) !== isLive(b.listed)) return isLive(a.listed);
  if (a.capturedNs !== b.capturedNs) return a.capturedNs > b.capturedNs;
  return a.serial > b.serial;
}

function isLive(listed: Listed): boolean {
  return "live" in listed && listed.live === true;
}

function fingerprintBefore(before: number | Ready | undefined): number | undefined {
  return typeof before === "object" ? before.fingerprint : before;
}

/** Files whose end no event told of. */
function forgetMissing(files: Folder["files"], names: readonly string[]): void {
  const present = new Set(names);
  for (const [baseName, known] of files) {
    if (typeof known === "number" && !present.has(baseName)) files.delete(baseName);
  }
}
