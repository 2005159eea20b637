/** What the system lets this process open. */
import { readFileSync } from "node:fs";

/** Files and sockets this process may have open at a time; undefined where the system does not say. */
export function openFilesMax(): number | undefined {
  try {
    const [, most] = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return most === undefined ? undefined : Number(most);
  } catch {
    return undefined;
  }
}
