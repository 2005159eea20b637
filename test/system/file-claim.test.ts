/** One claim on a file at a time, for as long as it is open, whatever becomes of its name. */
import { afterEach, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { claimFile } from "../../src/system/file-claim.ts";

const root = mkdtempSync(join(tmpdir(), "framepipe-claim-"));
const handles: number[] = [];
afterEach(() => {
  for (const handle of handles.splice(0)) closeSync(handle);
  rmSync(root, { recursive: true, force: true });
});

test.if(process.platform === "linux")("a file is claimed once, by whoever may write to it, until it is closed", () => {
  const path = join(root, "file");
  const open = (flags: string): number => {
    const handle = openSync(path, flags);
    handles.push(handle);
    return handle;
  };
  const first = open("w+");
  expect(claimFile(open("r"))).toBeUndefined();
  expect(claimFile(first)).toBe(true);
  expect(claimFile(first)).toBe(true);
  const second = open("r+");
  expect(claimFile(second)).toBe(false);
  expect(claimFile(open("r"))).toBe(false);
  renameSync(path, `${path}.away`);
  expect(claimFile(second)).toBe(false);
  expect(claimFile(open("w+"))).toBe(true);
  closeSync(handles.shift() as number);
  expect(claimFile(second)).toBe(true);
});
