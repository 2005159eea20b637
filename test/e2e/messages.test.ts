/** A year's log: what comes again and again stays readable, and whoever reads it, or does not, stops nothing. */
import { expect, test } from "bun:test";
import { closeSync, constants, mkdirSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { writeFileSync, writeSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { differences, openPlace, type Place, type Running } from "../support/processes.ts";
import { canMount, mountSmall } from "../support/small-disk.ts";

const linesMax = 20;

function makeFrames(dir: string, count: number, text: string): void {
  mkdirSync(dir, { recursive: true });
  for (let index = 0; index < count; index++) writeFileSync(join(dir, `${index}.raw`), `${text} ${index}`);
}

/** A receiver whose messages are for a person. */
async function receiveInWords(place: Place, words: readonly string[] = []): Promise<Running & { port: number }> {
  const running = place.start(["--receive", "127.0.0.1:0", "--out", place.path("captures"), ...words]);
  const line = await running.waitForLine("listening on");
  return Object.assign(running, { port: Number(/:(\d+),/.exec(line)?.[1]) });
}

/** Opens a connection, says nothing, and closes it, as a balancer's health check does. */
async function probe(port: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect(port, "127.0.0.1", () => socket.end());
  socket.on("close", () => resolve());
  socket.on("error", () => resolve());
  await promise;
}

test("conflicts, refused frames and health checks: few lines each, and none without its number", async () => {
  await using place = await openPlace();
  const [one, other] = [place.path("one"), place.path("other")];
  makeFrames(one, 300, "frame");
  makeFrames(other, 300, "other");
  writeFileSync(join(other, "large.raw"), new Uint8Array(2000));
  for (let index = 0; index < 60; index++) writeFileSync(join(other, `large-${index}.raw`), new Uint8Array(2000));
  const receiver = await receiveInWords(place, ["--max-frame", "1K"]);
  const send = (dir: string) => {
    return place.start(["--send", `127.0.0.1:${receiver.port}`, "--device", "cam", `vis=${dir}`]);
  };
  expect(await send(one).status()).toBe(0);
  const second = send(other);
  expect(await second.status()).toBe(4);
  for (let index = 0; index < 100; index++) await probe(receiver.port);
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);

  for (const { lines } of [receiver, second]) {
    for (const [kind, count] of [
      ["conflict cam/vis/", 300],
      ["conflict vis/", 300],
      ["refused cam/vis/", 61],
      ["refused vis/", 61],
      ["closed a connection", 100],
    ] as const) {
      const said = lines.filter((line) => line.includes(kind));
      if (said.length === 0) continue;
      expect(said.length).toBeLessThanOrEqual(linesMax);
      const told = said.map((line) => Number(/^(\d+) more in/.exec(line)?.[1] ?? 1));
      expect(told.reduce((sum, of) => sum + of, 0)).toBe(count);
    }
  }
  expect(receiver.lines.some((line) => line.includes("conflict cam/vis/"))).toBe(true);
  expect(receiver.lines.some((line) => line.includes("refused cam/vis/"))).toBe(true);
  expect(receiver.lines.some((line) => line.includes("closed a connection"))).toBe(true);
  expect(second.lines.some((line) => line.includes("refused vis/"))).toBe(true);
}, 60_000);

test("two cameras made from one card: said once at each end, with what to do about it", async () => {
  await using place = await openPlace();
  const [one, other] = [place.path("one"), place.path("other")];
  for (const dir of [one, other]) mkdirSync(dir);
  const receiver = await receiveInWords(place);
  const start = (dir: string, device: string): Running => {
    const words = ["--send", `127.0.0.1:${receiver.port}`, "--watch", "--device", device];
    return place.start([...words, `frames=${dir}`]);
  };
  const cameras = [start(one, "cam"), start(other, "cam")];
  const isSaid = (line: string): boolean => line.includes("called cam");
  for (let index = 0; index < 10; index++) {
    for (const dir of [one, other]) writeFileSync(join(dir, `${index}.pgm`), `P5 1 1 255\n${dir === one ? 1 : 2}`);
    await Bun.sleep(20);
  }
  for (const running of [receiver, ...cameras]) {
    await running.until(() => running.lines.some(isSaid), "that there are two");
    await running.waitForLine("hint: give each a name of its own: --device {host}-{id}");
  }
  // Each has its own name, the same each time.
  for (const camera of cameras) {
    camera.signal("SIGTERM");
    await camera.status();
  }
  const named = start(one, "{host}-{id}");
  await receiver.until(() => receiver.lines.some((line) => /^\S+-[0-9a-f]{12} sends from/.test(line)), "its name");
  named.signal("SIGTERM");
  await named.status();
  for (const running of [receiver, ...cameras]) expect(running.lines.filter(isSaid).length).toBe(1);
}, 60_000);

/** A receiver whose standard error goes to `path`; its events are read from there. */
async function receiveInto(place: Place, path: string, out: string, words: readonly string[]) {
  const all = ["--receive", "127.0.0.1:0", "--out", out, "--json", "--sync", "never", ...words];
  const receiver = place.startOther("bash", ["-c", `exec "$@" 2>> ${path}`, "bash", place.executable, ...all]);
  const heard = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  place.onClose(() => closeSync(heard));
  let first = "";
  while (!first.endsWith("\n")) {
    first += readNow(heard);
    await Bun.sleep(5);
  }
  return { receiver, heard, port: Number(/127\.0\.0\.1:(\d+)/.exec(first)?.[1]) };
}

function readNow(descriptor: number): string {
  const bytes = new Uint8Array(4096);
  try {
    return Buffer.from(bytes.subarray(0, readSync(descriptor, bytes))).toString();
  } catch {
    return "";
  }
}

test.each(["it ends by itself", "SIGTERM"])(
  "a reader of standard error that reads nothing stops neither transfers nor the end: %s",
  async (ending) => {
    await using place = await openPlace();
    const [dir, out, log] = [place.path("vis"), place.path("captures"), place.path("log")];
    // Each stored frame is an event: many times what a pipe holds and what is kept for its reader.
    makeFrames(join(dir, ...Array.from("four", (letter) => letter.repeat(200))), 1_500, "frame");
    expect(Bun.spawnSync(["mkfifo", log]).success).toBe(true);
    // Whoever opens the pipe to write waits for a reader.
    const reader = openSync(log, constants.O_RDONLY | constants.O_NONBLOCK);
    place.onClose(() => closeSync(reader));
    const words = ending === "SIGTERM" ? ["--verbose"] : ["--verbose", "--once"];
    const { receiver, heard, port } = await receiveInto(place, log, out, words);
    expect(await place.send(port, [dir]).status()).toBe(0);
    expect(differences(dir, join(out, "camera", "vis"))).toEqual([]);
    if (ending === "SIGTERM") receiver.signal("SIGTERM");
    expect(await receiver.status()).toBe(0);
    // What the pipe took is there, whole.
    let text = "";
    for (let piece = readNow(heard); piece !== ""; piece = readNow(heard)) text += piece;
    expect(text.trimEnd().split("\n").map(eventOf)).toContain("stored");
  },
  60_000,
);

function eventOf(line: string): string {
  return (JSON.parse(line) as { event: string }).event;
}

test.skipIf(!canMount())(
  "a log whose disk is full for a while has every line afterwards",
  async () => {
    await using place = await openPlace();
    const [dir, out, logs] = [place.path("vis"), place.path("captures"), place.path("logs")];
    makeFrames(dir, 300, "frame");
    place.onClose(mountSmall(logs, 1e6));
    const [log, filler] = [join(logs, "log"), join(logs, "filler")];
    writeFileSync(log, "");
    const { receiver, port } = await receiveInto(place, log, out, ["--verbose"]);
    fillDisk(filler);
    expect(await place.send(port, [dir]).status()).toBe(0);
    const during = readFileSync(log, "utf8");
    expect(during).not.toContain('"session-ended"');
    rmSync(filler);
    // By itself, without another message.
    while (!readFileSync(log, "utf8").includes('"session-ended"')) await Bun.sleep(20);
    receiver.signal("SIGTERM");
    expect(await receiver.status()).toBe(0);
    const events = readFileSync(log, "utf8").trimEnd().split("\n").map(eventOf);
    expect(events.filter((event) => event === "stored").length).toBe(300);
    expect(events.at(-1)).toBe("received");
  },
  60_000,
);

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
