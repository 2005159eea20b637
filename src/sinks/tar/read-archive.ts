/** A tar archive as `--verify` reads it. */
import { isOurTar, readTar } from "../../archive-formats/tar/scan.ts";
import { ExitStatus, UserError } from "../../errors.ts";
import type { Origin, SourceTotals } from "../../frame.ts";
import type { ArchiveEntry, ReadableFile, ToldGap } from "../archive/verify-archives.ts";

export function* readTarArchive(path: string, file: ReadableFile): Generator<ArchiveEntry, number | undefined> {
  if (!isOurTar(file)) {
    const hints = ["it is verified by whoever wrote it"];
    throw new UserError(`${path} is not an archive that framepipe has begun`, hints, ExitStatus.failure);
  }
  const entries = readTar(path, file, "counts");
  for (;;) {
    const next = entries.next();
    if (next.done === true) return next.value.isDamaged ? next.value.end : undefined;
    const entry = next.value;
    if (entry.kind === "lines") yield* linesOf(entry.path, textAt(file, entry.at, entry.bytes));
    else if (entry.held.frame.origin.device !== "") yield entry;
    else yield { kind: "stranger", path: entry.held.path };
  }
}

function textAt(file: ReadableFile, at: number, bytes: number): string {
  const view = new Uint8Array(bytes);
  return Buffer.from(view.subarray(0, file.read(view, at))).toString();
}

function* linesOf(path: string, text: string): Generator<ArchiveEntry> {
  const [, what] = path.split("/");
  if (what !== "gaps" && what !== "ends") return;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const { device, source, session, ...told } = JSON.parse(line) as Origin &
      ToldGap &
      SourceTotals & { already?: number };
    const origin = { device, source, session };
    if (what === "gaps") yield { kind: "gap", gap: { ...told, origin } };
    // Archives of version 0.1.0 have another word.
    else yield { kind: "end", origin, totals: { ...told, duplicates: told.duplicates ?? told.already ?? 0 } };
  }
}
