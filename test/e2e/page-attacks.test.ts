/** The page's server as attackers meet it (src/SECURITY.md). */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Frames } from "../../src/live/page-api.ts";
import { askPage, LiveViewer, type Page, pageOf, until } from "../support/live-viewer.ts";
import { openPlace, type Place, type Receiver } from "../support/processes.ts";

function receive(place: Place, words: readonly string[] = []): Promise<Receiver> {
  const env = { XDG_STATE_HOME: place.path("state") };
  return place.receive(place.path("captures"), { env, words: ["--http", "0", ...words] });
}

/** A JPEG as far as it goes, of any size. */
function jpeg(width: number, height: number, bytes = 200): Uint8Array {
  const size = [height >> 8, height & 255, width >> 8, width & 255];
  const start = [0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, ...size, 1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0];
  return Buffer.concat([Uint8Array.from(start), Buffer.alloc(bytes), Uint8Array.of(0xff, 0xd9)]);
}

/** A request as it is written here, and the head of the answer. */
async function raw({ url }: Page, request: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let answer = "";
  const socket = connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(request));
  socket.setTimeout(5000, () => socket.destroy());
  socket.on("data", (chunk) => {
    answer += chunk.toString("latin1");
    if (answer.includes("\r\n\r\n")) socket.destroy();
  });
  socket.on("error", () => undefined);
  socket.on("close", () => resolve(answer));
  return promise;
}

function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0);
}

test("names that lead here, other pages and their forms learn nothing and do nothing", async () => {
  await using place = await openPlace();
  const page = await pageOf(await receive(place));
  const { port, host } = new URL(page.url);
  const bearer = `Authorization: Bearer ${page.token}`;
  const ask = async (first: string, ...fields: string[]): Promise<number> =>
    statusOf(await raw(page, `${[`${first} HTTP/1.1`, ...fields].join("\r\n")}\r\n\r\n`));
  expect(await ask("GET /api/figures", `Host: ${host}`, bearer)).toBe(200);
  // A name of theirs that resolves to 127.0.0.1: the browser thinks it is their own.
  const theirs = `evil.example:${port}`;
  for (const path of ["/", "/healthz", "/metrics", "/api/figures", "/snapshot/a/b"]) {
    expect([path, await ask(`GET ${path}`, `Host: ${theirs}`, `Origin: http://${theirs}`, bearer)]).toEqual([
      path,
      421,
    ]);
    expect([path, await ask(`GET ${path}`, `Host: ${host}`, "Origin: http://evil.example", bearer)]).toEqual([
      path,
      403,
    ]);
  }
  expect(await ask("GET /metrics", `Host: ${host}`, `Host: ${theirs}`, bearer)).toBe(421);
  expect(statusOf(await raw(page, "GET /metrics HTTP/1.0\r\n\r\n"))).toBe(421);
  expect(await ask(`GET http://${host}/metrics`, `Host: ${theirs}`, bearer)).toBe(421);
  expect(await ask("GET /api/figures", `Host: ${host}`, "Sec-Fetch-Site: cross-site", bearer)).toBe(403);
  // A form of theirs, which a browser sends without asking: no token is in it, and none can be.
  const form = ["Content-Type: text/plain", "Content-Length: 33", "", '{"path": "/api/range?as=tar", "=":'];
  expect(await ask("POST /api/ticket", `Host: ${host}`, "Origin: http://evil.example", ...form)).toBe(403);
  expect(await ask("POST /api/ticket", `Host: ${host}`, ...form)).toBe(401);
  expect(await ask("OPTIONS /api/ticket", `Host: ${host}`, "Access-Control-Request-Method: POST")).toBe(405);
  // A WebSocket needs no permission of ours to be tried.
  const upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
  const live = [...upgrade, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
  const shown = `Sec-WebSocket-Protocol: framepipe.live.1, framepipe.token.${page.token}`;
  expect(await ask("GET /api/live", `Host: ${host}`, ...live, shown)).toBe(101);
  expect(await ask("GET /api/live", `Host: ${host}`, "Origin: http://evil.example", ...live, shown)).toBe(403);
  expect(await ask("GET /api/live", `Host: ${theirs}`, `Origin: http://${theirs}`, ...live, shown)).toBe(421);
  expect(await ask("GET /api/live", `Host: ${host}`, ...live)).toBe(401);
  expect(await ask("GET /api/live", `Host: ${host}`, ...live, bearer)).toBe(401);
  // Nothing that is answered may be read by others, run, or lead anybody to the token.
  for (const path of ["/", "/healthz", "/api/figures", "/nothing"]) {
    const answer = await askPage(page, path);
    const fields = Object.fromEntries(answer.headers);
    expect(fields).toMatchObject({
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cross-origin-resource-policy": "same-origin",
      "content-security-policy": expect.stringContaining("frame-ancestors 'none'") as unknown as string,
    });
    expect(Object.keys(fields).filter((name) => /^access-control|^set-cookie/.test(name))).toEqual([]);
  }
});

test("names with script in them are text, and a path that leads elsewhere is a name that is not there", async () => {
  await using place = await openPlace();
  const receiver = await receive(place);
  const page = await pageOf(receiver);
  const [device, source] = ['<img src=x onerror="alert(1)">', "<script>alert(1)<"];
  mkdirSync(place.path("in"));
  const names = ['"><svg onload=alert(1)>.jpg', "<b>.ppm"];
  writeFileSync(place.path("in", names[0] ?? ""), jpeg(8, 8));
  writeFileSync(place.path("in", names[1] ?? ""), "P6 6 1 255\n<script>1</script>");
  const words = ["--send", `127.0.0.1:${receiver.port}`, "--device", device, `${source}=${place.path("in")}`];
  expect((await place.run(words)).status).toBe(0);
  const key = `${encodeURIComponent(device)}/${encodeURIComponent(source)}`;
  const answer = await askPage(page, `/api/frames?source=${encodeURIComponent(key)}&before=9`);
  expect(answer.headers.get("Content-Type")).toBe("application/json");
  const { frames } = (await answer.json()) as Frames;
  expect(frames.map(({ name, device: of }) => [of, name]).toSorted()).toEqual(
    names.map((name) => [device, name]).toSorted(),
  );
  for (const { id, name } of frames) {
    const { headers } = await askPage(page, `/api/frame/${id}`);
    const isPicture = name.endsWith(".jpg");
    expect([name, headers.get("Content-Type"), headers.get("Content-Disposition")]).toEqual([
      name,
      isPicture ? "image/jpeg" : "application/octet-stream",
      isPicture ? null : "attachment",
    ]);
  }
  expect((await askPage(page, `/snapshot/${key}`)).status).toBe(200);
  expect(await (await askPage(page, "/metrics")).text()).toContain('device="<img src=x onerror=\\"alert(1)\\">"');

  writeFileSync(place.path("secret.jpg"), jpeg(8, 8));
  const up = "%2e%2e%2f".repeat(12);
  const tricks = [
    "/snapshot/../../secret.jpg",
    "/snapshot/..%2f..%2fsecret.jpg/x",
    `/snapshot/${up}/${encodeURIComponent(place.path("secret.jpg"))}`,
    `/snapshot/${encodeURIComponent(`${device}/../..`)}/secret.jpg`,
    "/snapshot/%00/%00",
    "/snapshot/a/b/../../../etc/passwd",
    "/api/frame/../../secret.jpg",
    "/api/frame/1%2f..",
    "/api/frame/-1",
    "/api/frame/1e9",
    `/api/range?source=${encodeURIComponent("../..")}`,
    "/.framepipe/catalogue.db",
  ];
  for (const path of tricks) {
    const got = await raw(
      page,
      `GET ${path} HTTP/1.1\r\nHost: ${new URL(page.url).host}\r\nAuthorization: Bearer ${page.token}\r\n\r\n`,
    );
    expect([path, statusOf(got), got.includes("JFIF") || got.includes("root:")]).toEqual([path, 404, false]);
  }
});

test("a JPEG that claims 60,000 x 60,000 is stored and called that, and costs nothing", async () => {
  await using place = await openPlace();
  const receiver = await receive(place);
  const page = await pageOf(receiver);
  const viewer = new LiveViewer(page);
  expect(await viewer.opened()).toBe(true);
  viewer.say({ show: { "camera/in": "thumbnail" }, credit: 2 });
  mkdirSync(place.path("in"));
  writeFileSync(place.path("in", "large.jpg"), jpeg(60_000, 60_000));
  expect(await place.send(receiver.port, [place.path("in")]).status()).toBe(0);
  await until(() => viewer.pictures.length === 1, "what it is");
  const [{ head, bytes } = { head: undefined, bytes: undefined }] = viewer.pictures;
  expect(head).toMatchObject({ shown: "none", mediaType: "", width: 60_000, height: 60_000 });
  expect([head?.text, bytes?.length]).toEqual(["a picture of 60000 x 60000 points, which is too large to be shown", 0]);
  const small = await askPage(page, "/snapshot/camera/in?size=thumbnail");
  expect([small.status, await small.text()]).toEqual([404, `${head?.text}\n`]);
  expect((await askPage(page, "/snapshot/camera/in")).status).toBe(200);
  viewer.close();
});

test("200 viewers, one that reads nothing, one too many: frames are stored, and the newest is shown", async () => {
  await using place = await openPlace();
  const receiver = await receive(place);
  const page = await pageOf(receiver);
  for (const [name, bytes] of [
    ["small", 20_000],
    ["large", 1_000_000],
  ] as const) {
    mkdirSync(place.path(name));
    for (let at = 0; at < 30; at += 1) writeFileSync(place.path(name, `${at}.jpg`), jpeg(640, 480, bytes + at));
  }
  const silent = connect(Number(new URL(page.url).port), "127.0.0.1");
  const head = [
    "GET /api/live HTTP/1.1",
    `Host: ${new URL(page.url).host}`,
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    `Sec-WebSocket-Protocol: framepipe.live.1, framepipe.token.${page.token}`,
  ];
  silent.write(`${head.join("\r\n")}\r\n\r\n`);
  // Masked with nothing: all that it will ever say.
  const wish = Buffer.from(JSON.stringify({ show: { "camera/large": "full" }, credit: 16 }));
  silent.write(Buffer.concat([Uint8Array.of(0x81, 0x80 | wish.length, 0, 0, 0, 0), wish]));
  silent.pause();
  const viewers = Array.from({ length: 255 }, () => new LiveViewer(page));
  for (const viewer of viewers) expect(await viewer.opened()).toBe(true);
  expect(await new LiveViewer(page).opened()).toBe(false);
  for (const viewer of viewers.slice(0, 200)) viewer.say({ show: { "camera/small": "full" }, credit: 1 });
  const inputs = [place.path("small"), place.path("large")];
  expect(await place.send(receiver.port, inputs, ["--fps", "10"]).status()).toBe(0);
  await until(() => viewers.slice(0, 200).every(({ pictures }) => pictures.at(-1)?.head.sequence === 29), "the newest");
  const children = readFileSync(`/proc/${receiver.pid}/task/${receiver.pid}/children`, "utf8").trim();
  const residentKiB = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${children}/status`, "utf8"))?.[1];
  expect(Number(residentKiB)).toBeLessThan(400 * 1024);
  for (const viewer of viewers) viewer.close();
  silent.destroy();
});

test("the token is in no message, catalogue, file or title, and on no other port without encryption", async () => {
  await using place = await openPlace();
  const receiver = await receive(place, ["--verbose"]);
  const page = await pageOf(receiver);
  for (const path of ["/metrics", "/api/figures", "/nothing", `/?token=${page.token}`]) await askPage(page, path);
  const viewer = new LiveViewer(page, ["framepipe.live.1", `framepipe.token.${page.token}0`]);
  expect(await viewer.opened()).toBe(false);
  expect(await (await askPage(page, "/metrics")).text()).not.toContain(page.token);
  const titles = ["cmdline", "environ"].map((name) => readFileSync(`/proc/${receiver.pid}/${name}`, "utf8")).join("");
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  expect(receiver.stderr + (await receiver.stdout) + titles).not.toContain(page.token);
  const kept = readdirSync(place.path("captures"), { recursive: true, encoding: "utf8", withFileTypes: true });
  for (const entry of kept.filter((one) => one.isFile())) {
    expect(readFileSync(join(entry.parentPath, entry.name), "latin1")).not.toContain(page.token);
  }
  // Off loopback with a key: by TLS, with a certificate that is made once, and is the one that was said.
  const words = ["--receive", "127.0.0.1:0", "--out", place.path("two"), "--json", "--key", place.path("r.key")];
  const keyed = place.start([...words, "--http", "0.0.0.0:0"]);
  const { url, certificate, tokenFile } = await keyed.waitFor("http");
  expect(new URL(String(url)).origin).toBe(`https://${hostname().toLowerCase()}:${new URL(String(url)).port}`);
  const ca = /-----BEGIN CERT[^]*/.exec(readFileSync(place.path("r.key.page"), "utf8"))?.[0] ?? "";
  const there = `https://localhost:${new URL(String(url)).port}`;
  const token = readFileSync(String(tokenFile), "utf8").trim();
  const answer = await fetch(`${there}/api/figures`, { headers: { Authorization: `Bearer ${token}` }, tls: { ca } });
  expect(answer.status).toBe(200);
  expect(await fetch(there.replace("https", "http")).catch(() => "nothing")).toBe("nothing");
  const again = place.start([...words.with(3, place.path("three")), "--http", "0.0.0.0:0"]);
  expect((await again.waitFor("http"))["certificate"]).toBe(certificate);
});
