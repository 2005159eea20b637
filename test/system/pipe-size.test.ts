import { expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { enlargePipe } from "../../src/system/pipe-size.ts";

test.skipIf(process.platform !== "linux")("a pipe takes a whole picture, and what is none stays as it is", () => {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-"));
  try {
    const path = join(folder, "pipe");
    expect(Bun.spawnSync(["mkfifo", path]).success).toBe(true);
    const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const room = (): number => writeSync(pipe, new Uint8Array(300_000));
    enlargePipe(pipe);
    expect(room()).toBe(300_000);
    closeSync(pipe);
    const file = openSync(join(folder, "file"), "w");
    enlargePipe(file);
    closeSync(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
