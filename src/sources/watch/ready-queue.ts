/**
 * Files that can be listed, in the order in which they are: `oldest`, as they became ready; `newest`, what appeared
 * while we looked on before the rest, and of each the latest capture time first.
 *
 * One that is out of date stays in the heap until it comes to the front, or until there are many.
 */
import type { Listed } from "../../ports.ts";
import { Heap } from "../../heap.ts";
import { type Folder, isWaiting, type Ready } from "./known-files.ts";

/** So many may be out of date before they are taken out of the heap. */
const supersededMax = 1_024;

export class ReadyQueue {
  readonly #heap: Heap<Ready>;
  readonly #isToList: (ready: Ready) => boolean;
  /** Of what is in the heap; what vanished with its folder is not counted. */
  #superseded = 0;
  #serial = 0;

  /** `isToList`: whether a file is not out of date. */
  constructor(order: "oldest" | "newest", isToList: (ready: Ready) => boolean) {
    this.#isToList = isToList;
    this.#heap = new Heap(order === "newest" ? isNewer : (a, b) => a.serial < b.serial);
  }

  /** That are not out of date. */
  get size(): number {
    return this.#heap.size - this.#superseded;
  }

  /** Its folder's map has it from now on; `before`: what was known of the file. */
  add(
    folder: Folder,
    baseName: string,
    before: number | Ready | undefined,
    found: Pick<Ready, "listed" | "fingerprint" | "capturedNs" | "rewritten">,
  ): void {
    this.#serial += 1;
    const ready: Ready = { state: "ready", folder, baseName, ...found, serial: this.#serial, queued: true };
    folder.files.set(baseName, ready);
    this.#heap.push(ready);
    if (typeof before !== "object" || !before.queued) return;
    this.#superseded += 1;
    if (this.#superseded >= supersededMax && this.#superseded * 2 >= this.#heap.size) this.#dropSuperseded();
  }

  /** It was thought to be out of date, and is not. Returns whether it had left the heap. */
  putBack(ready: Ready): boolean {
    if (ready.queued) return false;
    ready.queued = true;
    this.#heap.push(ready);
    return true;
  }

  /** Takes the first out; with `liveOnly`, if it appeared while we looked on. */
  take(liveOnly: boolean): Ready | undefined {
    for (let ready = this.#heap.first; ready !== undefined; ready = this.#heap.first) {
      const current = this.#isToList(ready);
      if (current && liveOnly && !isLive(ready.listed)) return undefined;
      this.#heap.pop();
      ready.queued = false;
      if (current) return ready;
      this.#superseded = Math.max(0, this.#superseded - 1);
    }
    return undefined;
  }

  clear(): void {
    this.#heap.clear();
  }

  #dropSuperseded(): void {
    this.#heap.filter((item) => {
      const known = item.folder.files.get(item.baseName);
      item.queued = known === item || (isWaiting(known) && known.before === item);
      return item.queued;
    });
    this.#superseded = 0;
  }
}

function isNewer(a: Ready, b: Ready): boolean {
  if (isLive(a.listed) !== isLive(b.listed)) return isLive(a.listed);
  if (a.capturedNs !== b.capturedNs) return a.capturedNs > b.capturedNs;
  return a.serial > b.serial;
}

function isLive(listed: Listed): boolean {
  return "live" in listed && listed.live === true;
}
