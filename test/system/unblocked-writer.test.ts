/** A reader that does not read is never waited for, and what we share with others stays as it was. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { askingWriter, reopenedWriter, unblockedWriter, type WriteNow } from "../../src/system/unblocked-writer.ts";

const onLinux = process.platform === "linux";
let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "framepipe-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A pipe between us and a reader that reads when it is told to. */
function openPipe() {
  const path = join(folder, crypto.randomUUID());
  if (!Bun.spawnSync(["mkfifo", path]).success) throw new Error("no mkfifo");
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  // As a shell opens it: whoever writes to a full pipe waits.
  const writer = openSync(path, constants.O_WRONLY);
  const read = (bytes: number): number => readSync(reader, new Uint8Array(bytes), 0, bytes, null);
  return { reader, writer, read };
}

function fill(write: WriteNow): number {
  let written = 0;
  for (const bytes of [1000, 1]) {
    for (let count = 1; count > 0; written += count) count = write(new Uint8Array(bytes));
  }
  return written;
}

function flagsOf(descriptor: number): string | undefined {
  return /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8"))?.[1];
}

const ways: readonly (readonly [string, (descriptor: number) => WriteNow | undefined])[] = [
  ["opened anew", reopenedWriter],
  ["asked first", askingWriter],
  ["as it is chosen", unblockedWriter],
];

test.skipIf(!onLinux).each(ways)("a pipe that nobody empties takes what fits, and goes on later: %s", (_, open) => {
  const { reader, writer, read } = openPipe();
  const before = flagsOf(writer);
  const write = open(writer);
  if (write === undefined) throw new Error("it cannot be written to");
  const filled = fill(write);
  expect(filled).toBeGreaterThanOrEqual(60_000);
  expect(write(new Uint8Array(1))).toBe(0);
  read(8192);
  const more = fill(write);
  expect(more).toBeGreaterThanOrEqual(4096);
  expect(more).toBeLessThanOrEqual(8192);
  expect(flagsOf(writer)).toBe(before as string);
  closeSync(reader);
  expect(() => write(new Uint8Array(1))).toThrow("EPIPE");
  closeSync(writer);
});

test.skipIf(!onLinux || Bun.which("python3") === null)(
  "a socket and a terminal that nobody reads, too",
  async () => {
    const module = JSON.stringify(join(import.meta.dir, "../../src/system/unblocked-writer.ts"));
    const program = `
    const { unblockedWriter } = await import(${module});
    const write = unblockedWriter(2);
    let written = 0;
    for (let count = 1; count > 0; written += count) count = write(new Uint8Array(1000).fill(97));
    require("node:fs").writeSync(1, written > 1000 ? "went on" : "only " + written);`;
    const start = `
import os, pty, socket, subprocess, sys
ends = socket.socketpair() if sys.argv[1] == "socket" else [os.fdopen(end, "wb", 0) for end in pty.openpty()]
subprocess.run(sys.argv[2:], stderr=ends[1].fileno(), timeout=20)`;
    for (const kind of ["socket", "terminal"]) {
      const words = ["python3", "-c", start, kind, process.execPath, "-e", program];
      const result = Bun.spawnSync(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
      expect(result.stdout.toString() + result.stderr.toString(), kind).toBe("went on");
    }
  },
  60_000,
);

test("a file takes everything, and /dev/null and a closed descriptor do no harm", () => {
  const path = join(folder, "file");
  const file = openSync(path, "w");
  expect(unblockedWriter(file)(Buffer.from("line\n"))).toBe(5);
  closeSync(file);
  expect(readFileSync(path, "utf8")).toBe("line\n");
  expect(() => unblockedWriter(file)(Buffer.from("line\n"))).toThrow();
  const nothing = openSync("/dev/null", "w");
  expect(unblockedWriter(nothing)(new Uint8Array(1e6))).toBe(1e6);
  closeSync(nothing);
});
