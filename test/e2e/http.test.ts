/** `--http` at both ends of the executable: health as things go wrong, figures for who has the token. */
import { expect, test } from "bun:test";
import { connect } from "node:net";
import { chmodSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { makeFrameSet } from "../../scripts/demo-frames.ts";
import { freePort, openPlace, patienceMs, type Place, type Running } from "../support/processes.ts";

interface Http {
  readonly base: string;
  readonly tokenFile: string;
}

async function httpOf(running: Running): Promise<Http> {
  const { address, tokenFile } = await running.waitFor("http");
  return { base: `http://${String(address)}`, tokenFile: String(tokenFile) };
}

async function ask(url: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string }> {
  const response = await fetch(url, { headers });
  return { status: response.status, body: await response.text() };
}

async function figuresOf({ base, tokenFile }: Http): Promise<string> {
  const token = readFileSync(tokenFile, "utf8").trim();
  const { status, body } = await ask(`${base}/metrics`, { Authorization: `Bearer ${token}` });
  expect(status).toBe(200);
  return body;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + patienceMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error("did not come");
    await Bun.sleep(50);
  }
}

/** Its token is its own. */
const stateOf = (place: Place): { env: Record<string, string> } => ({ env: { XDG_STATE_HOME: place.path("state") } });

test("the receiver's figures are those of what it stored, for who shows the token", async () => {
  await using place = await openPlace();
  await makeFrameSet(place.path("vis"), { kind: "jpeg", count: 12, bytes: 5_000 });
  const options = { ...stateOf(place), words: ["--http", "0"] };
  const receiver = await place.receive(place.path("captures"), options);
  const http = await httpOf(receiver);
  expect(await place.send(receiver.port, [place.path("vis")]).status()).toBe(0);
  const figures = await figuresOf(http);
  expect(figures).toContain('framepipe_frames{device="camera",source="vis",outcome="stored"} 12\n');
  expect(figures).toMatch(/^framepipe_stored_bytes_total\{device="camera",source="vis"\} [1-9]\d+$/m);
  expect(figures).toContain("\nframepipe_healthy 1\n");
  expect(figures).toMatch(/^process_resident_memory_bytes [1-9]\d{6,}$/m);
  expect(await ask(`${http.base}/healthz`)).toEqual({ status: 200, body: "ok\n" });

  expect((await ask(`${http.base}/metrics`)).status).toBe(401);
  expect((await ask(`${http.base}/healthz`, { Host: "evil.example" })).status).toBe(421);
  expect((await ask(`${http.base}/healthz`, { Origin: "http://evil.example" })).status).toBe(403);
  expect(statSync(http.tokenFile).mode & 0o777).toBe(0o600);
  expect(receiver.stderr).not.toContain(readFileSync(http.tokenFile, "utf8").trim());

  // The next run has the same token.
  receiver.signal("SIGTERM");
  expect(await receiver.status()).toBe(0);
  const before = readFileSync(http.tokenFile, "utf8");
  const again = await place.receive(place.path("captures"), options);
  expect((await httpOf(again)).tokenFile).toBe(http.tokenFile);
  expect(readFileSync(http.tokenFile, "utf8")).toBe(before);
});

test("a receiver that cannot store is not healthy until it can, and a sender without one is not either", async () => {
  await using place = await openPlace();
  await makeFrameSet(place.path("vis"), { kind: "jpeg", count: 3, bytes: 5_000 });
  const port = freePort();
  const sender = place.start(
    [
      "--send",
      `127.0.0.1:${port}`,
      "--device",
      "camera",
      "--json",
      "--watch",
      "--http",
      "127.0.0.1:0",
      place.path("vis"),
    ],
    stateOf(place),
  );
  const atSender = await httpOf(sender);
  expect(await ask(`${atSender.base}/healthz`)).toEqual({ status: 503, body: "unconnected\n" });

  const out = place.path("captures");
  const full = await place.receive(out, { ...stateOf(place), port, words: ["--http", "0", "--min-free", "1000000G"] });
  const atFull = await httpOf(full);
  await until(async () => (await ask(`${atFull.base}/healthz`)).body === "held\n");
  await until(async () => (await ask(`${atSender.base}/healthz`)).body === "held\n");
  expect((await figuresOf(atFull)).includes("\nframepipe_healthy 0\n")).toBe(true);
  full.signal("SIGTERM");
  await full.status();

  const receiver = await place.receive(out, { ...stateOf(place), port, words: ["--http", "0"] });
  const atReceiver = await httpOf(receiver);
  await until(async () => (await ask(`${atSender.base}/healthz`)).status === 200);
  expect((await ask(`${atReceiver.base}/healthz`)).status).toBe(200);
  await until(async () => (await figuresOf(atSender)).includes('framepipe_frames{source="vis",outcome="stored"} 3\n'));
  const figures = await figuresOf(atSender);
  expect(figures).toContain('framepipe_backlog_frames{source="vis"} 0\n');
  expect(await figuresOf(atReceiver)).toContain("\nframepipe_connections 1\n");
});

test("what cannot be used is said, and nothing begins", async () => {
  await using place = await openPlace();
  const first = await place.receive(place.path("one"), { ...stateOf(place), words: ["--http", "0"] });
  const { base, tokenFile } = await httpOf(first);
  const start = (http: string): Promise<{ status: number; stderr: string }> =>
    place.run(["--receive", "127.0.0.1:0", "--out", place.path("two"), "--http", http], stateOf(place));
  const taken = await start(new URL(base).host);
  expect([taken.status, taken.stderr.includes("the port is in use")]).toEqual([1, true]);
  chmodSync(tokenFile, 0o644);
  const open = await start("0");
  expect([open.status, open.stderr]).toEqual([
    1,
    expect.stringContaining("can be read by others") as unknown as string,
  ]);
  unlinkSync(tokenFile);
  writeFileSync(tokenFile, "short\n", { mode: 0o600 });
  const short = await start("0");
  expect([short.status, short.stderr.includes("holds no token")]).toEqual([2, true]);
});

test("peers that say nothing are sent away, and take nothing from frames", async () => {
  await using place = await openPlace();
  await makeFrameSet(place.path("vis"), { kind: "jpeg", count: 30, bytes: 5_000 });
  const receiver = await place.receive(place.path("captures"), { ...stateOf(place), words: ["--http", "0"] });
  const { base } = await httpOf(receiver);
  const { port } = new URL(base);
  let closed = 0;
  // More than its process may have open.
  const silent = Array.from({ length: 1500 }, () => {
    const socket = connect(Number(port), "127.0.0.1");
    socket.on("error", () => undefined);
    socket.on("close", () => (closed += 1));
    return socket;
  });
  expect(await place.send(receiver.port, [place.path("vis")]).status()).toBe(0);
  // The time of the first ones is up; the others would have theirs.
  await until(() => Promise.resolve(closed > 0));
  for (const socket of silent) socket.destroy();
  expect((await ask(`${base}/healthz`)).status).toBe(200);
});

test("with a key the token is beside it, and who cannot say who may send says so", async () => {
  await using place = await openPlace();
  const key = place.path("recorder.key");
  const receiver = await place.receive(place.path("captures"), { words: ["--key", key, "--http", "0"] });
  const http = await httpOf(receiver);
  expect(http.tokenFile).toBe(`${key}.http-token`);
  expect(await ask(`${http.base}/healthz`)).toEqual({ status: 200, body: "ok\n" });
  writeFileSync(`${key}.devices`, "");
  await until(async () => (await ask(`${http.base}/healthz`)).body === "grants-unknown\n");
  unlinkSync(`${key}.devices`);
  await until(async () => (await ask(`${http.base}/healthz`)).status === 200);
  expect(await figuresOf(http)).toContain("\nframepipe_healthy 1\n");
});
