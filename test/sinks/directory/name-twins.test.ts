/** Twins in case on a file system that folds it, and none on one that does not. */
import { afterEach, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { type Disk, nodeDisk } from "../../../src/system/file-system.ts";
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

test("a name that the layout makes too long is refused when it is offered", () => {
  const place = new DirectoryPlace();
  places.push(place);
  const sink = place.open();
  const longest = `${`${"n".repeat(203)}/`.repeat(5)}last`;
  expect(Buffer.byteLength(longest)).toBe(1024);
  const entries = [frameOf(longest, "x"), frameOf("1.jpg", "x")];
  expect(lookupNow(sink, frameOf("1.jpg", "x").origin, entries)).toEqual([
    { kind: "refuse", reason: "name" },
    { kind: "want" },
  ]);
  sink.dispose();
});
