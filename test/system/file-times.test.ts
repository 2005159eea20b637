/** An open file gets its time: by the system's call to the nanosecond, and without it nearly. */
import { expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setModified, setRounded } from "../../src/system/file-times.ts";

const times = [0n, 999_999_999n, 315_532_800_000_000_000n, 1_763_460_001_123_456_789n];

for (const [set, withinNs] of [
  [setModified, process.platform === "linux" ? 0n : 1000n],
  [setRounded, 1000n],
] as const) {
  test(`${set.name} sets the time of an open file`, () => {
    const root = mkdtempSync(join(tmpdir(), "framepipe-times-"));
    const path = join(root, "file");
    const handle = openSync(path, "w");
    try {
      for (const time of times) {
        expect(set(handle, time)).toBe(true);
        const difference = statSync(path, { bigint: true }).mtimeNs - time;
        expect(difference <= withinNs && difference >= -withinNs).toBe(true);
      }
    } finally {
      closeSync(handle);
      rmSync(root, { recursive: true });
    }
  });

  test(`${set.name} says that it could not`, () => {
    expect(set(-1, 0n)).toBe(false);
  });
}
