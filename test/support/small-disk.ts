/** File systems with little room, for tests of full disks. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let mountable: boolean | undefined;

/** Not everybody may mount, and a container may forbid it even to root. Asked in `skipIf`, so that it shows. */
export function canMount(): boolean {
  mountable ??= tryMount();
  return mountable;
}

function tryMount(): boolean {
  if (process.platform !== "linux" || process.getuid?.() !== 0 || Bun.which("mount") === null) return false;
  const dir = mkdtempSync(join(tmpdir(), "framepipe-"));
  const mounted = mount(dir, 4096);
  if (mounted) Bun.spawnSync(["umount", dir]);
  rmSync(dir, { recursive: true });
  return mounted;
}

function mount(dir: string, bytes: number, files = 0): boolean {
  const limits = `size=${bytes}${files === 0 ? "" : `,nr_inodes=${files}`}`;
  return Bun.spawnSync(["mount", "-t", "tmpfs", "-o", limits, "framepipe-test", dir]).success;
}

/**
 * Makes `dir` and an empty file system in it, with room for so many bytes, and files if that is said. Call the result
 * to remove it. Only where `canMount`.
 */
export function mountSmall(dir: string, bytes: number, files?: number): () => void {
  mkdirSync(dir, { recursive: true });
  if (!mount(dir, bytes, files)) throw new Error(`${dir}: cannot be mounted`);
  return () => {
    Bun.spawnSync(["umount", "--lazy", dir]);
  };
}

/** Nothing can be written there any more, or again. */
export function setReadOnly(dir: string, readOnly: boolean): void {
  if (!Bun.spawnSync(["mount", "-o", `remount,${readOnly ? "ro" : "rw"}`, dir]).success) {
    throw new Error(`${dir}: cannot be mounted anew`);
  }
}
