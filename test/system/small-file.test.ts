/** Whole or not there, and for its owner alone. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createPrivateFile, readSmallFile, replacePrivateFile } from "../../src/system/small-file.ts";

const library = join(import.meta.dir, "../../src/system/small-file.ts");

let root: string;
let path: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-small-"));
  path = join(root, "file");
});
afterEach(() => rmSync(root, { recursive: true }));

test("what is there is not replaced by what is made", () => {
  expect(createPrivateFile(path, "one\n")).toBe(true);
  expect(createPrivateFile(path, "two\n")).toBe(false);
  expect(readSmallFile(path, 4)).toEqual({ text: "one\n", isPrivate: true });
  expect(() => readSmallFile(path, 3)).toThrow("too large");
  expect(readdirSync(root)).toEqual(["file"]);
});

test("a failure leaves nothing", () => {
  // Nothing can be renamed to there.
  expect(() => createPrivateFile(join(root, "x".repeat(300)), "one\n")).toThrow("ENAMETOOLONG");
  expect(() => replacePrivateFile(path, "one\n")).toThrow("ENOENT");
  expect(readdirSync(root)).toEqual([]);
});

test.skipIf(process.platform === "win32")("what replaces a file is for its owner alone", () => {
  writeFileSync(path, "one\n");
  chmodSync(path, 0o644);
  expect(readSmallFile(path, 100).isPrivate).toBe(false);
  replacePrivateFile(path, "two\n");
  expect(readSmallFile(path, 100)).toEqual({ text: "two\n", isPrivate: true });
});

test.skipIf(process.getuid?.() !== 0)("the owner stays, or is who is named", () => {
  createPrivateFile(path, "one\n", { uid: 12345, gid: 12346 });
  replacePrivateFile(path, "two\n");
  const { uid, gid } = statSync(path);
  expect([uid, gid]).toEqual([12345, 12346]);
});

test("a process that is killed while it writes again and again leaves a whole file", async () => {
  createPrivateFile(path, `${"a".repeat(5_000)}\n`);
  for (let round = 0; round < 5; round += 1) {
    const script = `const { replacePrivateFile } = await import(${JSON.stringify(library)});
      console.log("begins");
      for (let at = 0; ; at += 1) {
        replacePrivateFile(${JSON.stringify(path)}, String.fromCharCode(97 + (at % 26)).repeat(5000) + "\\n");
      }`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
    await child.stdout.getReader().read();
    await Bun.sleep(round * 3);
    child.kill("SIGKILL");
    await child.exited;
    expect(readFileSync(path, "utf8")).toMatch(/^(.)\1{4999}\n$/);
  }
});
