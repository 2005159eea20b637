/**
 * One commit, from staged to durable:
 *
 *     set their times, list their paths -> sync all files -> give each its final name -> sync the folders -> one
 *     catalogue transaction
 *
 * So at every moment a final name has complete bytes, and a row names a file that is there. A crash after the names and
 * before the rows leaves files of which only the list knows (naming-list.ts); when their frames are sent again they are
 * adopted, not stored twice.
 */
import { assert } from "../../errors.ts";
import { type Origin, type Outcome, type RefusalReason, sharesTotals } from "../../frame.ts";
import { errorCode, isNameError } from "../../system/errno.ts";
import type { Disk } from "../../system/file-system.ts";
import { outcomeOf } from "../store/duplicates.ts";
import { freeNumber, numberedPath } from "../store/numbered-path.ts";
import { sinkError } from "../store/storage-error.ts";
import type { Result, StagedFrame, StagedItem } from "../store/store.ts";
import type { SyncMode } from "../store/sync-mode.ts";
import { type Catalogue, type CatalogueBatch, type FrameRow, type NumberOutcome } from "./catalogue.ts";
import type { Directories } from "./directories.ts";
import { isTwin } from "./name-twins.ts";
import { type AccountOutcome, accountOutcomeOf } from "../../outcomes.ts";
import { GroupFolders } from "./group-folders.ts";
import type { NamingList } from "./naming-list.ts";
import type { TemporaryFile } from "./temporary-file.ts";

/** Files without rows that are compared for one frame: a crash leaves at most a group of them. */
const rowlessMax = 1_000;

type Staged = StagedFrame<TemporaryFile>;

export interface CommitGroupOptions {
  readonly root: string;
  readonly sync: SyncMode;
  readonly disk: Disk;
  readonly directories: Directories;
  readonly catalogue: Catalogue;
  readonly naming: NamingList;
  readonly wallNs: () => bigint;
  /** Called with what has been recorded. */
  readonly recorded: (batch: CatalogueBatch) => void;
}

export class CommitGroup {
  readonly #options: CommitGroupOptions;
  readonly #items: readonly StagedItem<TemporaryFile>[];
  readonly #results: Result[] = [];
  readonly #rows: FrameRow[] = [];
  /** Capture times under which frames that are stored came again. */
  readonly #offered: { readonly path: string; readonly capturedNs: bigint }[] = [];
  /** Rows of this group by name, of any source: the catalogue does not have them yet. */
  readonly #rowsByName = new Map<string, FrameRow[]>();
  readonly #paths = new Set<string>();
  readonly #folders: GroupFolders;
  /** Files that an earlier run left behind, open until they are synced. */
  readonly #adopted: number[] = [];

  constructor(items: readonly StagedItem<TemporaryFile>[], options: CommitGroupOptions) {
    this.#items = items;
    this.#options = options;
    this.#folders = new GroupFolders(options.disk, options.root);
  }

  /**
   * The result of each item. Rejects with what failed; then nothing of the group counts as stored, and what has its
   * final name already is adopted when its frame comes again.
   */
  async run(): Promise<readonly Result[]> {
    const { sync, disk, directories, naming } = this.#options;
    const flushes = sync !== "never";
    try {
      const handles = this.#prepareAll();
      if (flushes && handles.length > 0) await this.#flushed((done) => disk.sync(handles, done));
      if (naming.isNew) {
        if (flushes) await this.#flushed((done) => directories.sync(done));
        naming.settle();
      }
      this.#placeAll();
      if (this.#adopted.length > 0) await this.#flushed((done) => disk.sync(this.#adopted, done));
      if (flushes) await this.#flushed((done) => directories.sync(done));
      this.#record();
      this.#compareEnds();
      return this.#results;
    } finally {
      this.#closeAdopted();
      this.#folders.release();
    }
  }

  /** The handles of what has to be flushed: in a commit that is run again some files have been. */
  #prepareAll(): number[] {
    const { naming, catalogue } = this.#options;
    const handles: number[] = [];
    const paths: string[] = [];
    for (const item of this.#items) {
      if (item.kind !== "frame") continue;
      paths.push(item.draft.path);
      if (item.draft.handle === undefined) continue;
      item.draft.stamp(item.frame.capturedNs);
      handles.push(item.draft.handle);
    }
    if (paths.length > 0) handles.push(naming.begin(paths, catalogue));
    return handles;
  }

  /**
   * A flush that fails is no fault of a path: the system tells it once, so the next one would be no proof of anything.
   * But a folder that is gone had nothing to lose.
   */
  #flushed(start: (done: (failure: unknown) => void) => void): Promise<void> {
    return new Promise((resolve, reject) =>
      start((failure) => {
        if (failure === undefined) resolve();
        else reject(errorCode(failure) === "ENOENT" ? failure : sinkError(this.#options.root, "flush frames", failure));
      }),
    );
  }

  #placeAll(): void {
    this.#options.catalogue.reading(() => {
      for (const item of this.#items) this.#results.push(item.kind === "frame" ? this.#place(item) : "recorded");
    });
  }

  /** Gives a frame its final name, unless it is stored already or cannot be. */
  #place(staged: Staged): Outcome | RefusalReason {
    const { disk, root, catalogue, directories } = this.#options;
    const { frame, crc32 } = staged;
    const asking = { session: frame.origin.session, sequence: frame.sequence };
    staged.draft.close();

    const mate = this.#sameInGroup(staged);
    if (mate !== undefined) {
      const { path, number } = mate;
      if (mate.frame.capturedNs !== frame.capturedNs) this.#offered.push({ path, capturedNs: frame.capturedNs });
      const { origin, sequence } = mate.frame;
      return outcomeOf({ session: origin.session, sequence, number }, asking);
    }

    const equals = catalogue.findEqual(frame, crc32);
    for (const row of equals ?? []) {
      if (disk.look(`${root}/${row.path}`) !== row.bytes) continue;
      if (!row.sameCapture) this.#offered.push({ path: row.path, capturedNs: frame.capturedNs });
      return outcomeOf(row, asking);
    }
    // A row whose file somebody removed: the frame goes back to where the row says it is.
    for (const row of equals ?? []) {
      if (this.#paths.has(row.path) || directories.prepare(row.path) !== undefined) continue;
      const moved = this.#move(staged, row.path, row.number, true);
      if (moved !== undefined) return moved;
    }

    if (catalogue.hasExpired(frame, crc32)) return "expired";

    // Prepared when the frame was begun, but the folders may have been forgotten or removed since.
    const refused = directories.prepare(staged.draft.path);
    if (refused !== undefined) return refused;
    // A path that a row claims is left to the row's own frame, even if its file is missing; so it is not looked at.
    const pathOf = (number: number): string => numberedPath(staged.draft.path, number);
    const isClaimed = (number: number): boolean => {
      const path = pathOf(number);
      return this.#paths.has(path) || catalogue.holds(path);
    };
    const isNew = equals === undefined && !this.#paths.has(staged.draft.path);
    const first = isNew ? 1 : freeNumber(isClaimed);
    for (let number = first; number < first + rowlessMax; number += 1) {
      if (number > first && isClaimed(number)) continue;
      const placed = this.#placeAt(staged, pathOf(number), number);
      if (placed !== undefined) return placed;
    }
    // Files by the thousand that the catalogue does not know: it was lost.
    const isThere = (number: number): boolean =>
      isClaimed(number) || disk.look(`${root}/${pathOf(number)}`) !== "absent";
    for (;;) {
      const number = freeNumber(isThere);
      const placed = this.#placeAt(staged, pathOf(number), number);
      if (placed !== undefined) return placed;
    }
  }

  /** Undefined: another frame, or a file that is none of ours, has this path. */
  #placeAt(staged: Staged, path: string, number: number): Outcome | RefusalReason | undefined {
    const { disk, root, catalogue } = this.#options;
    const { frame, crc32 } = staged;
    if (this.#paths.has(path)) return undefined;
    const moved = this.#move(staged, path, number);
    if (moved !== undefined) return moved;
    const found = disk.look(`${root}/${path}`);
    if (found === "link") return "symlink";
    if (found !== "absent" && isTwin(disk, `${root}/${path}`)) return "name";
    const isRowless = found === frame.bytes && !catalogue.holds(path);
    return isRowless && disk.checksum(`${root}/${path}`) === crc32 ? this.#adopt(staged, path, number) : undefined;
  }

  /** The row of the same frame with the same bytes, earlier in this group. */
  #sameInGroup({ frame, crc32 }: Staged): FrameRow | undefined {
    const { device, source } = frame.origin;
    return this.#rowsByName.get(frame.name)?.find((row) => {
      const { bytes, origin } = row.frame;
      return bytes === frame.bytes && row.crc32 === crc32 && origin.source === source && origin.device === device;
    });
  }

  /** Undefined: something has this name. */
  #move(staged: Staged, path: string, number: number, replaces = false): Outcome | RefusalReason | undefined {
    const { root, directories } = this.#options;
    try {
      const folder = this.#folders.of(path);
      if (folder === "symlink") {
        // The next frame is refused before it is sent.
        directories.doubt(path);
        return "symlink";
      }
      if (!staged.draft.moveTo(`${root}/${path}`, folder)) return undefined;
    } catch (error) {
      if (isNameError(error)) return "name";
      throw error;
    }
    return this.#addRow(staged, path, number, replaces);
  }

  /** The same bytes without a row: left by a run that ended between naming and recording. */
  #adopt(staged: Staged, path: string, number: number): Outcome {
    const { disk, root, sync } = this.#options;
    if (sync !== "never") this.#adopted.push(disk.openForSync(`${root}/${path}`));
    return this.#addRow(staged, path, number);
  }

  #addRow(staged: Staged, path: string, number: number, replaces = false): Outcome {
    const { frame, crc32, receivedNs } = staged;
    const row = { frame, path, number, crc32, receivedNs, replaces };
    this.#rows.push(row);
    this.#paths.add(path);
    const sameNames = this.#rowsByName.get(frame.name);
    if (sameNames === undefined) this.#rowsByName.set(frame.name, [row]);
    else sameNames.push(row);
    this.#options.directories.entryChanged(path);
    return number === 1 ? "stored" : "conflict";
  }

  #record(): void {
    assert(this.#results.length === this.#items.length, "every item of a group has a result");
    if (this.#items.length === 0) return;
    const gaps = this.#items.flatMap((item) => (item.kind === "gap" ? [item.gap] : []));
    const ends = this.#items.flatMap((item) => (item.kind === "end" ? [item.end] : []));
    const stretches = this.#items.flatMap((item) => (item.kind === "stretch" ? [item.stretch] : []));
    const outcomes = this.#outcomes();
    const [frames, offered, nowNs] = [this.#rows, this.#offered, this.#options.wallNs()];
    const batch = { frames, gaps, stretches, ends, outcomes, offered, nowNs };
    this.#options.catalogue.record(batch);
    this.#options.naming.recorded();
    this.#options.recorded(batch);
  }

  /** What a sender says of its numbers is compared with what became of them, the group included. */
  #compareEnds(): void {
    for (const [index, item] of this.#items.entries()) {
      if (item.kind !== "end") continue;
      const account = this.#options.catalogue.accountOf(item.end.origin);
      if (account === undefined || sharesTotals(item.end.totals, account.totals, account.last)) continue;
      this.#results[index] = account.totals;
    }
  }

  /** Of each number of the group. Those that follow each other, as most do, are one. */
  #outcomes(): NumberOutcome[] {
    const outcomes: NumberOutcome[] = [];
    let last: { origin: Origin; first: number; last: number; outcome: AccountOutcome } | undefined;
    for (let index = 0; index < this.#items.length; index += 1) {
      const item = this.#items[index];
      const result = this.#results[index];
      if (item === undefined || result === undefined || typeof result === "object") continue;
      if (item.kind === "end" || item.kind === "stretch") continue;
      const { origin } = item.kind === "frame" ? item.frame : item.gap;
      const first = item.kind === "frame" ? item.frame.sequence : item.gap.firstSequence;
      const end = item.kind === "frame" ? first : first + item.gap.count - 1;
      const outcome = accountOutcomeOf(result, item.kind === "gap" ? item.gap : undefined);
      if (last?.origin === origin && last.outcome === outcome && last.last + 1 === first) last.last = end;
      else outcomes.push((last = { origin, first, last: end, outcome }));
    }
    return outcomes;
  }

  #closeAdopted(): void {
    for (const handle of this.#adopted) {
      try {
        this.#options.disk.close(handle);
      } catch {
        // It was only opened to be synced.
      }
    }
  }
}
