/** The table `tombstones`: what is left of frames that were removed. Where there are none, nothing is asked. */
import type { Database, Statement } from "bun:sqlite";
import type { Frame, FrameEntry, Origin } from "../../frame.ts";

type Value = string | number | bigint | Uint8Array;
type AnyStatement = Statement<unknown, Value[]>;
type Ask = (statement: AnyStatement, ...values: Value[]) => unknown[][];

const hashBytes = 16;
/** Removed at once, so that nobody waits. */
const stepMax = 1024;

/** So that a test can see that none of them reads the whole table. */
export const tombstoneQueries: Readonly<Record<"like" | "has" | "bury" | "ends" | "forget", string>> = {
  like: "SELECT crc32 FROM tombstones WHERE frame = ?1 AND bytes = ?2 AND captured = ?3",
  has: "SELECT 1 FROM tombstones WHERE frame = ?1 AND bytes = ?2 AND crc32 = ?3",
  // The time with which a frame was offered last is the one with which it will be offered again.
  bury: `INSERT INTO tombstones (frame, bytes, crc32, captured, expired)
         SELECT ?2, bytes, crc32, coalesce(offered, captured), ?3 FROM frames WHERE id = ?1`,
  ends: "SELECT (SELECT min(id) FROM tombstones), (SELECT max(id) FROM tombstones)",
  forget: `DELETE FROM tombstones WHERE id IN (SELECT id FROM tombstones ORDER BY id LIMIT ${stepMax})
             AND (id <= ?1 OR expired < ?2)`,
};

export class SqliteTombstones {
  readonly #like: AnyStatement;
  readonly #has: AnyStatement;
  readonly #bury: AnyStatement;
  readonly #ends: AnyStatement;
  readonly #forget: AnyStatement;
  #any: boolean;

  constructor(database: Database) {
    this.#like = database.prepare(tombstoneQueries.like);
    this.#has = database.prepare(tombstoneQueries.has);
    this.#bury = database.prepare(tombstoneQueries.bury);
    this.#ends = database.prepare(tombstoneQueries.ends);
    this.#forget = database.prepare(tombstoneQueries.forget);
    this.#any = this.#ends.values()[0]?.[0] !== null;
  }

  like({ device, source }: Origin, { name, bytes, capturedNs }: FrameEntry, ask: Ask): number | undefined {
    if (!this.#any) return undefined;
    const [[crc32] = []] = ask(this.#like, hashOf(device, source, name), bytes, capturedNs) as [number][];
    return crc32;
  }

  has({ origin: { device, source }, name, bytes }: Frame, crc32: number, ask: Ask): boolean {
    return this.#any && ask(this.#has, hashOf(device, source, name), bytes, crc32).length > 0;
  }

  /** Inside a transaction, while the frame's row is there. */
  bury(rowId: number, device: string, source: string, name: string, nowNs: bigint): void {
    this.#bury.run(rowId, hashOf(device, source, name), nowNs);
    this.#any = true;
  }

  /** Whether there were any to forget. Ids have no holes but at the start, so the ends tell how many there are. */
  forget(beforeNs: bigint, max: number): boolean {
    if (!this.#any) return false;
    const [[first, last] = []] = this.#ends.values() as [number | null, number | null][];
    if (typeof first !== "number" || typeof last !== "number") return false;
    return this.#forget.run(last - max, beforeNs).changes > 0;
  }

  close(): void {
    for (const each of [this.#like, this.#has, this.#bury, this.#ends, this.#forget]) each.finalize();
  }
}

function hashOf(device: string, source: string, name: string): Uint8Array {
  return new Bun.CryptoHasher("sha256").update(`${device}\0${source}\0${name}`).digest().subarray(0, hashBytes);
}
