/**
 * Reads frames from a catalogue in the order of their capture times (src/reading/READING.md), a page of rows at a time:
 * each page is a read of its own, found by index from where the last one ended, so a receiver that stores meanwhile is
 * never kept from tidying up its log, and no question looks at rows that are not asked for.
 */
import type { Statement } from "bun:sqlite";
import { ExitStatus, UserError } from "../../errors.ts";
import { merged } from "../../merge.ts";
import { CatalogueQuestions, type StoredSource } from "./catalogue-questions.ts";
import { readVersion } from "./sqlite-catalogue.ts";

/** A stored frame; what is not told here is as in the table `frames`. */
export interface StoredRow {
  readonly id: number;
  readonly device: string;
  readonly source: string;
  readonly session: string;
  readonly sequence: number;
  readonly name: string;
  readonly path: string;
  readonly number: number;
  readonly bytes: number;
  readonly crc32: number;
  /** When it was captured, by the clock that was asked for; nanoseconds since the epoch, as all times. */
  readonly timeNs: bigint;
  readonly receivedNs: bigint;
  readonly notes: string | null;
  readonly metadata: string | null;
}

export interface FrameRange {
  /** The first moment that counts; undefined: any. */
  readonly fromNs: bigint | undefined;
  /** The first that does not count any more. */
  readonly toNs: bigint | undefined;
  readonly clock: Clock;
  /** Rows that were stored later do not count. */
  readonly lastId: number;
}

/** Between two frames in the order of time: before that with this time and id. */
export interface Position {
  readonly timeNs: bigint;
  readonly id: number;
}

/** Whose clock times are those of. */
export type Clock = "sender" | "receiver";

/** Rows that are held, of all sources together, and of one. */
const rowsMax = 20_000;
const pageRowsMax = 500;
const pageRowsMin = 4;
/** Whoever goes back looks at a few. */
const backRows = 32;

const [firstNs, lastNs] = [-(2n ** 63n), 2n ** 63n - 1n];

/** SQLite's integers do not fit a number, so times come as text. */
const columns = `id, session, sequence, name, path, number, bytes, crc32, CAST(captured AS TEXT) AS captured,
  CAST(corrected AS TEXT) AS corrected, CAST(received AS TEXT) AS received, notes, metadata`;

interface Row extends Omit<StoredRow, "device" | "source" | "timeNs" | "receivedNs"> {
  readonly captured: string;
  readonly corrected: string | null;
  readonly received: string;
}

type TimeColumn = "captured" | "corrected";

const inRange = "device = ?1 AND source = ?2 AND id <= ?3";

/** The questions, so that a test can ask how each is answered. */
export const frameQueries = {
  highestId: "SELECT max(id) FROM frames",
  frame: "SELECT 1 FROM frames WHERE id = ?1",
  row: () => `SELECT device, source, ${columns} FROM frames WHERE id = ?1`,
  nextSource: "SELECT device, source FROM frames WHERE (device, source) > (?1, ?2) ORDER BY device, source LIMIT 1",
  pageOf: (time: TimeColumn) =>
    `SELECT ${columns} FROM frames WHERE ${inRange} AND frames.${time} >= ?4 AND frames.${time} <= ?5
     ORDER BY frames.${time}, id LIMIT ?6`,
  /** Of one moment, behind the row ?5: without a clock a camera gives thousands of frames the same time. */
  momentOf: (time: TimeColumn) =>
    `SELECT ${columns} FROM frames WHERE ${inRange} AND frames.${time} = ?4 AND id > ?5 ORDER BY id LIMIT ?6`,
  earlierPageOf: (time: TimeColumn) =>
    `SELECT ${columns} FROM frames WHERE ${inRange} AND frames.${time} < ?4
     ORDER BY frames.${time} DESC, id DESC LIMIT ?5`,
  earlierOfMoment: (time: TimeColumn) =>
    `SELECT ${columns} FROM frames WHERE ${inRange} AND frames.${time} = ?4 AND id < ?5 ORDER BY id DESC LIMIT ?6`,
} as const;

type Question = Statement<Row, (string | number | bigint)[]>;

export class FrameQuery {
  readonly #catalogue: CatalogueQuestions;

  /** Throws UserError if there is no catalogue, or one that a receiver has to make into one of this version first. */
  constructor(directory: string) {
    this.#catalogue = new CatalogueQuestions(directory);
    if (readVersion(this.#catalogue.database) !== 1) return;
    this.#catalogue.close();
    throw new UserError(
      `${directory} was stored by framepipe 0.1.0, and its catalogue cannot be read in the order of time`,
      [`a receiver converts it when it starts: framepipe --receive 127.0.0.1:0 --out '${directory}', then ctrl-c`],
      ExitStatus.failure,
    );
  }

  /** The row that was stored last; 0: there is none. */
  highestId(): number {
    return this.#catalogue.ask(() => {
      const [[id] = []] = this.#catalogue.prepare(frameQueries.highestId).values() as [number | null][];
      return id ?? 0;
    });
  }

  /** Whether the row is still there. */
  has(id: number): boolean {
    return this.#catalogue.ask(() => this.#catalogue.prepare(frameQueries.frame).values(id).length > 0);
  }

  /** By device, then source. */
  sources(): StoredSource[] {
    return this.#catalogue.sources(frameQueries.nextSource);
  }

  /** The frames of these sources together, by time, and of equal time in the order of storing. */
  framesOf(sources: readonly StoredSource[], range: FrameRange): Generator<StoredRow, void> {
    const pageRows = Math.max(pageRowsMin, Math.min(pageRowsMax, Math.floor(rowsMax / (2 * sources.length))));
    const streams = sources.flatMap((source) => {
      const captured = this.#framesBy("captured", source, range, pageRows);
      return range.clock === "sender" ? [captured] : [captured, this.#framesBy("corrected", source, range, pageRows)];
    });
    return merged(streams, isBefore);
  }

  /** The frames of a source before `position`, the nearest first. */
  framesBefore(
    source: StoredSource,
    position: Position,
    { clock, lastId }: Omit<FrameRange, "fromNs" | "toNs">,
  ): Generator<StoredRow, void> {
    const columnsOfTime: readonly TimeColumn[] = clock === "sender" ? ["captured"] : ["captured", "corrected"];
    const streams = columnsOfTime.map((time) => this.#framesBackBy(time, source, position, { clock, lastId }));
    return merged(streams, (a, b) => isBefore(b, a));
  }

  /** A frame by its id, with its time by the clock. */
  row(id: number, clock: Clock): StoredRow | undefined {
    const found = this.#catalogue.ask(() => this.#catalogue.prepare(frameQueries.row()).get(id)) as
      (Row & StoredSource) | null;
    if (found === null) return undefined;
    return toStored(found, found, clock === "receiver" && found.corrected !== null ? "corrected" : "captured");
  }

  *#framesBackBy(
    time: TimeColumn,
    source: StoredSource,
    { timeNs, id }: Position,
    { clock, lastId }: Omit<FrameRange, "fromNs" | "toNs">,
  ): Generator<StoredRow, void> {
    const { device, source: name } = source;
    let [atNs, beforeId] = [timeNs, id];
    // By turns: the rest of a moment, then what is before it, whose last moment may not be whole.
    let within = true;
    for (;;) {
      const page = this.#catalogue.ask(() =>
        within
          ? this.#question(frameQueries.earlierOfMoment(time)).all(device, name, lastId, atNs, beforeId, backRows)
          : this.#question(frameQueries.earlierPageOf(time)).all(device, name, lastId, atNs, backRows),
      );
      for (const row of page) {
        if (time === "captured" && clock === "receiver" && row.corrected !== null) continue;
        yield toStored(row, source, time);
      }
      const last = page.at(-1);
      if (last !== undefined) [atNs, beforeId] = [BigInt(last[time] as string), last.id];
      const isFull = page.length === backRows;
      if (!within && !isFull) return;
      // A full page of a moment is followed by more of it.
      within = !within || isFull;
    }
  }

  /** Of one source. By our clock, those whose time is corrected are a stream of their own. */
  *#framesBy(
    time: TimeColumn,
    { device, source }: StoredSource,
    range: FrameRange,
    pageRows: number,
  ): Generator<StoredRow, void> {
    const { fromNs = firstNs, toNs, clock, lastId } = range;
    const endNs = toNs === undefined ? lastNs : toNs - 1n;
    let startNs = fromNs;
    // The last row of the page before, which was full, so that there may be more of its moment.
    let moment: { readonly timeNs: bigint; readonly id: number } | undefined;
    while (moment !== undefined || startNs <= endNs) {
      const page = this.#catalogue.ask(() =>
        moment === undefined
          ? this.#question(frameQueries.pageOf(time)).all(device, source, lastId, startNs, endNs, pageRows)
          : this.#question(frameQueries.momentOf(time)).all(device, source, lastId, moment.timeNs, moment.id, pageRows),
      );
      for (const row of page) {
        if (time === "captured" && clock === "receiver" && row.corrected !== null) continue;
        yield toStored(row, { device, source }, time);
      }
      const last = page.at(-1);
      const full = page.length === pageRows;
      if (full && last !== undefined) {
        const timeNs = BigInt(last[time] as string);
        moment = { timeNs, id: last.id };
        startNs = timeNs + 1n;
      } else if (moment === undefined) return;
      else moment = undefined;
    }
  }

  #question(sql: string): Question {
    return this.#catalogue.prepare(sql) as Question;
  }

  close(): void {
    this.#catalogue.close();
  }
}

function toStored(
  { captured, corrected, received, ...row }: Row,
  { device, source }: StoredSource,
  time: TimeColumn,
): StoredRow {
  const timeNs = BigInt((time === "captured" ? captured : corrected) as string);
  return { ...row, device, source, timeNs, receivedNs: BigInt(received) };
}

function isBefore(a: StoredRow, b: StoredRow): boolean {
  return a.timeNs < b.timeNs || (a.timeNs === b.timeNs && a.id < b.id);
}
