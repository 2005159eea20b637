/** Archives on a file system with a largest file: what is too large for it is told from what comes too late. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ArchiveFile } from "../../src/archive-formats/archive-file.ts";
import type { Sink } from "../../src/ports.ts";
import { openNodeArchiveFile } from "../../src/sinks/archive/archive-file.ts";
import { FrameGatherer } from "../../src/sinks/store/gathered-frame.ts";
import { McapPlace } from "./mcap/mcap-place.ts";
import { commit, frameOf, type Result, session, type SinkPlace, stage } from "./suite.ts";
import { TarPlace } from "./tar/tar-place.ts";

const tooLarge = (): Error => Object.assign(new Error("no"), { code: "EFBIG" });

/** Smaller than some frames, and than the archive becomes. */
const fileBytesMax = 30_000;

function limited(file: ArchiveFile): ArchiveFile {
  const { path, identity, bytes } = file;
  return {
    path,
    identity,
    bytes,
    read: (into, position) => file.read(into, position),
    write: (views, position) => {
      const written = views.reduce((sum, view) => sum + view.byteLength, 0);
      if (position + written > fileBytesMax) throw tooLarge();
      file.write(views, position);
    },
    probe: (size, position) => file.probe(size, position),
    resize: (size) => file.resize(size),
    sync: () => file.sync(),
    syncNow: () => file.syncNow(),
    look: () => file.look(),
    size: () => file.size(),
    freeBytes: () => file.freeBytes(),
    close: () => file.close(),
  };
}

const { stretch } = FrameGatherer.prototype;
const cleanUps: (() => void)[] = [];
afterEach(() => {
  FrameGatherer.prototype.stretch = stretch;
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

const kinds = { tar: TarPlace, mcap: McapPlace };

describe.each(["tar", "mcap"] as const)("%s", (kind) => {
  function open(): { sink: Sink; place: SinkPlace } {
    // Other files on its disk have the same limit.
    FrameGatherer.prototype.stretch = function (this: FrameGatherer, bytes): void {
      if (bytes > fileBytesMax) throw tooLarge();
      stretch.call(this, bytes);
    };
    const openFile = (path: string, create: boolean): ArchiveFile => limited(openNodeArchiveFile(path, create));
    const place = new kinds[kind]({ openFile, frameBytesMax: 1e6 });
    const sink = place.open();
    cleanUps.push(() => {
      sink.dispose();
      place.remove();
    });
    return { sink, place };
  }

  const infrared = { origin: { device: "rig", source: "infrared", session } };

  test("a frame that no file can hold is refused, the rest of its group is stored", async () => {
    const { sink, place } = open();
    const results: Result[] = [];
    const [small, large] = ["x".repeat(100), "x".repeat(fileBytesMax + 1)];
    stage(sink, frameOf("1.jpg", small), small, results);
    stage(sink, frameOf("2.jpg", large), large, results);
    stage(sink, frameOf("3.jpg", small), small, results);
    expect(await commit(sink)).toBeUndefined();
    expect(results).toEqual(["stored", expect.objectContaining({ scope: "frame", retryable: false }), "stored"]);
    expect(String(results[1])).toContain(`day.${kind}: 2.jpg: cannot store it: a file may not be so large`);
    sink.dispose();
    expect([...(await place.stored()).keys()]).toEqual(["rig/visible/1.jpg", "rig/visible/3.jpg"]);
  });

  test("a frame that only this archive has no room for holds its source, and smaller ones go on", async () => {
    const { sink } = open();
    const results: Result[] = [];
    const [small, half] = ["x".repeat(100), "x".repeat(fileBytesMax - 9_000)];
    stage(sink, frameOf("1.png", half, infrared), half, results);
    stage(sink, frameOf("2.png", half, infrared), half, results);
    stage(sink, frameOf("3.png", half, infrared), half, results);
    stage(sink, frameOf("1.jpg", small), small, results);
    expect(await commit(sink)).toBeUndefined();
    expect(results[0]).toBe("stored");
    expect(results[1]).toMatchObject({ scope: "source", retryable: true });
    expect(results[2]).toBe(results[1] as Result);
    expect(results[3]).toBe("stored");
    expect(sink.retry(frameOf("2.png", half, infrared))).toMatchObject({ scope: "source" });
  });
});
