/** Ends as they come from systemd, docker, cron, ssh and nohup: orderly where there is time, and never a loss. */
import { expect, test } from "bun:test";
import { closeSync, constants, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { catalogueRows, filesBelow, freePort, openPlace, type Place, type Running } from "../support/processes.ts";

const onLinux = process.platform === "linux";

/** Starts framepipe behind a line of shell that becomes it. */
function startIn(place: Place, shell: string, words: readonly string[]): Running {
  return place.startOther("bash", ["-c", `${shell} "$@"`, "bash", place.executable, ...words]);
}

function receiverWords(place: Place): string[] {
  return ["--receive", "127.0.0.1:0", "--out", place.path("captures"), "--json"];
}

async function portOf(running: Running): Promise<number> {
  const { address } = await running.waitFor("listening");
  return Number(String(address).split(":").at(-1));
}

/** A directory with some frames that are complete at once. */
function makeFrames(dir: string, count: number): void {
  mkdirSync(dir);
  for (let index = 0; index < count; index++) writeFileSync(join(dir, `${index}.pgm`), `P5 1 1 255\n${index % 10}`);
}

test("systemd at a log-out: SIGTERM and SIGHUP at once are one end, for either side", async () => {
  await using place = await openPlace();
  const dir = place.path("vis");
  makeFrames(dir, 20);
  const receiver = startIn(place, "exec", receiverWords(place));
  const sender = place.send(await portOf(receiver), [dir], ["--watch"]);
  await receiver.waitFor("session-started");
  while (filesBelow(place.path("captures")).length < 20) await Bun.sleep(10);
  sender.signal("SIGTERM");
  sender.signal("SIGHUP");
  expect(await sender.status()).toBe(0);
  receiver.signal("SIGHUP");
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  expect(receiver.all("session-ended")).toMatchObject([{ interrupted: false, storedFrames: 20 }]);
});

test("ssh: the terminal is gone with its reader, and the session ends in order", async () => {
  await using place = await openPlace();
  const dir = place.path("vis");
  makeFrames(dir, 20);
  const receiver = startIn(place, "exec", receiverWords(place));
  const port = await portOf(receiver);
  const log = place.path("log");
  expect(Bun.spawnSync(["mkfifo", log]).success).toBe(true);
  const terminal = openSync(log, constants.O_RDONLY | constants.O_NONBLOCK);
  const words = ["--send", `127.0.0.1:${port}`, "--device", "cam", "--watch", dir];
  const sender = startIn(place, `exec 2> ${log}; exec`, words);
  while (filesBelow(place.path("captures")).length < 20) await Bun.sleep(10);
  closeSync(terminal);
  sender.signal("SIGHUP");
  expect(await sender.status()).toBe(0);
  await receiver.waitFor("session-ended");
  expect(receiver.all("session-ended")).toMatchObject([{ interrupted: false, storedFrames: 20 }]);
});

test.skipIf(!onLinux).each(["nohup", "trap '' HUP; exec"])("%s: SIGHUP ends nothing", async (how) => {
  await using place = await openPlace();
  const dir = place.path("vis");
  makeFrames(dir, 20);
  const receiver = startIn(place, how.startsWith("trap") ? how : `exec ${how}`, receiverWords(place));
  const port = await portOf(receiver);
  receiver.signal("SIGHUP");
  expect(await place.send(port, [dir]).status()).toBe(0);
  expect(receiver.ended).toBe(false);
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  expect(receiver.count("stopping")).toBe(1);
});

test.skipIf(!onLinux || process.getuid?.() !== 0)(
  "docker: as process 1, which only hears what it asks for",
  async () => {
    await using place = await openPlace();
    const unshared = Bun.spawnSync(["unshare", "--pid", "--fork", "true"]).success;
    if (!unshared) return;
    const receiver = startIn(place, "exec unshare --pid --fork --kill-child", receiverWords(place));
    await portOf(receiver);
    const path = `/proc/${receiver.pid}/task/${receiver.pid}/children`;
    const inside = Number(readFileSync(path, "utf8").trim());
    process.kill(inside, "SIGTERM");
    expect(await receiver.status()).toBe(0);
    expect(receiver.all("received").length).toBe(1);
  },
);

test("cron: no input, no output, and the parent gone before the end", async () => {
  await using place = await openPlace();
  const dir = place.path("vis");
  makeFrames(dir, 20);
  const receiver = startIn(place, "exec", receiverWords(place));
  const port = await portOf(receiver);
  const status = place.path("status");
  // The shell in between goes at once; who runs on is nobody's child.
  const words = ["--send", `127.0.0.1:${port}`, "--device", "cam", dir];
  const left = `( "$@" <&- >&- 2>&- & wait $!; echo $? > ${status} ) > /dev/null 2>&1 & exit 0; :`;
  const shell = place.startOther("bash", ["-c", left, "bash", place.executable, ...words]);
  expect(await shell.status()).toBe(0);
  await receiver.waitFor("session-ended");
  while (readText(status) === "") await Bun.sleep(10);
  expect(readText(status)).toBe("0\n");
  expect(filesBelow(place.path("captures")).length).toBe(20);
});

test("a stream whose input is closed from the start has ended, and says so", async () => {
  await using place = await openPlace();
  const receiver = startIn(place, "exec", receiverWords(place));
  const sender = startIn(place, "exec <&-; exec", ["--send", `127.0.0.1:${await portOf(receiver)}`, "--json", "vis=-"]);
  expect(await sender.status()).toBe(4);
  expect(sender.all("problem")).toMatchObject([{ reason: "empty" }]);
});

test("a closed standard error is nobody's file: no message goes to what is opened in its place", async () => {
  await using place = await openPlace();
  const [dir, out] = [place.path("vis"), place.path("captures")];
  makeFrames(dir, 20);
  // The port is not heard of, so it is given.
  const port = freePort();
  const words = ["--receive", `127.0.0.1:${port}`, "--out", out, "--once", "--verbose"];
  const receiver = startIn(place, "exec 2>&-; exec", words);
  expect(await place.send(port, [dir]).status()).toBe(0);
  expect(await receiver.status()).toBe(0);
  expect(catalogueRows(out, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  expect((await place.run(["--verify", out])).status).toBe(0);
  const ours = filesBelow(join(out, "camera", "vis")).map((name) => readFileSync(join(out, "camera", "vis", name)));
  expect(ours.every((bytes) => bytes.toString().startsWith("P5 1 1 255\n"))).toBe(true);
});

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
