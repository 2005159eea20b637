/** Gateways as their users run them: chains of receivers that hand on, killed in the middle, compared at the end. */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { catalogueRows, freePort, openPlace, type Place, type Receiver } from "../support/processes.ts";
import { Random } from "../support/random.ts";

const megabyte = 1_000_000;

/** One receiver of a chain, by name: its directory, and whom it hands on to. */
interface Link {
  readonly name: string;
  readonly port: number;
  readonly upstream: number | undefined;
}

function chainOf(names: readonly string[]): Link[] {
  const ports = names.map(() => freePort());
  return names.map((name, index) => ({ name, port: ports[index] ?? 0, upstream: ports[index + 1] }));
}

function start(place: Place, { name, port, upstream }: Link, words: readonly string[] = []): Promise<Receiver> {
  const on = upstream === undefined ? [] : ["--out", `framepipe://127.0.0.1:${upstream}`];
  return place.receive(place.path(name), { port, words: ["--verbose", ...on, ...words] });
}

function writeFrame(folder: string, name: string, bytes: Uint8Array, at: number): void {
  writeFileSync(join(folder, name), bytes);
  utimesSync(join(folder, name), 1_700_000_000 + at, 1_700_000_000 + at);
}

const framesSql = `SELECT device, source, session, sequence, name, bytes, crc32, CAST(captured AS TEXT) AS captured
  FROM frames ORDER BY device, source, session, sequence`;
const outcomesSql = `SELECT device, source, session, first, last,
  CASE outcome WHEN 'conflict' THEN 'stored' ELSE outcome END AS outcome
  FROM outcomes JOIN sessions ON id = session_id ORDER BY session, source, first`;
const gapsSql = `SELECT device, source, session, first_sequence, count, reason, name, detail FROM gaps
  ORDER BY session, source, first_sequence`;
const endsSql = `SELECT device, source, session, account, frames, stored + conflicts AS stored, duplicates, refused,
  skipped FROM sessions WHERE ended IS NOT NULL ORDER BY session, source`;

/** What the catalogue says of frames, numbers, gaps and ends: the same at every receiver of a chain. */
function accountOf(directory: string): unknown {
  return [framesSql, outcomesSql, gapsSql, endsSql].map((sql) => catalogueRows(directory, sql));
}

/** Until the upstream has recorded the end of every source of every session. */
async function handedOn(directory: string, ends: number): Promise<void> {
  const sql = "SELECT count(*) AS count FROM sessions WHERE ended IS NOT NULL";
  const deadlineMs = performance.now() + 60_000;
  for (;;) {
    const [row] = catalogueRows<{ count: number }>(directory, sql);
    if ((row?.count ?? 0) >= ends) return;
    if (performance.now() > deadlineMs) throw new Error(`${row?.count ?? 0} of ${ends} ends came to ${directory}`);
    await Bun.sleep(50);
  }
}

test("a chain of three, each killed in the middle: numbers, times, gaps and ends are the camera's", async () => {
  await using place = await openPlace();
  const random = new Random(17);
  const visible = place.path("visible");
  const infrared = place.path("infrared");
  for (const folder of [visible, infrared]) mkdirSync(folder);
  for (let at = 0; at < 120; at += 1) writeFrame(visible, `${at}.pgm`, pgm(random, 30_000), at);
  for (let at = 0; at < 300; at += 1) writeFrame(infrared, `${at}.pgm`, pgm(random, 500), at);
  // Larger than the sender sends: gaps.
  writeFrame(visible, "50x.pgm", pgm(random, megabyte), 50);
  writeFrame(infrared, "70x.pgm", pgm(random, megabyte), 70);
  const links = chainOf(["first", "second", "last"]);
  const running = await Promise.all(links.map((link) => start(place, link)));
  const [first] = links;
  const inputs = [`visible=${visible}`, `infrared=${infrared}`];
  const words = ["--max-frame", "900k", "--compare", "always"];
  const sender = place.send(first?.port ?? 0, inputs, [...words, "--max-rate", "16Mbit"]);
  // From the end of the chain to its beginning, each when a part has come to the last one.
  const last = place.path("last");
  for (const [index, link] of [...links.entries()].toReversed()) {
    const share = (links.length - index) * 80;
    const deadlineMs = performance.now() + 60_000;
    while (countOf(last) < share && performance.now() < deadlineMs) await Bun.sleep(10);
    await running[index]?.kill();
    running[index] = await start(place, link);
  }
  expect(await sender.status()).toBe(4);
  await handedOn(last, 2);
  // All of it again, which is there, but for one that is another picture now.
  writeFrame(visible, "7.pgm", pgm(random, 30_000), 7);
  expect(await place.send(first?.port ?? 0, inputs, words).status()).toBe(4);
  await handedOn(last, 4);
  for (const receiver of running) receiver.signal("SIGTERM");
  for (const receiver of running) expect(await receiver.status()).toBe(0);
  const account = accountOf(place.path("first"));
  expect(accountOf(place.path("second"))).toEqual(account);
  expect(accountOf(last)).toEqual(account);
  expect(catalogueRows(last, "SELECT * FROM frames")).toHaveLength(421);
  expect(catalogueRows(last, "SELECT * FROM gaps")).toHaveLength(4);
  const verified = await place.run(["--verify", last, "--json"]);
  expect(verified.status).toBe(4);
  const duplicates = catalogueRows<{ count: number }>(
    last,
    "SELECT sum(last - first + 1) AS count FROM outcomes WHERE outcome = 'duplicate'",
  );
  expect(duplicates).toEqual([{ count: 419 }]);
}, 120_000);

function pgm(random: Random, bytes: number): Uint8Array {
  const head = new TextEncoder().encode(`P5 ${bytes} 1 255\n`);
  const frame = new Uint8Array(head.length + bytes).fill(random.int(256));
  frame.set(head);
  frame.set(random.bytes(16), head.length);
  return frame;
}

function countOf(directory: string): number {
  const [row] = catalogueRows<{ count: number }>(directory, "SELECT count(*) AS count FROM frames");
  return row?.count ?? 0;
}

test("an upstream that is away: frames stay, are kept from --keep-size, and go when it is there", async () => {
  await using place = await openPlace();
  const folder = place.path("vis");
  mkdirSync(folder);
  const random = new Random(3);
  for (let at = 0; at < 300; at += 1) writeFrame(folder, `${at}.pgm`, pgm(random, 50_000), at);
  const [buffer, recorder] = chainOf(["buffer", "recorder"]);
  if (buffer === undefined || recorder === undefined) throw new Error("a chain of two");
  const gateway = await start(place, buffer, ["--keep-size", "4M"]);
  expect(await place.send(buffer.port, [`vis=${folder}`]).status()).toBe(0);
  await gateway.waitFor("upstream-lost");
  // More than may be kept, and nothing has gone.
  expect(countOf(place.path("buffer"))).toBe(300);
  // What is not handed on is in the directory, not in the process.
  await gateway.kill();
  const again = await start(place, buffer, ["--keep-size", "4M"]);
  const receiver = await start(place, recorder);
  await handedOn(place.path("recorder"), 1);
  expect(countOf(place.path("recorder"))).toBe(300);
  const deadlineMs = performance.now() + 60_000;
  while (countOf(place.path("buffer")) > 80 && performance.now() < deadlineMs) await Bun.sleep(50);
  expect(countOf(place.path("buffer"))).toBeLessThanOrEqual(80);
  for (const ending of [again, receiver]) {
    ending.signal("SIGTERM");
    expect(await ending.status()).toBe(0);
  }
  expect((await place.run(["--verify", place.path("buffer")])).status).toBe(0);
  expect((await place.run(["--verify", place.path("recorder")])).status).toBe(0);
}, 120_000);

test("with keys: a gateway speaks for the devices of its line, and a circle is refused", async () => {
  await using place = await openPlace();
  const folder = place.path("vis");
  mkdirSync(folder);
  for (let at = 0; at < 5; at += 1) writeFrame(folder, `${at}.pgm`, pgm(new Random(at), 100), at);
  const links = chainOf(["first", "second", "last"]);
  const [first, second, last] = links;
  if (first === undefined || second === undefined || last === undefined) throw new Error("a chain of three");
  const keyed = ({ name }: Link): string[] => ["--key", place.path(`${name}.key`)];
  const recorder = await start(place, last, keyed(last));
  const invite = async (device: string, { name, port }: Link): Promise<string> => {
    const made = await place.run(["--invite", `${device}@127.0.0.1:${port}`, ...keyed({ name } as Link)]);
    expect(made.status).toBe(0);
    const path = place.path(`${device}.invitation`);
    writeFileSync(path, made.stdout);
    return path;
  };
  const middle = await start(place, second, [...keyed(second), "--join", await invite("middle", last)]);
  await middle.waitFor("upstream-connected");
  const outer = await start(place, first, [...keyed(first), "--join", await invite("outer", second)]);
  await outer.waitFor("upstream-connected");
  const words = ["--key", place.path("rig.key"), "--join", await invite("rig-7", first), "--json"];
  const send = (): Promise<number> =>
    place.start(["--send", `127.0.0.1:${first.port}`, ...words, `vis=${folder}`]).status();
  expect(await send()).toBe(0);
  // It may hand on for nobody yet; both ends name the device.
  const { reason } = await outer.waitFor("upstream-lost", ({ device }) => device === "rig-7");
  expect(reason).toContain("may not write as rig-7");
  for (const receiver of [outer, middle, recorder]) {
    receiver.signal("SIGTERM");
    expect(await receiver.status()).toBe(0);
  }
  grant(place, second, "outer", "gateway devices=rig-*");
  grant(place, last, "middle", "gateway devices=rig-*");
  const again = [await start(place, last, keyed(last))];
  again.push(await start(place, second, keyed(second)), await start(place, first, keyed(first)));
  await handedOn(place.path("last"), 1);
  expect(accountOf(place.path("last"))).toEqual(accountOf(place.path("first")));
  const [via] = catalogueRows<{ via: string }>(place.path("last"), "SELECT via FROM sessions");
  expect(via?.via.split(" ")).toEqual([keyIn(place, second, "outer"), keyIn(place, last, "middle")]);
  expect(catalogueRows(place.path("first"), "SELECT via FROM sessions")).toEqual([{ via: null }]);
  for (const receiver of again) {
    receiver.signal("SIGTERM");
    expect(await receiver.status()).toBe(0);
  }

  // The last one hands on to the first: a circle.
  const circle = { ...last, upstream: first.port };
  rmSync(place.path("vis"), { recursive: true });
  const toFirst = await start(place, { ...first, upstream: undefined }, keyed(first));
  const closing = await start(place, circle, [...keyed(last), "--join", await invite("inner", first)]);
  await closing.waitFor("upstream-connected");
  grant(place, first, "inner", "gateway devices=*");
  // The camera's own key is an exact line, which beats any pattern.
  const told = await closing.waitFor("upstream-lost", ({ device }) => device === "rig-7");
  expect(String(told["reason"])).toMatch(/rig-7, which has a key|may not write as rig-7/);
  rmSync(join(devicesOf(place, first), fileOf(place, first, "rig-7")));
  await toFirst.waitFor("withdrawn", ({ device }) => device === "rig-7");
  closing.signal("SIGTERM");
  expect(await closing.status()).toBe(0);
  const round = await start(place, circle, keyed(last));
  await round.waitFor("upstream-lost", (event) => String(event["reason"]).includes("a loop"));
}, 120_000);

const devicesOf = (place: Place, { name }: Link): string => place.path(`${name}.key.devices`);

function fileOf(place: Place, link: Link, device: string): string {
  return readdirSync(devicesOf(place, link)).find((file) => file.startsWith(`${device}.fp1`)) ?? "";
}

function keyIn(place: Place, link: Link, device: string): string {
  return fileOf(place, link, device).split(".")[1] ?? "";
}

/** Adds words to the line of a device. */
function grant(place: Place, link: Link, device: string, words: string): void {
  const path = join(devicesOf(place, link), fileOf(place, link, device));
  writeFileSync(path, readFileSync(path, "utf8").replace(`device=${device}`, `device=${device} ${words}`));
}
