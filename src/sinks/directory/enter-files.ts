/**
 * Gives a row to every file that its catalogue does not know and whose path the layout gives to somebody: all of them
 * where the catalogue was lost. The checksum is computed, and the time of modification is the capture time. What files
 * do not say is lost: who sent what in which session, and what did not arrive. So all that is found of a source becomes
 * one session, whose `account` is `lost`.
 *
 * A receiver may be storing meanwhile, and give a file its row a moment later: that one takes the place of this.
 */
import { closeSync, fstatSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../../errors.ts";
import type { Origin } from "../../frame.ts";
import { KiB, MiB } from "../../limits.ts";
import { openFileBeneath } from "../../system/beneath.ts";
import { errorCode } from "../../system/errno.ts";
import { checksumToEnd, nodeDisk } from "../../system/file-system.ts";
import type { Layout } from "../store/layout.ts";
import { numberedPath, unnumberedPath } from "../store/numbered-path.ts";
import type { Catalogue, CatalogueBatch, FrameRow, NumberOutcome } from "./catalogue.ts";
import { FoundFiles } from "./found-files.ts";

export interface EnterFilesOptions {
  readonly directory: string;
  readonly layout: Layout;
  readonly catalogue: Catalogue;
  /**
   * When they are said to have come; undefined: at their times of change. What is behind others in the order of storing
   * cannot have come before them.
   */
  readonly receivedNs?: bigint | undefined;
  readonly recorded?: ((batch: CatalogueBatch) => void) | undefined;
  /** Called now and then with the files and bytes that were read. */
  readonly progress?: ((files: number, bytes: number) => void) | undefined;
  /** Ends it early, by throwing the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface EnteredFiles {
  readonly frames: number;
  readonly sources: number;
  /** Files that no frame could be at the path of, or that could not be read. */
  readonly passedOver: number;
}

/** Between two turns for the rest of the program, in bytes read; what opening a file costs, in the same. */
const turnBytes = 8 * MiB;
const fileBytes = 64 * KiB;
const batchRows = 500;

/** Rejects with what the file system or the catalogue says. Throws UserError if the layout cannot be read. */
export async function enterFiles(options: EnterFilesOptions): Promise<EnteredFiles> {
  const { template, isReadable } = options.layout;
  if (isReadable) return new Entering(options).run();
  throw new UserError(`--layout '${template}' does not say whose frame lies at a path`, [
    "files can be entered where it has {device}, {source} and {name}",
  ]);
}

class Entering {
  readonly #options: EnterFilesOptions;
  readonly #session = crypto.randomUUID().replaceAll("-", "");
  /** How many were found of each source. */
  readonly #found = new Map<string, { readonly origin: Origin; frames: number }>();
  #rows: FrameRow[] = [];
  #frames = 0;
  #bytes = 0;
  #passedOver = 0;
  #turnBytesLeft = turnBytes;

  constructor(options: EnterFilesOptions) {
    this.#options = options;
  }

  async run(): Promise<EnteredFiles> {
    const { directory, catalogue } = this.#options;
    const files = new FoundFiles(directory, catalogue);
    try {
      await files.look(() => this.#turn(fileBytes));
      for (const path of files.inOrder()) await this.#turn(this.#find(path) + fileBytes);
    } finally {
      files.close();
    }
    this.#record();
    return { frames: this.#frames, sources: this.#found.size, passedOver: this.#passedOver };
  }

  /** How many bytes were read of it. */
  #find(path: string): number {
    const fields = this.#options.layout.read(path);
    const handle = fields === undefined ? undefined : openBeneath(this.#options.directory, path);
    if (fields === undefined || handle === undefined) {
      this.#passedOver += 1;
      return 0;
    }
    try {
      const { size, mtimeNs, ctimeNs } = fstatSync(handle, { bigint: true });
      const bytes = Number(size);
      const crc32 = checksumToEnd(handle);
      const source = this.#sourceOf(fields.device, fields.source);
      const { name, number } = this.#ownName(path, fields.name);
      const frame = { origin: source.origin, sequence: source.frames, name, bytes, capturedNs: mtimeNs };
      this.#rows.push({ frame, path, number, crc32, receivedNs: this.#options.receivedNs ?? ctimeNs });
      source.frames += 1;
      this.#frames += 1;
      this.#bytes += bytes;
      if (this.#rows.length >= batchRows) this.#record();
      return bytes;
    } catch (error) {
      if (!errorCode(error).startsWith("E")) throw error;
      this.#passedOver += 1;
      return 0;
    } finally {
      closeSync(handle);
    }
  }

  #sourceOf(device: string, source: string): { readonly origin: Origin; frames: number } {
    const key = `${device}\0${source}`;
    let found = this.#found.get(key);
    if (found === undefined) {
      found = { origin: { device, source, session: this.#session }, frames: 0 };
      this.#found.set(key, found);
    }
    return found;
  }

  /**
   * `17~2.jpg` is the second of `17.jpg` where that is there, and every number between: a sender's own name is hardly
   * one.
   */
  #ownName(path: string, name: string): { readonly name: string; readonly number: number } {
    const own = unnumberedPath(name);
    if (own === undefined || !path.endsWith(name)) return { name, number: 1 };
    const first = path.slice(0, path.length - name.length) + own.path;
    const before = numberedPath(first, own.number - 1);
    // The one before it was looked at in the same way.
    const isNumbered = numberedPath(first, own.number) === path && this.#isFile(first) && this.#isFile(before);
    return isNumbered ? { name: own.path, number: own.number } : { name, number: 1 };
  }

  #isFile(path: string): boolean {
    return typeof nodeDisk.look(join(this.#options.directory, path)) === "number";
  }

  #record(): void {
    const rows = this.#rows;
    this.#rows = [];
    if (rows.length === 0) return;
    const outcomes = rows.map(({ frame: { origin, sequence }, number }): NumberOutcome => {
      return { origin, first: sequence, last: sequence, outcome: number === 1 ? "stored" : "conflict" };
    });
    const nowNs = BigInt(Date.now()) * 1_000_000n;
    const batch = { frames: rows, gaps: [], ends: [], outcomes, found: true, nowNs };
    this.#options.catalogue.record(batch);
    this.#options.recorded?.(batch);
  }

  /** Lets signals, timers and connections have their turn, after so many bytes. */
  #turn(bytes: number): Promise<void> | undefined {
    this.#turnBytesLeft -= bytes;
    if (this.#turnBytesLeft > 0) return undefined;
    this.#turnBytesLeft = turnBytes;
    this.#options.progress?.(this.#frames, this.#bytes);
    return new Promise<void>((next) => setImmediate(next)).then(() => this.#options.signal?.throwIfAborted());
  }
}

/** Undefined: it is a link, is no file, is gone, or may not be read. */
function openBeneath(directory: string, path: string): number | undefined {
  const handle = openFileBeneath(directory, path);
  if (handle !== undefined) return handle;
  try {
    return typeof nodeDisk.look(join(directory, path)) === "number"
      ? nodeDisk.openForSync(join(directory, path))
      : undefined;
  } catch {
    return undefined;
  }
}
