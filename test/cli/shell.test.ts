import { expect, test } from "bun:test";
import { onStopSignals } from "../../src/cli/shell.ts";
import { Terminal } from "../../src/cli/terminal.ts";
import { systemClock } from "../../src/system/system-clock.ts";
import { Screen } from "./screen.ts";

class Exit extends Error {}

test.each([
  ["SIGINT", "SIGINT", 130] as const,
  ["SIGTERM", "SIGINT", 130] as const,
  ["SIGINT", "SIGTERM", 143] as const,
])("%s stops, and %s after it exits at once", (first, second, expected) => {
  const stderr = new Screen({ isTerminal: true });
  const terminal = new Terminal({
    stdout: new Screen(),
    stderr,
    env: {},
    json: false,
    quiet: false,
    verbose: false,
    clock: systemClock,
  });
  const statuses: number[] = [];
  const exitNow = (status: number): never => {
    statuses.push(status);
    throw new Exit();
  };
  let stops = 0;
  const before = process.listenerCount(first) + process.listenerCount(second);
  const ignore = onStopSignals({ terminal, exitNow, nowMs: () => 0 }, () => (stops += 1));
  try {
    terminal.draw(["a display"]);
    process.emit(first, first);
    expect([stops, statuses]).toEqual([1, []]);
    expect(stderr.lines[0]).toMatch(/^stopping: /);
    expect(() => process.emit(second, second)).toThrow(Exit);
    expect([stops, statuses]).toEqual([1, [expected]]);
    expect(stderr.lines.slice(1)).toEqual([""]);
  } finally {
    ignore();
  }
  expect(process.listenerCount(first) + process.listenerCount(second)).toBe(before);
});
