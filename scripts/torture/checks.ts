/** What must hold when the trouble is over: stored is exactly what was made, and the records say so. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readFacts, storedFiles } from "../../test/corpus/read.ts";
import type { Camera } from "./cameras.ts";

export interface Checked {
  readonly out: readonly string[];
  readonly cameras: readonly Camera[];
}

/** Frames: as cameras made them, and as they are in destinations. */
export interface Sums {
  readonly made: number;
  /** In the first destination of each receiver. */
  readonly stored: number;
  readonly lost: number;
  readonly doubled: number;
  readonly torn: number;
}

/** Says what does not hold, and what it comes to. */
export async function checkAll(
  { out, cameras }: Checked,
  { executable }: { readonly executable: string },
  problem: (text: string) => void,
): Promise<Sums> {
  const sums = { made: 0, stored: 0, lost: 0, doubled: 0, torn: 0 };
  for (const { made } of cameras) sums.made += made.length;
  for (const [index, path] of out.entries()) {
    const contents = contentsOf(path);
    if (index === 0) sums.stored = contents.size;
    for (const camera of cameras) {
      const found = [...contents].filter(([name]) => name.startsWith(`${camera.device}/`)).map(([, crc32]) => crc32);
      const { lost, doubled, torn } = compare(camera.made, found);
      sums.lost += lost;
      sums.doubled += doubled;
      sums.torn += torn;
      if (lost + doubled + torn === 0) continue;
      const counts = `${camera.made.length} made, ${found.length} stored`;
      problem(`${path}: ${camera.device}: ${counts}: ${lost} lost, ${doubled} doubled, ${torn} torn`);
    }
    const others = [...contents.keys()].filter((name) => !cameras.some(({ device }) => name.startsWith(`${device}/`)));
    if (others.length > 0) problem(`${path}: what nobody made: ${others.slice(0, 5).join(" ")}`);
    const verify = Bun.spawnSync([executable, "--verify", path], { env: { PATH: process.env["PATH"] ?? "" } });
    const said = verify.stdout.toString() + verify.stderr.toString();
    if (verify.exitCode !== 0) problem(`--verify ${path} ended with ${verify.exitCode}: ${said.slice(0, 2000)}`);
  }
  return sums;
}

/** Checksums of what is stored, by path below the destination. */
function contentsOf(path: string): ReadonlyMap<string, number> {
  if (path.endsWith(".tar")) return readFacts("tar", path).contents;
  if (path.endsWith(".mcap")) return readFacts("mcap", path).contents;
  const files = storedFiles(path).filter((name) => !name.startsWith("."));
  return new Map(files.map((name) => [name, Bun.hash.crc32(readFileSync(join(path, name)))]));
}

function compare(made: readonly number[], found: readonly number[]): Pick<Sums, "lost" | "doubled" | "torn"> {
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
  return { lost, doubled, torn };
}
