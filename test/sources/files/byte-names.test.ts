/** Files whose names are no text, in both kinds of directories: found, read, removed and set aside by their bytes. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync } from "node:fs";
import { unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FrameEntry } from "../../../src/frame.ts";
import type { Listed, Source } from "../../../src/ports.ts";
import { DirectorySource } from "../../../src/sources/directory/directory-source.ts";
import { escapedName } from "../../../src/sources/files/escaped-names.ts";
import { FrameFiles, type FrameFilesOptions, type SourceProblem } from "../../../src/sources/files/frame-files.ts";
import { LinkTargets, ledToRemoved, noteRemoved } from "../../../src/sources/files/link-targets.ts";
import { giveBack, nameBefore, setAside } from "../../../src/sources/files/set-aside.ts";
import { WatchedDirectory } from "../../../src/sources/watch/watched-directory.ts";
import { systemClock } from "../../../src/system/system-clock.ts";
import { SimClock } from "../../simulation/sim-clock.ts";
import { jpegOf } from "./pictures.ts";

let root = "";
let problems: SourceProblem[] = [];
let watched: WatchedDirectory | undefined;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-"));
  problems = [];
});
afterEach(() => {
  watched?.dispose();
  watched = undefined;
  rmSync(root, { recursive: true, force: true });
});

/** One character for each byte. */
function at(name: string): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, "latin1")]);
}

function put(name: string, bytes: string | Uint8Array = jpegOf(name)): void {
  writeFileSync(at(name), bytes);
}

/** A file system that takes only Unicode has no such files. */
function takesBytes(): boolean {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-"));
  try {
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xff])]), "");
    return readdirSync(folder, { encoding: "buffer" })[0]?.equals(Buffer.from([0xff])) === true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const options = (): FrameFilesOptions => ({
  name: "visible",
  root,
  onProblem: (problem) => void problems.push(problem),
});

function frameOf(listed: Listed | undefined): FrameEntry {
  if (listed === undefined || "failure" in listed) throw new Error(`no frame: ${JSON.stringify(listed)}`);
  return listed;
}

/** All that is listed, by name; each is read, and settled as stored. */
function takeAll(source: Source, listed: readonly Listed[]): Record<string, string> {
  const contents: Record<string, string> = {};
  for (const one of listed) {
    const entry = frameOf(one);
    const frame = source.open(entry);
    const bytes = Buffer.alloc(frame.bytes);
    frame.read(bytes);
    frame.close();
    contents[entry.name] = bytes.toString("latin1");
    source.settled(entry, "stored", Bun.hash.crc32(bytes));
  }
  return contents;
}

function contentOf(...names: string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [escapedName(Buffer.from(name, "latin1")), content(name)]));
}

function content(name: string): string {
  return jpegOf(name).toString("latin1");
}

async function until(holds: () => boolean): Promise<void> {
  const startMs = performance.now();
  while (!holds()) {
    if (performance.now() - startMs > 10_000) throw new Error("it did not happen");
    await Bun.sleep(2);
  }
}

/** Two that a lenient reader takes for one, one that says what an escape of another would say, and a folder. */
const names = ["caf\xe9.jpg", "caf\xe8.jpg", "caf%E9.jpg", "a\\b.jpg", "f\xffr/1.jpg", "f\xffr/2\xff.jpg"];

describe.skipIf(!takesBytes())("names that are no text", () => {
  beforeEach(() => {
    mkdirSync(at("f\xffr"));
    for (const name of names) put(name);
  });

  test("a directory: each is a frame of its own, read and removed", () => {
    const source = new DirectorySource({ ...options(), clock: new SimClock(), deleteSent: true });
    expect(takeAll(source, (source.list(100) ?? []) as Listed[])).toEqual(contentOf(...names));
    expect(readdirSync(root, { recursive: true, encoding: "buffer" })).toEqual([Buffer.from("f\xffr", "latin1")]);
    expect(problems).toMatchObject([
      { reason: "escaped", path: `${root}/a\\b.jpg`, detail: expect.stringContaining("sent as a%5Cb.jpg") },
    ]);
  });

  test("a watched directory: those that are there, and those that come, are renamed, and go", async () => {
    const source = new WatchedDirectory({ ...options(), clock: systemClock, deleteSent: true });
    watched = source;
    const contents: Record<string, string> = {};
    const live = new Set<string>();
    source.onReady = () => {
      const listed = source.list(100);
      for (const one of listed) if ("live" in one) live.add(one.name);
      Object.assign(contents, takeAll(source, listed));
    };
    source.list(0);
    await until(() => Object.keys(contents).length === names.length);
    expect(contents).toEqual(contentOf(...names));
    // One is written where one was removed, one is renamed, one comes with a folder that is new.
    put(names[0] as string, jpegOf("another"));
    put("new", jpegOf("f\xffr/renamed\xe9.jpg"));
    renameSync(at("new"), at("f\xffr/renamed\xe9.jpg"));
    mkdirSync(at("n\xe9w"));
    put("n\xe9w/1.jpg");
    await until(
      () => Object.keys(contents).length === names.length + 2 && contents["caf%E9.jpg"] === content("another"),
    );
    expect(contents).toEqual({
      ...contentOf(...names, "f\xffr/renamed\xe9.jpg", "n\xe9w/1.jpg"),
      "caf%E9.jpg": content("another"),
    });
    // Events told of them, and no look through the folders.
    expect([...live].toSorted()).toEqual(["caf%E9.jpg", "f%FFr/renamed%E9.jpg"]);
    expect(readdirSync(root)).toHaveLength(2);
  });

  test("patterns are compared with the names that files have", () => {
    const files = new FrameFiles({ ...options(), include: ["caf%E9.*", "a\\\\b.jpg"], exclude: ["f\ufffdr/*"] });
    const matching = names
      .map((name) => escapedName(Buffer.from(name, "latin1")))
      .filter((name) => files.matches(name, name));
    expect(matching).toEqual(["caf%25E9.jpg", "a%5Cb.jpg"]);
  });

  test("what a crash left set aside has its bytes again", () => {
    const files = new FrameFiles(options());
    const name = "f%FFr/2%FF.jpg";
    const aside = setAside(files, name);
    expect(() => statSync(at("f\xffr/2\xff.jpg"))).toThrow();
    expect(nameBefore(aside.slice("f%FFr/".length))).toBe("2%FF.jpg");
    expect(files.names("f%FFr/").names.toSorted()).toEqual(["1.jpg", "2%FF.jpg"]);
    expect(readFileSync(at("f\xffr/2\xff.jpg")).toString("latin1")).toBe(content("f\xffr/2\xff.jpg"));
    const again = setAside(files, name);
    put("f\xffr/2\xff.jpg", "new");
    expect(giveBack(files, again, name)).toBe("f%FFr/2%FF-1.jpg");
    expect(readFileSync(at("f\xffr/2\xff-1.jpg")).toString("latin1")).toBe(content("f\xffr/2\xff.jpg"));
  });

  test("a link that leads to a removed one is known", () => {
    symlinkSync(at("f\xffr/1.jpg"), at("l\xffnk"));
    symlinkSync(Buffer.from("l\xffnk", "latin1"), at("second.jpg"));
    const links = new LinkTargets();
    unlinkSync(at("f\xffr/1.jpg"));
    expect(ledToRemoved(join(root, "second.jpg"))).toBe(false);
    noteRemoved(at("f\xffr/1.jpg"));
    expect([ledToRemoved(join(root, "second.jpg")), ledToRemoved(at("l\xffnk"))]).toEqual([true, true]);
    links.clear();
  });

  test("one that becomes too long is named as it is", () => {
    const long = "\xff".repeat(86);
    put(long, "");
    const found = new FrameFiles(options()).look("%FF".repeat(86), "%FF".repeat(86));
    expect(found).toMatchObject({
      kind: "failure",
      gone: false,
      failure: {
        name: "",
        detail: expect.stringMatching(/^the file "(%FF){50}.*cannot keep its name: segment of 258 bytes/),
      },
    });
  });
});
