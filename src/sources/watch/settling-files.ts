/**
 * Files that something was said of, until they are quiet: when to look at each, and what a look says of it. How long a
 * file has to be quiet is the matter of files/quiet-file.ts; here it is known how it came.
 */
import type { BigIntStats } from "node:fs";
import type { Clock } from "../../ports.ts";
import { failureReason } from "../files/file-errors.ts";
import type { FrameFiles } from "../files/frame-files.ts";
import { Heap } from "../../heap.ts";
import { type Arrival, arrivalOf, inspectFile, lookAgainMs } from "../files/quiet-file.ts";
import { patienceMs, QuietFile, stateOf } from "../files/quiet-file.ts";
import { beforeOf, type Folder, isWaiting, type QuietState, type Waiting } from "./known-files.ts";

/** Names that are remembered with their files: those that are written again and again are among the newest. */
const fileNumbersMax = 1_024;

interface Ticket {
  readonly dueMs: number;
  readonly serial: number;
  readonly waiting: Waiting;
}

export interface FinishedFile extends QuietState {
  /** `unreadable`: nobody can say. */
  readonly as: "whole" | "incomplete" | "unreadable";
}

export interface SettlingFilesOptions {
  readonly clock: Clock;
  readonly files: FrameFiles;
  /** How often events were lost. */
  readonly losses: () => number;
  readonly isCurrent: (folder: Folder) => boolean;
  /** It is time to look at a file. */
  readonly look: (waiting: Waiting) => void;
  /** `step` has something to do at this time. */
  readonly wakeAt: (atMs: number) => void;
}

export class SettlingFiles {
  readonly #options: SettlingFilesOptions;
  readonly #clock: Clock;
  readonly #tickets = new Heap<Ticket>((a, b) => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.serial < b.serial));
  #serial = 0;
  /** Which file a name led to when it was ready, of the newest live ones. */
  readonly #fileNumbers = new Map<string, bigint>();

  constructor(options: SettlingFilesOptions) {
    this.#options = options;
    this.#clock = options.clock;
  }

  get size(): number {
    return this.#tickets.size;
  }

  /** When `step` has something to do. */
  get dueMs(): number {
    return this.#tickets.first?.dueMs ?? Infinity;
  }

  /** The file, which is not waiting yet, does so from now on. */
  wait(folder: Folder, baseName: string): Waiting {
    const nowMs = this.#clock.nowMs();
    const waiting: Waiting = {
      state: "waiting",
      folder,
      baseName,
      before: beforeOf(folder.files.get(baseName)),
      live: false,
      written: false,
      losses: this.#options.losses(),
      renames: 0,
      file: new QuietFile(nowMs),
      quiet: undefined,
      heldReported: false,
      dueMs: nowMs,
      ticketMs: Infinity,
    };
    folder.files.set(baseName, waiting);
    return waiting;
  }

  /** Moves the time of the next look; a later one needs no other ticket. */
  lookAt(waiting: Waiting, dueMs: number): void {
    waiting.dueMs = dueMs;
    if (dueMs >= waiting.ticketMs) return;
    waiting.ticketMs = dueMs;
    this.#serial += 1;
    this.#tickets.push({ dueMs, serial: this.#serial, waiting });
    this.#options.wakeAt(dueMs);
  }

  /** Looks at one file, if it is time; false: it is not. */
  step(): boolean {
    const ticket = this.#tickets.first;
    const nowMs = this.#clock.nowMs();
    if (ticket === undefined || ticket.dueMs > nowMs) return false;
    this.#tickets.pop();
    const { waiting } = ticket;
    const { folder, baseName } = waiting;
    if (waiting.ticketMs !== ticket.dueMs || folder.files.get(baseName) !== waiting) return true;
    if (!this.#options.isCurrent(folder)) return true;
    waiting.ticketMs = Infinity;
    if (waiting.dueMs > nowMs) this.lookAt(waiting, waiting.dueMs);
    else this.#options.look(waiting);
    return true;
  }

  /** The file was found in this state: whether it can be sent. Undefined: not yet, and it will be looked at again. */
  judge(waiting: Waiting, stats: BigIntStats): FinishedFile | undefined {
    const nowMs = this.#clock.nowMs();
    const { file, folder, baseName, quiet } = waiting;
    const name = folder.prefix + baseName;
    const state = stateOf(stats);
    if (state === quiet?.state) return { as: "whole", state, exif: quiet.exif };
    file.see(state, nowMs);
    try {
      const path = this.#options.files.path(name);
      const recalled = this.#options.files.recall(stats);
      const arrival = recalled === undefined ? this.#arrival(waiting, name, stats) : "whole";
      const waitMs = file.judge(arrival, nowMs, (end) => inspectFile(path, end, recalled));
      if (waitMs === 0) return { as: file.end === "incomplete" ? "incomplete" : "whole", state, exif: file.exif };
      this.#reportHeld(waiting, name, nowMs);
      this.lookAt(waiting, nowMs + waitMs);
    } catch (error) {
      // Gone: the next look will say so. Unreadable: that is for the session to find and to report, once.
      if (failureReason(error) === "unreadable") return { as: "unreadable", state, exif: undefined };
      this.lookAt(waiting, nowMs + lookAgainMs);
    }
    return undefined;
  }

  /** Which file a name leads to, that is ready and appeared while we looked on. */
  remember(name: string, fileNumber: bigint): void {
    this.#fileNumbers.delete(name);
    this.#fileNumbers.set(name, fileNumber);
    if (this.#fileNumbers.size <= fileNumbersMax) return;
    for (const oldest of this.#fileNumbers.keys().take(1)) this.#fileNumbers.delete(oldest);
  }

  /** No file has this name. */
  forget(name: string): void {
    this.#fileNumbers.delete(name);
  }

  /** What is not finished when we are stopped stays behind in these folders, and is said. */
  leave(folders: Iterable<Folder>): void {
    for (const { prefix, files } of folders) {
      for (const [baseName, known] of files) {
        if (!isWaiting(known)) continue;
        const isHeld = known.file.heldSinceMs !== undefined;
        if (!isHeld && known.file.end === undefined) continue;
        const detail = isHeld ? "a program has it open for writing; not sent" : "it is not finished; not sent";
        this.#options.files.report(prefix + baseName, "unfinished", detail);
      }
    }
    this.#tickets.clear();
  }

  #arrival({ renames, written, losses, file }: Waiting, name: string, stats: BigIntStats): Arrival {
    if (renames === 0 || written || losses !== this.#options.losses() || file.changed) return "unknown";
    // A name that is told of once and leads to another file than before had that file renamed over it, whole.
    const before = this.#fileNumbers.get(name);
    if (renames === 1 && before !== undefined && before !== stats.ino && stats.size > 0n) return "whole";
    return arrivalOf(stats);
  }

  #reportHeld(waiting: Waiting, name: string, nowMs: number): void {
    const { heldSinceMs } = waiting.file;
    if (heldSinceMs === undefined) waiting.heldReported = false;
    else if (!waiting.heldReported && nowMs - heldSinceMs >= patienceMs) {
      waiting.heldReported = true;
      this.#options.files.report(name, "held", "open for writing for a minute; not sent until it is closed");
    }
  }
}
