/** What a mode is given besides its command: where to talk, what time it is, and a way out. */
import type { Terminal } from "./terminal.ts";

export interface Shell {
  readonly terminal: Terminal;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** Ends the program now, whatever is in hand. */
  readonly exitNow: (status: number) => never;
}

/** Shells say 128 plus the signal's number for a program that a signal has ended. */
const signalStatus = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * The first signal calls `stop`, the second one ends the program at once. Call the returned function when there is
 * nothing left to stop: from then on the system's own answer to signals holds again.
 */
export function onStopSignals(shell: Shell, stop: () => void): () => void {
  let stopping = false;
  const handle = (signal: keyof typeof signalStatus): void => {
    if (stopping) {
      if (shell.terminal.interactive) shell.terminal.draw([]);
      shell.terminal.sumUp();
      shell.exitNow(signalStatus[signal]);
    }
    stopping = true;
    shell.terminal.hurry();
    const again = signal === "SIGINT" ? "ctrl-c again" : "a second signal";
    shell.terminal.info(`stopping: finishing what is in hand; ${again} exits at once`, { event: "stopping" });
    stop();
  };
  process.on("SIGINT", handle);
  process.on("SIGTERM", handle);
  return () => {
    process.off("SIGINT", handle);
    process.off("SIGTERM", handle);
  };
}
