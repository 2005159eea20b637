/** What the catalogue answers (HTTP.md, Snapshots and stored frames). It is read only, and opened when it is needed. */
import { UserError } from "../../errors.ts";
import { FrameBytes } from "../../reading/frame-bytes.ts";
import { frameJson, differenceMs } from "../../reading/lines.ts";
import { frameAt, framesNear, type Near, pairsNear } from "../../reading/near.ts";
import type { StoredSource } from "../../sinks/directory/catalogue-questions.ts";
import { FrameQuery, type StoredRow } from "../../sinks/directory/frame-query.ts";
import { GapQuery, type StoredGapRow } from "../../sinks/directory/gap-query.ts";
import { formatTime } from "../../times.ts";
import type { FrameFacts, Frames, Gaps, Moment, Pairs, SourceKey, StoredFrame, StoredGap } from "../page-api.ts";
import { sourceKey } from "../source-key.ts";
import { Wrong } from "./answer.ts";
import type { Parameters } from "./parameters.ts";

const clocks = ["sender", "receiver"] as const;

export interface StoredBytes {
  readonly row: StoredRow;
  readonly bytes: Uint8Array;
}

export class StoredFrames {
  readonly directory: string;
  readonly #frameBytesMax: number;
  readonly #bytes: FrameBytes;
  #query: FrameQuery | undefined;
  #gapQuery: GapQuery | undefined;
  #sources = new Map<SourceKey, StoredSource>();

  constructor(directory: string, frameBytesMax: number) {
    this.directory = directory;
    this.#frameBytesMax = frameBytesMax;
    this.#bytes = new FrameBytes(directory);
  }

  close(): void {
    this.#query?.close();
    this.#query = undefined;
    this.#gapQuery?.close();
    this.#gapQuery = undefined;
  }

  /** Throws Wrong for one that is not there. */
  sourceOf(key: SourceKey): StoredSource {
    let found = this.#sources.get(key);
    if (found === undefined) {
      const all = this.#ask((query) => query.sources());
      this.#sources = new Map(all.map((source) => [sourceKey(source.device, source.source), source]));
      found = this.#sources.get(key);
    }
    if (found === undefined) throw new Wrong(404, "nothing of that source is stored");
    return found;
  }

  /** Of these, or of all. */
  #sourcesOf(keys: readonly SourceKey[]): StoredSource[] {
    return keys.length > 0 ? keys.map((key) => this.sourceOf(key)) : this.#ask((query) => query.sources());
  }

  moment(parameters: Parameters): Moment {
    const at = parameters.time("at");
    if (at === undefined) throw new Wrong(400, "at: which moment?");
    const clock = parameters.word("clock", clocks);
    const sources = this.#sourcesOf(parameters.keys("source")).map((source) => {
      const key = sourceKey(source.device, source.source);
      const row = this.#ask((query) => frameAt(query, source, at, clock));
      if (row === undefined) return { key };
      return { key, frame: toFrame(row), differenceMs: Number(row.timeNs - at) / 1e6 };
    });
    return { at: formatTime(at), sources };
  }

  frames(parameters: Parameters): Frames {
    const source = this.sourceOf(parameters.key("source"));
    const rows = this.#ask((query) => framesNear(query, source, nearOf(parameters)));
    return { frames: rows.map(toFrame) };
  }

  pairs(parameters: Parameters): Pairs {
    const two = [this.sourceOf(parameters.key("first")), this.sourceOf(parameters.key("second"))] as const;
    const within = parameters.duration("within", 20);
    const pairs = this.#ask((query) => pairsNear(query, two, within, nearOf(parameters)));
    return {
      pairs: pairs.map(([one, other]) => ({
        differenceMs: differenceMs(one, other),
        frames: [toFrame(one), toFrame(other)],
      })),
    };
  }

  gaps(parameters: Parameters): Gaps {
    const [before, after] = [parameters.time("before"), parameters.time("after")];
    if (before !== undefined && after !== undefined) throw new Wrong(400, "before or after, not both");
    const id = parameters.id("id");
    const wanted = parameters.keys("source");
    return this.#askGaps((query) => {
      const all = query.sources();
      const found = all.filter(({ device, source }) => wanted.includes(sourceKey(device, source)));
      if (found.length < new Set(wanted).size) throw new Wrong(404, "nothing of that source is stored");
      const sources = wanted.length === 0 ? all : found;
      const rows =
        after === undefined
          ? query.gapsFrom(sources, before === undefined ? behindAll : { timeNs: before, id: id ?? 0 }, "before")
          : query.gapsFrom(sources, { timeNs: after, id: id ?? Number.MAX_SAFE_INTEGER }, "after");
      return { gaps: [...rows.take(parameters.count("count", 50))].map(toGap) };
    });
  }

  /** A frame whose bytes are those that were stored. Throws Wrong. */
  async bytesOf(id: number): Promise<StoredBytes> {
    const row = this.#ask((query) => query.row(id, "sender"));
    if (row === undefined) throw new Wrong(404, "there is no such frame");
    return { row, bytes: await this.#read(row) };
  }

  /** Of a source, the frame that was taken last. */
  async newest(key: SourceKey): Promise<(StoredBytes & { readonly facts: FrameFacts }) | undefined> {
    const source = this.sourceOf(key);
    const near: Near = { at: undefined, before: 1, after: 0, clock: "sender" };
    const [row] = this.#ask((query) => framesNear(query, source, near));
    if (row === undefined) return undefined;
    const { session, sequence, name, bytes, timeNs, receivedNs } = row;
    const received = formatTime(receivedNs);
    const facts = { key, session, sequence, name, bytes, captured: formatTime(timeNs), received, stored: received };
    return { row, facts, bytes: await this.#read(row) };
  }

  async #read(row: StoredRow): Promise<Uint8Array> {
    if (row.bytes > this.#frameBytesMax) throw new Wrong(404, `it has ${row.bytes} bytes: take it with /api/range`);
    const bytes = new Uint8Array(row.bytes);
    const problem = await this.#bytes.with(row, async (frame) => {
      let filled = 0;
      for (const piece of frame.pieces()) {
        bytes.set(piece, filled);
        filled += piece.length;
      }
    });
    if (problem !== undefined) throw new Wrong(404, `its file ${problem}`);
    return bytes;
  }

  #ask<Answer>(ask: (query: FrameQuery) => Answer): Answer {
    return this.#guarded(() => ask((this.#query ??= new FrameQuery(this.directory))));
  }

  #askGaps<Answer>(ask: (query: GapQuery) => Answer): Answer {
    return this.#guarded(() => ask((this.#gapQuery ??= new GapQuery(this.directory))));
  }

  #guarded<Answer>(ask: () => Answer): Answer {
    try {
      return ask();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      // Perhaps it is another one by now.
      this.close();
      throw new Wrong(503, "the catalogue cannot be read now");
    }
  }
}

const behindAll = { timeNs: 2n ** 63n - 1n, id: Number.MAX_SAFE_INTEGER };

function toGap({ recordedNs, ...gap }: StoredGapRow): StoredGap {
  return { ...gap, key: sourceKey(gap.device, gap.source), recorded: formatTime(recordedNs) };
}

function nearOf(parameters: Parameters): Near {
  const timeNs = parameters.time("at");
  const id = parameters.id("id");
  return {
    at: timeNs === undefined ? undefined : { timeNs, id },
    before: parameters.count("before", 0),
    after: parameters.count("after", 0),
    clock: parameters.word("clock", clocks),
  };
}

function toFrame(row: StoredRow): StoredFrame {
  const facts = frameJson(row) as unknown as Omit<StoredFrame, "id" | "key">;
  return { id: row.id, key: sourceKey(row.device, row.source), ...facts };
}
