/** One holder at a time, across processes; and no lock outlives its process. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { takeLock, takeTemporaryLock } from "../../src/system/process-lock.ts";

const library = join(import.meta.dir, "../../src/system/process-lock.ts");
const kinds = [
  ["a lock file that stays", takeLock],
  ["a lock file that is there while it is locked", takeTemporaryLock],
] as const;

let root: string;
let path: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "framepipe-lock-"));
  path = join(root, "lock");
});
afterEach(() => rmSync(root, { recursive: true }));

const children: Bun.Subprocess[] = [];
afterEach(() => children.splice(0).forEach((child) => child.kill("SIGKILL")));

/** Another process that takes the lock, says whether it has it, and holds it until it is killed. */
async function holder(take: (typeof kinds)[number][1]) {
  const script = `const { ${take.name} } = await import(${JSON.stringify(library)});
    globalThis.lock = ${take.name}(${JSON.stringify(path)});
    console.log(lock === undefined ? "refused" : "holds");
    setInterval(() => {}, 1e6);`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
  children.push(child);
  const { value } = await child.stdout.getReader().read();
  const said = new TextDecoder().decode(value).trim();
  return { said, kill: () => (child.kill("SIGKILL"), child.exited) };
}

for (const [kind, take] of kinds) {
  test(`${kind} has one holder`, async () => {
    const lock = take(path);
    expect(lock).toBeDefined();
    const other = await holder(take);
    expect(other.said).toBe("refused");
    await other.kill();

    lock?.release();
    const next = take(path);
    expect(next).toBeDefined();
    next?.release();
  });

  test(`${kind} is free when its holder was killed`, async () => {
    const other = await holder(take);
    expect(other.said).toBe("holds");
    expect(take(path)).toBeUndefined();
    await other.kill();
    const lock = take(path);
    expect(lock).toBeDefined();
    lock?.release();
  });

  test(`${kind} has nothing beside it`, () => {
    const lock = take(path);
    expect(readdirSync(root)).toEqual(["lock"]);
    lock?.release();
    expect(existsSync(path)).toBe(take === takeLock);
  });

  test(`${kind} is refused where no file can be`, () => {
    expect(() => take(join(root, "no/lock"))).toThrow(take === takeLock ? "unable to open" : "ENOENT");
  });
}
