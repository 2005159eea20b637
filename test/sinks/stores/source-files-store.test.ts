import { afterEach, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ask, commit, frameOf, session, sinkOf, type SinkPlace, sinkSuite, someGap, stage, store } from "../suite.ts";
import { fileNameOf, type FileRecord, recordsOf, SourceFilesStore } from "./source-files-store.ts";

class SourceFilesPlace implements SinkPlace {
  readonly directory: string = mkdtempSync(join(tmpdir(), "framepipe-"));
  #broken = false;

  open() {
    const refuse = (): void => {
      if (this.#broken) throw Object.assign(new Error("broken for a test"), { code: "ENOSPC" });
    };
    class Breakable extends SourceFilesStore {
      protected override sync(handle: number): void {
        refuse();
        super.sync(handle);
      }
    }
    return sinkOf(new Breakable(this.directory));
  }

  #records(): FileRecord[] {
    return readdirSync(this.directory).flatMap((name) => [...recordsOf(readFileSync(join(this.directory, name)))]);
  }

  stored(): Map<string, string> {
    return new Map(
      this.#records().flatMap(({ held, bytes }) =>
        held === undefined || bytes === undefined ? [] : [[held.path, Buffer.from(bytes).toString()]],
      ),
    );
  }

  breakCommits(broken: boolean): void {
    this.#broken = broken;
  }

  recordedGaps(): number {
    return this.#records().filter(({ note }) => note === "gap").length;
  }

  recordedStretches(): number {
    return this.#records().filter(({ note }) => note === "stretch").length;
  }

  recordedEnds(): number {
    return this.#records().filter(({ note }) => note === "end").length;
  }

  remove(): void {
    rmSync(this.directory, { recursive: true });
  }
}

sinkSuite("one file for each source", true, () => new SourceFilesPlace());

let place: SourceFilesPlace | undefined;
afterEach(() => {
  place?.remove();
  place = undefined;
});

test("a torn tail is cut off, wherever it is torn, and what it had is stored again", async () => {
  const tearing = (place = new SourceFilesPlace());
  const first = tearing.open();
  await store(first, frameOf("1.jpg", "one"), "one");
  const path = join(tearing.directory, fileNameOf(frameOf("1.jpg", "one").origin));
  const wholeBytes = statSync(path).size;
  stage(first, frameOf("2.jpg", "two"), "two");
  first.gap(someGap, () => {});
  await commit(first);
  const whole = readFileSync(path);
  first.dispose();
  const entries = [frameOf("1.jpg", "one"), frameOf("2.jpg", "two")];
  for (let bytes = wholeBytes; bytes <= whole.byteLength; bytes += 1) {
    truncateSync(path, 0);
    // Of what was not flushed, some is there and some is zeros.
    appendFileSync(path, Buffer.concat([whole.subarray(0, bytes), Buffer.alloc(bytes % 3)]));
    const sink = tearing.open();
    expect(readFileSync(path)).toEqual(whole.subarray(0, statSync(path).size));
    const verdicts = await ask(sink, { device: "rig", source: "visible", session }, entries);
    expect(verdicts.map(({ kind }) => kind)).toEqual(["have", verdicts[1]?.kind === "have" ? "have" : "want"]);
    expect(await store(sink, frameOf("2.jpg", "two"), "two")).toBe("stored");
    expect(Object.fromEntries(tearing.stored())).toEqual({ "rig/visible/1.jpg": "one", "rig/visible/2.jpg": "two" });
    sink.dispose();
  }
  expect(tearing.recordedGaps()).toBe(1);
});
