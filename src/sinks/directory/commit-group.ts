/**
 * One commit, from staged to durable:
 *
 *     sync all files -> give each its final name -> sync the folders -> one catalogue transaction
 *
 * So at every moment a final name has complete bytes, and a row names a file that is there. A crash after the names and
 * before the rows leaves files that nobody knows; when their frames are sent again they are adopted, not stored twice.
 */
import { assert } from "../../errors.ts";
import type { Frame, Gap, Outcome, RefusalReason, SourceEnd } from "../../frame.ts";
import type { Settle } from "../../ports.ts";
import { isNameError } from "../../system/errno.ts";
import type { Disk } from "../../system/file-system.ts";
import { outcomeOf } from "../store/duplicates.ts";
import { numberedPath } from "../store/layout.ts";
import type { SyncMode } from "../store/sync-mode.ts";
import type { Catalogue, FrameRow } from "./catalogue.ts";
import type { Directories } from "./directories.ts";
import type { TemporaryFile } from "./temporary-file.ts";

/** Numbered names tried for one frame. Thousands of different pictures of one name are a broken camera. */
const numberMax = 10_000;

export interface StagedFrame {
  readonly kind: "frame";
  readonly frame: Frame;
  readonly file: TemporaryFile;
  /** Its own path below the directory, by the layout. */
  readonly path: string;
  readonly crc32: number;
  readonly receivedNs: bigint;
  readonly settle: Settle;
}

export type StagedItem =
  | StagedFrame
  | { readonly kind: "gap"; readonly gap: Gap; readonly settle: Settle }
  | { readonly kind: "end"; readonly end: SourceEnd; readonly settle: Settle };

export interface CommitGroupOptions {
  readonly root: string;
  readonly sync: SyncMode;
  readonly disk: Disk;
  readonly directories: Directories;
  readonly catalogue: Catalogue;
  readonly wallNs: () => bigint;
}

export class CommitGroup {
  readonly #options: CommitGroupOptions;
  readonly #items: readonly StagedItem[];
  readonly #results: (Outcome | RefusalReason)[] = [];
  readonly #rows: FrameRow[] = [];
  /** Rows of this group by name, of any source: the catalogue does not have them yet. */
  readonly #rowsByName = new Map<string, FrameRow[]>();
  readonly #paths = new Set<string>();
  /** Files that an earlier run left behind, open until they are synced. */
  readonly #adopted: number[] = [];

  constructor(items: readonly StagedItem[], options: CommitGroupOptions) {
    this.#items = items;
    this.#options = options;
  }

  /**
   * Runs the whole commit, then calls `done`: with the result of each item, or with what failed; then nothing of the
   * group counts as stored. With sync mode `never` everything happens before it returns.
   */
  run(done: (failure: unknown, results: readonly (Outcome | RefusalReason)[]) => void): void {
    const { sync, disk, directories } = this.#options;
    const record = (failure: unknown): void => {
      const first = failure ?? failureOf(() => this.#record());
      this.#release();
      done(first, this.#results);
    };
    const syncFolders = (failure: unknown): void => {
      if (failure !== undefined || sync === "never") record(failure);
      else directories.sync(record);
    };
    const place = (failure: unknown): void => {
      const first = failure ?? failureOf(() => this.#placeAll());
      if (first === undefined && this.#adopted.length > 0) disk.sync(this.#adopted, syncFolders);
      else syncFolders(first);
    };
    const handles = this.#items.flatMap((item) => (item.kind === "frame" ? [item.file.handle] : []));
    if (sync !== "never" && handles.length > 0) disk.sync(handles, place);
    else place(undefined);
  }

  #placeAll(): void {
    this.#options.catalogue.reading(() => {
      for (const item of this.#items) this.#results.push(item.kind === "frame" ? this.#place(item) : "recorded");
    });
  }

  /** Gives a frame its final name, unless it is stored already or cannot be. */
  #place(staged: StagedFrame): Outcome | RefusalReason {
    const { disk, root, catalogue, directories } = this.#options;
    const { frame, crc32 } = staged;
    const { session } = frame.origin;
    staged.file.close();

    const mate = this.#mate(staged);
    if (mate !== undefined) return outcomeOf(mate.frame.origin.session, mate.number, session);

    const rows = catalogue.find(frame.origin, frame.name, frame.capturedNs);
    const equals = rows.filter((row) => row.bytes === frame.bytes && row.crc32 === crc32);
    for (const row of equals) {
      if (disk.look(`${root}/${row.path}`) === row.bytes) return outcomeOf(row.session, row.number, session);
    }
    // A row whose file somebody removed: the frame goes back to where the row says it is.
    for (const row of equals) {
      if (this.#paths.has(row.path) || directories.prepare(row.path) !== undefined) continue;
      const moved = this.#move(staged, row.path, row.number);
      if (moved !== undefined) return moved;
    }

    // Prepared when the frame was begun, but the folders may have been forgotten or removed since.
    if (directories.prepare(staged.path) !== undefined) return "link";
    // A path that a row claims is left to the row's own frame, even if its file is missing; so it is not looked at.
    const claimed = new Set(rows.map((row) => row.path));
    for (let number = 1; number <= numberMax; number += 1) {
      const path = numberedPath(staged.path, number);
      if (claimed.has(path) || this.#paths.has(path)) continue;
      const moved = this.#move(staged, path, number);
      if (moved !== undefined) return moved;
      const found = disk.look(`${root}/${path}`);
      if (found === "link") return "link";
      if (found === frame.bytes && !catalogue.holds(path) && disk.checksum(`${root}/${path}`) === crc32) {
        return this.#adopt(staged, path, number);
      }
    }
    return "name";
  }

  /** The row of the same frame with the same bytes, earlier in this group. */
  #mate({ frame, crc32 }: StagedFrame): FrameRow | undefined {
    const { device, source } = frame.origin;
    return this.#rowsByName.get(frame.name)?.find((row) => {
      const { bytes, origin } = row.frame;
      return bytes === frame.bytes && row.crc32 === crc32 && origin.source === source && origin.device === device;
    });
  }

  /** Undefined: something has this name. */
  #move(staged: StagedFrame, path: string, number: number): Outcome | RefusalReason | undefined {
    try {
      if (!staged.file.moveTo(`${this.#options.root}/${path}`)) return undefined;
    } catch (error) {
      if (isNameError(error)) return "name";
      throw error;
    }
    return this.#addRow(staged, path, number);
  }

  /** The same bytes without a row: left by a run that ended between naming and recording. */
  #adopt(staged: StagedFrame, path: string, number: number): Outcome {
    const { disk, root, sync } = this.#options;
    if (sync !== "never") this.#adopted.push(disk.openForSync(`${root}/${path}`));
    return this.#addRow(staged, path, number);
  }

  #addRow(staged: StagedFrame, path: string, number: number): Outcome {
    const { frame, crc32, receivedNs } = staged;
    const row = { frame, path, number, crc32, receivedNs };
    this.#rows.push(row);
    this.#paths.add(path);
    const sameNames = this.#rowsByName.get(frame.name);
    if (sameNames === undefined) this.#rowsByName.set(frame.name, [row]);
    else sameNames.push(row);
    this.#options.directories.entryChanged(path);
    return outcomeOf(frame.origin.session, number, frame.origin.session);
  }

  #record(): void {
    assert(this.#results.length === this.#items.length, "every item of a group has a result");
    const gaps = this.#items.flatMap((item) => (item.kind === "gap" ? [item.gap] : []));
    const ends = this.#items.flatMap((item) => (item.kind === "end" ? [item.end] : []));
    if (this.#rows.length + gaps.length + ends.length === 0) return;
    this.#options.catalogue.record({ frames: this.#rows, gaps, ends, nowNs: this.#options.wallNs() });
  }

  /** Closes whatever is open and removes what got no final name. */
  #release(): void {
    for (const item of this.#items) if (item.kind === "frame") item.file.discard();
    for (const handle of this.#adopted) {
      try {
        this.#options.disk.close(handle);
      } catch {
        // It was only opened to be synced.
      }
    }
  }
}

/** What `step` throws, or `undefined`. */
function failureOf(step: () => void): unknown {
  try {
    step();
    return undefined;
  } catch (error) {
    return error;
  }
}
