/** `--read` as its users run it: beside a running receiver, into pipes that pause and close, into real programs. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { catalogueRows, differences, filesBelow, openPlace, type Place } from "../support/processes.ts";
import { encode, Fields, kinds, WirePeer } from "./wire-peer.ts";

const ffmpeg = Bun.which("ffmpeg");
const startMs = Date.UTC(2026, 10, 25, 10, 0, 0);

async function shell(place: Place, script: string, ...words: string[]): Promise<{ status: number; stderr: string }> {
  const running = place.startOther("sh", ["-c", script, place.executable, ...words]);
  const status = await running.status();
  return { status, stderr: running.stderr };
}

describe.skipIf(process.platform === "win32")("stored frames", () => {
  let place: Place;
  let captures: string;

  beforeAll(async () => {
    place = await openPlace();
    captures = place.path("captures");
    for (const [source, kind, count, everyMs] of [
      ["visible", "jpeg", 60, 100],
      ["infrared", "png", 20, 300],
    ] as const) {
      const dir = place.path(source);
      await makeFrameSet(dir, { kind, count, bytes: 20_000 });
      const names = filesBelow(dir).toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
      for (const [at, name] of names.entries()) {
        const seconds = (startMs + at * everyMs + (source === "infrared" ? 7 : 0)) / 1000;
        utimesSync(`${dir}/${name}`, seconds, seconds);
      }
    }
    const receiver = await place.receive(captures, { words: ["--once"] });
    expect(await place.send(receiver.port, [place.path("visible"), place.path("infrared")]).status()).toBe(0);
    expect(await receiver.status()).toBe(0);
  });
  afterAll(async () => {
    await place[Symbol.asyncDispose]();
  });

  test("are a list that other programs read, of a range, by this machine's clock or another", async () => {
    const words = ["--read", captures, "camera/visible", "--from", "2026-11-25T10:00:01Z", "--to"];
    const utc = await place.run([...words, "2026-11-25T10:00:02Z"]);
    expect([utc.status, utc.stderr]).toEqual([0, "10 frames (200 kB)"]);
    expect(utc.stdout.split("\n")).toHaveLength(11);
    expect(utc.stdout).toStartWith("2026-11-25T10:00:01.000Z\tcamera/visible\t");
    const local = await place.run([...words, "2026-11-25 05:00:02"], { env: { TZ: "America/New_York" } });
    expect(local.stdout).toBe(utc.stdout);
    const json = await place.run([...words, "2026-11-25T10:00:02Z", "--json"]);
    expect(
      json.stdout
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as { path: string }).path),
    ).toEqual(
      utc.stdout
        .trim()
        .split("\n")
        .map((line) => line.split("\t")[3] ?? ""),
    );
    expect(JSON.parse(json.stderr)).toMatchObject({ event: "read", frames: 10, leftOut: 0 });
  });

  test("are pairs", async () => {
    const words = ["--read", captures, "camera/visible", "camera/infrared", "--pair-within", "20ms"];
    const { stdout, stderr, status } = await place.run(words);
    const pairs = stdout
      .trim()
      .split("\n")
      .map((line) => line.split("\t"));
    expect([status, pairs.length]).toEqual([0, 20]);
    // As files keep the times that they are given as floating-point numbers.
    expect(new Set(pairs.map(([, differenceMs]) => Number(differenceMs).toFixed(2)))).toEqual(new Set(["7.00"]));
    expect(stderr).toContain("20 pairs");
    expect(stderr).toEndWith(
      "40 frames of camera/visible without a partner, 0 frames of camera/infrared without a partner",
    );
  });

  test("are an archive that tar unpacks to what was sent", async () => {
    mkdirSync(place.path("unpacked"));
    const ended = await shell(place, '"$0" --read "$1" --as tar | tar -C "$2" -xf -', captures, place.path("unpacked"));
    expect(ended).toEqual({ status: 0, stderr: expect.stringMatching(/^80 frames/) as unknown as string });
    for (const source of ["visible", "infrared"]) {
      expect(differences(place.path(source), place.path("unpacked/camera", source))).toEqual([]);
    }
  });

  test.skipIf(ffmpeg === null)("are a film that ffmpeg makes of the stream", async () => {
    const film = place.path("film.mp4");
    const script = '"$0" --read "$1" camera/visible --as stream | ffmpeg -v error -i - "$2"';
    expect((await shell(place, script, captures, film)).status).toBe(0);
    const probe = [
      "ffprobe",
      "-v",
      "error",
      "-count_frames",
      "-show_entries",
      "stream=nb_read_frames",
      "-of",
      "csv=p=0",
    ];
    expect(
      Bun.spawnSync([...probe, film])
        .stdout.toString()
        .trim(),
    ).toBe("60");
  });

  test("that are damaged are named and left out, with status 4", async () => {
    const path = place.path("captures/camera/visible", filesBelow(`${captures}/camera/visible`)[3] ?? "");
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.toReversed());
    const ended = await shell(place, '"$0" --read "$1" camera/visible --as stream > "$2"', captures, place.path("out"));
    writeFileSync(path, bytes);
    expect(ended.status).toBe(4);
    expect(ended.stderr).toMatch(
      /^left out camera\/visible\/\S+: has other bytes than were stored\n59 frames .*, 1 frame left out$/,
    );
    expect(readFileSync(place.path("out")).length).toBeGreaterThan(59 * 10_000);
  });

  test("end quietly when the reader has enough", async () => {
    for (const form of ["list", "json", "stream", "tar"]) {
      const script = '{ "$0" --read "$1" --as "$2"; echo $? > "$3"; } | head -c 10 > /dev/null';
      const ended = await shell(place, script, captures, form, place.path("status"));
      expect([form, ended.stderr.includes("error"), readFileSync(place.path("status"), "utf8")]).toEqual([
        form,
        false,
        "0\n",
      ]);
    }
  });

  test("are refused to a terminal", async () => {
    const script = `script -qec '"'"$0"'" --read "'"$1"'" --as stream' /dev/null < /dev/null`;
    if (Bun.which("script") === null) return;
    const running = place.startOther("sh", ["-c", script, place.executable, captures]);
    expect(await running.status()).toBe(2);
    expect(await running.stdout).toContain("standard output is a terminal");
  });
});

test.skipIf(process.platform === "win32")(
  "a reader that pauses is waited for, in little memory, while the receiver goes on storing",
  async () => {
    await using place = await openPlace();
    const captures = place.path("captures");
    const receiver = await place.receive(captures);
    const dir = place.path("large");
    mkdirSync(dir);
    const bytes = new Uint8Array(5_000_000).fill(7);
    for (let at = 0; at < 40; at += 1) writeFileSync(`${dir}/${at}.raw`, bytes);
    expect(await place.send(receiver.port, [dir]).status()).toBe(0);
    // The pause ends when the test says so.
    const script = 'exec "$0" --read "$1" --as stream > "$2"';
    const pipe = place.path("pipe");
    expect(Bun.spawnSync(["mkfifo", pipe]).success).toBe(true);
    const reading = place.startOther("sh", ["-c", script, place.executable, captures, pipe]).watchMemory();
    const go = place.path("go");
    const slow = 'exec < "$1"; head -c 100000; while [ ! -e "$2" ]; do sleep 0.1; done; cat';
    const reader = place.startOther("sh", ["-c", `{ ${slow}; } | wc -c`, "sh", pipe, go]);
    await makeFrameSet(place.path("more"), { kind: "jpeg", count: 20, bytes: 20_000 });
    expect(await place.send(receiver.port, [place.path("more")]).status()).toBe(0);
    expect(reading.ended).toBe(false);
    expect(existsSync(go)).toBe(false);
    writeFileSync(go, "");
    expect(await reading.status()).toBe(0);
    expect((await reader.stdout).trim()).toBe(String(40 * bytes.length));
    expect(reading.peakRssBytes).toBeGreaterThan(0);
    expect(reading.peakRssBytes).toBeLessThan(150_000_000);
    receiver.signal("SIGTERM");
    expect(await receiver.status()).toBe(0);
    // It began before the others were stored.
    expect(reading.stderr).toContain("40 frames");
  },
);

test("times of a device whose clock was wrong are corrected, and only those", async () => {
  await using place = await openPlace();
  const captures = place.path("captures");
  const receiver = await place.receive(captures);
  const behindNs = 56n * 365n * 86_400_000_000_000n;
  const takenNs = BigInt(Date.UTC(2026, 10, 25, 10, 0, 0)) * 1_000_000n;
  for (const [device, offsetNs] of [
    ["wrong", -behindNs],
    ["right", 0n],
  ] as const) {
    const peer = await WirePeer.connect(receiver.port);
    peer.hello(device);
    await peer.take(kinds.welcome);
    const echoNs = (await peer.take(kinds.ping)).i64();
    peer.say(encode(kinds.pong, new Fields().u64(echoNs).u64(echoNs + offsetNs)));
    peer.source(0, "visible");
    peer.frame({ sequence: 0, name: "1.jpg", bytes: Buffer.from("one"), capturedNs: takenNs + offsetNs });
    await peer.take(kinds.ack);
    peer.drop();
  }
  const timesBy = async (clock: string): Promise<string[]> => {
    const { stdout } = await place.run(["--read", captures, "--clock", clock]);
    return stdout
      .trim()
      .split("\n")
      .map((line) => line.split("\t").slice(0, 2).join(" "));
  };
  expect(await timesBy("sender")).toEqual([
    "1970-12-09T10:00:00.000Z wrong/visible",
    "2026-11-25T10:00:00.000Z right/visible",
  ]);
  const corrected = await timesBy("receiver");
  expect(corrected).toContain("2026-11-25T10:00:00.000Z right/visible");
  const wrong = corrected.find((line) => line.endsWith(" wrong/visible")) ?? "";
  // As well as it can be measured: half of what the exchange took may be wrong.
  const wrongByMs = Math.abs(Date.parse(wrong.split(" ")[0] ?? "") - Number(takenNs / 1_000_000n));
  expect(wrongByMs).toBeLessThan(10_000);
  const sql = "SELECT device, captured - corrected IS clock_offset AS same, clock_offset IS 0 AS right";
  expect(catalogueRows(captures, `${sql} FROM frames JOIN sessions USING (device, source, session)`)).toEqual([
    { device: "wrong", same: 1, right: 0 },
    { device: "right", same: 0, right: 1 },
  ]);
});
