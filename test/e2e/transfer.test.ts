/** The main job with the executable: directories through one connection, whole and once, in bounded memory. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { compareNatural } from "../../src/names.ts";
import { catalogueRows, crc32, differences, filesBelow, openPlace, setting } from "../support/processes.ts";
import type { JsonEvent } from "../support/processes.ts";

const frames = mkdtempSync(join(tmpdir(), "framepipe-"));
const visible = join(frames, "vis");
const infrared = join(frames, "ir");
const pairCount = 200;

beforeAll(async () => {
  await makeFrameSet(visible, { kind: "jpeg", count: pairCount, bytes: 100_000 });
  await makeFrameSet(infrared, { kind: "png", count: pairCount, bytes: 15_000 });
  // Some of each in folders, one inside the other, and names in which order by text differs from natural order.
  mkdirSync(join(visible, "run 2", "left"), { recursive: true });
  mkdirSync(join(infrared, "night"));
  for (let index = 150; index < 180; index += 1) {
    const folder = index % 2 === 0 ? "run 2" : "run 2/left";
    renameSync(join(visible, `${index}.jpg`), join(visible, folder, `${index}.jpg`));
    renameSync(join(infrared, `${index}.png`), join(infrared, "night", `${index}.png`));
  }
}, 60_000);
afterAll(() => rmSync(frames, { recursive: true, force: true }));

interface FrameRow {
  readonly source: string;
  readonly session: string;
  readonly sequence: number;
  readonly name: string;
  readonly path: string;
  readonly bytes: number;
  readonly crc32: number;
}

test("two directories go over one connection and arrive whole; a second run sends nothing", async () => {
  await using place = await openPlace();
  const out = place.path("captures");
  const inputs = [`visible=${visible}`, `infrared=${infrared}`];
  const receiver = await place.receive(out, { words: ["--once"] });
  const proxy = place.proxy({ targetPort: receiver.port });
  const sender = place.send(proxy.port, inputs);
  expect(await sender.status()).toBe(0);
  expect(await receiver.status()).toBe(0);

  expect(proxy.accepted).toBe(1);
  expect(sender.count("connected")).toBe(1);
  expect(receiver.count("session-started")).toBe(1);
  expect(receiver.all("session-ended")).toMatchObject([{ interrupted: false, storedFrames: 2 * pairCount }]);
  expect(differences(visible, join(out, "camera", "visible"))).toEqual([]);
  expect(differences(infrared, join(out, "camera", "infrared"))).toEqual([]);
  expect(filesBelow(out)).toHaveLength(2 * pairCount);

  const rows = catalogueRows<FrameRow>(out, "SELECT * FROM frames WHERE device = 'camera' ORDER BY source, sequence");
  expect(new Set(rows.map(({ session }) => session)).size).toBe(1);
  for (const [source, dir] of Object.entries({ visible, infrared })) {
    const own = rows.filter((row) => row.source === source);
    expect(own.map(({ sequence }) => sequence)).toEqual(Array.from({ length: pairCount }, (_, index) => index));
    expect(own.map(({ name }) => name)).toEqual(filesBelow(dir).toSorted(compareNatural));
    for (const row of own) {
      const bytes = readFileSync(join(dir, row.name));
      expect(row).toMatchObject({ path: `camera/${source}/${row.name}`, bytes: bytes.length, crc32: crc32(bytes) });
    }
  }
  expect((await place.run(["--verify", out])).status).toBe(0);

  const again = await place.receive(out, { words: ["--once"] });
  proxy.targetPort = again.port;
  const upBytesBefore = proxy.upBytes;
  const second = place.send(proxy.port, inputs);
  expect(await second.status()).toBe(0);
  expect(await again.status()).toBe(0);
  expect(second.all("summary").map(({ frames: all, duplicates }) => [all, duplicates])).toEqual([
    [pairCount, pairCount],
    [pairCount, pairCount],
  ]);
  expect(second.all("sent")).toMatchObject([{ bytes: 0 }]);
  // Names, sizes and times, but no frame: the smallest is 15 KB.
  expect(proxy.upBytes - upBytesBefore).toBeLessThan(2 * pairCount * 60);
  expect((await place.run(["--verify", out])).status).toBe(0);
}, 60_000);

test("files whose names are no text, or look like an escape, arrive, and are removed by their bytes", async () => {
  await using place = await openPlace();
  const [dir, out] = [place.path("camera"), place.path("captures")];
  mkdirSync(dir);
  const names = ["caf\xe9.raw", "caf\xe8.raw", "caf%E9.raw", "a\\b.raw", "plain.raw"];
  for (const name of names) writeFileSync(Buffer.from(`${dir}/${name}`, "latin1"), name);
  const receiver = await place.receive(out, { words: ["--once"] });
  const sender = place.send(receiver.port, ["--delete-sent", "--unchanged-for", "0", `visible=${dir}`]);
  expect(await sender.status()).toBe(0);
  expect(await receiver.status()).toBe(0);
  const arrived = ["caf%E9.raw", "caf%E8.raw", "caf%25E9.raw", "a%5Cb.raw", "plain.raw"];
  for (const [index, name] of arrived.entries()) {
    expect(readFileSync(join(out, "camera", "visible", name), "utf8")).toBe(names[index] ?? "");
  }
  expect(filesBelow(out)).toHaveLength(names.length);
  expect(filesBelow(dir)).toEqual([]);
  expect(sender.all("problem").map(({ reason }) => reason)).toEqual(["escaped"]);
});

test("raw files without a sane time are not read again to be compared; others of their names arrive", async () => {
  await using place = await openPlace();
  const [dir, out, state] = [place.path("ir"), place.path("captures"), place.path("state")];
  const count = 30;
  mkdirSync(dir);
  const put = (number: number, text: string): void => {
    const path = join(dir, `${number}.raw`);
    writeFileSync(path, text.padEnd(50_000, `${number}`));
    utimesSync(path, 315_532_800, 315_532_800);
  };
  for (let number = 0; number < count; number += 1) put(number, "first");
  // What has just changed may change again with the same times, and is not remembered.
  await Bun.sleep(1_100);
  const receiver = await place.receive(out);
  const send = async (): Promise<JsonEvent | undefined> => {
    const words = ["--send", `127.0.0.1:${receiver.port}`, "--device", "camera", "--json", dir];
    const sender = place.start(words, { env: { XDG_STATE_HOME: state } });
    expect(await sender.status()).toBe(0);
    return sender.all("summary")[0];
  };
  expect(await send()).toMatchObject({ stored: count });
  const known = new Database(join(state, "framepipe", "checksums.db"), { readonly: true });
  expect(known.query("SELECT count(*) AS files FROM files").get()).toEqual({ files: count });
  known.close();
  expect(await send()).toMatchObject({ duplicates: count });
  for (const number of [3, 7]) put(number, "other");
  expect(await send()).toMatchObject({ duplicates: count - 2, conflicts: 2 });
  expect(filesBelow(out)).toHaveLength(count + 2);
}, 60_000);

test("many small frames; a second run is quick and sends no payload", async () => {
  const count = setting("E2E_SMALL_FRAMES", 5_000);
  await using place = await openPlace();
  const [dir, out] = [place.path("small"), place.path("captures")];
  await makeFrameSet(dir, { kind: "jpeg", count, bytes: 2_000 });
  const receiver = await place.receive(out);
  const proxy = place.proxy({ targetPort: receiver.port });
  const first = place.send(proxy.port, [dir]);
  expect(await first.status(500_000)).toBe(0);
  expect(differences(dir, join(out, "camera", "small"))).toEqual([]);

  const upBytesBefore = proxy.upBytes;
  const startedMs = performance.now();
  const second = place.send(proxy.port, [dir]);
  expect(await second.status()).toBe(0);
  const seconds = (performance.now() - startedMs) / 1000;
  expect(second.all("summary")).toMatchObject([{ frames: count, stored: 0, duplicates: count }]);
  expect(second.all("sent")).toMatchObject([{ bytes: 0 }]);
  expect(proxy.upBytes - upBytesBefore).toBeLessThan(count * 60 + 1_000);
  const firstSeconds = Number(first.all("sent")[0]?.["seconds"]);
  console.log(`${count} frames of 2 KB: first run ${firstSeconds.toFixed(1)} s, second run ${seconds.toFixed(1)} s`);
  // The promise is seconds, not a transfer; the bound only has to survive a busy machine.
  expect(seconds).toBeLessThan(30);
  expect((await place.run(["--verify", out])).status).toBe(0);
}, 600_000);

test("a large frame arrives, and neither end holds it in memory", async () => {
  const bytes = setting("E2E_LARGE_MB", 200) * 1_000_000;
  await using place = await openPlace();
  const [dir, out] = [place.path("large"), place.path("captures")];
  mkdirSync(dir);
  // Not a picture: what is in a frame is no concern of anybody's here, and noise would take long to make.
  const block = crypto.getRandomValues(new Uint8Array(50_021));
  const large = Buffer.alloc(bytes, block);
  writeFileSync(join(dir, "1.raw"), large);
  writeFileSync(join(dir, "2.raw"), "small, behind it");
  const receiver = await place.receive(out, { words: ["--max-frame", "1G"] });
  const sender = place.send(receiver.port, [dir]);
  receiver.watchMemory();
  sender.watchMemory();
  expect(await sender.status()).toBe(0);
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  expect(differences(dir, join(out, "camera", "large"))).toEqual([]);
  const [senderMiB, receiverMiB] = [sender, receiver].map(({ peakRssBytes }) => Math.round(peakRssBytes / 2 ** 20));
  console.log(`a frame of ${bytes / 1e6} MB: sender ${senderMiB} MiB, receiver ${receiverMiB} MiB resident at most`);
  expect(senderMiB).toBeGreaterThan(10);
  expect(senderMiB).toBeLessThan(150);
  expect(receiverMiB).toBeGreaterThan(10);
  expect(receiverMiB).toBeLessThan(150);
}, 120_000);
