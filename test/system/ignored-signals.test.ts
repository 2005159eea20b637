import { expect, test } from "bun:test";
import { join } from "node:path";

const module = JSON.stringify(join(import.meta.dir, "../../src/system/ignored-signals.ts"));
const program = `
  const { isIgnored, ignoredByStatus, ignoredByAction } = await import(${module});
  process.stdout.write([isIgnored("SIGHUP"), ignoredByStatus(1), ignoredByAction(1), ignoredByAction(15)].join(" "));`;

test.skipIf(process.platform !== "linux").each([
  ["exec", "false false false false"],
  ["trap '' HUP; exec", "true true true false"],
  ["nohup", "true true true false"],
])("what was ignored at the start is found in both ways: %s", (how, expected) => {
  const words = ["bash", "-c", `${how} "$@" 2> /dev/null`, "bash", process.execPath, "-e", program];
  expect(Bun.spawnSync(words, { stdin: "ignore" }).stdout.toString()).toBe(expected);
});
