/** What must hold when the trouble is over: stored is exactly what was made, and the records say so. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readFacts, storedFiles } from "../../test/corpus/read.ts";
import type { Camera } from "./cameras.ts";

export interface Checked {
  readonly out: readonly string[];
  readonly cameras: readonly Camera[];
}

/** Says what does not hold, and returns how many frames are stored in the first destination. */
export async function checkAll(
  { out, cameras }: Checked,
  { executable }: { readonly executable: string },
  problem: (text: string) => void,
): Promise<number> {
  let stored = 0;
  for (const [index, path] of out.entries()) {
    const contents = contentsOf(path);
    if (index === 0) stored = contents.size;
    for (const camera of cameras) {
      const found = [...contents].filter(([name]) => name.startsWith(`${camera.device}/`)).map(([, crc32]) => crc32);
      compare(`${path}: ${camera.device}`, camera.made, found, problem);
    }
    const others = [...contents.keys()].filter((name) => !cameras.some(({ device }) => name.startsWith(`${device}/`)));
    if (others.length > 0) problem(`${path}: what nobody made: ${others.slice(0, 5).join(" ")}`);
  }
  const directory = out[0] ?? "";
  const verify = Bun.spawnSync([executable, "--verify", directory], { env: { PATH: process.env["PATH"] ?? "" } });
  // Frames that arrived damaged three times, or were given up with their stream, are gaps with a reason.
  const said = verify.stdout.toString();
  if (verify.exitCode !== 0) problem(`--verify ${directory} ended with ${verify.exitCode}: ${said.slice(0, 2000)}`);
  return stored;
}

/** Checksums of what is stored, by path below the destination. */
function contentsOf(path: string): ReadonlyMap<string, number> {
  if (path.endsWith(".tar")) return readFacts("tar", path).contents;
  if (path.endsWith(".mcap")) return readFacts("mcap", path).contents;
  const files = storedFiles(path).filter((name) => !name.startsWith("."));
  return new Map(files.map((name) => [name, Bun.hash.crc32(readFileSync(join(path, name)))]));
}

function compare(
  what: string,
  made: readonly number[],
  found: readonly number[],
  problem: (text: string) => void,
): void {
  const counts = new Map<number, number>();
  for (const crc32 of made) counts.set(crc32, (counts.get(crc32) ?? 0) + 1);
  let torn = 0;
  let doubled = 0;
  for (const crc32 of found) {
    const left = counts.get(crc32);
    if (left === undefined) torn++;
    else if (left === 0) doubled++;
    else counts.set(crc32, left - 1);
  }
  const lost = [...counts.values()].reduce((sum, left) => sum + left, 0);
  if (lost + doubled + torn === 0) return;
  problem(`${what}: ${made.length} made, ${found.length} stored: ${lost} lost, ${doubled} doubled, ${torn} torn`);
}
