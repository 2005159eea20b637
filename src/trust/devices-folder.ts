/**
 * The devices folder, `FILE.devices` beside a receiver's key, as a table of grants that follows it. The folder is
 * watched, and looked at once a second, because a network file system tells nothing of what other machines do.
 *
 * A new file that is good counts at once. What changed or went away counts when two looks in a row see the same, so
 * that neither a file half written nor an editor that replaces one takes a grant away for a moment.
 */
import { accessSync, constants, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { KiB, MiB } from "../limits.ts";
import type { Clock } from "../ports.ts";
import { deviceFileEnd } from "../security/device-file.ts";
import { FormatError } from "../security/format-error.ts";
import { type DeviceFileText, Grants, revokedFileName } from "../security/grants.ts";
import { describe, errorCode, isExhaustion, isOfDisk } from "../system/errno.ts";
import { nodeDisk } from "../system/file-system.ts";
import { readSmallFile } from "../system/small-file.ts";
import type { WatchFolder } from "../system/watch-folder.ts";

export const lookMs = 1_000;
/** Between the two looks that have to agree. */
export const agreeMs = 200;
/** Looked at one by one each time, of those that nothing is told of. */
const sampleFiles = 256;
const freshMs = 2_000;
/** From a change that the system tells of to the look. */
const eventMs = 20;

/** A line that lists a thousand sources. */
const deviceFileBytesMax = 64 * KiB;
/** Fifty thousand keys. */
const revokedBytesMax = 4 * MiB;

export interface DevicesFolderOptions {
  readonly path: string;
  readonly clock: Pick<Clock, "nowMs" | "after">;
  readonly watch: WatchFolder;
  /** The grants are others now. */
  readonly onGrants: (now: Grants, before: Grants) => void;
  /** They cannot be looked up, for a reason that a person can do something about; undefined: they can again. */
  readonly onTrouble: (trouble: string | undefined) => void;
}

/** A file as it was seen. */
interface Content extends DeviceFileText {
  readonly state: string;
}

export class DevicesFolder {
  readonly #options: DevicesFolderOptions;
  /** What counts. */
  readonly #files = new Map<string, Content>();
  /** What was seen last and differs from it: the state, or that it is gone, and since when. */
  readonly #pending = new Map<string, { readonly state: string | undefined; readonly sinceMs: number }>();
  /** The grants are not those of the files yet. */
  #changed = false;
  #grants = new Grants([]);
  #trouble: string | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #lookedEntries = "";
  /** So many of the files were looked at one by one since the last round. */
  #sampled = 0;
  #cancelLook: (() => void) | undefined;
  #unwatch: (() => void) | undefined;
  /** Which folder is watched. */
  #watched: string | undefined;
  /** The next look is the one after an event. */
  #soon = false;
  #disposed = false;

  constructor(options: DevicesFolderOptions) {
    this.#options = options;
    this.look();
  }

  get grants(): Grants {
    return this.#grants;
  }

  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** For somebody who has no grant: looks, unless that was done just now and no file came or went since. */
  lookAgain(): void {
    if (this.#options.clock.nowMs() - this.#lookedMs >= agreeMs || this.#entries() !== this.#lookedEntries) this.look();
  }

  /** Changes with each file that comes or goes. */
  #entries(): string {
    try {
      const status = statSync(this.#options.path, { throwIfNoEntry: false });
      return status === undefined ? "" : `${status.dev} ${status.ino} ${status.mode} ${status.mtimeMs}`;
    } catch (error) {
      return errorCode(error);
    }
  }

  /** The file system stamps changes every few milliseconds: what changes just now may have the stamp that we saw. */
  #entriesAreFresh(): boolean {
    const changedMs = Number(this.#lookedEntries.split(" ").at(-1));
    return !(Math.abs(Date.now() - changedMs) > freshMs);
  }

  look(): void {
    if (this.#disposed) return;
    this.#lookedMs = this.#options.clock.nowMs();
    try {
      if (this.#mayDiffer()) this.#takeIn(this.#list());
      if (this.#changed) this.#rebuild();
      this.#changed = false;
      this.#setTrouble(undefined);
    } catch (error) {
      // The last grants stay: a disk that fails for a moment must not stop five hundred cameras.
      this.#setTrouble(`${this.#options.path}: ${describe(error)}`);
    }
    this.#watchFolder();
    this.#lookIn(this.#pending.size > 0 ? agreeMs : lookMs);
  }

  /**
   * Whether all files are to be looked at. They are not where no file came or went, the system told of nothing, and of
   * many files some are as they were: the next ones are seen to the next time.
   */
  #mayDiffer(): boolean {
    const before = this.#lookedEntries;
    this.#lookedEntries = this.#entries();
    const wasTold = this.#soon;
    this.#soon = false;
    if (wasTold || this.#changed || this.#pending.size > 0 || this.#trouble !== undefined) return true;
    if (before !== this.#lookedEntries || this.#entriesAreFresh()) return true;
    const names = [...this.#files.keys()];
    const isOther = (name: string): boolean => {
      return this.#stateOf(name) !== this.#files.get(name)?.state;
    };
    if (isOther(revokedFileName)) return true;
    const first = this.#sampled < names.length ? this.#sampled : 0;
    this.#sampled = first + sampleFiles;
    return names.slice(first, this.#sampled).some(isOther);
  }

  #lookIn(delayMs: number): void {
    this.#cancelLook?.();
    this.#cancelLook = this.#options.clock.after(delayMs, () => this.look());
  }

  dispose(): void {
    this.#disposed = true;
    this.#cancelLook?.();
    this.#unwatch?.();
  }

  /** The files that count, with their state. No folder: none. Throws what the system throws. */
  #list(): Map<string, string> {
    const { path } = this.#options;
    const found = new Map<string, string>();
    let names: string[];
    try {
      names = readdirSync(path);
      if (isAnybodys(path)) throw new Error("every user of this machine can write to it (chmod o-w)");
    } catch (error) {
      if (errorCode(error) === "ENOENT") return found;
      throw error;
    }
    for (const name of names) {
      if (name !== revokedFileName && (!name.endsWith(deviceFileEnd) || name.startsWith("."))) continue;
      const state = this.#stateOf(name);
      if (state !== undefined) found.set(name, state);
    }
    return found;
  }

  /** A file whose name is no text cannot be looked at by what we have of it, and has to be spoken of. */
  #stateOf(name: string): string | undefined {
    return isNoText(name) ? "" : stateOf(join(this.#options.path, name));
  }

  #takeIn(found: ReadonlyMap<string, string>): void {
    const names = new Set([...found.keys(), ...this.#files.keys(), ...this.#pending.keys()]);
    for (const name of names) {
      const state = found.get(name);
      const counts = this.#files.get(name);
      if (state === counts?.state) this.#pending.delete(name);
      else {
        const agrees = this.#agrees(name, state);
        // A line of a new file that ends was written to its end. To read may throw, and then it is pending still.
        const content = state !== undefined && (agrees || counts === undefined) ? this.#read(name, state) : undefined;
        if (!agrees && (content === undefined || !isComplete(content))) continue;
        this.#pending.delete(name);
        if (content === undefined) this.#files.delete(name);
        else this.#files.set(name, content);
        this.#changed = true;
      }
    }
  }

  /** Whether an earlier look saw the same. */
  #agrees(name: string, state: string | undefined): boolean {
    const nowMs = this.#options.clock.nowMs();
    const pending = this.#pending.get(name);
    if (pending !== undefined && pending.state === state) return nowMs - pending.sinceMs >= agreeMs;
    this.#pending.set(name, { state, sinceMs: nowMs });
    return false;
  }

  #read(name: string, state: string): Content {
    if (isNoText(name)) return { name, state, text: new FormatError("its name is not valid UTF-8") };
    const bytesMax = name === revokedFileName ? revokedBytesMax : deviceFileBytesMax;
    try {
      const { text } = readSmallFile(join(this.#options.path, name), bytesMax);
      // Part of a list must not bring back a key that is further down.
      const cutOff = name === revokedFileName && !text.endsWith("\n");
      return { name, state, text: cutOff ? `${this.#textOf(name)}\n${text}` : text };
    } catch (error) {
      // Without the list of revoked keys nothing is known.
      if (name === revokedFileName || isPassing(error)) throw error;
      const problem = describe(error, { EFBIG: "it is too large", EINVAL: "it is no file" });
      return { name, state, text: new FormatError(problem) };
    }
  }

  #rebuild(): void {
    const before = this.#grants;
    this.#grants = new Grants(this.#files.values(), this.#textOf(revokedFileName));
    this.#options.onGrants(this.#grants, before);
  }

  #textOf(name: string): string {
    const text = this.#files.get(name)?.text;
    return typeof text === "string" ? text : "";
  }

  #setTrouble(trouble: string | undefined): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    this.#options.onTrouble(trouble);
  }

  #identity(): string | undefined {
    try {
      return nodeDisk.identity(this.#options.path);
    } catch {
      return undefined;
    }
  }

  /** The folder that is there now: it may have been made again under its name. */
  #watchFolder(): void {
    const { path, watch } = this.#options;
    const identity = this.#identity();
    if (identity === this.#watched) return;
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#watched = identity;
    if (identity === undefined) return;
    try {
      this.#unwatch = watch(path, () => {
        // Once for a burst of events: those that follow find the look that is due.
        if (!this.#soon) this.#lookIn(eventMs);
        this.#soon = true;
      });
    } catch {
      // Too many watches, or a file system that has none: the look once a second is left.
    }
  }
}

/** Who can put a file there lets himself in. */
function isAnybodys(path: string): boolean {
  if (process.platform === "win32" || (statSync(path).mode & 0o002) === 0) return false;
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    // Mounted for reading: a configuration that is handed to a container, whose mode says nothing.
    return false;
  }
}

/** Other whenever the file is. Undefined: there is none. Throws what is no fault of this one file. */
function stateOf(path: string): string | undefined {
  try {
    // Through links: a configuration that is mounted may consist of them.
    const status = statSync(path, { throwIfNoEntry: false });
    return status && `${status.ino} ${status.size} ${status.mtimeMs} ${status.ctimeMs}`;
  } catch (error) {
    if (isPassing(error)) throw error;
    return errorCode(error);
  }
}

function isComplete({ text }: Content): boolean {
  return typeof text === "string" && text.endsWith("\n");
}

/** Of the disk, the network or this process rather than of a file: then the last grants stay. */
function isPassing(error: unknown): boolean {
  return isExhaustion(error) || isOfDisk(error);
}

/** Bytes that are no text were read as this. */
function isNoText(name: string): boolean {
  return name.includes("\ufffd");
}
