/** Twins in case on a file system that folds it, and none on one that does not. */
import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Disk, nodeDisk } from "../../../src/system/file-system.ts";
import { Layout } from "../../../src/sinks/store/layout.ts";
import { commit, frameOf, lookupNow, type Result, stage } from "../suite.ts";
import { DirectoryPlace } from "./directory-place.ts";

const places: DirectoryPlace[] = [];
afterEach(() => {
  for (const place of places.splice(0)) place.remove();
});

/** The path that a file system which folds case has for `path`: what is there keeps the case it was made with. */
function folded(path: string): string {
  let found = "";
  for (const segment of path.split("/").slice(1)) {
    let names: string[] = [];
    try {
      names = readdirSync(found === "" ? "/" : found);
    } catch {}
    const same =
      names.find((name) => name === segment) ?? names.find((name) => name.toLowerCase() === segment.toLowerCase());
    found += `/${same ?? segment}`;
  }
  return found;
}

const folding: Disk = {
  ...nodeDisk,
  look: (path) => nodeDisk.look(folded(path)),
  identity: (path) => nodeDisk.identity(folded(path)),
  renameNew: (from, to) => nodeDisk.renameNew(from, folded(to)),
  checksum: (path) => nodeDisk.checksum(folded(path)),
};

async function storeAll(disk: Disk, names: readonly string[]): Promise<[Result[], string[]]> {
  const place = new DirectoryPlace({ disk });
  places.push(place);
  const sink = place.open();
  const results: Result[] = [];
  for (const name of names) stage(sink, frameOf(name, name.toLowerCase()), name.toLowerCase(), results);
  expect(await commit(sink)).toBeUndefined();
  sink.dispose();
  return [results, readdirSync(join(place.directory, "rig/visible")).toSorted()];
}

test("a twin is refused, and neither taken for the first nor numbered", async () => {
  expect(await storeAll(folding, ["a.jpg", "A.jpg", "b.jpg"])).toEqual([
    ["stored", "name", "stored"],
    ["a.jpg", "b.jpg"],
  ]);
});

test("elsewhere both are stored", async () => {
  expect(await storeAll(nodeDisk, ["a.jpg", "A.jpg", "aux", "a:b", "dot.", "space "])).toEqual([
    ["stored", "stored", "stored", "stored", "stored", "stored"],
    ["A.jpg", "a.jpg", "a:b", "aux", "dot.", "space "],
  ]);
});

test("a folder's twin is refused", () => {
  const place = new DirectoryPlace({ disk: folding });
  places.push(place);
  const sink = place.open();
  expect(typeof sink.open(frameOf("day/1.jpg", "one"))).toBe("object");
  expect(sink.open(frameOf("Day/2.jpg", "two"))).toBe("name");
  sink.dispose();
});

describe("the longest names", () => {
  const longest = `${`${"n".repeat(203)}/`.repeat(5)}last`;
  expect(Buffer.byteLength(longest)).toBe(1024);

  test("are stored, and numbered", async () => {
    const place = new DirectoryPlace();
    places.push(place);
    const sink = place.open();
    const results: Result[] = [];
    for (const content of ["one", "three"]) {
      const frame = frameOf(longest, content);
      expect(lookupNow(sink, frame.origin, [frame])).toEqual([{ kind: "want" }]);
      stage(sink, frame, content, results);
      expect(await commit(sink)).toBeUndefined();
    }
    expect(results).toEqual(["stored", "conflict"]);
    const folder = dirname(join(place.directory, "rig/visible", longest));
    expect(readdirSync(folder).toSorted()).toEqual(["last", "last~2"]);
    sink.dispose();
  });

  test("are refused when they are offered, where the layout makes them too long", () => {
    const place = new DirectoryPlace({ layout: new Layout("{device}/{name}/{name}") });
    places.push(place);
    const sink = place.open();
    const entries = [frameOf(longest, "x"), frameOf("1.jpg", "x")];
    expect(lookupNow(sink, frameOf("1.jpg", "x").origin, entries)).toEqual([
      { kind: "refuse", reason: "name" },
      { kind: "want" },
    ]);
    sink.dispose();
  });
});
