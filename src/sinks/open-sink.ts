/** From `--out DEST` to a sink: the only list of them. */
import { UserError } from "../errors.ts";
import type { Clock, Sink } from "../ports.ts";
import type { SyncMode } from "./directory/catalogue.ts";
import { DirectorySink } from "./directory/directory-sink.ts";
import { nodeDisk } from "./directory/disk.ts";
import { Layout, layoutDefault } from "./directory/layout.ts";
import { openSqliteCatalogue } from "./directory/sqlite-catalogue.ts";
import { NullSink } from "./null-sink.ts";

export interface OpenSinkOptions {
  /** `--layout`; undefined: the default. */
  readonly layout: string | undefined;
  readonly sync: SyncMode;
  readonly frameBytesMax: number;
  readonly minFreeBytes: number;
}

const clock: Pick<Clock, "nowMs" | "wallNs"> = {
  nowMs: () => performance.now(),
  wallNs: () => BigInt(Date.now()) * 1_000_000n,
};

/** Throws UserError for a destination that cannot be, or cannot be used. */
export function openSink(destination: string, options: OpenSinkOptions): Sink {
  const later = kindForLater(destination);
  if (later !== undefined) {
    throw new UserError(`--out ${destination}: ${later} is not supported yet by this version`, [
      "give a directory, or /dev/null to count and discard",
    ]);
  }
  // A layout that cannot work is said whatever the destination.
  const layout = new Layout(options.layout ?? layoutDefault);
  if (destination === "/dev/null") return new NullSink(options);
  const { sync, frameBytesMax, minFreeBytes } = options;
  return new DirectorySink({
    directory: destination,
    layout,
    sync,
    frameBytesMax,
    minFreeBytes,
    clock,
    disk: nodeDisk,
    openCatalogue: openSqliteCatalogue,
  });
}

/** What a destination of another kind is called; undefined for a directory and `/dev/null`. */
function kindForLater(destination: string): string | undefined {
  if (destination === "-" || destination === "/dev/stdout") return "standard output";
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(destination)) return "an address";
  const extension = /\.(?:tar|mcap)$/i.exec(destination)?.[0];
  return extension === undefined ? undefined : `a file (${extension.toLowerCase()})`;
}
