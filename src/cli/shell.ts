/** What a mode is given besides its command: where to talk, what time it is, and a way out. */
import { isIgnored } from "../system/ignored-signals.ts";
import type { Terminal } from "./terminal.ts";

export interface Shell {
  readonly terminal: Terminal;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** Ends the program now, whatever is in hand. */
  readonly exitNow: (status: number) => never;
}

/** Shells say 128 plus the signal's number for a program that a signal has ended. */
const signalStatus = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
type StopSignal = keyof typeof signalStatus;

/**
 * One end that is told twice: a terminal that closes is told by the system and by the shell, and at a log-out systemd
 * sends SIGTERM and SIGHUP. Nobody presses two keys so fast.
 */
const sameEndMs = 100;

/**
 * The first signal calls `stop`, the second one ends the program at once. Call the returned function when there is
 * nothing left to stop: from then on the system's own answer to signals holds again. SIGHUP stays ignored where it was
 * ignored at the start (nohup).
 */
export function onStopSignals(shell: Shell, stop: () => void, ignored: typeof isIgnored = isIgnored): () => void {
  const signals = (Object.keys(signalStatus) as StopSignal[]).filter((one) => one !== "SIGHUP" || !ignored(one));
  let first: { readonly signal: StopSignal; readonly atMs: number } | undefined;
  const handle = (signal: StopSignal): void => {
    if (first === undefined) {
      first = { signal, atMs: shell.nowMs() };
      shell.terminal.hurry();
      const again = signal === "SIGINT" ? "ctrl-c again" : "a second signal";
      shell.terminal.info(`stopping: finishing what is in hand; ${again} exits at once`, { event: "stopping" });
      stop();
    } else if ((signal !== "SIGHUP" && first.signal !== "SIGHUP") || shell.nowMs() - first.atMs >= sameEndMs) {
      if (shell.terminal.interactive) shell.terminal.draw([]);
      shell.terminal.sumUp();
      shell.exitNow(signalStatus[signal]);
    }
  };
  for (const signal of signals) process.on(signal, handle);
  return () => {
    for (const signal of signals) process.off(signal, handle);
  };
}
