/** A store of one archive, or of a set of them (ROTATION.md), whatever its format. */
import type { DestinationEvent } from "../../events.ts";
import type { Clock } from "../../ports.ts";
import { type Appender, AppendStore } from "../store/append-store.ts";
import { FrameIndex } from "../store/frame-index.ts";
import { groupBytesFor } from "../store/gathered-frame.ts";
import type { Layout } from "../store/layout.ts";
import type { SyncMode } from "../store/sync-mode.ts";
import { isArchiveThere, noArchive, type OpenArchiveFile, temporaryPathBeside } from "./archive-file.ts";
import { archivesAt } from "./archive-set.ts";
import { type OpenArchive, RotatingAppender } from "./rotating-appender.ts";

export interface ArchiveStoreOptions {
  /** As the user wrote it; messages name it so. */
  readonly path: string;
  /** Gives the paths in our facts, by which frames of one name are told apart. */
  readonly layout: Layout;
  readonly sync: SyncMode;
  readonly minFreeBytes: number;
  /** `--no-create`: there must be an archive. */
  readonly mustExist?: boolean;
  /** This store's part of `gatheredBytesMax` and of `indexCacheBytesMax`. */
  readonly memoryBytesMax: number;
  readonly cacheBytes: number;
  readonly openFile: OpenArchiveFile;
  /** For a file that is not on a disk of this machine: nothing is put beside it. */
  readonly indexInMemory?: boolean;
  readonly clock: Pick<Clock, "nowMs" | "wallNs">;
  readonly onEvent?: (event: DestinationEvent) => void;
}

/** Makes or continues an archive or a set. Throws UserError. */
export function openArchives(
  options: ArchiveStoreOptions,
  openArchive: (archive: OpenArchive) => Appender,
): AppendStore {
  const { path, layout, mustExist = false, memoryBytesMax, cacheBytes, indexInMemory, clock, onEvent } = options;
  const archives = archivesAt(path);
  const temporaryPath = temporaryPathBeside(path);
  // What is there at the start is not made anew either, should it be away when it can be opened.
  let last = [path, ...archives.paths()].findLast((one) => isArchiveThere(one));
  if (mustExist && last === undefined) throw noArchive(path);
  const file = indexInMemory === true ? undefined : `${temporaryPath}index`;
  const openIndex = (): FrameIndex => new FrameIndex({ file, layout, cacheBytes });
  const onOpen = (opened: string): void => void (last = opened);
  return new AppendStore({
    place: path,
    traits: { appendOnly: true, countsDevices: true, groupBytes: groupBytesFor(memoryBytesMax) },
    open: () => new RotatingAppender({ archives, last, openIndex, openArchive, clock, onOpen, onEvent }),
    temporaryPath,
    memoryBytesMax,
    onEvent,
  });
}
