/**
 * Files that are stored and wait to be removed: `--unchanged-for`. A file that its writer takes up again, or renames,
 * within that time is left alone, whatever it looked like when it was sent.
 *
 *     settled -> resting -> removed, if it is still what was stored (sent-files.ts)
 *                  ^  |
 *                  '--' it changed, or a program has it open: once more from the beginning
 *
 * Time counts from the ack, by the state in which the file was seen then. Files rest in the order of their acks, so
 * only the first is waited for. About 200 bytes each; a source lists nothing more while `isFull`.
 */
import { statSync } from "node:fs";
import { type FrameEntry, Note, type Outcome } from "../../frame.ts";
import type { Clock } from "../../ports.ts";
import type { FrameFiles } from "./frame-files.ts";
import { isLinkTarget, noteRemoved } from "./link-targets.ts";
import { inspectFile, stateOf } from "./quiet-file.ts";
import type { SentFate, SentFiles } from "./sent-files.ts";

export const restingMax = 100_000;
/** Files are removed for so long; then others have their turn. */
const sliceMs = 5;
/** A file that a link leads to, which is on its way, is looked at again after this. */
const linkedMs = 250;
/** After so many times it is compared with what was sent and kept, so that a run comes to its end. */
const againMax = 2;

interface Resting {
  readonly entry: FrameEntry;
  readonly outcome: Outcome;
  readonly crc32: number | undefined;
  readonly state: number | undefined;
  readonly again: number;
  readonly dueMs: number;
}

export interface RestingFilesOptions {
  readonly clock: Clock;
  readonly files: FrameFiles;
  readonly sent: SentFiles;
  readonly deleteSent: boolean;
  /** How long. 0: a file is removed at once. */
  readonly restMs: number;
  /** What became of a file that has rested. Not called for what `settled` says itself. */
  readonly onFate: (name: string, fate: SentFate) => void;
}

export class RestingFiles {
  readonly #options: RestingFilesOptions;
  /** By name; the first has rested longest. */
  readonly #resting = new Map<string, Resting>();
  #timerSet = false;
  #cancelTimer: () => void = () => {};

  constructor(options: RestingFilesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#resting.size;
  }

  get isFull(): boolean {
    return this.#resting.size >= restingMax;
  }

  /** As `Source.settled`. `resting`: what becomes of it is said later. */
  settled(entry: FrameEntry, outcome: Outcome | undefined, crc32: number | undefined): SentFate | "resting" {
    const { sent, deleteSent, restMs } = this.#options;
    // What is incomplete may be completed yet: it is never removed.
    const isIncomplete = ((entry.notes ?? 0) & Note.incomplete) !== 0;
    const isStored = outcome === "stored" || outcome === "duplicate" || outcome === "conflict";
    if (!deleteSent) return sent.settled(entry, outcome, crc32) ?? "kept";
    if (!isStored || isIncomplete) return sent.settled(entry, undefined, crc32) ?? "kept";
    const { state, linked } = this.#look(entry.name);
    const isDue = restMs === 0 && !linked;
    const fate = isDue ? this.#remove(entry, outcome, crc32) : undefined;
    if (fate !== undefined) return fate;
    const dueMs = this.#options.clock.nowMs() + (isDue ? 0 : Math.max(restMs, linkedMs));
    this.#rest({ entry, outcome, crc32, state, again: 0, dueMs });
    return "resting";
  }

  /** Its name is listed again: what is there now is sent, and rests by itself. */
  forget(name: string): void {
    this.#resting.delete(name);
  }

  /** At the end: what has not rested stays, and is said. */
  close(): void {
    this.#cancelTimer();
    const { size } = this.#resting;
    if (size > 0) {
      const files = size === 1 ? "1 file is stored and was" : `${size} files are stored and were`;
      const { files: of } = this.#options;
      of.report("", "kept", `${files} not removed: stopped before --unchanged-for; the next run does it`);
    }
    this.#resting.clear();
  }

  #rest(resting: Resting): void {
    const { name } = resting.entry;
    this.#resting.delete(name);
    this.#resting.set(name, resting);
    this.#arm();
  }

  #arm(): void {
    const [first] = this.#resting.values();
    if (first === undefined || this.#timerSet) return;
    this.#timerSet = true;
    const { clock } = this.#options;
    this.#cancelTimer = clock.after(Math.max(0, Math.ceil(first.dueMs - clock.nowMs())), () => {
      this.#timerSet = false;
      this.#work();
    });
  }

  #work(): void {
    const { clock, onFate } = this.#options;
    const startMs = clock.nowMs();
    for (const [name, resting] of this.#resting) {
      const nowMs = clock.nowMs();
      if (resting.dueMs > nowMs || nowMs - startMs >= sliceMs) break;
      const fate = this.#judge(resting, nowMs);
      if (fate === "again") continue;
      // A large file is read again, a part at a time: it stays the first, and others have their turn.
      if (fate === undefined) break;
      this.#resting.delete(name);
      onFate(name, fate);
    }
    this.#arm();
  }

  /** `again`: it rests once more. Undefined: a part of it was read for that. */
  #judge(resting: Resting, nowMs: number): SentFate | "again" | undefined {
    const { entry, outcome, crc32, again } = resting;
    const { restMs } = this.#options;
    const { state, linked } = this.#look(entry.name);
    if (linked) {
      this.#rest({ ...resting, dueMs: nowMs + linkedMs });
      return "again";
    }
    const isQuiet = state === undefined || (state === resting.state && !this.#isOpen(entry.name));
    if (isQuiet || again >= againMax || restMs === 0) return this.#remove(entry, outcome, crc32);
    this.#rest({ ...resting, state, again: again + 1, dueMs: nowMs + restMs });
    return "again";
  }

  /** Undefined: a part of it was read for that; ask again. */
  #remove(entry: FrameEntry, outcome: Outcome, crc32: number | undefined): SentFate | undefined {
    const { sent, files } = this.#options;
    const fate = sent.settled(entry, outcome, crc32);
    if (fate === "gone") noteRemoved(files.path(entry.name));
    return fate;
  }

  /** `state` undefined: it is gone, or cannot be seen. */
  #look(name: string): { readonly state: number | undefined; readonly linked: boolean } {
    try {
      const stats = statSync(this.#options.files.path(name), { bigint: true });
      return { state: stateOf(stats), linked: isLinkTarget(stats) };
    } catch {
      return { state: undefined, linked: false };
    }
  }

  #isOpen(name: string): boolean {
    try {
      return inspectFile(this.#options.files.path(name), "unknown").writers === "open";
    } catch {
      return false;
    }
  }
}
