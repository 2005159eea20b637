/** The options, each with what it promises to a user: the executable, real files, both ends. */
import { expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { exifJpegOf, tiffOf } from "../sources/exif-pictures.ts";
import { catalogueRows, differences, filesBelow, makeMegabytes, mountSmall, openPlace } from "../support/processes.ts";

/** Files with the given contents, in `dir`. */
function makeFiles(dir: string, files: Readonly<Record<string, string | Uint8Array>>): string {
  for (const [name, bytes] of Object.entries(files)) {
    mkdirSync(join(dir, name, ".."), { recursive: true });
    writeFileSync(join(dir, name), bytes);
  }
  return dir;
}

test("--device, --include, --layout, and the names that are taken without them", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const dir = makeFiles(place.path("vis"), { "1.jpg": "one", "sub/2.jpg": "two", "3.png": "three", "4.txt": "four" });
  makeFiles(dir, { ".hidden.jpg": "hidden", ".folder/5.jpg": "hidden" });
  const receiver = await place.receive(out);
  const to = ["--send", `127.0.0.1:${receiver.port}`];
  expect((await place.run([...to, dir])).status).toBe(0);
  expect((await place.run([...to, "--device", "rig/left", "--include", "*.jpg", "--include", "3.*", dir])).status).toBe(
    0,
  );
  expect((await place.run([...to, "--device", "one", `single=${join(dir, "sub", "2.jpg")}`])).status).toBe(0);
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  const second = await place.receive(out, { words: ["--layout", "{source}/{date}/{sequence}-{name}"] });
  utimesSync(join(dir, "1.jpg"), new Date("2026-02-03T23:59:59Z"), new Date("2026-02-03T23:59:59Z"));
  const laidOut = ["--send", `127.0.0.1:${second.port}`, "--device", "two", "--include", "1.jpg"];
  expect((await place.run([...laidOut, dir])).status).toBe(0);
  const host = hostname();
  expect(filesBelow(out)).toEqual(
    [
      ...["1.jpg", "sub/2.jpg", "3.png", "4.txt"].map((name) => `${host}/vis/${name}`),
      ...["1.jpg", "sub/2.jpg", "3.png"].map((name) => `rig/left/vis/${name}`),
      "one/single/2.jpg",
      "vis/2026-02-03/0-1.jpg",
    ].toSorted(),
  );
  expect((await place.run(["--verify", out])).status).toBe(0);
}, 60_000);

test("--max-frame: a larger frame is named at both ends and in the catalogue, the rest is stored", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const small = new Uint8Array(10_000);
  const dir = makeFiles(place.path("vis"), {
    "1.jpg": small,
    "2.jpg": new Uint8Array(10_001),
    "3.jpg": new Uint8Array(2_000_000),
    "4.jpg": small,
  });
  const receiver = await place.receive(out, { words: ["--once", "--max-frame", "10K"] });
  const sender = place.send(receiver.port, [dir]);
  expect(await sender.status()).toBe(4);
  expect(await receiver.status()).toBe(4);
  expect(filesBelow(join(out, "camera", "vis"))).toEqual(["1.jpg", "4.jpg"]);
  const large = ["2.jpg", "3.jpg"].map((name) => expect.objectContaining({ name, reason: "too-large" }));
  expect(sender.all("refused")).toEqual(large);
  expect(receiver.all("gap").map(({ name, reason }) => [name, reason])).toEqual([
    ["2.jpg", "refused"],
    ["3.jpg", "refused"],
  ]);
  const verified = await place.run(["--verify", out]);
  expect(verified.status).toBe(4);
  expect(verified.stdout).toContain("gap camera/vis/2.jpg (frame 1)");

  // With a larger limit the same command closes the gaps.
  const second = await place.receive(out, { words: ["--once"] });
  expect(await place.send(second.port, [dir]).status()).toBe(0);
  expect(await second.status()).toBe(0);
  expect((await place.run(["--verify", out])).status).toBe(0);
}, 60_000);

test("--max-frame at the sender: a larger frame is not sent, is named at both ends, and stays there", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const [small, large] = [new Uint8Array(10_000), new Uint8Array(10_001)];
  const dir = makeFiles(place.path("vis"), { "1.jpg": small, "2.jpg": large, "3.jpg": small });
  const limit = ["--max-frame", "10K"];
  const receiver = await place.receive(out);
  const sender = place.send(receiver.port, [dir], [...limit, "--delete-sent", "--unchanged-for", "0"]);
  expect(await sender.status()).toBe(4);
  const detail = "10001 bytes, limit 10000 (--max-frame of the sender)";
  expect(sender.all("refused")).toMatchObject([{ source: "vis", name: "2.jpg", reason: "too-large", detail }]);
  expect(sender.all("summary")).toMatchObject([{ frames: 3, stored: 2, refused: 1, skipped: 0 }]);
  expect(receiver.all("gap")).toMatchObject([{ name: "2.jpg", reason: "refused", detail }]);
  expect(filesBelow(dir)).toEqual(["2.jpg"]);

  // What is there already need not be sent.
  expect(await place.send(receiver.port, [dir]).status()).toBe(0);
  expect(await place.send(receiver.port, [dir], limit).status()).toBe(0);

  // The old protocol and a stream go on behind such a frame, too.
  makeFiles(dir, { "0.jpg": large, "4.jpg": small });
  const old = place.send(receiver.port, [`old=${dir}`], [...limit, "--lockstep"]);
  expect(await old.status()).toBe(4);
  expect(old.all("refused").map(({ name }) => name)).toEqual(["0.jpg", "2.jpg"]);
  const images = [5_000, 20_000, 6_000].map((bytes, at) => [place.path(`image-${at}`), bytes] as const);
  for (const [folder, bytes] of images) await makeFrameSet(folder, { kind: "jpeg", count: 1, bytes });
  const words = `--send 127.0.0.1:${receiver.port} --device d --json --name {sequence}-{run} --max-frame 10K stream=-`;
  const pipe = `cat ${images.map(([folder]) => `'${folder}'/*`).join(" ")} | '${place.executable}' ${words}`;
  const stream = place.startOther("bash", ["-c", pipe]);
  expect(await stream.status()).toBe(4);
  const beyond = expect.stringMatching(/^the JPEG at byte \d+: more than 10000 bytes$/);
  expect(stream.all("refused")).toMatchObject([{ source: "stream", count: 1, reason: "too-large", detail: beyond }]);
  expect(receiver.all("gap").at(-1)).toMatchObject({ source: "stream", reason: "refused", detail: beyond });
  expect(stream.all("summary")).toMatchObject([{ frames: 3, stored: 2, refused: 1 }]);
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  expect(filesBelow(join(out, "camera", "vis"))).toEqual(["1.jpg", "2.jpg", "3.jpg"]);
  expect(filesBelow(join(out, "lockstep", "old"))).toEqual(["old/4.jpg"]);
}, 60_000);

const mountable = process.platform === "linux" && process.getuid?.() === 0;

test.skipIf(!mountable)(
  "a full disk holds the sender and heals when there is space again; nothing is lost or half-written",
  async () => {
    await using place = await openPlace();
    const disk = place.path("disk");
    const unmount = mountSmall(disk, 6 * 2 ** 20);
    if (unmount === undefined) {
      console.log("skipped: mounting a file system is not allowed here");
      return;
    }
    place.onClose(unmount);
    const out = join(disk, "captures");
    const dir = place.path("vis");
    await makeFrameSet(dir, { kind: "jpeg", count: 60, bytes: 50_000 });
    writeFileSync(join(disk, "ballast"), new Uint8Array(4 * 2 ** 20));
    const receiver = await place.receive(out, { words: ["--min-free", "0", "--once"] });
    const sender = place.send(receiver.port, [dir]);
    await sender.waitFor("held");
    await receiver.waitFor("held");
    await Bun.sleep(1_500);
    for (const path of filesBelow(join(out, "camera", "vis"))) {
      expect(readFileSync(join(out, "camera", "vis", path)).equals(readFileSync(join(dir, path)))).toBe(true);
    }
    expect(sender.ended).toBe(false);
    rmSync(join(disk, "ballast"));
    expect(await sender.status()).toBe(0);
    expect(await receiver.status()).toBe(0);
    expect(receiver.count("resumed")).toBe(receiver.count("held"));
    expect(differences(dir, join(out, "camera", "vis"))).toEqual([]);
    expect((await place.run(["--verify", out])).status).toBe(0);
    expect(readdirSync(join(out, ".framepipe", "tmp"))).toEqual([]);
  },
  60_000,
);

test("--delete-sent: files go when they are stored, and not before; other bytes are sent first", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const dir = makeFiles(place.path("vis"), { "1.jpg": "one", "sub/2.jpg": "two", "3.jpg": "three" });
  const captured = new Date("2026-05-06T07:08:09Z");
  utimesSync(join(dir, "sub", "2.jpg"), captured, captured);
  const receiver = await place.receive(out, { words: ["--max-frame", "1M"] });
  // Without it, nothing is deleted.
  expect(await place.send(receiver.port, [dir]).status()).toBe(0);
  expect(filesBelow(dir)).toHaveLength(3);
  // 1 and 3 are there already; 2 has the size and the time that the receiver knows, but other bytes.
  writeFileSync(join(dir, "sub", "2.jpg"), "TWO");
  utimesSync(join(dir, "sub", "2.jpg"), captured, captured);
  makeFiles(dir, { "4.jpg": "four", "too-large.jpg": new Uint8Array(1_000_001) });
  const sender = place.send(receiver.port, [dir], ["--delete-sent", "--unchanged-for", "0"]);
  expect(await sender.status()).toBe(4);
  expect(filesBelow(dir)).toEqual(["too-large.jpg"]);
  expect(sender.all("conflict")).toMatchObject([{ name: "sub/2.jpg" }]);
  expect(readFileSync(join(out, "camera", "vis", "sub", "2~2.jpg"), "utf8")).toBe("TWO");
  expect(readFileSync(join(out, "camera", "vis", "sub", "2.jpg"), "utf8")).toBe("two");
  expect(readFileSync(join(out, "camera", "vis", "4.jpg"), "utf8")).toBe("four");
}, 60_000);

test.concurrent(
  "--min-free: with less, the sender is held and both ends say so; nothing is lost",
  async () => {
    await using place = await openPlace();
    const [out, dir] = [place.path("captures"), makeFiles(place.path("vis"), { "1.jpg": "one" })];
    const receiver = await place.receive(out, { words: ["--min-free", "1000000G"] });
    const sender = place.send(receiver.port, [dir]);
    expect((await sender.waitFor("held"))["reason"]).toContain("--min-free");
    expect((await receiver.waitFor("held"))["reason"]).toContain("free");
    // Longer than the idle limit: held is not dead.
    await Bun.sleep(12_000);
    expect(sender.ended).toBe(false);
    expect(sender.count("disconnected")).toBe(0);
    expect(sender.count("held")).toBe(1);
    expect(receiver.count("held")).toBe(1);
    expect(filesBelow(out)).toEqual([]);
    receiver.signal("SIGTERM");
    expect(await receiver.status()).toBe(0);
    expect(sender.ended).toBe(false);
    const second = await place.receive(out, { port: receiver.port });
    expect(await sender.status()).toBe(0);
    expect(filesBelow(out)).toEqual(["camera/vis/1.jpg"]);
    second.signal("SIGTERM");
    expect(await second.status()).toBe(0);
  },
  60_000,
);

test.concurrent(
  "--delete-sent: nothing is deleted while it is not stored",
  async () => {
    await using place = await openPlace();
    const [out, dir] = [place.path("captures"), makeFiles(place.path("vis"), { "1.jpg": "one", "2.jpg": "two" })];
    const receiver = await place.receive(out, { words: ["--min-free", "1000000G"] });
    const sender = place.send(receiver.port, [dir], ["--delete-sent", "--unchanged-for", "0"]);
    await sender.waitFor("held");
    sender.signal("SIGTERM");
    expect(await sender.status()).toBe(4);
    expect(filesBelow(dir)).toEqual(["1.jpg", "2.jpg"]);
  },
  60_000,
);

test.concurrent(
  "--retry-for: gives up with status 5",
  async () => {
    await using place = await openPlace();
    const dir = makeFiles(place.path("vis"), { "1.jpg": "one" });
    const startedMs = performance.now();
    const ended = await place.run(["--send", "127.0.0.1:9", "--retry-for", "1500ms", dir]);
    expect(ended.status).toBe(5);
    expect(performance.now() - startedMs).toBeGreaterThan(500);
    expect(ended.stderr).toMatch(/^error: gave up after [\d.]+ s without 127\.0\.0\.1:9: connection refused$/m);
    expect(ended.stderr).toMatch(/^hint: .*--retry-for/m);
    expect(ended.stderr).toContain("the same command goes on from here");
  },
  60_000,
);

test("--out /dev/null counts and discards", async () => {
  await using place = await openPlace();
  const dir = makeFiles(place.path("vis"), { "1.jpg": "one", "sub/2.jpg": new Uint8Array(1_000_000) });
  const receiver = await place.receive("/dev/null", { words: ["--once"], cwd: place.dir });
  expect(await place.send(receiver.port, [dir]).status()).toBe(0);
  expect(await receiver.status()).toBe(0);
  expect(receiver.all("received")).toMatchObject([{ frames: 2, bytes: 1_000_003 }]);
  expect(readdirSync(place.dir)).toEqual(["vis"]);
}, 60_000);

test("FRAMEPIPE_ variables stand in for options, and the command line wins", async () => {
  await using place = await openPlace();
  const [out, other] = [place.path("captures"), place.path("other")];
  const dir = makeFiles(place.path("vis"), { "1.jpg": "one", "2.png": "two" });
  const env = { FRAMEPIPE_OUT: out, FRAMEPIPE_RECEIVE: "127.0.0.1:0", FRAMEPIPE_JSON: "1", FRAMEPIPE_ONCE: "1" };
  const receiver = place.start([], { env });
  const { address } = await receiver.waitFor("listening");
  const sendEnv = { FRAMEPIPE_SEND: String(address), FRAMEPIPE_INCLUDE: "*.png", FRAMEPIPE_DEVICE: "from-env" };
  const inputs = { FRAMEPIPE_INPUT: `${dir}\nsecond=${dir}\n`, FRAMEPIPE_INCLUDE: "*.png\n*.bmp" };
  expect((await place.run(["--device", "typed"], { env: { ...sendEnv, ...inputs } })).status).toBe(0);
  expect(await receiver.status()).toBe(0);
  expect(filesBelow(out)).toEqual(["typed/second/2.png", "typed/vis/2.png"]);

  const second = place.start(["--out", other], { env: { ...env, FRAMEPIPE_INCLUDE: "*.jpg" } });
  const { address: secondAddress } = await second.waitFor("listening");
  expect((await place.run(["--send", String(secondAddress), dir], { env: sendEnv })).status).toBe(0);
  expect(await second.status()).toBe(0);
  expect(filesBelow(other)).toEqual(["from-env/vis/2.png"]);
  expect((await place.run([], { env: { FRAMEPIPE_VERIFY: other } })).status).toBe(0);
}, 60_000);

test("--quiet says nothing in a good run, --verbose says more, and neither touches standard output", async () => {
  await using place = await openPlace();
  const [out, dir] = [place.path("captures"), makeFiles(place.path("vis"), { "1.jpg": "one" })];
  const receiver = place.start(["--receive", "127.0.0.1:0", "--out", out, "--verbose"]);
  const port = /127\.0\.0\.1:(\d+)/.exec(await receiver.waitForLine("listening on"))?.[1] ?? "";
  const to = ["--send", `127.0.0.1:${port}`];
  expect(await place.run([...to, "--quiet", dir])).toEqual({ status: 0, stdout: "", stderr: "" });
  const plain = await place.run([...to, dir]);
  const verbose = await place.run([...to, "--verbose", dir]);
  for (const { status, stdout } of [plain, verbose]) expect([status, stdout]).toEqual([0, ""]);
  expect(plain.stderr).toContain("vis: 1 frame, 0 stored, 1 already there");
  expect(verbose.stderr.length).toBeGreaterThan(plain.stderr.length);
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  expect(await receiver.stdout).toBe("");

  const quiet = place.start(["--receive", `127.0.0.1:${port}`, "--out", out, "--quiet", "--once"]);
  expect((await place.run([...to, "--quiet", dir])).status).toBe(0);
  expect([await quiet.status(), await quiet.stdout, quiet.stderr]).toEqual([0, "", ""]);
}, 60_000);

test("--json: every line of standard error is an event; those of --verify are on standard output", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const dir = makeFiles(place.path("vis"), { "1.jpg": "one", "2.jpg": new Uint8Array(2_000) });
  symlinkSync("/nowhere", join(dir, "3.jpg"));
  const receiver = await place.receive(out, { words: ["--once", "--max-frame", "1000"] });
  const sender = place.send(receiver.port, [dir, place.path("missing")]);
  expect(await sender.status()).toBe(4);
  expect(await receiver.status()).toBe(4);
  for (const running of [sender, receiver]) {
    expect(running.lines).toEqual([]);
    expect(await running.stdout).toBe("");
    expect(running.events.length).toBeGreaterThan(4);
    for (const { event, time } of running.events) {
      expect(event).toMatch(/^[a-z-]+$/);
      expect(new Date(String(time)).toISOString()).toBe(String(time));
    }
  }
  expect(sender.all("error")).toMatchObject([
    { message: expect.stringContaining("missing"), hints: [expect.any(String)] },
  ]);
  const { stdout, stderr, status } = await place.run(["--verify", out, "--json"]);
  expect([status, stderr]).toEqual([4, ""]);
  const found = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { event: string });
  expect(found.map(({ event }) => event)).toEqual(["gap", "gap", "source", "verified"]);
  expect(found.at(-1)).toMatchObject({ frames: 1, missing: 0, changed: 0, unknown: 0, gapFrames: 2, clean: false });
}, 60_000);

test("--json --verbose: an event for each frame that is stored, at both ends, and for no other", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const dir = makeFiles(place.path("vis"), { "1.jpg": "one", "2.jpg": "two", "3.jpg": "three" });
  const receiver = await place.receive(out, { words: ["--verbose"] });
  const sent = async (...words: string[]) => {
    const sender = place.send(receiver.port, [dir], words);
    expect(await sender.status()).toBe(0);
    return sender.all("stored").map(({ source, name }) => [source, name]);
  };
  expect(await sent("--verbose", "--include", "[12].jpg")).toEqual([
    ["vis", "1.jpg"],
    ["vis", "2.jpg"],
  ]);
  expect(await sent("--include", "3.jpg")).toEqual([]);
  writeFileSync(join(dir, "1.jpg"), "another");
  expect(await sent("--verbose")).toEqual([["vis", "1.jpg"]]);
  expect(await sent("--verbose", "--lockstep")).toHaveLength(3);
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  const stored = receiver.all("stored").map(({ device, source, name, bytes }) => [device, source, name, bytes]);
  expect(stored.slice(0, 4)).toEqual([
    ["camera", "vis", "1.jpg", 3],
    ["camera", "vis", "2.jpg", 3],
    ["camera", "vis", "3.jpg", 5],
    ["camera", "vis", "1.jpg", 7],
  ]);
  expect(stored).toHaveLength(7);

  const quiet = await place.receive(place.path("quiet"), { words: ["--once"] });
  expect(await place.send(quiet.port, [dir]).status()).toBe(0);
  expect(await quiet.status()).toBe(0);
  expect(quiet.count("stored")).toBe(0);
}, 60_000);

for (const sync of ["each", "never"]) {
  test(`--sync ${sync} stores the same`, async () => {
    await using place = await openPlace();
    const [out, dir] = [place.path("captures"), place.path("vis")];
    await makeFrameSet(dir, { kind: "png", count: 60, bytes: 5_000 });
    const receiver = await place.receive(out, { words: ["--once", "--sync", sync] });
    expect(await place.send(receiver.port, [dir]).status()).toBe(0);
    expect(await receiver.status()).toBe(0);
    expect(differences(dir, join(out, "camera", "vis"))).toEqual([]);
    expect((await place.run(["--verify", out])).status).toBe(0);
  }, 60_000);
}

test("a conflict: the same name with other bytes is stored beside it and reported at both ends", async () => {
  await using place = await openPlace();
  const [out, dir] = [place.path("captures"), makeFiles(place.path("vis"), { "17.jpg": "first" })];
  const stored = join(out, "camera", "vis");
  const receiver = await place.receive(out);
  for (const bytes of ["first", "second", "third", "second", "first"]) {
    writeFileSync(join(dir, "17.jpg"), bytes);
    const sender = place.send(receiver.port, [dir]);
    expect(await sender.status()).toBe(0);
    const isNew = bytes === "third" || (bytes === "second" && !existsSync(join(stored, "17~3.jpg")));
    expect(sender.count("conflict")).toBe(isNew ? 1 : 0);
  }
  expect(receiver.all("conflict").map(({ source, name }) => [source, name])).toEqual([
    ["vis", "17.jpg"],
    ["vis", "17.jpg"],
  ]);
  const found = filesBelow(stored).map((name) => [name, readFileSync(join(stored, name), "utf8")]);
  expect(found).toEqual([
    ["17.jpg", "first"],
    ["17~2.jpg", "second"],
    ["17~3.jpg", "third"],
  ]);
  expect((await place.run(["--verify", out])).status).toBe(0);
}, 60_000);

test("a file that is there before us under the same name is not overwritten either", async () => {
  await using place = await openPlace();
  const [out, dir] = [place.path("captures"), makeFiles(place.path("vis"), { "1.jpg": "ours" })];
  makeFiles(join(out, "camera", "vis"), { "1.jpg": "somebody's" });
  const receiver = await place.receive(out, { words: ["--once"] });
  expect(await place.send(receiver.port, [dir]).status()).toBe(0);
  expect(await receiver.status()).toBe(0);
  expect(readFileSync(join(out, "camera", "vis", "1.jpg"), "utf8")).toBe("somebody's");
  expect(readFileSync(join(out, "camera", "vis", "1~2.jpg"), "utf8")).toBe("ours");
}, 60_000);

test("with --captured exif a file is stored with the time at which its picture was taken", async () => {
  await using place = await openPlace();
  const [out, dir] = [place.path("captures"), place.path("vis")];
  mkdirSync(dir);
  const exif = tiffOf({ dateTime: "2026:05:06 07:08:09", subSec: "25", offset: "-02:00" });
  writeFileSync(join(dir, "1.jpg"), exifJpegOf(exif));
  const receiver = await place.receive(out, { words: ["--once"] });
  expect(await place.send(receiver.port, ["--captured", "exif", dir]).status()).toBe(0);
  expect(await receiver.status()).toBe(0);
  const takenMs = Date.parse("2026-05-06T09:08:09.250Z");
  expect(statSync(join(out, "camera", "vis", "1.jpg")).mtimeMs).toBe(takenMs);
  const query = "SELECT captured / 1000000 AS ms, metadata ->> 'exif_datetimeoriginal' AS exif FROM frames";
  expect(catalogueRows(out, query)).toEqual([{ ms: takenMs, exif: "2026-05-06T07:08:09.25-02:00" }]);
}, 60_000);

test("files that cannot be read are named and recorded as gaps, and the rest is stored", async () => {
  await using place = await openPlace();
  const [out, dir] = [place.path("captures"), makeFiles(place.path("vis"), { "1.jpg": "one", "4.jpg": "four" })];
  symlinkSync(place.path("nowhere"), join(dir, "2.jpg"));
  symlinkSync("3.jpg", join(dir, "3.jpg"));
  writeFileSync(join(dir, "line\nbreak.jpg"), "no receiver would take this name");
  const receiver = await place.receive(out, { words: ["--once"] });
  const sender = place.send(receiver.port, [dir]);
  expect(await sender.status()).toBe(4);
  expect(await receiver.status()).toBe(4);
  expect(filesBelow(join(out, "camera", "vis"))).toEqual(["1.jpg", "4.jpg"]);
  expect(sender.all("skipped").map(({ name }) => name)).toEqual(["2.jpg", "3.jpg", ""]);
  expect(String(sender.all("skipped")[2]?.["detail"])).toContain("break.jpg");
  expect(sender.all("summary")).toMatchObject([{ frames: 5, stored: 2, skipped: 3 }]);
  const gaps = catalogueRows<{ name: string; first_sequence: number; reason: string }>(
    out,
    "SELECT name, first_sequence, reason FROM gaps ORDER BY first_sequence",
  );
  expect(gaps.map(({ name }) => name)).toEqual(["2.jpg", "3.jpg", ""]);
  expect(gaps.every(({ reason }) => reason === "unreadable" || reason === "vanished")).toBe(true);
  const sequences = catalogueRows<{ sequence: number }>(out, "SELECT sequence FROM frames").map((row) => row.sequence);
  const all = [...sequences, ...gaps.map((gap) => gap.first_sequence)].toSorted((a, b) => a - b);
  expect(all).toEqual([0, 1, 2, 3, 4]);
  const verified = await place.run(["--verify", out]);
  expect(verified.status).toBe(4);
  expect(verified.stdout).toContain("gap camera/vis/2.jpg (frame 0): a link to a file that is not there");
  expect(verified.stdout).toContain("3 gaps");
}, 60_000);

test("files that go and change during a run are sent as they were looked at, or as they are, and whole", async () => {
  await using place = await openPlace();
  const [out, dir] = [place.path("captures"), place.path("vis")];
  makeMegabytes(dir, 90);
  const receiver = await place.receive(out, { words: ["--once"] });
  const proxy = place.proxy({ targetPort: receiver.port, bytesPerSecond: 25e6 });
  const sender = place.send(proxy.port, [dir]);
  await sender.waitFor("connected");
  // Time to list them all, which have to be quiet first; of reading, the last ones are further off than the window.
  await Bun.sleep(2_400);
  const lastButOne = readFileSync(join(dir, "86.raw"));
  for (const name of ["87.raw", "89.raw"]) rmSync(join(dir, name));
  writeFileSync(join(dir, "88.raw"), "shorter now");
  expect(await sender.status()).toBe(0);
  expect(await receiver.status()).toBe(0);
  const stored = join(out, "camera", "vis");
  expect(differences(dir, stored)).toEqual(["not sent: 87.raw", "not sent: 89.raw"]);
  for (const name of ["87.raw", "89.raw"]) expect(statSync(join(stored, name)).size).toBe(lastButOne.length);
  expect((await place.run(["--verify", out])).status).toBe(0);
}, 60_000);
