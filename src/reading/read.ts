/** `--read`: gives out again what is stored in a directory. READING.md is its specification. */
import { ExitStatus, UserError } from "../errors.ts";
import type { StoredSource } from "../sinks/directory/catalogue-questions.ts";
import { type Clock, FrameQuery, type FrameRange, type StoredRow } from "../sinks/directory/frame-query.ts";
import type { FileProblem } from "../sinks/directory/stored-file.ts";
import { FrameStream, TarArchive } from "./files.ts";
import type { Form, Output, Taken } from "./form.ts";
import { FrameBytes } from "./frame-bytes.ts";
import { jsonLine, Lines, listLine } from "./lines.ts";
import { pairsOf } from "./pairs.ts";
import { selectSources, sourceText } from "./selection.ts";

export type ReadClock = Clock;
export type ReadForm = "stream" | "tar" | "list" | "json";

export interface ReadOptions {
  readonly directory: string;
  /** `rig-7/visible`, or what such texts begin with, or the sources themselves; none: all. */
  readonly wanted: readonly (string | StoredSource)[];
  /** Nanoseconds since the epoch: the first moment that counts, and the first that does not any more. */
  readonly fromNs?: bigint | undefined;
  readonly toNs?: bigint | undefined;
  readonly clock: Clock;
  /** Pairs of two sources, at most so far apart. */
  readonly pairWithinNs?: bigint | undefined;
  readonly as: ReadForm;
  readonly output: Output;
  /** What a tar is to say of itself, asked for when all else is in it; empty: nothing. */
  readonly remark?: () => string;
  /** Called for each frame that is left out. */
  readonly leftOut: (frame: StoredRow, problem: FileProblem) => void;
  /** Ends it behind the frame in hand. */
  readonly signal?: AbortSignal;
}

export interface ReadReport {
  readonly frames: number;
  readonly bytes: number;
  readonly leftOut: number;
  /** Undefined: none were asked for. */
  readonly pairs: number | undefined;
  /** How many frames of each of two sources have no partner. */
  readonly unpaired: readonly { readonly source: string; readonly frames: number }[];
  /** Everything that was asked for was given out, or left out. */
  readonly complete: boolean;
}

/** Between two turns for the rest of the program. */
const turnFrames = 1_000;

/** Throws UserError for what cannot be read, and what `output` throws. */
export async function read(options: ReadOptions): Promise<ReadReport> {
  const query = new FrameQuery(options.directory);
  try {
    return await new Reading(query, options).run();
  } finally {
    query.close();
  }
}

class Reading {
  readonly #query: FrameQuery;
  readonly #options: ReadOptions;
  readonly #form: Form;
  #frames = 0;
  #bytes = 0;
  #leftOut = 0;
  #pairs = 0;
  readonly #unpaired: [number, number] = [0, 0];

  constructor(query: FrameQuery, options: ReadOptions) {
    this.#query = query;
    this.#options = options;
    this.#form = formOf(options);
  }

  async run(): Promise<ReadReport> {
    const { directory, wanted, fromNs, toNs, clock, pairWithinNs } = this.#options;
    const range: FrameRange = { fromNs, toNs, clock, lastId: this.#query.highestId() };
    const sources = selectSources(directory, this.#query.sources(), wanted);
    if (pairWithinNs === undefined) {
      const complete = await this.#give(this.#each(sources, range));
      return { ...this.#counts, pairs: undefined, unpaired: [], complete };
    }
    const two = twoOf(sources);
    const complete = await this.#give(this.#pairsOf(two, range, pairWithinNs));
    const unpaired = two.map((source, side) => ({ source: sourceText(source), frames: this.#unpaired[side] ?? 0 }));
    return { ...this.#counts, pairs: this.#pairs, unpaired, complete };
  }

  get #counts(): Pick<ReadReport, "frames" | "bytes" | "leftOut"> {
    return { frames: this.#frames, bytes: this.#bytes, leftOut: this.#leftOut };
  }

  *#each(sources: readonly StoredSource[], range: FrameRange): Generator<Taken, void> {
    for (const frame of this.#query.framesOf(sources, range)) yield [frame];
  }

  /** Undefined: nothing to give out, but a frame that was read. */
  *#pairsOf(
    [one, other]: readonly [StoredSource, StoredSource],
    range: FrameRange,
    withinNs: bigint,
  ): Generator<Taken | undefined, void> {
    const streams = [this.#query.framesOf([one], range), this.#query.framesOf([other], range)] as const;
    for (const { first, second } of pairsOf(...streams, withinNs)) {
      if (first !== undefined && second !== undefined) yield [first, second];
      else {
        this.#unpaired[first === undefined ? 1 : 0] += 1;
        yield undefined;
      }
    }
  }

  /** Whether it came to the end of them. */
  async #give(all: Iterable<Taken | undefined>): Promise<boolean> {
    let untilTurn = turnFrames;
    let complete = true;
    for (const taken of all) {
      if (this.#options.signal?.aborted === true) {
        complete = false;
        break;
      }
      if (taken !== undefined) await this.#put(taken);
      untilTurn -= 1;
      if (untilTurn > 0) continue;
      untilTurn = turnFrames;
      // Signals are heard.
      await Bun.sleep(0);
    }
    await this.#form.end();
    return complete;
  }

  async #put(taken: Taken): Promise<void> {
    const trouble = await this.#form.put(taken);
    if (trouble === undefined) {
      if (taken.length > 1) this.#pairs += 1;
      this.#frames += taken.length;
      for (const { bytes } of taken) this.#bytes += bytes;
      return;
    }
    // Its row has gone too: it was removed in good order.
    if (!this.#query.has(trouble.frame.id)) return;
    this.#leftOut += 1;
    this.#options.leftOut(trouble.frame, trouble.problem);
  }
}

function formOf({ as, directory, output, remark }: ReadOptions): Form {
  switch (as) {
    case "list":
      return new Lines(output, listLine);
    case "json":
      return new Lines(output, jsonLine);
    case "stream":
      return new FrameStream(new FrameBytes(directory), output);
    case "tar":
      return new TarArchive(new FrameBytes(directory), output, remark);
  }
}

function twoOf(sources: readonly StoredSource[]): readonly [StoredSource, StoredSource] {
  const [first, second, third] = sources;
  if (first !== undefined && second !== undefined && third === undefined) return [first, second];
  const found = sources.length === 0 ? "none" : sources.map(sourceText).slice(0, 8).join(", ");
  throw new UserError(
    `pairs are of two sources, and these are ${sources.length}: ${found}`,
    ["name two: framepipe --read captures rig-7/visible rig-7/infrared --pair-within 20ms"],
    ExitStatus.usage,
  );
}
