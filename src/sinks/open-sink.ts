/** From `--out DEST` to a sink: the only list of them. */
import { realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { assert, UserError } from "../errors.ts";
import type { DestinationEvent, ViewEvent } from "../events.ts";
import type { Clock, Sink } from "../ports.ts";
import { nodeDisk } from "../system/file-system.ts";
import { openNodeArchiveFile } from "./archive/archive-file.ts";
import { DirectoryBacklog } from "./directory/backlog.ts";
import type { KeepRules } from "./directory/keeping.ts";
import { DirectoryStore } from "./directory/directory-store.ts";
import { Requests } from "./directory/requests.ts";
import { catalogueReaders, lockDirectory, lockedHint, openSqliteCatalogue } from "./directory/sqlite-catalogue.ts";
import { openStoredFile } from "./directory/stored-file.ts";
import { openMcapStore } from "./mcap/mcap-store.ts";
import { NullStore } from "./null/null-store.ts";
import { type Environment, isAddress, openRemoteStore } from "./open-remote.ts";
import { openStdoutStore } from "./stdout/stdout-store.ts";
import { FanOutSink } from "./store/fan-out-sink.ts";
import { indexCacheBytesMax } from "./store/frame-index.ts";
import { gatheredBytesMax } from "./store/gathered-frame.ts";
import { Layout, layoutDefault } from "./store/layout.ts";
import { StoreSink } from "./store/store-sink.ts";
import type { Draft, Store } from "./store/store.ts";
import type { SyncMode } from "./store/sync-mode.ts";
import { View } from "./store/view.ts";
import { openTarStore } from "./tar/tar-store.ts";

export interface OpenSinkOptions {
  /** `--layout`; undefined: the default. */
  readonly layout: string | undefined;
  readonly sync: SyncMode;
  readonly frameBytesMax: number;
  readonly minFreeBytes: number;
  /** `--no-create`. */
  readonly mustExist: boolean;
  /** `--keep`, `--keep-size`; undefined: nothing is ever removed. */
  readonly keep?: KeepRules | undefined;
  readonly outputIsTerminal: boolean;
  /** The reader of standard output, which was the only destination, has gone: the receiver should stop. */
  readonly onClosed: () => void;
  readonly onEvent: (event: DestinationEvent | ViewEvent) => void;
  /** Of a gateway: what is handed on from the directory among the destinations. */
  readonly backlog?: DirectoryBacklog | undefined;
  /** Where stores on other machines are, and with whose rights. */
  readonly env: Environment;
}

const clock: Pick<Clock, "nowMs" | "wallNs"> = {
  nowMs: () => performance.now(),
  wallNs: () => BigInt(Date.now()) * 1_000_000n,
};

/** One sink for all destinations. Throws UserError for one that cannot be, or cannot be used; then none is open. */
export async function openSinks(destinations: readonly string[], options: OpenSinkOptions): Promise<Sink> {
  const identities = destinations.map(identityOf);
  const twice = destinations.find((_destination, index) => identities.indexOf(identities[index] ?? "") < index);
  if (twice !== undefined) throw new UserError(`--out ${twice} is given twice`, ["name each destination once"]);
  // What lies in a directory of frames is one of them, or a file that its catalogue does not know.
  const within = destinations.find((_destination, index) =>
    identities.some((outer) => identities[index]?.startsWith(`${outer}/`)),
  );
  if (within !== undefined) {
    throw new UserError(`--out ${within} is within another destination`, ["put them beside each other"]);
  }
  const sinks: Sink[] = [];
  const views: View[] = [];
  try {
    for (const destination of destinations) {
      // Beside another destination, what goes to a player is a view. There is one, since no destination is given twice.
      if (destinations.length > 1 && standardOutputs.has(destination)) {
        const onClosed = (): void => views[0]?.end("its reader has closed it");
        views.push(new View(openSink(destination, { ...options, onClosed }, destinations.length), options.onEvent));
      } else if (isAddress(destination)) {
        refuseKeeping(destination, options);
        const memoryBytesMax = gatheredBytesMax / destinations.length;
        const store = await openRemoteStore(destination, { ...options, memoryBytesMax });
        sinks.push(new StoreSink(store, { ...options, clock }));
      } else sinks.push(openSink(destination, options, destinations.length));
    }
  } catch (error) {
    for (const opened of [...sinks, ...views]) opened.dispose();
    throw error;
  }
  const [first] = sinks;
  return first !== undefined && destinations.length === 1 ? first : new FanOutSink(sinks, views);
}

/** The first of these that keeps frames as files, with a catalogue. */
export function directoryAmong(destinations: readonly string[]): string | undefined {
  const isOther = (destination: string): boolean =>
    isAddress(destination) || standardOutputs.has(destination) || /^\/dev\/|\.(?:tar|mcap)$/i.test(destination);
  return destinations.find((destination) => !isOther(destination));
}

const standardOutputs: ReadonlySet<string> = new Set(["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]);

/** What a destination is, by whatever name: links and `./` do not make it another one. */
function identityOf(destination: string): string {
  if (standardOutputs.has(destination)) return "-";
  if (isAddress(destination)) return destination.replace(/\/+$/, "");
  const path = resolve(destination);
  for (let [there, rest] = [path, ""]; ; [there, rest] = [dirname(there), join(basename(there), rest)]) {
    try {
      return join(realpathSync(there), rest);
    } catch {
      // It is to be made; what is above it may be there.
      if (there === dirname(there)) return path;
    }
  }
}

/** Throws UserError where frames were to be removed and cannot be. */
function refuseKeeping(destination: string, { keep }: OpenSinkOptions): void {
  if (keep === undefined || !(isAddress(destination) || /\.(?:tar|mcap)$/i.test(destination))) return;
  throw new UserError(`--out ${destination}: only from a directory can frames be removed`, [
    "leave out --keep and --keep-size, or give a directory",
  ]);
}

/**
 * One of `sinkCount` sinks, which share the memory that a receiver may take. Throws UserError for a destination that
 * cannot be, or cannot be used.
 */
export function openSink(destination: string, options: OpenSinkOptions, sinkCount = 1): Sink {
  refuseKeeping(destination, options);
  // A layout that cannot work is said whatever the destination.
  const layout = new Layout(options.layout ?? layoutDefault);
  return new StoreSink(openStore(destination, layout, options, sinkCount), { ...options, clock });
}

function openStore(destination: string, layout: Layout, options: OpenSinkOptions, sinkCount: number): Store<Draft> {
  const { sync, frameBytesMax, minFreeBytes, mustExist, outputIsTerminal: isTerminal, onClosed, onEvent } = options;
  if (destination === "/dev/null") return new NullStore();
  const memory = { memoryBytesMax: gatheredBytesMax / sinkCount, cacheBytes: indexCacheBytesMax / sinkCount };
  if (standardOutputs.has(destination)) {
    return openStdoutStore({ ...memory, descriptor: 1, isTerminal, minFreeBytes, onClosed, clock });
  }
  const shared = { layout, sync, minFreeBytes, mustExist, clock, onEvent };
  const file = { ...shared, ...memory, path: destination, openFile: openNodeArchiveFile };
  if (/\.tar$/i.test(destination)) return openTarStore(file);
  if (/\.mcap$/i.test(destination)) return openMcapStore({ ...file, frameBytesMax });
  return new DirectoryStore({
    ...shared,
    directory: destination,
    disk: nodeDisk,
    takeLock: lockDirectory,
    openCatalogue: openSqliteCatalogue,
    requests: new Requests(destination),
    readersOf: catalogueReaders,
    lockedHint,
    keep: options.keep,
    backlog: options.backlog,
  });
}

/** For a gateway: of the directory among its destinations, for `openSinks`. */
export function directoryBacklog(destinations: readonly string[], after: Clock["after"]): DirectoryBacklog {
  const directory = directoryAmong(destinations);
  assert(directory !== undefined, "a gateway has a directory");
  return new DirectoryBacklog({
    clock: { after, wallNs: clock.wallNs },
    openFile: (path, bytes) => openStoredFile(directory, path, bytes),
  });
}
