import { expect, test } from "bun:test";
import { findingText } from "../../src/cli/verify.ts";
import type { Finding } from "../../src/sinks/store/findings.ts";

const of = { device: "rig", source: "visible", name: "a/1.jpg", path: "rig/visible/a/1.jpg" };
const gap = {
  kind: "gap",
  device: "rig",
  source: "visible",
  name: "",
  firstSequence: 7,
  count: 1,
  detail: "",
} as const;

test.each<[Finding, string]>([
  [{ kind: "missing", ...of }, "missing rig/visible/a/1.jpg"],
  [
    { kind: "changed", ...of, detail: "has 3 bytes, stored were 4", bytes: 4, crc32: 1 },
    "changed rig/visible/a/1.jpg: has 3 bytes, stored were 4",
  ],
  [{ kind: "unknown", path: "x" }, "unknown x"],
  [
    { ...gap, name: "a.jpg", reason: "refused", detail: "symlink" },
    "gap rig/visible/a.jpg (frame 7): a symbolic link is in its place",
  ],
  [{ ...gap, count: 3, reason: "dropped" }, "gap rig/visible (frames 7 to 9): the link was slower than the camera"],
  [{ ...gap, reason: "unreadable", detail: "permission denied" }, "gap rig/visible (frame 7): permission denied"],
  [
    { kind: "unaccounted", device: "rig", source: "visible", session: "a1".repeat(16), firstSequence: 3, count: 2 },
    `unaccounted rig/visible (frames 3 to 4): session ${"a1".repeat(16)} has ended, ` +
      "and the catalogue does not say what became of them",
  ],
  [
    { kind: "account-lost", device: "rig", source: "visible", session: "0".repeat(32), frames: 1 },
    `account lost rig/visible: 1 frame of session ${"0".repeat(32)}: the catalogue was made anew from the files, ` +
      "so what did not arrive before is not known",
  ],
  [
    { kind: "unended", device: "rig", source: "visible", session: "0".repeat(32) },
    "unended rig/visible: its last session was not finished, more frames may be left",
  ],
])("%#", (finding, text) => expect(findingText(finding)).toBe(text));
