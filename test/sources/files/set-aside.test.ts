import { afterEach, beforeEach, expect, test } from "bun:test";
import { linkSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DirectorySource } from "../../../src/sources/directory/directory-source.ts";
import { giveBack, nameBefore, setAside } from "../../../src/sources/files/set-aside.ts";
import { SimClock } from "../../simulation/sim-clock.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function put(name: string, content = name): string {
  const path = join(root, name);
  writeFileSync(path, content);
  return path;
}

const paths = { path: (name: string): string => join(root, name) };

function contents(): Record<string, string> {
  return Object.fromEntries(readdirSync(root).map((name) => [name, readFileSync(join(root, name), "utf8")]));
}

test("there and back, a link too", () => {
  put("1.jpg");
  symlinkSync("1.jpg", join(root, "2.jpg"));
  const before = contents();
  for (const name of ["1.jpg", "2.jpg"]) {
    const aside = setAside(paths, name);
    expect(nameBefore(aside)).toBe(name);
    expect(giveBack(paths, aside, name)).toBe(name);
  }
  expect(contents()).toEqual(before);
  expect(nameBefore("1.jpg")).toBeUndefined();
});

test("back beside what has come meanwhile, again and again", () => {
  for (const name of ["1.jpg", "none"]) {
    put(name, "old 1");
    const first = setAside(paths, name);
    put(name, "old 2");
    const second = setAside(paths, name);
    put(name, "new");
    expect([giveBack(paths, first, name), giveBack(paths, second, name)]).toEqual(
      name === "none" ? ["none-1", "none-2"] : ["1-1.jpg", "1-2.jpg"],
    );
  }
  expect(contents()).toEqual({
    "1.jpg": "new",
    "1-1.jpg": "old 1",
    "1-2.jpg": "old 2",
    none: "new",
    "none-1": "old 1",
    "none-2": "old 2",
  });
});

test("the longest names, and those of any writing", () => {
  for (const name of [`${"x".repeat(251)}.jpg`, `${"é".repeat(125)}.jpg`, `${"x".repeat(200)}${".".repeat(48)}.jpg`]) {
    put(name, "old");
    const aside = setAside(paths, name);
    put(name, "new");
    const given = giveBack(paths, aside, name);
    expect(given).toEndWith("-1.jpg");
    expect(given).not.toStartWith(".");
    rmSync(join(root, given));
    expect(nameBefore(setAside(paths, name))).toEndWith("jpg");
  }
});

test("what a crash left is a frame again, once, whatever step it had come to", () => {
  put("1.jpg");
  setAside(paths, "1.jpg");
  // Given back, and not yet removed.
  put("2.jpg");
  linkSync(paths.path(setAside(paths, "2.jpg")), join(root, "2.jpg"));
  put("3.jpg", "old");
  setAside(paths, "3.jpg");
  put("3.jpg", "new");
  const clock = new SimClock();
  const source = new DirectorySource({ name: "visible", root, clock });
  expect(source.list(10)).toEqual([]);
  clock.pass(2_000);
  expect(source.list(10)?.map(({ name }) => name)).toEqual(["1.jpg", "2.jpg", "3-1.jpg", "3.jpg"]);
  expect(contents()).toEqual({ "1.jpg": "1.jpg", "2.jpg": "2.jpg", "3-1.jpg": "old", "3.jpg": "new" });
});
