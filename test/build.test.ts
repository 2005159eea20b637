/** The executable itself: says what it is, and is not led astray by the directory it is started in. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildExecutable, commit } from "../scripts/build.ts";
import { version } from "../scripts/project.ts";

/** Bun for another target may have to be fetched. */
const buildTimeoutMs = 180_000;
const emulator = Bun.which("qemu-aarch64-static");
const arm64Libraries = "/usr/aarch64-linux-gnu";

const dir = mkdtempSync(join(tmpdir(), "framepipe-"));
const executable = join(dir, process.platform === "win32" ? "framepipe.exe" : "framepipe");

beforeAll(() => buildExecutable({ outfile: executable }), buildTimeoutMs);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function outputOf(command: string[], cwd: string = dir): string {
  const result = Bun.spawnSync(command, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  expect(result.stderr.toString()).toBe("");
  expect(result.exitCode).toBe(0);
  return result.stdout.toString();
}

test("--version gives the version and the commit it was built from", () => {
  const words = outputOf([executable, "--version"]).split(/[^\w.-]+/);
  expect(words).toContain(version);
  expect(words).toContain(commit());
});

test("nothing else is left beside it", () => {
  const files = [...new Bun.Glob("*").scanSync({ cwd: dir, dot: true, onlyFiles: false })];
  expect(files).toEqual([executable.slice(dir.length + 1)]);
});

/** Starts a receiver and waits until it listens or ends; what it had to say, and its status if it ended. */
async function startReceiver(cwd: string, env: Record<string, string>): Promise<{ says: string; status?: number }> {
  const receiver = Bun.spawn([executable, "--receive", "127.0.0.1:0", "--out", "/dev/null"], {
    cwd,
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const text = new TextDecoder();
  let says = "";
  for await (const piece of receiver.stderr) {
    says += text.decode(piece, { stream: true });
    if (!says.includes("listening on")) continue;
    receiver.kill("SIGKILL");
    await receiver.exited;
    return { says };
  }
  return { says, status: await receiver.exited };
}

test("an .env and a bunfig.toml in its working directory are not read", async () => {
  const trap = join(dir, "trap");
  mkdirSync(trap);
  const sprung = join(trap, "sprung");
  writeFileSync(join(trap, "preload.ts"), `require("node:fs").writeFileSync(${JSON.stringify(sprung)}, "");`);
  writeFileSync(join(trap, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
  writeFileSync(join(trap, ".env"), "FRAMEPIPE_MAX_FRAME=nonsense\n");

  // The trap works: Bun itself, started there, runs the preload and reads the .env, and the variable matters.
  writeFileSync(join(trap, "main.ts"), "process.stdout.write(process.env.FRAMEPIPE_MAX_FRAME);");
  expect(outputOf([process.execPath, "main.ts"], trap)).toBe("nonsense");
  expect(existsSync(sprung)).toBe(true);
  rmSync(sprung);
  expect((await startReceiver(dir, { FRAMEPIPE_MAX_FRAME: "nonsense" })).status).toBe(2);

  const { says, status } = await startReceiver(trap, {});
  expect(says).toContain("listening on");
  expect(status).toBeUndefined();
  expect(existsSync(sprung)).toBe(false);
});

const arm64Missing = emulator === null || !existsSync(arm64Libraries);
if (arm64Missing) console.log("skipped: the linux-arm64 executable needs qemu-user-static and libc6-arm64-cross");

test.skipIf(arm64Missing)(
  "the linux-arm64 executable runs",
  async () => {
    const outfile = join(dir, "arm64", "framepipe");
    await buildExecutable({ outfile, target: "linux-arm64" });
    const output = outputOf([emulator ?? "", "-L", arm64Libraries, outfile, "--version"]);
    expect(output).toBe(outputOf([executable, "--version"]));
  },
  buildTimeoutMs,
);
