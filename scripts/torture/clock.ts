/** Wall clocks that jump, each for one process: where there is a C compiler, and a loader that takes a preload. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** The library that is preloaded; undefined where it cannot be made. */
export function compileClockShim(folder: string): string | undefined {
  const compiler = Bun.which("cc");
  if (process.platform !== "linux" || compiler === null) return undefined;
  const shim = join(folder, "clock-shim.so");
  const made = Bun.spawnSync([compiler, "-shared", "-fPIC", "-o", shim, join(import.meta.dir, "clock-shim.c"), "-ldl"]);
  return made.success ? shim : undefined;
}

export class JumpingClock {
  readonly env: Readonly<Record<string, string>>;
  readonly #path: string;

  constructor(shim: string, path: string) {
    this.#path = path;
    this.env = { LD_PRELOAD: shim, TORTURE_CLOCK: path };
    writeFileSync(path, new Uint8Array(8));
  }

  /** So far from the machine's from now on; 0: right. */
  set(seconds: number): void {
    // Written in place: the process has this file in its memory.
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigInt64(0, BigInt(seconds), true);
    writeFileSync(this.#path, bytes, { flag: "r+" });
  }
}
