/** A file gets a free name, and never takes one: by the system's call, and without it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renameByLink, renameNew } from "../../src/system/rename-noreplace.ts";

let root: string;
let from: string;
let to: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-rename-"));
  [from, to] = [join(root, "from"), join(root, "to")];
  writeFileSync(from, "ours");
});
afterEach(() => rmSync(root, { recursive: true }));

for (const rename of [renameNew, renameByLink]) {
  test(`${rename.name}: a free name is taken, and the old one given up`, () => {
    expect(rename(from, to)).toBe(true);
    expect(readdirSync(root)).toEqual(["to"]);
    expect(readFileSync(to, "utf8")).toBe("ours");
  });

  const obstacles: readonly [string, () => void][] = [
    ["a file", () => writeFileSync(to, "theirs")],
    ["a directory", () => mkdirSync(to)],
    ["a link that leads nowhere", () => symlinkSync("nowhere", to)],
    ["the same file", () => linkSync(from, to)],
  ];
  test.each(obstacles)(`${rename.name}: the name of %s stays its own`, (_, put) => {
    put();
    expect(rename(from, to)).toBe(false);
    expect(readFileSync(from, "utf8")).toBe("ours");
  });

  test(`${rename.name}: what rename throws is thrown`, () => {
    expect(() => rename(from, join(root, "gone/to"))).toThrow("ENOENT");
    expect(() => rename(join(root, "gone"), to)).toThrow("ENOENT");
    expect(() => rename(from, join(root, "x".repeat(300)))).toThrow("ENAMETOOLONG");
    expect(readdirSync(root)).toEqual(["from"]);
  });
}
