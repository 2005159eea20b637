/** The room for an archive file: of its disk, and only while the file is still in its place. */
import { dirname } from "node:path";
import type { ArchiveFile } from "../../archive-formats/archive-file.ts";
import { SinkError } from "../../errors.ts";
import type { Clock } from "../../ports.ts";
import { FreeSpace } from "../../system/free-space.ts";
import type { AppendRequest } from "../store/append-store.ts";

export interface ArchiveSpaceOptions {
  /** As the user wrote it. */
  readonly path: string;
  readonly file: ArchiveFile;
  readonly minFreeBytes: number;
  readonly clock: Pick<Clock, "nowMs">;
}

export class ArchiveSpace {
  readonly #path: string;
  readonly #file: ArchiveFile;
  readonly #space: FreeSpace;

  constructor({ path, file, minFreeBytes, clock }: ArchiveSpaceOptions) {
    this.#path = path;
    this.#file = file;
    const directory = dirname(file.path);
    this.#space = new FreeSpace({ disk: file, directory, minFreeBytes, nowMs: () => clock.nowMs() });
  }

  /** As `Appender.check`. During an append nobody knows how much of it is in the answer, so the last one serves. */
  check({ bytes, gatheredBytes, waitingBytes }: AppendRequest, appending: boolean): SinkError | undefined {
    if (this.#space.stale && !appending) {
      if (!this.#file.inPlace()) {
        throw new SinkError(`${this.#path} is gone; waiting for it to come back`, { retryable: true });
      }
      this.#space.measure();
    }
    return this.#space.check(bytes, gatheredBytes + waitingBytes);
  }

  wrote(bytes: number): void {
    this.#space.wrote(bytes);
  }

  measure(): void {
    this.#space.measure();
  }
}
