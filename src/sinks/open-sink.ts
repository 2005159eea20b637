/** From `--out DEST` to a sink: the only list of them. */
import { UserError } from "../errors.ts";
import type { Clock, Sink } from "../ports.ts";
import { openNodeArchiveFile } from "./archive-file.ts";
import type { SyncMode } from "./directory/catalogue.ts";
import { DirectorySink } from "./directory/directory-sink.ts";
import { nodeDisk } from "./directory/disk.ts";
import { Layout, layoutDefault } from "./directory/layout.ts";
import { openSqliteCatalogue } from "./directory/sqlite-catalogue.ts";
import { FanOutSink } from "./fan-out-sink.ts";
import { openMcapSink } from "./mcap/mcap-sink.ts";
import { NullSink } from "./null-sink.ts";
import { openStdoutSink } from "./stdout-sink.ts";
import { openTarSink } from "./tar/tar-sink.ts";

export interface OpenSinkOptions {
  /** `--layout`; undefined: the default. */
  readonly layout: string | undefined;
  readonly sync: SyncMode;
  readonly frameBytesMax: number;
  readonly minFreeBytes: number;
  /** The reader of standard output has gone: the receiver should stop. */
  readonly onClosed: () => void;
}

const clock: Pick<Clock, "nowMs" | "wallNs"> = {
  nowMs: () => performance.now(),
  wallNs: () => BigInt(Date.now()) * 1_000_000n,
};

/** One sink for all destinations. Throws UserError for one that cannot be, or cannot be used; then none is open. */
export function openSinks(destinations: readonly string[], options: OpenSinkOptions): Sink {
  const twice = destinations.find((destination, index) => destinations.indexOf(destination) < index);
  if (twice !== undefined) throw new UserError(`--out ${twice} is given twice`, ["name each destination once"]);
  const sinks: Sink[] = [];
  try {
    for (const destination of destinations) sinks.push(openSink(destination, options));
  } catch (error) {
    for (const sink of sinks) sink.dispose();
    throw error;
  }
  const [first] = sinks;
  return first !== undefined && sinks.length === 1 ? first : new FanOutSink(sinks);
}

/** Throws UserError for a destination that cannot be, or cannot be used. */
export function openSink(destination: string, options: OpenSinkOptions): Sink {
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(destination)) {
    throw new UserError(`--out ${destination}: an address is not supported yet by this version`, [
      "give a directory, a .tar or .mcap file, - for standard output, or /dev/null to count and discard",
    ]);
  }
  // A layout that cannot work is said whatever the destination.
  const layout = new Layout(options.layout ?? layoutDefault);
  const { sync, frameBytesMax, minFreeBytes, onClosed } = options;
  if (destination === "/dev/null") return new NullSink(options);
  if (destination === "-" || destination === "/dev/stdout") {
    return openStdoutSink({ descriptor: 1, frameBytesMax, onClosed, clock });
  }
  const shared = { layout, sync, frameBytesMax, minFreeBytes, clock };
  const file = { ...shared, path: destination, openFile: openNodeArchiveFile };
  if (/\.tar$/i.test(destination)) return openTarSink(file);
  if (/\.mcap$/i.test(destination)) return openMcapSink(file);
  return new DirectorySink({
    ...shared,
    directory: destination,
    disk: nodeDisk,
    openCatalogue: openSqliteCatalogue,
  });
}
