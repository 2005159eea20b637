/** From the name of an archive to what `--verify` reads it with. */
import { verifyArchives, type VerifyArchivesOptions } from "./archive/verify-archives.ts";
import { readMcapArchive } from "./mcap/read-archive.ts";
import type { VerifyReport } from "./store/findings.ts";
import { readTarArchive } from "./tar/read-archive.ts";

export function archiveCheck(place: string): (options: VerifyArchivesOptions) => Promise<VerifyReport> {
  const read = /\.tar$/i.test(place) ? readTarArchive : readMcapArchive;
  return (options) => verifyArchives(read, options);
}
