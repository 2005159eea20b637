/** Messages to a reader that stalls, goes or has no room: nobody waits, what is kept is whole, the rest counted. */
import { describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MiB } from "../../src/limits.ts";
import { LogStream } from "../../src/system/log-stream.ts";
import { systemClock } from "../../src/system/system-clock.ts";
import { SimClock } from "../simulation/sim-clock.ts";
import { canMount, mountSmall } from "../support/small-disk.ts";

const nonBlockingReader = constants.O_RDONLY | constants.O_NONBLOCK;

function openPipe() {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-"));
  const path = join(folder, "pipe");
  if (!Bun.spawnSync(["mkfifo", path]).success) throw new Error("no mkfifo");
  const state = { reader: openSync(path, nonBlockingReader) };
  const descriptor = openSync(path, constants.O_WRONLY);
  /** What is there now. */
  const read = (): string => {
    const bytes = new Uint8Array(65_536);
    try {
      return Buffer.from(bytes.subarray(0, readSync(state.reader, bytes, 0, bytes.length, null))).toString();
    } catch {
      return "";
    }
  };
  return {
    path,
    state,
    descriptor,
    read,
    [Symbol.dispose]: () => {
      closeSync(descriptor);
      rmSync(folder, { recursive: true });
    },
  };
}

function openLog(descriptor: number, clock: SimClock | typeof systemClock = new SimClock()) {
  const log = new LogStream({ descriptor, clock });
  log.describeLost = (messages) => `lost ${messages}\n`;
  return log;
}

function line(index: number): string {
  return `message ${index} ${"x".repeat(200)}\n`;
}

/** Each message once and whole, in order, and as many said to be lost as are missing. */
function checkLines(text: string, sent: number): { readonly lost: number } {
  expect(text.endsWith("\n")).toBe(true);
  let next = 0;
  let lost = 0;
  for (const each of text.trimEnd().split("\n")) {
    const dropped = /^lost (\d+)$/.exec(each)?.[1];
    if (dropped !== undefined) {
      next += Number(dropped);
      lost += Number(dropped);
    } else expect(`${each}\n`).toBe(line(next++));
  }
  expect(next).toBe(sent);
  return { lost };
}

describe("a reader that stalls", () => {
  test("and reads on: nothing is lost that fits what is kept, in order, without another message", () => {
    using pipe = openPipe();
    const clock = new SimClock();
    const log = openLog(pipe.descriptor, clock);
    for (let index = 0; index < 2000; index++) log.write(line(index));
    let text = "";
    // Nobody says anything more: the stream itself goes on.
    for (let step = 0; step < 1000 && clock.step(); step++) text += pipe.read();
    expect(checkLines(text + pipe.read(), 2000).lost).toBe(0);
    expect(clock.step()).toBe(false);
  });

  test("for long: what is beyond the limit is dropped and its number said in its place", () => {
    using pipe = openPipe();
    const clock = new SimClock();
    const log = openLog(pipe.descriptor, clock);
    let sent = 0;
    let text = "";
    for (let round = 0; round < 5; round++) {
      for (let index = 0; index < 8000; index++) log.write(line(sent++));
      // It reads a little, and stalls again.
      for (let piece = 0; piece < 3; piece++) {
        text += pipe.read();
        clock.step();
      }
    }
    for (let step = 0; step < 1000 && clock.step(); step++) text += pipe.read();
    const { lost } = checkLines(text + pipe.read(), sent);
    expect(lost).toBeGreaterThan(0);
    expect(lost).toBeLessThan(sent);
  });

  test("wakes us rarely, and not at all when nothing waits", () => {
    using pipe = openPipe();
    const clock = new SimClock();
    const log = openLog(pipe.descriptor, clock);
    log.write("one\n");
    expect(clock.step()).toBe(false);
    for (let index = 0; index < 2000; index++) log.write(line(index));
    let wakes = 0;
    while (clock.nowMs() < 600_000 && clock.step()) wakes++;
    expect(wakes).toBeLessThan(650);
  });

  test("does not keep us from ending", () => {
    using pipe = openPipe();
    const log = openLog(pipe.descriptor, systemClock);
    for (let index = 0; index < 2000; index++) log.write(line(index));
    const startMs = performance.now();
    log.finish();
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });
});

test("at the end a reader that is only slow gets everything", async () => {
  using pipe = openPipe();
  const log = openLog(pipe.descriptor, systemClock);
  const lines = Array.from({ length: 1500 }, (_, index) => line(index));
  const bytes = lines.join("").length;
  // Another process reads, because the end is waited for in one call.
  const pieces = `for i in $(seq ${Math.floor(bytes / 10_000)}); do head -c 10000; sleep 0.01; done`;
  const copy = `${pipe.path}.copy`;
  const command = `{ sleep 0.2; ${pieces}; head -c ${bytes % 10_000}; } < ${pipe.path} > ${copy}`;
  const child = Bun.spawn(["bash", "-c", command], { stdio: ["ignore", "ignore", "ignore"] });
  for (const each of lines) log.write(each);
  log.finish();
  await child.exited;
  expect(checkLines(readFileSync(copy, "utf8"), lines.length).lost).toBe(0);
}, 30_000);

test("what is of use only now is left out while something waits, and then whole", () => {
  using pipe = openPipe();
  const log = openLog(pipe.descriptor);
  expect(log.tryWrite("display\n")).toBe(true);
  expect(pipe.read()).toBe("display\n");
  for (let index = 0; index < 400; index++) log.write(line(index));
  expect(log.tryWrite("display\n")).toBe(false);
  let text = "";
  for (let piece = pipe.read(); piece !== ""; piece = pipe.read()) {
    text += piece;
    if (log.tryWrite("")) break;
  }
  checkLines(text + pipe.read(), 400);
  expect(log.tryWrite("display\n")).toBe(true);
  expect(pipe.read()).toBe("display\n");
});

test("a reader that goes away ends nothing; the next one learns how much it missed", () => {
  using pipe = openPipe();
  const log = openLog(pipe.descriptor);
  log.write(line(0));
  expect(pipe.read()).toBe(line(0));
  closeSync(pipe.state.reader);
  for (let index = 1; index < 50; index++) log.write(line(index));
  pipe.state.reader = openSync(pipe.path, nonBlockingReader);
  log.write(line(50));
  expect(pipe.read()).toBe(`lost 49\n${line(50)}`);
});

test("a line whose rest was lost with its reader is ended before the next one", () => {
  using pipe = openPipe();
  const log = openLog(pipe.descriptor);
  // Longer than what a pipe takes whole or not at all.
  for (let index = 0; index < 9; index++) log.write(`${"x".repeat(10_000)}\n`);
  closeSync(pipe.state.reader);
  log.write("gone\n");
  pipe.state.reader = openSync(pipe.path, nonBlockingReader);
  // What the pipe had taken is still there, and ends within a line.
  const before = pipe.read();
  expect(before.endsWith("x\n")).toBe(false);
  log.write("again\n");
  expect(pipe.read()).toMatch(/^\nlost \d+\nagain\n$/);
});

test.skipIf(!canMount())("a full disk mutes us for as long as it is full, and costs no part of a line", () => {
  const folder = mkdtempSync(join(tmpdir(), "framepipe-"));
  const unmount = mountSmall(folder, 4 * MiB);
  const [path, filler] = [join(folder, "log"), join(folder, "filler")];
  const descriptor = openSync(path, "a");
  try {
    const clock = new SimClock();
    const log = openLog(descriptor, clock);
    log.write(line(0));
    fillDisk(filler);
    // More than the file's last page and what is kept.
    for (let index = 1; index < 8000; index++) log.write(line(index));
    for (let step = 0; step < 20; step++) clock.step();
    expect(readFileSync(path).byteLength).toBeLessThan(8192);
    unlinkSync(filler);
    // By itself, without another message.
    clock.step();
    const { lost } = checkLines(readFileSync(path, "utf8"), 8000);
    expect(lost).toBeGreaterThan(0);
    expect(lost).toBeLessThan(8000);
    expect(clock.step()).toBe(false);
  } finally {
    closeSync(descriptor);
    unmount();
    rmSync(folder, { recursive: true, force: true });
  }
});

function fillDisk(path: string): void {
  const filler = openSync(path, "w");
  try {
    for (;;) writeSync(filler, new Uint8Array(4096));
  } catch (error) {
    expect((error as { code?: unknown }).code).toBe("ENOSPC");
  } finally {
    closeSync(filler);
  }
}
