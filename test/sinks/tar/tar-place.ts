/** A real archive for the tar sink, looked at with the system's tar, and the levers that its tests pull. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ArchiveFile } from "../../../src/archive-formats/archive-file.ts";
import type { Sink } from "../../../src/ports.ts";
import { openNodeArchiveFile } from "../../../src/sinks/archive/archive-file.ts";
import { indexCacheBytesMax } from "../../../src/sinks/store/frame-index.ts";
import { gatheredBytesMax } from "../../../src/sinks/store/gathered-frame.ts";
import { Layout, layoutDefault } from "../../../src/sinks/store/layout.ts";
import type { StoreSinkOptions } from "../../../src/sinks/store/store-sink.ts";
import { openTarStore, type TarStoreOptions } from "../../../src/sinks/tar/tar-store.ts";
import { frameBytesMax, sinkOf, type SinkPlace } from "../suite.ts";

/** Changes what an archive file does. */
export type Meddle = (file: ArchiveFile) => Partial<ArchiveFile>;

/** Of the store and of its sink. */
export type TarOptions = Partial<TarStoreOptions & StoreSinkOptions>;

export class TarPlace implements SinkPlace {
  readonly parent: string = mkdtempSync(join(tmpdir(), "framepipe-"));
  readonly archive: string = join(this.parent, "day.tar");
  readonly #options: TarOptions;
  /** Virtual, so that nothing waits for healing and free space. */
  nowMs = 0;
  #broken = false;

  constructor(options: TarOptions = {}) {
    this.#options = options;
  }

  open(changes: TarOptions = {}, meddle: Meddle = () => ({})): Sink {
    const options = {
      path: this.archive,
      layout: new Layout(layoutDefault),
      sync: "batch" as const,
      frameBytesMax,
      minFreeBytes: 0,
      memoryBytesMax: gatheredBytesMax,
      cacheBytes: indexCacheBytesMax,
      openFile: (path: string, create: boolean) => this.#breakable(openNodeArchiveFile(path, create), meddle),
      clock: { nowMs: () => (this.nowMs += 1000), wallNs: () => 1_750_000_000_000_000_001n },
      ...this.#options,
      ...changes,
    };
    return sinkOf(openTarStore(options), options);
  }

  stored(): Map<string, string> {
    return new Map([...this.extracted()].filter(([path]) => !path.startsWith(".framepipe/")));
  }

  /** Of a set, in the order of their names. */
  get archives(): readonly string[] {
    return [this.archive];
  }

  /** Everything in the archives, by path. */
  extracted(): Map<string, string> {
    const dir = mkdtempSync(join(this.parent, "out-"));
    for (const archive of this.archives) tar(archive, "-x", "-C", dir);
    const files = readdirSync(dir, { recursive: true, encoding: "utf8" }).filter((path) =>
      statSync(join(dir, path)).isFile(),
    );
    const contents = new Map(files.map((path) => [path, readFileSync(join(dir, path), "utf8")]));
    rmSync(dir, { recursive: true });
    return contents;
  }

  /** What tar says of the archive; it must not complain. */
  tar(...words: string[]): string {
    return tar(this.archive, ...words);
  }

  /** Lines of gaps or ends. */
  lines(what: "gaps" | "stretches" | "ends"): unknown[] {
    return [...this.extracted()]
      .filter(([path]) => path.startsWith(`.framepipe/${what}/`))
      .flatMap(([, text]) => text.trimEnd().split("\n"))
      .map((line): unknown => JSON.parse(line));
  }

  breakCommits(broken: boolean): void {
    this.#broken = broken;
  }

  recordedGaps(): number {
    return this.lines("gaps").length;
  }

  recordedStretches(): number {
    return this.lines("stretches").length;
  }

  recordedEnds(): number {
    return this.lines("ends").length;
  }

  /** Names beside the archive, without those of this place itself. */
  litter(): string[] {
    return readdirSync(this.parent).filter((name) => name !== "day.tar");
  }

  remove(): void {
    rmSync(this.parent, { recursive: true, force: true });
  }

  #breakable(file: ArchiveFile, meddle: Meddle): ArchiveFile {
    const refuse = (): void => {
      if (this.#broken) throw Object.assign(new Error("broken for a test"), { code: "ENOSPC" });
    };
    return {
      path: file.path,
      identity: file.identity,
      bytes: file.bytes,
      read: (into, position) => file.read(into, position),
      // The first half fits.
      write: (views, position) => {
        file.write(this.#broken ? views.slice(0, views.length / 2) : views, position);
        refuse();
      },
      probe: (bytes, position) => {
        refuse();
        file.probe(bytes, position);
      },
      resize: (bytes) => file.resize(bytes),
      sync: () => file.sync(),
      syncNow: () => file.syncNow(),
      look: () => file.look(),
      size: () => file.size(),
      freeBytes: () => file.freeBytes(),
      close: () => file.close(),
      ...meddle(file),
    };
  }
}

function tar(archive: string, ...words: string[]): string {
  const result = Bun.spawnSync(["tar", "-f", archive, ...words], { env: { LC_ALL: "C.UTF-8", TZ: "UTC" } });
  if (!result.success || result.stderr.length > 0) throw new Error(`tar ${words.join(" ")}: ${String(result.stderr)}`);
  return result.stdout.toString();
}
