/**
 * Reads what a receiver has stored with other people's readers and none of framepipe's own: SQLite, a dozen lines of
 * tar, `@mcap/core`. An archive that was cut off is read up to there.
 */
import { McapStreamReader } from "@mcap/core";
import { Database } from "bun:sqlite";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface FrameFact {
  readonly device: string;
  readonly source: string;
  readonly session: string;
  readonly sequence: number;
  readonly name: string;
  readonly path: string;
  /** 1: it has its own name. From 2: another frame had it. */
  readonly number: number;
  readonly bytes: number;
  readonly crc32: number;
}

export interface GapFact {
  readonly device: string;
  readonly source: string;
  readonly session: string;
  readonly first: number;
  readonly count: number;
  readonly reason: string;
  readonly name: string;
  readonly detail: string;
}

export interface EndFact {
  readonly device: string;
  readonly source: string;
  readonly session: string;
  readonly frames: number;
  readonly stored: number;
  readonly already: number;
  readonly conflicts: number;
  readonly refused: number;
  readonly skipped: number;
}

export interface Facts {
  readonly frames: readonly FrameFact[];
  readonly gaps: readonly GapFact[];
  readonly ends: readonly EndFact[];
  /** Checksums of the stored bytes themselves, computed here, by path. */
  readonly contents: ReadonlyMap<string, number>;
  /** An archive has its proper end; a directory has no journal beside its catalogue. */
  readonly whole: boolean;
}

export type Kind = "directory" | "tar" | "mcap";

export function readFacts(kind: Kind, path: string): Facts {
  return kind === "directory" ? readDirectory(path) : kind === "tar" ? readTar(path) : readMcap(path);
}

/** Files below a directory that are not below `.framepipe`, sorted. */
export function storedFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true, encoding: "utf8" })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .filter((path) => !path.startsWith(".framepipe"))
    .toSorted();
}

/** As 0.1.0 wrote it: version 1 of the catalogue. Reads a copy, because even a reader would tidy up the journal. */
function readDirectory(directory: string): Facts {
  const own = join(directory, ".framepipe");
  const copy = mkdtempSync(join(tmpdir(), "framepipe-"));
  try {
    cpSync(own, copy, { recursive: true });
    using database = new Database(join(copy, "catalogue.db"));
    const all = <Row>(sql: string): Row[] => database.query<Row, []>(sql).all();
    return {
      frames: all("SELECT device, source, session, sequence, name, path, number, bytes, crc32 FROM frames ORDER BY id"),
      gaps: all(
        `SELECT device, source, session, first_sequence AS first, count, reason, name, detail FROM gaps
         ORDER BY recorded, first_sequence`,
      ),
      ends: all(
        `SELECT device, source, session, frames, stored, already, conflicts, refused, skipped FROM sources
         ORDER BY ended`,
      ),
      contents: new Map(
        storedFiles(directory).map((path) => [path, Bun.hash.crc32(readFileSync(join(directory, path)))]),
      ),
      whole: !existsSync(join(own, "catalogue.db-wal")),
    };
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

const block = 512;

function readTar(path: string): Facts {
  const archive = readFileSync(path);
  const frames: FrameFact[] = [];
  const gaps: GapFact[] = [];
  const ends: EndFact[] = [];
  const contents = new Map<string, number>();
  let records = new Map<string, string>();
  let whole = false;
  for (let at = 0; at + block <= archive.length;) {
    const head = archive.subarray(at, at + block);
    if (head.every((byte) => byte === 0)) {
      whole = at + 2 * block === archive.length && archive.subarray(at).every((byte) => byte === 0);
      break;
    }
    const text = (from: number, length: number): string =>
      head.toString("utf8", from, from + length).replace(/\0.*$/s, "");
    const bytes = Number(records.get("size") ?? Number.parseInt(text(124, 12), 8));
    const data = archive.subarray(at + block, at + block + bytes);
    if (data.length < bytes || text(257, 5) !== "ustar") break;
    at += block + Math.ceil(bytes / block) * block;
    if (text(156, 1) === "x") {
      records = paxRecords(data);
      continue;
    }
    const member = records.get("path") ?? text(0, 100);
    const facts = JSON.parse(records.get("comment") ?? "{}") as FrameFact;
    records = new Map();
    if (member.startsWith(".framepipe/")) {
      for (const line of data.toString("utf8").trimEnd().split("\n")) {
        const fact = JSON.parse(line) as GapFact & EndFact & { firstSequence: number };
        if (member.startsWith(".framepipe/gaps/")) gaps.push({ ...fact, first: fact.firstSequence });
        else ends.push(fact);
      }
    } else {
      frames.push({ ...facts, path: member, bytes });
      contents.set(member, Bun.hash.crc32(data));
    }
  }
  return { frames, gaps, ends, contents, whole };
}

/** `LENGTH KEY=VALUE\n`, one after the other. */
function paxRecords(data: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < data.length;) {
    const length = Number.parseInt(data.toString("latin1", at, at + 20), 10);
    const record = data.toString("utf8", data.indexOf(" ", at) + 1, at + length - 1);
    records.set(record.slice(0, record.indexOf("=")), record.slice(record.indexOf("=") + 1));
    at += length;
  }
  return records;
}

function readMcap(path: string): Facts {
  const frames: FrameFact[] = [];
  const gaps: GapFact[] = [];
  const ends: EndFact[] = [];
  const contents = new Map<string, number>();
  const topics = new Map<number, string>();
  const reader = new McapStreamReader();
  reader.append(readFileSync(path));
  // The message that is directly before a fact is the frame itself, and its bytes end the message.
  let picture = new Uint8Array();
  try {
    for (let record = reader.nextRecord(); record !== undefined; record = reader.nextRecord()) {
      if (record.type === "Channel") topics.set(record.id, record.topic);
      if (record.type !== "Message") continue;
      const topic = topics.get(record.channelId);
      const fact = (): never => JSON.parse(new TextDecoder().decode(record.data)) as never;
      if (topic === "/framepipe/gaps") {
        const gap = fact() as GapFact & { first_sequence: number };
        gaps.push({ ...gap, first: gap.first_sequence });
      } else if (topic === "/framepipe/ends") ends.push(fact());
      else if (topic === "/framepipe/frames") {
        const frame = fact() as FrameFact;
        frames.push(frame);
        contents.set(frame.path, Bun.hash.crc32(picture.subarray(picture.length - frame.bytes)));
      } else picture = new Uint8Array(record.data);
    }
  } catch {
    // Cut off in the middle of a record.
  }
  return { frames, gaps, ends, contents, whole: reader.done() };
}

export interface SourceSummary {
  readonly device: string;
  readonly source: string;
  readonly frames: number;
  readonly conflicts: number;
  /** All that were ever recorded, with those of which the frame has come since. */
  readonly gaps: readonly { reason: string; name: string; count: number }[];
  /** In the order of their first frame, gap or end. `end`: what the sender counted; null: it was cut off. */
  readonly sessions: readonly { frames: number; gaps: number; end: Omit<EndFact, keyof Key> | null }[];
}

interface Key {
  readonly device: string;
  readonly source: string;
  readonly session: string;
}

/** The numbers of each source, in order of device and source. */
export function summarize({ frames, gaps, ends }: Facts): SourceSummary[] {
  const every: Key[] = [...frames, ...gaps, ...ends];
  const keys = [...new Set(every.map(({ device, source }) => JSON.stringify([device, source])))].toSorted();
  return keys.map((key) => {
    const [device, source] = JSON.parse(key) as [string, string];
    const ours = <Item extends Key>(items: readonly Item[]): Item[] =>
      items.filter((item) => item.device === device && item.source === source);
    const sessions = [...new Set(ours(every).map(({ session }) => session))];
    return {
      device,
      source,
      frames: ours(frames).length,
      conflicts: ours(frames).filter(({ number }) => number > 1).length,
      gaps: ours(gaps).map(({ reason, name, count }) => ({ reason, name, count })),
      sessions: sessions.map((session) => {
        const of = <Item extends Key>(items: readonly Item[]): Item[] =>
          ours(items).filter((item) => item.session === session);
        const [end] = of(ends).slice(-1);
        return {
          frames: of(frames).length,
          gaps: of(gaps).reduce((sum, { count }) => sum + count, 0),
          end:
            end === undefined
              ? null
              : {
                  frames: end.frames,
                  stored: end.stored,
                  already: end.already,
                  conflicts: end.conflicts,
                  refused: end.refused,
                  skipped: end.skipped,
                },
        };
      }),
    };
  });
}
