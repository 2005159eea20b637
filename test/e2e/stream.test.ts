/** Cameras that do not stop: pipes into the sender, whatever the link does meanwhile. */
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { catalogueRows, differences, filesBelow, freePort, openPlace, type Place } from "../support/processes.ts";

const ffmpeg = Bun.which("ffmpeg");
const onWindows = process.platform === "win32";

interface Camera {
  readonly pipe: string;
  /** What it takes pictures of, in order. */
  readonly frames: readonly string[];
  /** Everything was written into the pipe. */
  readonly finished: Promise<number>;
}

/** A named pipe that a process writes JPEG frames into as fast as they are read. */
async function makeCamera(place: Place, name: string, count: number, bytes: number): Promise<Camera> {
  const dir = place.path(`${name}-frames`);
  await makeFrameSet(dir, { kind: "jpeg", count, bytes });
  const frames = filesBelow(dir).toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
  const film = place.path(`${name}.film`);
  writeFileSync(film, Buffer.concat(frames.map((path) => readFileSync(join(dir, path)))));
  const pipe = place.path(`${name}.pipe`);
  if (!Bun.spawnSync(["mkfifo", pipe]).success) throw new Error("no named pipe");
  const writer = Bun.spawn(["sh", "-c", 'cat "$0" > "$1"', film, pipe], { stderr: "ignore" });
  place.onClose(() => writer.kill("SIGKILL"));
  return { pipe, frames: frames.map((path) => join(dir, path)), finished: writer.exited };
}

/** The stored frames of a stream, in the order of their names, which is that of the stream. */
function stored(out: string, source: string): string[] {
  const dir = join(out, "camera", source);
  return filesBelow(dir).map((path) => join(dir, path));
}

function sameBytes(paths: readonly string[], others: readonly string[]): boolean {
  return (
    paths.length === others.length &&
    paths.every((path, at) => readFileSync(path).equals(readFileSync(others[at] ?? "")))
  );
}

describe.skipIf(onWindows)("a stream", () => {
  test.skipIf(ffmpeg === null).each([
    ["mjpeg", "jpg", 200],
    ["png", "png", 25],
  ])("%s from ffmpeg arrives as the files that ffmpeg would write", async (codec, extension, count) => {
    await using place = await openPlace();
    const out = place.path("captures");
    const receiver = await place.receive(out, { words: ["--once"] });
    const picture = `-v error -f lavfi -i testsrc2=size=640x360:rate=30 -frames:v ${count} -c:v ${codec}`;
    const sender = `"$0" --send 127.0.0.1:${receiver.port} --device camera visible=-`;
    const script = `ffmpeg ${picture} -f image2pipe - | ${sender}`;
    const piped = Bun.spawnSync(["sh", "-c", script, place.executable], { stderr: "pipe" });
    expect([piped.exitCode, piped.stderr.toString()]).toEqual([0, expect.stringContaining(`${count} stored`)]);
    expect(await receiver.status()).toBe(0);
    const own = place.path("own");
    Bun.spawnSync(["mkdir", own]);
    expect(Bun.spawnSync(["sh", "-c", `ffmpeg ${picture} "$0"/%04d.${extension}`, own]).exitCode).toBe(0);
    const frames = stored(out, "visible");
    expect(frames.length).toBe(count);
    expect(
      sameBytes(
        frames,
        filesBelow(own).map((path) => join(own, path)),
      ),
    ).toBe(true);
  });

  test("a pipe and a directory share one connection", async () => {
    await using place = await openPlace();
    const [out, infrared] = [place.path("captures"), place.path("ir")];
    await makeFrameSet(infrared, { kind: "png", count: 60, bytes: 5_000 });
    const camera = await makeCamera(place, "visible", 100, 20_000);
    const receiver = await place.receive(out, { words: ["--once"] });
    const proxy = place.proxy({ targetPort: receiver.port });
    const sender = place.send(proxy.port, [camera.pipe, `infrared=${infrared}`]);
    expect(await sender.status()).toBe(0);
    expect(await receiver.status()).toBe(0);
    expect(proxy.accepted).toBe(1);
    expect(sameBytes(stored(out, "visible"), camera.frames)).toBe(true);
    expect(differences(infrared, join(out, "camera", "infrared"))).toEqual([]);
    expect((await place.run(["--verify", out])).status).toBe(0);
  });

  test("block: whoever writes the pipe waits while nobody receives, and memory stays bounded", async () => {
    await using place = await openPlace();
    const out = place.path("captures");
    const camera = await makeCamera(place, "visible", 600, 100_000);
    let written = false;
    void camera.finished.then(() => (written = true));
    const port = freePort();
    const sender = place.send(port, [camera.pipe]).watchMemory();
    await sender.waitFor("disconnected");
    await Bun.sleep(500);
    expect(written).toBe(false);
    const receiver = await place.receive(out, { port, words: ["--once"] });
    expect(await sender.status()).toBe(0);
    expect(await receiver.status()).toBe(0);
    expect(await camera.finished).toBe(0);
    expect(sameBytes(stored(out, "visible"), camera.frames)).toBe(true);
    expect(sender.peakRssBytes).toBeLessThan(120 * 1024 * 1024);
  });

  test("drop-oldest: what the link could not carry is a gap in the catalogue, and named by both ends", async () => {
    await using place = await openPlace();
    const out = place.path("captures");
    const camera = await makeCamera(place, "visible", 600, 100_000);
    const port = freePort();
    const sender = place.send(port, [camera.pipe], ["--when-behind", "drop-oldest"]);
    expect(await camera.finished).toBe(0);
    const receiver = await place.receive(out, { port, words: ["--once"] });
    expect(await sender.status()).toBe(4);
    expect(await receiver.status()).toBe(4);
    const frames = stored(out, "visible");
    expect(frames.length).toBeGreaterThan(200);
    expect(frames.length).toBeLessThan(500);
    // What is kept is the newest, without a hole.
    expect(sameBytes(frames, camera.frames.slice(-frames.length))).toBe(true);
    const rows = catalogueRows<{ reason: string; frames: number }>(
      out,
      "SELECT reason, SUM(count) AS frames FROM gaps GROUP BY reason",
    );
    expect(rows).toEqual([{ reason: "dropped", frames: 600 - frames.length }]);
    expect(sender.all("skipped").reduce((sum, event) => sum + Number(event["count"]), 0)).toBe(600 - frames.length);
    expect(receiver.all("gap").reduce((sum, event) => sum + Number(event["count"]), 0)).toBe(600 - frames.length);
    const verified = await place.run(["--verify", out]);
    expect(verified.stdout).toContain(`gap camera/visible`);
    expect(verified.stdout).toContain("dropped");
  });

  test("spool: the link is cut again and again and the receiver killed twice; every frame is there once", async () => {
    await using place = await openPlace();
    const [out, spool] = [place.path("captures"), place.path("spool")];
    const camera = await makeCamera(place, "visible", 500, 20_000);
    const words = ["--once"];
    let receiver = await place.receive(out, { words });
    // As slow as cuts need, however busy the machine, and then as fast as it goes.
    const proxy = place.proxy({ targetPort: receiver.port, bytesPerSecond: 500_000 });
    const sender = place.send(proxy.port, [camera.pipe], ["--when-behind", "spool", "--spool", spool]);
    // A connection that came to nothing is not told, so the proxy counts them.
    for (let [cut, connected] = [1, 0]; cut <= 6; cut += 1) {
      while (proxy.connected <= connected) await Bun.sleep(10);
      ({ connected } = proxy);
      await Bun.sleep(200);
      if (cut % 3 !== 0) {
        proxy.cut();
        continue;
      }
      await receiver.kill();
      receiver = await place.receive(out, { words });
      proxy.targetPort = receiver.port;
    }
    proxy.bytesPerSecond = undefined;
    expect(await sender.status()).toBe(0);
    expect(await receiver.status()).toBe(0);
    expect(sameBytes(stored(out, "visible"), camera.frames)).toBe(true);
    expect((await place.run(["--verify", out])).stdout).toContain(
      "500 frames, 0 missing, 0 changed, 0 unknown, 0 gaps",
    );
    expect(filesBelow(spool)).toEqual([]);
  });

  test("spool: survives kill -9 of the sender; the next run sends it first", async () => {
    await using place = await openPlace();
    const [out, spool] = [place.path("captures"), place.path("spool")];
    const camera = await makeCamera(place, "visible", 100, 20_000);
    const words = ["--when-behind", "spool", "--spool", spool];
    const port = freePort();
    const killed = place.send(port, [camera.pipe], words);
    expect(await camera.finished).toBe(0);
    const whole = (): number => filesBelow(spool).length;
    while (whole() < 100) await Bun.sleep(10);
    await killed.kill();
    const receiver = await place.receive(out, { port, words: ["--once"] });
    const next = place.send(port, ["visible=-"], words);
    expect(await next.status()).toBe(0);
    expect(await receiver.status()).toBe(0);
    expect(sameBytes(stored(out, "visible"), camera.frames)).toBe(true);
    expect(whole()).toBe(0);
  });

  test("a signal ends the reading; what was not read, or only memory had, is not called stored", async () => {
    await using place = await openPlace();
    const [dir, pipe] = [place.path("frames"), place.path("visible.pipe")];
    await makeFrameSet(dir, { kind: "jpeg", count: 150, bytes: 100_000 });
    expect(Bun.spawnSync(["mkfifo", pipe]).success).toBe(true);
    const sender = place.send(freePort(), [pipe]);
    await sender.waitFor("disconnected");
    const camera = await open(pipe, "w");
    for (const path of filesBelow(dir)) await camera.write(readFileSync(join(dir, path)));
    // The camera goes on, as far as anybody can see.
    sender.signal("SIGINT");
    expect(await sender.status()).toBe(4);
    await camera.close();
    const [lost] = sender.all("lost");
    expect(lost).toMatchObject({ source: "visible", readToEnd: false });
    // A pipe holds 64 KiB, so the last frame at most was not read.
    expect([149, 150]).toContain(Number(lost?.["frames"]));
    expect(sender.count("left")).toBe(0);
  });

  test("garbage and a cut-off frame are said; the frames around them arrive", async () => {
    await using place = await openPlace();
    const out = place.path("captures");
    const camera = await makeCamera(place, "visible", 3, 10_000);
    const [one, two, three] = camera.frames.map((path) => readFileSync(path));
    if (one === undefined || two === undefined || three === undefined) throw new Error("three frames were made");
    const film = Buffer.concat([one, Buffer.from("no picture"), two, three.subarray(0, 5_000)]);
    writeFileSync(place.path("visible.film"), film);
    const receiver = await place.receive(out, { words: ["--once"] });
    const sender = place.send(receiver.port, [camera.pipe]);
    expect(await sender.status()).toBe(4);
    expect(await receiver.status()).toBe(4);
    expect(sameBytes(stored(out, "visible"), camera.frames.slice(0, 2))).toBe(true);
    expect(sender.stderr).toContain("no picture begins in what is at byte 10000");
    expect(sender.all("skipped")).toMatchObject([{ reason: "damaged", count: 1 }]);
  });
});

test("a replayed directory keeps its pace, and a capped link its rate", async () => {
  await using place = await openPlace();
  const [dir, out] = [place.path("vis"), place.path("captures")];
  await makeFrameSet(dir, { kind: "jpeg", count: 20, bytes: 50_000 });
  for (const words of [
    ["--fps", "20"],
    ["--max-rate", "8Mbit"],
  ]) {
    const receiver = await place.receive(`${out}${words[0]}`, { words: ["--once"] });
    const startedMs = performance.now();
    const sender = place.send(receiver.port, [dir], words);
    expect(await sender.status()).toBe(0);
    expect(await receiver.status()).toBe(0);
    // 20 frames at 20 a second; 1 MB at 1 MB a second, but for the first 50 ms and the last piece.
    expect(performance.now() - startedMs).toBeGreaterThan(650);
  }
});
