/**
 * Flushes a large group of files with one call to the system, two to six times faster than file by file. The call
 * is only to be had as one that waits, for seconds on a slow card, and acks and pings must go on: so a thread makes it.
 * File handles belong to the process, so their numbers hold there too.
 *
 * Only on Linux. While the thread starts, where it cannot work, and when it has died, files are flushed one by one:
 * what becomes of the thread is never a failure of the frames.
 */
import { assert } from "../errors.ts";
import type { BulkSyncAnswer } from "./bulk-sync-worker.ts";

/** As `Disk.sync`. */
export type SyncFiles = (handles: readonly number[], done: (failure: unknown) => void) => void;

interface Request {
  readonly handles: readonly number[];
  readonly done: (failure: unknown) => void;
}

/** In the executable it lies beside `main.ts`, which all of `src/` has become part of (scripts/build.ts). */
const workerProgram = new URL("./bulk-sync-worker.ts", import.meta.url);

/** Its thread starts with the first call, and ends with the process, which it does not keep alive by itself. */
export class BulkSync {
  readonly #syncEach: SyncFiles;
  readonly #program: URL;
  #tried = process.platform !== "linux";
  /** Undefined until it has said that it is ready, and after it has died. */
  #worker: Worker | undefined;
  /** What the thread has not answered, in order. */
  #requests: Request[] = [];

  constructor(syncEach: SyncFiles, program: URL = workerProgram) {
    this.#syncEach = syncEach;
    this.#program = program;
  }

  /**
   * Brings the bytes of these files, all of one file system, to the device. They stay open until `done`, which is never
   * called inside this call.
   */
  sync(handles: readonly number[], done: (failure: unknown) => void): void {
    if (!this.#tried) this.#start();
    if (this.#worker === undefined) return this.#syncEach(handles, done);
    this.#requests.push({ handles, done });
    this.#worker.ref();
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- windows have an origin, threads do not
    this.#worker.postMessage(handles);
  }

  #start(): void {
    this.#tried = true;
    let worker: Worker;
    try {
      worker = new Worker(this.#program, { name: "bulk-sync", ref: false });
    } catch {
      return;
    }
    worker.addEventListener("message", ({ data }: MessageEvent<BulkSyncAnswer>) => {
      if (data === "ready") this.#worker = worker;
      else this.#answered(data);
    });
    // Whether it ended or threw, which nobody else is told of.
    worker.addEventListener("close", () => this.#lost());
  }

  #answered(answer: Exclude<BulkSyncAnswer, "ready">): void {
    const request = this.#requests.shift();
    assert(request !== undefined, "there is one answer for each request");
    if (this.#requests.length === 0) this.#worker?.unref();
    if (answer === "synced") request.done(undefined);
    else request.done(Object.assign(new Error(answer.message), { code: answer.code }));
  }

  #lost(): void {
    this.#worker = undefined;
    const requests = this.#requests;
    this.#requests = [];
    for (const { handles, done } of requests) this.#syncEach(handles, done);
  }
}
