/** What lies below a directory, and nothing that a link leads to. Where the system cannot tell, nothing is found. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { holdFolder, openFileBeneath } from "../../src/system/beneath.ts";
import { nodeDisk } from "../../src/system/file-system.ts";

let parent: string;
let root: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "framepipe-beneath-"));
  root = join(parent, "root");
  mkdirSync(join(root, "cam/visible"), { recursive: true });
  mkdirSync(join(parent, "outside"));
  writeFileSync(join(parent, "outside/secret"), "secret");
  writeFileSync(join(root, "cam/visible/1.jpg"), "one");
  symlinkSync(join(parent, "outside"), join(root, "link"));
  symlinkSync("visible", join(root, "cam/alias"));
});
afterEach(() => rmSync(parent, { recursive: true }));

/** Opened and closed again; false: it was not. */
const folder = (path: string): boolean => {
  const held = holdFolder(root, path);
  held?.release();
  return held !== undefined;
};
const file = (path: string): boolean => {
  const handle = openFileBeneath(root, path);
  if (handle !== undefined) closeSync(handle);
  return handle !== undefined;
};

test("nothing outside is opened, on any system", () => {
  for (const path of ["link", "link/x", "cam/alias", "..", "../outside", "cam/../../outside", parent, "nothing"]) {
    expect([path, folder(path)]).toEqual([path, false]);
  }
  for (const path of ["link/secret", "../outside/secret", "cam/alias/1.jpg", join(parent, "outside/secret"), "no"]) {
    expect([path, file(path)]).toEqual([path, false]);
  }
  expect(folder("cam/visible/1.jpg")).toBe(false);
  expect(holdFolder(join(parent, "nothing"), "")).toBeUndefined();
});

test.skipIf(process.platform !== "linux")("what is inside is, also through a root that is a link", () => {
  for (const path of ["", "cam", "cam/visible"]) expect([path, folder(path)]).toEqual([path, true]);
  expect(file("cam/visible/1.jpg")).toBe(true);
  symlinkSync(root, join(parent, "by-link"));
  const held = holdFolder(join(parent, "by-link"), "cam/visible");
  expect(held).toBeDefined();
  held?.release();
});

test.skipIf(process.platform !== "linux")(
  "a file goes into the folder that is held, wherever its path leads by then",
  () => {
    const held = holdFolder(root, "cam/visible");
    expect(held).toBeDefined();
    if (held === undefined) return;
    renameSync(join(root, "cam/visible"), join(root, "cam/moved"));
    symlinkSync(join(parent, "outside"), join(root, "cam/visible"));
    for (const [name, isNew] of [
      ["2.jpg", true],
      ["1.jpg", false],
    ] as const) {
      const from = join(root, "temporary");
      writeFileSync(from, "two");
      expect(nodeDisk.renameNew(from, join(root, "cam/visible", name), held)).toBe(isNew);
      expect(existsSync(from)).toBe(!isNew);
      expect(existsSync(join(parent, "outside", name))).toBe(false);
    }
    expect(readFileSync(join(root, "cam/moved/2.jpg"), "utf8")).toBe("two");
    expect(readFileSync(join(root, "cam/moved/1.jpg"), "utf8")).toBe("one");
    held.release();
  },
);
