/**
 * Links and the files behind them, of all sources of this program: a link in one directory may lead into another. A
 * file that is removed after its ack must not make a link to it a frame that is missing.
 *
 * - A file stays as long as a link to it is listed and not settled: it will be read through the link.
 * - A link that leads nowhere because we have removed what it led to is no frame, and nothing is missing.
 */
import { readlinkSync, realpathSync, type BigIntStats } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { FilePath } from "../../system/file-path.ts";

/** Removed files that are remembered, the newest: some MB. */
const removedMax = 100_000;
/** Links that lead to each other. */
const stepsMax = 8;

/** By device and file number, how many listed links lead there. */
const pending = new Map<string, number>();
/** Checksums of paths. */
const removed = new Set<number | bigint>();

/** Paths are compared with one character for each byte: their names need not be text. */
let workingFolder: string | undefined;
let lastFolder = "";
let lastReal = "";

/** The links of one source that are on their way. */
export class LinkTargets {
  readonly #listed = new Map<string, string>();

  /** A frame was listed whose file is behind a link; `target` is what is there. */
  listed(name: string, target: BigIntStats): void {
    this.settled(name);
    const key = keyOf(target);
    this.#listed.set(name, key);
    pending.set(key, (pending.get(key) ?? 0) + 1);
  }

  settled(name: string): void {
    const key = this.#listed.get(name);
    if (key === undefined) return;
    this.#listed.delete(name);
    const left = (pending.get(key) ?? 0) - 1;
    if (left > 0) pending.set(key, left);
    else pending.delete(key);
  }

  clear(): void {
    for (const name of this.#listed.keys()) this.settled(name);
  }
}

/** Whether a link that is on its way leads to this file. */
export function isLinkTarget(stats: BigIntStats): boolean {
  return pending.size > 0 && pending.has(keyOf(stats));
}

/** A file has been removed by us. */
export function noteRemoved(path: FilePath): void {
  if (removed.size >= removedMax) {
    for (const oldest of removed) {
      removed.delete(oldest);
      break;
    }
  }
  removed.add(Bun.hash(realPath(toCharacters(path))));
}

/** Whether the link at `path`, which leads nowhere, led to a file that we have removed. */
export function ledToRemoved(path: FilePath): boolean {
  let at = toCharacters(path);
  for (let steps = 0; steps < stepsMax && removed.size > 0; steps += 1) {
    try {
      at = resolve(dirname(at), toCharacters(readlinkSync(toBytes(at), { encoding: "buffer" })));
    } catch {
      return false;
    }
    if (removed.has(Bun.hash(realPath(at)))) return true;
  }
  return false;
}

function keyOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

/** Links among the folders are followed; the last name is left, whether it is there or not. */
function realPath(path: string): string {
  workingFolder ??= toCharacters(process.cwd());
  const folder = dirname(resolve(workingFolder, path));
  if (folder !== lastFolder) {
    lastFolder = folder;
    try {
      lastReal = toCharacters(realpathSync(toBytes(folder), { encoding: "buffer" }));
    } catch {
      lastReal = folder;
    }
  }
  return join(lastReal, basename(path));
}

function toCharacters(path: FilePath): string {
  return Buffer.from(path).toString("latin1");
}

function toBytes(characters: string): Buffer {
  return Buffer.from(characters, "latin1");
}
