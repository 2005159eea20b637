/** An MCAP file as `--verify` reads it. */
import { channelIds } from "../../archive-formats/mcap/format.ts";
import { isStart, startBytes } from "../../archive-formats/mcap/records.ts";
import { hasLaterGroup, readArchive } from "../../archive-formats/mcap/scan.ts";
import { ExitStatus, UserError } from "../../errors.ts";
import type { GapReason, Origin, SourceTotals } from "../../frame.ts";
import type { ArchiveEntry, ReadableFile } from "../archive/verify-archives.ts";

export function* readMcapArchive(path: string, file: ReadableFile): Generator<ArchiveEntry, number | undefined> {
  const start = new Uint8Array(Math.min(startBytes, file.bytes));
  file.read(start, 0);
  if (!isStart(start)) {
    const hints = ["it is verified by whoever wrote it"];
    throw new UserError(`${path} is not an MCAP file that framepipe has begun`, hints, ExitStatus.failure);
  }
  const entries = readArchive(file, "counts");
  for (;;) {
    const next = entries.next();
    if (next.done === true) {
      const { id, misnamed, tail } = next.value;
      return misnamed || hasLaterGroup(file, tail.bytes, id) ? tail.bytes : undefined;
    }
    const entry = next.value;
    if (entry.kind === "frame") yield entry;
    else if (entry.kind === "note") yield* noteOf(entry.channelId, entry.json);
  }
}

interface Told extends Origin, SourceTotals {
  readonly already?: number;
  readonly first_sequence: number;
  readonly count: number;
  readonly reason: GapReason | "stretch";
  readonly name: string;
  readonly detail: string;
}

function* noteOf(channelId: number, json: string): Generator<ArchiveEntry> {
  const told = JSON.parse(json) as Told;
  const { device, source, session, first_sequence: firstSequence, count, reason, name, detail } = told;
  const origin = { device, source, session };
  if (channelId === channelIds.ends) {
    // Files of version 0.1.0 have another word.
    yield { kind: "end", origin, totals: { ...told, duplicates: told.duplicates ?? told.already ?? 0 } };
  } else if (reason !== "stretch") yield { kind: "gap", gap: { origin, firstSequence, count, reason, name, detail } };
}
