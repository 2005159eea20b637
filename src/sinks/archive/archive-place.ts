/** An archive file in its place: whether it is still there and whole, and the room on its disk. */
import { dirname } from "node:path";
import type { ArchiveFile } from "../../archive-formats/archive-file.ts";
import { SinkError } from "../../errors.ts";
import type { DestinationEvent } from "../../events.ts";
import type { Clock } from "../../ports.ts";
import { sizeText } from "../../size-text.ts";
import { FreeSpace } from "../../system/free-space.ts";
import type { AppendRequest } from "../store/append-store.ts";
import { archiveGone, archiveInUse } from "./archive-file.ts";

export interface ArchivePlaceOptions {
  /** As the user wrote it. */
  readonly path: string;
  readonly file: ArchiveFile;
  readonly minFreeBytes: number;
  readonly clock: Pick<Clock, "nowMs">;
  readonly onEvent?: ((event: DestinationEvent) => void) | undefined;
}

export class ArchivePlace {
  readonly #options: ArchivePlaceOptions;
  readonly #space: FreeSpace;

  constructor(options: ArchivePlaceOptions) {
    this.#options = options;
    const { file, minFreeBytes, clock } = options;
    const directory = dirname(file.path);
    this.#space = new FreeSpace({ disk: file, directory, minFreeBytes, nowMs: () => clock.nowMs() });
  }

  /**
   * As `Appender.check`, of an archive that ends at `end`. During an append nobody knows how much of it is in the
   * answer, so the last one serves.
   */
  check({ bytes, gatheredBytes, waitingBytes }: AppendRequest, end: number, appending: boolean): SinkError | undefined {
    if (this.#space.stale && !appending) {
      this.require(end);
      this.#space.measure();
    }
    return this.#space.check(bytes, gatheredBytes + waitingBytes);
  }

  /** Throws SinkError unless the archive is in its place, and not shorter than `end`; its lock is made again. */
  require(end: number): void {
    const { path, file, onEvent } = this.#options;
    const { inPlace, lock } = file.look();
    if (!inPlace) throw archiveGone(path);
    if (lock === "taken") throw archiveInUse(path);
    const detail = "another program removed the lock beside it; made again";
    if (lock === "made") onEvent?.({ event: "destination", place: path, what: "lock-made", detail });
    this.requireWhole(end);
  }

  /** Only whether it is not shorter. */
  requireWhole(end: number): void {
    const { path, file } = this.#options;
    const bytes = file.size();
    if (bytes >= end) return;
    const message = `${path} was cut to ${sizeText(bytes)} by another program, of ${sizeText(end)}; nothing is stored`;
    const hints = [
      "put back the whole file, under its name",
      "or start the receiver again, which goes on with what is there",
    ];
    throw new SinkError(message, { retryable: true, hints });
  }

  wrote(bytes: number): void {
    this.#space.wrote(bytes);
  }

  measure(): void {
    this.#space.measure();
  }
}
