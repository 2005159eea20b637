import { describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import type { Report } from "../../src/cli/report.ts";
import { OutputClosed, Terminal, toJson } from "../../src/cli/terminal.ts";
import { SimClock } from "../simulation/sim-clock.ts";
import { Screen } from "./screen.ts";

function open({ isTerminal = false, env = {}, json = false, quiet = false, verbose = false } = {}) {
  const stdout = new Screen();
  const stderr = new Screen({ isTerminal });
  const wallNs = () => BigInt(Date.UTC(2026, 0, 2, 3, 4, 5, 6)) * 1_000_000n;
  const sim = new SimClock();
  const clock = { nowMs: () => sim.nowMs(), wallNs, after: sim.after.bind(sim) };
  return { stdout, stderr, sim, terminal: new Terminal({ stdout, stderr, env, json, quiet, verbose, clock }) };
}

const reports = (["error", "warning", "frame", "info", "detail"] as const).map((level): Report => ({
  level,
  event: { event: level },
  text: `the ${level}`,
  hints: level === "error" ? ["do this", "or that"] : [],
}));
const time = "2026-01-02T03:04:05.006Z";

describe("messages", () => {
  test.each<[Parameters<typeof open>[0], string]>([
    [{}, "error: the error\nhint: do this\nhint: or that\nthe warning\nthe frame\nthe info\n"],
    [
      { verbose: true },
      "error: the error\nhint: do this\nhint: or that\nthe warning\nthe frame\nthe info\nthe detail\n",
    ],
    [{ quiet: true }, "error: the error\nhint: do this\nhint: or that\nthe warning\nthe frame\n"],
    [
      { json: true },
      ["error", "warning", "frame", "info", "detail"]
        .map((event) => `{"time":"${time}","event":"${event}"}\n`)
        .join(""),
    ],
    [
      { json: true, quiet: true },
      ["error", "warning", "frame"].map((event) => `{"time":"${time}","event":"${event}"}\n`).join(""),
    ],
  ])("with %p", (options, expected) => {
    const { terminal, stdout, stderr } = open(options);
    for (const report of reports) terminal.report(report);
    expect(stderr.text).toBe(expected);
    expect(stdout.text).toBe("");
  });

  test.each<[string, Parameters<typeof open>[0], boolean]>([
    ["a terminal has them", { isTerminal: true, env: { TERM: "xterm" } }, true],
    ["a file has none", { isTerminal: false, env: { TERM: "xterm" } }, false],
    ["NO_COLOR", { isTerminal: true, env: { NO_COLOR: "1" } }, false],
    ["an empty NO_COLOR says nothing", { isTerminal: true, env: { NO_COLOR: "" } }, true],
    ["a dumb terminal", { isTerminal: true, env: { TERM: "dumb" } }, false],
  ])("colours: %s", (_, options, coloured) => {
    const { terminal, stderr } = open(options);
    terminal.error("broken", ["mend it"]);
    expect(stderr.text).toBe(
      coloured ? "\x1b[31merror:\x1b[0m broken\n\x1b[36mhint:\x1b[0m mend it\n" : "error: broken\nhint: mend it\n",
    );
  });

  test("nothing from outside reaches the terminal's controls", () => {
    const { terminal, stderr } = open();
    terminal.info("frame \x1b[2J\nerror: forged", { event: "x" });
    expect(stderr.text).toBe("frame \\x1b[2J\\x0aerror: forged\n");
  });

  test("json: an error with its hints, and exact numbers of any size", () => {
    const { terminal, stderr } = open({ json: true });
    terminal.error("broken", ["mend it"]);
    expect(JSON.parse(stderr.text)).toEqual({ time, event: "error", message: "broken", hints: ["mend it"] });
    expect(toJson({ small: 5n, large: 1_700_000_000_123_456_789n })).toBe('{"small":5,"large":"1700000000123456789"}');
  });

  test("what comes again and again is counted for people, and each a line for programs and for --verbose", () => {
    const report: Report = { level: "frame", event: { event: "refused", source: "vis" }, text: "refused" };
    const say = (options: Parameters<typeof open>[0], one = report): string[] => {
      const { terminal, stderr } = open(options);
      for (let at = 0; at < 100; at++) terminal.report(one);
      terminal.sumUp();
      return stderr.lines;
    };
    expect(say({}).length).toBeLessThan(20);
    expect(say({ json: true }).length).toBe(101);
    const detail = { ...report, level: "detail" } as const;
    expect(say({ verbose: true }, detail).length).toBe(101);
    expect(say({}, detail).length).toBe(1);
  });

  test("messages that were dropped are said in the form of the others", () => {
    expect(open().stderr.describeLost(1200, 61_000)).toBe("1,200 messages could not be written here in 1 min 01 s\n");
    expect(JSON.parse(open({ json: true }).stderr.describeLost(7, 1500))).toEqual({
      time,
      event: "dropped",
      messages: 7,
      seconds: 1.5,
    });
  });

  test("who is told to end says so to the stream", () => {
    const { terminal, stderr } = open();
    terminal.hurry();
    expect(stderr.hurried).toBe(true);
  });

  test("standard error that nobody reads any more stops nothing", () => {
    const { terminal, stderr } = open();
    stderr.closed = true;
    terminal.error("broken");
    expect(stderr.text).toBe("");
  });

  test("standard output that nobody reads any more ends the data", () => {
    const { terminal, stdout } = open();
    terminal.data("one");
    expect(stdout.text).toBe("one\n");
    stdout.closed = true;
    expect(() => terminal.data("two")).toThrow(OutputClosed);
  });
});

describe("display", () => {
  test("messages go above it, and each change is one write", () => {
    const { terminal, stderr } = open({ isTerminal: true });
    terminal.info("first", { event: "x" });
    terminal.draw(["visible 1", "infrared 1"]);
    expect(stderr.lines).toEqual(["first", "visible 1", "infrared 1", ""]);
    terminal.error("broken", ["mend it"]);
    expect(stderr.lines).toEqual(["first", "error: broken", "hint: mend it", "visible 1", "infrared 1", ""]);
    terminal.draw(["visible 2"]);
    expect(stderr.lines).toEqual(["first", "error: broken", "hint: mend it", "visible 2", ""]);
    terminal.draw([]);
    terminal.info("last", { event: "x" });
    expect(stderr.lines).toEqual(["first", "error: broken", "hint: mend it", "last", ""]);
    expect(stderr.writes.length).toBe(6);
  });

  test("a terminal that takes nothing for now keeps what it shows", () => {
    const { terminal, stderr } = open({ isTerminal: true });
    terminal.draw(["a 1"]);
    stderr.stalled = true;
    terminal.draw(["a 2", "b 2"]);
    stderr.stalled = false;
    terminal.draw(["a 3"]);
    expect(stderr.lines).toEqual(["a 3", ""]);
  });

  test("only where it can be drawn", () => {
    expect(open({ isTerminal: true }).terminal.interactive).toBe(true);
    expect(open({ isTerminal: false }).terminal.interactive).toBe(false);
    expect(open({ isTerminal: true, json: true }).terminal.interactive).toBe(false);
    expect(open({ isTerminal: true, quiet: true }).terminal.interactive).toBe(false);
    expect(open({ isTerminal: true, env: { TERM: "dumb" } }).terminal.interactive).toBe(false);
  });
});

describe("whether a standard stream is a terminal", () => {
  const module = JSON.stringify(join(import.meta.dir, "../../src/system/standard-streams.ts"));
  const program = `
    const { isTerminal } = await import(${module});
    process.stdout.write([0, 1, 2].map(isTerminal).join(" "));`;
  const words = [process.execPath, "-e", program];

  test.skipIf(Bun.which("python3") === null)("all three of a terminal are", () => {
    const spawn = `import pty\npty.spawn(${JSON.stringify(words)})`;
    const result = Bun.spawnSync(["python3", "-c", spawn], { stdin: "ignore" });
    expect(result.stdout.toString()).toBe("true true true");
  });

  test("a pipe, a file, another device and a closed stream are not", () => {
    const device = openSync("/dev/zero", "r");
    const file = openSync(import.meta.path, "r");
    for (const stdin of ["ignore", "pipe", device, file] as const) {
      const result = Bun.spawnSync(words, { stdin, stdout: "pipe", stderr: "ignore" });
      expect(result.stdout.toString()).toBe("false false false");
    }
    closeSync(device);
    closeSync(file);
    const result = Bun.spawnSync(["sh", "-c", 'exec "$@" <&-', "sh", ...words], { stdout: "pipe", stderr: "ignore" });
    expect(result.stdout.toString()).toBe("false false false");
  });
});
