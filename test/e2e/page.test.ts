/** The page's server as viewers meet it: newest pictures, stored ones, downloads; and its process. */
import { expect, test } from "bun:test";
import { createWriteStream, readFileSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import type { Figures, Frames, Gaps, Moment, Pairs, Ticket } from "../../src/live/page-api.ts";
import { imageFormatOf } from "../../src/image-format.ts";
import { askPage, LiveViewer, pageOf, until } from "../support/live-viewer.ts";
import { freePort, openPlace, type Place, type Receiver } from "../support/processes.ts";

/** Its token is its own. */
function receive(place: Place, out: string, words: readonly string[] = []): Promise<Receiver> {
  return place.receive(out, { env: { XDG_STATE_HOME: place.path("state") }, words: ["--http", "0", ...words] });
}

const key = "camera/vis";

/** A camera: `count` pictures at `fps`, over and over a few JPEG files. */
async function film(place: Place, port: number, count: number, fps: number): Promise<number> {
  await makeFrameSet(place.path("vis"), { kind: "jpeg", count, bytes: 8_000 });
  return place.send(port, [place.path("vis")], ["--fps", String(fps)]).status();
}

async function json<Value>(response: Promise<Response>): Promise<Value> {
  const answered = await response;
  expect(answered.status).toBe(200);
  return (await answered.json()) as Value;
}

/** The page's process of a framepipe. */
function pageProcessOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0]);
}

test("a viewer is shown the newest picture, in full or small, and no more than it has credit for", async () => {
  await using place = await openPlace();
  const receiver = await receive(place, place.path("captures"));
  const page = await pageOf(receiver);
  const [full, small, poor] = [new LiveViewer(page), new LiveViewer(page), new LiveViewer(page)];
  for (const viewer of [full, small, poor]) expect(await viewer.opened()).toBe(true);
  expect(full.protocol).toBe("framepipe.live.1");
  poor.drawsAtOnce = false;
  // Of a source that has not sent anything yet.
  full.say({ show: { [key]: "full" }, credit: 2, figures: true, ping: 17 });
  small.say({ show: { [key]: "thumbnail" }, credit: 2 });
  poor.say({ show: { [key]: "full" }, credit: 1 });
  expect(await film(place, receiver.port, 60, 30)).toBe(0);
  await until(() => full.pictures.at(-1)?.head.sequence === 59, "the last picture in full");
  await until(() => small.pictures.at(-1)?.head.sequence === 59, "the last picture, small");

  const serials = full.pictures.map(({ head }) => head.serial);
  expect(serials).toEqual(serials.toSorted((a, b) => a - b));
  expect(new Set(serials).size).toBe(serials.length);
  const { head, bytes } = full.pictures.at(-1) ?? { head: undefined, bytes: new Uint8Array() };
  expect(bytes).toEqual(new Uint8Array(readFileSync(place.path("captures", "camera", "vis", head?.name ?? ""))));
  expect(head).toMatchObject({ key, size: "full", shown: "image", mediaType: "image/jpeg", bytes: bytes.length });
  const made = small.pictures.at(-1);
  expect(made?.head).toMatchObject({ key, size: "thumbnail", shown: "image", mediaType: "image/jpeg" });
  expect(imageFormatOf(made?.bytes ?? new Uint8Array())).toBe("jpeg");
  // Two seconds, and twice in each.
  expect(small.pictures.length).toBeLessThanOrEqual(8);
  expect(poor.pictures).toHaveLength(1);
  expect(full.pongs).toEqual([17]);

  await until(() => full.figures.at(-1)?.sources[0]?.frames.stored === 60, "figures of all frames");
  const figures = full.figures.at(-1) as Figures;
  expect(figures).toMatchObject({ role: "receiver", catalogue: true, sources: [{ key, device: "camera", gaps: {} }] });
  expect(figures.space?.freeBytes).toBeGreaterThan(0);
  expect(small.figures).toEqual([]);
  for (const viewer of [full, small, poor]) viewer.close();
});

test("stored frames are found by moment, stepped through, paired, and taken away once by ticket", async () => {
  await using place = await openPlace();
  for (const source of ["vis", "ir"]) await makeFrameSet(place.path(source), { kind: "jpeg", count: 5, bytes: 4_000 });
  const receiver = await receive(place, place.path("captures"));
  const page = await pageOf(receiver);
  expect(await place.send(receiver.port, [place.path("vis"), place.path("ir")]).status()).toBe(0);

  const all = (await json<Frames>(askPage(page, `/api/frames?source=${key}&before=500`))).frames;
  expect(all).toHaveLength(5);
  const [first, second, third] = all;
  const at = `at=${second?.captured}&id=${second?.id}`;
  const beside = await json<Frames>(askPage(page, `/api/frames?source=${key}&${at}&before=1&after=1`));
  expect(beside.frames.map(({ id }) => id)).toEqual([first?.id ?? 0, third?.id ?? 0]);
  const moment = await json<Moment>(askPage(page, `/api/moment?at=${third?.captured}`));
  expect(moment.sources.map(({ key: of, differenceMs }) => [of, differenceMs])).toEqual([
    ["camera/ir", 0],
    [key, 0],
  ]);
  const pairs = await json<Pairs>(
    askPage(page, `/api/pairs?first=${key}&second=camera/ir&at=${third?.captured}&after=9`),
  );
  expect(pairs.pairs.map(({ differenceMs, frames }) => [differenceMs, frames[0].sequence, frames[1].sequence])).toEqual(
    [2, 3, 4].map((sequence) => [0, sequence, sequence]),
  );
  const bytes = await (await askPage(page, `/api/frame/${first?.id}`)).bytes();
  expect(bytes).toEqual(new Uint8Array(readFileSync(place.path("captures", first?.path ?? ""))));
  expect((await askPage(page, `/api/thumbnail/${first?.id}`)).headers.get("Content-Type")).toBe("image/jpeg");
  const list = await (
    await askPage(page, `/api/range?source=${key}&from=${second?.captured}&to=${third?.captured}`)
  ).text();
  expect(list).toBe(`${second?.captured}\tcamera/vis\t${second?.bytes}\t${second?.path}\n`);

  // What did not arrive, and why.
  expect(await place.send(receiver.port, [`none=${place.path("vis")}`], ["--max-frame", "100"]).status()).toBe(4);
  const lost = (await json<Gaps>(askPage(page, "/api/gaps?count=2"))).gaps;
  expect(lost.map((gap) => [gap.key, gap.reason, gap.open])).toEqual(
    [1, 2].map(() => ["camera/none", "refused", true]),
  );
  const [last, before] = lost;
  const back = await json<Gaps>(askPage(page, `/api/gaps?before=${last?.recorded}&id=${last?.id}&count=1`));
  expect(back.gaps.map(({ id }) => id)).toEqual([before?.id ?? 0]);
  expect((await json<Gaps>(askPage(page, `/api/gaps?source=${key}`))).gaps).toEqual([]);

  // A browser's download has no token.
  const path = `/api/range?source=${encodeURIComponent(key)}&as=tar`;
  const order = { method: "POST", body: JSON.stringify({ path }) };
  const { ticket } = await json<Ticket>(askPage(page, "/api/ticket", order));
  const other = await fetch(`${page.url}/api/range?as=tar&ticket=${ticket}`);
  const download = await fetch(`${page.url}${path}&ticket=${ticket}`);
  expect([other.status, download.status]).toEqual([401, 200]);
  expect(download.headers.get("Content-Disposition")).toContain("attachment");
  writeFileSync(place.path("taken.tar"), await download.bytes());
  expect((await fetch(`${page.url}${path}&ticket=${ticket}`)).status).toBe(401);
  const members = Bun.spawnSync(["tar", "-tf", place.path("taken.tar")])
    .stdout.toString()
    .trim()
    .split("\n");
  expect(members.toSorted()).toEqual(all.map((frame) => frame.path).toSorted());

  // A frame whose file is another one is left out, and named.
  writeFileSync(place.path("captures", first?.path ?? ""), "x".repeat(first?.bytes ?? 0));
  expect((await askPage(page, `/api/frame/${first?.id}`)).status).toBe(404);
  const rest = await (await askPage(page, path)).text();
  expect(rest).toContain("LEFT-OUT.txt");
  expect(rest).toContain(`${first?.path} has other bytes than were stored`);
});

test("a camera can be aimed at the sender, before there is a link", async () => {
  await using place = await openPlace();
  await makeFrameSet(place.path("vis"), { kind: "jpeg", count: 30, bytes: 8_000 });
  const pipe = place.path("pipe");
  expect(Bun.spawnSync(["mkfifo", pipe]).success).toBe(true);
  const words = ["--device", "camera", "--http", "0", "--json"];
  const sender = place.start(
    ["--send", `127.0.0.1:${freePort()}`, ...words, "--when-behind", "drop-oldest", `cam=${pipe}`],
    { env: { XDG_STATE_HOME: place.path("state") } },
  );
  // A camera that goes on.
  const camera = createWriteStream(pipe);
  const frames = readdirSync(place.path("vis")).map((name) => readFileSync(place.path("vis", name)));
  let count = 0;
  const timer = setInterval(() => camera.write(frames[count++ % frames.length]), 30);
  place.onClose(() => {
    clearInterval(timer);
    camera.on("error", () => undefined).destroy();
  });
  const page = await pageOf(sender);
  const viewer = new LiveViewer(page);
  expect(await viewer.opened()).toBe(true);
  viewer.say({ show: { "camera/cam": "full" }, credit: 2, figures: true });
  await until(() => viewer.pictures.length >= 5, "pictures without a link");
  const [{ head, bytes } = { head: undefined, bytes: new Uint8Array() }] = viewer.pictures;
  expect(head).toMatchObject({ key: "camera/cam", shown: "image", bytes: bytes.length });
  expect(frames.some((frame) => frame.equals(bytes))).toBe(true);
  expect(head?.stored).toBeUndefined();
  await until(() => (viewer.figures.at(-1)?.sources[0]?.framesPerSecond ?? 0) > 0, "a rate");
  expect(viewer.figures.at(-1)).toMatchObject({ role: "sender", trouble: "unconnected", catalogue: false });
  const snapshot = await askPage(page, "/snapshot/camera/cam");
  expect([snapshot.status, snapshot.headers.get("Content-Type")]).toEqual([200, "image/jpeg"]);
  viewer.close();

  // Files are shown as they are read.
  const receiver = await place.receive(place.path("captures"));
  const files = place.start(["--send", `127.0.0.1:${receiver.port}`, ...words, "--fps", "20", place.path("vis")], {
    env: { XDG_STATE_HOME: place.path("state") },
  });
  const beside = new LiveViewer(await pageOf(files));
  expect(await beside.opened()).toBe(true);
  beside.say({ show: { [key]: "thumbnail" }, credit: 2 });
  await until(() => beside.pictures.length >= 1, "a picture of a file");
  expect(beside.pictures[0]?.head).toMatchObject({ size: "thumbnail", shown: "image" });
  expect(await files.status()).toBe(0);
});

test.skipIf(process.platform !== "linux")(
  "its process has no key and nothing open, and is made anew when it ends",
  async () => {
    await using place = await openPlace();
    const keyFile = place.path("recorder.key");
    const receiver = await place.receive(place.path("captures"), { words: ["--key", keyFile, "--http", "0"] });
    const page = await pageOf(receiver);
    const pid = pageProcessOf(receiver.pid);
    const of = (name: string): string => readFileSync(`/proc/${pid}/${name}`, "utf8");
    expect(of("cmdline").split("\0").slice(1)).toEqual(["page-process", ""]);
    expect(
      of("environ")
        .split("\0")
        .filter((one) => one !== ""),
    ).toEqual([]);
    expect(readlinkSync(`/proc/${pid}/cwd`)).toBe("/");
    // Of sockets it has its own and the one to its parent, of files none.
    const open = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    expect(open.filter((path) => path.startsWith(place.dir))).toEqual([]);
    expect(open.filter((path) => path.startsWith("socket:"))).toHaveLength(2);

    process.kill(pid, "SIGKILL");
    await receiver.waitFor("http-ended");
    await until(async () => (await fetch(`${page.url}/healthz`).catch(() => undefined))?.status === 200, "it is back");
    // It ends with the other, however that ends.
    const again = pageProcessOf(receiver.pid);
    expect(again).not.toBe(pid);
    await receiver.kill();
    await until(() => !readdirSync("/proc").includes(String(again)), "it is gone");
  },
);
