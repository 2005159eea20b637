/**
 * Everything that must hold before a change is taken: format, lint, types, build, demonstration, tests. On a fresh
 * machine too: it installs the dependencies and, as root on Debian, what the tests need from there.
 *
 * A step counts as one test. The last line is `N passed, N failed, N skipped`, and the exit status is 1 if any failed.
 */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { installDependencies, requireBun, root, runQuietly, shown } from "./project.ts";

/**
 * Ten times what any test takes on an idle machine: a test that hangs must end, one on a machine that is busy with
 * other things must not fail.
 */
const testTimeoutMs = 120_000;
/** All tests together: something that hangs outside a test must end too, long before CI would give up. */
const testsTimeoutMs = 30 * 60_000;

const total = { passed: 0, failed: 0, skipped: 0 };

/** What some tests run, and how to see that it is there. A test that finds its tool missing counts as skipped. */
interface Tool {
  readonly debianPackage: string;
  /** A command, or with a slash, a path. */
  readonly probe: string;
}

const tools: readonly Tool[] = [
  { debianPackage: "ffmpeg", probe: "ffmpeg" },
  { debianPackage: "libjpeg-turbo-progs", probe: "djpeg" },
  { debianPackage: "netpbm", probe: "pngtopnm" },
  { debianPackage: "sqlite3", probe: "sqlite3" },
  { debianPackage: "strace", probe: "strace" },
  { debianPackage: "tmux", probe: "tmux" },
  { debianPackage: "iperf3", probe: "iperf3" },
  { debianPackage: "socat", probe: "socat" },
  { debianPackage: "openssl", probe: "openssl" },
  { debianPackage: "nats-server", probe: "nats-server" },
  { debianPackage: "haproxy", probe: "haproxy" },
];
/** To run the linux-arm64 executable on another processor. */
const arm64Tools: readonly Tool[] = [
  { debianPackage: "qemu-user-static", probe: "qemu-aarch64-static" },
  { debianPackage: "libc6-arm64-cross", probe: "/usr/aarch64-linux-gnu/lib/libc.so.6" },
  { debianPackage: "libgcc-s1-arm64-cross", probe: "/usr/aarch64-linux-gnu/lib/libgcc_s.so.1" },
  { debianPackage: "libstdc++6-arm64-cross", probe: "/usr/aarch64-linux-gnu/lib/libstdc++.so.6" },
];

function missingTools(): Tool[] {
  const wanted = process.platform === "linux" && process.arch === "x64" ? [...tools, ...arm64Tools] : tools;
  return wanted.filter(({ probe }) => (probe.includes("/") ? !existsSync(probe) : Bun.which(probe) === null));
}

/** Installs what is missing where that is ours to do, and names what stays missing. Never fails the check. */
async function provideTools(): Promise<void> {
  let missing = missingTools();
  const isDebianRoot = process.getuid?.() === 0 && Bun.which("apt-get") !== null && existsSync("/etc/debian_version");
  if (missing.length > 0 && isDebianRoot) {
    const apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"];
    const names = missing.map(({ debianPackage }) => debianPackage);
    console.log(`\nInstalling for the tests: ${names.join(" ")}`);
    // One by one, so that a package that this Debian does not have costs only itself.
    const installs = names.map((name) => ["install", "--yes", "--no-install-recommends", name]);
    for (const command of [["update"], ...installs]) {
      const { status, output } = await runQuietly([...apt, ...command]);
      if (status !== 0)
        console.log(`apt-get ${command.join(" ")} ended with status ${status}:\n${lastLines(output, 5)}`);
    }
    missing = missingTools();
  }
  if (missing.length === 0) return;
  console.log("\nNot installed, so the tests that need them are skipped:");
  for (const { debianPackage } of missing) console.log(`  ${debianPackage}`);
}

function lastLines(text: string, count: number): string {
  return text.trimEnd().split("\n").slice(-count).join("\n");
}

/** One step, silent when it passes. */
async function step(name: string, command: string[]): Promise<void> {
  const startedMs = performance.now();
  const { status, output } = await runQuietly(command);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  if (status === 0) {
    total.passed++;
    console.log(`ok      ${name} (${seconds} s)`);
    return;
  }
  total.failed++;
  console.log(`FAILED  ${name} (${seconds} s), status ${status}:\n${output.trimEnd()}\n`);
}

/** `bun test`, passed on as it comes; the counts are those of its summary. */
async function tests(words: readonly string[]): Promise<void> {
  const command = [process.execPath, "test", "--timeout", `${testTimeoutMs}`, ...words];
  console.log(`\n$ ${shown(command)}`);
  const child = Bun.spawn(command, { cwd: root, stdio: ["ignore", "inherit", "pipe"], timeout: testsTimeoutMs });
  const text = new TextDecoder();
  let tail = "";
  for await (const piece of child.stderr) {
    process.stderr.write(piece);
    tail = (tail + text.decode(piece, { stream: true })).slice(-summaryCharacters);
  }
  const status = await child.exited;
  const count = (word: string): number => Number(new RegExp(`^ *(\\d+) ${word}$`, "m").exec(tail)?.[1] ?? 0);
  const [passed, failed] = [count("pass"), count("fail")];
  total.passed += passed;
  // A run that crashed or found no test has no summary, or one that says nothing of it: that must not pass.
  total.failed += failed === 0 && (status !== 0 || passed === 0) ? 1 : failed;
  total.skipped += count("skip");
}
/** The summary is a handful of short lines at the end. */
const summaryCharacters = 200;

/** These judge speed, so they have the machine to themselves. */
const measuring = ["test/bench/guard.test.ts"];
/**
 * Files of tests that run side by side, each in a process of its own. Most of a test is waiting, for timers and for
 * other processes, so there are more of them than processors; no more than eight, because all of them share one disk.
 */
const workers = Math.min(2 * availableParallelism(), 8);

requireBun("check");
if ((await installDependencies()) === 0) total.passed++;
else total.failed++;
await provideTools();

const bun = process.execPath;
console.log("");
await step("format", [bun, "fmt", "--no-script", "--check"]);
await step("lint", [bun, "run", "--silent", "lint"]);
await step("types", [bun, "check", "--no-script"]);
await step("build", [bun, "scripts/build.ts"]);
await step("demonstration", [bun, "scripts/demo.ts"]);
await tests([`--parallel=${workers}`, ...measuring.map((path) => `--path-ignore-patterns=${path}`)]);
await tests(measuring);

console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 ? 0 : 1;
