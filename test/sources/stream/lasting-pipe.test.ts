import { expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLastingPipe } from "../../../src/sources/stream/lasting-pipe.ts";

test.skipIf(process.platform === "win32")("what waits in a pipe is seen, and stays to its first byte", async () => {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-"));
  const path = join(folder, "cam.pipe");
  expect(Bun.spawnSync(["mkfifo", path]).success).toBe(true);
  const camera = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const pipe = openLastingPipe(path);
    expect(pipe.isIdle?.()).toBe(true);
    writeSync(camera, "a frame");
    expect(pipe.isIdle?.()).toBe(false);
    await pipe.cancel();
    expect(pipe.isIdle?.()).toBe(false);
    const left = new Uint8Array(20);
    expect(Buffer.from(left.subarray(0, readSync(camera, left))).toString()).toBe("a frame");
  } finally {
    closeSync(camera);
    rmSync(folder, { recursive: true });
  }
});
