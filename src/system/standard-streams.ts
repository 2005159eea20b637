/** What standard input, output and error are connected to. */
import { fstatSync, statSync } from "node:fs";
import { devNull } from "node:os";

/**
 * Whether a standard stream is a terminal. `node:tty` brings streams and sockets with it, which is 4 of the 16 ms that
 * the program starts in, so it is only asked about what may be one.
 */
export function isTerminal(descriptor: 0 | 1 | 2): boolean {
  try {
    const status = fstatSync(descriptor);
    if (!status.isCharacterDevice()) return false;
    if (status.rdev === statSync(devNull, { throwIfNoEntry: false })?.rdev) return false;
  } catch {
    return false;
  }
  return process.getBuiltinModule("node:tty").isatty(descriptor);
}

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

/** Of a terminal, now. */
export function screenSize(descriptor: 1 | 2): ScreenSize {
  const stream = descriptor === 1 ? process.stdout : process.stderr;
  const [columns, rows] = "getWindowSize" in stream ? stream.getWindowSize() : [0, 0];
  // A serial console says 0 by 0.
  return { columns: columns || 80, rows: rows || 24 };
}
