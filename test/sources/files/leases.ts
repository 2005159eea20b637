/** Whether the system can tell who writes to a file: Linux, on the file systems that have leases. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspectFile } from "../../../src/sources/files/quiet-file.ts";

export function hasLeases(): boolean {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-"));
  try {
    writeFileSync(join(folder, "frame"), "");
    return inspectFile(join(folder, "frame")).writers !== "unknown";
  } finally {
    rmSync(folder, { recursive: true });
  }
}
