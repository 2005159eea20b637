/** Names that Windows takes for something else. Elsewhere nobody asks. */
import { expect, test } from "bun:test";
import { nodeDisk } from "../../src/system/file-system.ts";
import { mayNameOnWindows } from "../../src/system/windows-names.ts";

const foreign = [
  "aux",
  "NUL.tar.gz",
  "nul ",
  "nul .jpg",
  "a/Con/b",
  "x/LPT5.PNG",
  "COM\u00b9",
  "c:",
  "a:b",
  "12:30.jpg",
  "a?.jpg",
  "a.",
  "a /b",
  "a\\b",
];
const common = [
  "1.jpg",
  "console.jpg",
  "com0",
  "com10",
  "lpt.1",
  "auxiliary/nullable",
  "a nul",
  "写真/été.jpg",
  "a..b",
];

test.each(foreign)("%j is not for Windows", (path) => {
  expect(mayNameOnWindows(path)).toBe(false);
});

test.each(common)("%j is a name everywhere", (path) => {
  expect(mayNameOnWindows(path)).toBe(true);
});

test("other systems take every safe name until one of their file systems does not", () => {
  expect(nodeDisk.mayName).toBe(process.platform === "win32" ? mayNameOnWindows : undefined);
});
