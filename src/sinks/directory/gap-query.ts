/** Reads gaps from a catalogue, from a moment on, either way: a few rows at a time, each by index. */
import type { GapReason } from "../../frame.ts";
import { merged } from "../../merge.ts";
import { CatalogueQuestions, type StoredSource } from "./catalogue-questions.ts";
import type { Position } from "./frame-query.ts";

export interface StoredGapRow {
  readonly id: number;
  readonly device: string;
  readonly source: string;
  readonly session: string;
  readonly firstSequence: number;
  readonly count: number;
  readonly reason: GapReason;
  readonly name: string;
  readonly detail: string;
  /** When the receiver learned of it, nanoseconds since the epoch. */
  readonly recordedNs: bigint;
  /** No frame of its name is stored. */
  readonly open: boolean;
}

const pageRows = 64;

/** SQLite's integers do not fit a number. */
const columns = `rowid AS id, session, first_sequence AS firstSequence, count, reason, name, detail,
  CAST(recorded AS TEXT) AS recorded, name = '' OR NOT EXISTS (SELECT 1 FROM frames
    WHERE frames.device = ?1 AND frames.source = ?2 AND frames.name = gaps.name) AS isOpen`;

/** The questions, so that a test can ask how each is answered. */
export const gapQueries = {
  nextSource: "SELECT device, source FROM sessions WHERE (device, source) > (?1, ?2) ORDER BY device, source LIMIT 1",
  before: () => `SELECT ${columns} FROM gaps WHERE device = ?1 AND source = ?2
    AND recorded <= ?3 AND (recorded < ?3 OR rowid < ?4) ORDER BY gaps.recorded DESC, rowid DESC LIMIT ${pageRows}`,
  after: () => `SELECT ${columns} FROM gaps WHERE device = ?1 AND source = ?2
    AND recorded >= ?3 AND (recorded > ?3 OR rowid > ?4) ORDER BY gaps.recorded, rowid LIMIT ${pageRows}`,
} as const;

interface Row extends Omit<StoredGapRow, "device" | "source" | "recordedNs" | "open"> {
  readonly recorded: string;
  readonly isOpen: number;
}

export class GapQuery {
  readonly #catalogue: CatalogueQuestions;

  /** Throws UserError if there is no catalogue that can be read. */
  constructor(directory: string) {
    this.#catalogue = new CatalogueQuestions(directory);
  }

  /** All that have ever sent, whether frames of them are there or not. */
  sources(): StoredSource[] {
    return this.#catalogue.sources(gapQueries.nextSource);
  }

  /** Gaps of these sources that were recorded before, or after, the position; the nearest first. */
  gapsFrom(
    sources: readonly StoredSource[],
    position: Position,
    way: "before" | "after",
  ): Generator<StoredGapRow, void> {
    const sql = gapQueries[way]();
    const streams = sources.map((source) => this.#gapsOf(sql, source, position));
    return merged(streams, (a, b) => (way === "before" ? isBefore(b, a) : isBefore(a, b)));
  }

  *#gapsOf(sql: string, { device, source }: StoredSource, from: Position): Generator<StoredGapRow, void> {
    let { timeNs, id } = from;
    for (;;) {
      const page = this.#catalogue.ask(() => this.#catalogue.prepare(sql).all(device, source, timeNs, id)) as Row[];
      for (const { recorded, isOpen, ...row } of page) {
        yield { ...row, device, source, recordedNs: BigInt(recorded), open: isOpen === 1 };
      }
      const last = page.at(-1);
      if (last === undefined || page.length < pageRows) return;
      ({ timeNs, id } = { timeNs: BigInt(last.recorded), id: last.id });
    }
  }

  close(): void {
    this.#catalogue.close();
  }
}

function isBefore(a: StoredGapRow, b: StoredGapRow): boolean {
  return a.recordedNs < b.recordedNs || (a.recordedNs === b.recordedNs && a.id < b.id);
}
