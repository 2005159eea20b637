/** A crash leaves nothing on the disk. */
import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const library = join(import.meta.dir, "../../src/system/hidden-memory.ts");

/** What a crash leaves in the folder that the process runs in. */
async function leftBy(script: string): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-core-"));
  try {
    const words = ["sh", "-c", 'ulimit -c unlimited && exec "$0" -e "$1"', process.execPath, script];
    const child = Bun.spawn(words, { cwd: folder, stdout: "pipe", stderr: "ignore" });
    const reader = child.stdout.getReader();
    await reader.read();
    child.kill("SIGQUIT");
    await child.exited;
    return readdirSync(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const waits = "console.log('ready'); setInterval(() => {}, 1e6);";

/** Elsewhere cores go to a program that keeps them, or are not allowed at all. */
const leavesCores =
  process.platform === "linux" &&
  readFileSync("/proc/sys/kernel/core_pattern", "utf8").startsWith("core") &&
  (await leftBy(waits)).length > 0;

test.skipIf(!leavesCores)("a process that has hidden its memory leaves no core", async () => {
  const hidden = `const { hideMemory } = await import(${JSON.stringify(library)}); if (hideMemory()) ${waits}`;
  expect(await leftBy(hidden)).toEqual([]);
});
