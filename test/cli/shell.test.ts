import { expect, test } from "bun:test";
import { onStopSignals } from "../../src/cli/shell.ts";
import { Terminal } from "../../src/cli/terminal.ts";
import { systemClock } from "../../src/system/system-clock.ts";
import { Screen } from "./screen.ts";

class Exit extends Error {}

test.each([
  ["SIGINT", "SIGINT", 0, 130] as const,
  ["SIGTERM", "SIGINT", 0, 130] as const,
  ["SIGINT", "SIGTERM", 0, 143] as const,
  ["SIGHUP", "SIGHUP", 150, 129] as const,
  ["SIGTERM", "SIGHUP", 150, 129] as const,
  // One end that is told twice.
  ["SIGHUP", "SIGHUP", 50, undefined] as const,
  ["SIGTERM", "SIGHUP", 50, undefined] as const,
  ["SIGHUP", "SIGTERM", 50, undefined] as const,
])("%s stops, and %s after %d ms exits at once, or is the same end", (first, second, afterMs, expected) => {
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
  let nowMs = 1000;
  const ignore = onStopSignals(
    { terminal, exitNow, nowMs: () => nowMs },
    () => (stops += 1),
    () => false,
  );
  try {
    terminal.draw(["a display"]);
    process.emit(first, first);
    expect([stops, statuses]).toEqual([1, []]);
    expect(stderr.lines[0]).toMatch(/^stopping: /);
    nowMs += afterMs;
    if (expected === undefined) {
      process.emit(second, second);
      expect([stops, statuses]).toEqual([1, []]);
      // A third one is meant.
      nowMs += 1000;
      expect(() => process.emit("SIGHUP", "SIGHUP")).toThrow(Exit);
      expect(statuses).toEqual([129]);
    } else {
      expect(() => process.emit(second, second)).toThrow(Exit);
      expect([stops, statuses]).toEqual([1, [expected]]);
    }
    expect(stderr.lines.slice(1)).toEqual([""]);
  } finally {
    ignore();
  }
  expect(process.listenerCount(first) + process.listenerCount(second)).toBe(before);
});

test("SIGHUP stays ignored where it was ignored at the start", () => {
  const [hangUps, terms] = [process.listenerCount("SIGHUP"), process.listenerCount("SIGTERM")];
  const shell = { terminal: undefined as never, exitNow: undefined as never, nowMs: () => 0 };
  const ignore = onStopSignals(
    shell,
    () => {},
    () => true,
  );
  expect([process.listenerCount("SIGHUP"), process.listenerCount("SIGTERM")]).toEqual([hangUps, terms + 1]);
  ignore();
});
