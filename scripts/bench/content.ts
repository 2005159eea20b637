/** Whether what arrived is what was sent: the names of a folder, all of them, and the bytes of each. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Throws with the first difference. `checksums` has the CRC-32 of each name, and may have more names. */
export function compareContent(folder: string, names: readonly string[], checksums: ReadonlyMap<string, number>): void {
  const wanted = new Set(names);
  const found = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  const unknown = found.filter((name) => !wanted.has(name));
  if (unknown.length > 0) throw new Error(`${unknown.length} files that nobody sent, the first is ${unknown[0]}`);
  const there = new Set(found);
  const absent = names.filter((name) => !there.has(name));
  if (absent.length > 0) throw new Error(`${absent.length} frames are missing, the first is ${absent[0]}`);
  for (const name of names) {
    const crc32 = Bun.hash.crc32(readFileSync(join(folder, name)));
    if (crc32 !== checksums.get(name)) throw new Error(`${name} arrived with other bytes`);
  }
}
